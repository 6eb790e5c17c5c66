"""What people say to a request: they approve, refuse or withdraw it, each with a signature.

A decision binds the request and the purpose as they were: whatever changed since has nobody's approval.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from linkage.disk import replace
from linkage.errors import IntegrityError, PolicyError
from linkage.reidentify.register import APPROVER, KEY_HOLDER, Registered
from linkage.reidentify.request import DECISIONS, Asked
from linkage.reidentify.states import History
from linkage.signed import Signer, Verifier, canonical, opened, sign

__all__ = ["Decision", "Verdict", "approvals", "check_may_decide", "write_decision"]

_TYPE = "linkage-cohort-decision/1"


class Verdict(StrEnum):
    """What somebody says to a request."""

    APPROVE = "approve"
    REFUSE = "refuse"
    WITHDRAW = "withdraw"


class Decision(BaseModel):
    """One person's word.

    Attributes:
        request: The request's digest.
        purpose_digest: The purpose's, as it was.
        verdict: What they say.
        by: Who.
        made: When, UTC.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["linkage-cohort-decision/1"] = "linkage-cohort-decision/1"
    request: str
    purpose_digest: str
    verdict: Verdict
    by: str
    made: datetime


def check_may_decide(asked: Asked, verdict: Verdict, by: Verifier, registered: Registered) -> None:
    """Raise unless somebody may say this of a request.

    Raises:
        PolicyError: Only who asked may withdraw; only an approver who neither asked nor holds the key may approve or refuse.
    """
    if verdict is Verdict.WITHDRAW:
        if by != asked.requester:
            raise PolicyError("only who asked may withdraw a request", hint="an approver can refuse it")
        registered.person(by)
        return
    registered.check_role(by, APPROVER)
    if by.public == asked.requester.public or by.name == asked.requester.name:
        raise PolicyError("nobody decides about their own request", hint="another approver has to")
    if KEY_HOLDER in registered.person(by).roles:
        raise PolicyError("the key holder does not approve", hint="another approver has to")


def write_decision(asked: Asked, decision: Decision, signer: Signer) -> Path:
    """Put a decision beside its request; one of each person."""
    path = asked.folder / DECISIONS / f"{signer.verifier.key_id}.json"
    envelope = sign(_TYPE, canonical(decision), [signer])
    path.parent.mkdir(exist_ok=True, mode=0o700)
    replace(path, envelope.model_dump_json(indent=1).encode(), 0o600)
    return path


def approvals(
    asked: Asked, purpose_digest: str, registered: Registered, history: History
) -> tuple[tuple[Verifier, ...], int]:
    """Who approved a request as it is, under the purpose as it is, and is in the log with it; and how many approvals are void.

    Raises:
        IntegrityError: A decision was changed, or nobody registered signed it.
        PolicyError: Somebody approved who may not.
    """
    found, void, told = [], 0, history.approved(asked.digest)
    for path in sorted((asked.folder / DECISIONS).glob("*.json")):
        decision, signers = opened(_read(path), Decision, _TYPE, registered.verifiers)
        if decision.verdict is not Verdict.APPROVE:
            continue
        if (decision.request, decision.purpose_digest) != (asked.digest, purpose_digest):
            void += 1
            continue
        for by in (each for each in signers if each.name == decision.by):
            check_may_decide(asked, decision.verdict, by, registered)
            if by.key_id in told:
                found.append(by)
            else:
                void += 1
    return tuple(dict.fromkeys(found)), void


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        raise IntegrityError(f"{path}: cannot be read as a decision", hint="ask for the request again") from None
