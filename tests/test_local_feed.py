"""The how-to about a local feed, done word for word on the artificial HES files."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import uuid
from collections import Counter
from datetime import UTC, date, datetime, time
from pathlib import Path

import duckdb
import polars as pl
import pytest

import linkage
from linkage.pipeline import RunReport
from linkage.store.open import open_store
from pages import samples

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "how-to" / "local-feed.md"
KEYS = {"apc": "EPIKEY", "ae": "AEKEY"}
NOTHING = {"", "1800-01-01", "1801-01-01", "1802-01-01", "1900-01-01"}
TOKENS = {"apc": ("episode", "start_date"), "ae": ("attendance", "arrival_date")}
NOW = datetime(2026, 11, 24, 6, tzinfo=UTC)

Row = dict[str, str]


def _prepared(folder: Path) -> Path:
    contract, configuration = samples(PAGE.read_text(), "toml")
    (folder / "hes.toml").write_text(contract)
    (folder / "linkage.toml").write_text(configuration)
    (folder / "extracts" / "hes").mkdir(parents=True)
    for path in (HERE / "data").glob("a*_artificial_hes_*.csv"):
        shutil.copyfile(path, folder / "extracts" / "hes" / path.name)
        os.utime(folder / "extracts" / "hes" / path.name, (1_700_000_000, 1_700_000_000))
    (folder / "keys").mkdir()
    linkage.Keyset.create(folder / "keys" / "ics.age")
    return folder


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, RunReport]:
    """A folder after the how-to."""
    folder = _prepared(tmp_path_factory.mktemp("hes"))
    return folder, linkage.run(folder / "linkage.toml", now=NOW)


def _rows(table: str) -> list[Row]:
    with next((HERE / "data").glob(f"{table}_*.csv")).open(newline="") as file:
        return list(csv.DictReader(file))


def _tokens(folder: Path, values: list[str], namespace: str) -> dict[str, uuid.UUID]:
    pseudonymiser = linkage.Keyset.open("age://keys/ics.age", base=folder).pseudonymiser("ics:hes")
    made = pseudonymiser.record_tokens(pl.Series(values), namespace)
    return {value: uuid.UUID(bytes=token) for value, token in zip(values, made, strict=True)}


def _published(folder: Path, table: str) -> list[dict[str, object]]:
    with open_store(folder / "store") as connection:
        found = connection.execute(f"FROM artificial_hes_{table}")
        names = [each[0] for each in found.description or ()]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


@pytest.mark.parametrize("table", ["apc", "ae"])
def test_every_row_is_published_under_its_pseudonyms_token(done: tuple[Path, RunReport], table: str) -> None:
    """Each row once, its key and its pseudonym as one-way tokens, and nothing where an NHS number's token would be."""
    folder, report = done
    rows = _rows(table)
    people = _tokens(folder, [row["PSEUDO_HESID"] for row in rows], "artificial_hes")
    records = _tokens(folder, [row[KEYS[table]] for row in rows], f"artificial_hes.{KEYS[table].lower()}")
    found = _published(folder, table)
    assert report.tables[f"artificial_hes_{table}"] == len(rows) == len(found)
    assert {row["token"] for row in found} == {None}
    assert Counter((row[TOKENS[table][0]], row["pseudonym"]) for row in found) == Counter(
        (records[row[KEYS[table]]], people[row["PSEUDO_HESID"]]) for row in rows
    )


def test_dates_ages_and_birth_years_are_those_of_the_files(done: tuple[Path, RunReport]) -> None:
    """Sentinels are null, a birth month keeps its year alone, and an age with a fraction of nought is whole."""
    folder, _ = done
    episodes = {row["EPIKEY"]: row for row in _rows("apc")}
    names = {token: key for key, token in _tokens(folder, list(episodes), "artificial_hes.epikey").items()}
    sources = {"decision_date": "ELECDATE", "start_date": "EPISTART", "discharge_date": "DISDATE"}
    found = _published(folder, "apc")
    assert "birth_date" not in found[0]
    for row in found:
        assert isinstance(row["episode"], uuid.UUID)
        written = episodes[names[row["episode"]]]
        for name, source in sources.items():
            text = written[source]
            assert row[name] == (None if text in NOTHING else date.fromisoformat(text))
        unknown = written["MYDOB"] in ("", "011801")
        assert row["birth_year"] == (None if unknown else int(written["MYDOB"][2:]))
    assert any(row["ELECDATE"] in NOTHING - {""} for row in episodes.values())
    ages = Counter(int(float(row["ARRIVALAGE"])) for row in _rows("ae") if row["ARRIVALAGE"])
    assert Counter(row["arrival_age"] for row in _published(folder, "ae") if row["arrival_age"] is not None) == ages


