"""Asking for a cohort: whoever asks holds a signing key and can read the store, and no more."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl

from linkage.cohorts.allowed import Ready, purpose_digest, ready
from linkage.cohorts.people import Snapshot, people_of, tokens_of
from linkage.errors import InputError, PolicyError, told_of_the_machine
from linkage.reidentify import request as requests
from linkage.reidentify import states
from linkage.reidentify.request import TOKEN, Request
from linkage.signed import Signer

__all__ = ["Asking", "Made", "one", "request"]


@dataclass(frozen=True, slots=True)
class Asking:
    """Why, and for whom.

    Attributes:
        reason: One line for the practices and the approvers.
        recipients: ODS codes of the practices that may learn of their own patients, or CSV files with a column `ods_code`.
        role: As what somebody asks; their only role that may when not given.
    """

    reason: str
    recipients: Sequence[str]
    role: str | None = None


@dataclass(frozen=True, slots=True)
class Made:
    """A request that was made.

    Attributes:
        digest: Its name in the log.
        people: How many it is for.
        expires: When it is no longer good, UTC.
        left: For how many more people the purpose allows releases, before this one.
    """

    digest: str
    people: int
    expires: datetime
    left: int


def request(path: Path, cohort: str, asking: Asking, signer: Signer, folder: Path, now: datetime) -> Made:
    """Ask for a cohort.

    Args:
        path: The `linkage.toml`.
        cohort: As `tokens_of` takes it: a column `token`, and others that the purpose agrees to.
        asking: Why, and for whom.
        signer: Who asks.
        folder: The folder to make.
        now: The clock, UTC.

    Raises:
        PolicyError: The purpose or the register does not allow it, or it is above a limit.
        InputError: A token is not in the current snapshot, or is there twice.
    """
    return _request(ready(path, now), lambda snapshot: tokens_of(cohort, snapshot), asking, signer, folder)


def one(path: Path, token: str, asking: Asking, signer: Signer, folder: Path, now: datetime) -> Made:
    """Ask for one person: a cohort of one, under the same rules and limits."""
    return _request(ready(path, now), lambda _: pl.DataFrame({TOKEN: [token]}), asking, signer, folder)


def _request(begun: Ready, found: Callable[[Path], pl.DataFrame], asking: Asking, signer: Signer, folder: Path) -> Made:
    configuration, rules = begun.configuration, begun.configuration.purpose.reidentification
    reason, role = requests.check_reason(asking.reason), _role(begun, asking, signer)
    recipients = _recipients(begun, asking.recipients)
    requests.check_new(folder)
    snapshot = Snapshot.current(configuration)
    people = people_of(found(snapshot.folder), rules.columns, snapshot)
    left = begun.check_limit(people.height, begun.history)
    content = requests.encode(people)
    made = Request(
        purpose=configuration.purpose.name,
        purpose_digest=purpose_digest(configuration),
        reason=reason,
        requester=signer.name,
        role=role,
        recipients=recipients,
        snapshot=snapshot.manifest.run_id,
        snapshot_digest=snapshot.digest,
        domain=snapshot.manifest.domain,
        key_id=snapshot.manifest.key_id,
        people=people.height,
        columns=tuple(name for name in people.columns if name != TOKEN),
        tokens_digest=hashlib.sha256(content).hexdigest(),
        made=begun.now,
        expires=begun.now + timedelta(days=rules.expires_days),
    )
    envelope = requests.sign_request(made, signer)
    by = f"requester {signer.verifier.key_id}"
    with (
        begun.journal.act(
            states.REQUEST,
            by,
            request=envelope.digest,
            purpose=made.purpose,
            people=made.people,
            snapshot=made.snapshot,
        ),
        told_of_the_machine(),
    ):
        requests.write_request(folder, envelope, content)
    return Made(envelope.digest, made.people, made.expires, left)


def _role(begun: Ready, asking: Asking, signer: Signer) -> str:
    allowed = begun.configuration.purpose.reidentification.roles
    own = [role for role in begun.registered.person(signer.verifier).roles if role in allowed]
    role = asking.role or (own[0] if len(own) == 1 else None)
    if role not in own:
        raise PolicyError(
            f"{signer.name} is not registered in a role that may ask: {', '.join(allowed)}",
            hint="ask the governance lead; with several such roles, say as which you ask",
        )
    return role


def _recipients(begun: Ready, codes: Sequence[str]) -> tuple[str, ...]:
    listed = [each for code in codes for each in (_listed(Path(code)) if code.lower().endswith(".csv") else [code])]
    found = tuple(sorted({code.strip().upper() for code in listed}))
    unknown = [code for code in found if code not in begun.registered.recipients]
    if not found or unknown:
        raise PolicyError(
            f"{unknown[0] if unknown else 'nobody'} cannot receive a package: it has no key in the register",
            hint="ask the governance lead to register the practice's age public key",
        )
    return found


def _listed(path: Path) -> list[str]:
    try:
        return pl.read_csv(path, columns=["ods_code"], infer_schema=False)["ods_code"].drop_nulls().to_list()
    except (OSError, pl.exceptions.PolarsError):
        raise InputError(f"{path}: cannot be read", hint="a list of practices has a column called ods_code") from None
