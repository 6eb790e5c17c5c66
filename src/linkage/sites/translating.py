"""The key holder's step: the newest packet of each site, from tokens of the site to tokens of the ICS. Only a key holder's
program imports this module.

Everything that the receiver checked is checked again on the bytes that are read. What is decrypted stays in memory; what is
written has tokens of the ICS alone, in their own order.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from linkage import authority, config
from linkage.audit import Journal
from linkage.bundle import PLACES, BundleManifest, Part, TableParts
from linkage.config import Configuration
from linkage.contract import Feed
from linkage.errors import ConfigurationError, IntegrityError, LinkageError, told_of_the_machine
from linkage.federate import Accepts, Packet
from linkage.federate.packet import read_packet
from linkage.federate.receive import Inbox, title
from linkage.progress import Progress, Stage
from linkage.pseudonymise.reverser import KeyHolderKeyset
from linkage.pseudonymise.translator import Translator
from linkage.sites import register
from linkage.sites import translated as kept
from linkage.sites.opening import Opener
from linkage.sites.part import Brought, TablePart, rewrite
from linkage.sites.searching import search
from linkage.sites.translated import Translated

__all__ = ["Done", "translate"]


@dataclass(frozen=True, slots=True)
class Done:
    """What became of one site.

    Attributes:
        site: Its name.
        sequence: Its newest packet; None where none was taken, or the site is revoked.
        parts: How many parts count now.
        new: How many of them were translated in this run.
        rows: Rows of those.
        error: Why nothing was translated; what was translated before stays as it was.
    """

    site: str
    sequence: int | None = None
    parts: int = 0
    new: int = 0
    rows: int = 0
    error: LinkageError | None = None


@dataclass(frozen=True, slots=True)
class _Work:
    """What all sites have in common."""

    configuration: Configuration
    keyset: KeyHolderKeyset
    opener: Opener
    accepts: Accepts
    inbox: Inbox
    folder: Path
    feeds: Mapping[str, Feed]
    journal: Journal
    stage: Stage
    full: bool


def translate(
    path: str | Path,
    *,
    now: datetime | None = None,
    progress: Progress | None = None,
    passphrase: Callable[[], str] | None = None,
    full: bool = False,
) -> tuple[Done, ...]:
    """Translate what is new of every site that is not revoked, and remove what was translated of one that is, or that the
    register does not name any more.

    Each site stands or falls alone.

    Args:
        path: The hub's `linkage.toml`.
        now: The moment that revocations are judged by, UTC; the clock when not given.
        progress: Where stages are shown; standard error when not given.
        passphrase: Asks for the keyset's passphrase.
        full: Translate every part again, also those that were translated before.

    Returns:
        What became of each, in the order of the register.

    Raises:
        KeyUnavailableError: The keyset, or what opens packets, does not open.
        TemporaryError: Another command works on what was translated.
        LinkageError: The configuration or a document of it does not stand.
    """
    now, progress = now or datetime.now(UTC), progress or Progress()
    configuration = config.of_kind(Path(path), "hub")
    authority.check(configuration, now.date())
    accepts, folder = register.accepts(configuration, now.date()), register.translated(configuration)
    keyset = _keyset(configuration, passphrase)
    done = []
    with told_of_the_machine(), kept.hold(folder), progress.stage("translating") as stage:
        work = _Work(
            configuration, keyset, Opener.of(configuration), accepts, register.inbox(configuration), folder,
            register.contracts(configuration), Journal.of(configuration), stage, full,
        )  # fmt: skip
        kept.forget_others(folder, {site.verifier.name for site in accepts.sites})
        for site in accepts.sites:
            name = site.verifier.name
            if site.revoked:
                shutil.rmtree(kept.at(folder, name), ignore_errors=True)
                done.append(Done(name))
                continue
            try:
                with told_of_the_machine():
                    done.append(_site(work, name))
            except LinkageError as error:
                done.append(Done(name, error=error))
    return tuple(done)


def _keyset(configuration: Configuration, passphrase: Callable[[], str] | None) -> KeyHolderKeyset:
    keys = configuration.keys
    identity = configuration.at(keys.identity) if keys.identity else None
    keyset = KeyHolderKeyset.open(keys.keyset, identity=identity, passphrase=passphrase, base=configuration.base)
    if keyset.domain is not None:
        raise ConfigurationError(
            "tokens are translated with the key holder's keyset, and this one is a site's", hint="correct [keys]"
        )
    return keyset


def _site(work: _Work, name: str) -> Done:
    """Translate a site's newest packet.

    Raises:
        IntegrityError: A packet, a part or a token is not what it should be.
        LinkageError: The packet may not be sent by that site.
    """
    packets = work.inbox.taken(name)
    if not packets:
        return Done(name)
    packet, own = _newest(work, name, packets)
    before, domain = kept.load(work.folder, name), work.configuration.keys.domain
    target = (domain, work.keyset.version_of(domain).id)
    same = before is not None and (before.bundle.domain, before.bundle.key_id) == target
    parts = len(packet.parts)
    if before is not None and same and before.packet == own and before.is_there(work.folder) and not work.full:
        return Done(name, packet.sequence, parts)
    number = kept.free(work.folder, name) if before is None else before.number
    known = before.known if before is not None and same and not work.full else {}
    place = kept.at(work.folder, name)
    (place / "parts").mkdir(parents=True, exist_ok=True, mode=0o700)
    # The folder is held, so whatever the log knows the intent of alone was cut off by a crash.
    for left in work.journal.unfinished(("translate",), {"site": name}):
        work.journal.settle(left)
    with work.journal.act(
        "translate", f"key-holder {target[1]}", site=name, packet=own, sequence=packet.sequence
    ) as act:
        made = _Made(work, packet, Brought.of(packets, work.accepts.verifiers), place, number, dict(known))
        try:
            bundle = BundleManifest(
                domain=target[0], key_id=target[1], tables=tuple(map(made.table, packet.bundle.tables))
            )
            found = _translated(packet, own, number, bundle)
            search(found, work.folder, made.new, work.configuration.memory)
        except LinkageError:
            made.take_back(before)
            raise
        act.details |= {"parts": parts, "new": len(made.new), "rows": made.rows}
    kept.save(work.folder, found)
    kept.clear(work.folder, found)
    return Done(name, packet.sequence, parts, len(made.new), made.rows)


def _translated(packet: Packet, own: str, number: int, bundle: BundleManifest) -> Translated:
    return Translated(
        site=packet.site,
        number=number,
        sequence=packet.sequence,
        packet=own,
        made=packet.made,
        good_until=packet.good_until,
        registers=packet.registers,
        exemptions=packet.exemptions,
        tool_version=version("linkage"),
        bundle=bundle,
        files=packet.parts,
    )


def _newest(work: _Work, name: str, packets: list[Path]) -> tuple[Packet, str]:
    packet, signer, own = read_packet(packets[-1], work.accepts.verifiers)
    if packet.site != name or packet.sequence != len(packets):
        raise IntegrityError(
            f"{packets[-1]}: another packet than its place says", hint="find out who could write there"
        )
    work.accepts.check_source(packet, signer)
    return packet, own


@dataclass(slots=True)
class _Made:
    """The parts of one packet, translated on the way.

    Attributes:
        known: The digest of the translated part by that of the site's.
        new: The digests of the site's parts that were translated.
        rows: Their rows.
    """

    work: _Work
    packet: Packet
    brought: Brought
    place: Path
    number: int
    known: dict[str, str]
    new: set[str] = field(default_factory=set)
    rows: int = 0

    def take_back(self, before: Translated | None) -> None:
        """Remove what was translated, but for what a packet has that counts: there may be numbers of people in it."""
        for each in self.new - set(before.files.values() if before is not None else ()):
            (self.place / kept.name_of(each)).unlink(missing_ok=True)

    def table(self, parts: TableParts) -> TableParts:
        """The parts of a table with tokens of the ICS."""
        feed = self.work.feeds[parts.feed]
        name = parts.table
        about = TablePart.of(parts, feed.tables[name], self._translator())
        made = tuple(self._part(about, part) for part in parts.parts)
        listing = parts.submissions
        if listing is not None:
            about = TablePart.of_submissions(parts, feed.tables[name], self._translator())
            listed = tuple(self._part(about, part) for part in listing.parts)
            listing = listing.model_copy(update={"parts": listed})
        return parts.model_copy(update={"parts": made, "submissions": listing})

    def _translator(self) -> Translator:
        return Translator.open(self.work.keyset, self.packet.bundle.domain, self.work.configuration.keys.domain)

    def _part(self, about: TablePart, part: Part) -> Part:
        if not 0 <= part.place < PLACES:
            raise IntegrityError(
                f"{title(self.packet)}: {part.path} has a place that no file has", hint="ask the site to run again"
            )
        target = self.place / kept.name_of(part.digest)
        if part.digest not in self.known or not target.is_file():
            opened = self.brought.opened(part, self.work.opener, title(self.packet))
            self.known[part.digest] = rewrite(opened, about, part, self.number * PLACES, target)
            self.new.add(part.digest)
            self.rows += part.kept
            self.work.stage.advance(part.kept)
        moved = {"digest": self.known[part.digest], "place": self.number * PLACES + part.place}
        return part.model_copy(update=moved)
