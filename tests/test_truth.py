"""The whole line on a made-up ICS, held against its truth: person by person and row by row."""

from __future__ import annotations

from collections.abc import Iterator

import duckdb
import polars as pl
import pytest

from linkage import Pseudonymiser, contract
from linkage.cli import demo
from linkage.store.open import open_store
from made_up import MadeUp

INSIDE = "\x1f"
# The truth calls tables as the extracts do; the contracts call them by the field's words.
NAMES = {
    ("emis", "Admin_Patient"): "patient",
    ("emis", "CareRecord_Observation"): "observation",
    ("emis", "Prescribing_IssueRecord"): "issue",
    ("tpp", "SRPatient"): "patient",
    ("tpp", "SRPatientRegistration"): "registration",
    ("tpp", "SRPatientAddressHistory"): "address",
    ("tpp", "SRCode"): "code",
    ("tpp", "SRPrimaryCareMedication"): "medication",
    ("sus_apc", "spell"): "spell",
    ("sus_apc", "spell.episodes"): "episode",
    ("sus_apc", "spell.episodes.clinical_coding.diagnosis.icd"): "diagnosis",
    ("sus_apc", "spell.episodes.clinical_coding.procedure.opcs"): "procedure",
    ("sus_op", "appointment"): "appointment",
    ("sus_op", "appointment.clinical_coding.diagnosis.icd"): "diagnosis",
    ("sus_op", "appointment.clinical_coding.procedure.opcs"): "procedure",
    ("ecds", "emergency_care"): "attendance",
    ("ecds", "clinical.diagnoses.snomed"): "diagnosis",
    ("ecds", "clinical.investigations.snomed"): "investigation",
    ("ecds", "clinical.treatments.snomed"): "treatment",
    ("csds", "CYP001MPI"): "patient",
    ("csds", "CYP101Referral"): "referral",
    ("csds", "CYP201CareContact"): "care_contact",
    ("csds", "CYP202CareActivity"): "care_activity",
    ("mhsds", "MHS001MPI"): "patient",
    ("mhsds", "MHS101Referral"): "referral",
    ("mhsds", "MHS201CareContact"): "care_contact",
    ("mhsds", "MHS501HospProvSpell"): "hospital_spell",
    ("mhsds", "MHS502WardStay"): "ward_stay",
    ("mhsds", "MHS604PrimDiag"): "primary_diagnosis",
    ("cld", "cld"): "event",
    ("iuc111", "iuc111"): "call",
    ("cad999", "cad999"): "incident",
    ("pds", "PDS_Person"): "person",
    ("pds", "PDS_Address"): "address",
    ("pds", "PDS_Patient_Care_Practice"): "registration",
    ("deaths", "Deaths"): "death",
    ("cad999", "epr999"): "patient_contact",
}


@pytest.fixture(scope="module")
def store(made_up: MadeUp) -> Iterator[duckdb.DuckDBPyConnection]:
    """What analysts open."""
    with open_store(made_up.folder / "store") as connection:
        yield connection


TABLES = [(feed, ours) for (feed, _), ours in NAMES.items()]


@pytest.mark.parametrize(("feed", "table"), TABLES)
def test_every_row_is_where_the_truth_says(
    made_up: MadeUp, store: duckdb.DuckDBPyConnection, feed: str, table: str
) -> None:
    """Exactly the rows that should come out do, each under the token of its own person."""
    truth = _truth(made_up, feed, table)
    wanted = expected(made_up.pseudonymiser, contract.load(feed).tables[table], truth)
    columns = ", ".join(f'"{name}"' for name in wanted.columns)
    found = store.execute(f"SELECT {columns} FROM {feed}_{table}").fetchall()
    actual = sorted(map(plain_row, found))
    rows = sorted(map(plain_row, wanted.rows()))
    missing, extra = len(set(rows) - set(actual)), len(set(actual) - set(rows))
    assert (len(actual), missing, extra) == (len(rows), 0, 0)


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


def test_every_table_of_the_truth_is_compared(made_up: MadeUp) -> None:
    """No table of the made-up ICS is left out of the comparison, and none is empty."""
    named = set(made_up.rows.select("feed", "table").unique().rows())
    assert named == set(NAMES)
    tables = {(feed, name): table for feed in demo.FLOWS for name, table in contract.load(feed).records().items()}
    assert set(TABLES) <= set(tables)
    assert not [where for where in set(tables) - set(TABLES) if not tables[where].optional]


def _truth(made_up: MadeUp, feed: str, table: str) -> pl.DataFrame:
    name = next(theirs for (f, theirs), ours in NAMES.items() if (f, ours) == (feed, table))
    return made_up.rows.filter((pl.col("feed") == feed) & (pl.col("table") == name))


def expected(pseudonymiser: Pseudonymiser, table: contract.Table, truth: pl.DataFrame) -> pl.DataFrame:
    """The token and the key of every row of a table that must be published."""
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
            made[name] = own.replace(column.map) if column.map else own
    return pl.DataFrame(made)


def _places(table: contract.Table) -> list[str]:
    """The columns that the truth's record names: the primary key, each column after the one it is unique within."""
    places: list[str] = []
    for name in table.primary_key:
        within = table.columns[name].within
        places += [each for each in (within, name) if each is not None and each not in places]
    return places


def plain_row(row: tuple[object, ...]) -> tuple[object, ...]:
    """A row that sorts, with tokens as bytes."""
    return tuple(getattr(value, "bytes", value) if value is not None else b"" for value in row)


@pytest.mark.parametrize("query", demo.QUERIES)
def test_the_queries_that_the_demo_offers_run(store: duckdb.DuckDBPyConnection, query: str) -> None:
    """And find something."""
    assert len(store.execute(query).fetchall()) >= 4
