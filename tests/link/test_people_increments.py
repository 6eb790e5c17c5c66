"""Events, codes, persons and registrations of an increment are those of a full link: the same rows in the same order."""

from __future__ import annotations

import tempfile
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest
from bundles import FIRST, Row
from hypothesis import given, settings
from hypothesis import strategies as st

from increments import TABLES, Files, Linked, World, both, same
from linkage.errors import IntegrityError

MAY, JUNE, JULY = date(2026, 5, 9), date(2026, 6, 1), date(2026, 7, 31)
DELIVERED = FIRST.date()


def stay(key: int | None, person: int | None = 1, day: date | None = MAY, **more: Any) -> Row:
    return {"token": person, "stay": key, "admitted": day, **more}


def finding(key: int | None, code: str = "11", person: int | None = 1, **more: Any) -> Row:
    return {"token": person, "stay": key, "place": 1, "code": code, "scheme": "icd10", **more}


def world(**files: Files) -> World:
    return {name: files.get(name, ()) for name in TABLES}


MANY = stay(7, 7, MAY), stay(8, 8, JUNE), stay(9, 9, JULY)
WITH_CODES = tuple({**row, "code_one": "I21"} for row in MANY)


def test_a_month_without_changes_is_linked(tmp_path: Path) -> None:
    dated = ("ward_trip", "calls_call", "homes_patient")
    linked = same(
        tmp_path, world(ward_stay=[(0, WITH_CODES)]), world(ward_stay=[(0, WITH_CODES), (1, [stay(1, 1, JUNE)])])
    )
    assert linked == {
        "event/feed=ward/month=2026-05/part-00000.parquet",
        "event/feed=ward/month=2026-07/part-00000.parquet",
        "event_code/feed=ward/month=2026-05/part-00000.parquet",
        "event_code/feed=ward/month=2026-06/part-00000.parquet",
        "event_code/feed=ward/month=2026-07/part-00000.parquet",
        "registration/part-00000.parquet",
        "ward_stay/month=2026-05/part-00000.parquet",
        "ward_stay/month=2026-07/part-00000.parquet",
        *(
            f"{table}/{'month=undated/' if table in dated else ''}part-00000.parquet"
            for table in TABLES
            if table != "ward_stay"
        ),
    }


