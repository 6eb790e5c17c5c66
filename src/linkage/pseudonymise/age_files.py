"""age files (age-encryption.org/v1): written whole or not at all, and opened by an identity or a passphrase.

Every function that meets key bytes returns a `Problem` instead of raising, so that no traceback can reach them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import pyrage

from linkage import disk

__all__ = [
    "IDENTITY_VARIABLE", "Found", "Identities", "Problem", "decrypt", "identities_for", "occupied", "recipients_in",
    "replace", "sealed_to", "unlock", "unseal", "write_new",
]  # fmt: skip

IDENTITY_VARIABLE = "LINKAGE_IDENTITY"

_AGE = b"age-encryption.org/v1\n"
_AGE_SECRET = b"AGE-SECRET-KEY-1"


class Found(NamedTuple):
    """Identities, and where they are."""

    identities: list[pyrage.x25519.Identity]
    where: str


class Problem(NamedTuple):
    """What is wrong, and what to do about it."""

    message: str
    hint: str


Identities = Callable[[], Found | Problem]


def write_new(path: Path, content: bytes) -> Problem | None:
    """Write a file that appears whole or not at all, is on the disk on return, and replaces nothing."""
    try:
        with disk.aside(path, content, 0o600) as written:
            _publish(written, path)
    except FileExistsError:
        return occupied(path)
    except OSError as error:
        hint = "check that the folder exists and is yours"
        return Problem(f"{path} cannot be written: {error.strerror}", hint)
    return None


def _publish(written: Path, path: Path) -> None:
    try:
        os.link(written, path)
    except FileExistsError:
        raise
    except OSError:
        # No hard links on this file system (a memory stick): claim the name first, then replace the claim.
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        try:
            written.replace(path)
        except OSError:
            path.unlink()
            raise
    disk.sync(path.parent)


def occupied(path: Path) -> Problem:
    """Say that a name is taken."""
    return Problem(f"{path} is taken", "a keyset is never overwritten: choose another name")


def unlock(path: Path, identities: Identities, passphrase: Callable[[], str] | None) -> bytes | Problem:
    """Return the JSON inside an age file, also where it is an age file inside another, for two people.

    Args:
        path: The file.
        identities: Gives the age identities that may open it; asked only where it has no passphrase.
        passphrase: Asks for the passphrase; called only when the file needs one.
    """
    try:
        sealed = path.read_bytes()
    except OSError as error:
        return Problem(f"cannot be read: {error.strerror}", "check the reference and the file's owner")
    return unseal(sealed, identities, passphrase)


def unseal(sealed: bytes, identities: Identities, passphrase: Callable[[], str] | None) -> bytes | Problem:
    """As `unlock`, of the file's bytes."""
    if not sealed.startswith(_AGE):
        return Problem("is not an age file", "check the reference; create one with `linkage keys create`")
    if sealed.startswith(_AGE + b"-> scrypt "):
        return _unlock_by_passphrase(sealed, passphrase)
    found = identities()
    if isinstance(found, Problem):
        return found
    opened = decrypt(sealed, found.identities)
    if opened is None:
        return Problem(f"does not open with {found.where}", "it is another keyset's identity, or the file was changed")
    if opened.startswith(_AGE):
        opened = decrypt(opened, found.identities)
    if opened is None:
        return Problem(
            "needs the identities of two people, and only one is here",
            f"name both: as a list in the configuration, or in {IDENTITY_VARIABLE} with {os.pathsep!r} between",
        )
    return opened


def sealed_to(
    plain: bytes, recipients: Sequence[pyrage.x25519.Recipient], inner: Sequence[pyrage.x25519.Recipient] = ()
) -> bytes:
    """An age file for any of the recipients; with `inner`, around one for any of those, so that it takes one of each."""
    inside = pyrage.encrypt(plain, list(inner)) if inner else plain
    return bytes(pyrage.encrypt(inside, list(recipients)))


def recipients_in(sealed: bytes) -> int:
    """For how many recipients an age file was made."""
    return sealed.partition(b"\n--- ")[0].count(b"\n-> X25519 ")


def replace(path: Path, content: bytes) -> Problem | None:
    """Write a file in place of another: whole or not at all, and on the disk on return."""
    try:
        disk.replace(path, content, 0o600)
    except OSError as error:
        return Problem(f"{path} cannot be written: {error.strerror}", "the file is as it was: check its folder")
    return None


def _unlock_by_passphrase(sealed: bytes, passphrase: Callable[[], str] | None) -> bytes | Problem:
    if passphrase is None:
        return Problem("needs a passphrase", "run where one can be typed, or use an identity")
    try:
        return bytes(pyrage.passphrase.decrypt(sealed, passphrase()))
    except pyrage.DecryptError:
        return Problem("does not open", "wrong passphrase, or the file was changed")


def identities_for(path: Path, named: Path | Sequence[Path] | None) -> Found | Problem:
    """The identities that may open a keyset file.

    Args:
        path: The keyset file.
        named: The identity files; else those that LINKAGE_IDENTITY names; else the one beside the keyset.
    """
    variable = os.environ.get(IDENTITY_VARIABLE)
    if named:
        files = [named] if isinstance(named, Path) else list(named)
    else:
        files = [Path(each) for each in variable.split(os.pathsep)] if variable else [path.with_suffix(".identity")]
    found: list[pyrage.x25519.Identity] = []
    for file in files:
        some = _identities(file)
        if isinstance(some, Problem):
            return some
        found += some
    return Found(found, " and ".join(map(str, files)))


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
