"""The command line: one small file for each noun; errors become `error:` and `hint:`, and an exit code."""

from __future__ import annotations

import os
import signal
import sys
import traceback

import typer

from linkage import guarded, stopping
from linkage.cli import (
    audit,
    cohort,
    demo,
    federate,
    feeds,
    hub,
    key_versions,
    keys,
    open,
    optouts,
    purposes,
    reidentify,
    rekey,
    report,
    rollback,
    run,
    runs,
    site,
)
from linkage.errors import LinkageError

app = typer.Typer(
    help="Join an Integrated Care System's records per person without anyone downstream learning who the person is.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
run.register(app)
demo.register(app)
report.register(app)
rollback.register(app)
open.register(app)
app.add_typer(audit.app, name="audit")
key_versions.register(keys.app)
rekey.register(keys.app)
app.add_typer(keys.app, name="keys")
app.add_typer(federate.app, name="federate")
app.add_typer(feeds.app, name="feeds")
app.add_typer(hub.app, name="hub")
app.add_typer(optouts.app, name="optouts")
app.add_typer(purposes.app, name="purposes")
app.add_typer(runs.app, name="runs")
app.add_typer(cohort.app, name="cohort")
app.add_typer(reidentify.app, name="reidentify")
app.add_typer(site.app, name="site")


def main() -> None:
    """Run the command line and end with its exit code."""
    guarded.no_dumps()
    try:
        with stopping.watching():
            app()
    except BaseException as error:
        sys.exit(_code(error))


def _code(error: BaseException) -> int | str | None:
    """Say what went wrong; the exit code for it. Whatever a signal made of the work, it is the signal that is told."""
    number = stopping.received()
    if number is not None or isinstance(error, KeyboardInterrupt):
        number = number or int(signal.SIGINT)
        _say(stopping.MESSAGE.format(signal=signal.Signals(number).name), stopping.HINT)
        return 128 + number
    if isinstance(error, SystemExit):
        return error.code
    if isinstance(error, LinkageError):
        _say(error.message, error.hint)
        return error.exit_code
    _say(f"unexpected: {type(error).__name__} at {_where(error)}", "report this line; it holds nothing from the data")
    return 1


def _say(message: str, hint: str) -> None:
    sys.stderr.write(f"error: {message}\nhint: {hint}\n")


def _where(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if f"{os.sep}linkage{os.sep}" in frame.filename] or list(frames)
    return f"{os.path.basename(ours[-1].filename)}:{ours[-1].lineno}" if ours else "an unknown place"  # noqa: PTH119
