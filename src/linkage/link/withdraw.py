"""Late changes reach a bundle here, by token: people who may no longer be used, and numbers that were replaced.

The key holder makes the lists (`linkage.late`); this never sees a number. What goes here is people, on the word of a
register. Records whose own later delivery was removed go at the site, in `linkage.withdrawn_records`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from linkage.bundle import LEVEL, BundleManifest, Part, TableParts, digest
from linkage.contract import Feed, Role, Table
from linkage.link import tables
from linkage.reasons import Reason

__all__ = ["MOVED", "PRACTICES", "WITHDRAWN", "Lists", "people_columns", "practice_column", "withdraw"]

WITHDRAWN = pl.Schema({"table": pl.String(), "token": pl.Binary()})
PRACTICES = pl.Schema({"table": pl.String(), "practice": pl.String()})
MOVED = pl.Schema({"token": pl.Binary(), "current": pl.Binary()})
_PLACE = ["_file", "_row"]


@dataclass(frozen=True, slots=True)
class Lists:
    """What the key holder says of a bundle's tokens, and of no others; tables go by their published names.

    Attributes:
        withdrawn: Who may no longer be used, by table, as `WITHDRAWN`.
        practices: Whose rows may no longer be used, by table, as `PRACTICES`.
        moved: Tokens of replaced numbers, each with the token of the number that counts now, as `MOVED`.
    """

    withdrawn: pl.DataFrame
    practices: pl.DataFrame
    moved: pl.DataFrame

    def __repr__(self) -> str:
        return f"Lists({self.withdrawn.height} withdrawn, {self.moved.height} moved)"

    def of(self, table: str) -> Lists:
        """What is said of one table."""
        mine = pl.col("table") == table
        return Lists(self.withdrawn.filter(mine), self.practices.filter(mine), self.moved)

    @property
    def say_nothing(self) -> bool:
        """Whether nobody leaves and nobody moves."""
        return not (self.withdrawn.height or self.practices.height or self.moved.height)


def people_columns(parts: TableParts) -> tuple[str, ...]:
    """The columns of a table that hold person tokens: the subject's first, then other people's."""
    return ("token", *(field.name for field in tables.kept_fields(parts) if field.role == Role.PERSON))


def withdraw(folder: Path, manifest: BundleManifest, feeds: Mapping[str, Feed], lists: Lists) -> BundleManifest:
    """Take people out of every table of a bundle, and bring replaced tokens to the current ones.

    A row of a person who is out is removed as `late_opt_out`, with every earlier row of its record as `withdrawn`: a
    record that was corrected to that person must not stand again as it stood before. Other people of a row who are out
    are no longer named in it.

    Args:
        folder: The bundle, of which files may be replaced.
        manifest: Its manifest.
        feeds: The contracts, as the bundle was made by.
        lists: What changed.

    Returns:
        The manifest of what is left; it balances.
    """
    made = [_table(folder, each, feeds[each.feed].tables[each.table], lists) for each in manifest.tables]
    return manifest.model_copy(update={"tables": tuple(made)})


def practice_column(parts: TableParts, table: Table) -> str | None:
    """The published column with a row's practice, by which practices that do not share are told."""
    for column in table.with_role(Role.PRACTICE)[:1]:
        field = tables.field_of(parts, table, column)
        return field.name if field else None
    return None


def _table(folder: Path, parts: TableParts, table: Table, lists: Lists) -> TableParts:
    lists = lists.of(parts.name)
    if not parts.parts or table.kind != "records" or lists.say_nothing:
        return parts
    rows = pl.scan_parquet([folder / part.path for part in parts.parts])
    gone = _gone(rows, parts, table, lists)
    others = people_columns(parts)[1:]
    reached = {*gone["_file"].unique(), *_reached(rows, others, lists)}
    left = [
        _part(folder, part, others, gone.filter(pl.col("_file") == part.place), lists)
        if part.place in reached
        else part
        for part in parts.parts
    ]
    return parts.model_copy(update={"parts": tuple(left)})


