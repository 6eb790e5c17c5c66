"""Small bundles, drawn by hand: contracts in TOML, rows as dictionaries, parts as the site half writes them."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from linkage import contract
from linkage.bundle import Field, Part, TableParts, digest
from linkage.link import FeedTable

ARROW = {
    "UUID": pa.binary(),
    "VARCHAR": pa.string(),
    "BIGINT": pa.int64(),
    "SMALLINT": pa.int16(),
    "TINYINT": pa.int8(),
    "DOUBLE": pa.float64(),
    "DATE": pa.date32(),
    "TIMESTAMP": pa.timestamp("us"),
    "TIME": pa.time64("us"),
    "BOOLEAN": pa.bool_(),
}
BOOK = {"_delivered": "TIMESTAMP", "_file": "INTEGER", "_row": "BIGINT", "_deleted": "BOOLEAN"}
FIRST = datetime(2026, 11, 1)

Row = Mapping[str, Any]


def token(number: int) -> uuid.UUID:
    """The token of made-up person or record `number`: version 8, variant 10, in the order of the numbers."""
    return uuid.UUID(int=(number << 96) | (8 << 76) | (2 << 62))


def feed(toml: str) -> contract.Feed:
    return contract.parse(toml, "a test")


def parts(
    folder: Path, feed_name: str, table: str, fields: Mapping[str, str], files: Sequence[Sequence[Row]] = ()
) -> TableParts:
    """Write one table's parts, one for each list of rows; each file is delivered a day after the one before.

    A row may say `_deleted` and `_delivered` (days after the first delivery) and `_file` itself; `token` and other UUID columns
    are given as numbers for `token`.
    """
    described = tuple(Field(name=name, type=type, role=_role(name, type)) for name, type in fields.items())
    made = [_part(folder, feed_name, table, fields, place, rows) for place, rows in enumerate(files)]
    return TableParts(feed=feed_name, table=table, contract_digest="", fields=described, parts=tuple(made))


def feed_table(
    folder: Path, of: contract.Feed, table: str, fields: Mapping[str, str], files: Sequence[Sequence[Row]] = ()
) -> FeedTable:
    return FeedTable(of, of.tables[table], parts(folder, of.name, table, fields, files))


def with_submissions(
    folder: Path, made: TableParts, columns: Sequence[str], files: Sequence[Sequence[Row]]
) -> TableParts:
    """The parts with the list of submissions in the rows of the files: one line for each row, as if each told its own."""
    fields = {field.name: field.type for field in made.fields if field.name in columns}
    told = [[{**row, "_rows": 1} for row in rows] for rows in files]
    listed = parts(folder, made.feed, f"{made.table}/submissions", {**fields, "_rows": "BIGINT"}, told)
    kept = tuple(field for field in listed.fields if field.name != "_rows")
    named = {"table": f"{made.table} submissions", "fields": kept}
    return made.model_copy(update={"submissions": listed.model_copy(update=named)})


def _part(folder: Path, feed_name: str, table: str, fields: Mapping[str, str], place: int, rows: Sequence[Row]) -> Part:
    path = Path(feed_name) / table / f"part-{place:05d}.parquet"
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    columns = {name: [_cell(row.get(name), type) for row in rows] for name, type in fields.items()}
    delivered = [FIRST + timedelta(days=row.get("_delivered", place)) for row in rows]
    arrays = [pa.array(values, ARROW[fields[name]]) for name, values in columns.items()]
    arrays += [
        pa.array(delivered, pa.timestamp("us")),
        pa.array([row.get("_file", place) for row in rows], pa.int32()),
        pa.array(range(len(rows)), pa.int64()),
        pa.array([row.get("_deleted", False) for row in rows], pa.bool_()),
    ]
    pq.write_table(pa.table(dict(zip([*fields, *BOOK], arrays, strict=True))), folder / path, compression="zstd")
    stamp = max(delivered, default=FIRST + timedelta(days=place)).replace(tzinfo=UTC)
    return Part(
        path=path.as_posix(),
        place=place,
        source=f"{table}_{place}.csv",
        source_digest="",
        delivered=stamp,
        read=len(rows),
        kept=len(rows),
        removed={},
        digest=digest(folder / path),
    )


def _cell(value: Any, type: str) -> Any:
    if type == "UUID" and isinstance(value, int):
        return token(value).bytes
    return value


def _role(name: str, type: str) -> str:
    if name == "token":
        return "person"
    return {"UUID": "record", "DOUBLE": "number", "BIGINT": "number", "DATE": "date"}.get(
        type, "code" if name.startswith("code") else "category"
    )
