"""Which opt-outs bind for this purpose, brought into one form that a row is held against.

What every register says becomes one sorted array of numbers with a verdict each, so that a row costs one search whatever
the number of registers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import polars as pl

from linkage import nhs_number
from linkage.optouts.lookup import Bits, Lookup
from linkage.optouts.practices import Sharing
from linkage.optouts.registers import Evidence, Numbers, Said, distinct
from linkage.optouts.restricted import Restricted
from linkage.reasons import Reason

# In the order of precedence: of two verdicts the smaller one counts.
VERDICTS = (
    Reason.SENSITIVE,
    Reason.PRACTICE_NOT_SHARING,
    Reason.LOCAL_OBJECTION,
    Reason.TYPE1_OPT_OUT,
    Reason.NATIONAL_OPT_OUT,
    Reason.NATIONAL_NOT_ASKED,
    Reason.OUTSIDE_POPULATION,
)
MAY_BE_USED = len(VERDICTS)
LONG = 50_000  # numbers from which on a bit for each is worth its memory


@dataclass(frozen=True, slots=True, repr=False)
class Standing:
    """A verdict for every number that some register speaks of.

    Attributes:
        numbers: Sorted distinct numbers.
        verdicts: For each its place in `VERDICTS`, or `MAY_BE_USED`.
        otherwise: The verdict for all other numbers.
        otherwise_abroad: The same for all other numbers that were issued in Scotland and Ireland.
        lookup: Finds rows' numbers among `numbers`.
        free: Of a long list, the numbers that may be used, which most rows are of; else None.
    """

    numbers: Numbers
    verdicts: npt.NDArray[np.uint8]
    otherwise: int
    otherwise_abroad: int
    lookup: Lookup = field(init=False)
    free: Bits | None = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "lookup", Lookup.of(self.numbers))
        long = len(self.numbers) >= LONG
        object.__setattr__(self, "free", Bits.of(self.numbers[self.verdicts == MAY_BE_USED]) if long else None)

    def of(self, numbers: pl.Series) -> pl.Series:
        """Verdicts (UInt8, never null; null numbers may be used) for a column of valid numbers (Int64)."""
        values = numbers.fill_null(-1).to_numpy()
        if self.free is None:
            return pl.Series(self._judged(values))
        verdicts = np.full(len(values), MAY_BE_USED, dtype=np.uint8)
        doubtful = np.flatnonzero(~self.free.hold(values))
        verdicts[doubtful] = self._judged(values[doubtful])
        return pl.Series(verdicts)

    def strictest(self, own: pl.Series, current: pl.Series) -> pl.Series:
        """The stricter of the verdicts (UInt8) on the number that a token was made from and on the one that counts now."""
        return pl.select(pl.min_horizontal(self.of(own), self.of(current))).to_series()

    def _judged(self, values: Numbers) -> npt.NDArray[np.uint8]:
        verdicts = np.full(len(values), self.otherwise, dtype=np.uint8)
        if self.otherwise_abroad != self.otherwise:
            verdicts[nhs_number.issued_abroad(values)] = self.otherwise_abroad
        if len(self.numbers):
            known, places = self.lookup.find(values)
            verdicts = np.where(known, self.verdicts[places], verdicts)
        return np.where(values < 0, np.uint8(MAY_BE_USED), verdicts).astype(np.uint8)


@dataclass(frozen=True, slots=True, repr=False)
class Policy:
    """Everything that decides whether a row may go on.

    Attributes:
        standings: Standing of people, by feed.
        sharing: Practices that share, or None where that is exempt.
        restricted: Codes whose rows do not go on, whoever's they are.
        allow_test_numbers: Whether numbers of the test range are people.
        evidence: The registers' files.
    """

    standings: Mapping[str, Standing]
    sharing: Sharing | None
    restricted: Restricted = field(default_factory=Restricted)
    allow_test_numbers: bool = False
    evidence: tuple[Evidence, ...] = ()


def combine(registers: Sequence[Said]) -> Standing:
    """Bring what registers say into one form: the strictest verdict of all of them, for every number."""
    numbers = distinct(*(array for said in registers for array in (*said.out.values(), *_listed(said))))
    verdicts = np.full(len(numbers), MAY_BE_USED, dtype=np.uint8)
    abroad = nhs_number.issued_abroad(numbers)
    for said in registers:
        verdicts = np.minimum(verdicts, _verdicts(said, numbers, abroad))
    return Standing(
        numbers,
        verdicts,
        min((_otherwise(said) for said in registers), default=MAY_BE_USED),
        min((_otherwise(said) for said in registers if not said.spares_other_nations), default=MAY_BE_USED),
    )


def _verdicts(said: Said, numbers: Numbers, abroad: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint8]:
    verdicts = np.full(len(numbers), _otherwise(said), dtype=np.uint8)
    if said.spares_other_nations:
        verdicts[abroad] = MAY_BE_USED
    for array in _listed(said):
        verdicts[np.isin(numbers, array, assume_unique=True)] = MAY_BE_USED
    # The reasons in reverse, so that the strictest is written last.
    for reason in sorted(said.out, key=VERDICTS.index, reverse=True):
        verdicts[np.isin(numbers, said.out[reason], assume_unique=True)] = VERDICTS.index(reason)
    return verdicts


def _listed(said: Said) -> tuple[Numbers, ...]:
    return () if said.may is None else (said.may,)


def _otherwise(said: Said) -> int:
    return MAY_BE_USED if said.otherwise is None else VERDICTS.index(said.otherwise)
