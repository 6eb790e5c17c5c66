"""The account that a run gives of itself: the exact one, which stays with its operators, and the one analysts may read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from typing import TYPE_CHECKING

from linkage import authority, shown
from linkage.bundle import BundleManifest, digest
from linkage.config import Configuration
from linkage.contract import Feed
from linkage.findings import compared, rows_of, summed
from linkage.nights import space
from linkage.progress import Progress
from linkage.store.manifest import (
    ColumnCount,
    DocumentUsed,
    ExactBalance,
    FeedVersion,
    FileCount,
    Input,
    MonthCount,
    RegisterFile,
    RunManifest,
    ShownSite,
    SiteTaken,
    SnapshotManifest,
    SourcesCount,
    StageSeconds,
    TableCounts,
    TableTaken,
    check_balance,
)

if TYPE_CHECKING:
    from linkage.hub import Linked, WorkFolder
    from linkage.optouts.registers import Evidence
    from linkage.site_steps import SiteResult
    from linkage.sources.select import CodeList


@dataclass(frozen=True, slots=True)
class Handed:
    """A bundle, and what the account tells of how it came about."""

    bundle: BundleManifest
    feeds: tuple[FeedVersion, ...]
    contracts: Mapping[str, Feed]
    inputs: tuple[Input, ...]
    registers: tuple[RegisterFile, ...]
    quality: tuple[ColumnCount, ...]
    files: tuple[FileCount, ...]
    from_held: str | None = None
    taken: tuple[TableTaken, ...] = ()
    made_whole: str | None = None
    sites: tuple[SiteTaken, ...] = ()

    @classmethod
    def of(cls, made: SiteResult) -> Handed:
        """What the site half made."""
        return cls(
            bundle=made.bundle,
            feeds=tuple(feed_version(each.feed) for each in made.delivered),
            contracts={each.feed.name: each.feed for each in made.delivered},
            inputs=tuple(_inputs(made)),
            registers=tuple(RegisterFile.model_validate(each, from_attributes=True) for each in _files(made)),
            quality=tuple(
                ColumnCount.model_validate(each, from_attributes=True) for file in made.quality for each in file.columns
            ),
            files=tuple(FileCount.model_validate(each, from_attributes=True) for each in made.quality),
            taken=made.taken,
            made_whole=made.made_whole,
        )


def account(
    configuration: Configuration,
    handed: Handed,
    linked: Linked,
    work: WorkFolder,
    now: datetime,
    progress: Progress,
    last: RunManifest | None,
) -> RunManifest:
    """Account for the run beside the last one, and write what analysts may read of it into the snapshot.

    Raises:
        IntegrityError: Some table's rows do not add up.
    """
    exact = tuple(ExactBalance.model_validate(each, from_attributes=True) for each in linked.balances)
    check_balance(exact)
    counted = summed(handed.files, handed.quality, handed.contracts)
    snapshot = _snapshot(configuration, handed, linked, counted, work.run_id, now)
    if last is not None:
        changes = compared(last.snapshot.quality, snapshot.quality)
        snapshot = snapshot.model_copy(update={"last_run": last.snapshot.run_id, "changes": changes})
    path, database = work.snapshot / "manifest.json", work.snapshot / "linked.duckdb"
    path.write_text(snapshot.model_dump_json(indent=1), encoding="utf-8")
    made = RunManifest(
        snapshot=snapshot,
        snapshot_digest=digest(path),
        database_digest=digest(database) if database.exists() else "",
        inputs=handed.inputs,
        balance=exact,
        registers=handed.registers,
        exemptions=tuple(f"{each.optout}: {each.reference}" for each in configuration.optouts.exemptions),
        quality=handed.quality,
        files=handed.files,
        months=tuple(MonthCount.model_validate(each, from_attributes=True) for each in linked.months),
        sources=tuple(SourcesCount.model_validate(each, from_attributes=True) for each in linked.sources),
        stages=tuple(
            StageSeconds(name=each.name, seconds=round(each.seconds, 3), rows=each.rows) for each in progress.times
        ),
        from_held=handed.from_held,
        taken=handed.taken,
        full=linked.full,
        made_whole=handed.made_whole,
        sites=handed.sites,
    )
    made = made.model_copy(update={"disk": space.use(work.peak, work.store.path, work.snapshot, made, last)})
    return _beside(last, made, counted)


def _snapshot(
    configuration: Configuration,
    handed: Handed,
    linked: Linked,
    counted: tuple[TableCounts, ...],
    run_id: str,
    now: datetime,
) -> SnapshotManifest:
    """What analysts may read of the run, small counts withheld; `counted` are the exact ones of its tables."""
    balance = shown.balance(linked.balances)
    return SnapshotManifest(
        run_id=run_id,
        tool_version=version("linkage"),
        started=now,
        purpose=configuration.purpose.name,
        legal_basis=configuration.purpose.legal_basis.text,
        documents=tuple(
            DocumentUsed.model_validate(each, from_attributes=True) for each in authority.documents(configuration)
        ),
        configuration_digest=configuration.digest,
        domain=handed.bundle.domain,
        key_id=handed.bundle.key_id,
        feeds=handed.feeds,
        tables=linked.published,
        balance=balance,
        quality=shown.tables(counted, balance),
        limits=shown.limits(configuration.quality),
        months=shown.months(linked.months),
        sources=shown.sources(linked.sources),
        common=shown.common(linked.common),
        sites=tuple(ShownSite(site=each.site, made=each.made) for each in handed.sites if each.made),
    )


def _beside(last: RunManifest | None, made: RunManifest, counted: tuple[TableCounts, ...]) -> RunManifest:
    """The account with what changed since the last run."""
    if last is None:
        return made
    changes = compared(summed(last.files, last.quality), counted, (rows_of(last), rows_of(made)))
    return made.model_copy(update={"last_run": last.snapshot.run_id, "changes": changes})


def feed_version(feed: Feed) -> FeedVersion:
    """A contract as accounts name it."""
    return FeedVersion(
        feed=feed.name, version=feed.version, contract_digest=feed.digest, title=feed.title, setting=feed.setting
    )


def _files(handed: SiteResult) -> Iterator[Evidence | CodeList]:
    """The files besides extracts that decided what is in."""
    yield from handed.registers
    for delivery in handed.delivered:
        yield from delivery.selection.lists


def _inputs(handed: SiteResult) -> Iterator[Input]:
    for delivery in handed.delivered:
        for name, extracts in delivery.extracts.items():
            for extract in extracts:
                yield Input(
                    feed=delivery.feed.name,
                    table=name,
                    file=extract.path.name,
                    bytes=extract.size,
                    sha256=extract.digest,
                    delivered=extract.delivered,
                    rows=extract.rows,
                )
