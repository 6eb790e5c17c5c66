"""A whole run by a user who is not root, whom read-only folders hold back: published, replaced, gone back to, removed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from small import make_small_ics

CODE = """
    import os, sys
    from datetime import timedelta
    from pathlib import Path
    sys.path.insert(0, sys.argv[2])
    from small import NOW
    from linkage import pipeline
    from linkage.nights import rollback
    from linkage.store.open import open_store
    folder = Path(sys.argv[1])
    # A first run loads every module: their files may be for root alone.
    pipeline.run(folder / "warm" / "linkage.toml", now=NOW)
    if os.getuid() == 0:
        for path in [folder, *folder.rglob("*")]:
            os.chown(path, 65534, 65534)
        os.setgid(65534)
        os.setuid(65534)
    configuration = folder / "ics" / "linkage.toml"
    names = [pipeline.run(configuration, now=NOW + timedelta(hours=hours)).run_id for hours in range(3)]
    print(sorted(path.name for path in (folder / "ics" / "store" / "snapshots").iterdir()) == names[1:])
    print(rollback.rollback(configuration, names[1], now=NOW).run == names[1])
    with open_store(folder / "ics" / "store") as connection:
        print(connection.execute("SELECT count(*) FROM event").fetchone())
    place = folder / "ics" / "store" / "snapshots" / names[1]
    try:
        (place / "more").touch()
        print("written")
    except PermissionError:
        print("read-only")
    pipeline.run(configuration, now=NOW + timedelta(hours=9))
    print(list((folder / "ics" / "store").glob(".staging-*")))
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that every user can come to: pytest's own are for one."""
    made = Path(tempfile.mkdtemp(prefix="linkage-ordinary-"))
    made.chmod(0o755)
    yield made
    for path in made.rglob("*"):
        if path.is_dir():
            path.chmod(0o700)
    shutil.rmtree(made)


@pytest.mark.skipif(os.name != "posix", reason="users as POSIX has them")
def test_an_ordinary_user_publishes_goes_back_and_removes(folder: Path) -> None:
    for name in ("warm", "ics"):
        (folder / name).mkdir()
        make_small_ics(folder / name).replace('path = "store"', 'path = "store"\nkeep = 2')
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(CODE), str(folder), str(Path(__file__).parent)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["True", "True", "(4,)", "read-only", "[]"]
