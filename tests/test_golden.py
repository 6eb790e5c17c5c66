"""Every shipped feed on its golden extract: what is published, what goes out, and why, row by row."""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from pathlib import Path, PurePath

import pytest

import golden
from linkage import contract
from linkage.reasons import HUB, Reason
from linkage.sources import read
from linkage.sources.inspect import inspect

FEEDS = [name for name in contract.shipped() if (golden.FOLDER / name).is_dir()]
# Of these the account holds only how many there are in a table: they are settled among the rows of a record.
COUNTED = {*HUB, Reason.WITHDRAWN}


@pytest.fixture(scope="module", params=FEEDS)
def feed(request: pytest.FixtureRequest) -> str:
    """One shipped feed after the other."""
    return str(request.param)


@pytest.fixture(scope="module")
def outcome(feed: str, tmp_path_factory: pytest.TempPathFactory) -> golden.Outcome:
    """What a run made of the feed's golden extract."""
    return golden.run(tmp_path_factory.mktemp(feed), [feed])


def test_every_table_is_published_as_expected(feed: str, outcome: golden.Outcome) -> None:
    """Row by row, with every token the one of the person or identifier that the extract holds."""
    folder = golden.FOLDER / feed / "expected"
    assert {path.stem for path in folder.iterdir()} == set(outcome.published)
    for name, text in outcome.published.items():
        assert text == (folder / f"{name}.csv").read_text(), name


def test_every_row_that_goes_out_has_its_reason(feed: str, outcome: golden.Outcome) -> None:
    """The site half's rows one by one, the hub half's by table and reason."""
    listed = golden.removed(feed)
    at_site = [(file, row, reason) for file, row, reason, _ in listed if reason not in COUNTED]
    assert sorted(outcome.reasons) == sorted(at_site)
    tables = contract.load(feed).handed_over()
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for file, _, reason, why in listed:
        (owner,) = [name for name, table in tables.items() if any(PurePath(file).match(each) for each in table.files)]
        counts[f"{feed}_{owner}"][reason] += 1
        assert why, (file, reason)
    assert {name: +counted for name, counted in outcome.balance.items() if counted} == dict(counts)


def test_the_extract_shows_what_the_feed_is_for(feed: str, outcome: golden.Outcome) -> None:
    """Somebody is published, every table has a row and some row goes out."""
    published = {name: text.count("\n") - 1 for name, text in outcome.published.items()}
    assert not [name for name, rows in published.items() if name.startswith(feed) and not rows]
    assert golden.removed(feed)


@pytest.mark.parametrize("name", FEEDS)
def test_every_column_is_in_the_extract(name: str) -> None:
    """Golden headers are those of the layouts, so a contract that asks for another name is found here."""
    feed = contract.load(name)
    for table_name, table in feed.tables.items():
        headers = {path: inspect(path, feed, table).header for path in _files(name, table.files)}
        assert headers, table_name
        for path, header in headers.items():
            assert len(header) == len(set(header)), path
            names = {each.strip().casefold() for each in header}
            missing = [c.source[0] for c in table.columns.values() if not names & {s.casefold() for s in c.source}]
            assert not missing, path.name


@pytest.mark.parametrize("name", FEEDS)
def test_a_file_belongs_to_one_table(name: str) -> None:
    """Else a row would be read twice, once as something that it is not; tables that only inform read what others do."""
    feed = contract.load(name)
    tables = {table: each for table, each in feed.tables.items() if each.kind != "informs" or not _shared(feed, table)}
    for path in (golden.FOLDER / name / "extracts").iterdir():
        owners = [table for table, each in tables.items() if any(path.match(pattern) for pattern in each.files)]
        assert len(owners) == 1, path.name


def _shared(feed: contract.Feed, name: str) -> bool:
    """Whether a table reads the very files of another."""
    return any(each.files == feed.tables[name].files for other, each in feed.tables.items() if other != name)


def test_every_golden_person_is_made_up() -> None:
    """Numbers of the test range, or the one that the standard's own examples use."""
    assert all(number.startswith("999") or number == "9876543210" for number in golden.people().values())


def _files(feed: str, patterns: tuple[str, ...]) -> list[Path]:
    return sorted({path for pattern in patterns for path in (golden.FOLDER / feed / "extracts").glob(pattern)})


def test_nothing_that_is_dropped_is_published(feed: str, outcome: golden.Outcome) -> None:
    """No name, contact, free text or NHS number of the extract is in any table."""
    text = "\n".join(outcome.published.values())
    dropped = _dropped(feed)
    assert not [value for value in {*dropped, *golden.people().values()} if value in text]
    assert dropped or not any(table.with_role(*contract.DROPPED) for table in contract.load(feed).tables.values())


def _dropped(name: str) -> set[str]:
    """What stands in the columns that the contract drops; words of three letters prove nothing."""
    feed, found = contract.load(name), set()
    for table in feed.tables.values():
        for path in _files(name, table.files):
            places = read.columns(inspect(path, feed, table), table)
            with path.open(encoding=feed.layout(table).encoding, newline="") as file:
                rows = list(csv.reader(file, delimiter=feed.layout(table).delimiter))[1:]
            for column in table.with_role(*contract.DROPPED):
                found |= {row[places[column]] for row in rows if places.get(column, len(row)) < len(row)}
    return {value for value in found if len(value) > 3}
