"""Statements that need nothing of each other, several at a time: writing a small file keeps no more than one core busy."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from queue import SimpleQueue

import duckdb

from linkage import stopping
from linkage.one_thread import one_thread

__all__ = ["run_several"]

MOST = 4  # statements at a time: each holds rows back to sort them, and all share the database's memory


def run_several(connection: duckdb.DuckDBPyConnection, statements: Sequence[str]) -> None:
    """Run statements in any order, on cursors of the connection, which do not see its temporary tables; one alone runs on itself.

    Args:
        connection: To what they read.
        statements: Each can be run again where it failed. The first are begun first.

    Raises:
        duckdb.Error: One failed; of the others some may have been run.
    """
    if len(statements) < 2:
        for each in statements:
            connection.execute(each)
        return
    free: SimpleQueue[duckdb.DuckDBPyConnection] = SimpleQueue()

    def run(statement: str) -> str | None:
        cursor = free.get()
        try:
            cursor.execute(statement)
        except duckdb.OutOfMemoryException:
            return statement
        finally:
            free.put(cursor)
        return None

    with ExitStack() as stack:
        cursors = [stack.enter_context(connection.cursor()) for _ in range(min(os.cpu_count() or 1, MOST))]
        for cursor in cursors:
            # A cursor takes over what is set for all connections, and this is not.
            cursor.execute("SET enable_progress_bar = false")
            stopping.interrupts(cursor)
            free.put(cursor)
        pool = stack.enter_context(ThreadPoolExecutor(len(cursors)))
        again = [each for each in pool.map(run, statements) if each]
    # What found too little memory beside others is run alone.
    for each in again:
        with one_thread(connection):
            connection.execute(each)
