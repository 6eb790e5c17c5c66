"""The whole line on a made-up ICS, held against its truth: person by person, row by row, and nobody recognisable."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb
import polars as pl
import pytest

from linkage import Keyset, Pseudonymiser, contract, pipeline
from linkage.cli import demo
from linkage.pipeline import RunReport
from linkage.store.open import open_store

PEOPLE = 2_500
INSIDE = "\x1f"
# The truth calls tables as the extracts do; the contracts call them by the field's words.
NAMES = {
    ("emis", "Admin_Patient"): "patient",
    ("emis", "CareRecord_Observation"): "observation",
    ("emis", "Prescribing_IssueRecord"): "issue",
    ("sus_apc", "spell"): "spell",
    ("sus_apc", "spell.episodes"): "episode",
    ("sus_apc", "spell.episodes.clinical_coding.diagnosis.icd"): "diagnosis",
    ("sus_op", "appointment"): "appointment",
    ("ecds", "emergency_care"): "attendance",
    ("ecds", "clinical.diagnoses.snomed"): "diagnosis",
    ("csds", "CYP001MPI"): "patient",
    ("csds", "CYP101Referral"): "referral",
    ("csds", "CYP201CareContact"): "care_contact",
    ("mhsds", "MHS001MPI"): "patient",
    ("mhsds", "MHS101Referral"): "referral",
    ("mhsds", "MHS201CareContact"): "care_contact",
    ("mhsds", "MHS501HospProvSpell"): "hospital_spell",
    ("cld", "cld"): "event",
    ("iuc111", "iuc111"): "call",
    ("cad999", "cad999"): "incident",
}


@dataclass(frozen=True)
class MadeUp:
    """A made-up ICS after a run."""

    folder: Path
    report: RunReport
    pseudonymiser: Pseudonymiser
    people: pl.DataFrame
    rows: pl.DataFrame
    exact: dict[str, list[dict[str, object]]]


@pytest.fixture(scope="session")
def made_up(tmp_path_factory: pytest.TempPathFactory) -> MadeUp:
    """Made as `linkage demo` makes it."""
    folder = tmp_path_factory.mktemp("ics") / "demo"
    demo.make(folder, PEOPLE, seed=7)
    report = pipeline.run(folder / "linkage.toml")
    keyset = Keyset.open("age://keys/ics.age", base=folder)
    return MadeUp(
        folder,
        report,
        keyset.pseudonymiser("ics:demo"),
        pl.read_parquet(folder / "truth" / "people.parquet"),
        pl.read_parquet(folder / "truth" / "rows.parquet"),
        json.loads((folder / "private" / "runs" / f"{report.run_id}.json").read_text()),
    )


@pytest.fixture(scope="session")
def store(made_up: MadeUp) -> Iterator[duckdb.DuckDBPyConnection]:
    """What analysts open."""
    with open_store(made_up.folder / "store") as connection:
        yield connection


TABLES = [(feed, table) for feed in demo.FLOWS for table in contract.load(feed).records()]


@pytest.mark.parametrize(("feed", "table"), TABLES)
def test_every_row_is_where_the_truth_says(
    made_up: MadeUp, store: duckdb.DuckDBPyConnection, feed: str, table: str
) -> None:
    """Exactly the rows that should come out do, each under the token of its own person."""
    truth = _truth(made_up, feed, table)
    expected = _expected(made_up.pseudonymiser, contract.load(feed).tables[table], truth)
    keys = [name for name in expected.columns if name != "token"]
    columns = ", ".join(f'"{name}"' for name in ["token", *keys])
    found = store.execute(f"SELECT {columns} FROM {feed}_{table}").fetchall()
    actual = sorted(tuple(_plain(value) for value in row) for row in found)
    wanted = sorted(tuple(_plain(value) for value in row) for row in expected.select("token", *keys).rows())
    missing, extra = len(set(wanted) - set(actual)), len(set(actual) - set(wanted))
    assert (len(actual), missing, extra) == (len(wanted), 0, 0)


@pytest.mark.parametrize(("feed", "table"), TABLES)
def test_every_removed_row_has_the_reason_the_truth_says(made_up: MadeUp, feed: str, table: str) -> None:
    """By reason, exactly, in the pipeline's own account."""
    truth = _truth(made_up, feed, table)
    expected = dict(truth.filter(pl.col("removed").is_not_null()).group_by("removed").len().iter_rows())
    found = next(each for each in made_up.exact["balance"] if (each["feed"], each["table"]) == (feed, table))
    assert found["removed"] == expected
    assert found["read"] == truth.height


def test_the_people_are_those_who_may_be_used(made_up: MadeUp, store: duckdb.DuckDBPyConnection) -> None:
    """The person table holds everyone with a row that may be used, and nobody else."""
    numbers = made_up.rows.filter(pl.col("removed").is_null())["number"].drop_nulls().unique()
    expected = set(made_up.pseudonymiser.person_tokens(numbers).to_list())
    assert {token.bytes for (token,) in store.execute("SELECT token FROM person").fetchall()} == expected


