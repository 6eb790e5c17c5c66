"""`linkage open`: the current snapshot in DuckDB's shell, or what to type to open it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Annotated

import typer

from linkage import config
from linkage.errors import ConfigurationError
from linkage.store import shell


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("open")(start)


def start(
    path: Annotated[Path, typer.Argument(help="A store, or the linkage.toml of one purpose.")],
    query: Annotated[str | None, typer.Option("--sql", help="Ask this, print the answer and end.")] = None,
    *,
    only_print: Annotated[bool, typer.Option("--print", help="Print what to type, and start nothing.")] = False,
) -> None:
    """Open the current snapshot read-only, so that nothing else can be reached; needs no key."""
    store = path if path.is_dir() else _store(path)
    if query is not None:
        typer.echo(shell.query(store, query))
        return
    folder = shell.snapshot(store)
    program = None if only_print else shutil.which("duckdb")
    if program is None:
        _print(folder)
    elif os.name == "posix":
        os.execv(program, [program, *shell.arguments(folder)])  # noqa: S606 the arguments are our own
    else:
        raise typer.Exit(subprocess.run([program, *shell.arguments(folder)], check=False).returncode)  # noqa: S603


def _print(folder: Path) -> None:
    typer.echo(f"-- {folder.name}, read-only: no other file, no network, no extension, and settings that stay")
    for name, text in (
        ("DuckDB's own shell", shell.shell(folder) + "\n"),
        ("Python", shell.python(folder)),
        ("R", shell.r(folder)),
        ("SQL, in a DuckDB that is open already", shell.sql(folder)),
    ):
        typer.echo(f"\n-- {name}\n{text}", nl=False)


def _store(path: Path) -> Path:
    if not path.exists():
        raise ConfigurationError(f"{path}: not there", hint="name a store, or the linkage.toml of one purpose")
    found = config.load(path)
    return found.at(found.store.path)
