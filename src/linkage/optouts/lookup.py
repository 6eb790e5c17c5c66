"""Finding many numbers in a long sorted array: by a table of where each range of numbers begins.

A binary search over a million numbers misses the processor's caches some twenty times for each row. The table says
where to begin, a few numbers before the right place, and all rows step on together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from linkage import nhs_number

Numbers = npt.NDArray[np.int64]
_A_BUCKET = 4  # numbers, on average
_STEMS = 10**9
_POWERS = (1 << np.arange(8)).astype(np.uint8)
_STEPS = 16  # more are taken by a binary search: an array may be crowded in places


@dataclass(frozen=True, slots=True, repr=False)
class Lookup:
    """Sorted distinct numbers, none negative, and the table into them.

    Attributes:
        numbers: What is looked in.
        begins: For each range of 2^shift numbers the place of the first that is in it or after it.
        shift: How many bits a range spans.
    """

    numbers: Numbers
    begins: npt.NDArray[np.int64]
    shift: int

    @classmethod
    def of(cls, numbers: Numbers) -> Lookup:
        """Make the table; it is about a quarter as long as the numbers."""
        if not len(numbers):
            return cls(numbers, np.zeros(1, dtype=np.int64), 0)
        ranges = max(len(numbers) // _A_BUCKET, 1)
        shift = max(int(numbers[-1] // ranges).bit_length(), 1)
        firsts = np.arange((int(numbers[-1]) >> shift) + 2, dtype=np.int64) << shift
        return cls(numbers, np.searchsorted(numbers, firsts), shift)

    def find(self, values: Numbers) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.int64]]:
        """Whether each value is one of the numbers, and its place where it is (any place where it is not).

        Args:
            values: Any; negative ones are never found.
        """
        if not len(self.numbers):
            return np.zeros(len(values), dtype=np.bool_), np.zeros(len(values), dtype=np.int64)
        places = self.begins[np.clip(values >> self.shift, 0, len(self.begins) - 1)]
        last = len(self.numbers) - 1
        for _ in range(_STEPS):
            before = self.numbers[np.minimum(places, last)] < values
            before &= places < last
            if not before.any():
                break
            places = places + before
        else:
            places = np.searchsorted(self.numbers, values)
        places = np.minimum(places, last)
        return self.numbers[places] == values, places


@dataclass(frozen=True, slots=True, repr=False)
class Bits:
    """A set of NHS numbers, as one bit for each that there can be: the last digit follows from the nine before it.

    One look for each row, where a search takes a dozen. Of the 125 MB only those pages are ever in memory on which some
    number of the set lies.

    Attributes:
        bits: Bit n % 8 of byte n // 8 stands for the number whose first nine digits are n.
    """

    bits: npt.NDArray[np.uint8]

    @classmethod
    def of(cls, numbers: Numbers) -> Bits:
        """Sorted distinct numbers; one with a wrong last digit is nobody's, and is left out."""
        stems = numbers[nhs_number.are_valid(numbers)] // 10
        bits = np.zeros(_STEMS // 8, dtype=np.uint8)
        if len(stems):
            places = stems >> 3
            first = np.flatnonzero(np.concatenate([[True], places[1:] != places[:-1]]))
            bits[places[first]] = np.bitwise_or.reduceat(_bit(stems), first)
        return cls(bits)

    def hold(self, values: Numbers) -> npt.NDArray[np.bool_]:
        """Whether each value is in the set.

        Args:
            values: Valid NHS numbers, or negative, which are never in it.
        """
        stems = np.clip(values, 0, None) // 10
        found: npt.NDArray[np.bool_] = ((self.bits[stems >> 3] & _bit(stems)) != 0) & (values >= 0)
        return found


def _bit(stems: Numbers) -> npt.NDArray[np.uint8]:
    power: npt.NDArray[np.uint8] = _POWERS[stems & 7]
    return power
