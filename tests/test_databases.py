"""Flows from databases: what is published is what files give, nothing is written, and no login is repeated anywhere."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import shutil
import sqlite3
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small import ALLOWED, SmallIcs

from linkage import config, pipeline, site
from linkage.config import Database
from linkage.contract import load, parse
from linkage.errors import ConfigurationError, InputError, LinkageError, TemporaryError
from linkage.pipeline import RunReport
from linkage.sources import batches, database, read, tables
from linkage.sources.database import DuckDBFile, Found, OdbcSource
from linkage.sources.statement import one_select, quoted
from linkage.sources.tables import Rows

PAGE = Path(__file__).parent.parent / "docs" / "how-to" / "databases.md"
NOW = datetime(2026, 11, 24, 6, tzinfo=UTC)
SECRET = "Driver=SQLite3;UID=etl;PWD=tr0ub4dor;"


def _blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), re.DOTALL)


def _warehouse(ics: SmallIcs) -> Path:
    """The page's database, made of the small extract."""
    path = ics.folder / "warehouse.duckdb"
    with duckdb.connect(str(path)) as connection:
        (statements,) = _blocks("sql")
        connection.execute(statements.replace("'extracts/", f"'{ics.folder}/extracts/"))
    return path


def _flow(ics: SmallIcs, flow: str) -> None:
    text = ics.configuration.read_text()
    ics.configuration.write_text(text[: text.index("[[flows]]")] + flow)


def _published(report: RunReport) -> dict[str, list[tuple[Any, ...]]]:
    assert report.database is not None
    with duckdb.connect(str(report.database), read_only=True) as connection:
        names = [name for (name,) in connection.execute("SELECT name FROM (SHOW TABLES)").fetchall()]
        return {name: sorted(connection.execute(f'FROM "{name}"').fetchall(), key=str) for name in names}


def _all_of(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not {"store", "private", "audit"} & set(path.relative_to(folder).parts)
    }


@pytest.mark.parametrize("flow", _blocks("toml"), ids=["a table", "a query"])
def test_a_duckdb_file_gives_what_its_csv_file_gives(small_ics: SmallIcs, flow: str) -> None:
    """By the page's own flows; nothing in the folder changes, and nothing is added to it."""
    expected = small_ics.run()
    _warehouse(small_ics)
    shutil.rmtree(small_ics.extract.parent)
    _flow(small_ics, flow)
    before = _all_of(small_ics.folder)
    found = small_ics.run()
    assert _all_of(small_ics.folder) == before
    assert _published(found) == _published(expected)
    assert found.removed == expected.removed
    account = json.loads((small_ics.folder / "private" / "runs" / f"{found.run_id}.json").read_text())
    (told,) = account["inputs"]
    assert told["file"] in ("sus.appointment", "query for appointment")
    assert (told["rows"], told["delivered"]) == (10, "2026-11-20T04:30:00Z")
    assert len(told["sha256"]) == 64
    assert told["bytes"] > 0


def test_the_digest_is_of_what_was_found_in_any_order(small_ics: SmallIcs) -> None:
    """Another row, another value and another statement each change it; the order of the rows does not."""
    path = _warehouse(small_ics)
    source = "sus.appointment"

    def digest(statement: str) -> str:
        flow = Database(duckdb=path.name, tables={"appointment": statement}, delivered="SELECT DATE '2026-11-20'")
        return tables.inspect("appointment", flow, small_ics.folder, load("sus_op").tables["appointment"], NOW).digest

    first = digest(source)
    assert digest(source) == first
    assert digest(f"SELECT * FROM {source}") != first
    with duckdb.connect(str(path)) as connection:
        connection.execute(f"CREATE TABLE turned AS FROM {source} ORDER BY rowid DESC; DROP TABLE {source}")
        connection.execute(f"CREATE TABLE {source} AS FROM turned")
    assert digest(source) == first
    with duckdb.connect(str(path)) as connection:
        connection.execute(f"""UPDATE {source} SET "appointment.outcome" = '2' WHERE "PRIMARYKEY_ID" = '1'""")
    assert digest(source) != first


