"""Whose record is this? What earlier and present deliveries say about the keys that stand for a person.

Many tables hold no NHS number but a key (an EMIS patient GUID, a SUS spell, a CSDS person id) that another table, in
this delivery or an earlier one, gives a number to. The roster remembers these between deliveries, with the type 1
codes and the replaced numbers, so that a delta of observations finds its patient. It holds NHS numbers: it is written
only encrypted, readable by its owner, and never leaves the site.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import polars as pl

from linkage.sources.roster_merge import apart, latest, taken
from linkage.sources.roster_tables import (
    ENTRIES,
    FLAGS,
    PARTS,
    REGISTRATIONS,
    SEARCHED,
    by_namespace,
    held,
    kept,
)

__all__ = ["Roster", "Told", "current_numbers"]

_HOPS = 32  # replacements in a row that are followed


@dataclass(frozen=True, slots=True, repr=False)
class Told:
    """What an earlier roster knew of the keys that something was said of since: what it knew of others is as it was.

    Attributes:
        keys: By namespace, each with the column `key`.
        entries: By namespace, what it knew of them.
        superseded: Its replaced numbers.
    """

    keys: Mapping[str, pl.DataFrame]
    entries: Mapping[str, pl.DataFrame]
    superseded: pl.DataFrame


@dataclass(frozen=True, slots=True)
class Roster:
    """What is known of person keys.

    Attributes:
        entries: One row for each key: its number as delivered (Int64) or the reason it has none. In these, in `claims`
            and in `registrations`, columns with few different words are categorical (`kept`).
        type1: One row for each type 1 code recorded, latest version; one that holds no such code any more counts as deleted.
        superseded: One row for each replaced number.
        flags: One row for each person and kind of opt-out that a flag column told of, latest delivery; where the namespace
            is `BY_NUMBER` the key is an NHS number.
        searched: For each table with type 1 codes and each code: the oldest delivery that was searched for it.
        claims: Of each key without a number, because it has two or was last delivered without one: those that it had
            last. What such a key says of an opt-out is said of all of them.
        registrations: One row for each registration with a practice, latest version; a key as in `flags`.
        told: Which entries may differ from those of the roster that this one was made from; not kept.
        registered_in: The folder of a kept roster whose registrations are the same; not kept.
    """

    entries: pl.DataFrame
    type1: pl.DataFrame
    superseded: pl.DataFrame
    flags: pl.DataFrame
    searched: pl.DataFrame
    claims: pl.DataFrame
    registrations: pl.DataFrame
    told: Told | None = field(default=None, compare=False)
    registered_in: Path | None = field(default=None, compare=False)

    def __repr__(self) -> str:
        return f"Roster({self.entries.height} keys, {self.superseded.height} replaced numbers)"

    @staticmethod
    def empty() -> Roster:
        """A roster that knows nobody."""
        parts: dict[str, Any] = {name: held(name, schema.to_frame()) for name, schema in PARTS.items()}
        return Roster(**parts)

    def with_entries(self, deliveries: Iterable[pl.DataFrame]) -> Roster:
        """Take what roster tables say; for each key the latest delivery counts, whole.

        A key that one delivery gives two numbers is ambiguous and has none; nor has one that comes without, though an
        opt-out found under it still binds on whoever it stood for (`claims`). A deletion may come without the number: then
        the key keeps the one it had, since an opt-out found under it still binds on the person's other records.
        """
        said: dict[str, list[pl.DataFrame]] = {}
        for delivery in deliveries:
            for name, rows in by_namespace(kept(delivery, ENTRIES)):
                said.setdefault(name, []).append(rows)
        known = dict(by_namespace(self.entries))
        claims = dict(by_namespace(self.claims))
        told, were = {}, {}
        for name in list(said):
            # What is said of one namespace is let go once it is taken: together they are as large as the roster.
            rows = pl.concat(said.pop(name))
            told[name] = rows.select("key").unique()
            before = known.get(name, self.entries.clear())
            were[name], known[name], claims[name] = taken(before, claims.get(name, self.claims.clear()), rows)
        return replace(
            self,
            entries=pl.concat([self.entries.clear(), *known.values()]),
            claims=pl.concat([self.claims.clear(), *claims.values()]),
            told=Told(told, were, self.superseded),
        )

    def with_type1(self, deliveries: Iterable[pl.DataFrame]) -> Roster:
        """Take type 1 codes; for each record the latest delivered version counts, and every row without a record."""
        keys = ["namespace", "key", "record"]
        rows = pl.concat([self.type1, *deliveries])
        named = latest(rows.filter(pl.col("record").is_not_null()), keys)
        return replace(
            self, type1=pl.concat([named, rows.filter(pl.col("record").is_null())]).unique(maintain_order=True)
        )

    def with_registrations(self, deliveries: Iterable[pl.DataFrame]) -> Roster:
        """Take registrations; of one that began with one practice on one day the latest delivered version counts."""
        keys = ["feed", "namespace", "key", "practice", "start"]
        said = pl.concat([self.registrations.clear(), *(kept(each, REGISTRATIONS) for each in deliveries)])
        if said.is_empty():
            return self
        told = said.select("key")
        spoken, untold = apart(self.registrations, told)
        rows = pl.concat([spoken, said])
        once = ~pl.col("key").is_duplicated()
        last = latest(rows.filter(~once), keys).unique(maintain_order=True)
        made = pl.concat([untold, rows.filter(once), last])
        return replace(self, registrations=made, registered_in=None)

    def with_superseded(self, deliveries: Iterable[pl.DataFrame]) -> Roster:
        """Take replaced numbers; for each the latest delivery counts."""
        rows = latest(pl.concat([self.superseded, *deliveries]), ["superseded"])
        return replace(self, superseded=rows.unique(maintain_order=True))

    def with_flags(self, deliveries: Iterable[pl.DataFrame]) -> Roster:
        """Take opt-out flags; of each person's latest delivery, one row that says so is enough."""
        keys = ["namespace", "key", "optout"]
        last = latest(pl.concat([self.flags, *deliveries]), keys)
        merged = last.group_by(keys, maintain_order=True).agg(pl.col("out").any(), pl.col("delivered").first())
        return replace(self, flags=merged.select(FLAGS.names()))

    def with_searched(self, deliveries: Iterable[pl.DataFrame]) -> Roster:
        """Take what tables were searched for; for each code the oldest delivery counts."""
        rows = pl.concat([self.searched, *deliveries])
        merged = rows.group_by("table", "code").agg(pl.col("oldest").min()).sort("table", "code")
        return replace(self, searched=merged.select(SEARCHED.names()))

    def current_numbers(self) -> pl.DataFrame:
        """Every replaced number and the one that counts now (`current_numbers`)."""
        return current_numbers(self.superseded)

    def doubted_numbers(self) -> pl.DataFrame:
        """Every replaced number without one that counts now, with each that may be its person's.

        Returns:
            `superseded` and `current` (Int64); several rows for a number where the replacements disagree or go round.
        """
        step = self.superseded.select("superseded", "current").unique()
        lost = self.current_numbers().filter(pl.col("current").is_null()).select("superseded")
        found = step.join(lost, on="superseded", how="semi")
        for _ in range(_HOPS):
            onward = found.join(step, left_on="current", right_on="superseded", suffix="_next")
            onward = onward.select("superseded", pl.col("current_next").alias("current"))
            following = pl.concat([found, onward]).unique()
            if following.height == found.height:
                break
            found = following
        return found.sort("superseded", "current")


def current_numbers(superseded: pl.DataFrame) -> pl.DataFrame:
    """Every replaced number and the one that counts.

    Args:
        superseded: As a roster has them.

    Returns:
        `superseded` (Int64) and `current` (Int64, null where the replacements run in a circle or disagree).
    """
    step = superseded.group_by("superseded").agg(
        pl.when(pl.col("current").n_unique() == 1).then(pl.col("current").first()).alias("current")
    )
    found = step
    for _ in range(_HOPS):
        onward = found.join(step, left_on="current", right_on="superseded", how="left", suffix="_next")
        known = pl.col("current").is_in(step["superseded"].implode())
        following = onward.select(
            "superseded", pl.when(known).then("current_next").otherwise("current").alias("current")
        )
        if following.equals(found):
            return found
        found = following
    # Whatever still moves after that many steps goes round in a circle.
    ends = ~pl.col("current").is_in(step["superseded"].implode())
    return found.select("superseded", pl.when(ends).then("current").alias("current"))
