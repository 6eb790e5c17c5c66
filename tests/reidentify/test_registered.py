"""With which practice somebody is registered now, against a plain referee, and what the decision about each makes of it."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from linkage import recorded
from linkage.reidentify.judged import JUDGED, Withheld, decide
from linkage.sources.resolve import people
from linkage.sources.roster import Roster
from linkage.sources.roster_tables import BY_NUMBER, REGISTRATIONS, SUPERSEDED

TODAY = date(2026, 11, 24)
NUMBERS = (4000000632, 4010232137, 9876543210)
REPLACED, BY = 9434765919, NUMBERS[0]
Row = tuple[str, int, str | None, date | None, date | None, bool]

days = st.none() | st.integers(-3, 3).map(lambda days: TODAY + timedelta(days=days))
rows = st.lists(
    st.tuples(
        st.sampled_from(["gp", "pds"]),
        st.sampled_from([*NUMBERS, REPLACED]),
        st.none() | st.sampled_from(["P1", "P2"]),
        days,
        days,
        st.booleans(),
    ),
    max_size=8,
)


def _roster(found: list[Row]) -> Roster:
    stamp = datetime(2026, 11, 20)
    table = pl.DataFrame(
        [(feed, BY_NUMBER, str(number), *rest, stamp) for feed, number, *rest in found],
        schema=REGISTRATIONS,
        orient="row",
    )
    merged = pl.DataFrame([(REPLACED, BY, stamp)], schema=SUPERSEDED, orient="row")
    return Roster.empty().with_superseded([merged]).with_registrations([table])


def _referee(found: list[Row], number: int) -> str | None:
    """The practice, `?` where several say so, None where none does."""
    # Of one registration that a feed tells of twice on one day, all count, as they were delivered together.
    own = [
        (practice, start, end)
        for _, who, practice, start, end, deleted in found
        if (BY if who == REPLACED else who) == number and not deleted and (start is None or start <= TODAY)
    ]
    last = max((start for _, start, _ in own if start), default=None)
    latest = [each for each in own if each[1] is None or each[1] == last]
    practices = {practice for practice, _, _ in latest if practice}
    open_ = {each for each in practices if not any(p == each and end and end <= TODAY for p, _, end in latest)}
    return None if not open_ else open_.pop() if len(open_) == 1 else "?"


@given(rows)
def test_where_people_are_registered_agrees_with_a_plain_referee(found: list[Row]) -> None:
    """Random registrations of several feeds, some without a day, with a replaced number, or ended."""
    known = _roster(found)
    made = recorded.registered(known, people(known, allow_test=True), TODAY)
    assert made["number"].is_duplicated().sum() == 0
    told = {number: "?" if unclear else practice for number, practice, unclear in made.iter_rows()}
    assert {number: told.get(number) for number in NUMBERS} == {number: _referee(found, number) for number in NUMBERS}


cases = st.lists(
    st.tuples(
        st.none() | st.sampled_from(NUMBERS),
        st.none() | st.just("national_opt_out"),
        st.none() | st.sampled_from(["P1", "P2", "P3"]),
        st.booleans(),
        st.booleans(),
        st.sampled_from([True, True, False]),
    ),
    max_size=6,
)


@given(cases)
def test_nobody_goes_anywhere_unless_nothing_speaks_against_it(found: list[tuple[object, ...]]) -> None:
    """Only to a recipient with a key, known by a number, once, registered there for certain, sharing, and with no objection."""
    decided = decide(pl.DataFrame(found, schema=JUDGED, orient="row"), {"P1", "P2"}, {"P1", "P3"})
    assert decided.height == len(found)
    going = decided.filter(pl.col("withheld").is_null())
    assert going["number"].null_count() == 0
    assert not going["number"].is_duplicated().any()
    assert {*going["practice"]} <= {"P1"}
    assert not going.filter(pl.col("unclear") | pl.col("not_sharing") | pl.col("said_no").is_not_null()).height
    assert going["published"].all()
    reasons = {*decided["withheld"].drop_nulls()}
    assert reasons <= {"national_opt_out", *Withheld}
    alone = [each for each in found if each[0] == NUMBERS[0]]
    if len(alone) == 1 and alone[0][1:] == (None, "P1", False, False, True):
        assert going.filter(pl.col("number") == NUMBERS[0]).height == 1
