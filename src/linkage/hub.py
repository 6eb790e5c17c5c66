"""The hub half in steps, and the folder that a run works in: from a bundle to a published snapshot.

`pipeline.py` tells the story; this is how each of its sentences is done.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from linkage import authority, held
from linkage import link as linking
from linkage.bundle import BundleManifest, digest
from linkage.config import Configuration
from linkage.contract import Feed
from linkage.errors import IntegrityError
from linkage.findings import compared
from linkage.link import FeedTable, Load, Settled, suppress
from linkage.progress import Progress, Stage
from linkage.pseudonymise import Keyset
from linkage.reasons import Reason
from linkage.sources import roster as rosters
from linkage.sources.quality import FileQuality
from linkage.sources.roster import Roster
from linkage.store import publish as switch
from linkage.store.export import export, make_text_views
from linkage.store.layout import Store, run_id
from linkage.store.lock import hold
from linkage.store.manifest import (
    ColumnCount,
    DocumentUsed,
    ExactBalance,
    FeedVersion,
    File,
    FileCount,
    Input,
    PublishedTable,
    RegisterFile,
    RunManifest,
    ShownBalance,
    SnapshotManifest,
    StageSeconds,
    check_balance,
)

if TYPE_CHECKING:
    from linkage.optouts.registers import Evidence
    from linkage.pipeline import SiteResult
    from linkage.sources.select import CodeList


@dataclass(frozen=True, slots=True)
class WorkFolder:
    """The folder that a run works in, inside the store, owner-only."""

    store: Store
    run_id: str
    folder: Path
    private: Path

    @property
    def snapshot(self) -> Path:
        """The snapshot while it is built."""
        return self.folder / "snapshot"

    @property
    def published(self) -> Path:
        """Where the snapshot is once it is published."""
        return self.store.snapshots / self.run_id


@dataclass(frozen=True, slots=True)
class Linked:
    """What the hub half made: rows and files of each table, and what became of every row of the bundle."""

    published: tuple[PublishedTable, ...]
    settled: dict[tuple[str, str], Settled]

    @property
    def tables(self) -> dict[str, int]:
        """Rows by table."""
        return {table.name: table.rows for table in self.published}


@dataclass(frozen=True, slots=True)
class Handed:
    """A bundle, and what the account tells of how it came about."""

    bundle: BundleManifest
    feeds: tuple[FeedVersion, ...]
    inputs: tuple[Input, ...]
    registers: tuple[RegisterFile, ...]
    quality: tuple[ColumnCount, ...]
    files: tuple[FileCount, ...]
    from_held: str | None = None

    @classmethod
    def of(cls, made: SiteResult) -> Handed:
        """What the site half made."""
        return cls(
            bundle=made.bundle,
            feeds=tuple(
                FeedVersion(feed=each.feed.name, version=each.feed.version, contract_digest=each.feed.digest)
                for each in made.delivered
            ),
            inputs=tuple(_inputs(made)),
            registers=tuple(RegisterFile.model_validate(asdict(each)) for each in _files(made)),
            quality=tuple(ColumnCount.model_validate(asdict(each)) for file in made.quality for each in file.columns),
            files=tuple(FileCount.model_validate(_without_columns(each)) for each in made.quality),
        )


@contextmanager
def working(configuration: Configuration, now: datetime) -> Iterator[WorkFolder]:
    """Hold the store and work in a folder of it that is gone afterwards, whatever happens.

    Raises:
        TemporaryError: Another run holds the store, or the disk is full.
        ConfigurationError: The store's path holds something else.
    """
    store = Store(configuration.at(configuration.store.path))
    private = configuration.at(configuration.private)
    store.make()
    private.mkdir(parents=True, exist_ok=True, mode=0o700)
    with hold(store), switch.disk_full_is_temporary():
        name = run_id(now)
        folder = switch.begin(store, name)
        _forget_unpublished(store, private)
        try:
            yield WorkFolder(store, name, folder, private)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _forget_unpublished(store: Store, private: Path) -> None:
    """What a crashed run kept for a snapshot that was never published belongs to nothing.

    What the current run kept stays even where somebody removed its snapshot: the roster cannot be made again.
    """
    published = {path.name for path in store.snapshots.iterdir()} | {store.current()}
    for kept in [path for kind in ("roster", "runs", "held", "late") for path in private.glob(f"{kind}/*")]:
        if kept.name.removesuffix(".json") not in published:
            shutil.rmtree(kept) if kept.is_dir() else kept.unlink()


def load_roster(configuration: Configuration, keyset: Keyset, work: WorkFolder) -> Roster:
    """The roster of the current snapshot's run; an empty one before the first."""
    current = work.store.current()
    if current is None:
        return Roster.empty()
    return rosters.load(work.private / "roster" / current, keyset.unseal)


