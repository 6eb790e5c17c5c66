"""A record that any delivered version marks sensitive is hidden in all its versions, with all that hangs on it.

Found before the rows are decided about, since the mark may stand in another file, or in another table: one confidential
episode hides its spell.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import polars as pl

from linkage.contract import Role, Table
from linkage.increments import compare
from linkage.reasons import Reason
from linkage.site import HIDDEN, Delivery, cleaned, flagged, narrow, once, reading
from linkage.sources.inspect import Extract

_SOURCE = "_source"


@dataclass(frozen=True, slots=True)
class Hidden:
    """Keys of hidden records: `keys` has the columns `by`, as delivered; `before` those of the last run, None if not known."""

    by: tuple[str, ...]
    keys: pl.DataFrame
    before: pl.DataFrame | None = None

    def __repr__(self) -> str:
        return f"Hidden(by {', '.join(self.by)})"


def find(delivery: Delivery) -> Mapping[str, tuple[Hidden, ...]]:
    """The hidden records of a feed, by the table whose rows they hide."""
    found: dict[str, tuple[Hidden, ...]] = {}
    for name, table in delivery.feed.tables.items():
        own = _own(delivery, name) if table.kind == "records" else ()
        # A table that the flow does not take marks records of those that it takes.
        for other, hidden in (*own, *_others(delivery, name)):
            found[other] = (*found.get(other, ()), hidden)
    return found


def hide(rows: pl.LazyFrame, hidden: Sequence[Hidden]) -> pl.LazyFrame:
    """The rows of one file, with `_hidden` (Boolean)."""
    for each in hidden:
        if each.keys.height:
            marked = each.keys.lazy().with_columns(pl.lit(value=True).alias("_marked"))
            rows = rows.join(marked, on=list(each.by), how="left", maintain_order="left")
            rows = rows.with_columns(pl.col(HIDDEN) | pl.col("_marked").fill_null(value=False)).drop("_marked")
    return rows


def _own(delivery: Delivery, name: str) -> Iterator[tuple[str, Hidden]]:
    """Flags that hide their own record; those of a roster table hide through the roster, whatever the row's version."""
    table = delivery.feed.tables[name]
    flags = [flag for flag in _marking(table) if table.columns[flag].hides is None]
    if flags and not table.roster:
        yield name, Hidden(table.primary_key, *_marked(delivery, name, flags, table.primary_key))


def _others(delivery: Delivery, name: str) -> Iterator[tuple[str, Hidden]]:
    """Flags that hide a record named in the row, with every row of the feed that holds its key."""
    table = delivery.feed.tables[name]
    for key in dict.fromkeys(table.columns[flag].hides for flag in _marking(table)):
        if key is not None:
            flags = [each for each in _marking(table) if table.columns[each].hides == key]
            keys, before = _marked(delivery, name, flags, (key,))
            for other, its in delivery.feed.records().items():
                for column in its.with_role(Role.RECORD, Role.PERSON_KEY):
                    if its.columns[column].namespace == table.columns[key].namespace:
                        was = None if before is None else before.rename({key: column})
                        yield other, Hidden((column,), keys.rename({key: column}), was)


def _marking(table: Table) -> list[str]:
    flags = table.with_role(Role.FLAG)
    return [name for name in flags if table.columns[name].removes == Reason.SENSITIVE.value]


def by(hidden: Sequence[Hidden]) -> set[str]:
    """The columns by whose keys records of a table are hidden."""
    return {column for each in hidden for column in each.by}


def _marked(
    delivery: Delivery, name: str, flags: Sequence[str], keys: tuple[str, ...]
) -> tuple[pl.DataFrame, pl.DataFrame | None]:
    """The keys that rows of a table mark, of files that the last run took by what it found; and those of that run."""
    part = narrow(delivery.feed.tables[name], [*keys, *flags])
    files, memory = compare.files(delivery, name), delivery.memory
    what = f"{delivery.feed.name} marks {name} {' '.join((*flags, *keys))}"
    plain = not any(column.lookup for column in part.columns.values())
    before = memory.frame(what) if memory and files.same_contract and plain else None
    found = []
    if before is not None:
        found.append(before.filter(pl.col(_SOURCE).is_in([each.path for each in files.known.values()])))

    def find_keys(extract: Extract) -> pl.DataFrame:
        with reading(extract, delivery.feed):
            rows = cleaned(delivery, part, extract).filter(flagged(part).is_not_null())
            return rows.select(keys).unique().collect(engine="streaming")

    for extract in files.extracts if before is None else files.new:
        marked = once(delivery.shared, partial(find_keys, extract), "marked", name, tuple(flags), keys, extract.path)
        source = extract.path.relative_to(delivery.folder).as_posix() if extract.seen and delivery.folder else ""
        found.append(marked.select(pl.lit(source).alias(_SOURCE), *keys))
    nothing = pl.DataFrame(schema={_SOURCE: pl.String, **dict.fromkeys(keys, pl.String)})
    made = pl.concat(found) if found else nothing
    if memory:
        memory.frames[what] = made
    return made.select(keys).unique(), None if before is None else before.select(keys).unique()
