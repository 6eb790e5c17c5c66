"""Sites that keep their keys: what makes a configuration that of a site, or that of the hub that takes from sites."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from linkage.purpose import Section, Strings


class SendingSite(Section):
    """A site, which hands over packets instead of publishing.

    Attributes:
        name: Its name as the hub registers it; its keyset was made for it.
        recipients: The age public keys of the key holder, who alone can open what is handed over.
        outbox: The folder that packets are put into, for whatever carries them.
    """

    name: str = Field(min_length=1)
    recipients: Strings = Field(min_length=1)
    outbox: Path


class RegisteredSite(Section):
    """A site as the hub knows it.

    Attributes:
        name: Its name.
        domain: Its token domain, which no other site has.
        signs: Its public signing key, written `ed25519:` and 44 characters.
        key_id: The version of the key holder's key that its keyset was made from.
        feeds: The feeds that it may send: names of shipped ones, or paths of contracts.
        agreement: The reference of the data-sharing agreement behind it.
        revoked: The first day on which nothing of it is taken or published any more.
        why: Why it is revoked.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    domain: str
    signs: str
    key_id: str = Field(pattern=r"^[0-9a-f]{16}$")
    feeds: Strings = Field(min_length=1)
    agreement: str = ""
    revoked: date | None = None
    why: str = ""

    @model_validator(mode="after")
    def _says_why(self) -> Self:
        if (self.revoked is None) != (not self.why):
            raise ValueError("a revoked site has both: revoked, the day, and why")
        return self

    def is_revoked(self, today: date) -> bool:
        """Whether nothing of it counts any more."""
        return self.revoked is not None and self.revoked <= today


class Hub(Section):
    """An ICS that takes packets from sites.

    Attributes:
        sites: The register of sites.
        inbox: Where packets are kept that were taken; `inbox` in the private folder when not given.
        translated: Where the key holder's step leaves the parts with tokens of the ICS; `translated` in the private folder
            when not given.
        identity: The age identity that opens packets; what opens the keyset when not given.
        max_age_days: Packets that were made longer ago are neither taken nor published.
    """

    sites: tuple[RegisteredSite, ...] = Field(min_length=1)
    inbox: Path | None = None
    translated: Path | None = None
    identity: Path | None = None
    max_age_days: int = Field(default=7, ge=1, le=35)

    @model_validator(mode="after")
    def _sites_differ(self) -> Self:
        for said in ("name", "domain", "signs"):
            found = [getattr(site, said).lower() if said == "name" else getattr(site, said) for site in self.sites]
            if len(set(found)) != len(found):
                raise ValueError(f"two sites have the same {said}")
        return self
