"""Releasing a cohort: the key holder's step, and the only one that turns tokens back for somebody to act on.

    request ─▶ verified ─▶ judged as of now ─▶ one package for each practice ─▶ one rename
               signatures,  opt-outs,           encrypted in memory              and the log
               approvals    registrations                                        says which

Only a key holder's program imports this module.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import polars as pl

from linkage.audit import Act
from linkage.cohorts import registers, settling
from linkage.cohorts.allowed import Ready, purpose_digest, ready
from linkage.cohorts.decide import check_still_good
from linkage.cohorts.people import Snapshot
from linkage.cohorts.registers import Now
from linkage.errors import IntegrityError, PolicyError, told_of_the_machine
from linkage.pseudonymise.keyset import KeyState
from linkage.pseudonymise.reverser import KeyHolderKeyset
from linkage.reidentify import publish, states
from linkage.reidentify.archives import check_can_encrypt
from linkage.reidentify.decisions import approvals
from linkage.reidentify.judged import decide
from linkage.reidentify.packages import About, Package, seal
from linkage.reidentify.publish import Release
from linkage.reidentify.register import KEY_HOLDER
from linkage.reidentify.request import TOKEN, Asked, read_request
from linkage.reidentify.states import History
from linkage.signed import Signer, Verifier

__all__ = ["Released", "release"]


@dataclass(frozen=True, slots=True)
class Released:
    """What was released.

    Attributes:
        place: The folder with a folder for each practice.
        people: How many were asked for.
        practices: How many went to each.
        withheld: How many did not, by reason.
    """

    place: Path
    people: int
    practices: dict[str, int]
    withheld: dict[str, int]


@dataclass(frozen=True, slots=True, repr=False)
class _Holder:
    """What the key holder brings to a release."""

    begun: Ready
    keyset: KeyHolderKeyset
    signer: Signer
    folder: Path


def release(
    path: Path,
    request: Path,
    now: datetime,
    passphrase: Callable[[], str] | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> Released:
    """Release a cohort that was approved.

    Args:
        path: The `linkage.toml`.
        request: The request's folder.
        now: The clock, UTC; opt-outs and registrations are judged as of it.
        passphrase: Asks for the keyset's passphrase.
        tell: Is told what became of earlier releases that a crash cut short, whatever becomes of this one.

    Raises:
        PolicyError: The request is not open, not approved, above a limit; a register is missing or too old; the log is
            not witnessed.
        IntegrityError: Something signed was changed, or the log is behind its last witnessed checkpoint.
        KeyUnavailableError: The keyset does not open.
    """
    begun = ready(path, now)
    holder = _holder(begun, passphrase)
    with publish.hold(holder.folder):
        for line in settling.settle(begun, holder.folder, holder.signer):
            tell(line)
        begun.journal.check_witnessed()
        asked, history = read_request(request, begun.registered.verifiers), begun.history
        approved = _check(holder, asked, history)
        # What a file can be wrong in is read before the log is told: from then on the request is spent.
        publish.check_new(holder.folder, asked.digest)
        there = _snapshot(holder, asked).knows(asked.people[TOKEN])
        known = registers.read(begun.configuration, holder.keyset, begun.rules.max_age_days, now)
        said = asked.request
        act = begun.journal.begin(
            states.RELEASE,
            f"key-holder {holder.signer.verifier.key_id}",
            request=asked.digest,
            purpose=said.purpose,
            people=said.people,
            folder=settling.folder_of(begun),
            register=begun.registered.register.serial,
            register_digest=begun.registered.digest,
            requester=asked.requester.key_id,
            approvers=tuple(each.key_id for each in approved),
        )
        _check_first(begun, act, asked.digest)
        try:
            with told_of_the_machine():
                found, packages = _make(holder, asked, known, there)
                act.details["release"] = publish.publish(
                    holder.folder, found, packages, holder.signer, holder.keyset.seal
                )
        except BaseException as error:
            settling.give_up(begun, holder.folder, holder.signer, act, error)
            raise
        act.details |= settling.published(found)
        begun.journal.done(act)
    place = publish.place_of(holder.folder, asked.digest)
    return Released(place, found.people, found.released, found.withheld)


def _holder(begun: Ready, passphrase: Callable[[], str] | None) -> _Holder:
    configuration, keys = begun.configuration, begun.configuration.keys
    identity = configuration.at(keys.identity) if keys.identity else None
    keyset = KeyHolderKeyset.open(keys.keyset, identity=identity, passphrase=passphrase, base=configuration.base)
    signer = keyset.signer()
    begun.registered.check_role(signer.verifier, KEY_HOLDER)
    return _Holder(begun, keyset, signer, configuration.at(begun.rules.path))


def _snapshot(holder: _Holder, asked: Asked) -> Snapshot:
    """The current snapshot, of the key version that the cohort's tokens are of, which the keyset can turn back."""
    snapshot = Snapshot.current(holder.begun.configuration)
    usable = [each.id for each in holder.keyset.versions if each.state in (KeyState.PRIMARY, KeyState.ACTIVE)]
    if asked.request.key_id not in usable or asked.request.key_id != snapshot.manifest.key_id:
        raise PolicyError(
            "the cohort's tokens are of a key version that is not in use",
            hint="make the request again from the current snapshot",
        )
    if asked.request.snapshot == snapshot.manifest.run_id and asked.request.snapshot_digest != snapshot.digest:
        raise IntegrityError(
            "the snapshot is not the one that the cohort was picked from", hint="find out what changed it"
        )
    return snapshot