def test_rows_that_change_during_a_run_stop_it(small_ics: SmallIcs) -> None:
    """One value is enough, and the snapshot before stays."""
    path = _warehouse(small_ics)
    _flow(small_ics, _blocks("toml")[0])
    small_ics.run()
    published = small_ics.current()
    (delivery,) = site.deliveries(config.load(small_ics.configuration), NOW)
    table = delivery.feed.tables["appointment"]
    (extract,) = delivery.extracts["appointment"]
    assert site.cleaned(delivery, table, extract).collect(engine="streaming").height == 10
    with duckdb.connect(str(path)) as connection:
        connection.execute("""UPDATE sus.appointment SET "appointment.outcome" = '2' WHERE "PRIMARYKEY_ID" = '1'""")
    with pytest.raises(InputError, match=r"sus.appointment: its rows changed while they were read"):
        site.cleaned(delivery, table, extract).collect(engine="streaming")
    assert small_ics.current() == published


STATEMENTS = {
    "another file": "SELECT * FROM read_csv('{folder}/extracts/appointment_20261120.csv')",
    "a file by its name": "SELECT * FROM '{folder}/extracts/appointment_20261120.csv'",
    "a variable of this process": "SELECT * FROM SECRET_FRAME",
    "an attached file": "SELECT * FROM other.appointment",
    "a cast that would quote a number": 'SELECT CAST("appointment.patient.identity.nhs_number.value" AS DATE) FROM '
    "sus.appointment",
    "no such table": "SELECT * FROM nowhere",
    "no statement": "SELECT FROM WHERE",
}
SECRET_FRAME = pl.DataFrame({"PRIMARYKEY_ID": ["1"]})


@pytest.mark.parametrize("statement", STATEMENTS.values(), ids=STATEMENTS)
def test_a_statement_that_fails_is_told_without_what_it_saw(small_ics: SmallIcs, statement: str) -> None:
    """The file's name, and what to do."""
    path = _warehouse(small_ics)
    with (
        pytest.raises(InputError) as refused,
        DuckDBFile(path).ask(statement.format(folder=small_ics.folder)) as (_, found),
    ):
        list(found)
    assert refused.value.message.startswith("warehouse.duckdb: the statement fails (")
    assert refused.value.hint
    assert ALLOWED not in refused.value.message


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE x (a INT)",
        "DELETE FROM sus.load",
        "SELECT 1; SELECT 2",
        "COPY sus.load TO 'x.csv'",
        "SET threads = 1",
    ],
)
def test_duckdb_is_asked_only_what_is_one_select(small_ics: SmallIcs, statement: str) -> None:
    """Also where the check of the text was passed by."""
    path = _warehouse(small_ics)
    with pytest.raises(InputError, match="not one SELECT"), DuckDBFile(path).ask(statement) as (_, found):
        list(found)


def test_a_file_that_is_not_there_or_is_none(tmp_path: Path) -> None:
    """Is not made."""
    with pytest.raises(InputError, match=r"none.duckdb: "), DuckDBFile(tmp_path / "none.duckdb").ask("SELECT 1") as _:
        pass
    assert not list(tmp_path.iterdir())
    (tmp_path / "text.duckdb").write_text("a,b\n" * 2000)
    with pytest.raises(InputError, match=r"text.duckdb: "), DuckDBFile(tmp_path / "text.duckdb").ask("SELECT 1") as _:
        pass


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("SELECT a FROM b", None),
        ("  with x AS (SELECT 1) SELECT * FROM x;  ", None),
        ("SELECT \"update\", [into], 'drop; delete' /* insert */ FROM b -- exec", None),
        ("SELECT a FROM b; SELECT c FROM d", "not one SELECT"),
        ("DELETE FROM b", "not one SELECT"),
        ("", "not one SELECT"),
        ("-- SELECT", "not one SELECT"),
        ("SELECT a INTO c FROM b", "'into'"),
        ("WITH x AS (SELECT 1) DELETE FROM b", "'delete'"),
        ("SELECT * FROM OPENROWSET('x', 'y', 'z')", "'openrowset'"),
        ("SELECT 1 /* ' */; DROP TABLE b --'", "not one SELECT"),
        ("EXEC sp_who", "not one SELECT"),
    ],
)
def test_only_a_select_is_sent(statement: str, said: str | None) -> None:
    """What stands in texts, comments and quoted names does nothing."""
    if said is None:
        assert one_select(statement, "x") == statement.strip().removesuffix(";")
    else:
        with pytest.raises(ConfigurationError, match=said):
            one_select(statement, "x")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("spell", '"spell"'),
        ("dbo.APC_Spell", '"dbo"."APC_Spell"'),
        ("[SUS].[dbo].[APC Spell]", '"SUS"."dbo"."APC Spell"'),
        ("a.b.c.d", None),
        ('dbo."x"; DROP TABLE y --', None),
        ("dbo.", None),
    ],
)
def test_a_tables_name_is_quoted(name: str, expected: str | None) -> None:
    """Or refused."""
    if expected:
        assert quoted(*name.split(".")) == expected
    else:
        with pytest.raises(ConfigurationError):
            quoted(*name.split("."))


