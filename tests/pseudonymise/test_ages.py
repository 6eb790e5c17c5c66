"""Ages at events against a plain referee, on any two days."""

from __future__ import annotations

from datetime import date

import polars as pl
from hypothesis import example, given
from hypothesis import strategies as st

from linkage import contract
from linkage.pseudonymise import Pseudonymiser
from linkage.pseudonymise.minimise import Minimiser, outputs

FEED = contract.parse(
    """
name = "f"
setting = "acute"
[tables.t]
files = "*"
primary_key = "k"
event = { kind = "e", record = "k", start = "day" }
[tables.t.columns]
k = { source = "K", role = "record", namespace = "f.k" }
day = { source = "D", role = "date" }
born = { source = "B", role = "birth_date" }
""",
    "f.toml",
)
_PSEUDONYMISER = Pseudonymiser.from_root(bytes(32), "test")
DAYS = st.dates(date(1890, 1, 1), date(2149, 12, 31))


def _referee(day: date, born: date) -> int | None:
    years = day.year - born.year
    if (day.month, day.day) < (born.month, born.day):
        years -= 1
    return years if 0 <= years <= 120 else None


@given(st.lists(st.tuples(DAYS, DAYS), min_size=1, max_size=50))
@example([(date(2026, 3, 4), date(1950, 5, 2))])  # in eight bits the third month comes after the fifth
@example([(date(2025, 2, 28), date(2024, 2, 29)), (date(2025, 3, 1), date(2024, 2, 29))])
def test_an_age_is_the_number_of_birthdays(days: list[tuple[date, date]]) -> None:
    """Completed years; none before birth or above 120."""
    (age,) = (
        each
        for each in outputs(FEED, FEED.tables["t"], Minimiser("year", None), _PSEUDONYMISER)
        if each.field.name == "age"
    )
    frame = pl.DataFrame({"day": [day for day, _ in days], "born": [born for _, born in days]})
    frame = frame.with_columns(_birth_date=pl.lit(None, pl.Date))
    assert frame.select(age.value)[:, 0].to_list() == [_referee(day, born) for day, born in days]
