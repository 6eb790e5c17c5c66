"""`linkage keys`: for the key holder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from linkage.pseudonymise import Keyset

app = typer.Typer(help="Make keysets and look at them.", no_args_is_help=True)


@app.callback()
def keys() -> None:
    """Make keysets and look at them."""


@app.command()
def create(
    path: Annotated[Path, typer.Argument(help="The age file to make, for example keys/ics.age.")],
    recipient: Annotated[
        list[str] | None,
        typer.Option(help="An age public key that will open it; may be given several times."),
    ] = None,
    *,
    passphrase: Annotated[bool, typer.Option("--passphrase", help="Ask for a passphrase that opens it.")] = False,
) -> None:
    """Make a keyset: a new random root secret in an age-encrypted file."""
    secret = typer.prompt("passphrase", hide_input=True, confirmation_prompt=True) if passphrase else None
    path.parent.mkdir(parents=True, exist_ok=True)
    made = Keyset.create(path, recipients=recipient or (), passphrase=secret)
    typer.echo(f"made {made.path} with key {made.key_id}")
    if made.identity is not None:
        typer.echo(f"made {made.identity}, which opens it: keep it apart from the keyset, and a copy in a safe")
