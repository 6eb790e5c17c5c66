"""How codes are translated now, beside how the last run translated them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from linkage.contract import Table
from linkage.increments.compare import unknown_name
from linkage.increments.taken import Memory
from linkage.site import Delivery

__all__ = ["Words", "met", "of"]


@dataclass(frozen=True, slots=True, repr=False)
class Words:
    """One table of codes.

    Attributes:
        changed: Whether a key means something else than it did, or nothing any more, or it is not known what it meant.
        added: Keys that have a translation now and had none.
    """

    changed: bool
    added: pl.Series


def of(delivery: Delivery, table: Table) -> Mapping[str, Words]:
    """For each column of a table that is translated."""
    references = {name: column.lookup for name, column in table.columns.items() if column.lookup}
    made = {each: _words(delivery, each) for each in {*references.values()}}
    return {name: made[reference] for name, reference in references.items()}


def _words(delivery: Delivery, reference: str) -> Words:
    memory, name = delivery.memory, f"{delivery.feed.name} translations {reference}"
    before = memory.frame(name) if memory else None
    now = delivery.lookups[reference]
    if before is None:
        return Words(changed=True, added=now["key"])
    lookup = delivery.feed.lookup(reference)
    table, value = lookup if lookup else (None, "")
    was = before.select(pl.col(table.key or "" if table else "").alias("key"), pl.col(value).alias("value"))
    both = was.join(now.rename({"value": "_now"}).with_columns(_there=pl.lit(value=True)), on="key", how="left")
    changed = both.filter(pl.col("_there").is_null() | pl.col("value").ne_missing(pl.col("_now"))).height > 0
    return Words(changed, now.join(was, on="key", how="anti")["key"])


def met(delivery: Delivery, name: str) -> set[str] | None:
    """Files of a table that met a key which nothing translated and something does now, by their paths; None if unknown."""
    words = of(delivery, delivery.feed.tables[name])
    if any(each.changed for each in words.values()):
        return None
    added = {column: each.added for column, each in words.items() if len(each.added)}
    if not added:
        return set()
    memory: Memory | None = delivery.memory
    unknown = memory.frame(unknown_name(delivery, name)) if memory else None
    if unknown is None:
        return None
    hits = [
        unknown.filter((pl.col("column") == column) & pl.col("key").is_in(keys.implode()))["_source"]
        for column, keys in added.items()
    ]
    return {path for each in hits for path in each}
