"""Small numbers stay unknown, also to somebody who subtracts everything that is shown."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkage.link.small_numbers import bounds, suppress, total

# Mostly small, and at the edges of rounding, where subtraction tells most.
COUNTS = st.lists(st.one_of(st.integers(0, 13), st.sampled_from([7, 12]), st.integers(0, 40)), min_size=1, max_size=4)
EXACTLY = st.one_of(st.just(0), st.integers(0, 30), st.integers(990, 1010))


def _possible(shown_total: int | None, shown: list[int | None], exactly: int) -> Iterator[tuple[int, ...]]:
    """Every way to fill in the counts that fits what is shown, by trying all of them."""
    for counts in product(*(range(low, high + 1) for low, high in map(bounds, shown))):
        if shown_total is None or suppress(sum(counts) + exactly)[0] == shown_total:
            yield counts


@pytest.mark.parametrize("count", range(60))
def test_what_is_shown_is_within_its_bounds(count: int) -> None:
    """And only a count that is small is withheld."""
    shown, withheld = suppress(count)
    lower, upper = bounds(shown)
    assert lower <= count <= upper
    assert withheld == (1 <= count <= 7)
    assert shown is None or shown % 5 == 0


@given(COUNTS, EXACTLY)
def test_no_withheld_count_can_be_worked_out(parts: list[int], exactly: int) -> None:
    """Whoever tries everything that fits finds two values or more for each."""
    shown = [suppress(count)[0] for count in parts]
    fitting = list(_possible(total(parts, exactly), shown, exactly))
    assert tuple(parts) in fitting
    for place, count in enumerate(shown):
        if count is None:
            assert len({each[place] for each in fitting}) > 1


@given(COUNTS, EXACTLY)
def test_a_total_is_withheld_only_where_it_tells(parts: list[int], exactly: int) -> None:
    """Where rounding alone protects, the total is shown as any count is."""
    whole, shown = sum(parts) + exactly, [suppress(count)[0] for count in parts]
    if total(parts, exactly) is None and not suppress(whole)[1]:
        fitting = list(_possible(suppress(whole)[0], shown, exactly))
        assert any(len({each[place] for each in fitting}) == 1 for place, count in enumerate(shown) if count is None)
    else:
        assert total(parts, exactly) == suppress(whole)[0]


@pytest.mark.parametrize(
    ("parts", "exactly", "shown"),
    [
        ([7, 7, 7, 7], 0, None),  # 28 is shown as 30, which is 28 or more: four sevens
        ([7, 7, 7, 6], 0, 25),
        ([1], 1001, None),  # 1002 is shown as 1000, which is 1002 or less, and 1001 are known
        ([1], 1000, 1000),
        ([7], 1, None),  # 8 is the least that is shown as 10
        ([3], 0, None),
        ([100, 50], 0, 150),
        ([0, 0], 0, 0),
    ],
)
def test_the_corners(parts: list[int], exactly: int, shown: int | None) -> None:
    """Where only one value would be left, the total is withheld."""
    assert total(parts, exactly) == shown
