"""`linkage keys`: for the key holder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from linkage.pseudonymise import Keyset
from linkage.pseudonymise.keyset import CreatedKeyset
from linkage.pseudonymise.signing_keys import create_signing_key

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
    _tell_identity(made)


@app.command()
def site(
    name: Annotated[str, typer.Argument(help="The site, for example the ODS code of its organisation.")],
    path: Annotated[Path, typer.Argument(help="The age file to make, for example keys/rr8.age.")],
    keyset: Annotated[str, typer.Option(help="The key holder's keyset, for example age://keys/ics.age.")],
    domain: Annotated[str | None, typer.Option(help="The site's token domain; site:NAME when not given.")] = None,
    recipient: Annotated[list[str] | None, typer.Option(help="The site's own age public key.")] = None,
    *,
    identity: Annotated[Path | None, typer.Option(help="The age identity that opens the key holder's keyset.")] = None,
    passphrase: Annotated[
        bool, typer.Option("--passphrase", help="Ask for a passphrase that opens the new one.")
    ] = False,
) -> None:
    """Make a site's keyset: the keys of its own domain and a signing key, and never the root secret."""
    secret = typer.prompt("passphrase for the site", hide_input=True, confirmation_prompt=True) if passphrase else None
    domain = domain or f"site:{name.lower()}"
    path.parent.mkdir(parents=True, exist_ok=True)
    made = _open(keyset, identity).create_for_site(path, name, domain, recipients=recipient or (), passphrase=secret)
    typer.echo(f"made {made.path} for {name}: tokens of domain {domain}, key {made.key_id}")
    _tell_identity(made)
    if not recipient:
        typer.echo("whoever carries it could use it: best it is made for the site's own age public key (--recipient)")


@app.command()
def signer(
    name: Annotated[str, typer.Argument(help="Who signs with it, for example QXX.analysts.")],
    path: Annotated[Path, typer.Argument(help="The age file to make, for example keys/analysts.age.")],
    recipient: Annotated[list[str] | None, typer.Option(help="An age public key that will open it.")] = None,
    *,
    passphrase: Annotated[bool, typer.Option("--passphrase", help="Ask for a passphrase that opens it.")] = False,
) -> None:
    """Make a signing key for a person, a role or a node: it makes and opens no token."""
    secret = typer.prompt("passphrase", hide_input=True, confirmation_prompt=True) if passphrase else None
    path.parent.mkdir(parents=True, exist_ok=True)
    made = create_signing_key(path, name, recipients=recipient or (), passphrase=secret)
    typer.echo(f"made {made.path}; it signs as {name}: {made.verifier.text}")
    if made.identity is not None:
        typer.echo(f"made {made.identity}, which opens it: keep it apart from the key")


@app.command(name="list")
def show(
    keyset: Annotated[str, typer.Argument(help="The keyset, for example age://keys/ics.age.")],
    *,
    identity: Annotated[Path | None, typer.Option(help="The age identity that opens it.")] = None,
) -> None:
    """Show a keyset's versions and its public signing key."""
    opened = _open(keyset, identity)
    for each in opened.versions:
        typer.echo(f"{each.id}  {each.state.value:<9}  made {each.created:%Y-%m-%d}")
    if opened.domain is not None:
        typer.echo(f"tokens of domain {opened.domain} alone")
    verifier = opened.signer().verifier
    typer.echo(f"signs as {verifier.name}: {verifier.text}")


def _open(reference: str, identity: Path | None) -> Keyset:
    return Keyset.open(
        reference, identity=identity, passphrase=lambda: str(typer.prompt("passphrase of the keyset", hide_input=True))
    )


def _tell_identity(made: CreatedKeyset) -> None:
    if made.identity is not None:
        typer.echo(f"made {made.identity}, which opens it: keep it apart from the keyset, and a copy in a safe")
