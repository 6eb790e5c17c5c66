"""What a flow and its files must keep before anything is read of them."""

from __future__ import annotations

from datetime import datetime, timedelta

from linkage.config import Flow
from linkage.contract import Feed
from linkage.errors import ConfigurationError, InputError
from linkage.sources.inspect import Extract

STAMP_AHEAD = timedelta(days=1)  # a stamp without a time zone may be some hours ahead


def check_stamp(extract: Extract, feed: Feed, now: datetime) -> None:
    """Refuse a stamp in the future: the latest delivery of a record decides, so it would decide for good."""
    if extract.delivered > now + STAMP_AHEAD:
        raise InputError(
            f"{extract.path.name}: the {'delivery stamp in its name' if feed.delivered else 'time of its modification'}"
            " lies in the future",
            hint="check the clock of this machine and of the sender; rename or remove the file",
        )


def check_flow(flow: Flow, feed: Feed) -> None:
    """A feed of pseudonyms says where opt-outs were applied; no other feed can get round them by saying so."""
    tables = feed.records().values()
    numbers = any(table.subjects or table.person_keys or table.others for table in tables)
    if not is_pseudonymised(feed):
        if flow.optouts_applied_upstream:
            raise ConfigurationError(
                f"flow {feed.name}: people arrive by NHS number, so opt-outs are applied here",
                hint="remove optouts_applied_upstream; to lift an opt-out, add an exemption with its reference",
            )
        return
    if numbers:
        raise ConfigurationError(
            f"feed {feed.name}: some tables hold pseudonyms and others NHS numbers",
            hint="make two contracts of it, so that opt-outs bind where there are numbers",
        )
    if not flow.optouts_applied_upstream:
        raise ConfigurationError(
            f"flow {feed.name}: people arrive as pseudonyms, so opt-outs cannot be applied here",
            hint='name the document that says they were: optouts_applied_upstream = "…"',
        )


def is_pseudonymised(feed: Feed) -> bool:
    """Whether people arrive as an upstream scheme's pseudonyms."""
    return any(table.pseudonyms for table in feed.tables.values())


def check_tables(flow: Flow, feed: Feed) -> None:
    """A misspelt table of a database must not be one that is silently looked for in the folder."""
    for name in flow.database.tables if flow.database else ():
        if name not in feed.tables:
            raise ConfigurationError(
                f"flow {feed.name}: database.tables: the feed has no table {name!r}",
                hint=f"one of {', '.join(feed.tables)}",
            )
