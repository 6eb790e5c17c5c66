"""`linkage rollback`: an earlier snapshot is the current one again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from linkage import config
from linkage.cli.run import ConfigurationPath, end_behind
from linkage.errors import ConfigurationError
from linkage.nights import history, rollback

SHOWN = 3  # runs that are named where none was


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("rollback")(back)


def back(
    configuration: ConfigurationPath,
    run: Annotated[
        str | None, typer.Argument(help="The run whose snapshot readers are to see; a part of its id is enough.")
    ] = None,
    *,
    reference: Annotated[
        str, typer.Option(help="The document that allows it although people may have opted out since.")
    ] = "",
    without: Annotated[
        list[str] | None, typer.Option(help="The file name of an extract that the next run need not find again.")
    ] = None,
) -> None:
    """Make an earlier snapshot the current one, after checking all of it; another rollback undoes it."""
    if run is None:
        raise _unnamed(configuration)
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


def _unnamed(configuration: Path) -> ConfigurationError:
    """What to say where no run is named: which there are, the newest first."""
    kept = history.kept(config.load(configuration))
    if not kept:
        return ConfigurationError(
            "no run is kept that could be gone back to", hint="`keep` under [store] says how many stay"
        )
    more = f", and {len(kept) - SHOWN} more" if len(kept) > SHOWN else ""
    return ConfigurationError(
        f"which run is to be gone back to? Kept, the newest first: {', '.join(kept[:SHOWN])}{more}",
        hint=f"name one: linkage rollback {configuration} {kept[0]}; `linkage runs list {configuration}` says what each is",
    )
