"""The register of sites: what each of them may send, told from the configuration and the contracts."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path

from linkage import contract
from linkage.config import Configuration, Hub, RegisteredSite
from linkage.contract import DROPPED, Feed, Role, Table
from linkage.errors import ConfigurationError
from linkage.federate import Accepts, Inbox, Site
from linkage.federate.receive import Holds
from linkage.link.tables import minimised
from linkage.signed import Verifier

__all__ = ["accepts", "columns", "contracts", "hub_of", "inbox", "translated"]

_HOLDS: Mapping[Role, Holds] = {
    Role.RECORD: "record", Role.PERSON_KEY: "record", Role.PSEUDONYM: "record", Role.CODE: "code",
}  # fmt: skip


def hub_of(configuration: Configuration) -> Hub:
    """The hub's section.

    Raises:
        ConfigurationError: There is none.
    """
    if configuration.hub is None:
        raise ConfigurationError("the configuration is not a hub's", hint="give it a section [hub]")
    return configuration.hub


def inbox(configuration: Configuration) -> Inbox:
    """The packets that were taken."""
    said = hub_of(configuration).inbox
    return Inbox(configuration.at(said if said else configuration.private / "inbox"))


def translated(configuration: Configuration) -> Path:
    """The folder of what the key holder's step makes."""
    said = hub_of(configuration).translated
    return configuration.at(said if said else configuration.private / "translated")


def contracts(configuration: Configuration) -> dict[str, Feed]:
    """The contracts of all feeds that some site may send, by the feed's name.

    Raises:
        ConfigurationError: One cannot be read, or two have one name.
    """
    found: dict[str, Feed] = {}
    for site in hub_of(configuration).sites:
        for feed in _feeds(configuration, site):
            if found.setdefault(feed.name, feed).digest != feed.digest:
                raise ConfigurationError(
                    f"two contracts have the name {feed.name}", hint="all sites send a feed by one contract"
                )
    return found


def accepts(configuration: Configuration, today: date) -> Accepts:
    """What is taken from whom.

    Args:
        configuration: The hub's.
        today: The day that revocations are judged by.

    Raises:
        ConfigurationError: A site's key, name or contract cannot be used, or a site has the domain of the ICS.
    """
    hub = hub_of(configuration)
    return Accepts([_site(configuration, each, today) for each in hub.sites], timedelta(days=hub.max_age_days))


def _site(configuration: Configuration, site: RegisteredSite, today: date) -> Site:
    if site.domain == configuration.keys.domain:
        raise ConfigurationError(
            f"site {site.name} has the domain of the ICS, so its tokens could be matched with what is published",
            hint="a site has a domain of its own, for example site:rr8",
        )
    feeds = _feeds(configuration, site)
    return Site(
        verifier=Verifier.parse(site.name, site.signs),
        domain=site.domain,
        key_id=site.key_id,
        contracts={feed.name: feed.digest for feed in feeds},
        columns={f"{feed.name} {name}": columns(t) for feed in feeds for name, t in feed.handed_over().items()},
        revoked=site.is_revoked(today),
    )


def _feeds(configuration: Configuration, site: RegisteredSite) -> list[Feed]:
    return [contract.load(each, configuration.base) for each in site.feeds]


def columns(table: Table) -> dict[str, Holds]:
    """The columns that a table's contract lets leave a site, whatever its flow leaves out, and what each holds."""
    found: dict[str, Holds] = {"token": "person"}
    for name, column in table.columns.items():
        if column.role in DROPPED or not column.published:
            continue
        if column.role is Role.FLAG and (column.removes or column.optout):
            continue
        if column.other:
            found[f"{name}_token"] = "person"
        elif column.role is not Role.PERSON:
            made = minimised(name, column.role).values() or [name]
            found |= dict.fromkeys(made, _HOLDS.get(column.role, "value"))
    if table.event:
        found["age"] = "value"
    return found
