"""Rows as Arrow record batches, read one after another: files in Arrow's own formats, and tables of databases.

Memory does not grow with the rows: a batch is taken when the one before it has gone, and is cut where it is large. A batch is
checked whole before anything reads it, since offsets and characters that are wrong would be read as something else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import polars as pl
import pyarrow as pa
from polars.io.plugins import register_io_source
from pyarrow import ipc

from linkage.errors import InputError

ROW = "_row"
PIECE = 1 << 16
SUFFIXES = (".arrow", ".arrows", ".feather", ".ipc")
_FILE, _FEATHER_1 = b"ARROW1", b"FEA1"

Frames = Callable[[list[str]], Iterator[pl.DataFrame]]


class Batches(Protocol):
    """Rows that can be read as often as they are needed."""

    @property
    def schema(self) -> pa.Schema:
        """The columns."""

    @property
    def places(self) -> Sequence[int]:
        """Where the columns stand that can be read, from 0."""

    def read(self, places: Sequence[int]) -> Iterator[pa.RecordBatch]:
        """All rows of the columns at these places, ascending; of any one where none is named."""


@dataclass(frozen=True, slots=True)
class ArrowFile:
    """A file in Arrow's file or stream format.

    Attributes:
        path: The file.
        schema: Its columns.
        is_stream: Whether it is a stream, which has no list of its batches at the end.
    """

    path: Path
    schema: pa.Schema
    is_stream: bool

    @classmethod
    def of(cls, path: Path) -> ArrowFile:
        """Find out which format a file is in, by its content.

        Raises:
            InputError: It is in neither.
        """
        with path.open("rb") as file:
            start = file.read(len(_FILE))
        if start.startswith(_FEATHER_1):
            raise InputError(
                f"{path.name}: a Feather file of version 1, which readers give up", hint="ask for Feather version 2"
            )
        with _not_readable(path), pa.memory_map(str(path)) as source:
            if start == _FILE:
                return cls(path, ipc.open_file(source).schema, is_stream=False)
            return cls(path, ipc.open_stream(source).schema, is_stream=True)

    @property
    def places(self) -> Sequence[int]:
        """All of them."""
        return range(len(self.schema))

    def read(self, places: Sequence[int]) -> Iterator[pa.RecordBatch]:
        """All rows of the columns at these places."""
        options = ipc.IpcReadOptions(included_fields=list(places or [0]))
        with _not_readable(self.path), pa.memory_map(str(self.path)) as source:
            if self.is_stream:
                yield from ipc.open_stream(source, options=options)
                return
            reader = ipc.open_file(source, options=options)
            for place in range(reader.num_record_batches):
                yield reader.get_batch(place)


@contextmanager
def _not_readable(path: Path) -> Iterator[None]:
    # The reader's own message can quote bytes of the file.
    try:
        yield
    except (pa.ArrowException, ValueError, OSError):
        raise InputError(
            f"{path.name}: not a readable Arrow file", hint="ask the sender for the file again: it may be cut short"
        ) from None


def count(batches: Batches, where: str) -> int:
    """How many rows there are, each batch being read and checked.

    Raises:
        InputError: A batch contradicts itself or is cut short.
    """
    return sum(batch.num_rows for batch in _checked(batches, batches.places, where))


def frames(batches: Batches, where: str) -> tuple[Frames, dict[str, pl.DataType]]:
    """How to read, and the columns that there are.

    Returns:
        What gives the columns asked for, frame by frame, and all columns by their places: `c0`, `c1` and so on. Dictionaries
        are decoded.
    """
    names = {f"c{place}": place for place in batches.places}
    kinds = types(batches.schema)

    def read(asked: list[str]) -> Iterator[pl.DataFrame]:
        places = sorted(names[name] for name in asked)
        for batch in _checked(batches, places, where):
            # Without any column a batch would not say how many rows it has.
            called = [f"c{place}" for place in places] or ["rows"]
            table = pa.RecordBatch.from_arrays([decoded(column) for column in batch.columns], called)
            for start in range(0, batch.num_rows, PIECE):
                yield pl.DataFrame(table.slice(start, PIECE))

    return read, {name: kinds[place] for name, place in names.items()}


def scan(batches: Batches, where: str) -> pl.LazyFrame:
    """Read lazily.

    Returns:
        `_row` (UInt32, from 0) and the columns of `frames`.
    """
    return numbered(*frames(batches, where))


def numbered(frames: Frames, schema: dict[str, pl.DataType]) -> pl.LazyFrame:
    """A lazy frame of what is made as it is read, with its rows numbered in `_row` (UInt32, from 0).

    Args:
        frames: Gives the columns asked for, frame by frame.
        schema: All columns.
    """

    def blocks(
        with_columns: list[str] | None, predicate: pl.Expr | None, n_rows: int | None, _batch_size: int | None
    ) -> Iterator[pl.DataFrame]:
        asked = [ROW, *schema] if with_columns is None else with_columns
        needed = dict.fromkeys([*asked, *([] if predicate is None else predicate.meta.root_names())])
        rows = 0
        for frame in frames([name for name in needed if name != ROW]):
            if n_rows is not None and rows >= n_rows:
                return
            block = frame.with_row_index(ROW, rows).head(frame.height if n_rows is None else n_rows - rows)
            rows += block.height
            yield (block if predicate is None else block.filter(predicate)).select(asked)

    return register_io_source(blocks, schema={ROW: pl.UInt32(), **schema}, is_pure=True)


def pieces(frames: Iterator[pl.DataFrame], size: int) -> Iterator[pl.LazyFrame]:
    """What is made as it is read, some `size` rows at a time, numbered on in `_row` (UInt32, from 0)."""
    held: list[pl.DataFrame] = []
    first = rows = 0
    for frame in frames:
        held.append(frame)
        rows += frame.height
        if rows - first >= size:
            yield pl.concat(held).with_row_index(ROW, first).lazy()
            held, first = [], rows
    if held:
        yield pl.concat(held).with_row_index(ROW, first).lazy()


def _checked(batches: Batches, places: Sequence[int], where: str) -> Iterator[pa.RecordBatch]:
    for batch in batches.read(places):
        try:
            batch.validate(full=True)
        except (pa.ArrowException, ValueError):
            raise InputError(
                f"{where}: a batch of rows contradicts itself", hint="ask the sender for the file again"
            ) from None
        yield batch


def decoded(column: pa.Array) -> pa.Array:
    """The column without a dictionary."""
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def types(schema: pa.Schema) -> list[pl.DataType]:
    """The types as Polars has them, Object for one that it does not read."""
    made: list[pl.DataType] = []
    for each in schema:
        kind = each.type.value_type if pa.types.is_dictionary(each.type) else each.type
        try:
            made.append(pl.Series(pa.array([], kind)).dtype)
        except BaseException as error:  # a panic of the reader is not an Exception
            if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
                raise
            made.append(pl.Object())
    return made
