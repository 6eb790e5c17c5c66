"""Whom a purpose may cover, by what is known of people, against the same in plain Python."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import NamedTuple

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from linkage.errors import ConfigurationError
from linkage.optouts.population import KNOWN, Covered, covered
from linkage.purpose import Population
from linkage.reasons import Reason

TODAY = date(2026, 11, 24)


class Known(NamedTuple):
    """One line of what is known."""

    number: int | None
    practice: str | None = None
    birth_date: date | None = None
    primary_care: bool = True
    delivered: datetime = datetime(2026, 11, 1)


def _frame(rows: list[Known]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=KNOWN, orient="row")


def _age(born: date) -> int:
    return TODAY.year - born.year - ((TODAY.month, TODAY.day) < (born.month, born.day))


def _that_count(values: list[tuple[bool, datetime, object]]) -> list[object]:
    """Primary care's where it tells any, and of them the latest."""
    told = [each for each in values if each[2] is not None]
    best = max((each[:2] for each in told), default=None)
    return [each[2] for each in told if each[:2] == best]


def _referee(rows: list[Known], rules: Population, practices: set[str]) -> list[int]:
    found = []
    for number in sorted({row.number for row in rows if row.number is not None}):
        mine = [row for row in rows if row.number == number]
        good = True
        if practices:
            told = _that_count([(row.primary_care, row.delivered, row.practice) for row in mine])
            good &= bool(told) and all(str(each).upper() in practices for each in told)
        if rules.min_age is not None or rules.max_age is not None:
            born = _that_count([(row.primary_care, row.delivered, row.birth_date) for row in mine])
            low, high = rules.min_age or 0, 200 if rules.max_age is None else rules.max_age
            good &= bool(born) and all(isinstance(each, date) and low <= _age(each) <= high for each in born)
        if good:
            found.append(number)
    return found


ROWS = st.builds(
    Known,
    number=st.none() | st.integers(1, 4),
    practice=st.sampled_from([None, "A", "B", "a"]),
    birth_date=st.none()
    | st.sampled_from([date(2008, 11, 24), date(2008, 11, 25), date(1960, 2, 29), date(2027, 1, 1)]),
    primary_care=st.booleans(),
    delivered=st.sampled_from([datetime(2026, 11, 1), datetime(2026, 11, 2)]),
)
AGES = st.none() | st.sampled_from([0, 17, 18, 66])


@settings(max_examples=400)
@given(st.lists(ROWS, max_size=8), st.sets(st.sampled_from(["A", "B"])), AGES, AGES)
def test_who_is_covered_is_who_the_referee_covers(
    rows: list[Known], practices: set[str], low: int | None, high: int | None
) -> None:
    """Whatever is known of them, by whom and when."""
    if low is not None and high is not None and low > high:
        low, high = high, low
    rules = Population(practices=tuple(sorted(practices)), min_age=low, max_age=high, max_people=1)
    assert covered(_frame(rows), practices, rules, TODAY).tolist() == _referee(rows, rules, practices)


# What is known of one person, and whether people of practice A aged 18 to 65 are meant.
SPECIFICATION = (
    ([Known(1, "A", date(1990, 1, 1))], True),
    ([Known(1, "B", date(1990, 1, 1))], False),
    ([Known(1, None, date(1990, 1, 1))], False),
    ([Known(1, "A", None)], False),
    ([Known(1, "A", date(2008, 11, 24))], True),  # eighteen today
    ([Known(1, "A", date(2008, 11, 25))], False),  # eighteen tomorrow
    ([Known(1, "A", date(1960, 11, 25))], True),  # sixty-six tomorrow
    ([Known(1, "A", date(1960, 11, 24))], False),
    ([Known(1, "A", date(2027, 1, 1))], False),  # not born
    ([Known(1, "A", date(1990, 1, 1)), Known(1, "B", delivered=datetime(2026, 11, 2))], False),  # moved away
    ([Known(1, "B", date(1990, 1, 1)), Known(1, "A", delivered=datetime(2026, 11, 2))], True),  # moved here
    ([Known(1, "A", date(1990, 1, 1)), Known(1, "B")], False),  # two at once
    ([Known(1, "A", date(1990, 1, 1)), Known(1, "B", primary_care=False, delivered=datetime(2026, 11, 2))], True),
    ([Known(1, None, date(1990, 1, 1)), Known(1, "A", primary_care=False)], True),  # only a hospital says where
)


@pytest.mark.parametrize(("rows", "within"), SPECIFICATION)
def test_each_case_in_a_table(rows: list[Known], within: bool) -> None:
    """Who cannot be told to be covered is not."""
    rules = Population(practices=("A",), min_age=18, max_age=65)
    said = Covered(rules, Path(), _frame(rows)).read(datetime(2026, 11, 24, 6, tzinfo=UTC))
    assert said.may is not None
    assert (said.may.tolist(), said.otherwise) == ([1] if within else [], Reason.OUTSIDE_POPULATION)


def test_practices_can_stand_in_a_file(tmp_path: Path) -> None:
    """Whose digest is in the account."""
    (tmp_path / "practices.csv").write_text("ods_code,name\n a ,First\nB,Second\n")
    rules = Population(practices=Path("practices.csv"))
    said = Covered(rules, tmp_path, _frame([Known(1, "A"), Known(2, "C")])).read(datetime.now(UTC))
    assert said.may is not None
    assert said.may.tolist() == [1]
    assert [(each.name, each.file, each.numbers) for each in said.evidence] == [
        ("population_practices", "practices.csv", 2)
    ]


@pytest.mark.parametrize("content", [None, "code\nA\n", "ods_code\n", "ods_code\n  \n"])
def test_a_list_that_names_nobody_is_refused(tmp_path: Path, content: str | None) -> None:
    """An empty list is a mistake, and not everybody."""
    if content is not None:
        (tmp_path / "p.csv").write_text(content)
    with pytest.raises(ConfigurationError, match="practices"):
        Covered(Population(practices=Path("p.csv")), tmp_path, _frame([])).read(datetime.now(UTC))


@pytest.mark.parametrize(
    "said", [{}, {"reference": "R-1"}, {"min_age": 5, "max_age": 4}, {"max_people": 0}, {"age": 4}]
)
def test_a_population_says_something_that_can_be(said: dict[str, object]) -> None:
    """A section that limits nothing is a limit that was forgotten."""
    with pytest.raises(ValidationError):
        Population.model_validate(said)
