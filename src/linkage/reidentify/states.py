"""What the log says of requests: which are open, which are ended for good, and how many people were released.

Whatever ends a request counts from its intent: an act that a crash cut short has spent the request all the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path

from linkage.audit.entries import Entry
from linkage.audit.log import lines_of
from linkage.errors import IntegrityError, PolicyError
from linkage.reidentify.register import Registered

__all__ = ["APPROVE", "EXPIRE", "NOTHING", "PUBLISHED", "REFUSE", "RELEASE", "REQUEST", "WITHDRAW", "History", "State"]

REQUEST, APPROVE, REFUSE, WITHDRAW, EXPIRE, RELEASE = (
    f"cohort.{each}" for each in ("request", "approve", "refuse", "withdraw", "expire", "release")
)
PUBLISHED, NOTHING = "published", "nothing published"
_PREFIX = b'"act":"cohort.'
_SLACK = timedelta(hours=1)  # between the clocks of several machines


class State(StrEnum):
    """Where a request stands. All but the first two are final."""

    UNKNOWN = "not in the log"
    OPEN = "open"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"
    RELEASED = "released"
    SPENT = "spent by a release that published nothing"
    RELEASING = "spent by a release that did not end"


_ENDS = {REFUSE: State.REFUSED, WITHDRAW: State.WITHDRAWN, EXPIRE: State.EXPIRED}


@dataclass(frozen=True, slots=True)
class History:
    """The entries about cohorts, by their places in the log; and the ends of acts by the places of their intents."""

    intents: Mapping[int, Entry]
    ends: Mapping[int, Entry]

    @classmethod
    def of(cls, folder: Path) -> History:
        """What a log's folder holds; nothing where there is no log yet.

        Raises:
            IntegrityError: An entry cannot be read.
        """
        intents, ends = {}, {}
        for place, line in enumerate(lines_of(folder) if (folder / "entries").exists() else ()):
            if _PREFIX not in line:
                continue
            try:
                entry = Entry.model_validate_json(line)
            except ValueError:
                raise IntegrityError(
                    f"entry {place} of the log cannot be read", hint="keep it as it is: linkage audit verify"
                ) from None
            if entry.phase == "intent":
                intents[place] = entry
            elif entry.of is not None:
                ends[entry.of] = entry
        return cls(intents, ends)

    def state(self, digest: str) -> State:
        """Where a request stands."""
        state = State.UNKNOWN
        for place, entry in self.intents.items():
            if entry.details.get("request") != digest:
                continue
            if entry.act in _ENDS:
                return _ENDS[entry.act]
            if entry.act == RELEASE:
                return self._released(place)
            if entry.act == REQUEST and self._outcome(place) == "done":
                state = State.OPEN
        return state

    def check_open(self, digest: str) -> None:
        """Raise unless a request is in the log and nothing has ended it.

        Raises:
            PolicyError: It is not; says how it ended.
        """
        state = self.state(digest)
        if state is State.UNKNOWN:
            raise PolicyError(
                "the request is not in the log: it was made elsewhere, or changed",
                hint="make it again: linkage cohort request",
            )
        if state is not State.OPEN:
            raise PolicyError(f"the request is {state.value}: that is final", hint="make a new request")

    def check_ended_by(self, digest: str, place: int) -> None:
        """Raise unless the intent at a place is the first that ends a request.

        Raises:
            PolicyError: Somebody refused or withdrew it, or another release began.
        """
        ends = (*_ENDS, RELEASE)
        before = next(
            (
                entry
                for at, entry in self.intents.items()
                if at < place and entry.act in ends and entry.details.get("request") == digest
            ),
            None,
        )
        if before is not None:
            raise PolicyError(
                f"the log was told of {before.act} of the request before this release began: that is final",
                hint="nothing was released; make a new request",
            )

    def check_clock(self, now: datetime) -> None:
        """Raise where the clock is behind what the log was last told of a request: what has expired would stand again.

        Raises:
            PolicyError: It is.
        """
        newest = max((each.time for each in (*self.intents.values(), *self.ends.values())), default=now)
        if newest - now > _SLACK:
            raise PolicyError(
                f"the clock is behind the log, whose newest entry about requests is of {newest:%Y-%m-%d %H:%M} UTC",
                hint="set the machine's clock",
            )

    def approved(self, digest: str) -> frozenset[str]:
        """The key ids of who approved a request, by the log."""
        return frozenset(
            entry.by.rpartition(" ")[2]
            for place, entry in self.intents.items()
            if entry.act == APPROVE and entry.details.get("request") == digest and self._outcome(place) == "done"
        )

    def unfinished(self) -> dict[int, Entry]:
        """Intents that nothing ended, by their places: what a crash left, or what is on its way now."""
        return {place: entry for place, entry in self.intents.items() if place not in self.ends}

    def released(self, purpose: str, since: datetime) -> int:
        """How many people the releases of a purpose since a moment were for, those withheld among them."""
        return sum(
            _number(entry, "people")
            for place, entry in self.intents.items()
            if entry.act == RELEASE
            and entry.details.get("purpose") == purpose
            and entry.time >= since
            and self._released(place) is not State.SPENT
        )

    def check_register(self, registered: Registered, purpose: str) -> None:
        """Raise unless a register can follow those that releases went by.

        Raises:
            PolicyError: One went by a newer one, or one of this purpose by another of the same serial.
        """
        serial = registered.register.serial
        told = [each for each in self.intents.values() if each.act == RELEASE]
        if any(_number(each, "register") > serial for each in told):
            raise PolicyError(
                "the register is older than one that a release went by", hint="ask the governance lead for the newest"
            )
        # Another purpose with the same log may have a register of its own.
        digests = {
            each.details.get("register_digest")
            for each in told
            if _number(each, "register") == serial and each.details.get("purpose") == purpose
        }
        if digests - {registered.digest}:
            raise PolicyError(
                f"a release went by another register of serial {serial}",
                hint="ask the governance lead to sign it with the next serial",
            )

    def _released(self, place: int) -> State:
        end = self.ends.get(place)
        if end is None:
            return State.RELEASING
        return State.RELEASED if end.phase == "done" or end.details.get("outcome") == PUBLISHED else State.SPENT

    def _outcome(self, place: int) -> str | None:
        end = self.ends.get(place)
        return end.phase if end else None


def _number(entry: Entry, name: str) -> int:
    value = entry.details.get(name, 0)
    return value if isinstance(value, int) else 0
