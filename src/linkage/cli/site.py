"""`linkage site`: at a provider that keeps its own keys."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from linkage.cli.run import EventsPath, asker, show
from linkage.cli.told import telling
from linkage.pipeline import Outcome
from linkage.sites import sending
from linkage.sites.sending import Again, Sent

app = typer.Typer(help="Hand over what a site's extracts hold, with tokens of its own domain.", no_args_is_help=True)

ConfigurationPath = Annotated[Path, typer.Argument(help="The site's linkage.toml.")]


@app.callback()
def site() -> None:
    """Hand over what a site's extracts hold, with tokens of its own domain."""


@app.command()
def run(
    configuration: ConfigurationPath,
    *,
    full: Annotated[bool, typer.Option("--full", help="Make every part anew.")] = False,
    everything: Annotated[
        bool, typer.Option("--everything", help="Put all parts into the packet, also those that were sent before.")
    ] = False,
    number: Annotated[
        int | None, typer.Option(help="The number that the hub waits for, where packets were lost or refused.", min=1)
    ] = None,
    previous: Annotated[
        str | None, typer.Option(help="The digest of the packet before it, where this site does not know it.")
    ] = None,
    events: EventsPath = None,
) -> None:
    """Make the next packet: read the extracts, apply the opt-outs, tokenise, seal and sign."""
    with telling([configuration], events, None) as told:
        sent = sending.run(
            configuration,
            progress=told.progress,
            passphrase=asker(),
            full=full,
            again=Again(everything, number, previous),
        )
        told.outcomes([Outcome(configuration, sent.report, None)])
    told.finished(0)
    _tell(sent)
    typer.echo(f"made {sent.packet}, {sent.digest}")


@app.command()
def check(configuration: ConfigurationPath, events: EventsPath = None) -> None:
    """Do all that `run` does and hand over nothing."""
    with telling([configuration], events, None) as told:
        sent = sending.check(configuration, progress=told.progress, passphrase=asker())
        told.outcomes([Outcome(configuration, sent.report, None)])
    told.finished(0)
    _tell(sent)
    typer.echo("checked: a run would hand this over; nothing was handed over")


def _tell(sent: Sent) -> None:
    show(sent.report)
    until = f", good until {sent.good_until:%Y-%m-%d %H:%M} UTC" if sent.good_until else ""
    typer.echo(f"packet {sent.number}: {sent.new} new of {sent.parts} parts{until}")
