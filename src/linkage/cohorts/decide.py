"""Deciding about what was asked, and saying where a request stands."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from linkage.cohorts.allowed import Ready, purpose_digest, ready
from linkage.cohorts.people import check_columns
from linkage.errors import PolicyError, told_of_the_machine
from linkage.reidentify import request as requests
from linkage.reidentify import states
from linkage.reidentify.decisions import Decision, Verdict, approvals, check_may_decide, write_decision
from linkage.reidentify.request import TOKEN, Asked
from linkage.reidentify.states import History, State
from linkage.signed import Signer

__all__ = ["Standing", "check_still_good", "decide", "look"]


@dataclass(frozen=True, slots=True)
class Standing:
    """A request as an approver sees it.

    Attributes:
        asked: The request.
        state: Where it stands by the log.
        approved: Who approved it as it is.
        void: Approvals of what it or the purpose was before.
        needed: How many approvals the purpose wants.
    """

    asked: Asked
    state: State
    approved: tuple[str, ...]
    void: int
    needed: int


def decide(path: Path, folder: Path, verdict: Verdict, signer: Signer, now: datetime) -> Standing:
    """Approve, refuse or withdraw a request.

    Args:
        path: The `linkage.toml`.
        folder: The request.
        verdict: What is said.
        signer: Who says it.
        now: The clock, UTC.

    Raises:
        PolicyError: They may not, or the request is not open any more.
        IntegrityError: The request was changed.
    """
    begun = ready(path, now)
    asked = requests.read_request(folder, begun.registered.verifiers)
    digest = purpose_digest(begun.configuration)
    check_still_good(begun, asked, digest, begun.history)
    check_may_decide(asked, verdict, signer.verifier, begun.registered)
    decision = Decision(request=asked.digest, purpose_digest=digest, verdict=verdict, by=signer.name, made=now)
    role = "requester" if verdict is Verdict.WITHDRAW else "approver"
    details = {"request": asked.digest, "purpose": begun.configuration.purpose.name}
    with (
        begun.journal.act(f"cohort.{verdict.value}", f"{role} {signer.verifier.key_id}", **details),
        told_of_the_machine(),
    ):
        write_decision(asked, decision, signer)
    return look(path, folder, now)


def look(path: Path, folder: Path, now: datetime) -> Standing:
    """Read a request and say where it stands; nothing is changed."""
    begun = ready(path, now)
    asked = requests.read_request(folder, begun.registered.verifiers)
    history = begun.history
    approved, void = approvals(asked, purpose_digest(begun.configuration), begun.registered, history)
    state = history.state(asked.digest)
    if state is State.OPEN and asked.request.expires <= now:
        state = State.EXPIRED
    needed = begun.configuration.purpose.reidentification.approvals
    return Standing(asked, state, tuple(each.name for each in approved), void, needed)


def check_still_good(begun: Ready, asked: Asked, digest: str, history: History) -> None:
    """Raise unless a request can still be decided about: open, not expired, of this purpose as it is.

    Raises:
        PolicyError: It cannot; says why. That it has expired is put into the log, where no clock that is turned back undoes it.
    """
    history.check_open(asked.digest)
    history.check_clock(begun.now)
    said, configuration = asked.request, begun.configuration
    # The name as well: the log counts releases by it, and another one would not count towards this purpose's limit.
    own = (configuration.purpose.name, digest, configuration.keys.domain)
    if (said.purpose, said.purpose_digest, said.domain) != own:
        raise PolicyError(
            "the purpose has changed since the request was made: nobody has approved it as it is",
            hint="make a new request",
        )
    if said.expires <= begun.now:
        by = f"register {begun.registered.digest[:16]}"
        with begun.journal.act(states.EXPIRE, by, request=asked.digest, purpose=configuration.purpose.name):
            pass
        raise PolicyError(f"the request expired on {said.expires:%Y-%m-%d %H:%M}", hint="make a new request")
    rules = configuration.purpose.reidentification
    if said.role not in rules.roles:
        raise PolicyError(f"nobody may ask as {said.role}", hint="the purpose names the roles that may")
    begun.registered.check_role(asked.requester, said.role)
    # Whoever made it by other means than `ask` is held to the same.
    if requests.check_reason(said.reason) != said.reason:
        raise PolicyError("the reason has blanks or lines around it", hint="make a new request")
    check_columns(asked.people.drop(TOKEN), rules.columns)
    if said.expires - said.made > timedelta(days=rules.expires_days) or said.made > begun.now + timedelta(hours=1):
        raise PolicyError("the request's dates are not those that the purpose allows", hint="make a new request")