def _gone(rows: pl.LazyFrame, parts: TableParts, table: Table, lists: Lists) -> pl.DataFrame:
    """Rows to be taken out: `_file`, `_row` and `reason` (String)."""
    keys = list(tables.key_columns(parts, table))
    practice = practice_column(parts, table)
    leaves = pl.col("token").is_in(lists.withdrawn["token"].implode())
    if practice is not None:
        leaves = leaves | pl.col(practice).is_in(lists.practices["practice"].implode())
    told = rows.select(
        *_PLACE,
        *(pl.col(key) for key in keys if key != "token"),
        "token",
        leaves.fill_null(value=False).alias("_leaves"),
        _version(parts, table).alias("_version"),
        (pl.col("_file").cast(pl.Int64) * 2**32 + pl.col("_row")).alias("_order"),
    )
    told = _follow(told, "token", lists.moved)
    first = told.filter("_leaves").collect(engine="streaming")
    last = (
        first.lazy()
        .drop_nulls(keys)
        .sort("_version", "_order", nulls_last=False)
        .group_by(keys, maintain_order=True)
        .agg(pl.col("_version").last().alias("_last_version"), pl.col("_order").last().alias("_last_order"))
    )
    earlier = told.filter(~pl.col("_leaves")).join(last, on=keys, how="inner").filter(_EARLIER)
    return pl.concat(
        [
            first.select(*_PLACE, pl.lit(Reason.LATE_OPT_OUT.value).alias("reason")),
            earlier.select(*_PLACE, pl.lit(Reason.WITHDRAWN.value).alias("reason")).collect(engine="streaming"),
        ]
    )


def _version(parts: TableParts, table: Table) -> pl.Expr:
    told = table.submission.latest if table.submission else None
    field = tables.field_of(parts, table, told) if told else None
    return pl.col(field.name) if field else pl.lit(None, pl.Date)


# As rows are settled: by version, one that is not told before any that is, then by delivery.
_EARLIER = (
    (pl.col("_version") < pl.col("_last_version"))
    | (pl.col("_version").is_null() & pl.col("_last_version").is_not_null())
    | (pl.col("_version").eq_missing(pl.col("_last_version")) & (pl.col("_order") < pl.col("_last_order")))
)


def _follow(rows: pl.LazyFrame, column: str, moved: pl.DataFrame) -> pl.LazyFrame:
    """The rows with tokens of replaced numbers brought to the current ones."""
    onward = moved.lazy().select(pl.col("token").alias(column), pl.col("current").alias("_current"))
    joined = rows.join(onward, on=column, how="left", maintain_order="left")
    return joined.with_columns(pl.coalesce("_current", column).alias(column)).drop("_current")


def _reached(rows: pl.LazyFrame, others: Sequence[str], lists: Lists) -> list[int]:
    """Files in which some token is moved, or another person is out."""
    changed = pl.concat([lists.moved["token"], lists.withdrawn["token"]])
    tests = [("token", lists.moved["token"]), *((column, changed) for column in others)]
    found = [
        rows.filter(pl.col(column).is_in(tokens.implode())).select(pl.col("_file").unique()) for column, tokens in tests
    ]
    return pl.concat(pl.collect_all(found, engine="streaming"))["_file"].unique().to_list()


def _part(folder: Path, part: Part, others: Sequence[str], gone: pl.DataFrame, lists: Lists) -> Part:
    path = folder / part.path
    replacement = path.with_suffix(".replacement")
    rows = pl.scan_parquet(path)
    columns = rows.collect_schema().names()
    rows = rows.join(gone.lazy().select("_row"), on="_row", how="anti", maintain_order="left")
    out = lists.withdrawn["token"].implode()
    rows = rows.with_columns(pl.when(~pl.col(column).is_in(out)).then(column).alias(column) for column in others)
    for column in ("token", *others):
        rows = _follow(rows, column, lists.moved)
    rows.select(columns).sink_parquet(replacement, compression="zstd", compression_level=LEVEL)
    # The file itself may be a link to one that is held: it is replaced, never written into.
    replacement.replace(path)
    removed = dict(part.removed)
    for reason, count in gone.group_by("reason").len().sort("reason").iter_rows():
        removed[reason] = removed.get(reason, 0) + count
    return part.model_copy(update={"kept": part.kept - gone.height, "removed": removed, "digest": digest(path)})
