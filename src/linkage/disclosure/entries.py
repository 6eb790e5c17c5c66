"""What a ledger keeps of a release, beside who was counted."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict

from linkage.disclosure.tables import Release

__all__ = ["Asked", "Entry"]


class Asked(NamedTuple):
    """What was asked, for whom, of what, and what its people are known by; as `Entry` has it."""

    question: str
    purpose: str
    snapshot: str
    tokens: str


class Entry(BaseModel):
    """One release.

    Attributes:
        question: The digest of what was asked.
        purpose: Whose budget it counts against.
        snapshot: Of what it was asked.
        tokens: The domain and key of the tokens by which people are known.
        policy: The disclosure policy's name.
        released: When, UTC.
        labels: Every group.
        shown: Which groups' counts were shown.
        counts: The exact count of every finest group.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    question: str
    purpose: str
    snapshot: str
    tokens: str
    policy: str
    released: datetime
    labels: tuple[tuple[str, ...], ...]
    shown: tuple[bool, ...]
    counts: tuple[int, ...]

    @classmethod
    def of(cls, release: Release, asked: Asked, released: datetime) -> Entry:
        """The entry of a release."""
        return cls(
            **asked._asdict(), policy=release.policy.name, released=released, labels=release.groups.labels,
            shown=tuple(release.shown.tolist()), counts=tuple(release.groups.cells.tolist()),
        )  # fmt: skip
