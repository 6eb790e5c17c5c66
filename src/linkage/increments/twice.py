"""Rows of files that are as they were, decided about as the last run did and as this one does: what that changes.

`_row` holds the place of the file as well, so that rows of many files are decided about at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import polars as pl

from linkage import parts
from linkage.contract import Role, Table
from linkage.hide import Hidden
from linkage.increments.absent import ABSENT, absent
from linkage.increments.judged import Judged, Judges
from linkage.parts import REMOVED
from linkage.sources import quality
from linkage.sources.quality import FileQuality
from linkage.sources.resolve import People, key_of

if TYPE_CHECKING:
    from linkage.jobs import Making

__all__ = ["PLACE", "Side", "Twice", "of_file"]

PLACE = "_place"
_APART = pl.Schema({PLACE: pl.Int64()})
_OF_A_FILE = 2**32


def of_file(place: int) -> pl.Expr:
    """The numbers of a file's rows (`_row`), with the place of the file."""
    return pl.lit(place, pl.Int64) * _OF_A_FILE + pl.col("_row").cast(pl.Int64)


@dataclass(frozen=True, slots=True, repr=False)
class Side:
    """What was counted of some rows, by the place of their file.

    Attributes:
        reasons: `_place`, `_removed` (null where rows go on) and `len`.
        cells: `_place` and `quality.counts`.
        absent: `_place` and `ABSENT`.
    """

    reasons: pl.DataFrame
    cells: pl.DataFrame
    absent: pl.DataFrame

    def at(self, place: int) -> Side:
        """Of the rows of one file."""
        own = pl.col(PLACE) == place
        return Side(self.reasons.filter(own), self.cells.filter(own), self.absent.filter(own))

    @property
    def removed(self) -> dict[str, int]:
        """Rows by reason."""
        found = self.reasons.filter(pl.col(REMOVED).is_not_null())
        return dict(zip(found[REMOVED], found["len"], strict=True))

    @property
    def kept(self) -> int:
        """Rows that go on."""
        return int(self.reasons.filter(pl.col(REMOVED).is_null())["len"].sum())

    def quality(self, making: Making, position: int) -> FileQuality | None:
        """What is wrong with the rows; None where there are none."""
        if not self.cells.height:
            return None
        found = self.cells.drop(PLACE).row(0, named=True)
        feed = making.job.delivery.feed.name
        return quality.tally(feed, making.name, making.table, making.extracts[position], found)


@dataclass(frozen=True, slots=True, repr=False)
class Twice:
    """The same rows as the last run decided about them, and as this one does.

    Attributes:
        was: As they were counted.
        now: As they are.
        released: What leaves of those that go on.
        removed: The keys of those that do not (`Withdrawals.of_rows`).
    """

    was: Side
    now: Side
    released: pl.DataFrame
    removed: pl.DataFrame

    @classmethod
    def of(cls, rows: pl.DataFrame, making: Making, before: Judged) -> Twice:
        """Decide about clean rows (`_row` as `of_file` gives it).

        Args:
            rows: All columns of the contract, cleaned.
            making: The table.
            before: What the last run decided by (`Concerned.known`).
        """
        table, work = making.table, making.job.work
        before = Judged(before.who, replace(before.policy, restricted=work.policy.restricted))
        hidden = [Hidden(each.by, each.before) for each in making.hidden if each.before is not None]
        today = _among(work, table, rows)
        was = making.decided(rows.lazy(), _then(today, before, making), hidden)
        now = making.decided(rows.lazy(), today, making.hidden)
        released = parts.release(now, making.job.delivery.feed, table, work)
        removed = making.withdrawals.of_rows(now, REMOVED, 0)
        left, gone, *counted = pl.collect_all(
            [released, removed, *_counted(was, making, before), *_counted(now, making, work)], engine="streaming"
        )
        return cls(Side(*counted[:3]), Side(*counted[3:]), left, gone)


def _counted(decided: pl.LazyFrame, making: Making, by: Judges) -> Sequence[pl.LazyFrame]:
    decided = decided.with_columns((pl.col("_row") // _OF_A_FILE).alias(PLACE))
    feed, table = making.job.delivery.feed, making.table
    # Of the delivery only what is early or late is counted, which nobody's opt-out changes.
    delivered = making.extracts[0].delivered
    counts = quality.counts(table, delivered, making.job.work.quality.late_after_days)
    return [
        decided.group_by(PLACE, REMOVED).len(),
        decided.group_by(PLACE).agg(counts),
        absent(decided, feed, table, by.policy, REMOVED, _APART).select(PLACE, *ABSENT.names()),
    ]


def _then(today: Judged, before: Judged, making: Making) -> Judged:
    """What the last run decided by: of whom the change concerns, its roster; of others, what is known today."""
    known = {}
    for namespace, now in today.who.entries.items():
        keys = making.plan.concerned.keys(making.table, namespace)
        others = now.filter(~pl.col("key").is_in(keys.implode()))
        known[namespace] = pl.concat(
            [others, before.who.held(namespace).select(others.columns)], how="vertical_relaxed"
        )
    return Judged(People(known, before.who.current), before.policy)


def _among(by: Judges, table: Table, rows: pl.DataFrame) -> Judged:
    """The same with no more of the roster than the rows ask for."""
    known: dict[str, pl.DataFrame] = {}
    for name in table.with_role(Role.PERSON_KEY):
        namespace = table.columns[name].namespace or ""
        keys = rows.select(key_of(table, name).alias("key")).drop_nulls().unique()
        asked = known[namespace]["key"].to_frame() if namespace in known else keys.clear()
        keys = pl.concat([keys, asked]).unique()
        known[namespace] = by.who.of(namespace, keys)
    return Judged(People(known, by.who.current), by.policy)
