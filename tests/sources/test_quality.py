"""What is counted about an extract: each count by a specification table, and all of them against a plain referee."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from types import SimpleNamespace

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small import ALLOWED, HEADER, NOT_ASKED, SmallIcs, make_small_ics

from linkage import contract
from linkage.nhs_number import by_range, counts_below, range_of
from linkage.sources import clean, quality
from linkage.sources.quality import FileQuality
from linkage.sources.resolve import people, resolve
from linkage.sources.roster import Roster

STATUS = "appointment.patient.identity.nhs_number.status"
PLAIN = {
    "PRIMARYKEY_ID": "",
    "appointment.identifier": "a",
    "appointment.patient.identity.nhs_number.value": ALLOWED,
    "appointment.patient.identity.birth_date": "1950-05-02",
    "appointment.patient.identity.gender": "1",
    "appointment.patient.registration.general_practice": "Z99001",
    "appointment.patient.residence.postcode": "QX1 1AA",
    "appointment.date": "2026-05-01",
    "appointment.time": "10:00",
    "appointment.first_attendance": "1",
    "appointment.attended_or_dna": "5",
    "appointment.outcome": "1",
    "appointment.commissioning.service_agreement.provider": "ZZ1",
    "appointment.commissioning.service_agreement.commissioner": "QXX",
    "appointment.commissioning.tariff_calculation.final_price": "12.5",
    "appointment.patient.identity.withheld_identity_reason": "",
    "system.record.confidentiality_category": "",
    STATUS: "01",
}
NUMBER = "appointment.patient.identity.nhs_number.value"
PRICE = "appointment.commissioning.tariff_calculation.final_price"
PRACTICE = "appointment.patient.registration.general_practice"


@dataclass(frozen=True)
class Case:
    """One cell of an otherwise good row, and the one count that it raises."""

    source: str
    value: str
    counted: str


# column as delivered, what is written there, and where it is counted
CASES = (
    Case("appointment.date", "", "appointment_date missing"),
    Case("appointment.date", "1800-01-01", "appointment_date missing"),  # a sentinel of the feed
    Case("appointment.date", "31/12/2025", "appointment_date unreadable"),
    Case("appointment.date", "2026-02-30", "appointment_date unreadable"),
    Case("appointment.date", "1849-12-31", "appointment_date out_of_range"),
    Case("appointment.date", "2150-01-02", "appointment_date out_of_range"),
    Case("appointment.date", "2025-11-19", "late"),  # delivered 2026-11-20, late after 365 days
    Case("appointment.date", "2025-11-20", ""),
    Case("appointment.date", "2026-11-21", ""),  # the stamp has no time zone: a day is allowed
    Case("appointment.date", "2026-11-22", "future"),
    Case("appointment.time", "25:00", "appointment_time unreadable"),
    Case("appointment.patient.identity.gender", "3", "sex unknown_code"),
    Case("appointment.patient.identity.gender", " ", "sex missing"),
    Case(PRACTICE, ALLOWED, "practice like_nhs_number"),
    Case(PRACTICE, "943 476 5919", "practice like_nhs_number"),
    Case(PRICE, "twelve", "final_price unreadable"),
    Case(PRICE, "inf", "final_price unreadable"),
    Case(PRICE, ALLOWED, "final_price like_nhs_number"),
    Case(NUMBER, "", "nhs_number missing"),
    Case(NUMBER, "  ", "nhs_number missing"),
    Case(NUMBER, "943476591", "nhs_number number_malformed"),
    Case(NUMBER, "4444444444", "nhs_number number_blocked"),
    Case(NUMBER, "1234567890", "nhs_number number_check_digit"),
    Case(NUMBER, NOT_ASKED, "range england"),
    Case(NUMBER, "0101011113", "range scotland"),
    Case(NUMBER, "3462950622", "range northern_ireland"),
    Case(NUMBER, "8453035113", "range ireland"),
    Case(STATUS, "04", "status 04"),
    Case(STATUS, "7", "status 07"),
    Case(STATUS, "09", "status other"),
    Case(STATUS, "", "number_status missing"),
    Case("appointment.identifier", "", "appointment_identifier missing"),
    Case("appointment.patient.residence.postcode", "", "postcode missing"),
)


@pytest.fixture(scope="module")
def ics(tmp_path_factory: pytest.TempPathFactory) -> SmallIcs:
    """A run over one row of each case."""
    ics = make_small_ics(tmp_path_factory.mktemp("quality"))
    lines = [",".join(PLAIN)]
    for key, case in enumerate(CASES, start=1):
        row = PLAIN | {"PRIMARYKEY_ID": str(key), case.source: case.value}
        lines.append(",".join(row.values()))
    ics.extract.write_text("\n".join(lines) + "\n")
    ics.replace("max_not_asked = 0.2", "max_not_asked = 1.0")
    with ics.configuration.open("a") as file:
        file.write("[quality]\nmax_invalid = 1.0\n")
    return ics


@pytest.fixture(scope="module")
def counted(ics: SmallIcs) -> Counter[str]:
    """Every count of the exact account, by the name that the table of cases gives it."""
    report = ics.run()
    account = json.loads((ics.folder / "private" / "runs" / f"{report.run_id}.json").read_text())
    (file,) = account["files"]
    counts = Counter({name: file[name] for name in ("late", "future", "rows")})
    counts += Counter({f"range {name}": rows for name, rows in file["ranges"].items()})
    counts += Counter({f"status {name}": rows for name, rows in file["status"].items()})
    for each in account["quality"]:
        assert each["written"] + each["missing"] == file["rows"]
        assert each["invalid"] == sum(each["reasons"].values())
        counts[f"{each['column']} missing"] = each["missing"]
        counts += Counter({f"{each['column']} {reason}": cells for reason, cells in each["reasons"].items()})
    return counts


@pytest.mark.parametrize("what", sorted({case.counted for case in CASES} - {""}))
def test_each_count(counted: Counter[str], what: str) -> None:
    """As often as the table writes it, and no more."""
    assert counted[what] == sum(case.counted == what for case in CASES)


def test_nothing_else_is_counted(counted: Counter[str]) -> None:
    """What is not in the table is what every good row has, and columns that were not delivered."""
    usable = len(CASES) - sum(case.source == NUMBER for case in CASES)
    rest = {name: rows for name, rows in counted.items() if rows and name not in {case.counted for case in CASES}}
    absent = {name: rows for name, rows in rest.items() if name.endswith("missing")}
    assert set(absent.values()) == {len(CASES)}
    assert "consultation_medium missing" in absent
    assert {name: rows for name, rows in rest.items() if name not in absent} == {
        "rows": len(CASES),
        "range test": usable,
        "status 01": len(CASES) - sum(case.source == STATUS for case in CASES),
    }


CONTRACT = contract.parse(
    """