GOOD = {"odbc": "env://X", "tables": {"a": "b"}, "delivered": "SELECT 1"}


@pytest.mark.parametrize(
    "change",
    [{"odbc": SECRET}, {"odbc": None}, {"duckdb": "x"}, {"tables": {}}, {"delivered": None}, {"password": "x"}],
    ids=str,
)
def test_a_database_that_cannot_be_is_refused_and_not_repeated(small_ics: SmallIcs, change: dict[str, Any]) -> None:
    """A connection string in the configuration above all."""
    content = {**GOOD, **change}
    lines = "\n".join(f"{key} = {json.dumps(value)}" for key, value in content.items() if value and key != "tables")
    named = "".join(f"\n[flows.database.tables]\n{key} = '{value}'" for key, value in content["tables"].items())
    _flow(small_ics, f'[[flows]]\nfeed = "sus_op"\n[flows.database]\n{lines}{named}\n')
    with pytest.raises(ConfigurationError) as refused:
        config.load(small_ics.configuration)
    assert "tr0ub4dor" not in "".join(traceback.format_exception(refused.value))


@pytest.mark.parametrize(
    ("flow", "said"),
    [
        ('[flows.database]\nduckdb = "warehouse.duckdb"\ntables = { appointments = "x" }', "no table 'appointments'"),
        ("", "needs a path"),
        (
            '[flows.database]\nduckdb = "warehouse.duckdb"\ntables = { snomed_procedure = "sus.load" }',
            "no table of the database is named for appointment",
        ),
        ('[flows.database]\nduckdb = "w.duckdb"\ntables = { appointment = "x" }', "w.duckdb: cannot be read"),
        (
            '[flows.database]\nduckdb = "warehouse.duckdb"\ndelivered = "SELECT 5"\ntables = { appointment = "x" }',
            "does not give one day",
        ),
        (
            '[flows.database]\nduckdb = "warehouse.duckdb"\ntables = { appointment = "sus.load" }\n'
            "delivered = \"SELECT DATE '2026-11-20'\"",
            "sus.load: the required column",
        ),
        (
            '[flows.database]\nduckdb = "warehouse.duckdb"\ntables = { appointment = "sus.appointment" }\n'
            "delivered = \"SELECT DATE '2026-12-20'\"",
            "lies in the future",
        ),
        (
            '[flows.database]\nduckdb = "warehouse.duckdb"\ntables = { appointment = "DROP TABLE sus.load" }\n'
            "delivered = \"SELECT DATE '2026-11-20'\"",
            "warehouse.duckdb: the statement fails",
        ),
    ],
)
def test_a_flow_that_cannot_be_read_says_what_is_wrong(small_ics: SmallIcs, flow: str, said: str) -> None:
    """One error, before anything is published."""
    _warehouse(small_ics)
    _flow(small_ics, f'[[flows]]\nfeed = "sus_op"\n{flow}\n')
    with pytest.raises(LinkageError, match=said):
        small_ics.run()
    assert small_ics.current() is None


# ---- any database, by a reader that is made up ----

FEED = parse(
    """
    name = "test"
    setting = "acute"
    [tables.visit]
    files = "visit_*.csv"
    primary_key = "key"
    [tables.visit.columns]
    key = { source = "Key", role = "record", namespace = "test.key" }
    ward = { source = "Ward", role = "code" }
    note = { source = "Note", role = "free_text" }
    """,
    "test.toml",
)
VISIT = FEED.tables["visit"]


