"""Taking people out of a bundle by token, and bringing replaced tokens on, against the same in plain Python."""

from __future__ import annotations

import tempfile
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import pytest
from bundles import feed, parts, token
from hypothesis import given
from hypothesis import strategies as st

from linkage.bundle import BundleManifest, Field, TableParts, balance, digest
from linkage.contract import Role
from linkage.link.withdraw import MOVED, PRACTICES, WITHDRAWN, Lists, people_columns, withdraw

CONTRACT = """
name = "f"
setting = "primary_care"
[tables.visit]
files = "*"
primary_key = ["provider", "visit"]
submission = { latest = "effective" }
[tables.visit.columns]
nhs_number = { source = "a", role = "person" }
mother = { source = "b", role = "person", other = true }
provider = { source = "c", role = "organisation" }
visit = { source = "d", role = "record", namespace = "f.visit" }
effective = { source = "e", role = "date", type = "datetime" }
practice = { source = "f", role = "practice" }
[tables.log]
files = "*"
kind = "deletions"
[tables.log.columns]
visit = { source = "a", role = "record", namespace = "f.visit", required = true }
"""
FIELDS = {
    "token": "UUID",
    "mother_token": "UUID",
    "provider": "VARCHAR",
    "visit": "UUID",
    "effective": "TIMESTAMP",
    "practice": "VARCHAR",
}
FEED = feed(CONTRACT)


class Visit(NamedTuple):
    """One row of the bundle; people and records by number."""

    token: int | None
    mother_token: int | None
    provider: str | None
    visit: int | None
    effective: datetime | None
    practice: str | None
    deleted: bool = False


class Said(NamedTuple):
    """What the lists say."""

    out: frozenset[int]
    practices: frozenset[str]
    moved: dict[int, int]


def _manifest(folder: Path, files: list[list[Visit]]) -> BundleManifest:
    made = parts(
        folder, "f", "visit", FIELDS, [[{**row._asdict(), "_deleted": row.deleted} for row in rows] for rows in files]
    )
    fields = tuple(
        Field(name=each.name, type=each.type, role=Role.PERSON) if each.name == "mother_token" else each
        for each in made.fields
    )
    return BundleManifest(domain="d", key_id="k", tables=(made.model_copy(update={"fields": fields}),))


def _lists(said: Said, table: str = "f_visit") -> Lists:
    people = [token(each).bytes for each in sorted(said.out)]
    pairs = sorted(said.moved.items())
    return Lists(
        pl.DataFrame({"table": [table] * len(people), "token": people}, schema=WITHDRAWN),
        pl.DataFrame({"table": [table] * len(said.practices), "practice": sorted(said.practices)}, schema=PRACTICES),
        pl.DataFrame(
            {"token": [token(old).bytes for old, _ in pairs], "current": [token(new).bytes for _, new in pairs]},
            schema=MOVED,
        ),
    )


def _referee(files: list[list[Visit]], said: Said) -> tuple[list[Visit], Counter[str]]:
    """Row by row: who leaves; then which earlier row of a left record goes with it; then who is somebody else now."""

    def now(person: int | None) -> int | None:
        return said.moved.get(person, person) if person is not None else None

    rows = [(row, (place, line)) for place, file in enumerate(files) for line, row in enumerate(file)]
    leaves = {place for row, place in rows if row.token in said.out or row.practice in said.practices}
    kept, removed = [], Counter[str]()
    for row, place in rows:
        if place in leaves:
            removed["late_opt_out"] += 1
            continue
        later = [
            (left.effective or datetime.min, at)
            for left, at in rows
            if at in leaves and None not in (left.provider, left.visit)
            if (left.provider, left.visit) == (row.provider, row.visit)
        ]
        if later and (row.effective or datetime.min, place) < max(later):
            removed["withdrawn"] += 1
            continue
        mother = None if row.mother_token in said.out else now(row.mother_token)
        kept.append(row._replace(token=now(row.token), mother_token=mother))
    return kept, removed


