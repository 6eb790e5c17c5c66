"""The store: what is published stays good whatever happens to the next run."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import textwrap
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from linkage.bundle import digest
from linkage.errors import ConfigurationError, InputError, IntegrityError, TemporaryError, told_of_the_machine
from linkage.store import publish as switch
from linkage.store.export import export, make_text_views
from linkage.store.layout import Store, run_id
from linkage.store.lock import hold
from linkage.store.manifest import ExactBalance, File, PublishedTable, check_balance
from linkage.store.open import open_store

METADATA = {"linkage.domain": "ics:test", "linkage.key_id": "it's", "linkage.format": "linkage-snapshot/1"}
EVENTS = """
    SELECT CAST(md5(CAST(n AS VARCHAR)) AS UUID) AS token, CASE WHEN n % 2 = 0 THEN 'a' ELSE 'b' END AS feed,
        CASE WHEN n % 7 > 0 THEN TIMESTAMP '2026-01-31 23:59:59.999999' + INTERVAL (n % 3) DAY END AS start
    FROM range(1000) r(n) ORDER BY feed, date_trunc('month', start) NULLS FIRST, token
"""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path / "store")
    made.make()
    return made


def build(folder: Path, events: str = EVENTS) -> tuple[PublishedTable, ...]:
    """A small snapshot with every kind of partition."""
    connection = duckdb.connect(str(folder / "linked.duckdb"))
    connection.execute(f"CREATE TABLE event AS {events}")
    connection.execute("CREATE TABLE person AS SELECT DISTINCT token, ['a', 'b'] AS sources FROM event ORDER BY token")
    connection.execute("CREATE TABLE event_code AS SELECT feed, DATE '2026-01-01' AS month, 'x' AS code FROM event")
    connection.execute("CREATE TABLE a_empty (token UUID, day DATE)")
    months = {"event": "start", "person": None, "event_code": "month", "a_empty": "day"}
    tables = []
    for table, month in months.items():
        export(connection, folder, table, month, METADATA)
        paths = sorted((folder / table).rglob("*.parquet"))
        files = tuple(
            File(
                path=path.relative_to(folder).as_posix(),
                rows=pq.read_metadata(path).num_rows,
                bytes=path.stat().st_size,
                sha256=digest(path),
            )
            for path in paths
        )
        rows = connection.execute(f"SELECT count(*) FROM {table}").fetchone() or (0,)
        tables.append(PublishedTable(name=table, rows=rows[0], files=files))
    make_text_views(connection)
    connection.close()
    (folder / "manifest.json").write_text("{}")
    return tuple(tables)


def publish(store: Store, day: int = 1) -> str:
    name = run_id(datetime(2026, 11, day, tzinfo=UTC))
    built = switch.begin(store, name) / "snapshot"
    built.mkdir()
    switch.check(built, build(built))
    switch.publish(store, built, name)
    return name


def test_partitions_hold_their_rows_in_order(tmp_path: Path) -> None:
    tables = {table.name: table for table in build(tmp_path)}
    assert [file.path for file in tables["event"].files] == [
        f"event/feed={feed}/month={month}/part-00000.parquet"
        for feed in ("a", "b")
        for month in ("2026-01", "2026-02", "undated")
    ]
    assert sum(file.rows for file in tables["event"].files) == tables["event"].rows == 1000
    for file in tables["event"].files:
        stored = pq.read_table(tmp_path / file.path, partitioning=None)
        assert stored.column_names == ["token", "start"]
        tokens = stored["token"].to_pylist()
        assert tokens == sorted(tokens)
        months = {f"{start:%Y-%m}" if start else "undated" for start in stored["start"].to_pylist()}
        assert months == {file.path.split("month=")[1].split("/")[0]}


def test_files_say_where_they_come_from(tmp_path: Path) -> None:
    build(tmp_path)
    parquet = pq.ParquetFile(tmp_path / "person" / "part-00000.parquet")
    found = {key.decode(): value.decode() for key, value in parquet.metadata.metadata.items()}
    assert {key: found.get(key) for key in METADATA} == METADATA
    assert "UUID" in str(parquet.schema.column(0).logical_type)
    assert parquet.metadata.row_group(0).column(0).compression == "ZSTD"


def test_duckdb_reads_the_folders_as_columns(tmp_path: Path) -> None:
    build(tmp_path)
    row = duckdb.connect().execute(
        f"SELECT count(*), count(DISTINCT feed), min(month) FROM read_parquet('{tmp_path}/event_code/**/*.parquet')"
    )
    assert row.fetchone() == (1000, 2, "2026-01")


def test_a_table_without_rows_still_has_a_file_with_its_columns(tmp_path: Path) -> None:
    build(tmp_path)
    assert pq.read_table(tmp_path / "a_empty" / "month=undated" / "part-00000.parquet").num_rows == 0


def test_equal_tables_give_equal_bytes(tmp_path: Path) -> None:
    found = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        found.append({file.path: file.sha256 for table in build(tmp_path / name) for file in table.files})
    assert found[0] == found[1]


def test_text_views_have_no_uuid_and_no_list(store: Store) -> None:
    publish(store)
    with open_store(store.path) as connection:
        described = connection.execute("DESCRIBE text.person").fetchall()
        assert [row[1] for row in described] == ["VARCHAR", "VARCHAR"]
        assert connection.execute("SELECT sources FROM text.person LIMIT 1").fetchone() == ("a,b",)


def test_publishing_switches_and_sets_modes(store: Store) -> None:
    first, second = publish(store, 1), publish(store, 2)
    assert store.current() == second
    assert sorted(path.name for path in store.snapshots.iterdir()) == [first, second]
    place = store.snapshots / second
    assert stat.S_IMODE(place.stat().st_mode) == 0o750
    assert {stat.S_IMODE(path.stat().st_mode) for path in place.rglob("*") if path.is_file()} == {0o640}
    assert {stat.S_IMODE(path.stat().st_mode) for path in place.rglob("*") if path.is_dir()} == {0o750}


def test_staging_is_for_its_owner_and_leftovers_go(store: Store) -> None:
    (store.path / ".staging-crashed" / "deep").mkdir(parents=True)
    staging = switch.begin(store, "new")
    assert stat.S_IMODE(staging.stat().st_mode) == 0o700
    assert [path.name for path in store.path.glob(".staging-*")] == [".staging-new"]


def break_rename(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    monkeypatch.setattr(Path, "rename", lambda self, target: _raise(error))


def break_replace(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    monkeypatch.setattr(Path, "replace", lambda self, target: _raise(error))


def break_sync(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    monkeypatch.setattr(switch, "sync", lambda path: _raise(error))


def break_fsync(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    monkeypatch.setattr(os, "fsync", lambda handle: _raise(error))


def break_text(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    monkeypatch.setattr(Path, "write_text", lambda self, *args, **more: _raise(error))


def _raise(error: BaseException) -> None:
    raise error


Break = Callable[[pytest.MonkeyPatch, BaseException], None]


@pytest.mark.parametrize("broken", [break_rename, break_replace, break_sync, break_fsync, break_text])
@pytest.mark.parametrize(
    ("error", "raised"), [(OSError(errno.ENOSPC, "full"), TemporaryError), (KeyboardInterrupt(), KeyboardInterrupt)]
)
def test_a_failed_step_leaves_the_last_good_snapshot(
    store: Store, monkeypatch: pytest.MonkeyPatch, broken: Break, error: BaseException, raised: type[BaseException]
) -> None:
    good = publish(store, 1)
    built = switch.begin(store, "20261102T000000Z-ffffff") / "snapshot"
    built.mkdir()
    build(built)
    with monkeypatch.context() as patched:
        broken(patched, error)
        with pytest.raises(raised):
            switch.publish(store, built, "20261102T000000Z-ffffff")
    assert store.current() == good
    with open_store(store.path) as connection:
        assert connection.execute("SELECT count(*) FROM event").fetchone() == (1000,)
    assert [path.name for path in store.snapshots.iterdir()] == [good]
    newer = publish(store, 3)
    assert store.current() == newer
    assert not list(store.path.glob(".staging-2026110[12]*"))


KILLED = """
    import os, sys
    from pathlib import Path
    sys.path.insert(0, {tests!r})
    from linkage.store import publish as switch
    from linkage.store.layout import Store
    from test_snapshots import build
    store = Store(Path({store!r}))
    built = switch.begin(store, "20261102T000000Z-ffffff") / "snapshot"
    built.mkdir()
    build(built)
    steps = [0]
    def dying(real):
        def step(*args, **more):
            steps[0] += 1
            if steps[0] == {at}:
                os._exit(9)
            return real(*args, **more)
        return step
    os.chmod, os.fsync, os.rename, os.replace = map(dying, (os.chmod, os.fsync, os.rename, os.replace))
    switch.publish(store, built, "20261102T000000Z-ffffff")
    print(steps[0])