name = "visits"
setting = "community"
sentinels = ["1900-01-01"]
[tables.visit]
files = "*.csv"
primary_key = "visit"
month = "day"
[tables.visit.columns]
visit = { source = "visit", role = "record", namespace = "visits.visit" }
nhs_number = { source = "nhs", role = "person" }
carer = { source = "carer", role = "person", other = true }
day = { source = "day", role = "date", formats = ["%Y-%m-%d", "%d/%m/%Y"] }
seen = { source = "seen", role = "date", type = "datetime", formats = "%Y-%m-%dT%H:%M" }
sex = { source = "sex", role = "category", codes = ["1", "2"] }
ward = { source = "ward", role = "category", sentinels = ["NONE"] }
cost = { source = "cost", role = "number", type = "integer" }
seated = { source = "seated", role = "flag" }
""",
    "visits",
)
# Each value a cell can have, and how it is to be counted.
CELLS: dict[str, dict[str | None, str]] = {
    "visit": {None: "missing", "": "missing", "v1": ""},
    "nhs_number": {None: "missing", " ": "missing", ALLOWED: "", "12": "number_malformed", "1234567890": "number_check_digit"},
    "carer": {None: "missing", "": "missing", ALLOWED: "", "12": "missing"},
    "day": {
        None: "missing", "1900-01-01": "missing", "2026-05-01": "", "01/05/2026": "", "x": "unreadable",
        "0001-01-01": "out_of_range", "01/01/1700": "out_of_range",
    },
    "seen": {None: "missing", "2026-05-01T10:00": "", "2026-05-01": "unreadable", "2300-01-01T00:00": "out_of_range"},
    "sex": {None: "missing", "1": "", "2": "", "3": "unknown_code", ALLOWED: "unknown_code"},
    "ward": {None: "missing", "NONE": "missing", "A": "", "943-476-5919": "like_nhs_number"},
    "cost": {None: "missing", "5": "", "5.5": "unreadable", "many": "unreadable", ALLOWED: "like_nhs_number"},
    "seated": {None: "missing", "Y": "", "no": "", "maybe": "unreadable"},
}  # fmt: skip
SOURCES = tuple(column.source[0] for column in CONTRACT.tables["visit"].columns.values())
ROWS = st.lists(st.fixed_dictionaries({name: st.sampled_from(list(values)) for name, values in CELLS.items()}))


def count(rows: list[dict[str, str | None]], late_after: int = 365) -> FileQuality:
    """The counts of some rows of the contract above, delivered at noon of 2 May 2026."""
    table = CONTRACT.tables["visit"]
    delivered = datetime(2026, 5, 2, 12, tzinfo=UTC)
    frame = pl.LazyFrame(rows, schema=dict.fromkeys(CELLS, pl.String)).with_row_index("_row", offset=1)
    frame = frame.with_columns(pl.lit(value=False).alias("_malformed"))
    frame = clean.clean(frame, CONTRACT, table, {})
    frame = resolve(frame, table, people(Roster.empty(), allow_test=True), allow_test=True)
    found = frame.select(quality.counts(table, delivered, late_after)).collect().row(0, named=True)
    return quality.tally(
        "visits", "visit", table, SimpleNamespace(path=Path("v.csv"), malformed=(), header=SOURCES), found
    )


@settings(deadline=None, max_examples=60)
@given(ROWS)
def test_columns_agree_with_a_plain_referee(rows: list[dict[str, str | None]]) -> None:
    """Missing, invalid by reason and the first invalid row, whatever the mixture."""
    counted = count(rows)
    assert counted.rows == len(rows)
    assert [column.column for column in counted.columns] == list(CELLS)
    for column in counted.columns:
        told = [CELLS[column.column][row[column.column]] for row in rows]
        faults = Counter(fault for fault in told if fault not in ("", "missing"))
        assert column.reasons == dict(faults)
        assert column.invalid == faults.total()
        assert column.missing == told.count("missing")
        assert column.written + column.missing == len(rows)
        first = next((place for place, fault in enumerate(told, start=1) if fault not in ("", "missing")), 0)
        assert column.first_invalid == (0 if column.column == "nhs_number" else first)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.dates(date(2024, 1, 1), date(2028, 1, 1))), st.integers(1, 1000))
def test_late_and_future_agree_with_a_plain_referee(days: list[date], late_after: int) -> None:
    """By whole days from the day of the delivery, 2 May 2026, its hour left aside."""
    counted = count([dict.fromkeys(CELLS) | {"day": day.isoformat()} for day in days], late_after)
    before = [(date(2026, 5, 2) - day).days for day in days]
    assert counted.late == sum(by > late_after for by in before)
    assert counted.future == sum(by < -1 for by in before)


@settings(deadline=None)
@given(st.lists(st.integers(0, 9_999_999_999)))
def test_ranges_agree_with_the_scalar(numbers: list[int]) -> None:
    """Every number is in one range."""
    frame = pl.DataFrame({"number": pl.Series([*numbers, None], dtype=pl.Int64)})
    found = frame.select(value.alias(str(place)) for place, value in enumerate(counts_below("number"))).row(0)
    assert by_range(found) == dict(Counter(range_of(each) for each in numbers))


def test_the_header_of_the_cases_is_that_of_the_small_ics() -> None:
    """One more column than there: the status indicator."""
    assert list(PLAIN) == [*HEADER.split(","), STATUS]


def test_columns_that_are_not_read_and_columns_that_are_not_there(tmp_path: Path) -> None:
    """Counted by file; the file's own names are not repeated, since a broken header can hold anything."""
    ics = make_small_ics(tmp_path)
    lines = ics.extract.read_text().splitlines()
    lines = [f"{lines[0]},surname,944 944 9449", *(f"{line},x,y" for line in lines[1:])]
    ics.extract.write_text("\n".join(lines).replace("appointment.outcome", "outcome_of_it") + "\n")
    report = ics.run()
    text = (ics.folder / "private" / "runs" / f"{report.run_id}.json").read_text()
    account = json.loads(text)
    (file,) = account["files"]
    assert file["unread"] == 3
    assert {"outcome", "number_status"} <= set(file["absent"])
    assert {each["missing"] for each in account["quality"] if each["column"] in file["absent"]} == {10}
    assert not re.search("outcome_of_it|944 944", text)
    (table,) = account["snapshot"]["quality"]
    assert (table["unread"], table["absent"]) == (3, file["absent"])
