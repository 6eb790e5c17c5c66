"""What opens packets: the key holder's age identity. Only a key holder's program imports this module."""

from __future__ import annotations

from pathlib import Path

import pyrage

from linkage.config import Configuration
from linkage.errors import KeyUnavailableError
from linkage.handles import SecretHandle
from linkage.pseudonymise.age_files import Problem, decrypt, identities_for
from linkage.sites.register import hub_of

__all__ = ["Opener"]


class Opener(SecretHandle):
    """A handle on the identity that opens packets."""

    __slots__ = ("_identities",)

    def __init__(self, found: list[pyrage.x25519.Identity]) -> None:
        """Args:
        found: The identities; one of them opens a packet.
        """
        self._identities = found

    def __repr__(self) -> str:
        return f"<Opener {', '.join(self.recipients)}>"

    @classmethod
    def of(cls, configuration: Configuration) -> Opener:
        """The one that a hub's configuration names, else the one that opens its keyset.

        Raises:
            KeyUnavailableError: It cannot be read, or others may read it.
        """
        named = hub_of(configuration).identity or configuration.keys.identity
        keyset = configuration.at(Path(configuration.keys.keyset.partition("://")[2]))
        found = identities_for(keyset, configuration.at(named) if named else None)
        if isinstance(found, Problem):
            raise KeyUnavailableError(f"what opens packets: {found.message}", hint=found.hint)
        return cls(found.identities)

    @property
    def recipients(self) -> tuple[str, ...]:
        """The public keys that sites seal to."""
        return tuple(str(each.to_public()) for each in self._identities)

    def open(self, sealed: bytes) -> bytes | None:
        """What is inside; None where it is not sealed to this identity, or was changed."""
        return decrypt(sealed, self._identities)