MIDNIGHT_AFTER = 24 * 3600 * 10**6  # of a day, microseconds: 24:00, which Parquet can say and Python cannot
ONE = stay(1, 1, MAY, code_one="I21", admitted_at=time(23, 59))
CALL = {"token": 1, "call": 1, "at": datetime(2026, 5, 1, 12), "code": "a"}
NAMED: dict[str, tuple[World, World]] = {
    "nothing changed": (world(ward_stay=[(0, MANY)]), world(ward_stay=[(0, MANY)])),
    "nothing at all": (world(), world()),
    "what was believed goes, and an older row says otherwise": (
        world(ward_stay=[(0, [*MANY, stay(1, 1, MAY, sex="M")]), (1, [stay(2, 1, JUNE, sex="F")])]),
        world(ward_stay=[(0, [*MANY, stay(1, 1, MAY, sex="M")]), None]),
    ),
    "what was believed becomes older than what says otherwise": (
        world(ward_stay=[(0, [*MANY, stay(1, 1, MAY, sex="M")]), (1, [stay(2, 1, JUNE, sex="F")])]),
        world(
            ward_stay=[
                (0, [*MANY, stay(1, 1, MAY, sex="M")]),
                (1, [stay(2, 1, JUNE, sex="F")]),
                (2, [stay(2, 1, date(2026, 4, 1), sex="F")]),
            ]
        ),
    ),
    "an event of the last midnight of a month comes, beside others of the next month": (
        world(ward_stay=[(0, MANY)]),
        world(ward_stay=[(0, MANY), (1, [stay(1, 1, date(2026, 5, 31), admitted_at=MIDNIGHT_AFTER, code_one="I21")])]),
    ),
    "an event of the last midnight of a month is there, and one of the next month comes": (
        world(ward_stay=[(0, [*MANY, stay(1, 1, date(2026, 5, 31), admitted_at=MIDNIGHT_AFTER, code_one="I21")])]),
        world(
            ward_stay=[
                (0, [*MANY, stay(1, 1, date(2026, 5, 31), admitted_at=MIDNIGHT_AFTER, code_one="I21")]),
                (1, [stay(2, 2, JUNE)]),
            ]
        ),
    ),
    "an event moves to another month": (
        world(ward_stay=[(0, [*MANY, ONE])]),
        world(ward_stay=[(0, [*MANY, ONE]), (1, [{**ONE, "admitted": JUNE}])]),
    ),
    "a month empties": (world(ward_stay=[(0, [ONE]), (1, MANY[1:])]), world(ward_stay=[None, (1, MANY[1:])])),
    "an event loses its date": (
        world(ward_stay=[(0, [*MANY, ONE])], ward_finding=[(0, [finding(1)])]),
        world(ward_stay=[(0, [*MANY, ONE]), (1, [{**ONE, "admitted": None}])], ward_finding=[(0, [finding(1)])]),
    ),
    "an event becomes another person's": (
        world(ward_stay=[(0, [*MANY, ONE])]),
        world(ward_stay=[(0, [*MANY, ONE]), (1, [{**ONE, "token": 7}])]),
    ),
    "a code comes to an old event": (
        world(ward_stay=[(0, MANY)], ward_finding=[(0, [finding(7)])]),
        world(ward_stay=[(0, MANY)], ward_finding=[(0, [finding(7)]), (1, [finding(8), finding(7, "22", place=2)])]),
    ),
    "a code changes": (
        world(ward_stay=[(0, MANY)], ward_finding=[(0, [finding(7), finding(8)])]),
        world(ward_stay=[(0, MANY)], ward_finding=[(0, [finding(7), finding(8)]), (1, [finding(7, "33")])]),
    ),
    "a code goes": (
        world(ward_stay=[(0, MANY)], ward_finding=[(0, [finding(7), finding(8)])]),
        world(ward_stay=[(0, MANY)], ward_finding=[(0, [finding(7), finding(8)]), (1, [finding(7, _deleted=True)])]),
    ),
    "the event moves and its codes with it": (
        world(ward_stay=[(0, [*MANY, ONE])], ward_finding=[(0, [finding(1), finding(7)])]),
        world(
            ward_stay=[(0, [*MANY, ONE]), (1, [{**ONE, "admitted": JULY}])],
            ward_finding=[(0, [finding(1), finding(7)])],
        ),
    ),
    "codes wait for their event": (
        world(ward_stay=[(0, MANY)], ward_finding=[(0, [finding(1), finding(2), finding(7)])]),
        world(ward_stay=[(0, MANY), (1, [ONE])], ward_finding=[(0, [finding(1), finding(2), finding(7)])]),
    ),
    "codes lose their event": (
        world(ward_stay=[(0, [*MANY, ONE])], ward_finding=[(0, [finding(1), finding(7)])]),
        world(
            ward_stay=[(0, [*MANY, ONE]), (1, [{**ONE, "_deleted": True}])],
            ward_finding=[(0, [finding(1), finding(7)])],
        ),
    ),
    "codes without a record": (
        world(ward_finding=[(0, [finding(None), finding(None, place=2)])]),
        world(ward_finding=[(0, [finding(None), finding(None, place=2)]), (1, [finding(None, "44", place=3)])]),
    ),
    "a record that occurs twice, first leg goes": (
        world(
            ward_trip=[
                (0, [{"token": 1, "leg": 1, "trip": 5, "entered": JULY, "began": MAY, "code": "a", "scheme": "x"}]),
                (0, [{"token": 1, "leg": 2, "trip": 5, "entered": MAY, "began": JUNE, "code": "b"}]),
            ],
            ward_remark=[(0, [{"token": 1, "remark": 1, "trip": 5, "code": "c"}])],
        ),
        world(
            ward_trip=[None, (0, [{"token": 1, "leg": 2, "trip": 5, "entered": MAY, "began": JUNE, "code": "b"}])],
            ward_remark=[(0, [{"token": 1, "remark": 1, "trip": 5, "code": "c"}])],
        ),
    ),
    "the month of a file is not that of its events": (
        world(ward_trip=[(0, [{"token": 1, "leg": 1, "trip": 5, "entered": JULY, "began": MAY}])]),
        world(
            ward_trip=[
                (0, [{"token": 1, "leg": 1, "trip": 5, "entered": JULY, "began": MAY}]),
                (1, [{"token": 1, "leg": 2, "trip": 6, "entered": JULY, "began": JUNE}]),
            ]
        ),
    ),
    "a code of a record that is its table's key changes": (
        world(calls_call=[(0, [CALL, {**CALL, "call": 2, "code": "b"}])]),
        world(calls_call=[(0, [CALL, {**CALL, "call": 2, "code": "b"}]), (1, [{**CALL, "code": "c"}])]),
    ),
    "a call moves": (
        world(calls_call=[(0, [CALL, {**CALL, "call": 2, "code": "b"}])]),
        world(calls_call=[(0, [CALL, {**CALL, "call": 2, "code": "b"}]), (1, [{**CALL, "at": datetime(2026, 6, 1)}])]),
    ),
    "a feed comes": (
        world(ward_stay=[(0, MANY)]),
        world(ward_stay=[(0, MANY)], calls_call=[(1, [{"token": 1, "call": 1}])]),
    ),
    "a feed goes": (
        world(ward_stay=[(0, MANY)], calls_call=[(1, [{"token": 1, "call": 1, "at": datetime(2026, 5, 1)}])]),
        world(ward_stay=[(0, MANY)]),
    ),
    "a person goes": (world(ward_stay=[(0, MANY), (0, [ONE])]), world(ward_stay=[(0, MANY)])),
    "a booked event is seen when a newer delivery comes": (
        world(ward_stay=[(0, [stay(1, 1, DELIVERED + timedelta(days=2))])]),
        world(ward_stay=[(0, [stay(1, 1, DELIVERED + timedelta(days=2))]), (3, [stay(7, 7)])]),
    ),
    "what was seen is booked again when the delivery is taken back": (
        world(ward_stay=[(0, [stay(1, 1, DELIVERED + timedelta(days=2))]), (3, [stay(7, 7)])]),
        world(ward_stay=[(0, [stay(1, 1, DELIVERED + timedelta(days=2))])]),
    ),
    "a newer delivery of another table of the feed passes a booked event": (
        world(ward_stay=[(0, [stay(1, 1, DELIVERED + timedelta(days=2))])]),
        world(
            ward_stay=[(0, [stay(1, 1, DELIVERED + timedelta(days=2))])],
            ward_trip=[(4, [{"token": 2, "leg": 1, "trip": 5, "entered": MAY, "began": MAY}])],
        ),
    ),
    "a date becomes believable": (
        world(
            homes_patient=[
                (0, [{"token": 1, "patient": 1, "sex": "M", "joined": DELIVERED + timedelta(days=2)}]),
                (0, [{"token": 1, "patient": 2, "sex": "F", "joined": MAY}]),
            ]
        ),
        world(
            homes_patient=[
                (0, [{"token": 1, "patient": 1, "sex": "M", "joined": DELIVERED + timedelta(days=2)}]),
                (0, [{"token": 1, "patient": 2, "sex": "F", "joined": MAY}]),
                (3, [{"token": 7, "patient": 7, "joined": MAY}]),
            ]
        ),
    ),
    "a registration's date becomes believable": (
        world(
            gp_patient=[
                (0, [{"token": 1, "patient": 1, "practice": "A", "joined": DELIVERED + timedelta(days=2)}]),
                (0, [{"token": 1, "patient": 2, "practice": "B", "joined": MAY}]),
            ]
        ),
        world(
            gp_patient=[
                (0, [{"token": 1, "patient": 1, "practice": "A", "joined": DELIVERED + timedelta(days=2)}]),
                (0, [{"token": 1, "patient": 2, "practice": "B", "joined": MAY}]),
                (3, [{"token": 7, "patient": 7, "joined": MAY}]),
            ]
        ),
    ),
    "the same row delivered again is believed": (
        world(
            social_patient=[
                (0, [{"token": 1, "patient": 1, "sex": "M"}]),
                (1, [{"token": 1, "patient": 2, "sex": "F"}]),
            ]
        ),
        world(
            social_patient=[
                (0, [{"token": 1, "patient": 1, "sex": "M"}]),
                (1, [{"token": 1, "patient": 2, "sex": "F"}]),
                (2, [{"token": 1, "patient": 1, "sex": "M"}]),
            ]
        ),
    ),
    "a registration ends": (
        world(gp_patient=[(0, [{"token": n, "patient": n, "practice": "A", "joined": MAY} for n in (1, 2, 3)])]),
        world(
            gp_patient=[
                (0, [{"token": n, "patient": n, "practice": "A", "joined": MAY} for n in (1, 2, 3)]),
                (1, [{"token": 2, "patient": 2, "practice": "A", "joined": MAY, "gone": JUNE}]),
            ]
        ),
    ),
}


