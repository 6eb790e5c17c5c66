"""Settling on top of the last run: the same partitions, row by row and in the same order, as settling everything."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest
from bundles import Row, feed, feed_table, with_submissions
from hypothesis import given, settings
from hypothesis import strategies as st

from linkage.bundle import TableParts, digest
from linkage.contract import Feed
from linkage.errors import IntegrityError
from linkage.link import (
    Before,
    Change,
    FeedTable,
    Kept,
    Made,
    Settled,
    connect,
    keep_attributes,
    reached,
    resettle,
    settle,
)
from linkage.link.increment import DELIVERY, changed_table
from linkage.link.settle import attributes_table
from linkage.link.standing import Fall, find_falls
from linkage.store.export import export, export_anew

# What a source delivered: rows by file; a file that is not there any more is None and keeps its place.
Files = Sequence[Sequence[Row] | None]

CONTRACT = """
name = "f"
setting = "acute"
[tables.t]
files = "*"
primary_key = ["key", "part"]
{more}
[tables.t.columns]
key = {{ source = "a", role = "record", namespace = "f.key" }}
part = {{ source = "b", role = "number", type = "integer" }}
day = {{ source = "c", role = "date" }}
said = {{ source = "d", role = "category" }}
version = {{ source = "e", role = "number", type = "integer" }}
provider = {{ source = "g", role = "organisation" }}
opens = {{ source = "h", role = "date" }}
closes = {{ source = "i", role = "date" }}
sex = {{ source = "j", role = "category", attribute = "sex" }}
[tables.log]
files = "*"
kind = "deletions"
[tables.log.columns]
key = {{ source = "a", role = "record", namespace = "f.key", required = true }}
"""
FIELDS = {
    "token": "UUID",
    "key": "UUID",
    "part": "BIGINT",
    "day": "DATE",
    "said": "VARCHAR",
    "version": "BIGINT",
    "provider": "VARCHAR",
    "opens": "DATE",
    "closes": "DATE",
    "sex": "VARCHAR",
}
EVENT = 'event = { kind = "x", record = "key", start = "day" }\n'
FEEDS = {
    each: feed(CONTRACT.format(more=more))
    for each, more in {
        "by month": EVENT + 'month = "day"',
        "in one file": EVENT,
        "a register": "",
        "by version": EVENT + 'month = "day"\nsubmission = { latest = "version" }',
        "by submission": EVENT + 'month = "day"\nsubmission = { replaces = "provider", latest = "version" }',
        "by period": EVENT
        + 'month = "day"\nsubmission = { replaces = "provider", covers = { start = "opens", end = "closes" } }',
    }.items()
}
MAY, LATE_MAY, JUNE, LAST_YEAR = date(2026, 5, 1), date(2026, 5, 31), date(2026, 6, 1), date(2025, 12, 31)
DAYS = [None, MAY, LATE_MAY, JUNE, LAST_YEAR]


@dataclass(frozen=True)
class World:
    """What is delivered of the table and of its log."""

    files: Files
    log: Files = ()


@dataclass
class Run:
    """One run's bundle and snapshot."""

    folder: Path
    of: Feed
    world: World
    tables: list[FeedTable] = field(default_factory=list)
    settled: Settled | None = None

    def __post_init__(self) -> None:
        self.bundle.mkdir(parents=True)
        self.tables = [
            self._table("t", FIELDS, self.world.files),
            self._table("log", {"token": "UUID", "key": "UUID"}, self.world.log),
        ]
        self.connection = connect(Path(":memory:"), self.folder / "spill", threads=2)

    @property
    def bundle(self) -> Path:
        return self.folder / "bundle"

    @property
    def snapshot(self) -> Path:
        return self.folder / "snapshot"

    def _table(self, table: str, fields: Mapping[str, str], files: Files) -> FeedTable:
        made = feed_table(self.bundle, self.of, table, fields, [rows or () for rows in files])
        there = tuple(part for part, rows in zip(made.parts.parts, files, strict=True) if rows is not None)
        parts = made.parts.model_copy(update={"parts": there})
        rule = self.of.tables[table].submission
        if rule and rule.replaces and any(rows is not None for rows in files):
            columns = [*rule.columns]
            parts = with_submissions(self.bundle, parts, columns, [rows for rows in files if rows is not None])
        return replace(made, parts=parts)

    def falls(self, prefix: str = "", of: Run | None = None) -> tuple[Fall, ...]:
        run = of or self
        return find_falls(self.connection, run.bundle, run.tables, prefix).get("f_t", ())

    def whole(self) -> Run:
        """Settle everything."""
        self.settled = settle(self.connection, self.bundle, self.tables[0].parts, self.tables[0].table, self.falls())
        self._write(self.settled.made)
        return self

    def on_top_of(self, last: Run) -> Run:
        """Settle what changed since another run."""
        self.settled = resettle(self.change(last))
        self._write(self.settled.made)
        return self

    def change(self, last: Run) -> Change:
        write = partial(export_anew, self.connection, self.snapshot, metadata={})
        falls = self.falls(), self.falls("_before", last)
        return Change(self.connection, self.bundle, self.tables[0], last.before(), write, *falls)

    def before(self) -> Before:
        files = [_kept(path) for path in sorted(self.snapshot.rglob("*.parquet"))]
        assert self.settled
        return Before(
            folder=self.bundle,
            tables={table.name: table.parts for table in self.tables},
            files={"f_t": tuple(files)},
            digests={file.path: digest(file.path) for file in files},
            removed={"f_t": self.settled.removed},
        )

    def _write(self, made: Made) -> None:
        """As the hub does."""
        assert self.settled
        if made.relation and not (made.linked and not _count(self.connection, made.relation)):
            export(self.connection, self.snapshot, "f_t", self.settled.month, {}, made.relation)
        for file in made.linked:
            target = self.snapshot / file.path.relative_to(file.path.parents[2 if self.settled.month else 1])
            target.parent.mkdir(parents=True, exist_ok=True)
            assert not target.exists()
            target.hardlink_to(file.path)

    def partitions(self) -> dict[str, list[dict[str, Any]]]:
        return {
            path.relative_to(self.snapshot).as_posix(): pq.ParquetFile(path).read().to_pylist()
            for path in sorted(self.snapshot.rglob("*.parquet"))
        }

    def rows(self, relation: str) -> list[tuple[Any, ...]]:
        return self.connection.execute(f"SELECT * FROM {relation}").fetchall()


