"""A site's run: the site half as in any run, with the site's own keyset, and a packet of what counts now.

The site keeps its roster and what it makes increments from as a run on one machine does, in a store without snapshots whose
current run is the one that made the last packet.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from linkage import held, hub, pipeline
from linkage.begun import Begun, begin
from linkage.bundle import BundleManifest
from linkage.config import Configuration, SendingSite
from linkage.disk import sync
from linkage.errors import ConfigurationError
from linkage.federate import Evidence, Packet, pack
from linkage.federate.packet import digest_of
from linkage.hub import Handed, Linked
from linkage.increments import increment
from linkage.link import Load
from linkage.nights import telling
from linkage.outcome import RunReport
from linkage.progress import Progress
from linkage.site_steps import SiteResult
from linkage.sites import chain as chains
from linkage.sites.chain import Chain, Outbox
from linkage.store import publish as switch
from linkage.store.manifest import PublishedTable, RunManifest
from linkage.together import Together

__all__ = ["Again", "Sent", "check", "run"]


@dataclass(frozen=True, slots=True)
class Again:
    """How a packet is made in place of one that was lost or refused.

    Attributes:
        everything: Whether all parts are in it, also those that packets before have brought.
        number: The number that the hub waits for, where it is another than the next; only with everything.
        previous: The digest that the hub has of the packet before, where this site does not know it.
    """

    everything: bool = False
    number: int | None = None
    previous: str | None = None


@dataclass(frozen=True, slots=True)
class Sent:
    """What a site's run made.

    Attributes:
        report: What the site half did; its tables are those that were handed over.
        packet: The packet's folder; None after `check`.
        number: The packet's number.
        digest: The packet's digest, as the next one names it; empty after `check`.
        parts: How many parts count now.
        new: How many of them are in the packet.
        good_until: When the first opt-out register that was applied is too old, UTC; None where none can be.
    """

    report: RunReport
    packet: Path | None
    number: int
    digest: str
    parts: int
    new: int
    good_until: datetime | None


def run(
    path: str | Path,
    *,
    now: datetime | None = None,
    progress: Progress | None = None,
    passphrase: Callable[[], str] | None = None,
    full: bool = False,
    again: Again | None = None,
) -> Sent:
    """Make the next packet and put it into the outbox.

    Args:
        path: The site's `linkage.toml`.
        now: The moment that the freshness of registers is judged by, UTC; the clock when not given.
        progress: Where stages are shown; standard error when not given.
        passphrase: Asks for the keyset's passphrase.
        full: Make every part anew, as `linkage run --full`.
        again: How to make a packet for one that was lost or refused; None for the next one.

    Raises:
        ConfigurationError: The configuration is not a site's, the keyset is another site's, or a recipient is none.
        LinkageError: Anything else that stops a run; no packet is made then.
    """
    return _run(Path(path), now, progress, passphrase, full, again or Again(), send=True)


def check(
    path: str | Path,
    *,
    now: datetime | None = None,
    progress: Progress | None = None,
    passphrase: Callable[[], str] | None = None,
) -> Sent:
    """Do everything that `run` does, on working files that are deleted, and hand over nothing."""
    return _run(Path(path), now, progress, passphrase, False, Again(), send=False)


def _run(
    path: Path,
    now: datetime | None,
    progress: Progress | None,
    passphrase: Callable[[], str] | None,
    full: bool,
    again: Again,
    *,
    send: bool,
) -> Sent:
    now, progress = now or datetime.now(UTC), progress or Progress()
    if (again.number or again.previous) and not again.everything:
        raise ConfigurationError(
            "a packet of another number than the next one has to bring everything", hint="add --everything"
        )
    act = "site.run" if send else "site.check"
    with ExitStack() as stack:
        begun = begin(path, now, passphrase, stack, set(), progress, full=full, kind="site", act=act)
        site, work = _own(begun), begun.work
        if work is None:
            raise ValueError("a site's run works in a folder")
        chain = chains.load(work.private, work.store.current())
        if send:
            _outbox(begun.configuration, site).prepare(chain)
        number, previous = chain.before(again.number, again.previous)
        purposes = Together.of([path])
        handed = pipeline.site_halves(purposes, {path: begun}, now, progress).get(path)
        if handed is None:
            raise purposes.errors[path]
        account = _account(begun, handed, work, now, progress)
        packet = _packet(begun.configuration, site, handed, now, number, previous)
        warnings = (*begun.warnings, *increment.gone(handed.delivered))
        # There is no snapshot of which it could be told how large it is.
        report = replace(RunReport.of(account, progress, None, warnings=warnings), disk=None)
        known = frozenset() if again.everything or not send else chain.parts
        new = sum(digest not in known for digest in packet.parts.values())
        made = Sent(report, None, number, "", len(packet.parts), new, packet.good_until)
        if not send:
            telling.done(progress, path, account, published=False)
            return made
        with progress.stage("sealing"):
            place, own = _send(begun, handed, account, packet, chain, known)
        telling.done(progress, path, account, published=True)
    return Sent(report, place, number, own, made.parts, made.new, made.good_until)


def _own(begun: Begun) -> SendingSite:
    """The site's section, once its keyset is known to be its own."""
    site = begun.configuration.site
    if site is None or begun.keyset.domain is None:
        raise ConfigurationError(
            "a site uses a keyset of its own, and this one is a key holder's",
            hint="ask the key holder for one: `linkage keys site`",
        )
    if begun.keyset.signer().name != site.name:
        raise ConfigurationError(
            "the keyset was made for another site", hint="name the site under [site] as the key holder did"
        )
    return site