@dataclass
class Made:
    """A database with one table, in batches of the given sizes; it remembers what it was asked."""

    table: pa.Table
    sizes: Sequence[int] = (3,)
    asked: list[str] = field(default_factory=list)
    open: int = 0

    @contextmanager
    def ask(self, statement: str) -> Iterator[Found]:
        self.asked.append(statement)
        self.open += 1
        names = re.findall(r'"(\w+)"', statement.partition(" FROM ")[0]) or self.table.column_names
        table = self.table.select(names) if "1 = 0" not in statement else self.table.slice(0, 0)
        try:
            yield table.schema, self._batches(table)
        finally:
            self.open -= 1

    def _batches(self, table: pa.Table) -> Iterator[pa.RecordBatch]:
        start, turn = 0, 0
        while start < table.num_rows:
            size = self.sizes[turn % len(self.sizes)]
            yield from table.slice(start, size).combine_chunks().to_batches() or []
            start, turn = start + size, turn + 1


def _looked_at(made: Made, monkeypatch: pytest.MonkeyPatch) -> read.Extract:
    monkeypatch.setattr(tables, "reader", lambda *_: made)
    source = Database(odbc="env://X", tables={"visit": "dbo.visit"}, delivered="SELECT 1")
    return tables.inspect("visit", source, Path(), VISIT, NOW)


CELLS = st.lists(st.tuples(st.none() | st.text(max_size=4), st.none() | st.integers(-5, 5)), max_size=30)


@given(CELLS, st.lists(st.integers(1, 9), min_size=1, max_size=4), st.integers(1, 5))
def test_rows_arrive_however_they_are_batched(cells: list[tuple[Any, Any]], sizes: list[int], piece: int) -> None:
    """In their order, numbered; only the contract's columns are asked for, and every connection is closed."""
    table = pa.table(
        {
            "Note": pa.array(["x"] * len(cells)),
            "Ward": pa.array([ward for _, ward in cells], pa.int32()),
            "Key": pa.array([key for key, _ in cells], pa.string()),
        }
    )
    made = Made(table, sizes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batches, "PIECE", piece)
        extract = _looked_at(made, patch)
        frame = read.scan(extract, VISIT).collect(engine="streaming")
        assert read.scan(extract, VISIT).select(pl.len()).collect(engine="streaming").item() == len(cells)
    assert extract.rows == len(cells)
    assert frame["_row"].to_list() == list(range(1, len(cells) + 1))
    assert list(zip(frame["key"], frame["ward"], strict=True)) == cells
    assert made.open == 0
    assert all("Note" not in statement for statement in made.asked)


@given(CELLS, CELLS)
def test_a_changed_row_is_seen(before: list[tuple[Any, Any]], after: list[tuple[Any, Any]]) -> None:
    """Unless it is the same rows in another order."""

    def table(cells: list[tuple[Any, Any]]) -> pa.Table:
        return pa.table({
            "Key": pa.array([k for k, _ in cells], pa.string()), "Ward": pa.array([w for _, w in cells], pa.int32())
        })  # fmt: skip

    made = Made(table(before))
    with pytest.MonkeyPatch.context() as patch:
        extract = _looked_at(made, patch)
    made.table = table(after)
    same = all(sorted(map(str, each)) == sorted(map(str, other)) for each, other in zip(
        [[row[place] for row in before] for place in (0, 1)], [[row[place] for row in after] for place in (0, 1)],
        strict=True,
    ))  # fmt: skip
    if same:
        assert read.scan(extract, VISIT).collect(engine="streaming").height == len(after)
    else:
        with pytest.raises(InputError, match=r"dbo.visit: its rows changed"):
            read.scan(extract, VISIT).collect(engine="streaming")


def test_no_more_than_a_batch_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next batch is asked for when the one before has gone."""
    made = Made(pa.table({"Key": pa.array(range(10_000)), "Ward": pa.array([1] * 10_000)}), sizes=(100,))
    extract = _looked_at(made, monkeypatch)
    assert isinstance(extract.batches, Rows)
    rows = extract.batches.read([0, 1])
    before = pa.total_allocated_bytes()
    assert sum(batch.num_rows for batch in rows) == 10_000
    assert pa.total_allocated_bytes() <= before + 100 * 16 * 4


# ---- over ODBC, by a driver that is made up ----


class MadeUpError(Exception):
    """What arrow-odbc raises."""


@dataclass
class MadeUpDriver:
    """arrow-odbc's face: notes what is done, and fails where it is told to."""

    fails: str = ""
    done: list[str] = field(default_factory=list)
    told: dict[str, Any] = field(default_factory=dict)

    def connect(self, **told: Any) -> Any:
        self.told |= told
        self._fail("SQLDriverConnect")
        return SimpleNamespace(read_arrow_batches=self._read, rollback=lambda: self.done.append("rollback"))

    def _read(self, statement: str, **told: Any) -> Any:
        self.told |= told
        self.done.append(statement)
        self._fail("SQLExecDirect")
        return pa.table({"Key": ["a"], "Ward": [1]}).to_reader()

    def _fail(self, where: str) -> None:
        if self.fails.startswith(where):
            raise MadeUpError(f"ODBC emitted an error calling '{self.fails}, Message: [{SECRET}] {ALLOWED}")


