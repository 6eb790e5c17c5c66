"""What a flow takes of a feed: rows against a plain referee, and tables and columns of every shipped contract."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from linkage.config import Flow
from linkage.contract import DROPPED, Feed, Role, Table, load, parse, shipped
from linkage.errors import ConfigurationError
from linkage.sources.select import Selection, narrowed

BASE = date(2026, 1, 1)
CONTRACT = """
name = "test"
setting = "acute"
[tables.visit]
files = "visit.csv"
primary_key = "visit"
month = "seen"
event = { kind = "visit", record = "visit", start = "seen" }
[tables.visit.columns]
visit = { source = "Visit", role = "record", namespace = "test.visit", required = true }
nhs_number = { source = "NHS", role = "person" }
seen = { source = "Seen", role = "date", type = "datetime" }
first = { source = "First", role = "code" }
second = { source = "Second", role = "code" }
deleted = { source = "Deleted", role = "flag", removes = "deleted" }
ward = { source = "Ward", role = "category" }
"""


class Row(NamedTuple):
    """What decides about a row."""

    seen: date | None
    first: str | None
    second: str | None
    deleted: bool | None
    unreadable: bool


ROWS = st.lists(
    st.builds(
        Row,
        seen=st.none() | st.integers(-3, 3).map(lambda days: BASE + timedelta(days)),
        first=st.none() | st.sampled_from("abc"),
        second=st.none() | st.sampled_from("abc"),
        deleted=st.none() | st.booleans(),
        unreadable=st.booleans(),
    ),
    min_size=1,
)
CODES = st.dictionaries(
    st.sampled_from(["first", "visit.first", "second", "visit.second", "other.first"]),
    st.frozensets(st.sampled_from("abcd"), min_size=1),
)


def referee(row: Row, earliest: date | None, codes: dict[str, frozenset[str]]) -> str | None:
    """The reason, in plain Python."""
    if row.deleted or row.unreadable:
        return None
    if earliest and (row.seen is None or row.seen < earliest):
        return "before_earliest"
    columns = {name: codes.get(f"visit.{name}", codes.get(name)) for name in ("first", "second")}
    lists = [(getattr(row, name), kept) for name, kept in columns.items() if kept is not None]
    if lists and not any(code in kept for code, kept in lists):
        return "code_not_kept"
    return None


@given(rows=ROWS, earliest=st.none() | st.just(BASE), codes=CODES)
def test_rows_are_taken_as_the_referee_says(rows: list[Row], earliest: date | None, codes: dict[str, Any]) -> None:
    """Each with its reason; a deletion always, also where its flag cannot be read."""
    frame = pl.DataFrame(
        {
            "seen": pl.Series([row.seen for row in rows], dtype=pl.Datetime("us")),
            "first": pl.Series([row.first for row in rows], dtype=pl.String),
            "second": pl.Series([row.second for row in rows], dtype=pl.String),
            "deleted": pl.Series([row.deleted for row in rows], dtype=pl.Boolean),
            "deleted?invalid": [row.unreadable for row in rows],
        }
    )
    unwanted = Selection(earliest, codes).unwanted("visit", parse(CONTRACT, "test.toml").tables["visit"])
    assert frame.select(unwanted).to_series().to_list() == [referee(row, earliest, codes) for row in rows]


def _leaving(table: Table) -> list[str]:
    return sorted(name for name, rule in table.columns.items() if rule.published and rule.role not in DROPPED)


@st.composite
def parts_of_feeds(draw: st.DrawFn) -> Flow:
    """Any shipped contract, and a flow that takes some of its tables and columns."""
    feed = load(draw(st.sampled_from([name for name in shipped() if load(name).records()])))
    records = feed.records()
    tables = draw(st.lists(st.sampled_from(sorted(records)), unique=True))
    columns = {
        name: tuple(draw(st.lists(st.sampled_from(_leaving(records[name])), unique=True)))
        for name in draw(st.lists(st.sampled_from(sorted(records)), unique=True))
    }
    return Flow(feed=feed.name, path=Path(), tables=tuple(tables), columns=columns)


@given(parts_of_feeds())
def test_a_part_of_a_feed_is_decided_as_the_whole(flow: Flow) -> None:
    """Only what was asked for leaves, and everything that says who is in is still read."""
    feed = load(flow.feed)
    taken = narrowed(feed, flow)
    content = taken.model_dump(exclude={"digest"})
    assert Feed.model_validate(content).tables == taken.tables
    assert taken.digest == feed.digest
    assert set(taken.records()) == (set(flow.tables) or set(feed.records()))
    assert set(taken.deletions()) == {log for table in taken.records().values() for log in feed.deletable(table)}
    for name, table in feed.tables.items():
        if table.kind in ("lookup", "deletions"):
            continue
        found = taken.tables.get(name)
        if found is None:
            assert name not in flow.tables
            assert table.kind == "records"
            assert not any((table.roster, table.type1))
            continue
        assert list(found.columns) == [column for column in table.columns if column in found.columns]
        read = set(found.columns)
        assert read >= {*table.subjects, *table.others, *table.person_keys, *table.required, *table.named}
        assert read >= {*table.with_role(Role.PRACTICE, Role.BIRTH_DATE)}
        assert read >= {column for column, rule in table.columns.items() if rule.removes}
        if name in flow.columns and name in taken.records():
            leaves = {column for column, rule in found.columns.items() if rule.published}
            wanted = {*flow.columns[name], *table.structure, *feed.deletable(table).values()}
            assert leaves == {column for column in wanted if table.columns[column].published}


def test_nothing_asked_for_is_everything() -> None:
    """The contract itself."""
    for name in shipped():
        feed = load(name)
        assert narrowed(feed, Flow(feed=name, path=Path())) is feed


def test_a_lookup_is_read_where_a_column_that_is_taken_needs_it() -> None:
    """And not otherwise."""
    feed = load("emis")
    taken = narrowed(feed, Flow(feed="emis", path=Path(), tables=("patient",)))
    assert "organisation" in taken.tables
    assert "clinical_code" in taken.tables  # for type 1 codes in observations, which are read and do not leave
    assert taken.tables["observation"].kind == "informs"
    assert (
        "value" not in taken.tables["observation"].columns or not taken.tables["observation"].columns["value"].published
    )
    assert "drug_code" not in taken.tables
    assert "issue" not in taken.tables


@pytest.mark.parametrize(
    ("part", "said", "hint"),
    [
        ({"tables": "visits"}, "no table is called 'visits'", "'visit'"),
        ({"columns": {"visits": ["ward"]}}, "no table is called 'visits'", "'visit'"),
        ({"columns": {"visit": ["wards"]}}, "no column of visit is called 'wards'", "'ward'"),
        ({"keep": {"frst": ["a"]}}, "no column is called 'frst'", "'first'"),
        ({"keep": {"visits.first": ["a"]}}, "no column is called 'visits.first'", "'visit.first'"),
    ],
)
def test_what_the_feed_does_not_have_is_refused(part: dict[str, Any], said: str, hint: str) -> None:
    """With the nearest that it has."""
    with pytest.raises(ConfigurationError, match=said) as refused:
        narrowed(parse(CONTRACT, "test.toml"), Flow.model_validate({"feed": "test", "path": ".", **part}))
    assert hint in refused.value.hint


@pytest.mark.parametrize(
    ("feed", "columns", "column"),
    [
        ("tpp", {"registration": ("patient", "visible_to")}, "visible_to"),
        ("emis", {"patient": ("given_name",)}, "given_name"),
    ],
)
def test_a_column_that_never_leaves_is_refused(feed: str, columns: dict[str, tuple[str, ...]], column: str) -> None:
    """Rather than left out without a word."""
    with pytest.raises(ConfigurationError, match=f"{column}.* does not leave the site half"):
        narrowed(load(feed), Flow(feed=feed, path=Path(), columns=columns))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read"),
        ("term,id\nx,1\n", "cannot be read"),
        ("code\n\n \n", "an empty code list"),
        ("", "cannot"),
    ],
)
def test_a_code_list_that_says_nothing_is_refused(content: str | None, said: str, tmp_path: Path) -> None:
    """Rather than taking nothing, or everything."""
    if content is not None:
        (tmp_path / "codes.csv").write_text(content)
    with pytest.raises(ConfigurationError, match=said):
        Selection.of(Flow.model_validate({"feed": "x", "path": ".", "keep": {"first": "codes.csv"}}), tmp_path)


def test_a_code_list_is_read_as_text(tmp_path: Path) -> None:
    """A SNOMED code has more digits than a float holds."""
    (tmp_path / "codes.csv").write_text("term,code\nasthma, 195967001 \nlong,73211009000000106\nagain,195967001\n")
    flow = Flow.model_validate({"feed": "x", "path": ".", "keep": {"first": "codes.csv"}})
    selection = Selection.of(flow, tmp_path)
    assert selection.codes == {"first": {"195967001", "73211009000000106"}}
    assert [(each.name, each.file, each.numbers) for each in selection.lists] == [("codes of first", "codes.csv", 2)]


@pytest.mark.parametrize("name", ["visit", "seen"])
def test_what_tells_records_apart_cannot_be_left_unpublished(name: str) -> None:
    """By a contract."""
    feed = parse(CONTRACT, "test.toml")
    content = feed.model_dump(exclude={"digest"})
    content["tables"]["visit"]["columns"][name]["published"] = False
    with pytest.raises(ValidationError, match="must be published"):
        Feed.model_validate(content)


def test_keys_by_which_a_flag_hides_rows_are_read_whatever_is_asked_for() -> None:
    """In the table with the flag, and in every table whose rows it hides."""
    text = CONTRACT.replace(
        'ward = { source = "Ward", role = "category" }',
        """
ward = { source = "Ward", role = "category" }
stay = { source = "Stay", role = "record", namespace = "test.stay" }
[tables.stay]
files = "stay.csv"
primary_key = "bed"
[tables.stay.columns]
bed = { source = "Bed", role = "record", namespace = "test.bed" }
stay = { source = "Stay", role = "record", namespace = "test.stay" }
held_back = { source = "Held", role = "flag", removes = "sensitive", hides = "stay" }
""",
    )
    flow = Flow(feed="test", path=Path(), tables=("visit",), columns={"visit": ("ward",)})
    found = narrowed(parse(text, "a test"), flow)
    assert found.tables["stay"].kind == "informs"
    assert {"stay", "held_back"} <= found.tables["stay"].columns.keys()
    assert not found.tables["visit"].columns["stay"].published
