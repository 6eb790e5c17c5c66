"""Several persons in a row: a carer's row names the adults cared for by the council's own identifiers."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import duckdb
import pytest

import golden
from linkage import contract, pipeline
from linkage.errors import ConfigurationError

COLUMNS = "linked_adult_1_token, linked_adult_2_token, linked_adult_3_token"
LATER = "cld_20261120.csv"


class Council:
    """A folder in which the golden extract of social care was run once, and what later files make of it."""

    def __init__(self, folder: Path) -> None:
        self.configuration = golden.prepare(folder, ["cld"])
        self.extracts = folder / "extracts" / "cld"
        pipeline.run(self.configuration, now=golden.NOW)
        with (self.extracts / "cld_20261015.csv").open(newline="") as file:
            self.header, *self.rows = csv.reader(file)
        for path in self.extracts.iterdir():
            path.unlink()

    def row(self, reference: str, number: str, person: str, **linked: str) -> list[str]:
        """A row of a person, of the period after the golden ones."""
        known = dict(zip(self.header, self.rows[0], strict=True)) | {
            "Event Reference": reference,
            "NHS Number": number,
            "LA Person Unique Identifier": person,
            "Reporting Period Start Date": "2026-10-01",
            "Reporting Period End Date": "2026-11-30",
            "Event Start Date": "2026-10-05",
            **{f"Adult {place} Linked Person_ID": key for place, key in linked.items()},
        }
        return [known[name] for name in self.header]

    def linked(self, *rows: list[str]) -> list[tuple[str | None, ...]]:
        """Deliver these rows alone, and see whom the first of them names, by label."""
        out = io.StringIO()
        csv.writer(out, lineterminator="\n").writerows([self.header, *rows])
        (self.extracts / LATER).write_text(out.getvalue())
        report = pipeline.run(self.configuration, now=golden.NOW)
        keyset = golden.Keyset.open("age://keys.age", base=self.configuration.parent)
        labels = {
            token: label
            for label, number in golden.people().items()
            for token in keyset.pseudonymiser("ics:golden").tokenise(golden.pl.Series([number]))[0]
        }
        assert report.database is not None
        with duckdb.connect(str(report.database), read_only=True) as connection:
            found = connection.execute(f"SELECT {COLUMNS} FROM cld_event ORDER BY start_date, reporting_start_date")
            return [tuple(each and labels[each.bytes] for each in row) for row in found.fetchall()]


@pytest.fixture
def council(tmp_path: Path) -> Council:
    """After its first submissions."""
    return Council(tmp_path)


NUMBERS = golden.people()


def test_adults_are_known_from_earlier_deliveries(council: Council) -> None:
    """The roster remembers whom a council's identifier stands for; somebody who opted out is not named."""
    row = council.row("N1", NUMBERS["hal"], "201", **{"1": "100", "2": "104", "3": "103"})
    assert council.linked(row) == [("ada", None, "dev")]


def test_an_identifier_of_two_people_names_nobody(council: Council) -> None:
    """One delivery gives it two numbers."""
    rows = [
        council.row("N1", NUMBERS["hal"], "201", **{"1": "300", "2": "100"}),
        council.row("N2", NUMBERS["ben"], "300"),
        council.row("N3", NUMBERS["cleo"], "300"),
    ]
    assert (None, "ada", None) in council.linked(*rows)


def test_a_later_number_of_an_identifier_counts(council: Council) -> None:
    """The council corrects whom it stands for."""
    rows = [council.row("N1", NUMBERS["hal"], "201", **{"1": "100"}), council.row("N2", NUMBERS["ben"], "100")]
    assert ("ben", None, None) in council.linked(*rows)


def test_a_row_of_somebody_who_opted_out_goes_whomever_it_names(council: Council) -> None:
    """The subject decides about the row."""
    rows = [
        council.row("N1", NUMBERS["eve"], "104", **{"1": "100"}),
        council.row("N2", NUMBERS["ben"], "101"),
    ]
    assert council.linked(*rows) == [(None, None, None)]


CLD = 'extends = "cld"\n[tables.event.columns]\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (CLD + "outcome = { other = true }", "another person has the role person"),
        (CLD + 'unit_cost = { value = "1" }', "a value is for text"),
        (CLD + 'nhs_number = { value = "9434765919" }', "a value is for text"),
        ('extends = "csds"\n[tables.primary_diagnosis]\ncodes = { system = "icd10" }', "codes need a system, or a scheme"),
        (
            'extends = "csds"\n[tables.primary_diagnosis]\n'
            'codes = { record = "referral", kind = "referral", scheme = "sheme", code = "diagnosis" }',
            "'sheme' is named but is not one of",
        ),
    ],
)  # fmt: skip
def test_nonsense_is_refused(text: str, said: str) -> None:
    """With the words that say what to correct."""
    with pytest.raises(ConfigurationError, match="a test") as caught:
        contract.parse(text, "a test")
    assert said in str(caught.value)


def test_a_code_of_no_system_is_refused() -> None:
    """One of the two says what the code is of."""
    text = (
        'extends = "csds"\n[tables.primary_diagnosis]\n'
        'codes = [{ record = "referral", kind = "referral", code = "diagnosis" }]'
    )
    with pytest.raises(ConfigurationError, match="codes need a system, or a scheme"):
        contract.parse(text, "a test")
