"""What goes back and forth after a question: an approval at the node, and the node's answer."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field, field_serializer

from linkage.questions.parts import Strict
from linkage.questions.question import Name
from linkage.signed import Envelope, Signer, canonical, sign

__all__ = ["ANSWER", "APPROVAL", "Answer", "Approval", "Cell", "approve"]

APPROVAL, ANSWER = "linkage-approval/1", "linkage-answer/1"

MOST_PEOPLE = 1_000_000_000  # a count above it is no count of people
Count = Annotated[int, Field(ge=0, le=MOST_PEOPLE)]
Practice = Annotated[str, Field(pattern=r"^[A-Z0-9]{3,10}$")]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Timed(Strict):
    question: Digest
    node: Name
    at: AwareDatetime

    @field_serializer("at")
    def _seconds(self, moment: datetime) -> str:
        return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


class Approval(_Timed):
    """That somebody at a node has read a question and lets it be answered there.

    Attributes:
        question: The digest of the question.
        node: Where.
        at: When (UTC).
        approver: Who.
    """

    format: Literal["linkage-approval/1"] = "linkage-approval/1"
    approver: Name


class Cell(Strict):
    """One group.

    Attributes:
        values: Its value of each dimension; `(all)` in totals.
        count: A rounded count, or `*` where it is withheld.
        at_least: The true count is not less.
        at_most: The true count is not more.
    """

    values: tuple[str, ...]
    count: Annotated[str, Field(pattern=r"^(\*|0|[1-9][0-9]{0,9})$")]
    at_least: Count
    at_most: Count

    @property
    def holds_together(self) -> bool:
        """Whether its count, where it is shown, can be one that was rounded between its bounds."""
        width = self.at_most - self.at_least
        if width < 0 or (self.count == "0") != (self.at_most == 0):
            return False
        return self.count == "*" or self.at_least - width <= int(self.count) <= self.at_most + width


class Answer(_Timed):
    """A node's answer.

    Attributes:
        question: The digest of the question.
        node: Whose answer it is.
        at: When it was given (UTC).
        snapshot: The snapshot that was asked.
        snapshot_digest: SHA-256 of its manifest.
        snapshot_day: The day of the run that made it.
        policy: The disclosure policy that was applied.
        practices: Whose people it is about: those registered with one of these.
        cells: Every group and every total.
    """

    format: Literal["linkage-answer/1"] = "linkage-answer/1"
    snapshot: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9-]{0,63}$")]
    snapshot_digest: Digest
    snapshot_day: date
    policy: str
    practices: Annotated[tuple[Practice, ...], Field(min_length=1)]
    cells: tuple[Cell, ...]


def approve(digest: str, node: str, signer: Signer, now: datetime) -> Envelope:
    """Sign the approval of the question with this digest."""
    approval = Approval(question=digest, node=node, at=now.replace(microsecond=0), approver=signer.name)
    return sign(APPROVAL, canonical(approval), [signer])