"""


def run_python(code: str, **values: object) -> subprocess.CompletedProcess[str]:
    source = textwrap.dedent(code).format(tests=str(Path(__file__).parent), **values)
    return subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_a_process_killed_at_any_step_leaves_a_good_snapshot(store: Store) -> None:
    good = publish(store, 1)
    at = 1
    while (ended := run_python(KILLED, store=str(store.path), at=at)).returncode == 9:
        current = store.current()
        assert current in (good, "20261102T000000Z-ffffff")
        with open_store(store.path) as connection:
            assert connection.execute("SELECT count(*) FROM event").fetchone() == (1000,)
        if current != good:
            break
        for orphan in store.snapshots.iterdir():
            if orphan.name != good:
                orphan.rename(store.path / ".staging-orphan")
        at += 7
    assert ended.returncode in (0, 9), ended.stderr
    assert at > 1


def test_what_is_not_finished_is_not_published(store: Store, tmp_path: Path) -> None:
    (tmp_path / "built").mkdir()
    with pytest.raises(IntegrityError, match="no manifest"):
        switch.publish(store, tmp_path / "built", "x")
    assert store.current() is None


def lose_a_row(folder: Path) -> None:
    with duckdb.connect(str(folder / "linked.duckdb")) as connection:
        connection.execute("DELETE FROM person WHERE token = (SELECT min(token) FROM person)")


def lose_a_file(folder: Path) -> None:
    next(folder.rglob("event/**/*.parquet")).unlink()


def cut_a_file(folder: Path) -> None:
    path = next(folder.rglob("event/**/*.parquet"))
    path.write_bytes(path.read_bytes()[:-9])


def lose_the_database(folder: Path) -> None:
    (folder / "linked.duckdb").write_bytes(b"")
    (folder / "linked.duckdb").unlink()


@pytest.mark.parametrize("damage", [lose_a_row, lose_a_file, cut_a_file, lose_the_database])
def test_a_damaged_snapshot_fails_its_check(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    tables = build(tmp_path)
    switch.check(tmp_path, tables)
    damage(tmp_path)
    with pytest.raises(IntegrityError):
        switch.check(tmp_path, tables)


def test_a_balance_that_does_not_add_up_is_refused() -> None:
    check_balance((ExactBalance(feed="f", table="t", read=3, published=1, removed={"duplicate": 2}),))
    with pytest.raises(IntegrityError, match="f t"):
        check_balance((ExactBalance(feed="f", table="t", read=3, published=1, removed={"duplicate": 1}),))


def test_only_so_many_snapshots_stay_and_the_current_one_always(store: Store) -> None:
    names = [publish(store, day) for day in (1, 2, 3, 4)]
    store.current_file.write_text(names[0])
    assert switch.retain(store, 2) == [names[0], names[3]]
    assert switch.retain(store, 1) == [names[0]]
    with open_store(store.path) as connection:
        assert connection.execute("SELECT count(*) FROM event").fetchone() == (1000,)


@pytest.mark.parametrize("said", ["../../etc", "/etc", "a/b", "..", "\N{SNOWMAN}", ""])
def test_current_names_a_run_and_nothing_else(store: Store, said: str) -> None:
    store.current_file.write_text(said, encoding="utf-8")
    with pytest.raises(IntegrityError, match="does not name a run"):
        open_store(store.path)


def test_a_run_id_sorts_by_time() -> None:
    assert run_id(datetime(2026, 11, 24, 0, 15, 30, tzinfo=UTC))[:17] == "20261124T001530Z-"
    assert run_id(datetime(2026, 1, 1, tzinfo=UTC)) < run_id(datetime(2026, 1, 2, tzinfo=UTC))


def test_a_run_id_sorts_after_the_last_one_although_the_clock_went_back() -> None:
    last = run_id(datetime(2026, 11, 24, 0, 15, 30, tzinfo=UTC))
    for now in (datetime(2026, 11, 24, 0, 15, 30, tzinfo=UTC), datetime(2026, 11, 23, tzinfo=UTC)):
        assert run_id(now, last)[:16] == "20261124T001531Z"
    assert run_id(datetime(2026, 11, 25, tzinfo=UTC), last)[:16] == "20261125T000000Z"
    assert run_id(datetime(2026, 11, 25, tzinfo=UTC), "by hand")[:16] == "20261125T000000Z"


def test_a_snapshot_that_nobody_was_told_of_is_cleared_away(store: Store) -> None:
    """A run died between moving it into place and naming it: it must not count as one that readers had."""
    told, untold = publish(store, 1), publish(store, 2)
    store.current_file.write_text(told)
    store.staging(untold).mkdir(exist_ok=True)
    switch.begin(store, "20261103T000000Z-ffffff")
    assert [path.name for path in store.snapshots.iterdir()] == [told]
    assert [path.name for path in store.path.glob(".staging-*")] == [".staging-20261103T000000Z-ffffff"]


def test_a_snapshot_that_was_named_stays_although_its_run_died_then(store: Store) -> None:
    told = publish(store, 1)
    store.staging(told).mkdir(exist_ok=True)
    switch.begin(store, "20261103T000000Z-ffffff")
    assert [path.name for path in store.snapshots.iterdir()] == [told]


def test_a_folder_with_other_things_is_never_touched(tmp_path: Path) -> None:
    (tmp_path / "snapshots").mkdir()
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(ConfigurationError, match="not a linkage store"):
        Store(tmp_path).make()
    with pytest.raises(ConfigurationError, match="is a file"):
        Store(tmp_path / "thesis.txt").make()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["snapshots", "thesis.txt"]


HOLDING = """
    import sys, time
    from pathlib import Path
    from linkage.store.layout import Store
    from linkage.store.lock import hold
    with hold(Store(Path({store!r}))):
        print("held", flush=True)
        time.sleep(60)
