"""What the decisions of one run rested on: whose number is whose, who may be used, which practices share.

The roster says the first; the rest cannot be told again without the registers as they were then, so it is kept, sealed:

    <folder>/rules.json.age             practices, and which feeds share a standing
    <folder>/leavers.arrow.age          `practices.LEAVERS`
    <folder>/standing-<n>.arrow.age     a verdict for each number
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import polars as pl
from pydantic import BaseModel, ConfigDict

from linkage.errors import IntegrityError
from linkage.optouts.policy import Policy, Standing
from linkage.optouts.practices import LEAVERS, Period, Sharing
from linkage.sources.resolve import People

__all__ = ["Judged", "Judges", "load", "save"]

_STANDING = pl.Schema({"number": pl.Int64(), "verdict": pl.UInt8()})


class Judges(Protocol):
    """Whatever rows are decided by."""

    @property
    def who(self) -> People:
        """Whose number is whose."""

    @property
    def policy(self) -> Policy:
        """Who may be used."""


@dataclass(frozen=True, slots=True, repr=False)
class Judged:
    """What the rows of one run were decided by.

    Attributes:
        who: The roster.
        policy: What bound. Of an earlier run it is without restricted codes and evidence.
        restricted: The digest of the restricted codes.
    """

    who: People
    policy: Policy
    restricted: str = ""

    @classmethod
    def of(cls, judges: Judges) -> Judged:
        """Of the present run."""
        return cls(judges.who, judges.policy, judges.policy.restricted.digest)


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Practices(_Model):
    """`Sharing` without its leavers."""

    agreed: dict[str, frozenset[str]]
    listed: frozenset[str]
    periods: tuple[tuple[date, date, frozenset[str]], ...]


class _Rules(_Model):
    """Everything that is no long list of people.

    Attributes:
        standings: By feed, the number of its standing.
        otherwise: By number of a standing, the verdicts `otherwise` and `otherwise_abroad`.
    """

    format: Literal["linkage-judged/1"] = "linkage-judged/1"
    allow_test_numbers: bool
    restricted: str
    sharing: _Practices | None
    standings: dict[str, int]
    otherwise: tuple[tuple[int, int], ...]


def save(judged: Judged, folder: Path, seal: Callable[[bytes], bytes]) -> None:
    """Write all but the roster, encrypted, owner-only.

    Args:
        judged: What to keep.
        folder: A new folder.
        seal: Encrypts bytes, for example `Keyset.seal`.
    """
    policy, sharing = judged.policy, judged.policy.sharing
    distinct = list({id(each): each for each in policy.standings.values()}.values())
    places = {id(each): place for place, each in enumerate(distinct)}
    rules = _Rules(
        allow_test_numbers=policy.allow_test_numbers,
        restricted=judged.restricted,
        sharing=_told(sharing) if sharing else None,
        standings={feed: places[id(each)] for feed, each in policy.standings.items()},
        otherwise=tuple((each.otherwise, each.otherwise_abroad) for each in distinct),
    )
    folder.mkdir(mode=0o700)
    _write(folder / "rules.json.age", seal(rules.model_dump_json().encode()))
    _write(folder / "leavers.arrow.age", seal(_arrow(sharing.leavers if sharing else LEAVERS.to_frame())))
    for place, each in enumerate(distinct):
        frame = pl.DataFrame({"number": each.numbers, "verdict": each.verdicts}, schema=_STANDING)
        _write(folder / f"standing-{place}.arrow.age", seal(_arrow(frame)))


def load(folder: Path, who: People, unseal: Callable[[bytes], bytes]) -> Judged:
    """Read what `save` wrote; `who` is the roster that the same run left.

    Raises:
        IntegrityError: A part is missing, does not open under the key, or is not what was written.
    """
    try:
        rules = _Rules.model_validate_json(unseal((folder / "rules.json.age").read_bytes()))
        leavers = _frame(unseal((folder / "leavers.arrow.age").read_bytes()), LEAVERS)
        made = [
            _standing(_frame(unseal((folder / f"standing-{place}.arrow.age").read_bytes()), _STANDING), otherwise)
            for place, otherwise in enumerate(rules.otherwise)
        ]
        standings = {feed: made[place] for feed, place in rules.standings.items()}
    except (OSError, ValueError, IndexError, pl.exceptions.PolarsError):
        raise IntegrityError(
            f"{folder.name}: what the last run decided by is missing or damaged", hint="run with --full"
        ) from None
    sharing = replace(_sharing(rules.sharing), leavers=leavers) if rules.sharing else None
    policy = Policy(standings, sharing, allow_test_numbers=rules.allow_test_numbers)
    return Judged(who, policy, rules.restricted)


def _told(sharing: Sharing) -> _Practices:
    periods = tuple((each.starts, each.ends, each.practices) for each in sharing.periods)
    return _Practices(agreed=dict(sharing.agreed), listed=sharing.listed, periods=periods)


def _sharing(told: _Practices) -> Sharing:
    return Sharing(told.agreed, told.listed, tuple(Period(*each) for each in told.periods))


def _standing(frame: pl.DataFrame, otherwise: tuple[int, int]) -> Standing:
    numbers = frame["number"].to_numpy().astype(np.int64)
    return Standing(numbers, frame["verdict"].to_numpy().astype(np.uint8), *otherwise)


def _arrow(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.write_ipc(buffer, compression="zstd")
    return buffer.getvalue()


def _frame(content: bytes, schema: pl.Schema) -> pl.DataFrame:
    frame = pl.read_ipc(io.BytesIO(content))
    if frame.schema != schema:
        raise ValueError
    return frame


def _write(path: Path, content: bytes) -> None:
    path.touch(mode=0o600)
    path.write_bytes(content)
