"""Linking twice, drawn by hand: from everything, and from what the last time left; the files of both are compared."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
from bundles import Row, feed, feed_table, token

from linkage.link import (
    FeedTable,
    Increment,
    Kept,
    Made,
    connect,
    count_months,
    find_touched,
    make_event_codes,
    make_events,
    make_persons,
    make_registrations,
    settle,
)
from linkage.store.export import export

# A file is the day on which it was delivered and its rows.
Files = Sequence[tuple[int, Sequence[Row]]]
World = Mapping[str, Files]

MADE = {"event": "start", "event_code": "month", "person": None, "registration": None}
WARD = feed(
    """
name = "ward"
setting = "acute"

[tables.stay]
files = "*"
primary_key = ["stay"]
month = "admitted"
[tables.stay.event]
kind = "stay"
record = "stay"
start = "admitted"
start_time = "admitted_at"
codes = [{ system = "icd10", column = ["code_one", "code_two"] }]
[tables.stay.columns]
stay = { source = "a", role = "record", namespace = "ward.stay", required = true }
admitted = { source = "b", role = "date" }
admitted_at = { source = "c", role = "date", type = "time" }
code_one = { source = "d", role = "code" }
code_two = { source = "e", role = "code" }
sex = { source = "f", role = "category", attribute = "sex" }

[tables.finding]
files = "*"
primary_key = ["stay", "place"]
codes = { record = "stay", kind = "stay", meaning = "diagnosis", scheme = "scheme", code = "code", position = "place" }
[tables.finding.columns]
stay = { source = "a", role = "record", namespace = "ward.stay" }
place = { source = "b", role = "number", type = "integer" }
code = { source = "c", role = "code" }
scheme = { source = "d", role = "category" }

[tables.trip]
files = "*"
primary_key = ["leg"]
month = "entered"
event = { kind = "trip", record = "trip", start = "began", codes = [{ scheme = "scheme", column = "code" }] }
[tables.trip.columns]
leg = { source = "a", role = "record", namespace = "ward.leg" }
trip = { source = "b", role = "record", namespace = "ward.trip" }
entered = { source = "c", role = "date" }
began = { source = "d", role = "date" }
code = { source = "e", role = "code" }
scheme = { source = "f", role = "category" }

[tables.remark]
files = "*"
primary_key = ["remark"]
codes = { record = "trip", kind = "trip", system = "snomed", code = "code" }
[tables.remark.columns]
remark = { source = "a", role = "record", namespace = "ward.remark" }
trip = { source = "b", role = "record", namespace = "ward.trip" }
code = { source = "c", role = "code" }
"""
)
CALLS = feed(
    """
