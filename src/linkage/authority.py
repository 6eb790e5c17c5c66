"""On whose authority a run stands: every document behind its configuration, and whether it still holds.

A document that has ended refuses the run; so does one that has not begun. One that ends soon is warned of.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

from linkage.config import Configuration
from linkage.errors import PolicyError

__all__ = ["Document", "check", "documents", "warnings"]


@dataclass(frozen=True, slots=True)
class Document:
    """One document that the run relies on.

    Attributes:
        what: What it allows, for example `agreement for sus_apc, ecds`.
        reference: Its reference; empty where the configuration gives words only.
        starts: The first day on which it stands; None: always.
        ends: The last day on which it stands; None: no end is known.
    """

    what: str
    reference: str = ""
    starts: date | None = None
    ends: date | None = None

    def problem(self, today: date) -> str | None:
        """Why it does not stand today, or None where it does."""
        name = f"{self.what} ({self.reference})" if self.reference else self.what
        if self.ends is not None and self.ends < today:
            return f"{name} ended on {self.ends}"
        if self.starts is not None and self.starts > today:
            return f"{name} begins only on {self.starts}"
        return None

    def days_left(self, today: date) -> int | None:
        """Days until its last day; None where no end is known."""
        return None if self.ends is None else (self.ends - today).days


def documents(configuration: Configuration) -> tuple[Document, ...]:
    """Every document behind a configuration, in the order in which they are read."""
    purpose, basis = configuration.purpose, configuration.purpose.legal_basis
    found = [Document("the purpose", purpose.name, ends=purpose.ends)]
    found.append(Document(f"legal basis, {basis.kind.words}", basis.reference, ends=basis.expires))
    found += _agreements(configuration)
    found += [
        Document(f"exemption from {each.optout}", each.reference, ends=each.expires)
        for each in configuration.optouts.exemptions
    ]
    found += [
        Document(f"opt-outs of {flow.feed} applied upstream", flow.optouts_applied_upstream)
        for flow in configuration.flows
        if flow.optouts_applied_upstream
    ]
    if purpose.population and purpose.population.reference:
        found.append(Document("the population", purpose.population.reference))
    if purpose.retention and purpose.retention.reference:
        found.append(Document("retention", purpose.retention.reference))
    if purpose.reidentification.allowed:
        found.append(Document("re-identification", purpose.reidentification.reference))
    return tuple(found)


def _agreements(configuration: Configuration) -> list[Document]:
    """One for each agreement that a flow or a site names, in their order."""
    listed = {agreement.reference: agreement for agreement in configuration.purpose.agreements}
    flows: dict[str, list[str]] = {}
    for flow in configuration.flows:
        if flow.agreement:
            flows.setdefault(flow.agreement, []).append(flow.feed)
    for site in configuration.hub.sites if configuration.hub else ():
        if site.agreement:
            flows.setdefault(site.agreement, []).append(f"site {site.name}")
    return [
        Document(
            f"agreement for {', '.join(dict.fromkeys(feeds))}",
            reference,
            listed[reference].starts if reference in listed else None,
            listed[reference].ends if reference in listed else None,
        )
        for reference, feeds in flows.items()
    ]


def check(configuration: Configuration, today: date) -> tuple[str, ...]:
    """Refuse a run whose documents do not stand today.

    Returns:
        What is to be warned of.

    Raises:
        PolicyError: A document has ended, or has not begun; names the first and counts the others.
    """
    problems = [problem for each in documents(configuration) if (problem := each.problem(today))]
    if problems:
        more = f", and {len(problems) - 1} more of its documents do not stand" if len(problems) > 1 else ""
        raise PolicyError(
            f"{problems[0]}{more}",
            hint="renew it and correct its date in linkage.toml; `linkage purposes show` lists every document",
        )
    return warnings(configuration, today)


def warnings(configuration: Configuration, today: date) -> tuple[str, ...]:
    """What an information-governance lead should know of before it stops a run."""
    purpose = configuration.purpose
    soon = timedelta(days=purpose.warn_days)
    found = [
        f"{each.what} ({each.reference}) ends on {each.ends}, in {each.days_left(today)} days"
        for each in documents(configuration)
        if each.ends is not None and today <= each.ends <= today + soon
    ]
    if not purpose.legal_basis.reference and purpose.legal_basis.kind.value == "other":
        found.append("the legal basis is words only: give its kind, reference and expiry")
    for flow in configuration.flows:
        if not flow.agreement:
            found.append(f"flow {flow.feed} names no agreement")
    for site in configuration.hub.sites if configuration.hub else ():
        if not site.agreement:
            found.append(f"site {site.name} names no agreement")
    unlisted = {flow.agreement for flow in configuration.flows if flow.agreement} if not purpose.agreements else set()
    found += [f"the agreement {reference} has no end date" for reference in sorted(unlisted)]
    # Whoever takes test numbers for people has no real ones to protect.
    if configuration.keys.keyset.startswith("env://") and not configuration.allow_test_numbers:
        found.append(
            "the keyset is in an environment variable, which is for tests: every program that is started from here "
            "inherits it and nothing encrypts it; keep it in an age file or behind Vault"
        )
    return tuple(found)
