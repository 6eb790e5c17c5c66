"""`linkage keys rekey` and `linkage keys translate-cohort`: from one key version's tokens to another's."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from linkage.cli.keys import AuditPath, IdentityPaths, ask, told
from linkage.cli.run import ConfigurationPath, asker


def register(app: typer.Typer) -> None:
    """Add the commands to `linkage keys`."""
    app.command("rekey")(rekey)
    app.command("translate-cohort")(translate_cohort)


def rekey(
    configuration: ConfigurationPath,
    version: Annotated[str, typer.Option(help="The version to move to; the newest one when not given.")] = "",
    *,
    confirm: Annotated[
        bool, typer.Option("--confirm", help="Remove the snapshots of the old key, once the new one was looked at.")
    ] = False,
) -> None:
    """Publish the current snapshot with another key version's tokens, and make the next tokens with that version."""
    # What can turn tokens is loaded by the command that is asked for it, and by no other.
    from linkage import rekey as moving  # noqa: PLC0415

    if confirm:
        for run in moving.confirm(configuration):
            typer.echo(f"removed the snapshot of {run}")
        typer.echo("confirmed: no snapshot of the old key is left in this store")
        _tell_limits()
        return
    typer.echo("every file of the current snapshot is checked and written again; it stays what readers see until then")
    done = moving.rekey(configuration, version=version, passphrase=asker())
    typer.echo(f"published {done.run} with tokens of key {done.new}: {done.rows:,} rows")
    typer.echo(
        f"the snapshot of {done.before}, of key {done.old}, stays until: linkage keys rekey {configuration} --confirm"
    )
    typer.echo(
        "the next run reads all extracts again and makes everything anew; until then nothing is held for late opt-outs"
    )
    if done.behind is not None:
        typer.echo(f"warning: {done.behind}", err=True)
    _tell_limits()


def translate_cohort(
    table: Annotated[Path, typer.Argument(help="Parquet with tokens that were saved under the old key.")],
    target: Annotated[Path, typer.Argument(help="The file to make, with tokens of the new key.")],
    keyset: Annotated[str, typer.Option(help="The keyset, for example age://keys/ics.age.")],
    domain: Annotated[str, typer.Option(help="The domain of the tokens, for example ics:qxx.")],
    old: Annotated[str, typer.Option(help="The id of the key version that made them.")],
    new: Annotated[str, typer.Option(help="The id of the version to move to; the domain's when not given.")] = "",
    identity: IdentityPaths = None,
    audit: AuditPath = None,
) -> None:
    """Give a saved cohort of an analyst the tokens that its people have since the store was rekeyed."""
    from linkage.pseudonymise.reverser import KeyHolderKeyset  # noqa: PLC0415
    from linkage.pseudonymise.translator import Translator  # noqa: PLC0415
    from linkage.study import move_by  # noqa: PLC0415

    with told("key.translate", keyset, audit, domain=domain, old=old) as act:
        opened = KeyHolderKeyset.open(keyset, identity=identity, passphrase=ask)
        new = new or opened.version_of(domain).id
        made = move_by(table, target, Translator.between(opened, domain, old, new))
        act.details |= {"new": new, "rows": made.rows}
    typer.echo(
        f"made {target}: {made.rows:,} rows; {', '.join(f'{name} ({kind})' for name, kind in made.columns.items())}"
    )
    typer.echo("tokens of records fit the rekeyed snapshot alone; after the next full run only those of people do")


def _tell_limits() -> None:
    typer.echo("copies that anybody took before are as they were: whoever has one and the old key can turn it back")
