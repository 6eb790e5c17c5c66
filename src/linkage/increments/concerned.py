"""Rows of a file that is as it was, of which something else may be decided now: those of certain people, or with certain keys.

Which rows these are is asked of the extract, by the columns alone that name people and records.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl

from linkage import nhs_number
from linkage.contract import Role, Table
from linkage.hide import Hidden
from linkage.increments.asking import UNIT
from linkage.increments.judged import Judged
from linkage.increments.reach import Reach
from linkage.site import Delivery, cleaned, narrow, reading
from linkage.sources.inspect import Extract
from linkage.sources.resolve import People, key_of

__all__ = ["Concerned"]


@dataclass(frozen=True, slots=True, repr=False)
class Concerned:
    """Whom, or what, rows must name to be looked at again.

    Attributes:
        people: By column that names a person: `number` (Int64) or `key` (String), whatever is judged otherwise now.
        marked: Keys as delivered of records that are marked sensitive now and were not, or were and are not.
    """

    people: Mapping[str, pl.DataFrame] = field(default_factory=dict)
    marked: Sequence[pl.DataFrame] = ()

    @classmethod
    def of(cls, reach: Reach | None, hidden: Sequence[Hidden]) -> Concerned:
        """For what became of people, and of records that are marked."""
        judged = reach.judged if reach else {}
        people = {name: _otherwise(each) for name, each in judged.items()}
        marked = [_either(each.keys, each.before) for each in hidden if each.before is not None]
        return cls(
            {name: each for name, each in people.items() if each.height},
            [each for each in marked if each.height],
        )

    def rows(self, delivery: Delivery, name: str, extract: Extract, *, allow_test: bool) -> pl.Series:
        """The numbers of the rows of one file (`_row`, UInt32, ascending)."""
        table = delivery.feed.tables[name]
        columns = [*self.people, *(key for each in self.marked for key in each.columns)]
        with reading(extract, delivery.feed):
            asked = narrow(table, columns)
            found = list(self.among(cleaned(delivery, asked, extract), asked, allow_test=allow_test))
            numbers = [each.select("_row") for each in found]
            made = pl.collect_all(numbers, engine="streaming") if numbers else []
        return pl.concat([pl.DataFrame(schema={"_row": pl.UInt32}), *made])["_row"].unique().sort()

    def keys(self, table: Table, namespace: str) -> pl.Series:
        """The keys of one namespace (String) among those that people are known by."""
        found = [who["key"] for name, who in self.people.items() if (table.columns[name].namespace or "") == namespace]
        return pl.concat([pl.Series(dtype=pl.String), *found]).drop_nulls().unique()

    def known(self, before: Judged, table: Table) -> Judged:
        """What the last run decided by, with no more of its roster than whom this is about.

        Of others the roster of today says what it did, as far as anything is decided by it.
        """
        namespaces = {table.columns[name].namespace or "" for name in table.with_role(Role.PERSON_KEY)}
        who = {name: before.who.of(name, self.keys(table, name).alias("key").to_frame()) for name in namespaces}
        return Judged(People(who, before.who.current), before.policy, before.restricted)

    def among(self, rows: pl.LazyFrame, table: Table, *, allow_test: bool) -> Iterator[pl.LazyFrame]:
        """Of clean rows those that are concerned; one may come several times."""
        named = [_names(table, name, who, allow_test=allow_test) for name, who in self.people.items()]
        if named:
            yield rows.filter(pl.any_horizontal(named))
        for each in self.marked:
            yield rows.join(each.lazy(), on=each.columns, how="semi")


def _names(table: Table, name: str, who: pl.DataFrame, *, allow_test: bool) -> pl.Expr:
    """Whether (Boolean) a column names one of some people."""
    column = table.columns[name]
    if column.role is Role.PERSON_KEY:
        return key_of(table, name).is_in(who["key"].implode()).fill_null(value=False)
    parsed = nhs_number.parse_expr(name, integer=column.kind == "integer", allow_test=allow_test)
    return parsed.struct.field("number").is_in(who["number"].implode()).fill_null(value=False)


def _otherwise(judged: pl.DataFrame) -> pl.DataFrame:
    """The numbers or keys among those asked about (`Reach.judged`) on which anything is decided otherwise."""
    differs = (
        pl.col("before").ne_missing(pl.col("after"))
        | pl.col("person_before").ne_missing(pl.col("person_after"))
        | pl.any_horizontal("told", "born", "unsure")
    )
    return judged.filter(differs).select(UNIT).unique(maintain_order=True)


def _either(one: pl.DataFrame, other: pl.DataFrame) -> pl.DataFrame:
    """What only one of two frames has."""
    on = one.columns
    only = (one.join(other, on=on, how="anti"), other.select(on).join(one, on=on, how="anti"))
    return pl.concat(only).drop_nulls().unique(maintain_order=True)
