"""Finding numbers by a table of beginnings, held against a set."""

from __future__ import annotations

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from linkage import nhs_number
from linkage.optouts.lookup import Bits, Lookup
from linkage.optouts.policy import LONG, MAY_BE_USED, VERDICTS, combine
from linkage.optouts.registers import Said
from linkage.reasons import Reason

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


def _valid(stems: list[int]) -> np.ndarray:
    """NHS numbers of some first nine digits; those that have no last digit, and placeholders, are left out."""
    digits = [(stem, nhs_number.check_digit(f"{stem:09d}")) for stem in stems]
    numbers = [stem * 10 + digit for stem, digit in digits if digit is not None]
    return np.unique(
        np.array([number for number in numbers if nhs_number.is_valid(number, integer=True)], dtype=np.int64)
    )


STEMS = st.lists(st.integers(400_000_000, 999_999_999) | st.integers(400_000_000, 400_000_040), max_size=100)


@settings(max_examples=40)
@given(STEMS, STEMS)
def test_a_bit_for_each_number_holds_what_a_set_holds(held: list[int], asked: list[int]) -> None:
    """Also for neighbours in one byte, and never for what is no number."""
    numbers = _valid(held)
    values = np.concatenate([_valid(asked), numbers[:20], np.array([-1], dtype=np.int64)])
    assert Bits.of(numbers).hold(values).tolist() == [int(value) in set(numbers.tolist()) for value in values]


def test_a_listed_number_with_a_wrong_last_digit_lets_nobody_in() -> None:
    """It would share its bit with the person of the right one."""
    right = _valid([943_476_591])[0]
    wrong = right - right % 10 + (right + 1) % 10
    assert not Bits.of(np.array([wrong], dtype=np.int64)).hold(np.array([right], dtype=np.int64)).any()


def test_a_long_list_gives_the_verdicts_of_a_search() -> None:
    """For those who may be used, those who may not, those of whom nothing is said, and rows without a number."""
    people = _valid(list(range(400_000_000, 400_000_000 + LONG * 2)))
    draws = np.random.default_rng(1)
    out = np.sort(draws.choice(people, 3_000, replace=False))
    may = np.setdiff1d(draws.choice(people, LONG + 5_000, replace=False), out)
    said = [Said(may=may, otherwise=Reason.NATIONAL_NOT_ASKED), Said(out={Reason.SENSITIVE: out})]
    standing = combine(said)
    assert standing.free is not None
    rows = pl.Series(draws.choice(people, 20_000)).extend_constant(None, 3)
    expected = [
        MAY_BE_USED
        if number is None
        else VERDICTS.index(Reason.SENSITIVE)
        if number in set(out.tolist())
        else MAY_BE_USED
        if number in set(may.tolist())
        else VERDICTS.index(Reason.NATIONAL_NOT_ASKED)
        for number in rows.head(500).extend(rows.tail(3)).to_list()
    ]
    assert standing.of(rows.head(500).extend(rows.tail(3))).to_list() == expected
    assert standing.of(rows).to_list() == standing._judged(rows.fill_null(-1).to_numpy()).tolist()
