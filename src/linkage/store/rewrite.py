"""A published file again with other tokens, sorted anew by them: same rows, same columns, same types."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from linkage.errors import IntegrityError

__all__ = ["rewrite", "token_columns"]

SUBJECT = "token"
TOKEN_BYTES = 16


def token_columns(path: Path) -> tuple[str, ...]:
    """The columns of a file that hold tokens, a row's person first."""
    schema = pq.read_schema(path)
    found = [field.name for field in schema if isinstance(field.type, pa.UuidType)]
    return tuple(sorted(found, key=lambda name: name != SUBJECT))


def rewrite(
    connection: duckdb.DuckDBPyConnection,
    source: Path,
    target: Path,
    translate: Callable[[str, pl.Series], pl.Series],
    metadata: Mapping[str, str],
) -> None:
    """Write a file with its tokens translated.

    Args:
        connection: Any; nothing is kept in it.
        source: The file.
        target: The file to make.
        translate: From a column's name and its tokens (Binary of 16 bytes) to the new ones, in the same order.
        metadata: Put into the new file: domain, key id, format.

    Raises:
        IntegrityError: A token could not be translated.
    """
    names = token_columns(source)
    target.parent.mkdir(parents=True, exist_ok=True)
    form = f"FORMAT parquet, COMPRESSION zstd, KV_METADATA {{{_metadata(metadata)}}}"
    rows = f"read_parquet({_text(source)}, hive_partitioning = false, file_row_number = true)"
    if not names:
        connection.execute(f"COPY (SELECT * EXCLUDE (file_row_number) FROM {rows}) TO {_text(target)} ({form})")
        return
    connection.register("made", _translated(source, names, translate))
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


def _translated(source: Path, names: tuple[str, ...], translate: Callable[[str, pl.Series], pl.Series]) -> pa.Table:
    before = pl.read_parquet(source, columns=list(names), hive_partitioning=False)
    columns = {}
    for name in names:
        after = translate(name, before[name])
        if len(after) != len(before) or after.null_count() != before[name].null_count():
            raise IntegrityError(
                f"{source.parent.name}: column {name!r} holds tokens that are not of this domain and key",
                hint="nothing was published: check the domain and the keyset",
            )
        columns[name] = _uuid(after)
    return pa.table(columns)


def _uuid(tokens: pl.Series) -> pa.Array:
    return pa.ExtensionArray.from_storage(pa.uuid(), tokens.to_arrow().cast(pa.binary(TOKEN_BYTES)))


def _name(identifier: str) -> str:
    return '"' + identifier.replace('"', '""') + '"'


def _text(value: object) -> str:
    return "'" + str(value).replace("'", "''") + "'"


def _metadata(values: Mapping[str, str]) -> str:
    return ", ".join(f"{_text(name)}: {_text(value)}" for name, value in values.items())