def _read(folder: Path, made: TableParts) -> list[Visit]:
    back = {token(number).bytes: number for number in range(40)}
    found = []
    for part in made.parts:
        frame = pl.read_parquet(folder / part.path)
        assert frame.height == part.kept
        assert part.digest == digest(folder / part.path)
        for row in frame.iter_rows(named=True):
            values: dict[str, Any] = {name: row[name] for name in FIELDS}
            for name in ("token", "mother_token", "visit"):
                values[name] = back[row[name]] if row[name] is not None else None
            found.append(Visit(**values)._replace(deleted=row["_deleted"]))
    return found


PEOPLE = st.none() | st.integers(1, 6)
VISITS = st.builds(
    Visit,
    token=PEOPLE,
    mother_token=PEOPLE,
    provider=st.sampled_from([None, "A", "B"]),
    visit=st.none() | st.integers(20, 23),
    effective=st.sampled_from([None, datetime(2026, 1, 1), datetime(2026, 2, 1)]),
    practice=st.sampled_from([None, "P1", "P2"]),
    deleted=st.booleans(),
)
SAID = st.builds(
    Said,
    out=st.frozensets(st.integers(1, 6), max_size=3),
    practices=st.frozensets(st.sampled_from(["P1", "P2"]), max_size=1),
    # A token moves to one that no longer moves, as numbers are followed to the last.
    moved=st.dictionaries(st.integers(1, 6), st.integers(11, 13), max_size=3),
)


@given(st.lists(st.lists(VISITS, max_size=6), max_size=3), SAID)
def test_what_is_left_is_what_the_referee_leaves(files: list[list[Visit]], said: Said) -> None:
    """Row for row, in the same order, with every removed row under its reason."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made = withdraw(folder, _manifest(folder, files), {"f": FEED}, _lists(said))
        kept, removed = _referee(files, said)
        assert _read(folder, made.tables[0]) == kept
        counted = Counter[str]()
        for part in made.tables[0].parts:
            counted.update(part.removed)
        assert +counted == removed
        balance(made)


VISIT = Visit(1, 2, "A", 20, None, "P1")
TWO = [[VISIT], [VISIT._replace(token=2, visit=21)]]
NOBODY = Said(frozenset(), frozenset(), {})


def test_only_files_with_a_change_are_written_again(tmp_path: Path) -> None:
    """The other may be a link to what is held, and stays one."""
    manifest = _manifest(tmp_path, TWO)
    paths = [tmp_path / part.path for part in manifest.tables[0].parts]
    before = [path.stat().st_ino for path in paths]
    withdraw(tmp_path, manifest, {"f": FEED}, _lists(NOBODY._replace(out=frozenset({1}))))
    after = [path.stat().st_ino for path in paths]
    assert before[0] != after[0]
    assert before[1] == after[1]


def test_a_file_that_is_held_elsewhere_is_not_written_into(tmp_path: Path) -> None:
    """A run that fails must find the held bundle as it was."""
    manifest = _manifest(tmp_path, TWO)
    path = tmp_path / manifest.tables[0].parts[0].path
    held = tmp_path / "held.parquet"
    held.hardlink_to(path)
    before = held.read_bytes()
    withdraw(tmp_path, manifest, {"f": FEED}, _lists(NOBODY._replace(out=frozenset({1}))))
    assert held.read_bytes() == before
    assert path.read_bytes() != before


@pytest.mark.parametrize("said", [NOBODY, Said(frozenset({1}), frozenset({"P1"}), {})])
def test_lists_of_another_table_change_nothing(tmp_path: Path, said: Said) -> None:
    """Type 1 opt-outs may bind on primary care alone."""
    manifest = _manifest(tmp_path, TWO)
    assert withdraw(tmp_path, manifest, {"f": FEED}, _lists(said, table="f_other")) == manifest


def test_the_lists_show_no_token() -> None:
    """Only how many."""
    assert repr(_lists(Said(frozenset({1, 2}), frozenset(), {3: 11}))) == "Lists(2 withdrawn, 1 moved)"


def test_every_column_of_people_is_reached(tmp_path: Path) -> None:
    """The subject's and the other people's, and no record's."""
    assert people_columns(_manifest(tmp_path, TWO).tables[0]) == ("token", "mother_token")
