"""The store: what is published stays good whatever happens to the next run."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import stat
import subprocess
import sys
import textwrap
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest

from linkage import disk
from linkage.bundle import digest
from linkage.errors import ConfigurationError, InputError, IntegrityError, TemporaryError, told_of_the_machine
from linkage.store import publish as switch
from linkage.store import views
from linkage.store.export import export, in_folders
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
# Also of years that have fewer or more digits, as mistyped dates have, and of none.
CODES = """
    CREATE TABLE event_code AS SELECT feed, CAST(date_trunc('month', day) AS DATE) AS month, code FROM (
        SELECT CASE WHEN n % 2 = 0 THEN 'a' ELSE 'b' END AS feed, CAST(n AS VARCHAR) AS code,
            [NULL, DATE '2026-01-09', DATE '0026-01-09', DATE '12026-01-09', DATE '2025-12-31'][n // 2 % 5 + 1] AS day
        FROM range(1000) r(n)
    ) ORDER BY feed, month NULLS FIRST, code
"""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path / "store")
    made.make()
    return made


def build(folder: Path, place: Path | None = None) -> tuple[PublishedTable, ...]:
    """A small snapshot with every kind of partition, to be published at `place`."""
    connection = duckdb.connect()
    connection.execute(f"CREATE TABLE event AS {EVENTS}")
    connection.execute("CREATE TABLE person AS SELECT DISTINCT token, ['a', 'b'] AS sources FROM event ORDER BY token")
    connection.execute(CODES)
    connection.execute("CREATE TABLE a_empty (token UUID, day DATE)")
    connection.execute("CREATE TABLE load (feed VARCHAR, suppressed BOOLEAN)")
    months = {"event": "start", "person": None, "event_code": "month", "a_empty": "day", "load": None}
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
    made_for(connection, folder, place, tables)
    (folder / "manifest.json").write_text("{}")
    return tuple(tables)


def made_for(
    connection: duckdb.DuckDBPyConnection, folder: Path, place: Path | None, tables: Sequence[PublishedTable]
) -> None:
    """The database, made and checked where the snapshot will be."""
    database = folder.parent / f"{folder.name}.duckdb"
    with switch.in_place(folder, place) if place else nullcontext():
        with duckdb.connect(str(database)) as made:
            views.make_tables(made, place or folder, tables, views.columns_of(connection))
        switch.check(place or folder, tables, database)
    database.rename(folder / "linked.duckdb")


def publish(store: Store, day: int = 1) -> str:
    name = run_id(datetime(2026, 11, day, tzinfo=UTC))
    built = switch.begin(store, name) / "snapshot"
    built.mkdir()
    build(built, store.snapshots / name)
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
    assert row.fetchone() == (1000, 2, "0026-01")


@pytest.mark.parametrize("table", ["event", "event_code"])
def test_a_view_gives_back_the_table(store: Store, table: str) -> None:
    """Columns, their types, rows and their order, though the folders' names hold some of it."""
    publish(store)
    built = duckdb.connect()
    built.execute(f"CREATE TABLE event AS {EVENTS}")
    built.execute(CODES)
    with open_store(store.path) as connection:
        for statement in (f"DESCRIBE {table}", f"SELECT * FROM {table}"):
            assert connection.execute(statement).fetchall() == built.execute(statement).fetchall()


def test_asking_for_a_month_opens_its_files_alone(store: Store) -> None:
    publish(store)
    with open_store(store.path) as connection:
        plan = connection.execute("EXPLAIN FROM event_code WHERE feed = 'a' AND month = DATE '2026-01-01'").fetchall()
    assert "1/10" in plan[0][1]


def test_small_tables_are_in_the_database_and_the_others_beside_it(store: Store) -> None:
    publish(store)
    with open_store(store.path) as connection:
        kinds = connection.execute("SELECT table_name, table_type FROM information_schema.tables ORDER BY 1, 2")
        assert {row for row in kinds.fetchall() if row[1] != "VIEW"} == {("load", "BASE TABLE")}


@pytest.mark.parametrize("name", ["a*b", "a[1]", "feed=a", "month=2026-01"])
def test_a_store_whose_path_would_be_misread_is_refused(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name / "store"
    folder.mkdir(parents=True)
    with duckdb.connect() as connection, pytest.raises(ConfigurationError, match="cannot be below"):
        views.make_tables(connection, folder, (), {})


def test_a_table_without_rows_still_has_a_file_with_its_columns(tmp_path: Path) -> None:
    build(tmp_path)
    assert pq.read_table(tmp_path / "a_empty" / "month=undated" / "part-00000.parquet").num_rows == 0


@pytest.mark.parametrize("table", ["event", "event_code", "plain", "own_month"])
def test_every_partition_has_its_rows_in_their_order(tmp_path: Path, table: str) -> None:
    """Many are written at a time, and each is its month of the table, in the table's order."""
    connection = duckdb.connect(config={"threads": 2})
    connection.execute(f"CREATE TABLE event AS {EVENTS}")
    connection.execute(CODES)
    connection.execute(
        "CREATE TABLE plain AS SELECT token, start AS day FROM event ORDER BY date_trunc('month', day), token"
    )
    connection.execute("CREATE TABLE own_month AS SELECT token, CAST(start AS DATE) AS month FROM event ORDER BY month")
    month = {"event": "start", "plain": "day"}.get(table, "month")
    export(connection, tmp_path, table, month, METADATA)
    found = {
        path.parent.relative_to(tmp_path / table).as_posix(): connection.execute(
            f"SELECT COLUMNS(*)::VARCHAR FROM read_parquet('{path}', hive_partitioning = false)"
        ).fetchall()
        for path in (tmp_path / table).rglob("*.parquet")
    }
    own, feed = ", ".join(in_folders(table)), "'feed=' || feed || '/'" if table.startswith("event") else "''"
    place = f"{feed} || 'month=' || coalesce(strftime({month}, '%Y-%m'), 'undated')"
    rows = f"SELECT * {f'EXCLUDE ({own})' if own else ''}, {place} AS place FROM {table}"
    expected: dict[str, list[tuple[str, ...]]] = {}
    for *row, where in connection.execute(f"SELECT COLUMNS(*)::VARCHAR FROM ({rows})").fetchall():
        expected.setdefault(where, []).append(tuple(row))
    assert found == expected
    assert len(found) > 2


@pytest.mark.parametrize("size", [5, 20, 23, 64, 700])
def test_a_partition_keeps_the_order_of_its_rows(tmp_path: Path, size: int) -> None:
    """Sizes at which a sort that cuts rows into partitions once confused them."""
    connection = duckdb.connect(config={"threads": 2})
    connection.execute(
        f"CREATE TABLE t AS SELECT n, DATE '2020-01-01' + INTERVAL (n // {size}) MONTH AS day FROM range(1000) r(n)"
    )
    export(connection, tmp_path, "t", "day", METADATA)
    found = [pq.ParquetFile(path).read()["n"].to_pylist() for path in sorted((tmp_path / "t").rglob("*.parquet"))]
    assert found == [list(range(first, min(first + size, 1000))) for first in range(0, 1000, size)]


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
    assert stat.S_IMODE(place.stat().st_mode) == 0o550
    assert {stat.S_IMODE(path.stat().st_mode) for path in place.rglob("*") if path.is_file()} == {0o440}
    assert {stat.S_IMODE(path.stat().st_mode) for path in place.rglob("*") if path.is_dir()} == {0o550}


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


def break_volume(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    monkeypatch.setattr(disk, "_sync_volume", lambda folder: _raise(error))


def break_text(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    monkeypatch.setattr(Path, "write_text", lambda self, *args, **more: _raise(error))


def _raise(error: BaseException) -> None:
    raise error


Break = Callable[[pytest.MonkeyPatch, BaseException], None]


@pytest.mark.parametrize("broken", [break_rename, break_replace, break_sync, break_fsync, break_volume, break_text])
@pytest.mark.parametrize(
    ("error", "raised"), [(OSError(errno.ENOSPC, "full"), TemporaryError), (KeyboardInterrupt(), KeyboardInterrupt)]
)
def test_a_failed_step_leaves_the_last_good_snapshot(
    store: Store, monkeypatch: pytest.MonkeyPatch, broken: Break, error: BaseException, raised: type[BaseException]
) -> None:
    good = publish(store, 1)
    built = switch.begin(store, "20261102T000000Z-ffffff") / "snapshot"
    built.mkdir()
    build(built, store.snapshots / "20261102T000000Z-ffffff")
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


def test_every_new_file_is_confirmed_by_the_disk_and_what_an_earlier_snapshot_holds_is_not_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A night replaces few of thousands of files; every folder is confirmed, since names in it are new."""
    earlier = store.snapshots / publish(store, 1)
    name = run_id(datetime(2026, 11, 2, tzinfo=UTC))
    built = switch.begin(store, name) / "snapshot"
    built.mkdir()
    build(built, store.snapshots / name)
    shared = Path("person/part-00000.parquet")
    (built / shared).unlink()
    os.link(earlier / shared, built / shared)
    asked: list[Path] = []
    monkeypatch.setattr(disk, "_sync_volume", lambda folder: False)
    monkeypatch.setattr(disk, "sync", asked.append)
    switch.publish(store, built, name)
    new = {path.relative_to(store.snapshots / name) for path in (store.snapshots / name).rglob("*")} - {shared}
    assert {path.relative_to(built) for path in asked if path.is_relative_to(built)} == {*new, Path()}


def test_a_volume_is_confirmed_at_once_when_all_is_closed_and_nothing_moved_yet(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = run_id(datetime(2026, 11, 2, tzinfo=UTC))
    built = switch.begin(store, name) / "snapshot"
    built.mkdir()
    build(built, store.snapshots / name)
    closed: list[set[int]] = []

    def volume(folder: Path) -> bool:
        closed.append({path.stat().st_mode & 0o222 for path in folder.rglob("*")})
        return folder == built

    monkeypatch.setattr(disk, "_sync_volume", volume)
    switch.publish(store, built, name)
    assert closed == [{0}]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere each file is asked for")
def test_what_a_volume_could_not_write_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And a system that would not say so is not asked."""
    assert disk._sync_volume(tmp_path)

    class Failing:
        def syncfs(self, handle: int) -> int:
            ctypes.set_errno(errno.EIO)
            return -1

    monkeypatch.setattr(ctypes, "CDLL", lambda *args, **more: Failing())
    with pytest.raises(OSError, match="nput/output") as caught:
        disk._sync_volume(tmp_path)
    assert caught.value.errno == errno.EIO
    monkeypatch.setattr(disk, "_kernel", lambda: (5, 7))
    assert not disk._sync_volume(tmp_path)


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
    build(built, store.snapshots / "20261102T000000Z-ffffff")
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
                orphan.chmod(0o750)
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
        connection.execute("INSERT INTO load VALUES ('a', TRUE)")


def count_a_file_twice(folder: Path) -> None:
    with duckdb.connect(str(folder / "linked.duckdb")) as connection:
        (path,) = folder.glob("person/*.parquet")
        connection.execute(f"CREATE OR REPLACE VIEW person AS FROM read_parquet(['{path}', '{path}'])")


def lose_a_file(folder: Path) -> None:
    next(folder.rglob("event/**/*.parquet")).unlink()


def cut_a_file(folder: Path) -> None:
    path = next(folder.rglob("event/**/*.parquet"))
    path.write_bytes(path.read_bytes()[:-9])


def lose_the_database(folder: Path) -> None:
    (folder / "linked.duckdb").write_bytes(b"")
    (folder / "linked.duckdb").unlink()


@pytest.mark.parametrize("damage", [lose_a_row, count_a_file_twice, lose_a_file, cut_a_file, lose_the_database])
def test_a_damaged_snapshot_fails_its_check(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    folder = tmp_path / "snapshot"
    folder.mkdir()
    tables = build(folder)
    switch.check(folder, tables)
    damage(folder)
    with pytest.raises(IntegrityError):
        switch.check(folder, tables)


def test_a_snapshot_whose_views_lead_elsewhere_is_not_published(store: Store) -> None:
    good = publish(store)
    built = switch.begin(store, "20261102T000000Z-ffffff") / "snapshot"
    built.mkdir()
    build(built, store.snapshots / "20261102T000000Z-eeeeee")
    with pytest.raises(IntegrityError, match="where it is to be published"):
        switch.publish(store, built, "20261102T000000Z-ffffff")
    assert store.current() == good
    assert [path.name for path in store.snapshots.iterdir()] == [good]


def test_a_place_that_a_dead_run_was_lent_is_cleared(store: Store) -> None:
    """Its working folder is still there; nothing else of the store is touched."""
    good, dead = publish(store), "20261102T000000Z-ffffff"
    switch.begin(store, dead)
    (store.snapshots / dead / "event").mkdir(parents=True, mode=0o700)
    switch.begin(store, "next")
    assert [path.name for path in store.snapshots.iterdir()] == [good]


OVERWRITING = """
    import sys
    from pathlib import Path
    sys.path.insert(0, {tests!r})
    import duckdb
    from linkage.store import publish as switch
    from linkage.store.layout import Store
    from linkage.store.open import open_store
    from test_snapshots import publish
    store = Store(Path({store!r}))
    store.make()
    names = [publish(store, day) for day in (1, 2)]
    parts = sorted(store.snapshots.glob("*/*/**/*.parquet"))
    before = [path.read_bytes() for path in parts]
    with open_store(store.path) as connection:
        for path in [*parts, parts[-1].with_name("another.parquet")]:
            try:
                connection.execute(f"COPY (SELECT 1 AS one) TO '{{path}}'")
                sys.exit(f"written: {{path}}")
            except duckdb.Error:
                pass
    if [path.read_bytes() for path in parts] != before or not parts:
        sys.exit("changed")
    if switch.retain(store, 1) != names[1:] or list(store.path.glob(".staging-*.removed")):
        sys.exit("an old snapshot stayed")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX modes")
def test_nobody_writes_into_what_is_published_and_old_snapshots_still_go(tmp_path: Path) -> None:
    """The superuser could, as everywhere; so the test gives that power up."""
    as_others = [] if os.geteuid() else ["setpriv", "--inh-caps=-all", "--bounding-set=-dac_override,-dac_read_search"]
    code = textwrap.dedent(OVERWRITING).format(tests=str(Path(__file__).parent), store=str(tmp_path / "store"))
    ended = subprocess.run([*as_others, sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


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


@pytest.mark.parametrize("lost", ["the way back", "who is current"])
def test_a_snapshot_in_its_place_that_nobody_can_take_back_is_cleared_away_next_time(
    store: Store, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    """The disk fails after it was moved, and then fails the clearing up as well."""
    good, name = publish(store, 1), "20261102T000000Z-ffffff"
    built = store.staging(name) / "snapshot"
    switch.begin(store, name)
    shutil.copytree(store.snapshots / good, built)
    built.chmod(0o750)

    def failing(*_: object) -> None:
        broken = "rename" if lost == "the way back" else "read_bytes"
        patched.setattr(Path, broken, lambda *_: _raise(OSError(errno.EIO, "broken")))
        raise OSError(errno.EIO, "broken")

    with monkeypatch.context() as patched:
        patched.setattr(switch, "_opens", lambda place: None)
        patched.setattr(switch, "switch", failing)
        with pytest.raises(TemporaryError):
            switch.publish(store, built, name)
        with suppress(OSError):
            switch.end(store, name)
    assert store.current() == good
    switch.begin(store, "20261103T000000Z-ffffff")
    assert [path.name for path in store.snapshots.iterdir()] == [good]


@pytest.mark.parametrize("call", ["unlink", "rmdir", "chmod"])
def test_a_disk_that_fails_once_leaves_nothing_of_a_run(
    store: Store, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """What is cleared away is tried again; a disk that fails for good is told of."""
    name, real, failures = "20261102T000000Z-ffffff", getattr(os, call), [1]

    def failing(*arguments: Any, **named: Any) -> Any:
        if failures and failures.pop():
            raise OSError(errno.EIO, "failed")
        return real(*arguments, **named)

    for kept in (1, 2):
        working = switch.begin(store, name)
        (working / "bundle").mkdir()
        (working / "bundle" / "part.parquet").touch()
        failures[:] = [1] * kept
        with monkeypatch.context() as patched:
            patched.setattr(os, call, failing)
            with nullcontext() if kept == 1 else pytest.raises(OSError, match="failed"):
                switch.end(store, name)
        assert working.exists() == (kept == 2)


def test_a_snapshot_that_is_put_aside_is_for_its_owner(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody was told of it, and whoever may read the store may not look into it where it cannot be removed."""
    name = "20261102T000000Z-ffffff"
    switch.begin(store, name)
    (store.snapshots / name).mkdir(mode=0o750)

    def refused(folder: Path) -> None:
        raise PermissionError(folder)

    monkeypatch.setattr(switch, "remove", refused)
    with pytest.raises(PermissionError):
        switch.begin(store, "next")
    (aside,) = store.path.glob("*.removed")
    assert stat.S_IMODE(aside.stat().st_mode) == 0o700


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