def _kept(path: Path) -> Kept:
    month = path.parent.name.removeprefix("month=")
    return Kept(path, None, month if month[:1].isdigit() else None, pq.read_metadata(path).num_rows)


def _count(connection: duckdb.DuckDBPyConnection, relation: str) -> int:
    return len(connection.execute(f"SELECT 1 FROM {relation}").fetchall())


def both(folder: Path, of: Feed, before: World, after: World) -> tuple[Run, Run, Run]:
    """The run before, the one after from everything, and the same on top of the run before; the last two agree."""
    last = Run(folder / "last", of, before).whole()
    full = Run(folder / "full", of, after).whole()
    added = Run(folder / "added", of, after).on_top_of(last)
    assert full.settled
    assert added.settled
    assert added.settled.why is None
    assert added.partitions() == full.partitions()
    assert (added.settled.kept, added.settled.removed) == (full.settled.kept, full.settled.removed)
    assert (added.settled.month, added.settled.made.rows) == (full.settled.month, full.settled.made.rows)
    _same_when_read(full, added)
    _changes_add_up(last, full, added)
    return last, full, added


def _same_when_read(full: Run, added: Run) -> None:
    described = [run.connection.execute("DESCRIBE f_t").fetchall() for run in (full, added)]
    assert described[0] == described[1]
    assert sorted(full.rows("f_t"), key=repr) == sorted(added.rows("f_t"), key=repr)