def _driver(monkeypatch: pytest.MonkeyPatch, fails: str = "") -> MadeUpDriver:
    driver = MadeUpDriver(fails)
    module = SimpleNamespace(connect=driver.connect, Error=MadeUpError)
    monkeypatch.setitem(sys.modules, "arrow_odbc", module)  # type: ignore[arg-type]
    monkeypatch.setenv("SUS_CONNECTION", SECRET)
    return driver


def test_a_connection_is_made_for_reading_and_undone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is committed, the buffers have a limit, and no `repr` says more than the reference."""
    driver = _driver(monkeypatch)
    source = OdbcSource("env://SUS_CONNECTION", Path(), 4000)
    with source.ask("SELECT 1") as (schema, found):
        assert schema.names == ["Key", "Ward"]
        assert [batch.num_rows for batch in found] == [1]
    assert driver.done == ["SELECT 1", "rollback"]
    assert driver.told["autocommit"] is False
    assert driver.told["connection_string"] == SECRET
    assert (driver.told["max_text_size"], driver.told["max_bytes_per_batch"]) == (4000, database.BUFFER)
    assert "tr0ub4dor" not in repr(source)


def test_times_are_read_to_the_microsecond(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the year 9999 of a datetime2 fits."""
    driver = _driver(monkeypatch)
    with OdbcSource("env://SUS_CONNECTION", Path(), 4000).ask("SELECT 1"):
        pass
    made = driver.told["map_schema"](
        pa.schema({"a": pa.timestamp("ns"), "b": pa.int8(), "c": pa.timestamp("ns", "UTC")})
    )
    assert made == pa.schema({"a": pa.timestamp("us"), "b": pa.int8(), "c": pa.timestamp("us", "UTC")})


FAILURES: list[tuple[str, type[LinkageError], str]] = [
    ("SQLDriverConnect': State: 08S01", TemporaryError, "cannot be reached, or is being written (SQLSTATE 08S01)"),
    ("SQLDriverConnect': State: HYT00", TemporaryError, "SQLSTATE HYT00"),
    ("SQLDriverConnect': State: 28000", ConfigurationError, "the login is refused (SQLSTATE 28000)"),
    ("SQLDriverConnect': State: IM002", ConfigurationError, "no connection is made (SQLSTATE IM002)"),
    ("SQLExecDirect': State: 42S02", InputError, "the statement fails (SQLSTATE 42S02)"),
    ("SQLExecDirect': without truncation", InputError, "longer than longest_text"),
]


@pytest.mark.parametrize(("fails", "kind", "said"), FAILURES, ids=[each[0] for each in FAILURES])
def test_what_a_driver_says_is_not_repeated(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, fails: str, kind: type[LinkageError], said: str
) -> None:
    """Neither in the message nor in the hint, the traceback or a log; the exit code says what to do."""
    caplog.set_level(logging.DEBUG)
    _driver(monkeypatch, fails)
    with pytest.raises(kind) as refused, OdbcSource("env://SUS_CONNECTION", Path(), 9).ask("SELECT 1"):
        pass
    assert said in refused.value.message
    assert refused.value.message.startswith("env://SUS_CONNECTION: ")
    told = "".join(traceback.format_exception(refused.value)) + refused.value.hint + caplog.text
    assert not [secret for secret in ("tr0ub4dor", "etl", ALLOWED) if secret in told]


@pytest.mark.parametrize("reference", ["env://NO_SUCH_VARIABLE", "file://no/such/file", "file://empty"])
def test_a_reference_that_leads_nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, reference: str) -> None:
    """Is named."""
    _driver(monkeypatch)
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(ConfigurationError, match=re.escape(reference)), OdbcSource(reference, tmp_path, 9).ask("x"):
        pass


def test_a_connection_string_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """From the configuration's folder."""
    driver = _driver(monkeypatch)
    (tmp_path / "sus.txt").write_text(f"{SECRET}\n")
    with OdbcSource("file://sus.txt", tmp_path, 9).ask("x"):
        pass
    assert driver.told["connection_string"] == SECRET


