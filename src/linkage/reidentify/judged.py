"""What becomes of each person of a cohort, as of now: the practice that may learn of them, or why none may.

Those who cannot be released are counted by reason. None is replaced by a dummy number, and none goes to a practice that they left.
"""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum

import polars as pl

__all__ = ["JUDGED", "TAKEN", "Withheld", "decide"]

# What is known of each person when it is decided about them.
JUDGED = pl.Schema(
    {
        "number": pl.Int64(),  # the number that counts now; null where nobody can say which
        "said_no": pl.String(),  # the reason for which a register keeps them out, or null
        "practice": pl.String(),  # where they are registered; null where they are not, or nobody can say
        "unclear": pl.Boolean(),  # whether several practices say that they are registered with them
        "not_sharing": pl.Boolean(),  # whether that practice does not share
        "published": pl.Boolean(),  # whether the current snapshot still knows them
    }
)
# Names that a cohort's own columns cannot have: they say who somebody is and where they go, and are nobody's to bring.
TAKEN = frozenset({*JUDGED, "token", "withheld", "nhs_number", "reason"})


class Withheld(StrEnum):
    """Why somebody is not released, beside the registers' own reasons."""

    NOT_PUBLISHED = "not_in_snapshot"
    NUMBER_UNCLEAR = "number_unclear"
    NAMED_TWICE = "named_twice"
    NOT_REGISTERED = "not_registered"
    REGISTRATION_UNCLEAR = "registration_unclear"
    NOT_SHARING = "practice_not_sharing"
    NOT_RECIPIENT = "practice_not_recipient"
    WITHOUT_KEY = "practice_without_key"

    @property
    def meaning(self) -> str:
        """In words."""
        return _MEANINGS[self]


_MEANINGS = {
    Withheld.NOT_PUBLISHED: "the current snapshot does not know the person any more",
    Withheld.NUMBER_UNCLEAR: "the NHS number was replaced, and by which is not clear",
    Withheld.NAMED_TWICE: "the cohort names the same person by an older token as well",
    Withheld.NOT_REGISTERED: "not registered with a practice now",
    Withheld.REGISTRATION_UNCLEAR: "several practices say that the person is registered with them",
    Withheld.NOT_SHARING: "the practice where they are registered does not share",
    Withheld.NOT_RECIPIENT: "the practice where they are registered is not a recipient of the request",
    Withheld.WITHOUT_KEY: "the practice where they are registered has no key in the register",
}


def decide(people: pl.DataFrame, recipients: Collection[str], keys: Collection[str]) -> pl.DataFrame:
    """Decide about each person.

    Args:
        people: With the columns of `JUDGED`; others stay.
        recipients: ODS codes that the request names.
        keys: ODS codes that have a key in the register.

    Returns:
        The same rows with `withheld` (String): null where they go to their `practice`.
    """
    practice = pl.col("practice")
    reasons = (
        (~pl.col("published"), Withheld.NOT_PUBLISHED),
        (pl.col("number").is_null(), Withheld.NUMBER_UNCLEAR),
        (pl.col("number").is_duplicated() & ~pl.col("number").is_first_distinct(), Withheld.NAMED_TWICE),
        (pl.col("unclear"), Withheld.REGISTRATION_UNCLEAR),
        (practice.is_null(), Withheld.NOT_REGISTERED),
        (pl.col("not_sharing"), Withheld.NOT_SHARING),
        (~practice.is_in(sorted(recipients)), Withheld.NOT_RECIPIENT),
        (~practice.is_in(sorted(keys)), Withheld.WITHOUT_KEY),
    )
    # A comparison with nothing says nothing, and whoever nothing is known of stays withheld by an earlier line.
    others = [pl.when(rule.fill_null(value=False)).then(pl.lit(reason.value)) for rule, reason in reasons]
    return people.with_columns(pl.coalesce("said_no", *others).alias("withheld"))