def _changes_add_up(last: Run, full: Run, added: Run) -> None:
    """What was published, without what went and with what came, is what is published."""
    changed = added.rows(changed_table("f_t"))
    left = sorted(repr(row) for row in last.rows("f_t"))
    for row in changed:
        if row[-1] == "before":
            left.remove(repr(_published(row)))
    left += [repr(_published(row)) for row in changed if row[-1] == "after"]
    assert sorted(left) == sorted(repr(row) for row in full.rows("f_t"))


def _published(changed: tuple[Any, ...]) -> tuple[Any, ...]:
    """A row that came or went, without its delivery and its side."""
    return changed[: -len(DELIVERY) - 1]


def row(key: int | None, said: str = "x", person: int | None = 1, day: date | None = MAY, **more: Any) -> Row:
    return {"token": person, "key": key, "part": 1, "day": day, "said": said, **more}


ROWS = st.lists(
    st.builds(
        row,
        key=st.one_of(st.none(), st.integers(1, 4)),
        part=st.sampled_from([1, 1, 2, None]),
        said=st.sampled_from("ab"),
        person=st.one_of(st.none(), st.integers(1, 3)),
        day=st.sampled_from(DAYS),
        version=st.sampled_from([None, 1, 2]),
        provider=st.sampled_from(["p", "q", None]),
        opens=st.sampled_from([None, LAST_YEAR, MAY]),
        closes=st.sampled_from([None, MAY, JUNE]),
        sex=st.sampled_from(["1", "2", None]),
        _deleted=st.sampled_from([False, False, False, True]),
    ),
    max_size=5,
)
LOGS = st.lists(
    st.builds(lambda key, deleted: {"token": None, "key": key, "_deleted": deleted}, st.integers(1, 4), st.booleans()),
    max_size=2,
)


@st.composite
def histories(draw: st.DrawFn) -> tuple[World, World]:
    """Some files, and the same later: some as they were, some made again otherwise or gone, and some new ones."""
    worlds = []
    for rows in (ROWS, LOGS):
        then: list[Sequence[Row] | None] = draw(st.lists(rows, max_size=3))
        now = [draw(st.sampled_from([each, each, each, draw(rows), _fewer(draw, each), None])) for each in then]
        worlds.append((then, now + draw(st.lists(rows, max_size=2))))
    (files, later), (log, later_log) = worlds
    return World(files, log), World(later, later_log)


def _fewer(draw: st.DrawFn, rows: Sequence[Row] | None) -> Sequence[Row]:
    """A file of which some rows are gone at the site: the others keep their numbers."""
    return [each for each in rows or () if draw(st.booleans())]


