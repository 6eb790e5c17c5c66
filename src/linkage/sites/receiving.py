"""Taking packets at the hub, and what is known of each site. No key is needed for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from linkage import config
from linkage.audit import Journal
from linkage.config import Configuration, RegisteredSite
from linkage.errors import LinkageError, told_of_the_machine
from linkage.federate import Accepts, Packet
from linkage.federate.packet import digest_of, read_packet
from linkage.federate.receive import Inbox
from linkage.sites import register
from linkage.sites import translated as kept

__all__ = ["receive", "status"]


def receive(path: str | Path, packets: Sequence[Path], now: datetime) -> Iterator[tuple[Path, Packet | LinkageError]]:
    """Take packets; each stands or falls alone.

    Args:
        path: The hub's `linkage.toml`.
        packets: Their folders, in any order: those of one site are taken by their numbers.
        now: The moment that ages are judged by, UTC.

    Yields:
        Each packet's folder, and the packet or why it was refused.

    Raises:
        ConfigurationError: The configuration is not a hub's, or the register cannot be used.
        TemporaryError: Another command receives.
    """
    configuration = config.of_kind(Path(path), "hub")
    accepts, inbox = register.accepts(configuration, now.date()), register.inbox(configuration)
    journal = Journal.of(configuration)
    with told_of_the_machine(), kept.hold(inbox.folder):
        for left in journal.unfinished(("receive",), {}):
            journal.settle(left)
        for came in sorted(packets, key=lambda each: _number(each, accepts)):
            try:
                with told_of_the_machine(), journal.act("receive", "operator") as act:
                    packet = inbox.receive(came, accepts, now)
                    act.details |= {"site": packet.site, "sequence": packet.sequence, "packet": digest_of(packet)}
                yield came, packet
            except LinkageError as error:
                yield came, error


def _number(came: Path, accepts: Accepts) -> int:
    try:
        return read_packet(came, accepts.verifiers)[0].sequence
    except LinkageError:
        return 0


def status(path: str | Path, now: datetime) -> Iterator[str]:
    """What is known of each site, in lines.

    Args:
        path: The hub's `linkage.toml`.
        now: The moment that ages are judged by, UTC.
    """
    configuration = config.of_kind(Path(path), "hub")
    accepts, inbox = register.accepts(configuration, now.date()), register.inbox(configuration)
    for site in register.hub_of(configuration).sites:
        try:
            yield from _of_site(configuration, site, accepts, inbox, now)
        except LinkageError as error:
            yield f"{site.name}: {error.message}"


def _of_site(
    configuration: Configuration, site: RegisteredSite, accepts: Accepts, inbox: Inbox, now: datetime
) -> Iterator[str]:
    if site.is_revoked(now.date()):
        yield f"{site.name}: revoked since {site.revoked}: {site.why}"
        return
    packets = inbox.taken(site.name)
    if not packets:
        yield f"{site.name}: nothing was taken; packet 1 is the next"
        return
    packet, _, own = read_packet(packets[-1], accepts.verifiers)
    found = kept.load(register.translated(configuration), site.name)
    state = "translated" if found is not None and found.packet == own else "not translated"
    try:
        accepts.check_age(packet, now)
        until = f"may be published until {min(filter(None, (packet.made + accepts.max_age, packet.good_until))):%Y-%m-%d %H:%M} UTC"
    except LinkageError:
        until = "too old to be published"
    yield f"{site.name}: packet {packet.sequence} of {packet.made:%Y-%m-%d %H:%M} UTC, {own}: {state}, {until}"
