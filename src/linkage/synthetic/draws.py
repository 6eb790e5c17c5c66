"""Random columns that are the same on every machine and with every version of NumPy.

Only the raw 64-bit words of PCG64 are used: their stream is fixed by NumPy's compatibility policy, while its
distributions are not. Everything above them is addition, multiplication and comparison, which IEEE 754 fixes too.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Ints: TypeAlias = npt.NDArray[np.int64]
Floats: TypeAlias = npt.NDArray[np.float64]
Flags: TypeAlias = npt.NDArray[np.bool_]

# Activity is far more uneven than Poisson: many people use little, a few use a great deal. The mean is one.
_UNEVEN = np.array([0.1, 0.3, 0.6, 0.9, 1.2, 2.9])


class Draws:
    """A stream of random columns, named by a seed and a path such as ``("urgent", 3)``."""

    def __init__(self, seed: int, *path: str | int) -> None:
        words = [zlib.crc32(part.encode()) if isinstance(part, str) else part for part in path]
        self._bits = np.random.PCG64(np.random.SeedSequence([seed, *words]))

    def uniform(self, size: int) -> Floats:
        """``size`` numbers in [0, 1)."""
        raw: npt.NDArray[np.uint64] = np.atleast_1d(self._bits.random_raw(size))
        return np.asarray((raw >> np.uint64(11)) * 2.0**-53, dtype=np.float64)

    def whole(self, size: int, low: int, high: int) -> Ints:
        """``size`` whole numbers from ``low`` to ``high``, both included."""
        return np.asarray(low + np.floor(self.uniform(size) * (high - low + 1)), dtype=np.int64)

    def between(self, low: Ints, high: Ints) -> Ints:
        """One whole number a row, from ``low`` to ``high`` of that row, both included."""
        width = np.maximum(high - low + 1, 1)
        return np.asarray(low + np.floor(self.uniform(len(low)) * width), dtype=np.int64)

    def pick(self, size: int, weights: Sequence[float]) -> Ints:
        """``size`` positions in ``weights``, each as likely as its weight."""
        edges = np.cumsum(np.asarray(weights, dtype=np.float64))
        found = np.searchsorted(edges, self.uniform(size) * edges[-1], side="right")
        return np.asarray(np.minimum(found, len(edges) - 1), dtype=np.int64)

    def chance(self, size: int, probability: float | Floats) -> Flags:
        """``size`` flags, each true with ``probability``."""
        return np.asarray(self.uniform(size) < probability, dtype=np.bool_)

    def shuffled(self, size: int) -> Ints:
        """The positions 0 to ``size`` - 1 in random order."""
        return np.argsort(self.uniform(size), kind="stable").astype(np.int64)

    def counts(self, rate: Floats) -> Ints:
        """How often something happens to each row, ``rate`` times on average, unevenly spread."""
        uneven = _UNEVEN[self.whole(len(rate), 0, len(_UNEVEN) - 1)]
        return np.asarray(np.floor(rate * uneven + self.uniform(len(rate))), dtype=np.int64)

    def some(self, eligible: Flags, rate: float, at_least: int = 0) -> Ints:
        """Positions of a ``rate`` share of the eligible rows, and no fewer than ``at_least`` where there are so many.

        Returned in ascending order.
        """
        places = np.flatnonzero(eligible)
        wanted = min(max(round(rate * len(places)), at_least), len(places))
        chosen = places[np.argsort(self.uniform(len(places)), kind="stable")[:wanted]]
        return np.sort(chosen).astype(np.int64)
