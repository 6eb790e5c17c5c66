"""The key that signs a log's checkpoints: made with the log, kept beside it, and of no use for anything else.

<log>/signing.key   owner-only: the log's name and 32 random bytes in base64
<log>/public.key    the name and the public key, to be held elsewhere with the checkpoints
"""

from __future__ import annotations

import base64
import hashlib
import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path

from linkage.disk import aside, replace, sync
from linkage.errors import IntegrityError, PolicyError
from linkage.signed import SEED_BYTES, Signer, Verifier

__all__ = ["public_key", "signer"]

_HINT = "restore the log's folder from its last backup, and hold it against a checkpoint from elsewhere"


def signer(folder: Path) -> Signer:
    """What signs for the log in a folder; made where there is no log yet.

    Raises:
        IntegrityError: There are entries and no key, or the key is damaged.
        PolicyError: Others than its owner may read it.
    """
    path = folder / "signing.key"
    if not path.exists():
        _make(folder, path)
    if os.name == "posix" and stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise PolicyError(f"{path}: others may read the log's signing key", hint=f"run: chmod 600 {path}")
    found = _read(path)
    _show(folder, found.verifier)
    return found


def public_key(folder: Path) -> Verifier:
    """The public key that lies with a log. Whoever could exchange the log could exchange it too: pin it elsewhere.

    Raises:
        IntegrityError: It is missing or damaged.
    """
    try:
        name, text = (folder / "public.key").read_text(encoding="ascii").split()
    except (OSError, ValueError):
        raise IntegrityError(f"{folder}: the log's public key is missing or damaged", hint=_HINT) from None
    return Verifier.parse(name, text)


def _make(folder: Path, path: Path) -> None:
    if (folder / "checkpoint").exists() or (folder / "public.key").exists():
        raise IntegrityError(f"{folder}: the log's signing key is missing", hint=_HINT)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    seed = secrets.token_bytes(SEED_BYTES)
    name = "linkage-log-" + hashlib.sha256(Signer("log", seed).verifier.public).hexdigest()[:16]
    content = f"{name} {base64.b64encode(seed).decode()}\n".encode()
    # Of two processes that begin a log at once, one makes its key and the other takes it.
    with aside(path, content, 0o600) as written, suppress(FileExistsError):
        os.link(written, path)
    sync(folder)


def _read(path: Path) -> Signer:
    try:
        name, seed = path.read_text(encoding="ascii").split()
        return Signer(name, base64.b64decode(seed, validate=True))
    except (OSError, ValueError):
        damaged = IntegrityError(f"{path}: the log's signing key is damaged", hint=_HINT)
    raise damaged


def _show(folder: Path, verifier: Verifier) -> None:
    path = folder / "public.key"
    if not path.exists():
        replace(path, f"{verifier.name} {verifier.text}\n".encode("ascii"))
