"""Tables and queries of databases as extracts.

A run reads a table several times. The first time it is counted and a sum is made of each column; whoever changes it
while the run goes on makes the sums differ, which stops the run.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa

from linkage.config import Database
from linkage.contract import DROPPED, Table
from linkage.errors import InputError
from linkage.layout import Layout
from linkage.sources import batches, read, typed
from linkage.sources.database import Reader, reader
from linkage.sources.inspect import Extract
from linkage.sources.statement import one_select, quoted


@dataclass(frozen=True, slots=True)
class Rows:
    """What a table or a query holds, as `batches.Batches`.

    Attributes:
        reader: The database.
        statement: The SELECT, or the quoted name of the table.
        is_table: Which of the two.
        schema: Its columns.
        where: What to call it.
        sums: For each column that was looked at, by place: a sum over its values.
        rows: How many rows there were.
    """

    reader: Reader
    statement: str
    is_table: bool
    schema: pa.Schema
    where: str
    sums: dict[int, int] | None = None
    rows: int = 0

    @property
    def places(self) -> Sequence[int]:
        """Those that were looked at; before, all."""
        return range(len(self.schema)) if self.sums is None else list(self.sums)

    def read(self, places: Sequence[int]) -> Iterator[pa.RecordBatch]:
        """All rows of the columns at these places; only these leave the database where it is a table.

        Raises:
            InputError: The rows are not those that were looked at.
        """
        places = places or self.places[:1]
        sums, rows = dict.fromkeys(places, 0), 0
        with self.reader.ask(self._columns(places)) as (schema, found):
            if not self.is_table and not schema.equals(self.schema):
                raise self._changed()
            for batch in found:
                taken = batch if self.is_table else batch.select(list(places))
                for place, column in zip(places, taken.columns, strict=True):
                    sums[place] = (sums[place] + _sum(column)) % 2**64
                rows += taken.num_rows
                yield taken
        if self.sums is not None and (rows != self.rows or any(self.sums[place] != sums[place] for place in places)):
            raise self._changed()

    def looked_at(self, places: Sequence[int]) -> tuple[Rows, int]:
        """The same with its rows counted and its columns summed; and how many bytes there are."""
        sums, rows, size = dict.fromkeys(places, 0), 0, 0
        for batch in self.read(places):
            for place, column in zip(places, batch.columns, strict=True):
                sums[place] = (sums[place] + _sum(column)) % 2**64
            rows += batch.num_rows
            size += batch.nbytes
        return replace(self, sums=sums, rows=rows), size

    @property
    def digest(self) -> str:
        """SHA-256 over the statement, the columns' names and types, and what was found; the order of rows is no part."""
        columns = [[self.schema.field(place).name, str(self.schema.field(place).type)] for place in self.sums or {}]
        told = json.dumps([self.statement, columns, self.rows, list((self.sums or {}).values())])
        return hashlib.sha256(told.encode()).hexdigest()

    def _columns(self, places: Sequence[int]) -> str:
        if not self.is_table:
            return self.statement
        names = ", ".join(quoted(self.schema.field(place).name) for place in places)
        return f"SELECT {names} FROM {self.statement}"

    def _changed(self) -> InputError:
        return InputError(
            f"{self.where}: its rows changed while they were read",
            hint="run when nothing is loaded into it, or let the flow read a snapshot or a copy",
        )


def delivered(source: Database, base: Path) -> datetime:
    """When what the tables hold was delivered, UTC.

    Raises:
        InputError: The statement does not give one day or moment.
    """
    if source.delivered is None:
        path = base / (source.duckdb or "")
        try:
            return datetime.fromtimestamp(path.stat().st_mtime, UTC).replace(microsecond=0)
        except OSError:
            raise InputError(f"{path.name}: cannot be read", hint="check the flow's database") from None
    with reader(source, base).ask(one_select(source.delivered, "delivered")) as (_, found):
        values = [value for batch in found if batch.num_columns == 1 for value in batch.column(0).to_pylist()]
    moment = _moment(values[0]) if len(values) == 1 else None
    if moment is None:
        raise InputError(
            "delivered: does not give one day or one moment", hint="select one value, such as max(loaded_at)"
        )
    return moment


def inspect(name: str, source: Database, base: Path, table: Table, stamp: datetime) -> Extract:
    """Look at one table.

    Args:
        name: The contract's name of the table.
        source: The flow's database.
        base: The configuration's folder.
        table: The contract's table.
        stamp: When it was delivered.

    Raises:
        LinkageError: It cannot be read, or lacks a needed column.
    """
    asked = source.tables[name]
    is_table = not re.match(r"\s*(SELECT|WITH)\b", asked, re.IGNORECASE)
    where = asked if is_table else f"query for {name}"
    statement = quoted(*asked.split(".")) if is_table else one_select(asked, f"database.tables.{name}")
    opened = reader(source, base)
    with opened.ask(f"SELECT * FROM {statement} WHERE 1 = 0" if is_table else statement) as (schema, _):
        rows = Rows(opened, statement, is_table, schema, where)
    extract = Extract(Path(where), tuple(schema.names), stamp, 0, (), 0, "", Layout(), batches=rows)
    found = read.columns(extract, table)
    kept = {each: place for each, place in found.items() if table.columns[each].role not in DROPPED}
    types = batches.types(schema)
    typed.check(pl.Schema({each: types[place] for each, place in kept.items()}), table, where)
    looked, size = rows.looked_at(sorted(set(kept.values())))
    return replace(extract, rows=looked.rows, size=size, digest=looked.digest, batches=looked)


def _sum(column: pa.Array) -> int:
    """The same for the same values in any order; each value counts as often as it occurs."""
    series = pl.Series(batches.decoded(column))
    return int(series.hash(seed=1).to_numpy().sum(dtype=np.uint64)) if len(series) else 0


def _moment(value: object) -> datetime | None:
    if isinstance(value, str):
        with suppress(ValueError):
            value = datetime.fromisoformat(value.strip())
    if isinstance(value, datetime):
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
    return datetime(value.year, value.month, value.day, tzinfo=UTC) if isinstance(value, date) else None
