"""A table of counts with its totals, as it may leave.

Every group stays, the empty ones too: a row that is left out tells that it was empty. Totals are computed from exact
counts and then rounded. Of two shown counts, the people of one either are those of the other, or differ from them by
enough people: subtracting them singles nobody out. Where a total, with what is shown beside it, would leave one value
for a withheld part, it is withheld as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import polars as pl

from linkage.disclosure.groups import ALL, Counts, Groups
from linkage.disclosure.policies import Policy

__all__ = ["ALL", "SUPPRESSED", "Release", "count_people", "decide", "release"]

SUPPRESSED = "*"
NOT_KNOWN = "(not known)"


class Relation(Protocol):
    """A DuckDB relation, as far as it is needed here."""

    def aggregate(self, aggr_expr: str) -> Relation:
        """Group by every column that is not aggregated."""

    def pl(self) -> pl.DataFrame:
        """Fetch the rows."""


def count_people(people: pl.DataFrame | Relation, dimensions: Sequence[str]) -> pl.DataFrame:
    """Exact counts of the finest groups: not to leave before `release`.

    Args:
        people: One row for each person, with the dimensions (any type; null counts as a group of its own): a table, or a
            DuckDB relation, which is counted where it is.
        dimensions: Its columns to count by.

    Returns:
        The dimensions (String) and `count` (Int64), of groups that somebody is in.
    """
    if isinstance(people, pl.DataFrame):
        found = people.group_by(dimensions).len("count") if dimensions else people.select(pl.len().alias("count"))
    else:
        quoted = ['"' + each.replace('"', '""') + '"' for each in dimensions]
        found = people.aggregate(", ".join([*quoted, 'count(*) AS "count"'])).pl()
    named = [pl.col(each).cast(pl.String).fill_null(NOT_KNOWN) for each in dimensions]
    counts = found.select(*named, pl.col("count").cast(pl.Int64))
    # A group that is named as the missing ones are is the same group.
    return counts.group_by(dimensions).agg(pl.col("count").sum()).sort(dimensions) if dimensions else counts


def release(
    cells: pl.DataFrame,
    dimensions: Sequence[str],
    policy: Policy,
    *,
    count: str = "count",
    values: Mapping[str, Sequence[str]] | None = None,
) -> pl.DataFrame:
    """What may leave of a table of counts.

    Args:
        cells: One row for each of the finest groups: the dimensions (String) and the exact count (an integer).
        dimensions: The columns that make the groups; each person is in one group only, so that groups add up.
        policy: What may be shown.
        count: The column with the counts.
        values: For a dimension all its values, where some may be in no row; an empty group is shown as one.

    Returns:
        The dimensions (String, `(all)` in totals), `count` (String: a rounded count, or `*` where it is withheld),
        `at_least` and `at_most` (Int64): the true count lies between them, both included. Groups first, totals last.

    Raises:
        InputError: The counts are not counts, or a group occurs twice.
        PolicyError: There are too many dimensions or groups for a table of counts.
    """
    groups = Groups.of(cells, dimensions, count, values or {})
    return decide(groups, policy).table()


@dataclass(frozen=True, slots=True, eq=False)
class Release:
    """What is shown of every group.

    Attributes:
        groups: The groups, with their exact counts.
        policy: By which it was decided.
        shown: Which groups' counts are shown.
        at_least, at_most: What anybody can know of each count.
    """

    groups: Groups
    policy: Policy
    shown: npt.NDArray[np.bool_]
    at_least: Counts
    at_most: Counts

    def table(self) -> pl.DataFrame:
        """As `release` gives it."""
        labels = {
            name: [each[place] for each in self.groups.labels] for place, name in enumerate(self.groups.dimensions)
        }
        rounded = pl.select(self.policy.rounded(pl.lit(pl.Series(self.groups.exact)))).to_series().cast(pl.String)
        frame = pl.DataFrame(labels, schema=dict.fromkeys(self.groups.dimensions, pl.String))
        shown = pl.Series(self.shown)
        counts = pl.select(pl.when(shown).then(rounded).otherwise(pl.lit(SUPPRESSED)).alias("count")).to_series()
        bounds = [pl.Series("at_least", self.at_least), pl.Series("at_most", self.at_most)]
        return pl.DataFrame([*frame.get_columns(), counts, *bounds])


def decide(groups: Groups, policy: Policy) -> Release:
    """Which counts of a table are shown, the finest groups first."""
    exact = pl.Series(groups.exact)
    withheld, low, high = pl.select(
        policy.withholds(pl.lit(exact)).alias("withheld"),
        policy.at_least(pl.lit(exact)).alias("low"),
        policy.at_most(pl.lit(exact)).alias("high"),
    ).get_columns()
    shown, lows, highs = ~withheld.to_numpy(), low.to_numpy().copy(), high.to_numpy().copy()
    differences = groups.differences()
    near = (differences > 0) & (differences < policy.smallest_shown)
    for place, parts in enumerate(groups.splits()):
        if shown[place]:
            shown[place] = not (near[place, :place] & shown[:place]).any() and not any(
                _tells_too_much(shown, lows, highs, place, each, policy.smallest_shown) for each in parts
            )
        if not shown[place] and parts:
            _bound_by_parts(lows, highs, place, parts, known=bool(withheld[place]))
    return Release(groups, policy, shown, lows, highs)


def _tells_too_much(
    shown: npt.NDArray[np.bool_], lows: Counts, highs: Counts, total: int, parts: Sequence[int], smallest: int
) -> bool:
    """Whether a total leaves one value for a withheld part of one split, or surely few people for all of them."""
    hidden = ~shown[parts] & (lows[parts] < highs[parts])
    low = np.maximum(lows[parts], lows[total] - (highs[parts].sum() - highs[parts]))
    high = np.minimum(highs[parts], highs[total] - (lows[parts].sum() - lows[parts]))
    left = highs[total] - lows[parts][~hidden].sum()
    return bool((hidden & (low >= high)).any() or (hidden.any() and left < smallest))


def _bound_by_parts(lows: Counts, highs: Counts, total: int, parts: Sequence[Sequence[int]], *, known: bool) -> None:
    """Of a withheld total is known what its parts tell, and that it is small where it is."""
    least = max(int(lows[list(each)].sum()) for each in parts)
    most = min(int(highs[list(each)].sum()) for each in parts)
    lows[total] = max(least, lows[total]) if known else least
    highs[total] = min(most, highs[total]) if known else most
