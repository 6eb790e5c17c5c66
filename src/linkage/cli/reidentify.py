"""`linkage reidentify`: approving, releasing, and opening what was released."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from linkage import config, guarded, site
from linkage.cli.cohort import (
    Folder,
    Reason,
    Recipients,
    Role,
    SignerIdentity,
    SignerKey,
    opened,
    tell_made,
    tell_standing,
)  # fmt: skip
from linkage.cli.run import ConfigurationPath, asker
from linkage.cohorts import ask, decide
from linkage.cohorts.ask import Asking
from linkage.disk import replace
from linkage.errors import ConfigurationError
from linkage.reidentify import opening, publish
from linkage.reidentify.decisions import Verdict
from linkage.reidentify.register import sign_register
from linkage.signed import Verifier

app = typer.Typer(help="Approve and release a cohort to each patient's own practice.", no_args_is_help=True)


@app.callback()
def commands() -> None:
    """Approve and release a cohort to each patient's own practice."""
    guarded.lock_memory()


@app.command()
def register(
    source: Annotated[Path, typer.Argument(help="The register of people and practices, a TOML file.")],
    out: Annotated[Path, typer.Argument(help="The signed register to make, as `registered` names it.")],
    signer: SignerKey,
    identity: SignerIdentity = None,
) -> None:
    """For the governance lead: sign the register of people, roles and practices' keys."""
    replace(out, sign_register(source, opened(signer, identity)))
    typer.echo(f"made {out}")


@app.command()
def approve(
    configuration: ConfigurationPath,
    folder: Folder,
    signer: SignerKey,
    identity: SignerIdentity = None,
    *,
    refuse: Annotated[bool, typer.Option("--refuse", help="Refuse it instead, for good.")] = False,
) -> None:
    """For an approver: approve a request as it is, or refuse it. Look at it first: `linkage cohort show`."""
    verdict = Verdict.REFUSE if refuse else Verdict.APPROVE
    tell_standing(decide.decide(configuration, folder, verdict, opened(signer, identity), datetime.now(UTC)))


@app.command()
def release(configuration: ConfigurationPath, folder: Folder) -> None:
    """For the key holder: release an approved cohort, one encrypted package for each practice."""
    # The way back from tokens to numbers is in no other command's program.
    from linkage.cohorts import release as releasing  # noqa: PLC0415

    found = releasing.release(configuration, folder, datetime.now(UTC), asker(), typer.echo)
    going = sum(found.practices.values())
    typer.echo(f"released {going:,} of {found.people:,} people to {len(found.practices)} practices: {found.place}")
    for reason, many in found.withheld.items():
        typer.echo(f"{many:>10,} {reason}")
    typer.echo("send each practice its own folder; the counts above are not for analysts")


@app.command()
def passphrases(
    configuration: ConfigurationPath,
    released: Annotated[Path, typer.Argument(help="The folder of a release.")],
) -> None:
    """For the key holder: print what opens the encrypted ZIP files of a release, to be told by another way than they go."""
    loaded = config.load(configuration)
    for practice, text in publish.passphrases(released, site.open_keyset(loaded, asker()).unseal).items():
        typer.echo(f"{practice}  {text}")


@app.command()
def one(
    configuration: ConfigurationPath,
    token: Annotated[str, typer.Argument(help="The token, as it is in the snapshot.")],
    out: Annotated[Path, typer.Option(help="The folder to make for the request.")],
    reason: Reason,
    recipient: Recipients,
    signer: SignerKey,
    role: Role = None,
    identity: SignerIdentity = None,
) -> None:
    """For a clinician: ask for one person. It is approved and released as a cohort is, and counts as one."""
    asking, key = Asking(reason, recipient, role), opened(signer, identity)
    tell_made(ask.one(configuration, token, asking, key, out, datetime.now(UTC)), out)


@app.command()
def key(out: Annotated[Path, typer.Argument(help="The file to make, for example Z99001.key.")]) -> None:
    """For a practice without an age tool: make an age identity, and print its public half for the register."""
    made = opening.make_identity(out)
    typer.echo(f"made {out}, which opens what is encrypted to: {made}")


@app.command(name="open")
def open_(
    package: Annotated[Path, typer.Argument(help="The practice's folder, as it came.")],
    out: Annotated[Path, typer.Argument(help="A new folder for what is inside.")],
    key_holder: Annotated[str, typer.Option(help='The key holder\'s name and public key: "key-holder ed25519:…".')],
    identity: Annotated[
        Path | None, typer.Option(help="The practice's age identity; else a passphrase is asked for.")
    ] = None,
) -> None:
    """For a practice: check whose a package is, and open it. Any age tool, or one for AES-256 ZIP files, opens it too."""
    name, _, text = key_holder.partition(" ")
    files = opening.open_package(package, identity, Verifier.parse(name, text.strip()), asker())
    try:
        out.mkdir(mode=0o700)
    except OSError:
        raise ConfigurationError(f"{out} cannot be made", hint="name a new folder") from None
    for file, content in files.items():
        (out / Path(file).name).touch(mode=0o600)
        (out / Path(file).name).write_bytes(content)
    typer.echo(f"made {out}: " + ", ".join(files))
