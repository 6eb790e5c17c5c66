"""A purpose that allows the way back: its register, its limits, and its log. Every step begins here."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from linkage import authority, config
from linkage.audit import Journal
from linkage.config import Configuration
from linkage.config import Release as Rules
from linkage.errors import ConfigurationError, PolicyError
from linkage.reidentify.register import Registered, read_register
from linkage.reidentify.states import History
from linkage.signed import canonical

__all__ = ["Ready", "purpose_digest", "ready"]


@dataclass(frozen=True, slots=True)
class Ready:
    """A purpose that allows the way back, with its register read: what every step begins with."""

    configuration: Configuration
    rules: Rules
    registered: Registered
    journal: Journal
    now: datetime

    @property
    def history(self) -> History:
        """What the log says of requests."""
        return History.of(self.journal.folder)

    def check_limit(self, people: int, history: History) -> int:
        """Refuse what is above the purpose's limits; how many are left before it.

        Raises:
            PolicyError: Too many people at once, or with those who were released before.
        """
        rules, purpose = self.configuration.purpose.reidentification, self.configuration.purpose.name
        if people > rules.max_people:
            raise PolicyError(
                f"{people:,} people, and the purpose allows {rules.max_people:,} in a request", hint="ask for fewer"
            )
        left = rules.most - history.released(purpose, self.now - timedelta(days=rules.total_days))
        if people > left:
            raise PolicyError(
                f"{people:,} people, and of the {rules.most:,} that the purpose allows in {rules.total_days} days "
                f"{max(left, 0):,} are left",
                hint="ask for fewer, or later; the governance lead can have the limit changed",
            )
        return left


def ready(path: Path, now: datetime) -> Ready:
    """Read what allows the way back.

    Raises:
        PolicyError: The purpose does not allow it, a document has ended, or the register does not stand.
        ConfigurationError: There is no `[release]`.
    """
    configuration = config.load(path)
    authority.check(configuration, now.date())
    if not configuration.purpose.reidentification.allowed:
        raise PolicyError(
            f"the purpose {configuration.purpose.name} does not allow re-identification",
            hint="[purpose.reidentification] needs the document that does",
        )
    if configuration.release is None:
        raise ConfigurationError("there is no [release] in the configuration", hint="see docs/how-to/cohort-to-care.md")
    rules = configuration.release
    registered = read_register(configuration.at(rules.registered), rules.verifier(), now.date())
    journal = replace(Journal.of(configuration), now=lambda: now)
    return Ready(configuration, rules, registered, journal, now)


def purpose_digest(configuration: Configuration) -> str:
    """SHA-256 of what the configuration says of the purpose and of releases: another purpose has nobody's approval."""
    said = configuration.model_dump(mode="json", include={"purpose": True, "release": True, "keys": {"domain"}})
    return hashlib.sha256(canonical(said)).hexdigest()
