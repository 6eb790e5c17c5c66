"""A published file again with other tokens, sorted anew by them: same rows, same columns, same types."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from linkage.errors import IntegrityError

__all__ = ["rewrite", "rewrite_all", "token_columns"]

SUBJECT = "token"
_TOKEN = pa.binary(16)


def token_columns(schema: pa.Schema) -> tuple[str, ...]:
    """The columns that hold tokens, a row's person first."""
    found = [field.name for field in schema if isinstance(field.type, pa.UuidType)]
    return tuple(sorted(found, key=lambda name: name != SUBJECT))


def rewrite_all(
    connection: duckdb.DuckDBPyConnection,
    files: Sequence[tuple[Path, Path]],
    translate: Callable[[str, pl.Series], pl.Series],
    metadata: Mapping[str, str],
) -> Iterator[int]:
    """Write the files of a table again, several at once, since most are small; gives the rows of each.

    Args:
        connection: Any; nothing is kept in it.
        files: Each file, and the one to make.
        translate, metadata: As in `rewrite`.
    """

    def one(pair: tuple[Path, Path]) -> int:
        with connection.cursor() as cursor:
            return rewrite(cursor, *pair, translate, metadata)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield from pool.map(one, files)


def rewrite(
    connection: duckdb.DuckDBPyConnection,
    source: Path,
    target: Path,
    translate: Callable[[str, pl.Series], pl.Series],
    metadata: Mapping[str, str],
) -> int:
    """Write a file with its tokens translated; its rows.

    Args:
        connection: Any; nothing is kept in it.
        source: The file.
        target: The file to make.
        translate: From a column's name and its tokens (Binary of 16 bytes) to the new ones, in the same order.
        metadata: Put into the new file: domain, key id, format.

    Raises:
        IntegrityError: A token could not be translated.
    """
    with pq.ParquetFile(source) as file:
        names = token_columns(file.schema_arrow)
        rows_there: int = file.metadata.num_rows
        tokens = file.read(columns=list(names), use_threads=False) if names else None
    target.parent.mkdir(parents=True, exist_ok=True)
    form = f"FORMAT parquet, COMPRESSION zstd, KV_METADATA {{{_metadata(metadata)}}}"
    rows = f"read_parquet({_text(source)}, hive_partitioning = false, file_row_number = true)"
    if tokens is None:
        connection.execute(f"COPY (SELECT * EXCLUDE (file_row_number) FROM {rows}) TO {_text(target)} ({form})")
        return rows_there
    connection.register("made", _translated(source, tokens, translate))
    replaced = ", ".join(f"made.{_name(name)} AS {_name(name)}" for name in names)
    # A person's rows keep their order among each other; rows of nobody go by their first token.
    first = names[:1] if SUBJECT in names else names
    order = ", ".join([*(f"made.{_name(name)} NULLS FIRST" for name in first), "f.file_row_number"])
    try:
        connection.execute(
            f"COPY (SELECT f.* EXCLUDE (file_row_number) REPLACE ({replaced}) FROM {rows} f POSITIONAL JOIN made"
            f" ORDER BY {order}) TO {_text(target)} ({form})"
        )
    finally:
        connection.unregister("made")
    return rows_there


def _translated(source: Path, tokens: pa.Table, translate: Callable[[str, pl.Series], pl.Series]) -> pa.Table:
    columns = {}
    for name in tokens.column_names:
        before = pl.Series(
            name, pl.from_arrow(pa.chunked_array([each.storage for each in tokens[name].chunks], _TOKEN))
        )
        after = translate(name, before)
        if len(after) != len(before) or after.null_count() != before.null_count():
            raise IntegrityError(
                f"{source.parent.name}: column {name!r} holds tokens that are not of this domain and key",
                hint="nothing was published: check the domain and the keyset",
            )
        columns[name] = _uuid(after)
    return pa.table(columns)


def _uuid(tokens: pl.Series) -> pa.Array:
    return pa.ExtensionArray.from_storage(pa.uuid(), tokens.to_arrow().cast(_TOKEN))


def _name(identifier: str) -> str:
    return '"' + identifier.replace('"', '""') + '"'


def _text(value: object) -> str:
    return "'" + str(value).replace("'", "''") + "'"


def _metadata(values: Mapping[str, str]) -> str:
    return ", ".join(f"{_text(name)}: {_text(value)}" for name, value in values.items())
