"""Practices that do not share, day by day, and people who moved to one: tables of cases, and a plain referee."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small import ALLOWED, GP_PRACTICES, NOW, OPTED_OUT, SmallIcs, make_gp_ics

from linkage.errors import PolicyError
from linkage.optouts import lists, practices
from linkage.optouts.practices import Sharing

TODAY = NOW.date()
HEAD = "not_sharing_ods_code,from,to,note"


def _sharing(folder: Path, *lines: str) -> Sharing:
    path = folder / "practices.csv"
    path.write_text("\n".join([HEAD, *lines, f"end,{len(lines)},{TODAY}", ""]))
    return Sharing({}, *practices.listed(lists.read(path, practices.HEADER, 35, NOW), TODAY))


# A line of the list, the day of a record of that practice, and whether the record is out on 24 November 2026.
DAYS = [
    ("P1,,,false", "2020-01-01", True),
    ("P1,2026-11-24,,", "2020-01-01", True),
    ("P1,2026-11-25,,", "2020-01-01", False),
    ("P1,,2026-11-24,", "2020-01-01", True),
    ("P1,2026-01-01,2026-11-23,", "2025-12-31", False),
    ("P1,2026-01-01,2026-11-23,", "2026-01-01", True),
    ("P1,2026-01-01,2026-11-23,", "2026-11-23", True),
    ("P1,2026-01-01,2026-11-23,", "2026-11-24", False),
    ("P1,2026-01-01,2026-11-23,", "", True),
    ("P1,,2026-11-23,", "1950-01-01", True),
    ("p1 ,,,", "2020-01-01", True),
    ("P2,,,", "2020-01-01", False),
    ("P2,2026-01-01,2026-11-23,", "", False),
]


@pytest.mark.parametrize(("line", "day", "out"), DAYS)
def test_a_line_counts_on_the_day_of_disclosure_and_on_the_day_of_the_record(
    tmp_path: Path, line: str, day: str, out: bool
) -> None:
    """First and last day are among them; without a date a record may be of any day."""
    sharing = _sharing(tmp_path, line)
    on = date.fromisoformat(day) if day else None
    frame = pl.DataFrame({"practice": ["P1", "p1", None], "day": [on] * 3}).cast({"day": pl.Date})
    out_today = sharing.not_sharing(pl.col("practice"), "gp")
    found = frame.select(out_today | sharing.was_not_sharing(pl.col("practice"), pl.col("day"))).to_series()
    assert found.to_list() == [out, out, False]


@pytest.mark.parametrize("line", [",2026-01-01,,", "P1,2026-13-01,,", "P1,2026-02-01,2026-01-01,", "P1,1 May 2026,,"])
def test_a_line_that_is_no_practice_with_dates_is_refused(tmp_path: Path, line: str) -> None:
    """Misread dates would let a practice's records in."""
    with pytest.raises(PolicyError, match="line 3: not a practice with dates"):
        _sharing(tmp_path, "P9,,,", line)


SHARES, NOT = True, False
A, B, C, D = (date(2020, month, 1) for month in (1, 4, 7, 10))
DAY = timedelta(days=1)
# Registrations as (shares, first day, last day); whether the person moved away, and the last day that an exemption lets in.
REGISTRATIONS: dict[str, tuple[list[tuple[bool, date | None, date | None]], bool, date | None]] = {
    "one that shares": ([(SHARES, A, None)], False, None),
    "left, nobody knows where to": ([(SHARES, A, B)], False, None),
    "never with one that shares": ([(NOT, A, None)], True, None),
    "to one that does not share": ([(SHARES, A, B), (NOT, C, None)], True, B),
    "and the day it began": ([(SHARES, A, None), (NOT, C, None)], True, C - DAY),
    "before it ended": ([(SHARES, A, D), (NOT, C, None)], True, C - DAY),
    "on one day": ([(SHARES, A, None), (NOT, A, None)], True, A - DAY),
    "from one that does not share": ([(NOT, A, B), (SHARES, B, None)], False, None),
    "from one whose end is not known": ([(NOT, A, None), (SHARES, B, None)], False, None),
    "there and back": ([(SHARES, A, B), (NOT, B, C), (SHARES, C, None)], False, None),
    "there, back and there": ([(SHARES, A, B), (NOT, B, C), (SHARES, C, D), (NOT, D, None)], True, D - DAY),
    "gone from there too": ([(SHARES, A, B), (NOT, B, C)], True, B - DAY),
    "without a beginning": ([(SHARES, A, B), (NOT, None, None)], True, B),
    "without one, ended before": ([(SHARES, C, None), (NOT, None, B)], False, None),
    "both without": ([(SHARES, None, None), (NOT, None, None)], True, None),
    "sharing without": ([(SHARES, None, None), (NOT, C, None)], True, C - DAY),
}


def _moved(rows: list[tuple[int, bool, date | None, date | None]]) -> dict[int, date | None]:
    schema = {"number": pl.Int64, "shares": pl.Boolean, "start": pl.Date, "end": pl.Date}
    found = practices.moved(pl.DataFrame(rows, schema=schema, orient="row"))
    return dict(found.iter_rows())


