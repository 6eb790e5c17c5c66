"""Processes that a fault happens to, each a fork of one that has everything imported and no thread of its own."""

from __future__ import annotations

import importlib
import os
import pickle
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import duckdb as _duckdb  # noqa: F401 the first import takes longer than a run
import polars as _polars  # noqa: F401
import pyarrow.parquet as _parquet  # noqa: F401
from small import make_small_ics

from linkage import cli, late, relink  # noqa: F401
from linkage.nights import rollback  # noqa: F401
from linkage.store.open import open_store

from .injector import Armed, Fault
from .world import World

_Made = TypeVar("_Made")
NOBODY = 65534
__all__ = ["Ended", "as_another_user", "command", "import_what_a_run_does", "in_child", "tables"]


@dataclass(frozen=True)
class Ended:
    """How a command ended.

    Attributes:
        code: Its exit code; below 0 the signal that ended it.
        said: What it wrote on standard output and standard error.
        counts: Operations on files, by kind.
        hit: The kind and the path of the operation that the fault came at, if it came.
    """

    code: int
    said: str
    counts: dict[str, int]
    hit: tuple[str, str] | None


def command(
    world: World, day: int, fault: Fault, *words: str, trace: Path | None = None, root: Path | None = None
) -> Ended:
    """Run one command of `linkage` as of one day's morning, with one fault; operations below the world, or `root`, count."""
    said = world.folder.parent / "said"
    ahead = int(world.now(day).timestamp() - datetime.now(UTC).timestamp())
    fault = Fault(
        **{**{name: getattr(fault, name) for name in Fault.__dataclass_fields__}, "clock": fault.clock + ahead}
    )
    armed = Armed(fault, root or world.folder, trace)
    child = os.fork()
    if not child:
        _become(said, world, words, armed)
    _, status = os.waitpid(child, 0)
    return Ended(os.waitstatus_to_exitcode(status), said.read_text(errors="replace"), armed.counts, armed.hit)


def _become(said: Path, world: World, words: tuple[str, ...], armed: Armed) -> None:
    code = 70
    try:
        out = os.open(said, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
        os.dup2(out, 1)
        os.dup2(out, 2)
        os.environ["TMPDIR"] = str(world.folder / "temporary")
        sys.argv = ["linkage", *words]
        armed.arm()
        cli.main()
    except SystemExit as end:
        code = int(end.code or 0)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def in_child(work: Callable[..., _Made], *given: Any) -> _Made:
    """Call a function in a process of its own, so that this one never starts the threads of native libraries."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        try:
            made: tuple[bool, Any] = (True, work(*given))
        except BaseException:
            made = (False, traceback.format_exc())
        with os.fdopen(writing, "wb") as pipe:
            pickle.dump(made, pipe)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        good, found = pickle.load(pipe)  # noqa: S301 from our own child
    os.waitpid(child, 0)
    if not good:
        raise AssertionError(found)
    result: _Made = found
    return result


def import_what_a_run_does(folder: Path) -> None:
    """Import everything that a run and a look at its snapshot import, before another user may not read where it lies."""
    for name in in_child(_modules, folder):
        with suppress(ImportError):
            importlib.import_module(name)


def _modules(folder: Path) -> list[str]:
    folder.mkdir()
    ics = make_small_ics(folder)
    ics.run()
    ics.run()
    tables(ics.store)
    return sorted(name for name in sys.modules if not name.startswith("__"))


def as_another_user(*folders: Path) -> None:
    """Stop being root, whom no permission stops; the folders go to the user that this process becomes."""
    if os.geteuid() == 0:
        for folder in folders:
            os.chown(folder, NOBODY, NOBODY)
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)


def tables(store: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Every table of the current snapshot as its readers see it, row by row in the order in which it is stored."""
    with open_store(store) as connection:
        names = connection.execute("SELECT table_name FROM information_schema.tables WHERE table_schema = 'main'")
        return {name: connection.execute(f'SELECT * FROM "{name}"').fetchall() for (name,) in sorted(names.fetchall())}