def link(
    configuration: Configuration,
    manifest: BundleManifest,
    feeds: Mapping[str, Feed],
    folder: Path,
    progress: Progress,
) -> Linked:
    """Verify the bundle, settle its records, link them and write the snapshot's tables."""
    snapshot, spill, parts = folder / "snapshot", folder / "spill", folder / "bundle"
    snapshot.mkdir()
    connection = linking.connect(snapshot / "linked.duckdb", spill, configuration.memory)
    try:
        with progress.stage("checking the bundle"):
            linking.check_tokens(connection, parts, manifest.tables)
            linking.check_no_numbers(connection, parts, manifest.tables)
        handed = [FeedTable(feeds[each.feed], feeds[each.feed].tables[each.table], each) for each in manifest.tables]
        tables = [each for each in handed if each.table.kind == "records"]
        with progress.stage("settling", sum(part.kept for each in manifest.tables for part in each.parts)) as stage:
            settled = {}
            falls = linking.find_falls(connection, parts, handed)
            for each in tables:
                settled[each.parts.feed, each.parts.table] = linking.settle(
                    connection, parts, each.parts, each.table, falls.get(each.name, ())
                )
                stage.advance(sum(part.kept for part in each.parts.parts))
        with progress.stage("linking"):
            linking.make_events(connection, tables)
            linking.make_event_codes(connection, tables)
            linking.make_persons(connection, tables)
            linking.make_registrations(connection, tables)
            linking.make_load(connection, _balances(manifest, settled))
            linking.make_coverage(connection)
            linking.make_dictionary(connection, tables)
        made = _tables(settled)
        rows = sum(_count(connection, f'"{table}"') for table in made)
        with progress.stage("writing Parquet", rows) as stage, linking.during("writing Parquet"):
            make_text_views(connection)
            published = tuple(_write(connection, manifest, made, snapshot, stage))
        linking.finish(connection)
    finally:
        connection.close()
    return Linked(published, settled)


def _balances(manifest: BundleManifest, settled: Mapping[tuple[str, str], Settled]) -> list[Load]:
    made = []
    for table in manifest.tables:
        result = settled.get((table.feed, table.table))
        # What only names deleted records has done so, and nothing of it is published.
        gone = result.removed if result else {Reason.NOTICE: sum(part.kept for part in table.parts)}
        removed = {reason.value: rows for reason, rows in gone.items() if rows}
        for part in table.parts:
            for reason, rows in part.removed.items():
                removed[reason] = removed.get(reason, 0) + rows
        made.append(
            Load(table.feed, table.table, sum(part.read for part in table.parts), result.kept if result else 0, removed)
        )
    return made


def _tables(settled: Mapping[tuple[str, str], Settled]) -> dict[str, str | None]:
    """Every table of the snapshot, and the column by whose month it is cut into files."""
    months: dict[str, str | None] = {"event": "start", "event_code": "month"}
    months |= dict.fromkeys(("person", "registration", "load", "removed", "coverage", "dictionary"))
    months |= {each.name: each.month for each in settled.values()}
    return dict(sorted(months.items()))


def _write(
    connection: duckdb.DuckDBPyConnection,
    manifest: BundleManifest,
    tables: Mapping[str, str | None],
    snapshot: Path,
    stage: Stage,
) -> Iterator[PublishedTable]:
    metadata = {
        "linkage.domain": manifest.domain,
        "linkage.key_id": manifest.key_id,
        "linkage.format": "linkage-snapshot/1",
    }
    for table, month in tables.items():
        export(connection, snapshot, table, month, metadata)
        published = _published(connection, snapshot, table)
        stage.advance(published.rows)
        yield published


