"""Checkpoints: the state of a log as a signed note of a few lines, in the formats of C2SP (signed-note, tlog-checkpoint,
tlog-cosignature), so that witnesses and tools of other transparency logs can read them.
"""

from __future__ import annotations

import base64
import hashlib
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from linkage.errors import IntegrityError
from linkage.signed import Signer, Verifier

__all__ = ["Checkpoint", "Cosigned", "cosign", "cosignatures", "open_checkpoint", "sign_checkpoint", "verifier_key"]

_DASH = "\u2014"
_ED25519, _COSIGNATURE = b"\x01", b"\x04"
_LONGEST = 1 << 16


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The state of a log.

    Attributes:
        origin: Which log.
        size: Its entries.
        root: The hash of its tree.
    """

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> str:
        """What is signed."""
        return f"{self.origin}\n{self.size}\n{_text(self.root)}\n"


@dataclass(frozen=True, slots=True)
class Cosigned:
    """Who has seen a checkpoint, and when."""

    witness: Verifier
    at: datetime


def verifier_key(verifier: Verifier, *, witness: bool = False) -> str:
    """A public key as tools of transparency logs take it (vkey): its name, its short id and the key."""
    kind = _COSIGNATURE if witness else _ED25519
    return f"{verifier.name}+{_short_id(verifier, kind).hex()}+{_text(kind + verifier.public)}"


def sign_checkpoint(checkpoint: Checkpoint, signer: Signer) -> str:
    """A checkpoint signed by its log."""
    signature = _short_id(signer.verifier, _ED25519) + signer.sign(checkpoint.text.encode())
    return f"{checkpoint.text}\n{_DASH} {signer.name} {_text(signature)}\n"


def open_checkpoint(note: str, log: Verifier) -> Checkpoint:
    """The checkpoint of a note that its log signed.

    Raises:
        IntegrityError: It is no such note, or the log did not sign it.
    """
    text, lines = _split(note)
    for name, signature in lines:
        if name == log.name and signature[:4] == _short_id(log, _ED25519):
            log.check(text.encode(), signature[4:])
            return _parse(text)
    raise IntegrityError(
        f"the checkpoint is not signed by {log.name}", hint="ask its keeper for the log's newest checkpoint"
    )


def cosign(note: str, log: Verifier, witness: Signer, now: datetime) -> str:
    """The note with a witness's signature added, over the checkpoint and the time.

    The witness has checked that the log was only added to since the last checkpoint that it cosigned.

    Raises:
        IntegrityError: The log did not sign the note.
    """
    open_checkpoint(note, log)
    text, _ = _split(note)
    seconds = int(now.timestamp())
    signature = _short_id(witness.verifier, _COSIGNATURE) + struct.pack(">Q", seconds)
    signature += witness.sign(_witnessed(text, seconds))
    return f"{note}{_DASH} {witness.name} {_text(signature)}\n"


def cosignatures(note: str, witnesses: Iterable[Verifier]) -> tuple[Cosigned, ...]:
    """Which of these witnesses cosigned a note.

    Raises:
        IntegrityError: The signature of one does not fit.
    """
    text, lines = _split(note)
    ids = {(each.name, _short_id(each, _COSIGNATURE)): each for each in witnesses}
    found = []
    for name, signature in lines:
        witness = ids.get((name, signature[:4]))
        if witness is not None and len(signature) > 12:
            (seconds,) = struct.unpack(">Q", signature[4:12])
            witness.check(_witnessed(text, seconds), signature[12:])
            found.append(Cosigned(witness, datetime.fromtimestamp(seconds, UTC)))
    return tuple(found)


def _witnessed(text: str, seconds: int) -> bytes:
    return f"cosignature/v1\ntime {seconds}\n{text}".encode()


def _short_id(verifier: Verifier, kind: bytes) -> bytes:
    return hashlib.sha256(verifier.name.encode() + b"\n" + kind + verifier.public).digest()[:4]


def _split(note: str) -> tuple[str, list[tuple[str, bytes]]]:
    text, blank, rest = note.rpartition("\n\n")
    lines = rest.split("\n")
    if not blank or len(note) > _LONGEST or lines[-1] or len(lines) < 2:
        raise _no_checkpoint()
    found = []
    for line in lines[:-1]:
        dash, _, signed = line.partition(" ")
        name, _, signature = signed.partition(" ")
        try:
            value = base64.b64decode(signature, validate=True)
        except ValueError:
            raise _no_checkpoint() from None
        if dash != _DASH or not name or len(value) < 5:
            raise _no_checkpoint()
        found.append((name, value))
    return text + "\n", found


def _parse(text: str) -> Checkpoint:
    lines = text.split("\n")
    try:
        origin, size, root = lines[0], int(lines[1]), base64.b64decode(lines[2], validate=True)
    except (IndexError, ValueError):
        raise _no_checkpoint() from None
    if not origin or str(size) != lines[1] or size < 0 or len(root) != 32 or lines[3:] != [""]:
        raise _no_checkpoint()
    return Checkpoint(origin, size, root)


def _no_checkpoint() -> IntegrityError:
    return IntegrityError("not a checkpoint of a log, or a damaged one", hint="ask its keeper for it again")


def _text(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")
