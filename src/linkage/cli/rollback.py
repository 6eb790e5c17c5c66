"""`linkage rollback`: an earlier snapshot is the current one again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from linkage.cli.run import ConfigurationPath, end_behind
from linkage.nights import rollback


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("rollback")(back)


def back(
    configuration: ConfigurationPath,
    run: Annotated[str, typer.Argument(help="The run whose snapshot readers are to see; a part of its id is enough.")],
    reference: Annotated[
        str, typer.Option(help="The document that allows it although people may have opted out since.")
    ] = "",
    without: Annotated[
        list[str] | None, typer.Option(help="The file name of an extract that the next run need not find again.")
    ] = None,
) -> None:
    """Make an earlier snapshot the current one, after checking all of it; another rollback undoes it."""
    done = rollback.rollback(Path(configuration), run, reference=reference, without=without or ())
    typer.echo(f"current now: {done.run}; readers who open the store from now on see it, before it was {done.before}")
    for reason in done.reasons:
        typer.echo(f"warning: allowed by {reference}: {reason}", err=True)
    count = len(done.extracts)
    typer.echo(
        "the next run reads all extracts again"
        + (f", and with them {count:,} that later runs took, unless they are corrected" if count else "")
    )
    typer.echo(f"to undo it: linkage rollback {configuration} {done.before}")
    end_behind([done.behind])