"""


def test_one_process_holds_the_store_and_a_crash_frees_it(store: Store) -> None:
    code = textwrap.dedent(HOLDING).format(store=str(store.path))
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(TemporaryError, match=rf"process {other.pid} of ") as caught, hold(store):
            pass
        assert caught.value.exit_code == 75
        other.kill()
    with hold(store):
        assert (store.path / "lock.holder").is_file()
    assert not (store.path / "lock.holder").exists()


FULL = """
    import resource, signal, sys
    from pathlib import Path
    import duckdb
    from linkage.errors import TemporaryError, told_of_the_machine
    from linkage.store.export import export
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
    connection = duckdb.connect()
    connection.execute("CREATE TABLE t AS SELECT uuid() AS token FROM range(200000)")
    try:
        with told_of_the_machine():
            export(connection, Path({folder!r}), "t", None, {{}})
    except TemporaryError:
        sys.exit(75)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX limits")
def test_a_full_disk_is_temporary(tmp_path: Path) -> None:
    ended = run_python(FULL, folder=str(tmp_path))
    assert ended.returncode == 75, ended.stderr


@pytest.mark.parametrize(
    ("number", "raised"),
    [
        *((each, TemporaryError) for each in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EMFILE)),
        *((each, ConfigurationError) for each in (errno.EACCES, errno.EPERM, errno.EROFS)),
        (errno.ENOENT, FileNotFoundError),
    ],
)
@pytest.mark.parametrize("words", [False, True])
def test_what_the_machine_refuses_is_told(number: int, raised: type[Exception], words: bool) -> None:
    """By number, as Python has it, or in words, as native libraries do."""
    said = RuntimeError(f'IO Error: "a path": {os.strerror(number)}') if words else OSError(number, "x")
    with pytest.raises(RuntimeError if words and number == errno.ENOENT else raised), told_of_the_machine():
        raise said


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM glob('/etc/*')",
        "COPY person TO '/tmp/linkage-leak.csv'",
        "EXPORT DATABASE '/tmp/linkage-leak'",
        "ATTACH '/tmp/linkage-leak.db' AS leak",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET enable_external_access = true",
        "SET lock_configuration = false",
        "SET temp_directory = '/tmp'",
        "CREATE TABLE mine (i INTEGER)",
        "DELETE FROM person",
    ],
)
def test_analysts_reach_the_snapshot_and_nothing_else(store: Store, statement: str) -> None:
    publish(store)
    before = {path: path.stat().st_mtime_ns for path in store.snapshots.rglob("*")}
    with open_store(store.path) as connection:
        with pytest.raises(duckdb.Error):
            connection.execute(statement)
        assert connection.execute("SELECT count(*) FROM event").fetchone() == (1000,)
    assert {path: path.stat().st_mtime_ns for path in store.snapshots.rglob("*")} == before


def test_large_queries_spill_only_where_the_reader_says(store: Store, tmp_path: Path) -> None:
    publish(store)
    with open_store(store.path, temporary=tmp_path / "spill") as connection:
        found = connection.execute("SELECT current_setting('temp_directory')").fetchone()
    assert found == (str(tmp_path / "spill"),)


def test_before_the_first_snapshot_there_is_nothing_to_open(store: Store) -> None:
    with pytest.raises(InputError, match="nothing has been published"):
        open_store(store.path)


def test_a_snapshot_that_went_missing_is_said(store: Store) -> None:
    store.current_file.write_text("20261102T000000Z-ffffff")
    with pytest.raises(IntegrityError, match="cannot be opened"):
        open_store(store.path)
