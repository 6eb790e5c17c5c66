"""What the hub looks at before it takes a bundle in: every token has a token's form, and nothing else is an NHS number.

A token is a version-8 UUID, which no NHS number can be. The other columns are searched for ten digits that pass the
check, in SQL and over distinct values, so that a code column of millions of rows costs as much as its code list.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import duckdb

from linkage.bundle import Field, TableParts
from linkage.contract import Role
from linkage.errors import IntegrityError
from linkage.link import tables
from linkage.link.engine import name, run

__all__ = ["check_no_numbers", "check_tokens"]

# Ten digits on their own; ten digits with single spaces or hyphens between; 3 3 4 inside a longer row of groups.
_PATTERNS = (
    ("[0-9]+", 0),
    ("[0-9](?:[ -]?[0-9])*", 0),
    (r"(?:\b|[A-Za-z_])([0-9]{3}[ -][0-9]{3}[ -][0-9]{4})(?:\b|[A-Za-z_])", 1),
)

# Code systems hold ten-digit ids, of which one in eleven passes the check by chance. A column of NHS numbers passes
# in every value. With 20 or more look-alikes a fifth of the values is already far beyond chance (p < 0.001 even if
# every code had ten digits); with fewer it takes four and more than half. Fewer than four distinct values tell nothing.
MANY, SHARE_OF_MANY = 20, 0.2
FEW, SHARE_OF_FEW = 4, 0.5


def check_tokens(connection: duckdb.DuckDBPyConnection, folder: Path, table_parts: Iterable[TableParts]) -> None:
    """Check that every value of every token column is 16 bytes, UUID version 8, variant 10.

    Raises:
        IntegrityError: Some are not; names the feed, the table, the column and how many rows.
    """
    for parts, subject in _listed(table_parts):
        columns = [*subject, *(field.name for field in tables.kept_fields(parts) if field.type == "UUID")]
        if not columns:
            continue
        counts = ", ".join(_malformed(column) for column in dict.fromkeys(columns))
        found = run(
            connection, f"SELECT {counts} FROM {tables.scan(folder, parts)}", f"checking the tokens of {parts.name}"
        )[0]
        for column, wrong in zip(dict.fromkeys(columns), found, strict=True):
            if wrong:
                raise IntegrityError(
                    f"{parts.feed} {parts.table}: column {column!r} holds {wrong} values that are not tokens",
                    hint="nothing was taken in; make the bundle again with the site half",
                )


def check_no_numbers(
    connection: duckdb.DuckDBPyConnection,
    folder: Path,
    table_parts: Iterable[TableParts],
    beside: Iterable[TableParts] = (),
) -> None:
    """Search every column that is not a token for NHS numbers.

    In texts one look-alike is enough. In columns of role `code` and in numbers, look-alikes occur by chance, so it
    takes more of them than chance explains.

    Args:
        connection: From `engine.connect`.
        folder: The bundle.
        table_parts: The tables.
        beside: The same tables with parts that passed before. Where chance decides, it does so over all of them.

    Raises:
        IntegrityError: A column holds what looks like NHS numbers; names the feed, the table and the column.
    """
    whole = {(parts.feed, parts.table): parts for parts, _ in _listed(beside)}
    for parts, _ in _listed(table_parts):
        source, step = tables.scan(folder, parts), f"searching {parts.name} for NHS numbers"
        every = whole.get((parts.feed, parts.table), parts)
        for field in tables.kept_fields(parts):
            like, distinct = _look_alikes(connection, source, field, step)
            if like and _by_chance(field) and every != parts:
                like, distinct = _look_alikes(connection, tables.scan(folder, every), field, step)
            if _beyond_chance(like, distinct) if _by_chance(field) else like:
                raise IntegrityError(
                    f"{parts.feed} {parts.table}: column {field.name!r} holds what looks like NHS numbers"
                    f" ({like} of {distinct} distinct values)",
                    hint="nothing was taken in; give the column the role it has in the contract and make the bundle again",
                )


def _listed(table_parts: Iterable[TableParts]) -> Iterator[tuple[TableParts, tuple[str, ...]]]:
    """Every table that has parts, with its column of persons, and every list of submissions, which has none."""
    for parts in table_parts:
        if parts.parts:
            yield parts, ("token",)
        if parts.submissions and parts.submissions.parts:
            yield parts.submissions, ()


def _malformed(column: str) -> str:
    quoted = name(column)
    # A part that stores a token as anything but bytes makes octet_length fail, which stops the run as well.
    form = f"substr(hex({quoted}), 13, 1) = '8' AND substr(hex({quoted}), 17, 1) IN ('8', '9', 'A', 'B')"
    return f"count(*) FILTER (WHERE {quoted} IS NOT NULL AND NOT (octet_length({quoted}) = 16 AND {form}))"


def _look_alikes(connection: duckdb.DuckDBPyConnection, source: str, field: Field, step: str) -> tuple[int, int]:
    """How many distinct values look like an NHS number, and how many distinct values there are."""
    if field.type == "VARCHAR":
        condition = _text_condition("v")
    elif field.type in ("BIGINT", "DOUBLE"):
        condition = f"(v >= 1000000000 AND v < 10000000000 AND v = floor(v) AND {_passes('v')})"
    else:
        return 0, 0
    quoted = name(field.name)
    distinct = f"SELECT DISTINCT {quoted} AS v FROM {source} WHERE {quoted} IS NOT NULL"
    found = run(connection, f"SELECT count(*) FILTER (WHERE {condition}), count(*) FROM ({distinct})", step)[0]
    return int(found[0]), int(found[1])


def _text_condition(value: str) -> str:
    """True where a text holds ten digits that pass; anything shorter than ten bytes is not even searched."""
    runs = " || ".join(f"regexp_extract_all({value}, '{pattern}', {group})" for pattern, group in _PATTERNS)
    digits = f"list_transform({runs}, lambda x: regexp_replace(x, '[ -]', '', 'g'))"
    passing = f"list_filter({digits}, lambda x: length(x) = 10 AND {_passes('x')})"
    return f"CASE WHEN strlen({value}) < 10 THEN FALSE ELSE len({passing}) > 0 END"


def _passes(value: str) -> str:
    """The modulus-11 check on ten digits; ten equal digits pass it but are never a person's number."""
    number = f"TRY_CAST({value} AS BIGINT)"
    total = " + ".join(f"({number} // {10**place} % 10) * {place + 1}" for place in range(10))
    return f"(({total}) % 11 = 0 AND {number} % 1111111111 <> 0)"


def _by_chance(field: Field) -> bool:
    return field.type != "VARCHAR" or field.role == Role.CODE


def _beyond_chance(like: int, distinct: int) -> bool:
    if like >= MANY:
        return like > SHARE_OF_MANY * distinct
    return like >= FEW and like > SHARE_OF_FEW * distinct
