"""`linkage run` and `linkage check`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version as installed
from pathlib import Path
from typing import Annotated

import typer

from linkage import pipeline
from linkage.cli.told import telling
from linkage.errors import TemporaryError
from linkage.findings import Finding
from linkage.increments.taken import FIRST
from linkage.nights import space
from linkage.pipeline import Outcome, RunReport
from linkage.pseudonymise import kernel
from linkage.relink import relink_all
from linkage.store.manifest import DiskUse, TableTaken

SHOWN = 12  # findings on the terminal
ConfigurationPath = Annotated[Path, typer.Argument(help="The linkage.toml of one purpose.")]
EventsPath = Annotated[
    Path | None, typer.Option("--events", help="Append what happens to this file, a JSON object a line.")
]
LineagePath = Annotated[Path | None, typer.Option("--lineage", help="Append OpenLineage events to this file.")]
Configurations = Annotated[list[Path], typer.Argument(help="The linkage.toml of each purpose.")]


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
    configurations: Configurations,
    *,
    from_held: Annotated[
        bool, typer.Option("--from-held", help="Link the held bundles again, with the token lists of late opt-outs.")
    ] = False,
    full: Annotated[
        bool, typer.Option("--full", help="Make everything anew, also what the last run made of the same extracts.")
    ] = False,
    events: EventsPath = None,
    lineage: LineagePath = None,
) -> None:
    """Read the extracts, apply the opt-outs, tokenise, link, and publish a snapshot. What purposes share is read once."""
    with telling(configurations, events, lineage) as told:
        if from_held:
            outcomes = relink_all(configurations, progress=told.progress)
        else:
            outcomes = pipeline.run_all(configurations, progress=told.progress, passphrase=asker(), full=full)
        told.outcomes(outcomes)
    told.finished(_exit_code(outcomes))
    _tell(outcomes, lambda report: f"published {report.snapshot}")


def check(configurations: Configurations, events: EventsPath = None) -> None:
    """Do all that `run` does and publish nothing."""
    with telling(configurations, events, None) as told:
        outcomes = pipeline.run_all(configurations, progress=told.progress, passphrase=asker(), publish=False)
        told.outcomes(outcomes)
    told.finished(_exit_code(outcomes))
    _tell(outcomes, lambda report: "checked: a run would publish this; nothing was published")


def _tell(outcomes: Sequence[Outcome], end: Callable[[RunReport], str]) -> None:
    """Print what became of each purpose; the first error's exit code is the command's."""
    for each in outcomes:
        if len(outcomes) > 1:
            typer.echo(f"\n{each.path}")
        if each.report is not None:
            show(each.report)
            typer.echo(end(each.report))
        elif len(outcomes) > 1 and each.error is not None:
            typer.echo("nothing was published for this purpose")
            typer.echo(f"error: {each.path}: {each.error.message}\nhint: {each.error.hint}", err=True)
    _end(outcomes)


def _exit_code(outcomes: Sequence[Outcome]) -> int:
    """What `_end` will end with."""
    errors = [each.error for each in outcomes if each.error is not None]
    behind = [each.report.behind for each in outcomes if each.report is not None and each.report.behind is not None]
    return next((each.exit_code for each in [*errors, *behind]), 0)


def _end(outcomes: Sequence[Outcome]) -> None:
    """End with the first error's exit code."""
    errors = [each.error for each in outcomes if each.error is not None]
    if errors and len(outcomes) > 1:
        raise typer.Exit(errors[0].exit_code)
    for error in errors:
        raise error
    end_behind([each.report.behind for each in outcomes if each.report is not None])


def end_behind(behind: Sequence[TemporaryError | None]) -> None:
    """Say where Delta tables could not follow a published snapshot, and end with the code for trying again."""
    told = [each for each in behind if each is not None]
    for each in told:
        typer.echo(f"warning: {each.message}\nhint: {each.hint}", err=True)
    for each in told:
        raise typer.Exit(each.exit_code)


def asker() -> Callable[[], str] | None:
    """A prompt for the keyset's passphrase; none where nobody can type one."""
    if not sys.stdin.isatty():
        return None
    return lambda: str(typer.prompt("passphrase", hide_input=True, err=True))


def show(report: RunReport) -> None:
    """Print what a run did: rows removed by reason, tables made, seconds of each stage, and what is worth a look."""
    removed = sum(report.removed.values())
    if report.made_whole and report.made_whole != FIRST:
        typer.echo(f"everything was made anew: {report.made_whole}")
    for line in _taken(report.taken):
        typer.echo(line)
    for table in report.again:
        typer.echo(f"settled from everything: {table}")
    typer.echo(f"run {report.run_id}: {report.read:,} rows read, {report.read - removed:,} kept, {removed:,} removed")
    _list("removed, by reason:", sorted(report.removed.items(), key=lambda item: -item[1]))
    _list("rows in each table:", sorted(report.tables.items()))
    for warning in report.warnings:
        typer.echo(f"warning: {warning}", err=True)
    typer.echo("seconds in each stage:")
    for stage in report.stages:
        rate = f", {stage.rows / stage.seconds:,.0f} rows/s" if stage.rows else ""
        typer.echo(f"  {stage.seconds:>12,.1f} {stage.name}{rate}")
    if report.disk is not None:
        typer.echo(f"disk: {disk(report.disk)}")
    _findings(report.findings)


def _taken(tables: Sequence[TableTaken]) -> Iterator[str]:
    """How much of it was new, and what was made again and why."""
    new, kept = sum(each.new for each in tables), sum(each.kept for each in tables)
    others = sum(files for each in tables for why in (each.mended, each.again) for files in why.values())
    if kept or others:
        yield f"{new} of {new + kept + others} extracts are new; {kept} stand as the last run took them"
    for each in tables:
        for what, causes in (("some rows read again", each.mended), ("made again", each.again)):
            for why, files in causes.items():
                yield f"{what}: {each.feed} {each.table}, {files} {'file' if files == 1 else 'files'} ({why})"


def disk(use: DiskUse) -> str:
    """What a run took of the disk, in one line."""
    work, snapshot, added, store, free = map(
        space.readable, (use.work_bytes, use.snapshot_bytes, use.added_bytes, use.store_bytes, use.free_bytes)
    )
    return f"the run worked in {work}; snapshot {snapshot}, of which {added} are new; store {store}, {free} free"


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
    if not counts:
        typer.echo("  none")
