"""What was done to a store besides the runs' own accounts: `<private>/operations.jsonl`, one line for each deed, oldest first.

Lines are only ever appended. They say who did what to which run and when, and hold nothing from the data.
"""

from __future__ import annotations

import getpass
import os
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

__all__ = ["Expected", "Operation", "expected", "read", "record", "removed", "who"]


class Expected(BaseModel):
    """An extract that a run which was rolled back had taken: the next run has to find it again."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    feed: str
    table: str
    file: str
    sha256: str


class Operation(BaseModel):
    """One deed.

    Attributes:
        at: When, UTC.
        user: Who, as the operating system knows them.
        host: On which machine.
        what: A snapshot was removed by retention, or an earlier one was made the current one.
        run: The run whose snapshot it is about.
        before: For a rollback: what was the current one.
        reference: For a rollback over what became known since: the document that allows it.
        reasons: For a rollback over what became known since: what that was.
        extracts: For a rollback: what the next run has to find again in the folders.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    at: datetime
    user: str
    host: str
    what: Literal["removed", "rolled back"]
    run: str
    before: str | None = None
    reference: str = ""
    reasons: tuple[str, ...] = ()
    extracts: tuple[Expected, ...] = ()


def who() -> str:
    """The user of this process; `unknown` where the system does not say."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


def record(private: Path, what: Literal["removed", "rolled back"], run: str, **more: object) -> Operation:
    """Append one deed, and make sure that it is on the disk, before it is done; `more` are further fields."""
    said = {"at": datetime.now(UTC), "user": who(), "host": socket.gethostname(), "what": what, "run": run, **more}
    made = Operation.model_validate(said)
    path, flags = private / "operations.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND
    # Behind a line that a full disk or a crash cut short another would be lost with it.
    cut_short = path.is_file() and path.read_bytes()[-1:] not in (b"", b"\n")
    with os.fdopen(os.open(path, flags, 0o600), "a", encoding="utf-8") as file:
        file.write("\n" * cut_short + made.model_dump_json(exclude_defaults=True) + "\n")
        file.flush()
        os.fsync(file.fileno())
    return made


def read(private: Path) -> list[Operation]:
    """Every deed, oldest first. A line that a crash cut short is passed over."""
    try:
        lines = (private / "operations.jsonl").read_bytes().splitlines()
    except FileNotFoundError:
        return []
    found = []
    for line in lines:
        try:
            found.append(Operation.model_validate_json(line))
        except ValueError:
            continue
    return found


def removed(private: Path) -> set[str]:
    """Runs that were published and whose snapshots retention has removed: their accounts stay."""
    return {each.run for each in read(private) if each.what == "removed"}


def expected(private: Path, current: str | None) -> tuple[Expected, ...]:
    """What a run after a rollback has to find again; nothing where the current snapshot is not one that was gone back to."""
    found = [each for each in read(private) if each.what == "rolled back" and each.run == current]
    return found[-1].extracts if found else ()
