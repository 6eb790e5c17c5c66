"""What runs, publications and rollbacks tell the log, and what the next one tells of those that were killed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from small import NOW, NUMBERS, SmallIcs, make_small_ics

import linkage
from linkage import inquiry
from linkage.audit import Journal
from linkage.audit.log import lines_of
from linkage.config import load
from linkage.errors import ConfigurationError, IntegrityError, LinkageError
from linkage.nights.rollback import rollback

KILLED_AT_THE_SWITCH = """
import os, sys
from datetime import datetime
from linkage import pipeline
from linkage.store import publish

publish.switch = lambda *_: os._exit(9)
pipeline.run(sys.argv[1], now=datetime.fromisoformat(sys.argv[2]))
"""


def _said(ics: SmallIcs) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines_of(ics.folder / "audit")]


def _steps(entries: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(each["act"], each["phase"]) for each in entries]


RUN = [("run", "intent"), ("publish", "intent"), ("publish", "done"), ("run", "done")]


def test_a_run_and_its_publication_are_told(tmp_path: Path) -> None:
    """With key, digests and counts; the account on the disk is what was told."""
    ics = make_small_ics(tmp_path)
    report = ics.run()
    told = _said(ics)
    assert _steps(told) == RUN
    assert told[1]["details"]["run"] == report.run_id
    assert told[1]["details"]["rows"] == sum(report.tables.values())
    assert (tmp_path / "store" / "current").read_text(encoding="ascii").strip() == told[-1]["details"]["run"]
    assert Journal.of(load(ics.configuration)).check_whole().checkpoint.size == 4
    log = (ics.folder / "audit" / "entries").read_text(encoding="utf-8")
    with linkage.open_store(ics.store) as connection:
        tokens = [str(token) for (token,) in connection.execute("SELECT token FROM person").fetchall()]
    assert tokens
    assert not [each for each in filter(None, (*NUMBERS, *tokens)) if each in log or each.replace("-", "") in log]


def test_a_run_that_is_refused_is_told(tmp_path: Path) -> None:
    """By the class of what stopped it; and a check publishes nothing."""
    ics = make_small_ics(tmp_path)
    linkage.check(ics.configuration, now=NOW)
    ics.extract.unlink()
    with pytest.raises(LinkageError):
        ics.run()
    told = _said(ics)
    assert _steps(told) == [("check", "intent"), ("check", "done"), ("run", "intent"), ("run", "failed")]
    assert told[-1]["details"]["error"] == "InputError"


def test_a_rollback_is_told(tmp_path: Path) -> None:
    """With what was current before."""
    ics = make_small_ics(tmp_path)
    first, second = ics.run(), ics.run()
    rollback(ics.configuration, first.run_id, now=NOW)
    told = _said(ics)[8:]
    assert _steps(told) == [("rollback", "intent"), *RUN[1:3], ("rollback", "done")]
    assert (told[1]["details"]["run"], told[1]["details"]["before"]) == (first.run_id, second.run_id)


def test_a_run_that_was_killed_is_settled(tmp_path: Path) -> None:
    """At the switch: the next run tells what readers saw, and does its own work."""
    ics = make_small_ics(tmp_path)
    command = [sys.executable, "-c", KILLED_AT_THE_SWITCH, str(ics.configuration), NOW.isoformat()]
    assert subprocess.run(command, check=False, capture_output=True).returncode == 9
    assert _steps(_said(ics)) == RUN[:2]
    ics.run()
    told = _said(ics)
    assert _steps(told[2:]) == [("run", "settled"), ("publish", "settled"), *RUN]
    assert [each["of"] for each in told[2:4]] == [0, 1]
    assert told[3]["details"] == {"current": "none"}


def test_nothing_runs_on_a_log_that_was_changed(tmp_path: Path) -> None:
    """The store stays as it was."""
    ics = make_small_ics(tmp_path)
    ics.run()
    entries = tmp_path / "audit" / "entries"
    entries.write_bytes(entries.read_bytes().replace(b'"rows":', b'"rows":1', 1))
    current = ics.current()
    with pytest.raises(IntegrityError, match="not what was signed"):
        ics.run()
    assert ics.current() == current


def test_asking_about_everyone_is_told(tmp_path: Path) -> None:
    """It writes every number into a file: how many is told, and none of them."""
    ics = make_small_ics(tmp_path)
    ics.replace("max_age_days = 7", 'max_age_days = 7\nmailbox = "X26OT154"')
    asked = inquiry.request(ics.configuration, NOW)
    told = _said(ics)
    assert _steps(told) == [("optouts.request", "intent"), ("optouts.request", "done")]
    assert told[1]["details"] == {"people": sum(each.numbers for each in asked), "requests": len(asked)}
    log = (ics.folder / "audit" / "entries").read_text(encoding="utf-8")
    assert not [each for each in filter(None, NUMBERS) if each in log]


def test_a_run_that_is_refused_while_it_begins_is_told(tmp_path: Path) -> None:
    """Its store was held already, and other purposes of the run would have gone on."""
    ics = make_small_ics(tmp_path)
    ics.replace('path = "store"', 'path = "store"\ndelta = "delta"')
    (tmp_path / "delta").mkdir()
    (tmp_path / "delta" / "of somebody else").touch()
    with pytest.raises(ConfigurationError):
        ics.run()
    told = _said(ics)
    assert _steps(told) == [("run", "intent"), ("run", "failed")]
    assert told[-1]["details"]["error"] == "ConfigurationError"
