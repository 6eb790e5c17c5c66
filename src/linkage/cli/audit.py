"""`linkage audit`: the log of what was done, for its keeper, its witnesses and the information-governance lead."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from linkage import config
from linkage.audit import Journal, Verified, Witness, public_key, take, verifier_key
from linkage.audit import export as export_log
from linkage.audit.log import lines_of, unfinished
from linkage.cli.run import asker
from linkage.errors import ConfigurationError, InputError
from linkage.pseudonymise.signing_keys import open_signing_key
from linkage.signed import Verifier

app = typer.Typer(help="Check, copy and witness the log of what was done.", no_args_is_help=True)
LogPath = Annotated[Path, typer.Argument(help="A linkage.toml, or the folder of a log or of a copy of one.")]


@app.callback()
def audit() -> None:
    """Check, copy and witness the log of what was done."""


@app.command()
def verify(
    log: LogPath,
    against: Annotated[
        list[Path] | None, typer.Option(help="An earlier checkpoint of the log, held elsewhere.")
    ] = None,
    key: Annotated[str, typer.Option(help="The log's public key as it is known elsewhere: ed25519:…")] = "",
) -> None:
    """Prove the log whole, and that it was only ever added to since the checkpoints given."""
    journal = _journal(log)
    shown = public_key(journal.folder)
    if key and Verifier.parse(shown.name, key) != shown:
        raise InputError("the log's public key is not the one given", hint="it is another log, or was begun anew")
    notes = tuple(_read(path) for path in against or ())
    found = journal.check_whole(notes)
    typer.echo(f"{shown.name}: {found.checkpoint.size:,} entries, whole; root {found.checkpoint.root.hex()}")
    if notes:
        typer.echo(f"it continues the {len(notes)} earlier checkpoint{'s' * (len(notes) > 1)} given")
    left = unfinished(lines_of(journal.folder))
    if left:
        typer.echo(f"{len(left)} acts have no end yet: they are on their way, or a crash cut them off")
    _tell_witnessed(found, notes=bool(notes))


@app.command()
def checkpoint(
    log: LogPath, out: Annotated[Path | None, typer.Option(help="The file to write; printed when not given.")] = None
) -> None:
    """Give the log's newest checkpoint, to be held elsewhere: some lines that any tool of transparency logs reads."""
    journal = _journal(log)
    journal.check_whole()
    note = _read(journal.folder / "checkpoint")
    if out is None:
        typer.echo(note, nl=False)
    else:
        out.write_text(note, encoding="utf-8")
        typer.echo(f"wrote {out}; the log's key: {verifier_key(public_key(journal.folder))}")


@app.command()
def export(log: LogPath, folder: Annotated[Path, typer.Argument(help="The folder to make.")]) -> None:
    """Copy the log for a witness or for reading: without its signing key, and with a table of its acts."""
    size = export_log(_journal(log), folder)
    typer.echo(f"{size:,} entries in {folder}; acts.csv is the table of them")


@app.command()
def witness(
    copy: Annotated[
        Path, typer.Argument(help="A copy of the log that is to be witnessed, from `linkage audit export`.")
    ],
    key: Annotated[str, typer.Option(help="The witness's own signing key, for example age://keys/lead.age.")],
    state: Annotated[Path, typer.Option(help="The witness's own folder, where it remembers what it cosigned.")],
    out: Annotated[Path, typer.Option(help="The file to write: the cosigned checkpoint, for the log's keeper.")],
    log_key: Annotated[str, typer.Option(help="The log's public key as its keeper told it: ed25519:…")] = "",
    identity: Annotated[Path | None, typer.Option(help="The age identity that opens the signing key.")] = None,
) -> None:
    """Cosign another organisation's log, after checking that it only continues what was cosigned before."""
    signer = open_signing_key(key, identity=identity, passphrase=asker())
    shown = public_key(copy)
    told = Verifier.parse(shown.name, log_key) if log_key else None
    cosigned = Witness(state, signer).see(copy, datetime.now(UTC), told)
    out.write_text(cosigned, encoding="utf-8")
    typer.echo(f"cosigned {shown.name} as {signer.name}: wrote {out}")
    typer.echo(f"the log's key is {shown.text}: compare it with its keeper by another way")


@app.command()
def witnessed(
    configuration: Annotated[Path, typer.Argument(help="The linkage.toml whose log it is.")],
    note: Annotated[Path, typer.Argument(help="The cosigned checkpoint that the witness gave back.")],
) -> None:
    """Keep a cosigned checkpoint: releases are refused from a log that is behind it."""
    journal = Journal.of(config.load(configuration))
    seen = take(journal, _read(note))
    typer.echo(f"kept in {journal.witnessed_file}: witnessed up to entry {seen.size:,}")


def _tell_witnessed(found: Verified, *, notes: bool) -> None:
    seen = found.witnessed.size if found.witnessed else 0
    for each in found.by:
        typer.echo(f"witnessed by {each.witness.name} on {each.at:%Y-%m-%d}, up to entry {seen:,}")
    alone = found.checkpoint.size + found.unsigned - seen
    if alone and not notes:
        typer.echo(f"{alone:,} entries have no witness: whoever owns this machine could write them anew")


def _journal(path: Path) -> Journal:
    if path.is_file():
        return Journal.of(config.load(path))
    if not (path / "entries").is_file():
        raise ConfigurationError(f"{path}: no log", hint="name a linkage.toml, or the folder with its `entries`")
    return Journal(path)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise InputError(f"{path}: cannot be read", hint="name a checkpoint from `linkage audit checkpoint`") from None
