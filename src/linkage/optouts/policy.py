"""Which opt-outs bind for this purpose, brought into one form that a row is held against.

Every register becomes part of one sorted array of numbers with a verdict each, so that a row costs one search
whatever the number of registers.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import polars as pl

from linkage.optouts.lookup import Lookup
from linkage.optouts.national import AllowedList, Evidence, Numbers
from linkage.optouts.practices import Sharing
from linkage.reasons import Reason

# In the order of precedence: of two verdicts the smaller one counts.
VERDICTS = (Reason.SENSITIVE, Reason.TYPE1_OPT_OUT, Reason.NATIONAL_OPT_OUT, Reason.NATIONAL_NOT_ASKED)
MAY_BE_USED = len(VERDICTS)


@dataclass(frozen=True, slots=True, repr=False)
class Standing:
    """A verdict for every number that some register speaks of.

    Attributes:
        numbers: Sorted distinct numbers.
        verdicts: For each its place in `VERDICTS`, or `MAY_BE_USED`.
        otherwise: The verdict for all other numbers.
        lookup: Finds rows' numbers among `numbers`.
    """

    numbers: Numbers
    verdicts: npt.NDArray[np.uint8]
    otherwise: int
    lookup: Lookup = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "lookup", Lookup.of(self.numbers))

    def of(self, numbers: pl.Series) -> pl.Series:
        """Verdicts (UInt8, never null; null numbers may be used) for a column of numbers (Int64)."""
        values = numbers.fill_null(-1).to_numpy()
        known, places = self.lookup.find(values)
        verdicts = np.where(known, self.verdicts[places], self.otherwise) if len(self.numbers) else self.otherwise
        return pl.Series(np.where(values < 0, MAY_BE_USED, verdicts).astype(np.uint8))


@dataclass(frozen=True, slots=True, repr=False)
class Policy:
    """Everything that decides whether a row may go on.

    Attributes:
        primary_care: Standing of people in GP records.
        elsewhere: Standing of people in all other records.
        sharing: Practices that share, or None where that is exempt.
        allow_test_numbers: Whether numbers of the test range are people.
    """

    primary_care: Standing
    elsewhere: Standing
    sharing: Sharing | None
    allow_test_numbers: bool = False
    evidence: tuple[Evidence, ...] = ()

    def standing(self, setting: str) -> Standing:
        """The standing that applies in a care setting."""
        return self.primary_care if setting == "primary_care" else self.elsewhere


def standing(national: AllowedList | None, type1: Numbers, sensitive: Numbers) -> Standing:
    """Bring the registers into one form.

    Args:
        national: The allowed list; None where the opt-out does not bind.
        type1: Numbers with a type 1 opt-out that binds here.
        sensitive: Numbers of people whose records are not to be used.
    """
    asked = national.asked if national else np.array([], dtype=np.int64)
    numbers = np.unique(np.concatenate([asked, type1, sensitive]))
    otherwise = VERDICTS.index(Reason.NATIONAL_NOT_ASKED) if national else MAY_BE_USED
    verdicts = np.full(len(numbers), otherwise, dtype=np.uint8)
    if national:
        verdicts[np.isin(numbers, national.asked, assume_unique=True)] = VERDICTS.index(Reason.NATIONAL_OPT_OUT)
        verdicts[np.isin(numbers, national.allowed, assume_unique=True)] = MAY_BE_USED
    verdicts[np.isin(numbers, type1, assume_unique=True)] = VERDICTS.index(Reason.TYPE1_OPT_OUT)
    verdicts[np.isin(numbers, sensitive, assume_unique=True)] = VERDICTS.index(Reason.SENSITIVE)
    return Standing(numbers, verdicts, otherwise)