name = "calls"
setting = "urgent"
[tables.call]
files = "*"
primary_key = ["call"]
month = "at"
event = { kind = "call", record = "call", start = "at" }
[tables.call.columns]
call = { source = "a", role = "record", namespace = "calls.call" }
at = { source = "b", role = "date", type = "datetime" }
sex = { source = "c", role = "category", attribute = "sex" }
"""
)
REGISTER = """
name = "{name}"
setting = "{setting}"
[tables.patient]
files = "*"
primary_key = ["patient"]
{more}
[tables.patient.columns]
patient = {{ source = "a", role = "record", namespace = "{name}.patient" }}
sex = {{ source = "d", role = "category", attribute = "sex" }}
practice = {{ source = "f", role = "practice", attribute = "practice" }}
joined = {{ source = "h", role = "date" }}
gone = {{ source = "i", role = "date" }}
"""
REGISTERED = 'registration = { practice = "practice", start = "joined", end = "gone" }'
GP = feed(REGISTER.format(name="gp", setting="primary_care", more=REGISTERED))
SOCIAL = feed(REGISTER.format(name="social", setting="social_care", more=""))
HOMES = feed(REGISTER.format(name="homes", setting="social_care", more='month = "joined"'))

_PATIENT = {
    "token": "UUID",
    "patient": "UUID",
    "sex": "VARCHAR",
    "practice": "VARCHAR",
    "joined": "DATE",
    "gone": "DATE",
}
TABLES = {
    "ward_stay": (
        WARD,
        {
            "token": "UUID",
            "stay": "UUID",
            "admitted": "DATE",
            "admitted_at": "TIME",
            "code_one": "VARCHAR",
            "code_two": "VARCHAR",
            "sex": "VARCHAR",
        },
    ),
    "ward_finding": (
        WARD,
        {"token": "UUID", "stay": "UUID", "place": "BIGINT", "code": "VARCHAR", "scheme": "VARCHAR"},
    ),
    "ward_trip": (
        WARD,
        {
            "token": "UUID",
            "leg": "UUID",
            "trip": "UUID",
            "entered": "DATE",
            "began": "DATE",
            "code": "VARCHAR",
            "scheme": "VARCHAR",
        },
    ),
    "ward_remark": (WARD, {"token": "UUID", "remark": "UUID", "trip": "UUID", "code": "VARCHAR"}),
    "calls_call": (CALLS, {"token": "UUID", "call": "UUID", "at": "TIMESTAMP", "sex": "VARCHAR"}),
    "gp_patient": (GP, _PATIENT),
    "social_patient": (SOCIAL, _PATIENT),
    "homes_patient": (HOMES, _PATIENT),
}


def both(folder: Path, before: World, after: World) -> tuple[dict[str, Any], dict[str, Any], set[str]]:
    """The files of a link of `after` from everything, those of an increment from `before`, and which of them were linked."""
    last = _Linked(folder / "before", before)
    last.whole(last.folder / "snapshot")
    now = _Linked(folder / "after", after)
    now.whole(now.folder / "full")
    linked = now.from_last(last, now.folder / "increment")
    made = _files(now.folder / "full"), _files(now.folder / "increment")
    last.connection.close()
    now.connection.close()
    return *made, linked


def same(folder: Path, before: World, after: World) -> set[str]:
    """Check that an increment publishes what a full link does, and return the files that it did not make."""
    full, increment, linked = both(folder, before, after)
    assert increment == full
    return linked


class _Linked:
    def __init__(self, folder: Path, world: World) -> None:
        folder.mkdir()
        self.folder, self.world = folder, world
        self.connection = connect(Path(":memory:"), folder / "spill", threads=1)
        self.tables = [_table(folder / "bundle", name, world[name]) for name in world]
        for table in self.tables:
            settle(self.connection, folder / "bundle", table.parts, table.table)

    def whole(self, snapshot: Path) -> None:
        found = self.connection.execute(
            "SELECT table_name FROM duckdb_tables() WHERE table_name LIKE '_attributes_%'"
        ).fetchall()
        for (name,) in found:
            self.connection.execute(f'CREATE TEMP TABLE "kept{name}" AS SELECT * FROM temp."{name}"')
        make_events(self.connection, self.tables)
        make_event_codes(self.connection, self.tables)
        make_persons(self.connection, self.tables)
        make_registrations(self.connection, self.tables)
        for table, month in MADE.items():
            export(self.connection, snapshot, table, month, {})
            self.connection.execute(f"DROP TABLE {table}")
        for (name,) in found:
            self.connection.execute(f'ALTER TABLE temp."kept{name}" RENAME TO "{name}"')

    def from_last(self, last: _Linked, snapshot: Path) -> set[str]:
        connection, tables = self.connection, self.tables
        _changed(connection, last, self)
        increment = Increment(
            changed=frozenset(table.name for table in tables if table.name in last.world),
            before={table.name: table.parts for table in last.tables},
            files={table: _kept(last.folder / "snapshot", table) for table in MADE},
        )
        made = {"event": make_events(connection, tables, increment)}
        made["event_code"] = make_event_codes(connection, tables, increment)
        touched = find_touched(connection, tables, increment)
        made["person"] = make_persons(connection, tables, increment, touched)
        made["registration"] = make_registrations(connection, tables, increment)
        counted = count_months(connection, made["event"])
        assert counted == count_months(connection, Made("event", made["event"].rows))
        for table, each in made.items():
            found = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
            assert found == (each.rows,)
        linked = [self._publish(table, each, last.folder / "snapshot", snapshot) for table, each in made.items()]
        return {place for places in linked for place in places}

    def _publish(self, table: str, made: Made, last: Path, snapshot: Path) -> list[str]:
        places = [file.path.relative_to(last) for file in made.linked]
        for place in places:
            (snapshot / place).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(last / place, snapshot / place)
        if made.relation is not None:
            if made.relation != table:
                self.connection.execute(f"DROP VIEW {table}; CREATE TABLE {table} AS SELECT * FROM {made.relation}")
            export(self.connection, snapshot, table, MADE[table], {})
        assert sum(file.rows for file in _kept(snapshot, table)) == made.rows
        return [place.as_posix() for place in places]


def _files(snapshot: Path) -> dict[str, Any]:
    return {
        path.relative_to(snapshot).as_posix(): pq.ParquetFile(path).read().to_pylist()
        for path in sorted(snapshot.rglob("*.parquet"))
    }


def _table(folder: Path, name: str, files: Files) -> FeedTable:
    of, fields = TABLES[name]
    rows = [[{"_delivered": day, **row} for row in rows] for day, rows in files]
    return feed_table(folder, of, name.removeprefix(f"{of.name}_"), fields, rows)


def _kept(snapshot: Path, table: str) -> tuple[Kept, ...]:
    found = []
    for path in sorted((snapshot / table).rglob("*.parquet")):
        told = dict(part.split("=", 1) for part in path.relative_to(snapshot).parts if "=" in part)
        month = told.get("month", "undated")
        rows = pq.read_metadata(path).num_rows
        found.append(Kept(path, told.get("feed"), None if month == "undated" else month, rows))
    return tuple(found)


def _changed(connection: duckdb.DuckDBPyConnection, last: _Linked, now: _Linked) -> None:
    """Make the tables of what went and came: all records of which a file that came or went says something."""
    for table in now.tables:
        if table.name not in last.world:
            continue
        then, since = list(last.world[table.name]), list(now.world[table.name])
        rows = [
            row
            for each, other in ((then, since), (since, then))
            for file in each
            if file not in other
            for row in file[1]
        ]
        keys = {tuple(row.get(column) for column in table.table.primary_key) for row in rows}
        columns = [f'"{field.name}"' for field in table.parts.fields]
        for side, of in (("before", last), ("after", now)):
            copied = now.folder / f"{table.name}_{side}.parquet"
            of.connection.execute(f"COPY \"{table.name}\" TO '{copied}' (FORMAT parquet)")
            reached = " OR ".join(_is(table, key) for key in keys) or "FALSE"
            what = f"SELECT {', '.join(columns)}, '{side}' AS _side FROM read_parquet('{copied}') WHERE {reached}"
            target = f'"_changed_{table.name}"'
            connection.execute(
                f"CREATE TEMP TABLE {target} AS {what}" if side == "before" else f"INSERT INTO {target} {what}"
            )


def _is(table: FeedTable, key: tuple[Any, ...]) -> str:
    types = {field.name: field.type for field in table.parts.fields}
    told = []
    for column, value in zip(table.table.primary_key, key, strict=True):
        shown = "NULL" if value is None else f"'{token(value)}'" if types[column] == "UUID" else str(value)
        told.append(f'"{column}" IS NOT DISTINCT FROM {shown}')
    return f"({' AND '.join(told)})"
