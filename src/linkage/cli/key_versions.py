"""`linkage keys rotate|choose|promote|disable|enable|destroy|renew|vault`: changing keysets, for the key holder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from linkage.cli.keys import AuditPath, IdentityPaths, ask, told
from linkage.errors import ConfigurationError
from linkage.pseudonymise import vault as wrapping
from linkage.pseudonymise.key_versions import KeysetFile
from linkage.pseudonymise.vault import Wrapped

KeysetReference = Annotated[str, typer.Argument(help="The keyset, for example age://keys/ics.age.")]
Version = Annotated[str, typer.Argument(help="The key version; the beginning of its id is enough.")]
Recipients = Annotated[
    list[str] | None,
    typer.Option("--recipient", help="All age public keys that are to open it; else those that it was made for."),
]


def register(app: typer.Typer) -> None:
    """Add the commands to `linkage keys`."""
    for command in (rotate, choose, promote, disable, enable, destroy, renew, vault):
        app.command()(command)


def rotate(
    keyset: KeysetReference, recipient: Recipients = None, identity: IdentityPaths = None, audit: AuditPath = None
) -> None:
    """Add a key version that nothing uses yet: `linkage keys rekey` moves a purpose's store to it."""
    with told("key.rotate", keyset, audit) as act:
        act.details["key"] = _file(keyset, identity, recipient).rotate()
    typer.echo(f"added key {act.details['key']}, which nothing uses yet")
    typer.echo("make a new backup of the keyset; then: linkage keys rekey linkage.toml")


def choose(
    keyset: KeysetReference,
    domain: Annotated[str, typer.Argument(help="The token domain, for example site:rr8.")],
    version: Version,
    identity: IdentityPaths = None,
    audit: AuditPath = None,
) -> None:
    """Let one domain use a version from now on: for a site that rotates alone. A store's own domain is for `rekey`."""
    with told("key.choose", keyset, audit, domain=domain) as act:
        act.details["key"] = _file(keyset, identity).choose(domain, version)
    typer.echo(
        f"domain {domain} uses key {act.details['key']} from now on; what was made with another has to be made anew"
    )


def promote(keyset: KeysetReference, version: Version, identity: IdentityPaths = None, audit: AuditPath = None) -> None:
    """Make a version the primary one, which every domain uses that has chosen none."""
    with told("key.promote", keyset, audit) as act:
        act.details["key"] = _file(keyset, identity).promote(version)
    typer.echo(
        f"key {act.details['key']} is the primary one; stores of domains that have chosen none are made anew with it"
    )


def disable(keyset: KeysetReference, version: Version, identity: IdentityPaths = None, audit: AuditPath = None) -> None:
    """Take a version out of use at once: no token is made with it or turned back, and runs that use it stop."""
    with told("key.disable", keyset, audit) as act:
        act.details["key"] = _file(keyset, identity).disable(version)
    typer.echo(f"key {act.details['key']} is disabled: only `linkage keys rekey` reads its tokens, to replace them")


def enable(keyset: KeysetReference, version: Version, identity: IdentityPaths = None, audit: AuditPath = None) -> None:
    """Take a disabled version into use again."""
    with told("key.enable", keyset, audit) as act:
        act.details["key"] = _file(keyset, identity).enable(version)
    typer.echo(f"key {act.details['key']} is active; `linkage keys promote` makes it the primary one")


def destroy(
    keyset: KeysetReference,
    version: Version,
    identity: IdentityPaths = None,
    audit: AuditPath = None,
    *,
    sure: Annotated[bool, typer.Option("--sure", help="It cannot be undone: say that it is meant.")] = False,
) -> None:
    """Forget the root secret of a disabled version. Nobody can turn its tokens back from this keyset any more."""
    if not sure:
        raise ConfigurationError("a destroyed key version does not come back", hint="say --sure if that is meant")
    with told("key.destroy", keyset, audit) as act:
        act.details["key"] = _file(keyset, identity).destroy(version)
    typer.echo(f"key {act.details['key']} is destroyed in this file; copies and backups of the keyset still hold it")


def renew(
    keyset: Annotated[str, typer.Argument(help="The site's own keyset, for example age://keys/rr8.age.")],
    new: Annotated[str, typer.Argument(help="The new one from the key holder, for example age://keys/rr8-new.age.")],
    identity: IdentityPaths = None,
    audit: AuditPath = None,
) -> None:
    """At a site: take the token keys of a new keyset; its signing key and what its files are sealed to stay."""
    with told("key.renew", keyset, audit) as act:
        act.details["key"] = _file(keyset, identity).renew(_file(new, identity))
    typer.echo(f"tokens are made with key {act.details['key']} from now on: the next run makes everything anew")
    typer.echo("remove the new file: it holds the same token keys")


def vault(
    path: Annotated[Path, typer.Argument(help="The file to make, for example keys/ics.vault.")],
    keyset: Annotated[Path, typer.Option(help="The age file of the keyset, in the same folder.")],
    address: Annotated[str, typer.Option(help="Where Vault is, for example https://vault.example.nhs.uk:8200.")],
    key: Annotated[str, typer.Option(help="Mount and key of its transit engine: transit/linkage.")],
    token: Annotated[str, typer.Option(help="Where the token is: file://PATH or env://NAME; never the token.")],
    identity: Annotated[Path, typer.Option(help="The age identity that opens the keyset.")],
    ca: Annotated[Path | None, typer.Option(help="The certificate authority of Vault's certificate.")] = None,
    namespace: Annotated[str | None, typer.Option(help="Vault's namespace.")] = None,
    audit: AuditPath = None,
) -> None:
    """Let Vault wrap a keyset's identity: from then on vault://PATH opens the keyset, while Vault agrees."""
    if keyset.parent.resolve() != path.parent.resolve():
        raise ConfigurationError("the keyset and the file for Vault are in two folders", hint="put both into one")
    said = Wrapped(
        keyset=Path(keyset.name),
        address=address,
        mount=key.rpartition("/")[0] or "transit",
        key=key.rpartition("/")[2],
        token=token,
        ca=ca.resolve() if ca else None,
        namespace=namespace,
    )
    with told("key.vault", path, audit):
        wrapping.wrap(said, path, identity)
    typer.echo(f"made {path}: name the keyset vault://{path}")
    typer.echo(f"{identity} still opens it: put it into a safe, and off this machine")


def _file(reference: str, identity: list[Path] | None, recipients: list[str] | None = None) -> KeysetFile:
    return KeysetFile(reference, identity, ask, recipients=tuple(recipients or ()))
