"""Who moved to a practice that does not share, by the roster: what is left unread of it changes nothing."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import polars as pl
from hypothesis import example, given
from hypothesis import strategies as st

from linkage import recorded
from linkage.optouts import practices
from linkage.optouts.practices import Sharing
from linkage.sources.resolve import people
from linkage.sources.roster import Roster
from linkage.sources.roster_tables import BY_NUMBER, ENTRIES, REGISTRATIONS, SUPERSEDED

AT = datetime(2026, 11, 1)
ANN, BOB, CAT, DAN = 4000000012, 4000000020, 4000000039, 4000000047
OLD = 4000000055  # Ann's, until it was replaced
KEYS = {"a": ANN, "a_old": OLD, "b": BOB, "c": CAT, "nobody": None}
SHARING = Sharing({"agreed": frozenset({"P1", "P2"})}, frozenset({"P2"}))

days = st.none() | st.integers(0, 3).map(lambda day: date(2020, 1, 1) + timedelta(days=day))
who = st.one_of(
    st.tuples(st.just("gp"), st.sampled_from(sorted(KEYS))),
    st.tuples(st.just("other"), st.sampled_from(["a", "unknown"])),
    st.tuples(st.just(BY_NUMBER), st.sampled_from([ANN, OLD, BOB, DAN]).map(str)),
)
registered = st.tuples(
    st.sampled_from(["agreed", "listed"]),
    who,
    st.sampled_from(["P1", "P2", "p2", "P3", None]),
    days,
    days,
    st.booleans(),
)


def _roster(rows: list[tuple[str, tuple[str, str], str | None, date | None, date | None, bool]]) -> Roster:
    entries = [
        *(("gp", key, number, None if number else "number_missing") for key, number in KEYS.items()),
        ("other", "a", DAN, None),
    ]
    frame = pl.DataFrame(
        [(*each, None, None, None, False, AT) for each in entries],
        schema=ENTRIES,
        orient="row",
        infer_schema_length=None,
    )
    told = [(feed, *key, practice, start, end, deleted, AT) for feed, key, practice, start, end, deleted in rows]
    replaced = pl.DataFrame([(OLD, ANN, AT)], schema=SUPERSEDED, orient="row")
    registrations = pl.DataFrame(told, schema=REGISTRATIONS, orient="row", infer_schema_length=None)
    return Roster.empty().with_entries([frame]).with_superseded([replaced]).with_registrations([registrations])


def _referee(known: Roster) -> dict[int, date | None]:
    """Every registration of everybody, person by person."""
    keys = {("gp", key): ANN if number == OLD else number for key, number in KEYS.items()}
    keys |= (
        {("other", "a"): DAN}
        | {(BY_NUMBER, str(each)): each for each in (ANN, BOB, DAN)}
        | {(BY_NUMBER, str(OLD)): ANN}
    )
    found = []
    for feed, namespace, key, practice, start, end, deleted, _ in known.registrations.iter_rows():
        number = keys.get((namespace, key))
        out = practice in {"P2", "p2"} or (feed == "agreed" and practice != "P1")
        if number and not deleted:
            found.append((number, not out, start, end))
    schema = {"number": pl.Int64, "shares": pl.Boolean, "start": pl.Date, "end": pl.Date}
    return dict(practices.moved(pl.DataFrame(found, schema=schema, orient="row")).iter_rows())


@given(st.lists(registered, max_size=8))
@example(
    [("agreed", ("gp", "a_old"), None, None, None, False), ("listed", (BY_NUMBER, str(OLD)), "P1", None, None, False)]
)
def test_leavers_are_told_by_those_who_were_ever_with_a_practice_that_does_not_share(
    rows: list[tuple[str, tuple[str, str], str | None, date | None, date | None, bool]],
) -> None:
    """Whatever number, key or feed their other registrations came under."""
    known = _roster(rows)
    found = recorded.leavers(SHARING, known, people(known, allow_test=False))
    assert dict(found.iter_rows()) == _referee(known)