@settings(max_examples=50, deadline=None)
@given(st.sampled_from(sorted(FEEDS)), histories())
def test_what_changed_gives_what_everything_gives(name: str, history: tuple[World, World]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        both(Path(folder), FEEDS[name], *history)


OLD = [row(1, day=MAY), row(2, day=JUNE), row(3, day=LAST_YEAR), row(4, day=None)]


def same_files(last: Run, added: Run) -> set[str]:
    """The partitions that are the very files of the last snapshot."""
    return {
        path.parent.name.removeprefix("month=")
        for path in added.snapshot.rglob("*.parquet")
        if (there := last.snapshot / path.relative_to(added.snapshot)).exists() and there.samefile(path)
    }


@dataclass(frozen=True)
class Case:
    after: World
    stay: str
    before: World = field(default_factory=lambda: World([OLD]))


CASES = {
    "nothing": Case(World([OLD]), "2025-12 2026-05 2026-06 undated"),
    "an empty file": Case(World([OLD, []]), "2025-12 2026-05 2026-06 undated"),
    "a new record": Case(World([OLD, [row(5, day=MAY)]]), "2025-12 2026-06 undated"),
    "a record of a new month": Case(World([OLD, [row(5, day=date(2026, 7, 1))]]), "2025-12 2026-05 2026-06 undated"),
    "the same again": Case(World([OLD, [row(1, day=MAY)]]), "2025-12 2026-05 2026-06 undated"),
    "a correction": Case(World([OLD, [row(2, "y", day=JUNE)]]), "2025-12 2026-05 undated"),
    "a record that moves": Case(World([OLD, [row(2, day=MAY)]]), "2025-12 undated"),
    "a record without its date": Case(World([OLD, [row(2, day=None)]]), "2025-12 2026-05"),
    "a deletion": Case(World([OLD, [row(3, day=None, _deleted=True)]]), "2026-05 2026-06 undated"),
    "a deletion of what never was": Case(World([OLD, [row(9, _deleted=True)]]), "2025-12 2026-05 2026-06 undated"),
    "a line of the log": Case(
        World([OLD], [[{"token": None, "key": 2, "_deleted": True, "_delivered": 3}]]), "2025-12 2026-05 undated"
    ),
    "a file that is gone": Case(World([None, []]), ""),
    "a file of two that is gone": Case(
        World([OLD, None]), "2025-12 2026-06 undated", World([OLD, [row(1, "y", day=MAY)]])
    ),
    "a person without a key": Case(World([OLD, [row(None, day=JUNE)]]), "2025-12 2026-05 undated"),
    "one row of a file": Case(World([[*OLD[:3], row(4, "y", day=None)]]), "2025-12 2026-05 2026-06"),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_only_the_months_in_which_something_changed_are_written(tmp_path: Path, case: Case) -> None:
    last, _, added = both(tmp_path, FEEDS["by month"], case.before, case.after)
    assert same_files(last, added) == set(case.stay.split())


def test_a_later_submission_touches_what_it_replaces(tmp_path: Path) -> None:
    old = [row(1, day=MAY, provider="p", version=1), row(2, day=JUNE, provider="q", version=1)]
    new = [row(3, day=LAST_YEAR, provider="p", version=2)]
    last, _, added = both(tmp_path, FEEDS["by submission"], World([old]), World([old, new]))
    assert same_files(last, added) == {"2026-06"}
    assert sorted(added.partitions()) == [
        "f_t/month=2025-12/part-00000.parquet",
        "f_t/month=2026-06/part-00000.parquet",
    ]


@pytest.mark.parametrize("piece", [1, 3, 100])
def test_a_file_is_compared_piece_by_piece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piece: int) -> None:
    """Whatever row changed, went or came at its end, and whichever piece it is in."""
    monkeypatch.setattr(reached, "PIECE", piece)
    rows = [row(n, day=JUNE if n % 2 else MAY) for n in range(1, 8)]
    for place in (0, 3, 6):
        other = [*rows[:place], row(20 + place, "y"), *rows[place + 1 :]]
        last, _, added = both(tmp_path / f"{place}", FEEDS["by month"], World([rows, rows]), World([other, rows]))
        assert _keys(last) ^ _keys(added) == {20 + place}
        both(tmp_path / f"{place} less", FEEDS["by month"], World([other]), World([rows[:place]]))
        both(tmp_path / f"{place} more", FEEDS["by month"], World([rows[:place]]), World([other]))


def _keys(run: Run) -> set[int]:
    return {key.int >> 96 for _, key, *_ in run.rows("f_t")}


def test_a_table_that_empties_and_fills_has_its_one_empty_file_meanwhile(tmp_path: Path) -> None:
    last, _, added = both(tmp_path / "empties", FEEDS["by month"], World([OLD]), World([[]]))
    assert sorted(added.partitions()) == ["f_t/month=undated/part-00000.parquet"]
    last, _, added = both(tmp_path / "fills", FEEDS["by month"], World([[]]), World([OLD]))
    assert same_files(last, added) == set()
    last, _, added = both(tmp_path / "stays", FEEDS["by month"], World([[]]), World([[], []]))
    assert same_files(last, added) == {"undated"}


@pytest.mark.parametrize("tokens", [None, [1], [2, 3], []])
def test_the_order_of_delivery_is_kept_for_who_is_asked_about(tmp_path: Path, tokens: list[int] | None) -> None:
    old, new = [row(n, "x", person=n) for n in (1, 2, 3)], [row(1, "y", person=2), row(9, person=3)]
    last, full, added = both(tmp_path, FEEDS["a register"], World([old]), World([old, new]))
    asked = None
    if tokens is not None:
        asked = "temp.asked"
        added.connection.execute("CREATE TEMP TABLE asked (token UUID)")
        for number in tokens:
            added.connection.execute(
                "INSERT INTO asked SELECT token FROM f_t WHERE token IS NOT NULL GROUP BY token"
                f" HAVING ascii(CAST(token AS VARCHAR)[8]) = ascii('{number}')"
            )
    keep_attributes(added.change(last), asked)
    ours, theirs = (sorted(run.rows(f'temp."{attributes_table("f_t")}"'), key=repr) for run in (added, full))
    assert ours == [each for each in theirs if tokens is None or each[0].int >> 96 in tokens]
    assert len(theirs) == 4


def test_a_damaged_partition_is_not_built_on(tmp_path: Path) -> None:
    last = Run(tmp_path / "last", FEEDS["by month"], World([OLD])).whole()
    run = Run(tmp_path / "now", FEEDS["by month"], World([OLD, [row(5, day=MAY)]]))
    change = run.change(last)
    path = last.snapshot / "f_t/month=2026-05/part-00000.parquet"
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 1
    path.write_bytes(content)
    with pytest.raises(IntegrityError, match="was changed") as caught:
        resettle(change)
    assert "--full" in str(caught.value.hint)


def test_a_snapshot_that_does_not_belong_to_the_bundle_is_not_built_on(tmp_path: Path) -> None:
    last = Run(tmp_path / "last", FEEDS["by month"], World([OLD])).whole()
    other = Run(tmp_path / "other", FEEDS["by month"], World([[row(8, day=MAY)]])).whole()
    shutil.copy(*(run.snapshot / "f_t/month=2026-05/part-00000.parquet" for run in (other, last)))
    run = Run(tmp_path / "now", FEEDS["by month"], World([OLD, [row(1, "y", day=MAY)]]))
    with pytest.raises(IntegrityError, match="does not hold what its bundle says"):
        run.on_top_of(last)


@dataclass(frozen=True)
class Doubt:
    """What keeps a table from going on."""

    why: str
    of: Any


def _no_file(before: Before) -> Before:
    return replace(before, files={})


def _other_contract(before: Before) -> Before:
    parts: TableParts = before.tables["f_t"].model_copy(update={"contract_digest": "another"})
    return replace(before, tables={**before.tables, "f_t": parts})


def _other_column(before: Before) -> Before:
    parts = before.tables["f_t"]
    return replace(before, tables={**before.tables, "f_t": parts.model_copy(update={"fields": parts.fields[:-1]})})


def _damaged_part(before: Before) -> Before:
    path = before.folder / before.tables["f_t"].parts[0].path
    path.write_bytes(path.read_bytes() + b"x")
    return before


@pytest.mark.parametrize(
    ("why", "doubt"),
    [
        ("did not have it", _no_file),
        ("its contract", _other_contract),
        ("its columns", _other_column),
        ("changed or is missing", _damaged_part),
    ],
)
def test_where_anything_is_in_doubt_everything_is_settled(tmp_path: Path, why: str, doubt: Any) -> None:
    after = World([OLD[:2], [row(5, day=MAY)]])
    last = Run(tmp_path / "last", FEEDS["by month"], World([OLD])).whole()
    full = Run(tmp_path / "full", FEEDS["by month"], after).whole()
    run = Run(tmp_path / "now", FEEDS["by month"], after)
    change = run.change(last)
    run.settled = resettle(replace(change, before=doubt(change.before)))
    assert why in str(run.settled.why)
    assert run.rows("f_t") == full.rows("f_t")
    assert run.settled.made.linked == ()


def test_where_most_changed_everything_is_settled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[Settled.__module__.replace("settle", "resettle")], "FEW", 2)
    last = Run(tmp_path / "last", FEEDS["by month"], World([OLD])).whole()
    run = Run(tmp_path / "now", FEEDS["by month"], World([OLD, [{**each, "said": "y"} for each in OLD]]))
    run.on_top_of(last)
    assert "most of its records" in str(run.settled and run.settled.why)
