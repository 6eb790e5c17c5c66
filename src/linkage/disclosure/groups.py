"""Groups and their totals, and how many people any two of them have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product

import numpy as np
import numpy.typing as npt
import polars as pl

from linkage.errors import InputError, PolicyError

__all__ = ["ALL", "Groups", "members"]

ALL = "(all)"
MOST_DIMENSIONS, MOST_CELLS = 5, 2_000

Counts = npt.NDArray[np.int64]
Members = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Groups:
    """Every group of a table of counts, the finest first, the grand total last.

    Attributes:
        dimensions: What the groups are made by.
        labels: For each group its value of each dimension; `ALL` where it is a total over the dimension.
        cells: Exact counts of the finest groups (Int64).
        members: A row for each group with 1 for every finest group in it (Int64).
    """

    dimensions: tuple[str, ...]
    labels: tuple[tuple[str, ...], ...]
    cells: Counts
    members: Members

    @classmethod
    def of(
        cls, cells: pl.DataFrame, dimensions: Sequence[str], count: str, values: Mapping[str, Sequence[str]]
    ) -> Groups:
        """The groups of a table with one row for each finest group; combinations that are in no row have nobody.

        Raises:
            InputError: The counts are not counts, or a group occurs twice or has no name.
            PolicyError: There are too many dimensions or groups for a table of counts.
        """
        named = _checked(cells, dimensions, count)
        known = [sorted({*named[name].to_list(), *values.get(name, ())}) for name in dimensions]
        size = int(np.prod([len(each) for each in known], dtype=np.int64))
        if size > MOST_CELLS:
            raise PolicyError(
                "a table of too many groups", hint=f"at most {MOST_CELLS:,}: count by fewer or coarser groups"
            )
        finest = list(product(*known))
        found = {tuple(row[:-1]): row[-1] for row in named.iter_rows()}
        labels = list(_labels(known))
        return cls(
            tuple(dimensions),
            tuple(labels),
            np.array([found.get(each, 0) for each in finest], dtype=np.int64),
            members(labels, finest),
        )

    @property
    def exact(self) -> Counts:
        """The exact count of every group."""
        counted: Counts = self.members @ self.cells
        return counted

    def differences(self) -> Counts:
        """How many people are in one of two groups and not in the other, for every two groups."""
        # Fractions are exact for whole numbers of this size, and their products are what processors are fast at.
        within = self.members.astype(np.float64)
        differing = (within * (-2.0 * self.cells)) @ within.T
        differing += self.exact[:, None]
        differing += self.exact[None, :]
        found: Counts = differing.astype(np.int64)
        return found

    def splits(self) -> list[list[list[int]]]:
        """For every group, for every dimension that it is a total over: the places of the groups that it is the sum of."""
        at = {label: place for place, label in enumerate(self.labels)}
        known = [sorted({label[place] for label in self.labels} - {ALL}) for place in range(len(self.dimensions))]
        return [
            [
                [at[(*label[:place], each, *label[place + 1 :])] for each in known[place]]
                for place, value in enumerate(label)
                if value == ALL
            ]
            for label in self.labels
        ]


def _checked(cells: pl.DataFrame, dimensions: Sequence[str], count: str) -> pl.DataFrame:
    if len(dimensions) > MOST_DIMENSIONS:
        raise PolicyError(
            f"a table of {len(dimensions)} dimensions",
            hint=f"at most {MOST_DIMENSIONS}: finer groups single people out",
        )
    missing = [name for name in (*dimensions, count) if name not in cells.columns]
    if missing:
        raise InputError(f"the table of counts has no column {missing[0]!r}", hint="name its dimensions and its count")
    counts = cells[count]
    if not counts.dtype.is_integer() or counts.null_count() or bool((counts < 0).any()):
        raise InputError(
            f"{count}: not whole numbers from zero on", hint="give exact counts, before anything is hidden"
        )
    frame = cells.select(*(pl.col(name).cast(pl.String) for name in dimensions), counts.cast(pl.Int64))
    if any(frame[name].null_count() or bool((frame[name] == ALL).any()) for name in dimensions):
        raise InputError(f"a group without a name, or named {ALL}", hint="give every group a name of its own")
    if frame.select(dimensions).is_duplicated().any() if dimensions else frame.height != 1:
        raise InputError("a group occurs in several rows", hint="add its rows up first")
    return frame


def _labels(known: Sequence[Sequence[str]]) -> list[tuple[str, ...]]:
    made = []
    for kept in range(len(known), -1, -1):
        for level in combinations(range(len(known)), kept):
            made += list(product(*(values if place in level else [ALL] for place, values in enumerate(known))))
    return made


def members(labels: Sequence[tuple[str, ...]], finest: Sequence[tuple[str, ...]]) -> Members:
    """Which finest groups each group is made of: a row for each of `labels`, a column for each of `finest` (Int64)."""
    at = {label: place for place, label in enumerate(labels)}
    made = np.zeros((len(labels), len(finest)), dtype=np.int64)
    for column, cell in enumerate(finest):
        for totals in product([False, True], repeat=len(cell)):
            label = tuple(ALL if total else value for total, value in zip(totals, cell, strict=True))
            made[at[label], column] = 1
    return made