def _check(holder: _Holder, asked: Asked, history: History) -> tuple[Verifier, ...]:
    """Everything that is checked before the log is told that tokens will be turned back; who approved."""
    begun, said, digest = holder.begun, asked.request, purpose_digest(holder.begun.configuration)
    history.check_register(begun.registered, begun.configuration.purpose.name)
    check_still_good(begun, asked, digest, history)
    begun.check_limit(said.people, history)
    approved, void = approvals(asked, digest, begun.registered, history)
    keys = {asked.requester.public, *(each.public for each in approved)}
    names = {asked.requester.name, *(each.name for each in approved)}
    if holder.signer.verifier.public in keys or holder.signer.name in names:
        raise PolicyError("who asked or approved cannot hold the key", hint="three different people do these")
    if any(each.zip for code, each in begun.registered.recipients.items() if code in said.recipients):
        check_can_encrypt()
    needed = begun.configuration.purpose.reidentification.approvals
    if len(approved) < needed:
        voided = f"; {void} are void, for another request or purpose, or not in the log" if void else ""
        raise PolicyError(f"{len(approved)} of {needed} approvals{voided}", hint="linkage reidentify approve")
    return approved


def _check_first(begun: Ready, act: Act, digest: str) -> None:
    """Look again once the log has an order: a no, or another release, may have come before this one's intent.

    Raises:
        PolicyError: It did, and nothing is turned back.
    """
    try:
        history = begun.history
        history.check_ended_by(digest, act.place)
        begun.check_limit(0, history)
    except BaseException as error:
        act.details["outcome"] = states.NOTHING
        begun.journal.failed(act, error)
        raise


def _make(holder: _Holder, asked: Asked, known: Now, there: pl.Series) -> tuple[Release, list[Package]]:
    """Judge everybody, and seal the packages: in memory; `there`: whether the current snapshot knows each."""
    begun, said = holder.begun, asked.request
    reverser = holder.keyset.reverser(said.domain)
    # What came with the tokens is put beside what is decided, and has no part in it.
    judged = known.judge(asked.people.select(TOKEN), TOKEN, lambda tokens: reverser.reverse(tokens)[0])
    judged = judged.with_columns(published=there)
    keys = begun.registered.recipients
    decided = decide(judged, said.recipients, keys).hstack(asked.people.drop(TOKEN))
    going = decided.filter(pl.col("withheld").is_null())
    about = About(
        purpose=said.purpose,
        controllers=", ".join(begun.configuration.purpose.controllers),
        reason=said.reason,
        request=asked.digest,
        columns=said.columns,
        made=begun.now,
    )
    packages = [
        seal(keys[practice], people, about, holder.signer)
        for (practice,), people in sorted(going.partition_by("practice", as_dict=True).items())
    ]
    withheld = decided.filter(pl.col("withheld").is_not_null()).group_by("withheld").len().sort("withheld")
    found = Release(
        request=asked.digest,
        made=begun.now,
        register_digest=begun.registered.digest,
        optouts={f"{each.name} {each.file}": each.sha256 for each in known.policy.evidence},
        people=said.people,
        released=dict(going.group_by("practice").len().sort("practice").iter_rows()),
        withheld=dict(withheld.iter_rows()),
    )
    return found, packages
