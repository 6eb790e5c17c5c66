"""`linkage optouts`: asking the national service, taking in its answers, and how the registers stand."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from linkage import inquiry, register_status
from linkage.cli.run import ConfigurationPath, asker
from linkage.errors import PolicyError, TemporaryError
from linkage.register_status import RegisterLine, RegisterStatus

app = typer.Typer(help="Registers of people who said no.", no_args_is_help=True)


@app.command()
def request(configuration: ConfigurationPath) -> None:
    """Write the request files for the national service: everyone in the flows and on the roster."""
    for each in inquiry.request(configuration, datetime.now(UTC), asker()):
        typer.echo(f"{each.path}: {each.numbers:,} numbers, LocalId {each.local_id}")
    typer.echo("send each with its .ctl file, and leave them here: the answer is held against them")


@app.command()
def read(
    configuration: ConfigurationPath,
    inbox: Annotated[list[Path], typer.Argument(help="Where the mailbox's messages are: folders or files.")],
) -> None:
    """Take in what the national service sent back, and say what is still outstanding."""
    received = inquiry.read(configuration, inbox, datetime.now(UTC))
    for each in received.messages:
        moment = f"{each.moment:%Y-%m-%d %H:%M}" if each.moment else "no date"
        typer.echo(f"{moment:<16}  {each.file}: {each.outcome.value}" + (f" ({each.detail})" if each.detail else ""))
    for name in received.outstanding:
        typer.echo(f"outstanding: {name}")
    for name in received.forgotten:
        typer.echo(f"removed, too old: {name}")
    if received.problems:
        first = received.problems[0]
        raise PolicyError(
            f"{first.file}: {first.outcome.value}",
            hint="correct it and ask again with `linkage optouts request`; what was good is in place",
        )
    if received.outstanding:
        raise TemporaryError(
            "one request has no answer yet"
            if len(received.outstanding) == 1
            else f"{len(received.outstanding)} requests have no answer yet",
            hint="the service takes up to about an hour; read the inbox again",
        )
    typer.echo("every request is answered")


@app.command()
def tokens(
    configurations: Annotated[list[Path], typer.Argument(help="The linkage.toml of each purpose.")],
) -> None:
    """For the key holder: late opt-outs and replaced numbers become token lists for the held bundles."""
    # The way back from tokens to numbers is in no other command's program.
    from linkage import late  # noqa: PLC0415

    for path in configurations:
        made = late.tokens(path, datetime.now(UTC), asker())
        until = f", good until {made.good_until:%Y-%m-%d %H:%M}" if made.good_until else ""
        typer.echo(f"{path}: {made.withdrawn:,} people leave, {made.moved:,} tokens move{until}")
    typer.echo(f"apply them with `linkage run --from-held {' '.join(map(str, configurations))}`")


@app.command()
def status(configuration: ConfigurationPath) -> None:
    """Print how fresh each register is, how many flows it covers, and what the next run will do.

    It ends with exit code 4 where the next run would be refused.
    """
    now = datetime.now(UTC)
    found = register_status.status(configuration, now, asker())
    for line in status_lines(found, now):
        typer.echo(line)
    if found.refused:
        raise PolicyError(
            f"the next run is refused: {found.refused[0]}", hint="what was published before stays until it is mended"
        )


def status_lines(found: RegisterStatus, now: datetime) -> Iterator[str]:
    """The lines of `linkage optouts status`."""
    for each in found.registers:
        yield f"{each.name:<18} {_state(each, now)}"
    yield f"{'covered':<18} {found.covered} of {found.flows} flows: nearly everybody in them was asked about"
    yield f"{'published':<18} {found.published or 'nothing yet'}"
    yield from (f"{'refused':<18} {reason}" for reason in found.refused)
    if not found.refused:
        until = f", until {found.good_until:%Y-%m-%d %H:%M}" if found.good_until else ""
        yield f"{'next run':<18} goes ahead{until}"


def _state(each: RegisterLine, now: datetime) -> str:
    if each.exempt:
        return "lifted by an exemption"
    where = f"binds on {each.flows} {'flow' if each.flows == 1 else 'flows'}"
    if each.refused:
        return f"REFUSED, {where}" if each.flows else "REFUSED"
    if each.as_of is None:
        return f"as delivered, {where}"
    age = max((now - each.as_of).days, 0)
    days = "today" if age == 0 else f"{age} {'day' if age == 1 else 'days'} old"
    allowed = "" if each.max_age_days is None else f", {each.max_age_days} allowed"
    return f"of {each.as_of:%Y-%m-%d}, {days}{allowed}, {where}"
