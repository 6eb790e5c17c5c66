"""Named policies for counts. None can be changed, and a weaker one is a new one with a name of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import polars as pl

from linkage.errors import ConfigurationError

__all__ = ["POLICIES", "Policy", "policy"]


@dataclass(frozen=True, slots=True)
class Policy:
    """What may be shown of a count.

    Attributes:
        name: As questions and manifests name it.
        smallest_shown: Counts from 1 to below this are withheld.
        rounded_to: Other counts are rounded half up to a multiple of this; 1 leaves them as they are.
        shows_zero: Whether a zero is shown; where not, it is withheld like a small count and cannot be told from one.
        source: Who publishes the rule.
    """

    name: str
    smallest_shown: int
    rounded_to: int
    shows_zero: bool
    source: str

    def withholds(self, count: pl.Expr) -> pl.Expr:
        """Whether each exact count (Int64) is withheld; Boolean."""
        small = count < self.smallest_shown
        return small & (count > 0) if self.shows_zero else small

    def rounded(self, count: pl.Expr) -> pl.Expr:
        """Each exact count (Int64) rounded half up."""
        return (2 * count + self.rounded_to) // (2 * self.rounded_to) * self.rounded_to

    def at_least(self, count: pl.Expr) -> pl.Expr:
        """The least that each exact count (Int64) can be by what is shown of it."""
        lowest = pl.max_horizontal(self.rounded(count) - self.rounded_to // 2, self.smallest_shown)
        zero = pl.when(count == 0).then(0).otherwise(lowest) if self.shows_zero else lowest
        return pl.when(self.withholds(count)).then(1 if self.shows_zero else 0).otherwise(zero).cast(pl.Int64)

    def at_most(self, count: pl.Expr) -> pl.Expr:
        """The most that each exact count (Int64) can be by what is shown of it."""
        highest = self.rounded(count) + (self.rounded_to - 1) // 2
        zero = pl.when(count == 0).then(0).otherwise(highest) if self.shows_zero else highest
        return pl.when(self.withholds(count)).then(self.smallest_shown - 1).otherwise(zero).cast(pl.Int64)

    def is_as_strict_as(self, other: Policy) -> bool:
        """Whether nothing is shown by this policy that the other one withholds or rounds away."""
        return (
            self.smallest_shown >= other.smallest_shown
            and self.rounded_to % other.rounded_to == 0
            and (other.shows_zero or not self.shows_zero)
        )


POLICIES: Mapping[str, Policy] = MappingProxyType(
    {
        each.name: each
        for each in (
            Policy("hes", 8, 5, True, "NHS England, HES and ECDS since September 2018, below national level"),
            Policy("opensafely", 8, 5, False, "OpenSAFELY: up to 7 redacted, others to the nearest 5"),
            Policy("sacro", 10, 1, False, "SACRO and ACRO: threshold 10, zeros disclose"),
            Policy("strict10", 11, 10, False, "up to 10 withheld, others to the nearest 10"),
        )
    }
)


def policy(name: str) -> Policy:
    """The policy of a name.

    Raises:
        ConfigurationError: There is none; says which there are.
    """
    found = POLICIES.get(name)
    if found is None:
        raise ConfigurationError(
            "there is no disclosure policy of that name", hint=f"one of {', '.join(sorted(POLICIES))}"
        )
    return found
