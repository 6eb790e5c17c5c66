"""What each named policy shows of a count, and what anybody can know of it."""

from __future__ import annotations

import dataclasses

import polars as pl
import pytest

from linkage import disclosure
from linkage.disclosure import POLICIES, Policy
from linkage.errors import ConfigurationError
from linkage.link.small_numbers import bounds, suppress

# Policy, exact count, what is shown, the least and the most that it can be.
SHOWN = [
    ("hes", 0, "0", 0, 0),
    ("hes", 1, "*", 1, 7),
    ("hes", 7, "*", 1, 7),
    ("hes", 8, "10", 8, 12),
    ("hes", 12, "10", 8, 12),
    ("hes", 13, "15", 13, 17),
    ("hes", 102, "100", 98, 102),
    ("hes", 103, "105", 103, 107),
    ("opensafely", 0, "*", 0, 7),
    ("opensafely", 7, "*", 0, 7),
    ("opensafely", 8, "10", 8, 12),
    ("sacro", 0, "*", 0, 9),
    ("sacro", 9, "*", 0, 9),
    ("sacro", 10, "10", 10, 10),
    ("sacro", 123, "123", 123, 123),
    ("strict10", 10, "*", 0, 10),
    ("strict10", 11, "10", 11, 14),
    ("strict10", 14, "10", 11, 14),
    ("strict10", 15, "20", 15, 24),
    ("strict10", 25, "30", 25, 34),
]


@pytest.mark.parametrize(("name", "count", "shown", "least", "most"), SHOWN)
def test_a_count_is_shown_so(name: str, count: int, shown: str, least: int, most: int) -> None:
    """Rounding is half up, and a withheld count is a mark of its own."""
    made = disclosure.release(pl.DataFrame({"count": [count]}), [], disclosure.policy(name))
    assert made.rows() == [(shown, least, most)]


@pytest.mark.parametrize("policy", POLICIES.values(), ids=list(POLICIES))
def test_bounds_are_of_exactly_the_counts_that_look_so(policy: Policy) -> None:
    """A bound that is too wide tells nothing false and one that is too narrow does: these are neither."""
    looks: dict[tuple[str, int, int], list[int]] = {}
    for count in range(100):
        row = disclosure.release(pl.DataFrame({"count": [count]}), [], policy).row(0)
        looks.setdefault(row, []).append(count)
    for (_, least, most), counts in list(looks.items())[:-1]:
        assert counts == list(range(least, most + 1))


def test_a_policy_cannot_be_changed() -> None:
    """Neither a policy nor the list of them."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        POLICIES["hes"].smallest_shown = 1  # type: ignore[misc]
    with pytest.raises(TypeError):
        POLICIES["mine"] = POLICIES["hes"]  # type: ignore[index]


@pytest.mark.parametrize(
    ("stricter", "than", "expected"),
    [("hes", "hes", True), ("opensafely", "hes", True), ("hes", "opensafely", False), ("strict10", "opensafely", True),
     ("strict10", "sacro", True), ("sacro", "hes", False), ("hes", "strict10", False)],
)  # fmt: skip
def test_a_policy_is_as_strict_as_another(stricter: str, than: str, expected: bool) -> None:
    """A node takes a question's policy only where it is as strict as its own."""
    assert POLICIES[stricter].is_as_strict_as(POLICIES[than]) is expected


def test_an_unknown_policy_is_refused() -> None:
    """The error says which there are."""
    with pytest.raises(ConfigurationError) as caught:
        disclosure.policy("none")
    assert "hes, opensafely, sacro, strict10" in str(caught.value.hint)


def test_the_snapshots_own_counts_are_shown_by_the_same_rule() -> None:
    """The hub suppresses what analysts read of a run, and knows no other stage: the two say the same of every count."""
    for count in range(300):
        shown, withheld = suppress(count)
        row = disclosure.release(pl.DataFrame({"count": [count]}), [], POLICIES["hes"]).row(0)
        assert row == ("*" if withheld else str(shown), *bounds(shown))
