"""The log as commands use it: an act is told before it begins and after it ended, and nothing else holds the log meanwhile.

    journal = Journal.of(configuration)
    with journal.act("release", "key-holder 0011223344556677", people=50) as act:
        act.details["practices"] = 12

An act may take hours and others tell theirs in between, so the log is opened for each entry and closed again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from linkage.audit.entries import Detail, Entry, Phase
from linkage.audit.log import Log, lines_of, unfinished
from linkage.audit.signing import public_key, signer
from linkage.audit.verify import Verified, verify
from linkage.errors import PolicyError, told_of_the_machine
from linkage.signed import Verifier

if TYPE_CHECKING:
    from linkage.config import Configuration

__all__ = ["Act", "Journal"]


@dataclass(slots=True)
class Act:
    """An act that the log knows the intent of; `details` are added to its end.

    Attributes:
        name: What is done.
        by: Who does it.
        place: The intent's place in the log.
        details: Counts, digests, key ids: what came of it.
    """

    name: str
    by: str
    place: int
    details: dict[str, Detail] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Journal:
    """A log, and whose cosignatures on it count.

    Attributes:
        folder: Where the log is; made by the first entry.
        witnesses: The public keys of its witnesses.
        witnessed: The newest cosigned checkpoint.
        max_unwitnessed_days: How old that may be for `check_witnessed`; None: any age.
        now: The clock.
    """

    folder: Path
    witnesses: tuple[Verifier, ...] = ()
    witnessed: Path | None = None
    max_unwitnessed_days: int | None = None
    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC), repr=False)

    @classmethod
    def of(cls, configuration: Configuration) -> Journal:
        """The log of a configuration: where `[audit]` says, else in the folder `audit` beside the private one."""
        said = configuration.audit
        folder = configuration.at(said.path) if said.path else configuration.at(configuration.private).parent / "audit"
        witnesses = tuple(Verifier.parse(name, text) for name, text in said.witnesses.items())
        witnessed = configuration.at(said.witnessed) if said.witnessed else None
        return cls(folder, witnesses, witnessed, said.max_unwitnessed_days)

    @contextmanager
    def act(self, name: str, by: str, **details: Detail) -> Iterator[Act]:
        """Do something between its intent and its end. The intent is on the disk before the body begins.

        Raises:
            LinkageError: The log cannot be written or is damaged; then the body is not entered.
        """
        act = self.begin(name, by, **details)
        try:
            yield act
        except BaseException as error:
            self.failed(act, error)
            raise
        self.done(act)

    def begin(self, name: str, by: str, **details: Detail) -> Act:
        """Tell an intent; on the disk when this returns.

        Args:
            name: What is to be done, for example `release`.
            by: The role and key id of who does it.
            details: Counts, digests, key ids.

        Raises:
            IntegrityError: The log is damaged, or there is what looks like an identifier in the entry.
            TemporaryError: Another process holds the log, or the disk is full.
        """
        (place,) = self._add([Entry(time=self.now(), act=name, phase="intent", by=by, details=details)])
        return Act(name, by, place)

    def done(self, act: Act) -> None:
        """Tell that an act ended, with its details."""
        self._end(act, "done", act.details)

    def failed(self, act: Act, error: BaseException) -> None:
        """Tell that an act failed: by the class of the error and none of its words."""
        self._end(act, "failed", {**act.details, "error": type(error).__name__})

    def unfinished(self, names: tuple[str, ...], said: Mapping[str, Detail]) -> list[Act]:
        """Intents of these acts that nothing ended and whose details hold what is said: what a crash left open.

        The caller holds whatever lock such acts are done under, so that none of them can be on its way.
        """
        if not (self.folder / "entries").exists():
            return []
        return [
            Act(entry.act, entry.by, place)
            for place, entry in unfinished(lines_of(self.folder)).items()
            if entry.act in names and said.items() <= entry.details.items()
        ]

    def settle(self, act: Act) -> None:
        """Tell what became of an act that a crash left open, with the details that were found out."""
        self._end(act, "settled", act.details)

    def check_witnessed(self) -> Verified | None:
        """Refuse a log that is behind what its witnesses have seen, or that they have not seen for too long.

        Returns:
            What was found; None where the configuration names no witness, and none has ever cosigned the log.

        Raises:
            PolicyError: No witness has cosigned the log, or none in the last `max_unwitnessed_days`.
            IntegrityError: The log is not a continuation of what they cosigned, or is damaged otherwise.
        """
        if not self.witnesses and not self.witnessed_file.exists():
            return None
        hint = "`linkage audit export` for the witness, `linkage audit witnessed` with what it gives back"
        if not self.witnessed_file.exists():
            raise PolicyError("no witness has cosigned the log yet", hint=hint)
        found = verify(self.folder, public_key(self.folder), witnesses=self.witnesses, witnessed=self.witnessed_file)
        if found.witnessed is None:
            raise PolicyError("none of the witnesses that [audit] names has cosigned the log", hint=hint)
        if self.max_unwitnessed_days is not None:
            latest = max(each.at for each in found.by)
            if self.now() - latest > timedelta(days=self.max_unwitnessed_days):
                raise PolicyError(
                    f"no witness has cosigned the log since {latest:%Y-%m-%d}; [audit] allows "
                    f"{self.max_unwitnessed_days} days",
                    hint=hint,
                )
        return found

    def check_whole(self, against: tuple[str, ...] = ()) -> Verified:
        """Hold the log against its checkpoint, its newest cosigned one, and earlier ones.

        Raises:
            IntegrityError: It was cut, edited, reordered, forked or rolled back.
        """
        key = public_key(self.folder)
        return verify(self.folder, key, against=against, witnesses=self.witnesses, witnessed=self.witnessed_file)

    @contextmanager
    def held(self) -> Iterator[Log]:
        """Hold the log for many entries at once; one process at a time.

        Raises:
            TemporaryError: Another process holds it, or the disk is full.
            IntegrityError: The log is damaged.
        """
        with told_of_the_machine(), Log.open(self.folder, signer(self.folder), self.now) as log:
            yield log

    @property
    def witnessed_file(self) -> Path:
        """Where the newest cosigned checkpoint is."""
        return self.witnessed or self.folder / "witnessed"

    def _end(self, act: Act, phase: Phase, details: dict[str, Detail]) -> None:
        self._add([Entry(time=self.now(), act=act.name, phase=phase, of=act.place, by=act.by, details=details)])

    def _add(self, entries: list[Entry]) -> list[int]:
        places: list[int] = []
        with self.held() as log:
            places += log.add(entries)
        return places