@pytest.mark.parametrize(("held", "away", "until"), REGISTRATIONS.values(), ids=REGISTRATIONS.keys())
def test_who_moved_to_a_practice_that_does_not_share(
    held: list[tuple[bool, date | None, date | None]], away: bool, until: date | None
) -> None:
    """The last registration decides, every doubt for leaving out."""
    assert _moved([(1, *each) for each in held]) == ({1: until} if away else {})


def _referee(held: list[tuple[bool, date | None, date | None]]) -> tuple[bool, date | None]:
    """Whether the person is away, and until when their records may be used under the exemption."""
    sharing = [(start or date.min, end) for shares, start, end in held if shares]
    others = [start or end or date.max for shares, start, end in held if not shares]
    if not sharing:
        return bool(others), None
    joined = max(start for start, _ in sharing)
    later = [began for began in others if began >= joined]
    if not later:
        return False, None
    ends = [end for start, end in sharing if start == joined and end is not None]
    days = ends + ([min(later) - DAY] if min(later) < date.max else [])
    return True, min(days, default=None)


days = st.none() | st.integers(0, 5).map(lambda days: A + timedelta(days=days))
held = st.lists(st.tuples(st.booleans(), days, days), max_size=5)


@given(st.lists(held, max_size=4))
def test_moving_agrees_with_a_plain_referee(people: list[list[tuple[bool, date | None, date | None]]]) -> None:
    """Random registrations, some of them without dates or with the wrong order of dates."""
    found = _moved([(who, *each) for who, own in enumerate(people) for each in own])
    expected = {who: _referee(own) for who, own in enumerate(people)}
    assert found == {who: until for who, (away, until) in expected.items() if away}


GP = (
    GP_PRACTICES
    + """deleted = { source = "deleted", role = "flag", removes = "deleted" }
[tables.code]
files = "code_*.csv"
primary_key = "code_id"
month = "day"
type1 = { record = "code_id", code = "snomed", date = "day", deleted = "deleted" }
[tables.code.columns]
code_id = { source = "id", role = "record", namespace = "gp.code", required = true }
patient = { source = "patient", role = "person_key", namespace = "gp.patient", required = true }
day = { source = "day", role = "date" }
snomed = { source = "snomed", role = "code" }
deleted = { source = "deleted", role = "flag", removes = "deleted" }
"""
)


@pytest.fixture
def ics(tmp_path: Path) -> SmallIcs:
    """The small ICS with a GP feed: P1 shares, P2 does not; the first person was with both."""
    ics = make_gp_ics(tmp_path)
    ics.add_feed("gp", GP)
    write(ics, "agreement", "practice,active", "P1,true", "P2,false")
    write(ics, "patient", "id,nhs,practice,start,end,deleted", f"a,{ALLOWED},P1,2020-01-01,2026-03-31,false")
    codes = ("c1,a,2026-02-01,1,false", "c2,a,2026-03-31,1,false", "c3,a,2026-04-01,1,false", "c4,a,,1,false")
    write(ics, "code", "id,patient,day,snomed,deleted", *codes)
    return ics


def write(ics: SmallIcs, table: str, *lines: str, stamp: str = "20261120") -> Path:
    """One file of the GP feed."""
    path = ics.folder / "gp" / f"{table}_{stamp}.csv"
    path.write_text("\n".join([*lines, ""]))
    return path


def _to_p2(ics: SmallIcs, registered: str = "2026-04-01,,false") -> None:
    with (ics.folder / "gp" / "patient_20261120.csv").open("a") as file:
        file.write(f"b,{ALLOWED},P2,{registered}\n")


EXEMPT = '[[optouts.exemptions]]\noptout = "practices_moved"\nreference = "EX-2"\n'


def test_a_person_who_moved_has_no_gp_records_unless_an_exemption_says_until_when(ics: SmallIcs) -> None:
    """Hospital records stay; with the exemption what was dated before, and nothing without a date."""
    assert ics.run().tables["gp_code"] == 4
    _to_p2(ics)
    report = ics.run()
    assert (report.tables["gp_code"], report.tables["gp_patient"]) == (0, 0)
    assert report.removed["practice_not_sharing"] == 6
    assert report.tables["sus_op_appointment"] == 5
    with ics.configuration.open("a") as file:
        file.write(EXEMPT)
    report = ics.run()
    assert (report.tables["gp_code"], report.tables["gp_patient"]) == (2, 1)


def test_where_somebody_moved_to_is_remembered(ics: SmallIcs) -> None:
    """From an extract that is gone; a later one that deletes the registration takes it back."""
    _to_p2(ics)
    ics.run()
    write(ics, "patient", "id,nhs,practice,start,end,deleted", f"a,{ALLOWED},P1,2020-01-01,2026-03-31,false")
    assert ics.run().tables["gp_code"] == 0
    write(
        ics, "patient", "id,nhs,practice,start,end,deleted", f"b,{ALLOWED},P2,2026-04-01,,true", stamp="20261121"
    )  # fmt: skip
    assert ics.run().tables["gp_code"] == 4


