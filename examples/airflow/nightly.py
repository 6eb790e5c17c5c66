"""An Airflow DAG that runs one purpose every night: exit code 75 is tried again, any other asks for a person."""

from __future__ import annotations

import json
import logging
import subprocess
from datetime import datetime, timedelta
from pathlib import Path

from airflow.exceptions import AirflowException, AirflowFailException
from airflow.sdk import dag, task

FOLDER = Path("/srv/linkage")
COMMAND = ["linkage", "run", "linkage.toml", "--events", "events.jsonl"]
TRY_AGAIN = 75
SHOWN = ("warning", "refused", "failed", "stopped", "published", "finished")


def events(path: Path, after: int) -> list[dict[str, object]]:
    """The lines that were written after so many bytes."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_bytes()[after:].splitlines()]


@task(retries=4, retry_delay=timedelta(minutes=15))
def linkage_run() -> None:
    """Run linkage, and put its events into the task's log."""
    path = FOLDER / "events.jsonl"
    before = path.stat().st_size if path.exists() else 0
    ended = subprocess.run(COMMAND, cwd=FOLDER, check=False)
    for event in events(path, before):
        if event["event"] in SHOWN:
            logging.getLogger(__name__).info(json.dumps(event))
    if ended.returncode == TRY_AGAIN:
        raise AirflowException("linkage run asks to be tried again")
    if ended.returncode != 0:
        # Another try would end in the same way.
        raise AirflowFailException(f"linkage run ended with exit code {ended.returncode}")


@dag(schedule="30 1 * * *", start_date=datetime(2026, 1, 1), catchup=False, max_active_runs=1)
def linkage_nightly() -> None:
    """One run."""
    linkage_run()


linkage_nightly()
