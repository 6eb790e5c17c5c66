"""What became of a release: told by what is on the disk, after an error at once, after a crash by the next start."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from pathlib import Path

from linkage.audit import Act
from linkage.audit.entries import Detail
from linkage.cohorts.allowed import Ready
from linkage.errors import IntegrityError, LinkageError
from linkage.reidentify import publish, states
from linkage.reidentify.publish import Release
from linkage.signed import Signer

__all__ = ["folder_of", "give_up", "published", "settle"]

_LONG = timedelta(hours=1)  # no request or decision takes so long


def settle(begun: Ready, folder: Path, signer: Signer) -> tuple[str, ...]:
    """Find out what became of releases that a crash cut short, and tell the log.

    Returns:
        A line for each.

    Raises:
        IntegrityError: One is on the disk and not whole, or went elsewhere: nobody but a person can say why.
    """
    lines, purpose = [], begun.configuration.purpose.name
    for place, entry in begun.history.unfinished().items():
        # Other purposes may have the same log; where their packages went, their own releases find out.
        if entry.details.get("purpose") != purpose:
            continue
        if entry.act != states.RELEASE:
            # Others may be on their way this moment; what an old one would have ended counts as ended from its intent.
            if entry.time < begun.now - _LONG:
                begun.journal.settle(Act(entry.act, entry.by, place, {"outcome": "not known"}))
            continue
        if entry.details.get("folder") != folder_of(begun):
            raise IntegrityError(
                "a release that did not end went into another folder than [release] names now",
                hint="put its path back, and release again: what became of it is settled then",
            )
        digest = str(entry.details.get("request"))
        found = publish.read_release(folder, digest, signer.verifier)
        act = Act(entry.act, entry.by, place)
        if found is None:
            publish.clear(folder, digest)
            act.details["outcome"] = states.NOTHING
        else:
            act.details |= {"release": found[1], **published(found[0])}
        begun.journal.settle(act)
        lines.append(f"the release of request {digest[:16]} had not ended: {act.details['outcome']}")
    return tuple(lines)


def give_up(begun: Ready, folder: Path, signer: Signer, act: Act, error: BaseException) -> None:
    """Tell the log what an error left: nothing, or, where it came after the rename, everything."""
    digest = str(begun.history.intents[act.place].details.get("request"))
    try:
        whole = publish.read_release(folder, digest, signer.verifier)
    except LinkageError:
        # It is there and cannot be read: the next start says so again, and a person has to look.
        return
    if whole is not None:
        act.details |= {"release": whole[1], **published(whole[0])}
        begun.journal.settle(act)
        return
    publish.clear(folder, digest)
    act.details["outcome"] = states.NOTHING
    begun.journal.failed(act, error)


def folder_of(begun: Ready) -> str:
    """Which folder releases go into, for the log, which takes no paths: two configurations can name two of theirs alike."""
    return hashlib.sha256(begun.configuration.at(begun.rules.path).resolve().as_posix().encode()).hexdigest()[:16]


def published(found: Release) -> dict[str, Detail]:
    """What the log is told of a release that is there."""
    return {
        "outcome": states.PUBLISHED,
        "practices": len(found.released),
        "released": sum(found.released.values()),
        "withheld": sum(found.withheld.values()),
    }