@pytest.mark.parametrize("case", NAMED)
def test_an_increment_is_a_full_link(case: str, tmp_path: Path) -> None:
    same(tmp_path, *NAMED[case])


@pytest.mark.parametrize("table", ["person", "event_code"])
def test_published_rows_that_were_changed_are_not_taken_over(table: str, tmp_path: Path) -> None:
    files = [(0, [*WITH_CODES, stay(1, 1, MAY, code_one="J45")])]
    last = Linked(tmp_path / "last", world(ward_stay=files))
    before = last.before()
    for path in (last.snapshot / table).rglob("*.parquet"):
        path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(IntegrityError, match="missing or was changed"):
        Linked(tmp_path / "next", world(ward_stay=[*files, (1, [stay(1, 1, MAY, code_one="J46")])]), before)


def test_a_table_that_is_left_out_takes_its_rows_along(tmp_path: Path) -> None:
    before = {"ward_stay": [(0, MANY)], "ward_trip": [(0, [{"token": 1, "leg": 1, "trip": 5, "began": MAY}])]}
    same(tmp_path, before, {"ward_stay": [(0, MANY)]})


def test_a_table_that_is_new_makes_its_feed_anew(tmp_path: Path) -> None:
    after = {"ward_stay": [(0, MANY)], "ward_finding": [(0, [finding(7)])]}
    assert same(tmp_path, {"ward_stay": [(0, MANY)]}, after) >= {"registration/part-00000.parquet"}


