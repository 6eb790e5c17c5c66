"""Tables and queries of databases as extracts: the one place where numbers are that opens a database.

It only ever reads. A statement is one SELECT. A DuckDB file is opened read-only, reaches no other file and no network, and
may not spill: what it holds is written nowhere. Over ODBC nothing is committed, and the login should have no right to write.
Where a login comes from is a reference (`env://NAME`, `file://PATH`), followed for each reading and kept nowhere. What a
database says of an error can quote its rows and its login, so none of it is repeated but the SQLSTATE.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Protocol

import duckdb
import pyarrow as pa

from linkage.config import Database
from linkage.errors import ConfigurationError, InputError, LinkageError, TemporaryError

ROWS = 1 << 16
BUFFER = 1 << 26  # bytes that an ODBC driver may fill at once, and as many again while they are taken
MEMORY = "1GiB"
LOGIN_SECONDS = 30
_STATE = re.compile(r"State: ([0-9A-Z]{5})\b")
_AWAY = ("08", "HYT")

Found = tuple[pa.Schema, Iterator[pa.RecordBatch]]


class Reader(Protocol):
    """A database that can be asked."""

    def ask(self, statement: str) -> AbstractContextManager[Found]:
        """The columns of a SELECT and its rows in batches; the connection is closed at the end.

        Raises:
            ConfigurationError: The login or the driver cannot be used.
            InputError: The statement fails.
            TemporaryError: The database cannot be reached, or is being written.
        """


@dataclass(frozen=True, slots=True)
class DuckDBFile:
    """A DuckDB file."""

    path: Path

    @contextmanager
    def ask(self, statement: str) -> Iterator[Found]:
        """See `Reader`."""
        settings: dict[str, str | bool | int | float | list[str]] = {
            "enable_external_access": "false",
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "allow_community_extensions": "false",
            "python_enable_replacements": "false",
            "temp_directory": "",
            "memory_limit": MEMORY,
            "lock_configuration": "true",
        }
        with _nothing_repeated(self.path.name, duckdb.Error):
            if [each.type for each in duckdb.extract_statements(statement)] != [duckdb.StatementType.SELECT]:
                raise InputError(f"{self.path.name}: not one SELECT", hint="give one statement that only reads")
            connection = duckdb.connect(str(self.path), read_only=True, config=settings)
            try:
                # A relation streams; what `execute` gives is first made as a whole.
                reader = connection.sql(statement).to_arrow_reader(ROWS)
                yield reader.schema, reader
            finally:
                connection.close()


@dataclass(frozen=True, slots=True)
class OdbcSource:
    """Any other database, through its ODBC driver.

    Attributes:
        reference: Where the connection string is.
        base: The folder that a relative path starts from.
        longest: Characters of the longest text that a column without a limit of its own may hold.
    """

    reference: str
    base: Path
    longest: int

    @contextmanager
    def ask(self, statement: str) -> Iterator[Found]:
        """See `Reader`."""
        odbc = _arrow_odbc()
        with _nothing_repeated(self.reference, odbc.Error):
            connection = odbc.connect(
                connection_string=_followed(self.reference, self.base),
                login_timeout_sec=LOGIN_SECONDS,
                autocommit=False,
            )
            try:
                reader = connection.read_arrow_batches(
                    statement,
                    batch_size=ROWS - 1,  # some drivers count in 16 bits
                    max_bytes_per_batch=BUFFER,
                    max_text_size=self.longest,
                    max_binary_size=1 << 10,
                    falliable_allocations=True,
                    map_schema=_microseconds,
                )
                yield reader.schema, reader
            finally:
                with suppress(odbc.Error):
                    connection.rollback()


def reader(source: Database, base: Path) -> Reader:
    """The database that a flow names; nothing is opened yet."""
    if source.duckdb is not None:
        return DuckDBFile(base / source.duckdb)
    return OdbcSource(source.odbc or "", base, source.longest_text)


def _followed(reference: str, base: Path) -> str:
    """The connection string that a reference stands for."""
    scheme, _, place = reference.partition("://")
    if scheme == "env":
        secret = os.environ.get(place, "")
    else:
        try:
            secret = (base / place).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            secret = ""
    if not secret.strip():
        raise ConfigurationError(
            f"{reference}: no connection string is there", hint="set the variable, or write it into the file"
        )
    return secret.strip()


def _arrow_odbc() -> ModuleType:
    try:
        import arrow_odbc  # noqa: PLC0415
    except (ImportError, OSError):
        raise ConfigurationError(
            "databases other than DuckDB need arrow-odbc and an ODBC driver manager",
            hint="pip install 'linkage[mssql]'; outside Windows install unixODBC too, and the database's driver",
        ) from None
    module: ModuleType = arrow_odbc
    return module


def _microseconds(schema: pa.Schema) -> pa.Schema:
    """Times to the microsecond: finer ones cannot hold the year 9999, which databases write for "no end"."""
    return pa.schema(
        each.with_type(pa.timestamp("us", each.type.tz)) if pa.types.is_timestamp(each.type) else each
        for each in schema
    )


@contextmanager
def _nothing_repeated(where: str, kind: type[Exception]) -> Iterator[None]:
    try:
        yield
    except LinkageError:
        raise
    except kind as error:
        raise _as_ours(where, str(error), type(error).__name__) from None


def _as_ours(where: str, said: str, name: str) -> LinkageError:
    state = found[1] if (found := _STATE.search(said)) else ""
    told = f"SQLSTATE {state}" if state else name
    if state.startswith(_AWAY) or "Could not set lock" in said:
        return TemporaryError(
            f"{where}: the database cannot be reached, or is being written ({told})", hint="try again when it is free"
        )
    if state.startswith("28"):
        return ConfigurationError(f"{where}: the login is refused ({told})", hint="check the connection string")
    if "SQLDriverConnect" in said:
        return ConfigurationError(
            f"{where}: no connection is made ({told})", hint="check the driver's name in the connection string"
        )
    if "without truncation" in said:
        return InputError(
            f"{where}: a text is longer than longest_text", hint="raise longest_text, or leave the column out"
        )
    return InputError(
        f"{where}: the statement fails ({told})", hint="run it in the database's own client; rights may be missing"
    )