def _published(connection: duckdb.DuckDBPyConnection, snapshot: Path, table: str) -> PublishedTable:
    rows = _count(connection, f'"{table}"')
    paths = sorted((snapshot / table).rglob("*.parquet"))
    files = tuple(
        File(
            path=path.relative_to(snapshot).as_posix(),
            rows=_count(connection, f"read_parquet('{path}')"),
            bytes=path.stat().st_size,
            sha256=digest(path),
        )
        for path in paths
    )
    if sum(file.rows for file in files) != rows:
        raise IntegrityError(f"{table}: the Parquet files do not hold the table's rows", hint="nothing was published")
    return PublishedTable(name=table, rows=rows, files=files)


def _count(connection: duckdb.DuckDBPyConnection, source: str) -> int:
    row = connection.execute(f"SELECT count(*) FROM {source}").fetchone()
    return int(row[0]) if row else 0


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
    balances = _balances(handed.bundle, linked.settled)
    exact = tuple(ExactBalance.model_validate(asdict(each)) for each in balances)
    check_balance(exact)
    shown = tuple(_shown(each) for each in balances)
    snapshot = SnapshotManifest(
        run_id=work.run_id,
        tool_version=version("linkage"),
        started=now,
        purpose=configuration.purpose.name,
        legal_basis=configuration.purpose.legal_basis.text,
        documents=tuple(DocumentUsed.model_validate(asdict(each)) for each in authority.documents(configuration)),
        configuration_digest=configuration.digest,
        domain=handed.bundle.domain,
        key_id=handed.bundle.key_id,
        feeds=handed.feeds,
        tables=linked.published,
        balance=shown,
    )
    path = work.snapshot / "manifest.json"
    path.write_text(snapshot.model_dump_json(indent=1), encoding="utf-8")
    made = RunManifest(
        snapshot=snapshot,
        snapshot_digest=digest(path),
        inputs=handed.inputs,
        balance=exact,
        registers=handed.registers,
        exemptions=tuple(f"{each.optout}: {each.reference}" for each in configuration.optouts.exemptions),
        quality=handed.quality,
        files=handed.files,
        stages=tuple(
            StageSeconds(name=each.name, seconds=round(each.seconds, 3), rows=each.rows) for each in progress.times
        ),
        from_held=handed.from_held,
    )
    return compared(made, last)


def _without_columns(each: FileQuality) -> dict[str, object]:
    return {name: value for name, value in asdict(each).items() if name != "columns"}


def _shown(each: Load) -> ShownBalance:
    return ShownBalance(
        feed=each.feed,
        table=each.table,
        read=suppress(each.read)[0],
        published=suppress(each.published)[0],
        removed={reason: suppress(rows)[0] for reason, rows in sorted(each.removed.items())},
    )


def _files(handed: SiteResult) -> Iterator[Evidence | CodeList]:
    """The files besides extracts that decided what is in."""
    yield from handed.policy.evidence
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


def publish(
    configuration: Configuration, keep_roster: Callable[[Path], None], account_: RunManifest, work: WorkFolder
) -> None:
    """Keep the roster, the exact account and the bundle, then make the snapshot the current one: the switch comes last.

    Args:
        configuration: The purpose.
        keep_roster: Writes the roster, encrypted, into a new folder.
        account_: The exact account.
        work: With the finished snapshot, and the bundle that it was made from.
    """
    keep_roster(work.private / "roster" / work.run_id)
    runs = work.private / "runs"
    runs.mkdir(exist_ok=True, mode=0o700)
    path = runs / f"{work.run_id}.json"
    path.touch(mode=0o600)
    path.write_text(account_.model_dump_json(indent=1), encoding="utf-8")
    for kept in [path, *(work.private / "roster" / work.run_id).iterdir()]:
        switch.sync(kept)
    if configuration.store.hold:
        held.keep(configuration, work.folder / "bundle", work.private, work.run_id)
    switch.check(work.snapshot, account_.snapshot.tables)
    switch.publish(work.store, work.snapshot, work.run_id)
    kept_runs = switch.retain(work.store, configuration.store.keep, _expired(configuration, account_.snapshot.started))
    held.forget(work.private, work.run_id)
    for old in work.private.glob("roster/*"):
        if old.name not in kept_runs:
            shutil.rmtree(old)


def _expired(configuration: Configuration, now: datetime) -> str:
    """The moment before which snapshots are removed, as run ids are written; empty where none is set."""
    rule = configuration.purpose.retention
    return f"{now - timedelta(days=rule.days):%Y%m%dT%H%M%SZ}" if rule else ""
