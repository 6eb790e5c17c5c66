"""`linkage cohort`: for whoever asks that a cohort goes back to care."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from linkage.cli.run import ConfigurationPath, asker
from linkage.cohorts import ask, decide
from linkage.cohorts.ask import Asking, Made
from linkage.cohorts.decide import Standing
from linkage.pseudonymise.signing_keys import open_signing_key
from linkage.reidentify.decisions import Verdict
from linkage.signed import Signer

app = typer.Typer(help="Ask that a cohort goes back to care.", no_args_is_help=True)

Folder = Annotated[Path, typer.Argument(help="The request's folder.")]
SignerKey = Annotated[str, typer.Option("--signer", help="Your signing key, for example age://keys/a.patel.age.")]
SignerIdentity = Annotated[
    Path | None, typer.Option("--identity", help="The age identity that opens your signing key.")
]
Reason = Annotated[str, typer.Option(help="One line for the practices and the approvers.")]
Recipients = Annotated[
    list[str],
    typer.Option(
        "--recipient", help="ODS code of a practice that may receive, or a CSV file of them; may be repeated."
    ),
]
Role = Annotated[str | None, typer.Option(help="As what you ask; needed only where you have several roles that may.")]


@app.callback()
def commands() -> None:
    """Ask that a cohort goes back to care."""


@app.command()
def request(
    configuration: ConfigurationPath,
    cohort_: Annotated[str, typer.Argument(metavar="COHORT", help="A file .parquet, .csv or .sql, or a query.")],
    out: Annotated[Path, typer.Option(help="The folder to make for the request.")],
    reason: Reason,
    recipient: Recipients,
    signer: SignerKey,
    role: Role = None,
    identity: SignerIdentity = None,
) -> None:
    """Ask for the people of a cohort: tokens of the current snapshot, and what was agreed to go with them."""
    asking, key = Asking(reason, recipient, role), opened(signer, identity)
    tell_made(ask.request(configuration, cohort_, asking, key, out, datetime.now(UTC)), out)


@app.command()
def show(configuration: ConfigurationPath, folder: Folder) -> None:
    """Print a request and where it stands: for approvers, before they say anything."""
    tell_standing(decide.look(configuration, folder, datetime.now(UTC)))


@app.command()
def withdraw(
    configuration: ConfigurationPath, folder: Folder, signer: SignerKey, identity: SignerIdentity = None
) -> None:
    """Take a request back, for good: only who made it can."""
    key = opened(signer, identity)
    tell_standing(decide.decide(configuration, folder, Verdict.WITHDRAW, key, datetime.now(UTC)))


def opened(reference: str, identity: Path | None) -> Signer:
    """Open somebody's signing key."""
    return open_signing_key(reference, identity=identity, passphrase=asker())


def tell_made(made: Made, out: Path) -> None:
    """Say what was asked."""
    people = "1 person" if made.people == 1 else f"{made.people:,} people"
    typer.echo(f"made {out}: {people}, good until {made.expires:%Y-%m-%d %H:%M} UTC")
    typer.echo(f"request {made.digest}; of the purpose's people {made.left - made.people:,} are left after it")


def tell_standing(found: Standing) -> None:
    """Say what a request asks, and where it stands."""
    said = found.asked.request
    lines = {
        "request": found.asked.digest,
        "purpose": said.purpose,
        "asked by": f"{said.requester}, {said.role}, {said.made:%Y-%m-%d %H:%M} UTC",
        "reason": said.reason,
        "people": f"{said.people:,} of snapshot {said.snapshot}",
        "with them go": ", ".join(said.columns) or "nothing more",
        "to practices": ", ".join(said.recipients),
        "good until": f"{said.expires:%Y-%m-%d %H:%M} UTC",
        "approved by": f"{', '.join(found.approved) or 'nobody'}, {found.needed} needed"
        + (f"; {found.void} approvals are void" if found.void else ""),
        "state": found.state.value,
    }
    for name, text in lines.items():
        typer.echo(f"{name:<13} {text}")
