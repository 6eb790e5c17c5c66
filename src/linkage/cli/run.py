"""`linkage run` and `linkage check`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.metadata import version as installed
from pathlib import Path
from typing import Annotated

import typer

from linkage import pipeline
from linkage.findings import Finding
from linkage.pipeline import RunReport
from linkage.pseudonymise import kernel
from linkage.relink import relink

SHOWN = 12  # findings on the terminal
ConfigurationPath = Annotated[Path, typer.Argument(help="The linkage.toml of one purpose.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command("run")(run)
    app.command("check")(check)
    app.callback(invoke_without_command=True)(options)


def options(
    context: typer.Context,
    *,
    version: Annotated[bool, typer.Option("--version", help="Print the version and end.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="With --version: what makes the tokens.")] = False,
) -> None:
    """Options of `linkage` itself."""
    if version:
        typer.echo(f"linkage {installed('linkage')}")
        if verbose:
            typer.echo(f"kernel: {kernel.NAME}")
            for name in ("polars", "duckdb", "pyarrow", "cryptography"):
                typer.echo(f"{name} {installed(name)}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(2)


def run(
    configuration: ConfigurationPath,
    *,
    from_held: Annotated[
        bool, typer.Option("--from-held", help="Link the held bundle again, with the token lists of late opt-outs.")
    ] = False,
) -> None:
    """Read the extracts, apply the opt-outs, tokenise, link, and publish a snapshot."""
    report = relink(configuration) if from_held else pipeline.run(configuration, passphrase=asker())
    show(report)
    typer.echo(f"published {report.snapshot}")


def check(configuration: ConfigurationPath) -> None:
    """Do all that `run` does and publish nothing."""
    show(pipeline.check(configuration, passphrase=asker()))
    typer.echo("checked: a run would publish this; nothing was published")


def asker() -> Callable[[], str] | None:
    """A prompt for the keyset's passphrase; none where nobody can type one."""
    if not sys.stdin.isatty():
        return None
    return lambda: str(typer.prompt("passphrase", hide_input=True, err=True))


def show(report: RunReport) -> None:
    """Print what a run did: rows removed by reason, tables made, seconds of each stage, and what is worth a look."""
    removed = sum(report.removed.values())
    typer.echo(f"run {report.run_id}: {report.read:,} rows read, {report.read - removed:,} kept, {removed:,} removed")
    _list("removed, by reason:", sorted(report.removed.items(), key=lambda item: -item[1]))
    _list("rows in each table:", sorted(report.tables.items()))
    for warning in report.warnings:
        typer.echo(f"warning: {warning}", err=True)
    typer.echo("seconds in each stage:")
    for stage in report.stages:
        rate = f", {stage.rows / stage.seconds:,.0f} rows/s" if stage.rows else ""
        typer.echo(f"  {stage.seconds:>12,.1f} {stage.name}{rate}")
    _findings(report.findings)


def _findings(findings: tuple[Finding, ...]) -> None:
    if not findings:
        return
    typer.echo("worth a look:")
    wide = max(len(each.where) for each in findings[:SHOWN])
    for each in findings[:SHOWN]:
        typer.echo(f"  {each.count:>12,} {each.share:>7.1%}  {each.where:<{wide}}  {each.what}")
    if len(findings) > SHOWN:
        typer.echo(f"  and {len(findings) - SHOWN} more, in the exact account of the run")


def _list(heading: str, counts: list[tuple[str, int]]) -> None:
    typer.echo(heading)
    for name, rows in counts:
        typer.echo(f"  {rows:>12,} {name}")
