"""What a practice does: make a key, and open what it was sent after checking whose it is."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pyrage

from linkage.errors import ConfigurationError, IntegrityError, KeyUnavailableError
from linkage.reidentify import archives
from linkage.reidentify.packages import (
    CONTENTS,
    ENCRYPTED,
    INSIDE,
    OUTSIDE,
    SEALED,
    SIGNATURE,
    Inside,
    Outside,
)
from linkage.signed import Verifier, opened

__all__ = ["make_identity", "open_package"]


def open_package(
    folder: Path, identity: Path | None, key_holder: Verifier, passphrase: Callable[[], str] | None = None
) -> dict[str, bytes]:
    """What a practice does with a package: check whose it is, open it, and check what is inside.

    Args:
        folder: With the two files.
        identity: The file with the practice's age identity; None where a passphrase opens it.
        key_holder: Whose signature counts.
        passphrase: Asks for the passphrase.

    Returns:
        The files inside, by name; nothing is written.

    Raises:
        IntegrityError: It was changed, exchanged, cut short, or signed by somebody else.
        KeyUnavailableError: The identity does not open it.
    """
    name = SEALED if identity is not None else ENCRYPTED
    try:
        signature, sealed = (folder / SIGNATURE).read_bytes(), (folder / name).read_bytes()
    except OSError:
        raise IntegrityError(f"{folder}: a file of the package is missing", hint="ask for it again") from None
    outside, _ = opened(signature, Outside, OUTSIDE, [key_holder])
    if hashlib.sha256(sealed).hexdigest() != outside.package_sha256:
        raise IntegrityError(f"{folder}: the package is not what was signed", hint="ask for it again")
    if identity is not None:
        files = archives.read(_decrypted(sealed, identity))
    elif passphrase is not None:
        files = archives.read_encrypted(sealed, passphrase())
    else:
        raise KeyUnavailableError("the package needs a passphrase", hint="run where one can be typed")
    inside, _ = opened(files.get(CONTENTS, b""), Inside, INSIDE, [key_holder])
    found = {name: hashlib.sha256(content).hexdigest() for name, content in files.items() if name != CONTENTS}
    if found != inside.files or (inside.practice, inside.request) != (outside.practice, outside.request):
        raise IntegrityError(f"{folder}: what is inside is not what was signed", hint="ask for it again")
    return files


def make_identity(path: Path) -> str:
    """Write a new age identity to a file that only its owner can read, as `age-keygen` does.

    Returns:
        Its public key, `age1…`.

    Raises:
        ConfigurationError: The file is there already, or cannot be written.
    """
    identity = pyrage.x25519.Identity.generate()
    public = str(identity.to_public())
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
            file.write(f"# public key: {public}\n{identity}\n")
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be made: {error.strerror}", hint="an identity is never overwritten"
        ) from None
    return public


def _decrypted(sealed: bytes, identity: Path) -> bytes:
    try:
        lines = identity.read_text(encoding="ascii").splitlines()
        keys = [pyrage.x25519.Identity.from_str(line) for line in lines if line.startswith("AGE-SECRET-KEY-1")]
        return bytes(pyrage.decrypt(sealed, keys))
    except (OSError, ValueError, pyrage.IdentityError, pyrage.DecryptError):
        pass  # What is raised below has no context then: the traceback of one would hold the identity's lines.
    raise KeyUnavailableError(
        f"{identity}: does not open the package", hint="it is another practice's, or no age identity"
    )