def test_diagnoses_are_codes_of_the_episodes(done: tuple[Path, RunReport]) -> None:
    """One row for each diagnosis that is written, none for a dash."""
    folder, _ = done
    columns = re.findall(r'source = "(DIAG_4_\d\d)"', PAGE.read_text())
    written = Counter(
        (place, row[column].strip())
        for row in _rows("apc")
        for place, column in enumerate(columns, start=1)
        if row[column].strip() not in ("", "-", "&")
    )
    with open_store(folder / "store") as connection:
        found = connection.execute("SELECT position, code FROM event_code WHERE system = 'icd10'").fetchall()
        events = connection.execute("SELECT kind, count(*) FROM event GROUP BY kind").fetchall()
    assert Counter(found) == written
    assert dict(events) == {"episode": len(_rows("apc")), "attendance": len(_rows("ae"))}


def test_nobody_is_a_person_and_no_pseudonym_comes_out(done: tuple[Path, RunReport]) -> None:
    """The text of a pseudonym is in no value of any file of the store."""
    folder, _ = done
    assert {row["PSEUDO_HESID"][:4] for table in KEYS for row in _rows(table)} == {"TEST"}
    with open_store(folder / "store") as connection:
        assert connection.execute("SELECT count(*) FROM person").fetchall() == [(0,)]
        _assert_no_pseudonym(connection, [f'"{name}"' for name in _tables(connection)])
    files = sorted(path for path in (folder / "store").rglob("*") if path.is_file())
    parquet = [path for path in files if path.suffix == ".parquet"]
    assert len(parquet) > len(KEYS)
    _assert_no_pseudonym(duckdb.connect(), [f"read_parquet('{path}')" for path in parquet])
    for path in files:
        assert not re.search(rb"TEST[A-Za-z0-9]{28}", path.read_bytes()), path


def _tables(connection: duckdb.DuckDBPyConnection) -> list[str]:
    return [name for (name,) in connection.execute("SELECT name FROM (SHOW TABLES)").fetchall()]


def _assert_no_pseudonym(connection: duckdb.DuckDBPyConnection, sources: list[str]) -> None:
    for source in sources:
        query = f"SELECT count(*) FROM {source} t WHERE contains(CAST(t AS VARCHAR), 'TEST')"
        assert connection.execute(query).fetchall() == [(0,)], source


def test_a_second_delivery_is_settled_and_every_row_accounted_for(tmp_path: Path) -> None:
    """Published = read less removed; one person in both files has one token; each sentinel is null."""
    folder = _prepared(tmp_path)
    first, known = _rows("ae"), _rows("apc")[0]
    base = first[0]
    sentinels = sorted(NOTHING - {""})
    second = [
        base,  # the same again
        {**first[1], "ARRIVALTIME": "2001"},  # a correction
        {**base, "AEKEY": ""},  # no key
        *(
            {**base, "AEKEY": f"90{n}", "PSEUDO_HESID": known["PSEUDO_HESID"], "ARRIVALDATE": text}
            for n, text in enumerate(sentinels)
        ),
    ]
    path = folder / "extracts" / "hes" / "ae_second.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(base))
        writer.writeheader()
        writer.writerows(second)
    os.utime(path, (1_700_086_400, 1_700_086_400))
    report = linkage.run(folder / "linkage.toml", now=NOW)
    assert report.removed == {"duplicate": 1, "superseded": 1, "required_missing": 1}
    kept = {row["AEKEY"] for row in [*first, *second] if row["AEKEY"]}
    assert report.tables["artificial_hes_ae"] == len(kept) == len(first) + len(second) - sum(report.removed.values())
    account = json.loads((folder / "private" / "runs" / f"{report.run_id}.json").read_text())
    assert {each["table"]: each["read"] for each in account["balance"]} == {
        "ae": len(first) + len(second),
        "apc": len(_rows("apc")),
    }
    token = _tokens(folder, [known["PSEUDO_HESID"]], "artificial_hes")[known["PSEUDO_HESID"]]
    ae = _published(folder, "ae")
    both = [row for row in ae if row["pseudonym"] == token]
    assert [row["arrival_date"] for row in both] == [None] * len(sentinels)
    assert token in {row["pseudonym"] for row in _published(folder, "apc")}
    corrected = _tokens(folder, [first[1]["AEKEY"]], "artificial_hes.aekey")[first[1]["AEKEY"]]
    assert [row["arrival_time"] for row in ae if row["attendance"] == corrected] == [time(20, 1)]


def test_a_flow_of_pseudonyms_must_say_where_optouts_were_applied(tmp_path: Path) -> None:
    """Without the reference nothing is published."""
    folder = _prepared(tmp_path)
    path = folder / "linkage.toml"
    path.write_text(re.sub(r"optouts_applied_upstream.*\n", "", path.read_text()))
    with pytest.raises(linkage.ConfigurationError, match="pseudonyms"):
        linkage.run(path, now=NOW)
    assert not (folder / "store" / "current").exists()
