"""A node's private folder: one question at a time, files that are there whole or not at all, and refusals."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout
from pydantic import BaseModel

from linkage.disk import sync
from linkage.errors import TemporaryError

__all__ = ["Refusal", "held", "write", "write_refusal"]

PATIENCE = 10.0  # seconds that a question waits for the one before it


class Refusal(BaseModel):
    """A question that was not answered, for the node's approvers.

    Attributes:
        at: When (UTC).
        question: The question's digest; empty where it could not be read.
        asker: Who asked, where that is sure.
        reason: Why.
        hint: What can be done.
    """

    at: datetime
    question: str
    asker: str
    reason: str
    hint: str


def write_refusal(folder: Path, refusal: Refusal, question: bytes) -> None:
    """Write down why a question was not answered, and the question as it came."""
    stem = f"{refusal.at.astimezone(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"
    write(folder / f"{stem}.json", refusal.model_dump_json(indent=1))
    write(folder / f"{stem}.question", question.decode("utf-8", "replace"))


@contextmanager
def held(private: Path) -> Iterator[None]:
    """One question at a time: two that are answered at once could be subtracted."""
    try:
        with FileLock(private / "lock", timeout=PATIENCE, fallback_to_soft=False):
            yield
    except Timeout:
        raise TemporaryError("another question is being answered", hint="try again when it is") from None


def write(path: Path, text: str) -> None:
    """Write a file that is there whole or not at all, for its owner alone."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    aside = path.with_name(f".{path.name}")
    aside.write_text(text, encoding="utf-8")
    aside.chmod(0o600)
    sync(aside)
    aside.replace(path)
    sync(path.parent)
