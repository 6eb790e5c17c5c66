"""`linkage keys`: for the key holder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from linkage import guarded
from linkage.audit import Act, Journal
from linkage.audit.entries import Detail
from linkage.pseudonymise import Keyset
from linkage.pseudonymise.keyset import CreatedKeyset
from linkage.pseudonymise.signing_keys import create_signing_key

AuditPath = Annotated[
    Path | None, typer.Option("--audit", help="The log's folder; `audit` beside the key file when not given.")
]
IdentityPaths = Annotated[
    list[Path] | None,
    typer.Option("--identity", help="The age identity that opens the keyset; twice where two people hold it."),
]
app = typer.Typer(help="Make keysets and look at them.", no_args_is_help=True)


@app.callback()
def keys() -> None:
    """Make keysets and look at them."""
    guarded.lock_memory()


@app.command()
def create(
    path: Annotated[Path, typer.Argument(help="The age file to make, for example keys/ics.age.")],
    recipient: Annotated[
        list[str] | None,
        typer.Option(help="An age public key that will open it; may be given several times."),
    ] = None,
    *,
    second_recipient: Annotated[
        list[str] | None, typer.Option(help="A public key of a second person: one of these is needed besides.")
    ] = None,
    passphrase: Annotated[bool, typer.Option("--passphrase", help="Ask for a passphrase that opens it.")] = False,
    audit: AuditPath = None,
) -> None:
    """Make a keyset: a new random root secret in an age-encrypted file."""
    secret = typer.prompt("passphrase", hide_input=True, confirmation_prompt=True) if passphrase else None
    path.parent.mkdir(parents=True, exist_ok=True)
    with told("key.create", path, audit, recipients=len(recipient or ())) as act:
        made = Keyset.create(
            path, recipients=recipient or (), passphrase=secret, second_recipients=second_recipient or ()
        )
        act.details["key"] = made.key_id
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
    identity: IdentityPaths = None,
    passphrase: Annotated[
        bool, typer.Option("--passphrase", help="Ask for a passphrase that opens the new one.")
    ] = False,
    audit: AuditPath = None,
) -> None:
    """Make a site's keyset: the keys of its own domain and a signing key, and never the root secret."""
    secret = typer.prompt("passphrase for the site", hide_input=True, confirmation_prompt=True) if passphrase else None
    domain = domain or f"site:{name.lower()}"
    path.parent.mkdir(parents=True, exist_ok=True)
    with told("key.site", keyset, audit, domain=domain, recipients=len(recipient or ())) as act:
        opened = _open(keyset, identity)
        made = opened.create_for_site(path, name, domain, recipients=recipient or (), passphrase=secret)
        act.details["key"] = made.key_id
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
    audit: AuditPath = None,
) -> None:
    """Make a signing key for a person, a role or a node: it makes and opens no token."""
    secret = typer.prompt("passphrase", hide_input=True, confirmation_prompt=True) if passphrase else None
    path.parent.mkdir(parents=True, exist_ok=True)
    with told("key.signer", path, audit, recipients=len(recipient or ())) as act:
        made = create_signing_key(path, name, recipients=recipient or (), passphrase=secret)
        act.details["signs"] = made.verifier.key_id
    typer.echo(f"made {made.path}; it signs as {name}: {made.verifier.text}")
    if made.identity is not None:
        typer.echo(f"made {made.identity}, which opens it: keep it apart from the key")


@app.command(name="list")
def show(
    keyset: Annotated[str, typer.Argument(help="The keyset, for example age://keys/ics.age.")],
    *,
    identity: IdentityPaths = None,
    audit: AuditPath = None,
) -> None:
    """Show a keyset's versions and its public signing key."""
    with told("key.list", keyset, audit):
        opened = _open(keyset, identity)
    for each in opened.versions:
        typer.echo(f"{each.id}  {each.state.value:<9}  made {each.created:%Y-%m-%d}")
    for domain, version in sorted(opened.domains.items()):
        typer.echo(f"domain {domain} uses {version}")
    if opened.domain is not None:
        typer.echo(f"tokens of domain {opened.domain} alone")
    verifier = opened.signer().verifier
    typer.echo(f"signs as {verifier.name}: {verifier.text}")


@contextmanager
def told(name: str, key: str | Path, audit: Path | None, **details: Detail) -> Iterator[Act]:
    """Tell the log of what is done with a key file before it is done; the log lies beside it where nothing else is said."""
    place = str(key).partition("://")[2] if str(key).startswith(("age://", "vault://")) else str(key)
    folder = audit or (Path("audit") if "://" in place else Path(place).parent / "audit")
    with Journal(folder).act(name, "key-holder", **details) as act:
        yield act


def ask() -> str:
    """The keyset's passphrase, typed."""
    return str(typer.prompt("passphrase of the keyset", hide_input=True))


def _open(reference: str, identity: list[Path] | None) -> Keyset:
    return Keyset.open(reference, identity=identity, passphrase=ask)


def _tell_identity(made: CreatedKeyset) -> None:
    if made.identity is not None:
        typer.echo(f"made {made.identity}, which opens it: keep it apart from the keyset, and a copy in a safe")
