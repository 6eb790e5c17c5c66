"""What an entry of the log holds: counts, digests, key ids and roles. No identifier and no token."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, field_serializer

from linkage.errors import IntegrityError
from linkage.signed import canonical

__all__ = ["Detail", "Entry", "Phase", "encode"]

Phase = Literal["intent", "done", "failed", "settled"]
Detail = str | int | tuple[str, ...]

_TEN_DIGITS = re.compile(r"(?<![0-9A-Fa-f])[0-9](?:[ -]?[0-9]){9}(?![0-9A-Fa-f])")
# Not inside a longer run of digits: one in 64 digests holds the form of a token somewhere.
_TOKEN = re.compile(
    r"(?<![0-9a-f])[0-9a-f]{8}-?[0-9a-f]{4}-?8[0-9a-f]{3}-?[89ab][0-9a-f]{3}-?[0-9a-f]{12}(?![0-9a-f])", re.IGNORECASE
)
_LONGEST = 1 << 16


class Entry(BaseModel):
    """One line of the log.

    Attributes:
        time: When it was written, UTC.
        act: What is done, for example `run`, `publish`, `release`, `key.rotate`.
        phase: `intent` before the act, then `done` or `failed`; `settled` by a later start where neither came.
        of: The place of the intent that this ends; None for an intent.
        by: The role and key id of who does it.
        details: Counts, digests, key ids, run ids.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    time: datetime
    act: str
    phase: Phase
    of: int | None = None
    by: str
    details: dict[str, Detail] = {}

    @field_serializer("time")
    def _seconds(self, time: datetime) -> str:
        return f"{time.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def encode(entry: Entry) -> bytes:
    """An entry as its line, canonical JSON without the line's end.

    Raises:
        IntegrityError: There is something in it that looks like an NHS number or a token.
    """
    line = canonical(entry)
    said = [entry.act, entry.by, *entry.details, *(str(each) for each in _flat(entry))]
    if any(_identifies(each) for each in said) or len(line) > _LONGEST:
        raise IntegrityError(
            f"an entry of the log about {entry.act!r} holds what looks like an identifier, or is too long",
            hint="the log takes counts, digests and key ids; nothing was done",
        )
    return line


def _flat(entry: Entry) -> list[str | int]:
    found: list[str | int] = []
    for each in entry.details.values():
        found += each if isinstance(each, tuple) else [each]
    return found


def _identifies(text: str) -> bool:
    """Any ten digits by themselves: no count is so large, and the log is no place to find out whose number it is."""
    return bool(_TOKEN.search(text) or _TEN_DIGITS.search(text))
