"""One thread for a statement that found too little memory: each thread of the database holds buffers of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

__all__ = ["one_thread"]


class Connection(Protocol):
    """A connection to DuckDB."""

    def execute(self, query: str, /) -> Any:
        """Run a statement."""


@contextmanager
def one_thread(connection: Connection) -> Iterator[None]:
    """Statements run on one thread for as long as this lasts, on all connections to the database."""
    (threads,) = connection.execute("SELECT current_setting('threads')").fetchall()[0]
    connection.execute("SET threads = 1")
    try:
        yield
    finally:
        connection.execute(f"SET threads = {int(threads)}")
