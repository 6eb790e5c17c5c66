"""Files to lazy frames: which column of the file is which column of the contract, and text as it was delivered."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from linkage.contract import DROPPED, Column, Feed, Role, Table
from linkage.errors import InputError
from linkage.sources.inspect import Extract

ROW = "_row"
MALFORMED = "_malformed"

_LIKE_A_NAME = re.compile(r"[A-Za-z][\w .:()/-]{0,120}")


def find(folder: Path, table: Table, where: str) -> list[Path]:
    """The files of one table, in the order of their names.

    Raises:
        InputError: There is none and the contract does not call the table optional.
    """
    paths = sorted({path for pattern in table.files for path in folder.glob(pattern) if path.is_file()})
    if not paths and not table.optional:
        raise InputError(
            f"{where}: no file like {' or '.join(table.files)} in {folder}",
            hint="check the flow's path and that the extract was delivered",
        )
    return paths


def columns(extract: Extract, table: Table) -> dict[str, int]:
    """Where each of the contract's columns stands in the file.

    Args:
        extract: The file, with its header.
        table: The contract; a column is found by its source name or an alias, letter for letter, else without
            regard to case and surrounding blanks.

    Returns:
        Position by column name; columns that the file lacks and that may be lacking are left out.

    Raises:
        InputError: A needed column is missing (says which, and the nearest name), or one occurs twice.
    """
    exact = _positions(extract.header)
    loose = _positions([name.strip().casefold() for name in extract.header])
    found: dict[str, int] = {}
    for name, column in table.columns.items():
        places = {place for source in column.source for place in exact.get(source, ())}
        if not places:
            places = {place for source in column.source for place in loose.get(source.casefold(), ())}
        if len(places) > 1:
            raise InputError(
                f"{extract.path.name}: the column {column.source[0]!r} occurs {len(places)} times",
                hint="ask for the extract with one of them, or name the right one in the contract",
            )
        if places:
            found[name] = places.pop()
        elif _needed(name, column, table):
            raise _missing(extract, column)
    return found


def scan(extract: Extract, feed: Feed, table: Table) -> pl.LazyFrame:
    """Read one file lazily.

    Returns:
        A frame with `_row` (UInt32, from 1), `_malformed` (Boolean) and the contract's columns that may go on,
        as delivered: String from text files, any type from Parquet; columns the file lacks are null.
    """
    positions = columns(extract, table)
    if extract.is_parquet:
        frame = pl.scan_parquet(extract.path, row_index_name=ROW)
        names = list(extract.header)
    else:
        names = [f"c{place}" for place in range(len(extract.header))]
        frame = pl.scan_csv(
            extract.path,
            has_header=False,
            skip_lines=1,
            separator=feed.delimiter,
            schema=dict.fromkeys(names, pl.String),
            row_index_name=ROW,
            extra_columns="ignore",
            missing_columns="insert",
            glob=False,
        )
    kept = [name for name, column in table.columns.items() if column.role not in DROPPED]
    return frame.select(
        (pl.col(ROW) + 1).cast(pl.UInt32).alias(ROW),
        *(
            pl.col(names[positions[name]]).alias(name) if name in positions else pl.lit(None, pl.String).alias(name)
            for name in kept
        ),
    ).with_columns(pl.col(ROW).is_in(_rows(extract.malformed)).alias(MALFORMED))


def _rows(rows: Sequence[int]) -> pl.Series:
    return pl.Series(rows, dtype=pl.UInt32).implode()


def _positions(header: Sequence[str]) -> dict[str, list[int]]:
    places: dict[str, list[int]] = {}
    for place, name in enumerate(header):
        places.setdefault(name, []).append(place)
    return places


def _needed(name: str, column: Column, table: Table) -> bool:
    """Whether doing without the column could release or mislink a row: then it must be there."""
    parts = [table.event.record, table.event.start] if table.event else []
    named = {*table.primary_key, *parts, table.month, table.key, *table.subjects, *table.person_keys}
    removes = column.role is Role.FLAG and column.removes is not None
    return column.required or removes or name in named or table.kind != "records"


def _missing(extract: Extract, column: Column) -> InputError:
    wanted = column.source[0]
    where = f"{extract.path.name}: the required column {wanted!r} is missing"
    if len(extract.header) == 1:
        return InputError(
            f"{where}: the header has one column only",
            hint="the file has another delimiter than the contract says, or no header",
        )
    near = difflib.get_close_matches(wanted, _names(extract.header), n=1, cutoff=0.7)
    if near:
        return InputError(
            f"{where}; the nearest is {near[0]!r}",
            hint="correct the extract, or add the alias to the contract",
        )
    return InputError(where, hint="correct the extract, or the contract if the column has another name")


def _names(header: Sequence[str]) -> list[str]:
    # A file without a header shows data where names should be: nothing that could be a value is repeated.
    counted = Counter(header)
    return [
        name
        for name in counted
        if _LIKE_A_NAME.fullmatch(name) and not re.search(r"\d{4}", name) and counted[name] == 1
    ]