DAYS = [None, MAY, date(2026, 5, 31), JUNE, JULY, *(DELIVERED + timedelta(days=day) for day in (-1, 1, 2, 4))]
persons, numbers, days = st.sampled_from([1, 1, 2, 3, 4, None]), st.integers(1, 4), st.sampled_from(DAYS)
keys = numbers | st.none()
codes, schemes, sexes = (
    st.sampled_from([None, "a", "b"]),
    st.sampled_from([None, "x", "y"]),
    st.sampled_from(["M", "F", None]),
)
clocks = st.sampled_from([None, time(0), time(23, 59, 59)])
moments = days.flatmap(lambda day: clocks.map(lambda clock: day and datetime.combine(day, clock or time(0))))
gone = st.sampled_from([False, False, False, True])
patients = {
    "token": persons,
    "patient": keys,
    "sex": sexes,
    "practice": st.sampled_from(["A", "B", None]),
    "joined": days,
    "gone": days,
    "_deleted": gone,
}
DRAWN = {
    "ward_stay": {
        "token": persons,
        "stay": numbers,
        "admitted": days,
        "admitted_at": clocks,
        "code_one": codes,
        "code_two": codes,
        "sex": sexes,
        "_deleted": gone,
    },
    "ward_finding": {
        "token": persons,
        "stay": keys,
        "place": st.integers(1, 2),
        "code": codes,
        "scheme": schemes,
        "_deleted": gone,
    },
    "ward_trip": {
        "token": persons,
        "leg": keys,
        "trip": keys,
        "entered": days,
        "began": days,
        "code": codes,
        "scheme": schemes,
        "_deleted": gone,
    },
    "ward_remark": {"token": persons, "remark": numbers, "trip": keys, "code": codes, "_deleted": gone},
    "calls_call": {"token": persons, "call": numbers, "at": moments, "sex": sexes, "code": codes, "_deleted": gone},
    "gp_patient": patients,
    "social_patient": patients,
    "homes_patient": patients,
}


def _file(table: str) -> st.SearchStrategy[tuple[int, list[Row]]]:
    return st.tuples(st.integers(0, 4), st.lists(st.fixed_dictionaries(DRAWN[table]), min_size=1, max_size=4))  # type: ignore[return-value]


@st.composite
def two_worlds(draw: st.DrawFn) -> tuple[World, World]:
    """What was delivered before and what there is now: files stay, come, go, and whole tables with them."""
    before, after = {}, {}
    reached = draw(st.sets(st.sampled_from(sorted(TABLES)), max_size=3))
    for table in TABLES:
        files = draw(st.lists(_file(table), max_size=2))
        came = draw(st.lists(_file(table), max_size=2)) if table in reached else []
        gone = draw(st.sets(st.sampled_from(range(2)), max_size=1)) if table in reached else set()
        stayed = [None if place in gone else file for place, file in enumerate(files)]
        before[table], after[table] = files, [*stayed, *came]
    return before, after


@settings(max_examples=30, deadline=None)
@given(two_worlds())
def test_whatever_came_and_went(worlds: tuple[World, World]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        full, increment, _ = both(Path(folder), *worlds)
    assert increment == full
