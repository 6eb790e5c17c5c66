"""Files to lazy frames: which column of the file is which column of the contract, and text as it was delivered."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import polars as pl

from linkage.contract import DROPPED, Column, Role, Table
from linkage.errors import InputError
from linkage.sources import batches, text, typed
from linkage.sources.batches import ROW, Frames, numbered, pieces
from linkage.sources.inspect import TYPED, Extract, as_text_file, content

MALFORMED = "_malformed"

_PACKED = ("", *text.SUFFIXES)
_LIKE_A_NAME = re.compile(r"[A-Za-z][\w .:()/-]{0,120}")


def find(folder: Path, table: Table, where: str) -> list[Path]:
    """The files of one table, in the order of their names; packed ones carry one more suffix, typed ones another.

    Raises:
        InputError: There is none and the contract does not call the table optional, or one came in two forms.
    """
    patterns = [form for braces in table.files for pattern in _choices(braces) for form in _forms(pattern)]
    paths = sorted({path for pattern in patterns for path in folder.glob(pattern) if path.is_file()})
    plain = Counter(path.with_name(as_text_file(text.plain_name(path))) for path in paths)
    if twice := [path.name for path, count in plain.items() if count > 1]:
        raise InputError(
            f"{where}: {twice[0]} was delivered in two forms, such as packed and as it is",
            hint="remove one of the two from the folder",
        )
    if not paths and not table.optional:
        raise InputError(
            f"{where}: no file like {' or '.join(table.files)} in {folder}",
            hint="check the flow's path and that the extract was delivered",
        )
    return paths


def _forms(pattern: str) -> list[str]:
    """What a file is called as text, packed, and where the pattern is for CSV files also with typed columns."""
    stem = pattern.removesuffix(".csv")
    return [pattern + packed for packed in _PACKED] + [stem + each for each in TYPED if stem != pattern]


def _choices(pattern: str) -> list[str]:
    """The patterns that one with braces stands for: `{spell,stay}_*.csv` is two."""
    found = re.search(r"\{([^{}]*)\}", pattern)
    if not found:
        return [pattern]
    before, after = pattern[: found.start()], pattern[found.end() :]
    return [one for choice in found[1].split(",") for one in _choices(before + choice + after)]


def columns(extract: Extract, table: Table) -> dict[str, int]:
    """Where each of the contract's columns stands in the file.

    Args:
        extract: The file, with its header.
        table: The contract; a column is found by its source name or an alias: letter for letter; else without
            regard to case and surrounding blanks; else without regard to blanks, dots, colons, underscores,
            brackets and hyphens either.

    Returns:
        Position by column name; columns that the file lacks and that may be lacking are left out.

    Raises:
        InputError: A needed column is missing (says which, and the nearest name), or one is there twice.
    """
    forms = [(form, _positions([form(name) for name in extract.header])) for form in (str, _cased, _loosest)]
    found: dict[str, int] = {}
    loosely: set[str] = set()
    for name, column in table.columns.items():
        if column.value is not None:
            continue
        place, form = _place(extract, column, forms)
        if place is not None:
            found[name] = place
            loosely |= {name} if form is _loosest else set()
        elif _needed(name, column, table):
            raise _missing(extract, column)
    _check_distinct(extract, table, found, loosely)
    return found


Form = Callable[[str], str]


def _cased(name: str) -> str:
    return name.strip().casefold()


def _loosest(name: str) -> str:
    return re.sub(r"[\s.:_()\[\]{}-]+", "", name).casefold()


def _place(
    extract: Extract, column: Column, forms: Sequence[tuple[Form, dict[str, list[int]]]]
) -> tuple[int | None, Form]:
    """Where a column stands, and under which form of its name it was found: the strictest that finds any."""
    if column.position:
        return (column.position - 1 if column.position <= len(extract.header) else None), str
    for form, positions in forms:
        places = sorted({place for source in column.source for place in positions.get(form(source), ())})
        if len(places) > 1:
            names = list(dict.fromkeys(extract.header[place] for place in places))
            times = (
                f"occurs {len(places)} times" if len(names) == 1 else f"is there as {' and '.join(map(repr, names))}"
            )
            raise InputError(
                f"{extract.path.name}: the column {column.source[0]!r} {times}",
                hint="ask for the extract with one of them, or name the right one in the contract",
            )
        if places:
            return places[0], form
    return None, str


def _check_distinct(extract: Extract, table: Table, found: dict[str, int], loosely: set[str]) -> None:
    """Refuse to take one column of the file for two of the contract because their names are alike."""
    for name in loosely:
        for other, place in found.items():
            if other != name and place == found[name]:
                both = sorted((name, other))
                raise InputError(
                    f"{extract.path.name}: {extract.header[place]!r} could be {both[0]} and {both[1]}",
                    hint=f"add it, letter for letter, to the aliases of {table.columns[name].source[0]!r} or of the other",
                )


def scan(extract: Extract, table: Table) -> pl.LazyFrame:
    """Read one file lazily.

    Returns:
        A frame with `_row` (UInt32, from 1), `_malformed` (Boolean) and the contract's columns that may go on,
        as delivered: String from text files, any type from typed ones; columns the file lacks are null, or what the
        contract says of every row.

    Raises:
        InputError: A needed column is missing, or one is of a type in which no values are read.
    """
    frame = _in_place(extract) if _stands(extract) else numbered(*_frames(extract))
    return _contracted(frame, extract, table)


def windows(extract: Extract, table: Table, rows: int) -> Iterator[pl.LazyFrame]:
    """The same some rows at a time, so that what is made of them need not hold a whole file.

    Args:
        extract: The file.
        table: The contract's table.
        rows: How many at a time; text that is unpacked on its way comes in whole blocks, somewhat more.
    """
    if extract.rows <= rows:
        yield scan(extract, table)
    elif _stands(extract):
        for start in range(0, extract.rows, rows):
            # Whatever there is more than was counted shows in the last one.
            last = start + rows >= extract.rows
            yield _contracted(_in_place(extract).slice(start, None if last else rows), extract, table)
    else:
        frames, _ = _frames(extract)
        places, names = columns(extract, table), _named(extract)
        asked = sorted({names[places[name]] for name in _read(table) if name in places}, key=names.index)
        for piece in pieces(frames(asked), rows):
            yield _contracted(piece, extract, table)


def _contracted(frame: pl.LazyFrame, extract: Extract, table: Table) -> pl.LazyFrame:
    positions, names = columns(extract, table), _named(extract)
    frame = frame.select(
        (pl.col(ROW) + 1).cast(pl.UInt32).alias(ROW),
        *(
            (
                pl.col(names[positions[name]]) if name in positions else pl.lit(table.columns[name].value, pl.String)
            ).alias(name)
            for name in _read(table)
        ),
    )
    if extract.is_parquet or extract.batches:
        typed.check(frame.collect_schema(), table, extract.path.name)
    return frame.with_columns(pl.col(ROW).is_in(_rows(extract.malformed)).alias(MALFORMED))


def _read(table: Table) -> list[str]:
    return [name for name, column in table.columns.items() if column.role not in DROPPED]


def _named(extract: Extract) -> list[str]:
    """What the reader calls the columns of a file."""
    return list(extract.header) if extract.is_parquet else _places(extract)


def _stands(extract: Extract) -> bool:
    """Whether the reader takes rows from the file itself, where they stand."""
    return extract.is_parquet or (extract.is_plain and extract.batches is None)


def _in_place(extract: Extract) -> pl.LazyFrame:
    """What the reader takes from the file itself."""
    if extract.is_parquet:
        return pl.scan_parquet(extract.path, row_index_name=ROW)
    return _parsed(extract, extract.path, skip_lines=1 if extract.layout.header else 0, row_index_name=ROW)


def _frames(extract: Extract) -> tuple[Frames, dict[str, pl.DataType]]:
    """What is made as it is read, and its columns."""
    if extract.batches:
        return batches.frames(extract.batches, extract.path.name)
    return partial(_blocks, extract), dict.fromkeys(_places(extract), pl.String())


def _places(extract: Extract) -> list[str]:
    return [f"c{place}" for place in range(len(extract.header))]


def _parsed(
    extract: Extract, source: Path | bytes, *, skip_lines: int = 0, row_index_name: str | None = None
) -> pl.LazyFrame:
    return pl.scan_csv(
        source,
        has_header=False,
        skip_lines=skip_lines,
        separator=extract.layout.delimiter,
        quote_char=extract.layout.quote or None,
        schema=dict.fromkeys(_places(extract), pl.String),
        row_index_name=row_index_name,
        extra_columns="ignore",
        missing_columns="insert",
        glob=False,
    )


def _blocks(extract: Extract, asked: list[str]) -> Iterator[pl.DataFrame]:
    """Text that is unpacked and transcoded on its way, in blocks of whole records."""
    for block in text.records(content(extract), extract.layout.quote, extract.path.name):
        # Without any column the reader would not say how many rows there are.
        yield _parsed(extract, block).select(asked or _places(extract)[:1]).collect()


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
    parts += table.submission.columns if table.submission else ()
    named = {*table.primary_key, *parts, table.month, table.key, *table.subjects, *table.person_keys}
    removes = column.role is Role.FLAG and column.removes is not None
    return column.required or removes or name in named or table.kind not in ("records", "informs")


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