def test_nobody_who_said_no_is_anywhere(made_up: MadeUp, store: duckdb.DuckDBPyConnection) -> None:
    """The tokens of people who opted out, in any way, are in no column of any table."""
    out = made_up.people.filter(pl.col("type1_opt_out") | pl.col("national_opt_out") | pl.col("sensitive"))
    numbers = pl.concat([out["nhs_number"], out["superseded"].explode().drop_nulls()])
    assert len(out) > 10
    forbidden = set(made_up.pseudonymiser.person_tokens(numbers).to_list())
    for table, column in store.execute(
        "SELECT table_name, column_name FROM duckdb_columns() WHERE data_type = 'UUID' AND schema_name = 'main'"
    ).fetchall():
        found = store.execute(f'SELECT DISTINCT "{column}" FROM "{table}" WHERE "{column}" IS NOT NULL').fetchall()
        assert not forbidden & {value.bytes for (value,) in found}, (table, column)


def test_nobody_can_be_recognised_in_anything_written(made_up: MadeUp) -> None:
    """No NHS number, name or postcode that was made up is in any file that a run leaves, read raw or decoded."""
    search = _Search(made_up.people)
    places = [made_up.folder / "store", made_up.folder / "private"]
    files = [path for place in places for path in place.rglob("*") if path.is_file()]
    assert any(path.suffix == ".parquet" for path in files)
    for path in files:
        content = path.read_bytes()
        if path.suffix == ".parquet":
            search.frame(pl.read_parquet(path, hive_partitioning=False), path)
        elif path.suffix != ".age":
            search.text(content.decode("latin-1"), path)


def test_the_search_would_find_them(made_up: MadeUp) -> None:
    """The extracts hold what must not come out: the search is not blind."""
    search = _Search(made_up.people)
    path = next((made_up.folder / "extracts" / "emis").glob("*Admin_Patient*.csv"))
    with pytest.raises(AssertionError):
        search.text(path.read_text(), path)


def test_every_table_of_the_truth_is_compared(made_up: MadeUp) -> None:
    """No table of the made-up ICS is left out of the comparison, and none is empty."""
    named = set(made_up.rows.select("feed", "table").unique().rows())
    assert named == set(NAMES)
    assert {(feed, NAMES[feed, table]) for feed, table in named} == set(TABLES)


def _truth(made_up: MadeUp, feed: str, table: str) -> pl.DataFrame:
    name = next(theirs for (f, theirs), ours in NAMES.items() if (f, ours) == (feed, table))
    return made_up.rows.filter((pl.col("feed") == feed) & (pl.col("table") == name))


class _Search:
    def __init__(self, people: pl.DataFrame) -> None:
        numbers = pl.concat([people["nhs_number"], people["superseded"].explode().drop_nulls()])
        self.numbers = set(numbers.to_list())
        self.names = {name.lower() for name in pl.concat([people["given_name"], people["surname"]]).drop_nulls()}
        self.postcodes = {postcode.replace(" ", "") for postcode in people["postcode"].drop_nulls()}

    def text(self, text: str, where: Path) -> None:
        digits = {int(re.sub(r"[ -]", "", run)) for run in re.findall(r"\d{3}[ -]?\d{3}[ -]?\d{4}", text)}
        assert not digits & self.numbers, f"an NHS number in {where}"
        words = {word.lower() for word in re.findall(r"[A-Za-z]{6,}", text)}
        assert not words & self.names, f"a name in {where}"
        codes = {code.replace(" ", "").upper() for code in re.findall(r"QX\d{1,2} ?\d[A-Z]{2}", text)}
        assert not codes & self.postcodes, f"a postcode in {where}"

    def frame(self, frame: pl.DataFrame, where: Path) -> None:
        for column in frame:
            if column.dtype == pl.String:
                self.text("\n".join(column.drop_nulls().unique().to_list()), where)
            elif column.dtype.is_integer() or column.dtype == pl.Float64:
                assert not set(column.drop_nulls().unique().to_list()) & self.numbers, f"an NHS number in {where}"


def _expected(pseudonymiser: Pseudonymiser, table: contract.Table, truth: pl.DataFrame) -> pl.DataFrame:
    kept = truth.filter(pl.col("removed").is_null())
    parts = kept["record"].str.split("|")
    places = _places(table)
    made = {"token": pseudonymiser.person_tokens(kept["number"])}
    for name in table.primary_key:
        column, own = table.columns[name], parts.list.get(places.index(name))
        if column.role in (contract.Role.RECORD, contract.Role.PERSON_KEY):
            value = own
            if column.within:
                outer = pl.DataFrame({"o": parts.list.get(places.index(column.within)), "v": own})
                value = outer.select(pl.concat_str("o", "v", separator=INSIDE)).to_series()
            made[name] = pseudonymiser.record_tokens(value, column.namespace or "")
        elif column.role is contract.Role.NUMBER:
            made[name] = own.cast(pl.Int64)
        else:
            made[name] = own
    return pl.DataFrame(made)


def _places(table: contract.Table) -> list[str]:
    """The columns that the truth's record names: the primary key, each column after the one it is unique within."""
    places: list[str] = []
    for name in table.primary_key:
        within = table.columns[name].within
        places += [each for each in (within, name) if each is not None and each not in places]
    return places


def _plain(value: object) -> object:
    return getattr(value, "bytes", value) if value is not None else b""
