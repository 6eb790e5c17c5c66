"""`linkage report`: the data quality of one run, as a page for a browser."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from linkage import config, report
from linkage.errors import ConfigurationError


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("report")(make)


def make(
    path: Annotated[Path, typer.Argument(help="A store, or the linkage.toml of one purpose.")],
    run: Annotated[str | None, typer.Option(help="Another run than that of the current snapshot.")] = None,
    to: Annotated[Path | None, typer.Option(help="The file to write; report-RUN.html here when not given.")] = None,
    *,
    exact: Annotated[
        bool, typer.Option("--exact", help="Exact counts, into the private folder: for the pipeline's operators only.")
    ] = False,
) -> None:
    """Write one page about the data quality of a run: no script, no network, small numbers withheld."""
    if exact:
        if to is not None:
            raise ConfigurationError(
                "exact counts stay beside the private account", hint="leave --to out, or leave --exact out"
            )
        typer.echo(f"exact counts, for operators only: {report.for_operators(path, run)}")
        return
    name, text = report.for_analysts(_store(path), run)
    target = to or Path(f"report-{name}.html")
    try:
        target.write_text(text, encoding="utf-8")
    except OSError:
        raise ConfigurationError(f"{target}: cannot be written", hint="name another file with --to") from None
    typer.echo(f"{target}: open it in a browser")


def _store(path: Path) -> Path:
    if path.is_dir():
        return path
    found = config.load(path)
    return found.at(found.store.path)
