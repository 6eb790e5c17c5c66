"""A Dagster job that runs one purpose every night: exit code 75 is tried again, any other asks for a person."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import dagster as dg

FOLDER = Path("/srv/linkage")
COMMAND = ["linkage", "run", "linkage.toml", "--events", "events.jsonl"]
TRY_AGAIN = 75
SHOWN = ("warning", "refused", "failed", "stopped", "published", "finished")


def events(path: Path, after: int) -> list[dict[str, object]]:
    """The lines that were written after so many bytes."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_bytes()[after:].splitlines()]


@dg.op
def linkage_run(context: dg.OpExecutionContext) -> None:
    """Run linkage, and put its events into Dagster's log."""
    path = FOLDER / "events.jsonl"
    before = path.stat().st_size if path.exists() else 0
    ended = subprocess.run(COMMAND, cwd=FOLDER, check=False)
    for event in events(path, before):
        if event["event"] in SHOWN:
            context.log.info(json.dumps(event))
    if ended.returncode == TRY_AGAIN:
        raise dg.RetryRequested(max_retries=4, seconds_to_wait=900)
    if ended.returncode != 0:
        raise dg.Failure(f"linkage run ended with exit code {ended.returncode}", allow_retries=False)


@dg.job
def nightly() -> None:
    """One run."""
    linkage_run()


defs = dg.Definitions(
    jobs=[nightly],
    schedules=[dg.ScheduleDefinition(job=nightly, cron_schedule="30 1 * * *", execution_timezone="Europe/London")],
)
