"""Finding numbers by a table of beginnings, held against a set."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from linkage.optouts.lookup import Lookup

NUMBERS = st.integers(0, 9_999_999_999)
# Crowded in one place, so that steps run out and the binary search is used.
CROWDED = st.integers(4_000_000_000, 4_000_000_090)


@given(st.lists(NUMBERS | CROWDED, max_size=200), st.lists(NUMBERS | CROWDED | st.just(-1), max_size=50))
def test_finds_what_a_set_holds(held: list[int], asked: list[int]) -> None:
    """Also for values below, between and above all numbers, and for none."""
    numbers = np.unique(np.array(held, dtype=np.int64))
    values = np.array([*asked, *held[:20]], dtype=np.int64)
    found, places = Lookup.of(numbers).find(values)
    assert found.tolist() == [int(value) in set(held) for value in values]
    assert numbers[places[found]].tolist() == values[found].tolist()


def test_a_crowd_after_a_gap_is_found_past_the_steps() -> None:
    """One far number makes every range wide, so hundreds of numbers share one."""
    numbers = np.concatenate([np.arange(1_000, dtype=np.int64), [9_000_000_000]])
    found, places = Lookup.of(numbers).find(numbers)
    assert found.all()
    assert places.tolist() == list(range(len(numbers)))