def test_without_the_extra_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the words of the command."""
    monkeypatch.setitem(sys.modules, "arrow_odbc", None)
    with pytest.raises(ConfigurationError) as refused, OdbcSource("env://X", Path(), 9).ask("x"):
        pass
    assert "linkage[mssql]" in refused.value.hint


# ---- over ODBC, by a driver that is real ----


def _has_sqlite() -> bool:
    """Whether arrow-odbc and SQLite's ODBC driver are on this machine."""
    try:
        import arrow_odbc

        arrow_odbc.connect(connection_string="Driver=SQLite3;Database=:memory:")
    except Exception:
        return False
    return True


def _sqlite(ics: SmallIcs) -> None:
    """The small extract as a table of SQLite, whose columns are typed as SQL Server's would be."""
    lines = [line.split(",") for line in ics.extract.read_text().splitlines()]
    header, rows = lines[0], lines[1:]
    typed = {"PRIMARYKEY_ID": "bigint", "appointment.date": "date", "appointment.patient.identity.birth_date": "date"}
    with sqlite3.connect(ics.folder / "sus.sqlite") as connection:
        # The driver takes what stands before a dot for a table's name.
        columns = ", ".join(f'"{name.replace(".", "_")}" {typed.get(name, "varchar(60)")}' for name in header)
        connection.execute(f"CREATE TABLE appointment ({columns})")
        connection.executemany(f"INSERT INTO appointment VALUES ({', '.join('?' * len(header))})", rows)
        connection.execute("CREATE TABLE loaded (at timestamp)")
        connection.execute("INSERT INTO loaded VALUES ('2026-11-20 04:30:00')")
    connection.close()


@pytest.mark.skipif(not _has_sqlite(), reason="arrow-odbc or SQLite's ODBC driver is not installed")
def test_an_odbc_source_gives_what_its_csv_file_gives(small_ics: SmallIcs, monkeypatch: pytest.MonkeyPatch) -> None:
    """Typed columns and all."""
    expected = small_ics.run()
    _sqlite(small_ics)
    shutil.rmtree(small_ics.extract.parent)
    monkeypatch.setenv("SUS_CONNECTION", f"Driver=SQLite3;Database={small_ics.folder / 'sus.sqlite'}")
    _flow(
        small_ics,
        '[[flows]]\nfeed = "sus_op"\n[flows.database]\nodbc = "env://SUS_CONNECTION"\n'
        'delivered = "SELECT at FROM loaded"\ntables = { appointment = "appointment" }\n',
    )
    before = _all_of(small_ics.folder)
    found = pipeline.run(small_ics.configuration, now=NOW)
    assert _all_of(small_ics.folder) == before
    assert _published(found) == _published(expected)
    assert found.removed == expected.removed


@pytest.mark.skipif(not _has_sqlite(), reason="arrow-odbc or SQLite's ODBC driver is not installed")
def test_a_real_drivers_errors_are_ours(small_ics: SmallIcs, monkeypatch: pytest.MonkeyPatch) -> None:
    """No such column, a text that is too long, no such driver."""
    _sqlite(small_ics)
    monkeypatch.setenv("SUS_CONNECTION", f"Driver=SQLite3;Database={small_ics.folder / 'sus.sqlite'}")
    source = OdbcSource("env://SUS_CONNECTION", Path(), 5)
    with pytest.raises(InputError, match="the statement fails"), source.ask("SELECT nothing FROM appointment"):
        pass
    with pytest.raises(InputError, match="longest_text"), source.ask("SELECT * FROM appointment") as (_, found):
        list(found)
    monkeypatch.setenv("SUS_CONNECTION", "Driver=NoSuchDriver;PWD=tr0ub4dor")
    with pytest.raises(ConfigurationError, match="no connection is made"), source.ask("SELECT 1"):
        pass


def test_the_pages_other_flow_can_be_read(small_ics: SmallIcs) -> None:
    """The one for SQL Server, of which no test has one."""
    (flow,) = _blocks("text")
    _flow(small_ics, flow)
    (found,) = config.load(small_ics.configuration).flows
    assert found.database is not None
    assert found.database.odbc == "env://SUS_CONNECTION"
    assert set(found.database.tables) <= set(load(found.feed).tables)
    assert one_select(found.database.delivered or "", "delivered")
    assert os.environ.get("SUS_CONNECTION") is None
