"""One feed table as the hub sees it: its contract, its parts, and which published column a contract's column became."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from linkage import contract
from linkage.bundle import BOOKKEEPING, Field, TableParts
from linkage.contract import Role
from linkage.errors import IntegrityError
from linkage.link.engine import name, text

__all__ = ["FeedTable", "field_of", "kept_fields", "key_columns", "minimised", "month_column", "rows", "scan"]

_PLAIN_PATH = re.compile(r"[A-Za-z0-9_.=/-]+")


@dataclass(frozen=True)
class FeedTable:
    """A table of a feed with everything the hub knows about it.

    Attributes:
        feed: The contract.
        table: The table's contract, one of `feed.records()`.
        parts: What the bundle holds of it.
    """

    feed: contract.Feed
    table: contract.Table
    parts: TableParts

    @property
    def name(self) -> str:
        """The published table's name, `<feed>_<table>`."""
        return self.parts.name

    @property
    def fields(self) -> tuple[Field, ...]:
        """The kept columns, without the token and without bookkeeping."""
        return kept_fields(self.parts)

    @property
    def delivered(self) -> datetime | None:
        """The newest delivery stamp (UTC); None for a table without parts."""
        return max((part.delivered for part in self.parts.parts), default=None)

    def field(self, column: str | None) -> Field | None:
        """The kept column that a contract's column became; None where the policy dropped it."""
        return field_of(self.parts, self.table, column) if column else None

    def sql(self, column: str | None, type: str) -> str:
        """The column as SQL of the type given, or a null of that type where it was dropped.

        A value that does not fit the type becomes null: the contract, not the hub, is where types are enforced.
        """
        field = self.field(column)
        if field is None:
            return f"CAST(NULL AS {type})"
        return name(field.name) if field.type == type else f"TRY_CAST({name(field.name)} AS {type})"


def kept_fields(parts: TableParts) -> tuple[Field, ...]:
    """The columns that are published after the token, in the contract's order."""
    return tuple(field for field in parts.fields if field.name != "token" and field.name not in BOOKKEEPING)


def field_of(parts: TableParts, table: contract.Table, column: str) -> Field | None:
    """The kept column that a contract's column became, or None."""
    known = {field.name: field for field in parts.fields if field.name not in BOOKKEEPING}
    if column in known:
        return known[column]
    if column in table.subjects:
        return Field(name="token", type="UUID", role=Role.PERSON)
    names = [f"{column}_token", *minimised(column, table.columns[column].role).values()]
    return next((known[each] for each in names if each in known), None)


def minimised(column: str, role: Role) -> dict[str, str]:
    """What the site half makes of a column that does not keep its name: the person table's column, and its own."""
    stem = column.removesuffix("_date")
    match role:
        case Role.BIRTH_DATE:
            return {"birth_year": f"{stem}_year", "birth_month": f"{stem}_month"}
        case Role.DEATH_DATE:
            return {"death_month": f"{stem}_month"}
        case Role.POSTCODE:
            prefix = "" if column == "postcode" else f"{column.removesuffix('_postcode')}_"
            return {area: prefix + area for area in ("lsoa_2011", "lsoa_2021", "imd_decile", "postcode_district")}
        case _:
            return {}


def month_column(parts: TableParts, table: contract.Table) -> str | None:
    """The published date column whose month decides the partition, or None."""
    field = field_of(parts, table, table.month) if table.month else None
    return field.name if field is not None and field.type in ("DATE", "TIMESTAMP") else None


def key_columns(parts: TableParts, table: contract.Table) -> tuple[str, ...]:
    """The published columns of the primary key.

    Raises:
        IntegrityError: A column of the key is not in the parts: re-submissions could not be settled.
    """
    found = [field_of(parts, table, column) for column in table.primary_key]
    missing = [column for column, field in zip(table.primary_key, found, strict=True) if field is None]
    if missing:
        raise IntegrityError(
            f"{parts.feed} {parts.table}: the key column {missing[0]!r} is not in the bundle",
            hint="make the bundle again; a primary key cannot be dropped by a policy",
        )
    return tuple(field.name for field in found if field is not None)


def rows(folder: Path, parts: TableParts) -> str:
    """A query for every row of the parts: `token`, the kept columns in their types, and the bookkeeping columns.

    Raises:
        IntegrityError: A part's path leads out of the bundle.
    """
    fields = [Field(name="token", type="UUID", role=Role.PERSON), *kept_fields(parts)]
    if not parts.parts:
        nothing = ", ".join(f"CAST(NULL AS {field.type}) AS {name(field.name)}" for field in fields)
        book = (
            "CAST(NULL AS TIMESTAMP) _delivered, CAST(NULL AS INTEGER) _file, CAST(NULL AS BIGINT) _row, FALSE _deleted"
        )
        return f"(SELECT {nothing}, {book} WHERE FALSE)"
    columns = ", ".join(f"CAST({name(field.name)} AS {field.type}) AS {name(field.name)}" for field in fields)
    book = "_delivered, _file, _row, coalesce(_deleted, FALSE) AS _deleted"
    return f"(SELECT {columns}, {book} FROM {scan(folder, parts)})"


def scan(folder: Path, parts: TableParts) -> str:
    """The parts as a DuckDB table function, columns as they are stored.

    Raises:
        IntegrityError: A part's path leads out of the bundle.
    """
    paths = ", ".join(text(path) for path in _paths(folder, parts))
    return f"read_parquet([{paths}], hive_partitioning = false)"


def _paths(folder: Path, parts: TableParts) -> Sequence[str]:
    # DuckDB expands wildcards in paths; in the folder they are written so that they stand for themselves.
    base = re.sub(r"([*?\[])", r"[\1]", folder.resolve().as_posix())
    found = []
    for part in parts.parts:
        if not _PLAIN_PATH.fullmatch(part.path) or part.path.startswith("/") or ".." in part.path.split("/"):
            raise IntegrityError(
                f"{parts.feed} {parts.table}: a part's path leads out of the bundle", hint="make the bundle again"
            )
        found.append(f"{base}/{part.path}")
    return found
