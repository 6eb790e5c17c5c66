"""`linkage federate`: between ICSs. Questions are in `questions`; what needs a keyset is for key holders."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from linkage import guarded
from linkage.cli import questions
from linkage.cli.keys import AuditPath, told

app = typer.Typer(
    help="Ask several ICSs one question, and move approved tables to a study's own tokens.", no_args_is_help=True
)
questions.register(app)


@app.callback()
def federate() -> None:
    """Ask several ICSs one question, and move approved tables to a study's own tokens."""


@app.command()
def translate(
    table: Annotated[Path, typer.Argument(help="Parquet with tokens of the ICS.")],
    target: Annotated[Path, typer.Argument(help="The file to make, with tokens of the study.")],
    keyset: Annotated[str, typer.Option(help="The ICS's keyset, for example age://keys/ics.age.")],
    domain: Annotated[str, typer.Option(help="The ICS's domain, for example ics:qxx.")],
    study: Annotated[str, typer.Option(help="The study's keyset, for example age://keys/frailty.age.")],
    study_domain: Annotated[str, typer.Option(help="The study's domain, for example study:frailty-2026.")],
    *,
    identity: Annotated[Path | None, typer.Option(help="The age identity that opens the ICS's keyset.")] = None,
    study_identity: Annotated[Path | None, typer.Option(help="The age identity that opens the study's keyset.")] = None,
    audit: AuditPath = None,
) -> None:
    """Give a table the tokens of a study, which fit those of no other study."""
    # What can turn tokens is loaded by the command that is asked for it, and by no other.
    from linkage.pseudonymise.reverser import KeyHolderKeyset  # noqa: PLC0415
    from linkage.study import Way, move  # noqa: PLC0415

    guarded.lock_memory()
    with told("study.translate", keyset, audit, domain=domain, study=study_domain) as act:
        opened = [KeyHolderKeyset.open(each, identity=by) for each, by in ((keyset, identity), (study, study_identity))]
        made = move(table, target, Way(opened[0], domain, opened[1], study_domain))
        act.details |= {"rows": made.rows, "key": opened[1].version_of(study_domain).id}
    typer.echo(
        f"made {target}: {made.rows:,} rows; " + ", ".join(f"{name} ({kind})" for name, kind in made.columns.items())
    )
    typer.echo("give it to the study and to neither key holder; whoever holds it and the old table can match them")
