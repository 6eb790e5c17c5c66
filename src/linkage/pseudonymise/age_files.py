"""age files (age-encryption.org/v1): written whole or not at all, and opened by an identity or a passphrase.

Every function that meets key bytes returns a `Problem` instead of raising, so that no traceback can reach them.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pyrage

__all__ = ["IDENTITY_VARIABLE", "Problem", "decrypt", "occupied", "unlock", "write_new"]

IDENTITY_VARIABLE = "LINKAGE_IDENTITY"

_AGE = b"age-encryption.org/v1\n"
_AGE_SECRET = b"AGE-SECRET-KEY-1"


class Problem(NamedTuple):
    """What is wrong, and what to do about it."""

    message: str
    hint: str


def write_new(path: Path, content: bytes) -> Problem | None:
    """Write a file that appears whole or not at all, is on the disk on return, and replaces nothing."""
    aside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        _publish(aside, path)
    except FileExistsError:
        return occupied(path)
    except OSError as error:
        hint = "check that the folder exists and is yours"
        return Problem(f"{path} cannot be written: {error.strerror}", hint)
    finally:
        aside.unlink(missing_ok=True)
    return None


def _publish(aside: Path, path: Path) -> None:
    try:
        os.link(aside, path)
    except FileExistsError:
        raise
    except OSError:
        # No hard links on this file system (a memory stick): claim the name first, then replace the claim.
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        try:
            aside.replace(path)
        except OSError:
            path.unlink()
            raise
    if os.name == "posix":
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def occupied(path: Path) -> Problem:
    """Say that a name is taken."""
    return Problem(f"{path} is taken", "a keyset is never overwritten: choose another name")


def unlock(path: Path, identity: Path | None, passphrase: Callable[[], str] | None) -> bytes | Problem:
    """Return the JSON inside an age file."""
    try:
        sealed = path.read_bytes()
    except OSError as error:
        return Problem(f"cannot be read: {error.strerror}", "check the reference and the file's owner")
    if not sealed.startswith(_AGE):
        return Problem("is not an age file", "check the reference; create one with `linkage keys create`")
    if sealed.startswith(_AGE + b"-> scrypt "):
        return _unlock_by_passphrase(sealed, passphrase)
    variable = os.environ.get(IDENTITY_VARIABLE)
    chosen = identity or (Path(variable) if variable else path.with_suffix(".identity"))
    identities = _identities(chosen)
    if isinstance(identities, Problem):
        return identities
    opened = decrypt(sealed, identities)
    if opened is None:
        hint = "it is another keyset's identity, or the file was changed"
        return Problem(f"does not open with {chosen}", hint)
    return opened


def _unlock_by_passphrase(sealed: bytes, passphrase: Callable[[], str] | None) -> bytes | Problem:
    if passphrase is None:
        return Problem("needs a passphrase", "run where one can be typed, or use an identity")
    try:
        return bytes(pyrage.passphrase.decrypt(sealed, passphrase()))
    except pyrage.DecryptError:
        return Problem("does not open", "wrong passphrase, or the file was changed")


def _identities(path: Path) -> list[pyrage.x25519.Identity] | Problem:
    """Return the age identities in a file that only its owner can read."""
    try:
        with path.open("rb") as file:
            shared = os.name == "posix" and os.fstat(file.fileno()).st_mode & 0o077
            lines = [] if shared else file.read().splitlines()
    except OSError as error:
        hint = f"name the identity's file, or set {IDENTITY_VARIABLE} to its path"
        return Problem(f"its identity {path} cannot be read: {error.strerror}", hint)
    if shared:
        return Problem(f"its identity {path} can be read by others", f"run: chmod 600 {path}")
    try:
        texts = [line.decode("ascii") for line in lines if line.startswith(_AGE_SECRET)]
        found = [pyrage.x25519.Identity.from_str(text) for text in texts]
    except (pyrage.IdentityError, ValueError):
        found = []
    hint = "its line starts with AGE-SECRET-KEY-1"
    return found or Problem(f"{path} holds no age identity that can be read", hint)


def decrypt(sealed: bytes, identities: list[pyrage.x25519.Identity]) -> bytes | None:
    """Return what is inside; None where no identity opens it."""
    try:
        return bytes(pyrage.decrypt(sealed, identities))
    except pyrage.DecryptError:
        return None
