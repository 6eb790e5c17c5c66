"""One run at a time: a crash frees the store by itself, and nobody ever has to unlock it."""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from linkage.errors import ConfigurationError, TemporaryError
from linkage.store import lock as locking
from linkage.store.layout import Store
from linkage.store.lock import hold

HOLDS = """
    import sys, time
    from pathlib import Path
    from linkage.store.layout import Store
    from linkage.store.lock import hold
    with hold(Store(Path(sys.argv[1]))):
        print("holds", flush=True)
        time.sleep(60)
"""
# Modules are there already when the process becomes an ordinary user: their files may be root's alone.
ORDINARY = """
    import os, sys, shutil
    from pathlib import Path
    import linkage.store.lock, linkage.store.publish as switch
    from linkage.errors import LinkageError
    from linkage.store.layout import Store
    # The folders above may be closed to others.
    os.chdir(sys.argv[1])
    store = Store(Path())
    if os.getuid() == 0:
        for path in [store.path, *store.path.rglob("*")]:
            os.chown(path, 65534, 65534)
        os.setgid(65534)
        os.setuid(65534)
    {work}
"""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path / "store")
    made.make()
    return made


def run(code: str, store: Store) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), str(store.path)], stdout=subprocess.PIPE, text=True
    )


def test_whoever_holds_it_is_named(store: Store) -> None:
    """Process, user, machine and since when."""
    holder = run(HOLDS, store)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "holds\n"
    try:
        with pytest.raises(
            TemporaryError, match=rf"process {holder.pid} of \S+ on {socket.gethostname()} since 2"
        ) as held:
            hold(store).__enter__()
        assert held.value.exit_code == 75
    finally:
        holder.kill()
        holder.communicate()


@pytest.mark.parametrize("ends", [signal.SIGKILL, signal.SIGTERM])
def test_a_holder_that_died_holds_nothing(store: Store, ends: signal.Signals) -> None:
    """Its note stays behind, and nobody minds."""
    holder = run(HOLDS, store)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "holds\n"
    holder.send_signal(ends)
    holder.communicate()
    assert (store.path / "lock.holder").is_file()
    with hold(store):
        assert json.loads((store.path / "lock.holder").read_text())["process"] == os.getpid()
    assert not (store.path / "lock.holder").exists()


@pytest.mark.parametrize("note", ['{"process": 1, "host": "another", "user": "x", "since": "then"}', "{", ""])
def test_a_note_of_another_machine_is_not_a_lock(store: Store, note: str) -> None:
    """A restored or copied store has one, and the files of the lock."""
    (store.path / "lock.holder").write_text(note)
    (store.path / "lock").write_text("")
    with hold(store):
        pass


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES])
def test_a_store_that_cannot_be_written_to_is_told_plainly(
    store: Store, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(locking.FileLock, "acquire", refuse)
    with pytest.raises(ConfigurationError, match="refused a file or a folder"):
        hold(store).__enter__()


def ordinary(store: Store, work: str) -> str:
    """What an ordinary user sees of a store of theirs."""
    code = textwrap.dedent(ORDINARY).format(work=textwrap.dedent(work))
    done = subprocess.run([sys.executable, "-c", code, str(store.path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(os.name != "posix", reason="users as POSIX has them")
def test_another_users_store_is_told_plainly(store: Store) -> None:
    """A real one, without permission to write."""
    store.path.chmod(0o555)
    (store.path / "lock").touch(mode=0o444)
    work = """
try:
    with linkage.store.lock.hold(store):
        print("held")
except LinkageError as error:
    print(type(error).__name__, error.exit_code)
"""
    (store.path / "linkage-store").chmod(0o444)
    assert ordinary(store, work) == "ConfigurationError 2\n"


def publish_read_only(store: Store, name: str) -> None:
    """A snapshot as it is published: nobody may write into it."""
    place = store.snapshots / name
    for folder in ("event/feed=a", "person"):
        (place / folder).mkdir(parents=True)
        (place / folder / "part-00000.parquet").write_bytes(b"x")
        (place / folder / "part-00000.parquet").chmod(0o440)
    (place / "manifest.json").write_text("{}")
    for path in [*place.rglob("*"), place]:
        path.chmod(0o550 if path.is_dir() else 0o440)


RETAIN = """
print(switch.retain(store, 2, note=lambda name: print("note", name)))
print(sorted(path.name for path in store.path.glob(".staging-*")))
"""


@pytest.mark.skipif(os.name != "posix", reason="users as POSIX has them")
def test_an_ordinary_user_removes_what_nobody_may_write_into(store: Store) -> None:
    """Retention by count, oldest first; files that others are linked to stay theirs."""
    for name in ("1", "2", "3"):
        publish_read_only(store, name)
    store.current_file.write_text("3")
    shared = store.snapshots / "1" / "person" / "part-00000.parquet"
    kept = store.snapshots / "2" / "person"
    kept.chmod(0o700)
    os.link(shared, kept / "part-00001.parquet")
    kept.chmod(0o550)
    assert ordinary(store, RETAIN) == "note 1\n['2', '3']\n[]\n"
    assert (kept / "part-00001.parquet").read_bytes() == b"x"
    assert (kept / "part-00001.parquet").stat().st_mode & 0o777 == 0o440


HALFWAY = """
removed = []
def dying(path, *more, **words):
    removed.append(path)
    if len(removed) == {at}:
        os._exit(0)
    return real(path, *more, **words)
real, os.unlink = os.unlink, dying
switch.retain(store, 1)
"""
AGAIN = """
switch.begin(store, "next")
print(sorted(path.name for path in store.snapshots.iterdir()))
print(sorted(path.name for path in store.path.glob(".staging-*")))
"""


@pytest.mark.skipif(os.name != "posix", reason="users as POSIX has them")
@pytest.mark.parametrize("at", [1, 2, 3])
def test_a_crash_while_files_go_leaves_no_half_snapshot(store: Store, at: int) -> None:
    """It is out of sight before the first file goes, and the next run removes the rest."""
    for name in ("1", "2"):
        publish_read_only(store, name)
    store.current_file.write_text("2")
    ordinary(store, HALFWAY.format(at=at))
    assert [path.name for path in store.snapshots.iterdir()] == ["2"]
    assert list(store.path.glob(".staging-1.removed"))
    assert ordinary(store, AGAIN) == "['2']\n['.staging-next']\n"