def test_an_exemption_from_practices_lifts_all_of_it(ics: SmallIcs) -> None:
    """Agreements, list and moves."""
    _to_p2(ics)
    with ics.configuration.open("a") as file:
        file.write(EXEMPT.replace("practices_moved", "practices"))
    report = ics.run()
    assert (report.tables["gp_code"], report.tables["gp_patient"]) == (4, 2)


def test_records_of_a_period_in_which_the_practice_did_not_share(ics: SmallIcs) -> None:
    """And those without a date; the registration itself is of today."""
    (ics.folder / "list.csv").write_text(f"{HEAD}\nP1,2026-03-01,2026-03-31,\nend,1,2026-11-20\n")
    with ics.configuration.open("a") as file:
        file.write('[optouts.practices]\nlist = "list.csv"\n')
    report = ics.run()
    assert (report.tables["gp_code"], report.tables["gp_patient"]) == (2, 1)


DISSENT, WITHDRAWAL, ASTHMA = "827241000000103", "827261000000102", "195967001"
# Versions of one record as (delivery, code, deleted) after a dissent of another record on 1 January 2026; whether out.
VERSIONS = {
    "withdrawn": ([("20261120", WITHDRAWAL, "")], False),
    "the withdrawal deleted": ([("20261120", WITHDRAWAL, ""), ("20261121", WITHDRAWAL, "true")], True),
    "a mark of deletion that cannot be read": ([("20261120", WITHDRAWAL, "perhaps")], True),
    "the withdrawal was another code": ([("20261120", WITHDRAWAL, ""), ("20261121", ASTHMA, "")], True),
    "the withdrawal lost its code": ([("20261120", WITHDRAWAL, ""), ("20261121", "", "")], True),
    "in a broken row": ([("20261120", WITHDRAWAL, ",,")], True),
    "corrected the other way": ([("20261120", ASTHMA, ""), ("20261121", WITHDRAWAL, "")], False),
}


@pytest.mark.parametrize(("versions", "out"), VERSIONS.values(), ids=VERSIONS.keys())
def test_the_latest_version_of_a_record_counts(ics: SmallIcs, versions: list[tuple[str, str, str]], out: bool) -> None:
    """In one run, and from run to run with the earlier extract gone."""
    with ics.configuration.open("a") as file:
        file.write("[quality]\nmax_invalid = 1.0\nmax_malformed = 1.0\n")
    head = "id,patient,day,snomed,deleted"
    write(ics, "code", head, f"d1,a,2026-01-01,{DISSENT},", stamp="20261119")
    (ics.folder / "gp" / "code_20261120.csv").unlink()
    for stamp, code, deleted in versions:
        write(ics, "code", head, f"d2,a,2026-02-01,{code},{deleted}", stamp=stamp)
    assert (ics.run().tables["sus_op_appointment"] == 1) is out
    if len(versions) == 2:
        last = ics.folder / "gp" / "code_20261121.csv"
        later = last.read_text()
        last.unlink()
        ics.store.rename(ics.folder / "old")
        (ics.folder / "private").rename(ics.folder / "old_private")
        assert (ics.run().tables["sus_op_appointment"] == 1) is (versions[0][1] != WITHDRAWAL)
        for path in (ics.folder / "gp").glob("code_*.csv"):
            path.unlink()
        write(ics, "code", *later.splitlines(), stamp="20261121")
        assert (ics.run().tables["sus_op_appointment"] == 1) is out


def test_a_dissent_that_became_another_code_counts_no_more_but_an_empty_code_takes_none_back(ics: SmallIcs) -> None:
    """The GP corrected the record; what lost its code may still be a dissent."""
    head = "id,patient,day,snomed,deleted"
    write(ics, "code", head, f"d1,a,2026-01-01,{DISSENT},")
    write(ics, "code", head, "d1,a,2026-01-01,,", stamp="20261121")
    assert ics.run().tables["sus_op_appointment"] == 1
    write(ics, "code", head, f"d1,a,2026-01-01,{ASTHMA},", stamp="20261121")
    assert ics.run().tables["sus_op_appointment"] == 5


def test_a_key_with_two_numbers_says_no_for_both_people(ics: SmallIcs) -> None:
    """Nobody can tell whose dissent it is, also not in a later run; hospital records of either are out."""
    write(ics, "patient", "id,nhs,practice,start,end,deleted", f"a,{ALLOWED},P1,,,false", f"a,{OPTED_OUT},P1,,,false")
    write(ics, "code", "id,patient,day,snomed,deleted", f"d1,a,2026-01-01,{DISSENT},")
    assert ics.run().tables["sus_op_appointment"] == 0
    write(ics, "patient", "id,nhs,practice,start,end,deleted", "z,,P1,,,false", stamp="20261121")
    (ics.folder / "gp" / "patient_20261120.csv").unlink()
    assert ics.run().tables["sus_op_appointment"] == 0
    write(ics, "patient", "id,nhs,practice,start,end,deleted", f"a,{OPTED_OUT},P1,,,false", stamp="20261122")
    assert ics.run().tables["sus_op_appointment"] == 4
