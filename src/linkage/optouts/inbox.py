"""Taking in what the national service sends back, in whatever order it comes.

To one request the service sends a transport report, a JSON acknowledgement of the job, and then the list of those who may
be used; or one line that says that the request was rejected. Each carries the request's LocalId. A list is put in place
only when it is whole, belongs to its request and is believable; everything else is said and left where it is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path

from linkage.config import National
from linkage.errors import InputError, PolicyError
from linkage.optouts import mesh, private_files
from linkage.optouts.national import CLOCK_SKEW, check_answer


class Outcome(StrEnum):
    """What a message is, or was found to be."""

    ANSWER = "answer"
    ANSWER_AGAIN = "answer, in place already"
    ANSWER_OLDER = "answer, older than the one in place"
    REPORT = "transport report"
    ACKNOWLEDGED = "acknowledged, answer to follow"
    REFUSED = "refused by the service"
    NOT_SENT = "transfer failed"
    REJECTED = "rejected: an invalid NHS number"
    UNKNOWN = "of another request"
    CONTRADICTED = "differs from another answer of the same moment: neither is used"
    DAMAGED = "damaged"


PROBLEMS = (Outcome.REFUSED, Outcome.NOT_SENT, Outcome.REJECTED, Outcome.CONTRADICTED, Outcome.DAMAGED)
_STAGE = re.compile(r"[a-z_]{1,60}")


@dataclass(frozen=True, slots=True)
class Message:
    """One message of the inbox.

    Attributes:
        file: Its control file, or its list where that has none.
        request: The name of the request that it belongs to; empty where it is not known.
        outcome: What it is.
        moment: When, UTC; None where it cannot be read.
        detail: More words; never anything of a list.
    """

    file: str
    request: str
    outcome: Outcome
    moment: datetime | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Received:
    """What an inbox held and what is still to come.

    Attributes:
        messages: Every message, in the order of their moments.
        outstanding: Names of the requests that have no answer in place.
        forgotten: Names of the requests whose answers were too old, and were removed.
    """

    messages: tuple[Message, ...]
    outstanding: tuple[str, ...]
    forgotten: tuple[str, ...] = ()

    @property
    def problems(self) -> tuple[Message, ...]:
        """Messages that somebody has to act on: those of requests that have no answer in place."""
        return tuple(
            each
            for each in self.messages
            if each.outcome in PROBLEMS and (not each.request or each.request in self.outstanding)
        )


@dataclass(frozen=True, slots=True)
class _Answer:
    """A good answer: the message, its control file and its list."""

    message: Message
    control: bytes
    content: bytes

    @property
    def moment(self) -> float:
        return self.message.moment.timestamp() if self.message.moment else 0.0


def receive(inbox: Sequence[Path], rules: National, base: Path, now: datetime) -> Received:
    """Take in messages.

    Args:
        inbox: Files and folders; of a message either file may be named.
        rules: Where requests and answers are, and what is believable.
        base: The folder that relative patterns start from.
        now: The moment, UTC.

    Raises:
        InputError: There is no such file or folder.
    """
    requests = {mesh.local_id(path): path for pattern in rules.requests for path in base.glob(pattern)}
    folder = private_files.folder(rules.answers, base, "optouts.national.answers")
    messages: list[Message] = []
    answers: dict[str, list[_Answer]] = {}
    for control in _controls(inbox):
        found = _look(control, requests, rules, now)
        if isinstance(found, _Answer):
            answers.setdefault(found.message.request, []).append(found)
        else:
            messages.append(found)
    for stem, candidates in answers.items():
        messages += _settle(folder / f"{stem}.dat", candidates)
    answered = {path.stem for pattern in rules.answers for path in base.glob(pattern)}
    outstanding = sorted({path.stem for path in requests.values()} - answered)
    return Received(tuple(sorted(messages, key=_order)), tuple(outstanding))


def forget(rules: National, base: Path, now: datetime) -> tuple[str, ...]:
    """Remove requests whose answer is too old for any run, with that answer: the lists are kept no longer than needed.

    Returns:
        The names of the requests.
    """
    gone = []
    answers = [path for pattern in rules.answers for path in base.glob(pattern)]
    for pattern in rules.requests:
        for request in sorted(base.glob(pattern)):
            own = [path for path in answers if path.stem == request.stem]
            if own and all(_too_old(path, rules, now) for path in own):
                for path in (*own, request):
                    path.unlink()
                    path.with_suffix(".ctl").unlink(missing_ok=True)
                gone.append(request.stem)
    return tuple(gone)


def _too_old(answer: Path, rules: National, now: datetime) -> bool:
    try:
        moment = mesh.read_control(answer.with_suffix(".ctl")).moment
    except PolicyError:
        return False
    return now - moment > timedelta(days=rules.max_age_days)


def _look(control: Path, requests: dict[str, Path], rules: National, now: datetime) -> Message | _Answer:
    """Find out what a message is."""
    try:
        said = mesh.read_control(control)
    except PolicyError as error:
        return Message(control.name, "", Outcome.DAMAGED, detail=error.message)
    request = requests.get(said.local_id)
    if request is None:
        return Message(control.name, "", Outcome.UNKNOWN, said.moment)
    message = Message(control.name, request.stem, Outcome.REPORT, said.moment)
    if not said.good:
        return replace(message, outcome=Outcome.NOT_SENT, detail=f"{said.status} {said.code}".strip())
    if said.kind == "Report":
        return message
    if said.moment > now + CLOCK_SKEW:
        return replace(message, outcome=Outcome.DAMAGED, detail="dated in the future: check the clock")
    return _data(control, request, message, rules)


def _data(control: Path, request: Path, message: Message, rules: National) -> Message | _Answer:
    path = control.with_suffix(".dat")
    try:
        content = mesh.read_bytes(path)
        if content.lstrip()[:1] == b"{":
            return _acknowledgement(content, message)
        if mesh.REJECTED in content[:200]:
            return replace(message, outcome=Outcome.REJECTED)
        allowed = mesh.numbers_of(path.name, content)
        asked = mesh.numbers_of(request.name, mesh.read_bytes(request))
        check_answer(path.name, asked, allowed, rules.min_allowed)
    except PolicyError as error:
        return replace(message, outcome=Outcome.DAMAGED, detail=error.message)
    return _Answer(message, control.read_bytes(), content)


def _settle(place: Path, answers: list[_Answer]) -> list[Message]:
    """Put the latest answer to one request in place, in whatever order they came.

    The same list sent again is no younger for it: its first date counts. Of two lists of one date neither is used.
    """
    standing = _in_place(place)
    known = sorted([*([standing] if standing else []), *answers], key=lambda each: each.moment)
    first: dict[bytes, _Answer] = {}
    for each in known:
        first.setdefault(each.content, each)
    best = max(first.values(), key=lambda each: each.moment)
    contradicted = sum(each.moment == best.moment for each in first.values()) > 1
    if contradicted:
        place.unlink(missing_ok=True)
    elif standing is None or best is not standing:
        # At no moment may an old list stand beside a new date.
        place.unlink(missing_ok=True)
        private_files.write(place.with_suffix(".ctl"), best.control)
        private_files.write(place, best.content)
    made = []
    for each in answers:
        if contradicted and first[each.content].moment == best.moment:
            outcome = Outcome.CONTRADICTED
        elif each.content != best.content:
            outcome = Outcome.ANSWER_OLDER
        else:
            outcome = Outcome.ANSWER if each is best else Outcome.ANSWER_AGAIN
        made.append(replace(each.message, outcome=outcome))
    return made


def _in_place(place: Path) -> _Answer | None:
    """The answer that stands already; one whose date cannot be read stands for nothing."""
    if not place.exists():
        return None
    try:
        moment = mesh.read_control(place.with_suffix(".ctl")).moment
    except PolicyError:
        return None
    message = Message(place.name, place.stem, Outcome.ANSWER_AGAIN, moment)
    return _Answer(message, place.with_suffix(".ctl").read_bytes(), place.read_bytes())


def _order(message: Message) -> tuple[bool, float, str]:
    return message.moment is None, message.moment.timestamp() if message.moment else 0.0, message.file


def _controls(inbox: Iterable[Path]) -> list[Path]:
    """The control files of an inbox, each once; a list without one gets the name that its control file should have."""
    found: dict[Path, None] = {}
    for place in inbox:
        if not place.exists():
            raise InputError(f"{place}: there is no such file or folder", hint="name the mailbox's folder or its files")
        inside = sorted(place.iterdir()) if place.is_dir() else [place]
        for path in inside:
            if path.suffix in (".ctl", ".dat") and not path.name.startswith("."):
                found[path.with_suffix(".ctl").resolve()] = None
    return list(found)


def _acknowledgement(content: bytes, message: Message) -> Message:
    """A JSON account of the service's job: only the names of its own stages are taken from it."""
    try:
        said = json.loads(content)
        failed = [str(stage["stage"]) for stage in said.get("stages", []) if stage.get("passed") is False]
        status = str(said.get("status", ""))
    except (ValueError, AttributeError, KeyError, TypeError):
        return replace(message, outcome=Outcome.DAMAGED, detail="an acknowledgement that cannot be read")
    if failed or status.lower() in ("failed", "error", "rejected"):
        stages = ", ".join(stage for stage in failed if _STAGE.fullmatch(stage))
        return replace(message, outcome=Outcome.REFUSED, detail=f"it did not pass {stages}" if stages else "")
    return replace(message, outcome=Outcome.ACKNOWLEDGED)