def _outbox(configuration: Configuration, site: SendingSite) -> Outbox:
    return Outbox(configuration.at(site.outbox), site.name)


def _account(begun: Begun, handed: SiteResult, work: hub.WorkFolder, now: datetime, progress: Progress) -> RunManifest:
    """The exact account of what the site did, as the next run compares with."""
    work.snapshot.mkdir(mode=0o700)
    published = tuple(
        PublishedTable(name=table.name, rows=sum(part.kept for part in table.parts), files=())
        for table in handed.bundle.tables
    )
    linked = Linked(published, tuple(_loads(handed.bundle)))
    return hub.account(begun.configuration, Handed.of(handed), linked, work, now, progress, begun.last)


def _loads(manifest: BundleManifest) -> list[Load]:
    made = []
    for table in manifest.tables:
        removed: dict[str, int] = {}
        for part in table.parts:
            for reason, rows in part.removed.items():
                removed[reason] = removed.get(reason, 0) + rows
        read, kept = (sum(getattr(part, what) for part in table.parts) for what in ("read", "kept"))
        made.append(Load(table.feed, table.table, read, kept, removed))
    return made


def _packet(
    configuration: Configuration,
    site: SendingSite,
    handed: SiteResult,
    now: datetime,
    number: int,
    previous: str | None,
) -> Packet:
    return Packet(
        site=site.name,
        sequence=number,
        previous=previous,
        made=now,
        good_until=handed.good_until,
        tool_version=version("linkage"),
        registers=tuple(Evidence(name=each.name, sha256=each.sha256, as_of=each.as_of) for each in handed.registers),
        exemptions=tuple(f"{each.optout}: {each.reference}" for each in configuration.optouts.exemptions),
        bundle=handed.bundle,
        sealed={},
    )


def _send(
    begun: Begun, handed: SiteResult, account: RunManifest, packet: Packet, chain: Chain, known: frozenset[str]
) -> tuple[Path, str]:
    """Make the packet aside, keep what the next run goes on from, name this run the current one, let the packet go."""
    configuration, work, site = begun.configuration, begun.work, begun.configuration.site
    if work is None or site is None:
        raise ValueError("a site's run works in a folder")
    outbox = _outbox(configuration, site)
    name = outbox.name(packet.sequence)
    signed = pack(work.folder / "bundle", packet, outbox.aside(name), begun.keyset.signer(), site.recipients, known)
    own = digest_of(signed)
    sent = chain.followed(packet.sequence, packet.previous, own, frozenset(packet.parts.values()), name)
    hub.keep(configuration, account, work, handed.rules)
    chains.save(sent, work.private, work.run_id)
    sync(work.private)
    switch.switch(work.store, work.run_id)
    work.act.details |= {"run": work.run_id, "packet": own, "sequence": packet.sequence, "parts": len(signed.sealed)}
    place = outbox.put(name)
    _tidy(work)
    return place, own


def _tidy(work: hub.WorkFolder) -> None:
    held.forget(work.private, work.run_id)
    for old in [*work.private.glob("roster/*"), *work.private.glob("packets/*.json")]:
        if old.name not in (work.run_id, f"{work.run_id}.json"):
            shutil.rmtree(old) if old.is_dir() else old.unlink()
