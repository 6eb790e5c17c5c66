"""Proving a log whole and append-only: against its own checkpoint, and against any earlier one that is held elsewhere."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from linkage.audit.log import lines_of
from linkage.audit.merkle import Frontier, consistency_proof, is_consistent, leaf
from linkage.audit.notes import Checkpoint, Cosigned, cosign, cosignatures, open_checkpoint
from linkage.errors import IntegrityError, PolicyError
from linkage.signed import Signer, Verifier

__all__ = ["Verified", "prove", "verify", "witness"]

_HINT = "keep both as they are and find out what happened before anything else is released"


@dataclass(frozen=True, slots=True)
class Verified:
    """What was found.

    Attributes:
        checkpoint: The log's newest.
        unsigned: Entries after it, which only a crash leaves.
        witnessed: The newest checkpoint that somebody else has cosigned; None where there is none.
        by: Who.
    """

    checkpoint: Checkpoint
    unsigned: int
    witnessed: Checkpoint | None
    by: tuple[Cosigned, ...]


def verify(
    folder: Path,
    log: Verifier,
    *,
    against: Iterable[str] = (),
    witnesses: Iterable[Verifier] = (),
    witnessed: Path | None = None,
) -> Verified:
    """Read a whole log and hold it against its checkpoint and against earlier ones.

    Args:
        folder: The log.
        log: Its public key.
        against: Notes of earlier checkpoints, from elsewhere.
        witnesses: Whose cosignatures count.
        witnessed: The newest cosigned checkpoint; the file `witnessed` of the log when not given.

    Raises:
        IntegrityError: It was cut, edited, reordered, forked or rolled back; says against which checkpoint.
    """
    newest = open_checkpoint(_note(folder / "checkpoint"), log)
    earlier = [open_checkpoint(note, log) for note in against]
    seen, by = _witnessed(witnessed or folder / "witnessed", log, witnesses)
    known = [newest, *earlier, *([seen] if seen else [])]
    roots, size = _roots(folder, {each.size for each in known})
    for each in known:
        if each.origin != newest.origin:
            raise IntegrityError("a checkpoint is of another log", hint="give the checkpoints of this log")
        if roots.get(each.size) != each.root:
            raise IntegrityError(
                f"the log is not what its checkpoint of {each.size} entries says: entries were cut, changed or reordered",
                hint=_HINT,
            )
    return Verified(newest, size - newest.size, seen, by)


def prove(folder: Path, before: int) -> list[bytes]:
    """The proof that a log of so many entries is the beginning of this one.

    Raises:
        IntegrityError: The log has fewer.
    """
    leaves = [leaf(line) for line in lines_of(folder)]
    if before > len(leaves):
        raise IntegrityError(f"the log has {len(leaves)} entries, fewer than {before}: it was rolled back", hint=_HINT)
    return consistency_proof(leaves, before) if before else []


def witness(
    note: str, log: Verifier, signer: Signer, last: Checkpoint | None, proof: list[bytes], now: datetime
) -> str:
    """Cosign a checkpoint after checking that the log was only added to since the last one.

    Args:
        note: The checkpoint.
        log: The log's public key.
        signer: The witness.
        last: The last checkpoint that this witness cosigned: it keeps it itself, and forgets it never.
        proof: From `prove`, of the last one's size.
        now: The clock.

    Returns:
        The note with the cosignature.

    Raises:
        IntegrityError: The proof does not hold: the log was forked or rolled back.
        PolicyError: The log and its witness have one key.
    """
    newest = open_checkpoint(note, log)
    if signer.verifier.public == log.public:
        raise PolicyError("a log cannot be its own witness", hint="another organisation cosigns with its own key")
    if last is not None:
        if newest.origin != last.origin:
            raise IntegrityError("the checkpoint is of another log", hint="keep one witness's state for each log")
        if last.size and not is_consistent(last.size, last.root, newest.size, newest.root, proof):
            raise IntegrityError(
                f"the log of {newest.size} entries is no continuation of the one of {last.size} that was cosigned before",
                hint=_HINT,
            )
    return cosign(note, log, signer, now)


def _witnessed(
    path: Path, log: Verifier, witnesses: Iterable[Verifier]
) -> tuple[Checkpoint | None, tuple[Cosigned, ...]]:
    if not path.exists():
        return None, ()
    note = _note(path)
    found = cosignatures(note, witnesses)
    return (open_checkpoint(note, log), found) if found else (None, ())


def _note(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise IntegrityError(f"{path}: the checkpoint is missing or cannot be read", hint=_HINT) from None


def _roots(folder: Path, wanted: set[int]) -> tuple[dict[int, bytes], int]:
    """The roots of the log at some sizes, and its size."""
    frontier = Frontier()
    roots = {0: frontier.root()} if 0 in wanted else {}
    for line in lines_of(folder):
        frontier.add(leaf(line))
        if frontier.size in wanted:
            roots[frontier.size] = frontier.root()
    return roots, frontier.size
