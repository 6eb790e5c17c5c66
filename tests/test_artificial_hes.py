"""The public artificial HES through the contracts that come with linkage, held against a plain reading of its files."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
from collections import Counter
from datetime import UTC, date, datetime
from pathlib import Path

import duckdb
import pytest

import linkage
from linkage.pipeline import RunReport

DATA = Path(__file__).parent / "data"
NOW = datetime(2026, 11, 24, 6, tzinfo=UTC)
NOTHING = {"", "1800-01-01", "1801-01-01", "1802-01-01", "1900-01-01"}
NO_CODE = {"", "-", "&"}
# For each feed: the published table, its key, its date, and the numbered columns of its codes by what they mean.
FEEDS = {
    "hes_apc": (
        "episode",
        "EPIKEY",
        "EPISTART",
        {"diagnosis": r"DIAG_4_\d\d", "procedure": r"OPERTN_4_\d\d", "external_cause": "CAUSE_4"},
    ),
    "hes_ae": (
        "attendance",
        "AEKEY",
        "ARRIVALDATE",
        {"diagnosis": r"DIAG3_\d\d", "investigation": r"INVEST2_\d\d", "treatment": r"TREAT3_\d\d"},
    ),
    "hes_op": (
        "appointment",
        "ATTENDKEY",
        "APPTDATE",
        {"diagnosis": r"DIAG_4_\d\d", "procedure": r"OPERTN_4_\d\d"},
    ),
}
CONFIGURATION = """
[purpose]
name = "look at artificial HES"
legal_basis = "published artificial data about nobody"
controllers = ["nobody"]
[keys]
keyset = "age://keys.age"
domain = "ics:hes"
[store]
path = "store"
"""

Done = tuple[Path, RunReport]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    """A run over the three samples."""
    folder = tmp_path_factory.mktemp("hes")
    text = CONFIGURATION
    for feed in FEEDS:
        (folder / feed).mkdir()
        path = Path(shutil.copyfile(_sample(feed), folder / feed / _sample(feed).name))
        os.utime(path, (1_700_000_000, 1_700_000_000))
        text += f'[[flows]]\nfeed = "{feed}"\npath = "{feed}"\noptouts_applied_upstream = "artificial data"\n'
    (folder / "linkage.toml").write_text(text)
    linkage.Keyset.create(folder / "keys.age")
    return folder, linkage.run(folder / "linkage.toml", now=NOW)


def _sample(feed: str) -> Path:
    return next(DATA.glob(f"*_artificial_{feed}_*.csv"))


def _rows(feed: str) -> list[dict[str, str]]:
    with _sample(feed).open(newline="") as file:
        return list(csv.DictReader(file))


def _found(done: Done, query: str) -> list[tuple[object, ...]]:
    with duckdb.connect(str(done[1].database), read_only=True) as connection:
        return connection.execute(query).fetchall()


@pytest.mark.parametrize("feed", FEEDS)
def test_every_row_is_published_and_no_cell_is_unreadable(done: Done, feed: str) -> None:
    """Each as an event on its day, nobody as a person; what cannot be read is what a person would not read either."""
    folder, report = done
    table, key, day, _ = FEEDS[feed]
    rows = _rows(feed)
    assert report.tables[f"{feed}_{table}"] == len(rows) == len({row[key] for row in rows})
    assert report.removed == {}
    assert _found(done, "SELECT count(*) FROM person") == [(0,)]
    days = Counter(None if row[day] in NOTHING else date.fromisoformat(row[day]) for row in rows)
    query = f"SELECT CAST(start AS DATE), count(*) FROM event WHERE feed = '{feed}' GROUP BY ALL"
    assert dict(_found(done, query)) == days
    account = json.loads((folder / "private" / "runs" / f"{report.run_id}.json").read_text())
    assert not [each for each in account["quality"] if each["feed"] == feed and each.get("invalid")]


@pytest.mark.parametrize("feed", FEEDS)
def test_every_code_keeps_its_place_and_meaning(done: Done, feed: str) -> None:
    """Dashes and ampersands, also with blanks and tabs around them, are no codes."""
    written: Counter[tuple[str, int, str]] = Counter()
    for row in _rows(feed):
        for meaning, pattern in FEEDS[feed][3].items():
            columns = [name for name in row if re.fullmatch(pattern, name)]
            written.update(
                (meaning, place, row[name].strip())
                for place, name in enumerate(columns, start=1)
                if row[name].strip() not in NO_CODE
            )
    found = _found(done, f"SELECT meaning, position, code FROM event_code WHERE feed = '{feed}'")
    assert Counter(found) == written
    assert len({meaning for meaning, _, _ in written}) == len(FEEDS[feed][3])


def test_the_same_pseudonym_is_the_same_token_in_every_feed(done: Done) -> None:
    """It is one scheme; and an attendance has one token in both feeds that hold its key."""
    shared = {row["PSEUDO_HESID"] for row in _rows("hes_apc")} & {row["PSEUDO_HESID"] for row in _rows("hes_ae")}
    query = "SELECT count(DISTINCT pseudonym) FROM hes_apc_episode JOIN hes_ae_attendance USING (pseudonym)"
    assert _found(done, query) == [(len(shared),)]
    keys = {row["AEKEY"] for row in _rows("hes_apc")} & {row["AEKEY"] for row in _rows("hes_ae")}
    query = "SELECT count(DISTINCT attendance) FROM hes_apc_episode JOIN hes_ae_attendance USING (attendance)"
    assert _found(done, query) == [(len(keys),)]
    assert {row["PSEUDO_HESID"][:4] for feed in FEEDS for row in _rows(feed)} == {"TEST"}


def test_no_pseudonym_comes_out(done: Done) -> None:
    """Not in the bytes of any file of the store."""
    pattern = re.compile(rb"TEST[A-Za-z0-9]{28}")
    assert not [path for path in (done[0] / "store").rglob("*") if path.is_file() and pattern.search(path.read_bytes())]
