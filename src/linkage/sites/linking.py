"""Linking what all sites handed over: no key is needed, and the hub half is that of any run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from linkage import authority, bundle, config, held, hub
from linkage.account import feed_version
from linkage.bundle import BundleManifest
from linkage.config import Configuration
from linkage.errors import IntegrityError, TemporaryError
from linkage.findings import last_account
from linkage.nights import lake, telling
from linkage.outcome import RunReport
from linkage.progress import Progress
from linkage.sites import register
from linkage.sites.together import Gathered, gather, with_people
from linkage.store.manifest import Input, RegisterFile, SiteTaken

__all__ = ["LinkReport", "link"]


@dataclass(frozen=True, slots=True)
class LinkReport:
    """What a link did.

    Attributes:
        report: As of any run.
        sites: What is told of each site in the account, in the order of the register.
    """

    report: RunReport
    sites: tuple[SiteTaken, ...]


def link(
    path: str | Path,
    *,
    now: datetime | None = None,
    progress: Progress | None = None,
    full: bool = False,
    publish: bool = True,
) -> LinkReport:
    """Link the translated packets of all sites that are not revoked, and publish a snapshot.

    Args:
        path: The hub's `linkage.toml`.
        now: The moment that ages and revocations are judged by, UTC; the clock when not given.
        progress: Where stages are shown; standard error when not given.
        full: Link everything anew; else what did not change is taken over from the last snapshot, with the same result.
        publish: False does all the rest, on working files that are deleted.

    Raises:
        PolicyError: A document does not stand, or a site's packet or its opt-outs are too old.
        LinkageError: Anything else that stops it; what was published before stays as it was.
    """
    now, progress = now or datetime.now(UTC), progress or Progress()
    configuration = config.of_kind(Path(path), "hub")
    warnings = authority.check(configuration, now.date())
    behind: TemporaryError | None = None
    with hub.working(configuration, now, "link" if publish else "check") as work:
        telling.begun(progress, path, work.run_id, configuration.purpose.name, warnings)
        last = last_account(work.private, work.store.current(), configuration.quality)
        tables, folder = lake.of(configuration), work.folder / "bundle"
        with progress.stage("gathering"):
            gathered = gather(configuration, now, folder)
        bundle.write(folder, gathered.manifest)
        before, why = (None, "it was asked for") if full else hub.find_last(configuration, gathered.manifest, work)
        manifest = _read(folder)
        told = with_people(gathered, folder)
        handed = _handed(configuration, gathered, told)
        linked = replace(hub.link(configuration, manifest, handed.contracts, work, progress, before), full=why or None)
        hub.check_people(configuration, linked)
        account = hub.account(configuration, handed, linked, work, now, progress, last)
        work.act.details["packets"] = tuple(f"{each.site} {each.sequence}" for each in gathered.counted)
        if publish:
            # Rosters stay with the sites; a run keeps one, and this one is empty.
            (work.folder / "roster").mkdir(mode=0o700)
            warnings += hub.publish(configuration, account, work, held.RowRules())
            behind = lake.follow(tables, work.store, work.private)
        telling.done(progress, path, account, published=publish)
    report = RunReport.of(
        account,
        progress,
        work.published if publish else None,
        warnings=(*warnings, *_absent(gathered)),
        again=linked.again,
        behind=behind,
    )
    return LinkReport(report, told)


def _read(folder: Path) -> BundleManifest:
    try:
        return bundle.read(folder)
    except IntegrityError as error:
        raise IntegrityError(
            error.message,
            hint="find out who could write to what was translated, then translate all of it: `linkage hub translate --full`",
        ) from None


def _handed(configuration: Configuration, gathered: Gathered, told: tuple[SiteTaken, ...]) -> hub.Handed:
    """What the account tells of how the bundle came about."""
    contracts = register.contracts(configuration)
    feeds = sorted({table.feed for table in gathered.manifest.tables})
    return hub.Handed(
        bundle=gathered.manifest,
        feeds=tuple(feed_version(contracts[name]) for name in feeds),
        contracts={name: contracts[name] for name in feeds},
        inputs=tuple(_inputs(gathered)),
        registers=tuple(_registers(gathered)),
        quality=(),
        files=(),
        sites=told,
    )


def _inputs(gathered: Gathered) -> Iterator[Input]:
    """The extracts of all sites. How large they were stays with the sites."""
    for table in gathered.manifest.tables:
        for part in table.parts:
            yield Input(
                feed=table.feed,
                table=table.table,
                file=part.source,
                bytes=0,
                sha256=part.source_digest,
                delivered=part.delivered,
                rows=part.read,
            )


def _registers(gathered: Gathered) -> Iterator[RegisterFile]:
    """The registers that the sites applied. What was in them stays with the sites."""
    for each in gathered.counted:
        for found in each.registers:
            name = f"{each.site}: {found.name}"
            yield RegisterFile(name=name, file="", sha256=found.sha256, as_of=found.as_of, numbers=0)


def _absent(gathered: Gathered) -> Iterator[str]:
    """Sites of which nothing is in the snapshot, and why."""
    for each in gathered.sites:
        if each.revoked is not None:
            yield f"nothing of {each.site} is in it: revoked since {each.revoked}, {each.why}"
        elif each.sequence is None:
            yield f"nothing of {each.site} is in it: no packet of it was received and translated"
