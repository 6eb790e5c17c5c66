"""What a register says, in the one form in which every register says it.

A register of people who may *not* be used names them, each under a reason. A register of people who *may* be used names
those, and the reason for everybody else. `policy.py` brings any number of both into one array.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Protocol

import numpy as np
import numpy.typing as npt

from linkage.reasons import Reason

__all__ = ["NONE", "Evidence", "Flagged", "Numbers", "Register", "Said", "distinct", "followed"]

Numbers = npt.NDArray[np.int64]
NONE: Numbers = np.array([], dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Evidence:
    """One register file that a run relied on, for the manifest: counts and digests, never a number."""

    name: str
    file: str
    sha256: str
    as_of: datetime
    numbers: int


@dataclass(frozen=True, slots=True, repr=False)
class Said:
    """What a register says of people, by NHS number.

    Attributes:
        out: Who may not be used, by reason: sorted distinct numbers.
        may: Who may be used, sorted distinct numbers; None where the register only names those who may not.
        otherwise: With `may`: why nobody else may be used.
        spares_other_nations: Numbers issued in Scotland and Ireland may be used unless they are in `out`.
        evidence: The files that it was read from.
    """

    out: Mapping[Reason, Numbers] = field(default_factory=dict)
    may: Numbers | None = None
    otherwise: Reason | None = None
    spares_other_nations: bool = False
    evidence: tuple[Evidence, ...] = ()

    def __post_init__(self) -> None:
        if (self.may is None) != (self.otherwise is None):
            raise ValueError("a register of people who may be used says why nobody else may be, and no other does")


@dataclass(frozen=True, slots=True, repr=False)
class Flagged:
    """People whose source marks them, under one reason: a register of those who may not be used."""

    reason: Reason
    numbers: Numbers

    def read(self, now: datetime) -> Said:
        """They may not be used, ever."""
        return Said(out={self.reason: self.numbers})


class Register(Protocol):
    """Anything that knows whose records may not be used."""

    def read(self, now: datetime) -> Said:
        """Read the register as it stands.

        Args:
            now: The moment of disclosure, UTC: the age of the register is judged by it.

        Raises:
            PolicyError: It is missing, damaged, too old or not believable; nothing is released then.
        """
        ...


def followed(said: Said, replaced: Numbers, current: Numbers) -> Said:
    """The same, where whoever said no under a number that was replaced has said so under the current one too.

    Args:
        said: What a register says.
        replaced: Numbers that were replaced.
        current: For each the one that counts now.
    """
    if not len(replaced):
        return said
    out = {reason: distinct(numbers, current[np.isin(replaced, numbers)]) for reason, numbers in said.out.items()}
    return replace(said, out=out)


def distinct(*parts: Numbers) -> Numbers:
    """All numbers of some arrays, sorted, each once."""
    # NumPy's own unique hashes integers and then sorts: over millions of numbers ten times as slow. The parts are sorted
    # already as a rule, and the stable sort merges such runs: over two million numbers in a fiftieth of the time.
    numbers = np.sort(np.concatenate([NONE, *parts]), kind="stable")
    first = np.ones(len(numbers), dtype=np.bool_)
    first[1:] = numbers[1:] != numbers[:-1]
    return numbers[first]
