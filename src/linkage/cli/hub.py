"""`linkage hub`: at an ICS that takes what sites hand over. Only `translate` and `recipient` need a key."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from linkage import guarded
from linkage.cli.run import EventsPath, LineagePath, asker, end_behind, show
from linkage.cli.told import telling
from linkage.errors import LinkageError
from linkage.pipeline import Outcome
from linkage.sites import linking, receiving
from linkage.store.manifest import SiteTaken

app = typer.Typer(help="Take what sites hand over, translate it and link it.", no_args_is_help=True)

ConfigurationPath = Annotated[Path, typer.Argument(help="The hub's linkage.toml.")]


@app.callback()
def hub() -> None:
    """Take what sites hand over, translate it and link it."""


@app.command()
def receive(
    configuration: ConfigurationPath,
    packets: Annotated[list[Path], typer.Argument(help="Packets as they came, in any order.")],
) -> None:
    """Take packets, or say of each why not; no key is needed. What is refused changes nothing."""
    errors = []
    for came, result in receiving.receive(configuration, packets, datetime.now(UTC)):
        if isinstance(result, LinkageError):
            errors.append(result)
            typer.echo(f"refused {came.name}: {result.message}\nhint: {result.hint}", err=True)
        else:
            typer.echo(f"took {came.name}: packet {result.sequence} of {result.site}, {len(result.sealed)} new parts")
    _end(errors)


@app.command()
def sites(configuration: ConfigurationPath) -> None:
    """Say of each site what was taken last, whether it is translated, and until when it may be published."""
    for line in receiving.status(configuration, datetime.now(UTC)):
        typer.echo(line)


@app.command()
def recipient(configuration: ConfigurationPath) -> None:
    """Print the public key that sites seal to, for `recipients` in their files; the key holder's identity is needed."""
    # What can open packets is loaded by the commands that are asked for it, and by no other.
    from linkage import config  # noqa: PLC0415
    from linkage.sites.opening import Opener  # noqa: PLC0415

    for each in Opener.of(config.of_kind(configuration, "hub")).recipients:
        typer.echo(each)


@app.command()
def translate(
    configuration: ConfigurationPath,
    *,
    full: Annotated[bool, typer.Option("--full", help="Translate every part again.")] = False,
    events: EventsPath = None,
) -> None:
    """The key holder's step: give what is new the tokens of the ICS."""
    from linkage.sites.translating import translate as work  # noqa: PLC0415

    guarded.lock_memory()
    with telling([configuration], events, None) as told:
        done = work(configuration, progress=told.progress, passphrase=asker(), full=full)
    errors = [each.error for each in done if each.error is not None]
    told.finished(errors[0].exit_code if errors else 0)
    for each in done:
        if each.error is not None:
            typer.echo(f"refused {each.site}: {each.error.message}\nhint: {each.error.hint}", err=True)
        elif each.sequence is not None:
            typer.echo(
                f"{each.site}: packet {each.sequence}, {each.new} of {each.parts} parts translated, {each.rows:,} rows"
            )
        else:
            typer.echo(f"{each.site}: nothing to translate")
    _end(errors)


@app.command()
def link(
    configuration: ConfigurationPath,
    *,
    full: Annotated[bool, typer.Option("--full", help="Link everything anew.")] = False,
    events: EventsPath = None,
    lineage: LineagePath = None,
) -> None:
    """Link what was translated of all sites and publish a snapshot; no key is needed."""
    with telling([configuration], events, lineage) as told:
        done = linking.link(configuration, progress=told.progress, full=full)
        told.outcomes([Outcome(configuration, done.report, None)])
    told.finished(done.report.behind.exit_code if done.report.behind else 0)
    show(done.report)
    for line in _by_site(done.sites):
        typer.echo(line)
    typer.echo(f"published {done.report.snapshot}")
    end_behind([done.report.behind])


def _by_site(sites: tuple[SiteTaken, ...]) -> Iterator[str]:
    yield "by site: rows read, rows handed over, people"
    for each in sites:
        if each.sequence is None:
            continue
        read, kept = sum(table.read for table in each.tables), sum(table.handed_over for table in each.tables)
        yield f"  {read:>12,} {kept:>12,} {each.people:>10,} {each.site}, packet {each.sequence}"


def _end(errors: list[LinkageError]) -> None:
    """The first error's exit code is the command's."""
    if errors:
        raise typer.Exit(errors[0].exit_code)
