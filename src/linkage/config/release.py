"""Where the register of people and practices is by which a cohort is released, and where packages go."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from linkage.errors import ConfigurationError
from linkage.purpose import Section
from linkage.signed import Verifier

__all__ = ["Release"]


class Release(Section):
    """How a cohort goes back to care.

    Attributes:
        registered: Who may do what, and the practices' keys: a file that the governance lead signed.
        lead: The governance lead's name and public signing key, `QXX.lead ed25519:…`: no other signature counts.
        path: The folder that packages are released into.
        max_age_days: Registrations with practices that were delivered longer ago refuse a release.
    """

    registered: Path
    lead: str
    path: Path = Path("released")
    max_age_days: int = Field(default=35, ge=0)

    @model_validator(mode="after")
    def _lead_can_be_read(self) -> Self:
        try:
            self.verifier()
        except ConfigurationError as error:
            raise ValueError(f"lead: {error.message}; write the name, a space and the key") from None
        return self

    def verifier(self) -> Verifier:
        """The governance lead's public key."""
        name, _, text = self.lead.partition(" ")
        return Verifier.parse(name, text.strip())
