"""Where keysets are: one small protocol, and what is behind it. A keyset is only ever named by a reference.

    age://keys/ics.age       an age file, opened by identities or a passphrase
    vault://keys/ics.vault   an age file whose identity HashiCorp Vault unwraps (`vault`)
    env://NAME               an environment variable with the keyset's JSON in base64, for tests only

Nothing here raises with key bytes in reach: a `Problem` is returned instead.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from linkage.errors import ConfigurationError
from linkage.pseudonymise import vault
from linkage.pseudonymise.age_files import Found, Problem, identities_for, unlock

__all__ = ["AgeFile", "BackEnd", "back_end"]

Passphrase = Callable[[], str]


class BackEnd(Protocol):
    """Where a keyset is and how it opens."""

    @property
    def where(self) -> str:
        """For messages."""

    def unlock(self) -> bytes | Problem:
        """The keyset's JSON."""


@dataclass(frozen=True, slots=True)
class AgeFile:
    """An age file.

    Attributes:
        path: The file.
        open: Gives the identities that may open it.
        passphrase: Asks for the passphrase.
    """

    path: Path
    open: Callable[[], Found | Problem]
    passphrase: Passphrase | None

    @property
    def where(self) -> str:
        """For messages."""
        return f"keyset {self.path}"

    def unlock(self) -> bytes | Problem:
        """The keyset's JSON."""
        return unlock(self.path, self.open, self.passphrase)


@dataclass(frozen=True, slots=True)
class _Environment:
    name: str

    @property
    def where(self) -> str:
        return "keyset in an environment variable"

    def unlock(self) -> bytes | Problem:
        try:
            return base64.b64decode(os.environ[self.name], validate=True)
        except (KeyError, ValueError):
            return Problem("it is not set, or not base64", "set it to the keyset's JSON in base64; for tests only")


def back_end(
    reference: str,
    identity: Path | Sequence[Path] | None = None,
    passphrase: Passphrase | None = None,
    base: Path | None = None,
) -> BackEnd:
    """What a reference names.

    Raises:
        ConfigurationError: It has an unknown scheme, or the file of `vault://` cannot be used.
    """
    scheme, _, place = reference.partition("://")
    path = (base or Path()) / place
    if scheme == "age":
        return AgeFile(path, lambda: identities_for(path, identity), passphrase)
    if scheme == "vault":
        wrapped = vault.read(path)
        return AgeFile(path.parent / wrapped.keyset, lambda: vault.unwrap(wrapped, path, identity), passphrase)
    if scheme == "env":
        return _Environment(place)
    raise ConfigurationError("a keyset reference has an unknown scheme", hint='write it like "age://keys/ics.age"')
