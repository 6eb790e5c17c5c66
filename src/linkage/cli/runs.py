"""`linkage runs`: what each run read and published, and what differs between two of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

import typer

from linkage import config
from linkage.cli import runs_shown
from linkage.errors import ConfigurationError
from linkage.nights import differences, history
from linkage.nights.history import History

app = typer.Typer(help="What each run read and published, and what differs between two.", no_args_is_help=True)

Words = Annotated[
    list[str] | None, typer.Argument(help="The linkage.toml of one purpose (not with --store), then runs.")
]
StorePath = Annotated[
    Path | None, typer.Option("--store", help="Read the store alone, as analysts may: small numbers are withheld.")
]
AsJson = Annotated[bool, typer.Option("--json", help="For machines.")]


@app.command("list")
def list_runs(
    words: Words = None,
    store: StorePath = None,
    last: Annotated[int, typer.Option(help="How many of the newest.", min=1)] = 30,
    *,
    as_json: AsJson = False,
) -> None:
    """List the newest runs: rows read and published, new extracts, whether the snapshot is there and when it goes."""
    known, _ = _known(words, store, 0)
    found = list(known.listed(last))
    if as_json:
        rows = [
            {"run": each, "damaged": True} if isinstance(each, str) else each.model_dump(mode="json") for each in found
        ]
        typer.echo(json.dumps(rows, indent=1))
        return
    _print(runs_shown.table(found))


@app.command()
def show(words: Words = None, store: StorePath = None, *, as_json: AsJson = False) -> None:
    """Show one run whole; the current one when none is named."""
    known, names = _known(words, store, 1)
    run = known.find(names[0] if names else None)
    if as_json:
        account = (run.account or run.snapshot).model_dump(mode="json")
        typer.echo(json.dumps({"run": run.name, "state": run.state, "account": account}, indent=1))
        return
    _print(runs_shown.page(run))


@app.command()
def diff(words: Words = None, store: StorePath = None, *, as_json: AsJson = False) -> None:
    """Show what differs between two runs; of one with the run before it, of none for the current one."""
    known, names = _known(words, store, 2)
    after = known.find(names[-1] if names else None)
    before = known.find(names[0]) if len(names) == 2 else known.before(after)
    if before is None:
        raise ConfigurationError(
            f"{after.name}: no run before it is kept", hint="wait for the next run, or name two runs"
        )
    found = differences.between(before, after)
    if as_json:
        typer.echo(found.model_dump_json(indent=1))
        return
    _print(runs_shown.differing(found))


def _known(words: list[str] | None, store: Path | None, runs: int) -> tuple[History, list[str]]:
    """The history, and the runs that were named."""
    given = list(words or ())
    if store is None:
        if not given:
            raise ConfigurationError("no purpose is named", hint="name its linkage.toml, or its store with --store")
        known = history.of_purpose(config.load(Path(given.pop(0))))
    else:
        known = history.of_store(store)
    if len(given) > runs:
        raise ConfigurationError(
            f"{len(given)} runs are named and at most {runs} can be",
            hint="with --store the linkage.toml is left out: its exact accounts are for operators",
        )
    return known, given


def _print(lines: Iterable[str] | Iterator[str]) -> None:
    for line in lines:
        typer.echo(line)
