"""Linking twice, drawn by hand: from everything, and from what the last time left; the files of both are compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from bundles import Row, feed, feed_table

from linkage.bundle import digest
from linkage.link import Before, FeedTable, Kept, Made, Steps, connect, count_months
from linkage.store.export import export, export_anew

# A file is the day on which it was delivered and its rows; one that is no more is None, and keeps its place.
Files = Sequence[tuple[int, Sequence[Row]] | None]
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
event = { kind = "call", record = "call", start = "at", codes = [{ system = "snomed", column = "code" }] }
[tables.call.columns]
call = { source = "a", role = "record", namespace = "calls.call", required = true }
at = { source = "b", role = "date", type = "datetime" }
sex = { source = "c", role = "category", attribute = "sex" }
code = { source = "d", role = "code" }
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
    "calls_call": (CALLS, {"token": "UUID", "call": "UUID", "at": "TIMESTAMP", "sex": "VARCHAR", "code": "VARCHAR"}),
    "gp_patient": (GP, _PATIENT),
    "social_patient": (SOCIAL, _PATIENT),
    "homes_patient": (HOMES, _PATIENT),
}


def both(folder: Path, before: World, after: World) -> tuple[dict[str, Any], dict[str, Any], set[str]]:
    """The files of a link of `after` from everything, those of one on top of `before`, and which of those were linked."""
    last = Linked(folder / "before", before)
    full = Linked(folder / "full", after)
    increment = Linked(folder / "increment", after, last.before())
    return full.files(), increment.files(), increment.linked


def same(folder: Path, before: World, after: World) -> set[str]:
    """Check that an increment publishes what a full link does, and return the files that it did not make."""
    full, increment, linked = both(folder, before, after)
    assert increment == full
    return linked


class Linked:
    """A bundle and its snapshot, made as the hub makes them."""

    def __init__(self, folder: Path, world: World, before: Before | None = None) -> None:
        folder.mkdir()
        self.bundle, self.snapshot, self.linked = folder / "bundle", folder / "snapshot", set[str]()
        self.tables = [_table(self.bundle, name, world[name]) for name in world]
        connection = connect(Path(":memory:"), folder / "spill", threads=1)
        write = partial(export_anew, connection, self.snapshot, metadata={})
        self.steps = Steps(connection, self.bundle, self.tables, before, write)
        self.steps.settle(int)
        made = self.steps.link()
        assert count_months(connection, made["event"]) == count_months(connection, Made("event", 0))
        for table, each in made.items():
            self._publish(table, each)
        connection.close()

    def before(self) -> Before:
        files = {table: _kept(self.snapshot, table) for table in [*MADE, *self.steps.settled]}
        return Before(
            folder=self.bundle,
            tables={table.name: table.parts for table in self.tables},
            files=files,
            digests={file.path: digest(file.path) for each in files.values() for file in each},
            removed={name: settled.removed for name, settled in self.steps.settled.items()},
        )

    def _publish(self, table: str, made: Made) -> None:
        connection = self.steps.connection
        assert connection.execute(f'SELECT count(*) FROM "{table}"').fetchone() == (made.rows,)
        if made.relation is not None:
            month = MADE[table] if table in MADE else self.steps.settled[table].month
            rows = connection.execute(f"SELECT count(*) FROM {made.relation}").fetchone()
            if rows != (0,) or not made.linked:
                export(connection, self.snapshot, table, month, {}, made.relation)
        for file in made.linked:
            place = file.path.relative_to(next(each for each in file.path.parents if each.name == "snapshot"))
            (self.snapshot / place).parent.mkdir(parents=True, exist_ok=True)
            (self.snapshot / place).hardlink_to(file.path)
            self.linked.add(place.as_posix())
        assert sum(file.rows for file in _kept(self.snapshot, table)) == made.rows

    def files(self) -> dict[str, Any]:
        return {
            path.relative_to(self.snapshot).as_posix(): pq.ParquetFile(path).read().to_pylist()
            for path in sorted(self.snapshot.rglob("*.parquet"))
        }


def _table(folder: Path, name: str, files: Files) -> FeedTable:
    of, fields = TABLES[name]
    rows = [[{"_delivered": file[0], **row} for row in file[1]] if file else [] for file in files]
    made = feed_table(folder, of, name.removeprefix(f"{of.name}_"), fields, rows)
    there = tuple(part for part, file in zip(made.parts.parts, files, strict=True) if file)
    return replace(made, parts=made.parts.model_copy(update={"parts": there}))


def _kept(snapshot: Path, table: str) -> tuple[Kept, ...]:
    found = []
    for path in sorted((snapshot / table).rglob("*.parquet")):
        told = dict(part.split("=", 1) for part in path.relative_to(snapshot).parts if "=" in part)
        month = told.get("month", "undated")
        rows = pq.read_metadata(path).num_rows
        found.append(Kept(path, told.get("feed"), None if month == "undated" else month, rows))
    return tuple(found)
