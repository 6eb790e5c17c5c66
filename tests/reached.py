"""Small worlds before and after a change, the parts that are made of their rows, and the parts carried from one to the other.

The referee is a run over the extracts: `made` decides about every row by what counts now. `night` has the part of the night
before instead, and looks into the extract only where `reach` says so.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl

from linkage import nhs_number
from linkage.bundle import Field, Part, TableParts, digest
from linkage.config import Quality
from linkage.contract import Feed, Table, parse
from linkage.increments.absent import absent, load, save
from linkage.increments.carried import Tokens, carry, holding
from linkage.increments.compare import Files
from linkage.increments.concerned import Concerned
from linkage.increments.judged import Judged
from linkage.increments.mend import Mended, Read
from linkage.increments.plans import FeedPlan, TablePlan
from linkage.increments.reach import Between, Lacked
from linkage.increments.taken import Memory, Taken, TakenFile
from linkage.increments.twice import Twice, of_file
from linkage.jobs import Job, Making, lacking
from linkage.layout import Layout
from linkage.optouts.policy import MAY_BE_USED, Policy, Standing
from linkage.optouts.practices import LEAVERS, Sharing
from linkage.parts import REMOVED, Work, decide, release
from linkage.pseudonymise import Pseudonymiser
from linkage.pseudonymise.minimise import Minimiser, outputs
from linkage.site import HIDDEN, INACTIVE
from linkage.sources import quality
from linkage.sources.clean import clean
from linkage.sources.inspect import Extract
from linkage.sources.quality import FileQuality
from linkage.sources.resolve import people
from linkage.sources.roster import Roster
from linkage.sources.roster_tables import ENTRIES, SUPERSEDED, kept
from linkage.sources.seen import Seen
from linkage.sources.select import Selection

# Four of England, one of Scotland, one of the test range.
ANN, BOB, CAT, DAN, SCOT, TEST = 4010232145, 6123456784, 4010232137, 4000000632, 101201230, 9000000009
SELECTION = Selection(earliest=date(2026, 1, 1))
DELIVERED = datetime(2026, 11, 20, tzinfo=UTC)
STAMP = datetime(2026, 11, 20)
GP = """
name = "gp"
setting = "primary_care"
formats = ["%Y-%m-%d"]
[tables.patient]
files = "patient_*.csv"
primary_key = "patient"
roster = true
[tables.patient.columns]
patient = { source = "a", role = "person_key", namespace = "gp.patient", required = true }
nhs_number = { source = "b", role = "person" }
practice = { source = "c", role = "practice" }
dummy = { source = "d", role = "flag", removes = "test_patient" }
deleted = { source = "e", role = "flag", removes = "deleted" }
[tables.visit]
files = "visit_*.csv"
primary_key = "visit"
event = { kind = "contact", record = "visit", start = "on" }
[tables.visit.columns]
visit = { source = "a", role = "record", namespace = "gp.visit", required = true }
patient = { source = "b", role = "person_key", namespace = "gp.patient" }
carer = { source = "c", role = "person_key", namespace = "gp.patient", other = true }
practice = { source = "d", role = "practice" }
on = { source = "e", role = "date" }
secret = { source = "f", role = "flag", removes = "sensitive" }
deleted = { source = "g", role = "flag", removes = "deleted" }
[tables.letter]
files = "letter_*.csv"
primary_key = "letter"
month = "on"
[tables.letter.columns]
letter = { source = "a", role = "record", namespace = "gp.letter", required = true }
patient = { source = "b", role = "person_key", namespace = "gp.patient" }
on = { source = "e", role = "date" }
[tables.call]
files = "call_*.csv"
primary_key = "call"
month = "on"
[tables.call.columns]
call = { source = "a", role = "record", namespace = "gp.call", required = true }
nhs_number = { source = "b", role = "person" }
practice = { source = "d", role = "practice" }
on = { source = "e", role = "date" }
"""
ACUTE = """
name = "acute"
setting = "acute"
formats = ["%Y-%m-%d"]
[tables.stay]
files = "stay_*.csv"
primary_key = "stay"
event = { kind = "spell", record = "stay", start = "on" }
[tables.stay.columns]
stay = { source = "a", role = "record", namespace = "acute.stay", required = true }
nhs_number = { source = "b", role = "person" }
mother = { source = "c", role = "person", other = true }
midwife = { source = "d", role = "person_key", namespace = "gp.patient", other = true }
on = { source = "e", role = "date" }
secret = { source = "f", role = "flag", removes = "sensitive" }
deleted = { source = "g", role = "flag", removes = "deleted" }
code = { source = "h", role = "code" }
"""
KEEPS = """
name = "keeps"
setting = "urgent"
unlinked = "keep"
formats = ["%Y-%m-%d"]
[tables.ride]
files = "ride_*.csv"
primary_key = "ride"
month = "on"
[tables.ride.columns]
ride = { source = "a", role = "record", namespace = "keeps.ride", required = true }
nhs_number = { source = "b", role = "person" }
on = { source = "e", role = "date" }
[tables.bed]
files = "bed_*.csv"
primary_key = "bed"
event = { kind = "spell", record = "bed", start = "on" }
[tables.bed.columns]
bed = { source = "a", role = "record", namespace = "keeps.bed", required = true }
ward = { source = "c", role = "organisation" }
patient = { source = "b", role = "person_key", namespace = "gp.patient", within = "ward" }
on = { source = "e", role = "date" }
"""
FEEDS = {text: parse(text, "a test") for text in (GP, ACUTE, KEEPS)}
TABLES: dict[str, tuple[Feed, Table]] = {
    f"{feed.name} {name}": (feed, table) for feed in FEEDS.values() for name, table in feed.tables.items()
}
PSEUDONYMISER = Pseudonymiser.from_root(bytes(range(32)), "ics:test")


@dataclass(frozen=True)
class Entry:
    """What the roster says of one key."""

    number: int | None
    reason: str | None = None
    born: date | None = None
    practice: str | None = None
    removes: str | None = None


@dataclass(frozen=True)
class World:
    """What rows are decided by: keys, replaced numbers, verdicts, practices."""

    entries: Mapping[str, Entry] = field(default_factory=dict)
    replaced: frozenset[tuple[int, int]] = frozenset()
    verdicts: Mapping[int, int] = field(default_factory=dict)
    otherwise: int = MAY_BE_USED
    sharing: Sharing | None = None
    leavers: Mapping[int, date | None] = field(default_factory=dict)
    restricted: str = ""

    def judged(self) -> Judged:
        """The same as the program has it."""
        entries = [
            ("gp.patient", key, e.number, e.reason, e.born, e.practice, e.removes, False, STAMP)
            for key, e in sorted(self.entries.items())
        ]
        replaced = [(old, new, STAMP) for old, new in sorted(self.replaced)]
        roster = Roster.empty()
        known = Roster(
            kept(pl.DataFrame(entries, schema=ENTRIES, orient="row"), ENTRIES),
            roster.type1,
            pl.DataFrame(replaced, schema=SUPERSEDED, orient="row"),
            roster.flags,
            roster.searched,
            roster.claims,
            roster.registrations,
        )
        numbers = np.array(sorted(self.verdicts), dtype=np.int64)
        verdicts = np.array([self.verdicts[int(each)] for each in numbers], dtype=np.uint8)
        standing = Standing(numbers, verdicts, self.otherwise, self.otherwise)
        sharing = self.sharing
        if sharing is not None:
            leavers = pl.DataFrame(list(self.leavers.items()), schema=LEAVERS, orient="row")
            sharing = Sharing(sharing.agreed, sharing.listed, sharing.periods, leavers)
        policy = Policy(dict.fromkeys(("gp", "acute", "keeps"), standing), sharing)
        return Judged(people(known, allow_test=False), policy, self.restricted)


@dataclass(frozen=True)
class State:
    """One part, and what is kept beside it."""

    path: Path
    part: Part
    absent: pl.DataFrame
    cells: dict[str, Any]
    quality: FileQuality
    again: bool = True

    @property
    def rows(self) -> pl.DataFrame:
        """What the part holds."""
        return pl.read_parquet(self.path)


def work(judged: Judged) -> Work:
    return Work(judged.who, judged.policy, PSEUDONYMISER, Minimiser("month", None), Quality())


def text(rows: list[dict[str, Any]], table: Table) -> pl.DataFrame:
    """Rows as an extract has them."""
    columns = {name: pl.Series([row.get(name) for row in rows], dtype=pl.String) for name in table.columns}
    broken = pl.Series([bool(row.get("broken")) for row in rows], dtype=pl.Boolean)
    return pl.DataFrame({**columns, "_malformed": broken}).with_row_index("_row")


def _cleaned(name: str, rows: list[dict[str, Any]]) -> pl.LazyFrame:
    feed, table = TABLES[name]
    return clean(text(rows, table).lazy(), feed, table, {}).with_columns(
        pl.lit(value=False).alias(HIDDEN), pl.lit(value=False).alias(INACTIVE)
    )


def made(folder: Path, name: str, rows: list[dict[str, Any]], judged: Judged) -> State:
    """The part that a run over the extract makes."""
    feed, table = TABLES[name]
    cleaned = _cleaned(name, rows)
    unwanted = SELECTION.unwanted("", table)
    decided = decide(cleaned, feed, table, work(judged)).with_columns(pl.coalesce(REMOVED, unwanted).alias(REMOVED))
    released = release(decided, feed, table, work(judged)).with_columns(
        pl.lit(STAMP, pl.Datetime("us")).alias("_delivered"), pl.lit(0, pl.Int32).alias("_file")
    )
    lacks = absent(decided, feed, table, judged.policy, REMOVED)
    cells = decided.select(quality.counts(table, DELIVERED, 30))
    reasons = decided.group_by(REMOVED).len().filter(pl.col(REMOVED).is_not_null())
    left, lacking, counts, removed = pl.collect_all([released, lacks, cells, reasons])
    path = folder / "made.parquet"
    left.write_parquet(path)
    part = Part(
        path="made.parquet", place=0, source="s", source_digest="", delivered=DELIVERED, read=len(rows),
        kept=left.height, removed=dict(removed.iter_rows()), digest=digest(path),
    )  # fmt: skip
    cells = counts.row(0, named=True)
    return State(path, part, lacking, cells, quality.tally(feed.name, "t", table, _extract(table, len(rows)), cells))


def _extract(table: Table, rows: int) -> Extract:
    header = tuple(column.source[0] for column in table.columns.values())
    return Extract(Path("s"), header, DELIVERED, rows, (), 0, "", Layout())


def night(state: State, name: str, rows: list[dict[str, Any]], between: Between) -> State:
    """The part after a change, made of the one before where that can be."""
    feed, table = TABLES[name]
    reach = between.reach(feed, table, lacked(state))
    subject = [*table.person_keys, *table.subjects][:1]
    fields = tuple(
        Field(name=each.field.name, type=each.field.type, role=each.field.role)
        for each in outputs(feed, table, Minimiser("month", None), PSEUDONYMISER)
    )
    parts = TableParts(feed=feed.name, table="t", contract_digest="", fields=fields, parts=(state.part,))
    tokens = Tokens.of(reach, parts, PSEUDONYMISER, subject[0] if subject else None)
    held, found = holding([state.path], tokens), reach.absent(state.absent)
    if reach.everything is not None:
        return made(state.path.parent, name, rows, between.after)
    if found.again or held.again:
        return mended(state, name, rows, between)
    part, lacks = state.part, found.absent
    if held.changed:
        carried = carry(state.path, state.path.with_name("carried.parquet"), part, tokens, [pl.col("_row")])
        part, lacks = carried.part, pl.concat([lacks, carried.absent])
        state = replace(state, path=state.path.with_name("carried.parquet"))
    return replace(state, part=found.recounted(part), absent=lacks, again=False)


def lacked(state: State) -> Lacked:
    """Of which keys the part lacks rows."""

    def among(column: str, keys: pl.DataFrame) -> pl.Series:
        return state.absent.filter(pl.col("column") == column).join(keys, on="key", how="semi")["key"]

    return among


def mended(state: State, name: str, rows: list[dict[str, Any]], between: Between) -> State:
    """The part of which those rows alone are made again that the change concerns."""
    feed, table = TABLES[name]
    folder = Path(tempfile.mkdtemp(dir=state.path.parent))
    concerned = Concerned.of(between.reach(feed, table, lacked(state)), ())
    known = TakenFile.of(
        replace(_extract(table, len(rows)), seen=Seen(0, 0, 0, 0, 0)), Path(), state.part, state.quality
    )
    plan = TablePlan(
        Files(()), (0,), {0: known}, mended={0: ""}, concerned=concerned, before=concerned.known(between.before, table)
    )
    delivery = SimpleNamespace(
        feed=feed, extracts={table_name(name): (_extract(table, len(rows)),)}, selection=SELECTION,
        memory=Memory(Taken(versions=""), folder / "held", bytes),
    )  # fmt: skip
    job = Job(
        delivery, folder / "bundle", folder / "site", work(between.after), FeedPlan({table_name(name): plan}), bytes
    )
    made = outputs(feed, table, Minimiser("month", None), PSEUDONYMISER)
    making = Making.of(job, table_name(name), made)
    for each in ("held/bundle", "held/site"):
        (folder / each).mkdir(parents=True)
    shutil.copyfile(state.path, folder / "held" / "bundle" / state.part.path)
    empty = making.withdrawals.of_rows(making.decided(_cleaned(name, rows[:0]), between.before, ()), REMOVED, 0)
    empty.sink_parquet(making.withdrawals.beside(folder / "held" / "site", state.part.path))
    save(state.absent, lacking(folder / "held" / "site", state.part.path), bytes)
    cleaned = _cleaned(name, rows)
    among = concerned.among(cleaned, table, allow_test=False)
    numbers = pl.concat([pl.DataFrame(schema={"_row": pl.UInt32}), *(each.select("_row").collect() for each in among)])
    some = (
        cleaned.filter(pl.col("_row").is_in(numbers["_row"].implode())).with_columns(of_file(0).alias("_row")).collect()
    )
    read = Read(0, numbers["_row"], some)
    twice = Twice.of(some, making, concerned.known(between.before, table))
    done = Mended(making, read, twice).done()
    lacks = load(lacking(folder / "site", state.part.path), bytes)
    return State(folder / "bundle" / state.part.path, done.part, lacks, _moved(state.cells, twice), done.quality)


def table_name(name: str) -> str:
    """Without its feed."""
    return name.split(" ")[1]


def _moved(cells: dict[str, Any], twice: Twice) -> dict[str, Any]:
    if twice.was.cells.is_empty():
        return cells
    was, now = (each.cells.row(0, named=True) for each in (twice.was, twice.now))
    # The first row with something that cannot be read is the same, whoever it is about.
    return {name: count if name.endswith("?first") else count - was[name] + now[name] for name, count in cells.items()}


def _told(cells: Mapping[str, Any]) -> dict[str, Any]:
    """The counts as they are told of: of the numbers how many lie in each range, not in each stretch of one."""
    below = [cells[name] for name in cells if name.startswith("#below?")]
    rest = {name: count for name, count in cells.items() if not name.startswith("#below?")}
    return {**rest, "ranges": nhs_number.by_range(below) if below else {}}


def compare(found: State, expected: State) -> None:
    """The same rows in the same order, and the same counts of everything."""
    assert found.rows.rows() == expected.rows.rows()
    assert found.part.kept == found.rows.height == expected.part.kept
    assert {why: rows for why, rows in found.part.removed.items() if rows} == expected.part.removed
    assert _told(found.cells) == _told(expected.cells)
    assert found.quality == expected.quality
    assert found.part.read == found.part.kept + sum(found.part.removed.values())
