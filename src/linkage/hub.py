"""The hub half in steps, and the folder that a run works in: from a bundle to a published snapshot.

`pipeline.py` tells the story; this is how each of its sentences is done.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import duckdb
import pyarrow.parquet as pq

from linkage import acts, held, lastrun, stopping
from linkage import link as linking
from linkage.account import Handed, account
from linkage.bundle import BundleManifest, digest, of_each
from linkage.config import Configuration
from linkage.contract import Feed
from linkage.disk import sync
from linkage.errors import ConfigurationError, IntegrityError, PolicyError, of_the_machine, told_of_the_machine
from linkage.lastrun import LastRun
from linkage.link import Coverage, FeedTable, Load, Made, MonthRows, Settled, SourcesPersons
from linkage.nights import operations, rekeyed
from linkage.nights.space import Peak
from linkage.progress import Progress, Stage
from linkage.pseudonymise import Keyset
from linkage.reasons import Reason
from linkage.sources import roster_files as rosters
from linkage.sources.roster import Roster
from linkage.store import publish as switch
from linkage.store import views
from linkage.store.export import export, export_anew
from linkage.store.layout import Store, run_id
from linkage.store.lock import hold
from linkage.store.manifest import File, PublishedTable, RunManifest

__all__ = [
    "Handed", "Linked", "WorkFolder", "account", "find_last", "keep", "link", "load_roster", "publish", "working",
]  # fmt: skip

PUBLISHED = "published"  # the file in the private folder that names the newest run that was published
ACCOUNTS = 400  # accounts of runs whose snapshots are gone, the newest


@dataclass(frozen=True, slots=True)
class WorkFolder:
    """The folder that a run works in, inside the store, owner-only, the most that it held, and what the log is told."""

    store: Store
    run_id: str
    folder: Path
    private: Path
    peak: Peak
    act: acts.Working

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
    """What the hub half made: rows and files of each table, what became of every row of the bundle, and who is known.

    `full` says why nothing was taken over from the last run; None where something was. `again` says which tables were
    settled from everything all the same, and why.
    """

    published: tuple[PublishedTable, ...]
    balances: tuple[Load, ...]
    months: tuple[MonthRows, ...] = ()
    sources: tuple[SourcesPersons, ...] = ()
    common: tuple[Coverage, ...] = ()
    full: str | None = None
    again: tuple[str, ...] = ()

    @property
    def tables(self) -> dict[str, int]:
        """Rows by table."""
        return {table.name: table.rows for table in self.published}


@contextmanager
def working(configuration: Configuration, now: datetime, act: str) -> Iterator[WorkFolder]:
    """Hold the store and work in a folder of it that is gone afterwards, whatever happens. The log is told of the act.

    Raises:
        TemporaryError: Another run holds the store, or the disk is full.
        ConfigurationError: The store's path holds something else.
    """
    store = Store(configuration.at(configuration.store.path))
    private = configuration.at(configuration.private)
    with told_of_the_machine():
        store.make()
        private.mkdir(parents=True, exist_ok=True, mode=0o700)
    with told_of_the_machine(), hold(store), acts.working(configuration, store, act) as told:
        _belong_together(store, private)
        _check_newest(store, private)
        if act != "rekey":
            rekeyed.check_finished(private, store.current())
        name = run_id(now, store.newest())
        folder = switch.begin(store, name)
        _forget_unpublished(store, private)
        try:
            with stopping.clear(folder), Peak(folder).watching() as peak:
                yield WorkFolder(store, name, folder, private, peak, told)
        finally:
            try:
                switch.end(store, name)
            except (OSError, IntegrityError):
                # Raised, it would hide why a run failed, or that one published.
                sys.stderr.write(f"warning: {folder} could not be removed: the next start removes it\n")


def _belong_together(store: Store, private: Path) -> None:
    """Refuse a private folder of another store: what belongs to no snapshot of this one would be cleared away."""
    marker, where = private / "store", os.path.relpath(store.path.resolve(), private.resolve())
    if not marker.exists():
        aside = marker.with_suffix(".new")
        aside.write_text(where + "\n", encoding="utf-8")
        aside.replace(marker)
    elif marker.read_text(encoding="utf-8").strip() != where:
        raise ConfigurationError(
            f"{private}: the private folder belongs to another store",
            hint="give each purpose a private folder of its own; where the store was moved, remove the file `store` in it",
        )


def _check_newest(store: Store, private: Path) -> None:
    """Refuse a store that lacks what the private folder saw published last: the newest roster would be cleared away.

    Raises:
        IntegrityError: Says which snapshot is missing.
    """
    marker = private / PUBLISHED
    name = marker.read_text(encoding="utf-8").strip() if marker.is_file() else ""
    # A store that names it knows of it, though somebody may have removed its folder by hand.
    there = {path.name for path in store.snapshots.iterdir()} | {store.current()}
    if name and name not in there and name not in operations.removed(private):
        raise IntegrityError(
            f"{store.path}: the snapshot {name}, which was published last, is not in it",
            hint="restore the store and the private folder from one backup; where that snapshot is lost for good, "
            f"remove the file {marker}: what the roster learned with it is then forgotten",
        )


def _mark_newest(private: Path, name: str) -> None:
    aside = private / f"{PUBLISHED}.new"
    aside.write_text(name + "\n", encoding="utf-8")
    sync(aside)
    aside.replace(private / PUBLISHED)
    sync(private)


def _forget_unpublished(store: Store, private: Path) -> None:
    """What a crashed run kept for a snapshot that was never published belongs to nothing.

    What the current run kept stays even where somebody removed its snapshot: the roster cannot be made again. The newest
    accounts of runs whose snapshots retention has removed stay as well: they hold nobody, and say what was published.
    """
    published = {path.name for path in store.snapshots.iterdir()} | {store.current()}
    accounts = published | set(sorted(operations.removed(private))[-ACCOUNTS:])
    for kept in [path for kind in ("roster", "runs", "reports", "held", "late") for path in private.glob(f"{kind}/*")]:
        if kept.stem not in (accounts if kept.parent.name == "runs" else published):
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
    work: WorkFolder,
    progress: Progress,
    last: LastRun | None = None,
) -> Linked:
    """Verify the bundle, settle its records, link them and write the snapshot's tables.

    Args:
        configuration: The purpose.
        manifest: The bundle's.
        feeds: The contracts.
        work: With the bundle.
        progress: Where stages are shown.
        last: From `find_last`, to do only what changed; the same is published without it.
    """
    work.snapshot.mkdir(mode=0o700)
    connection = linking.connect(work.folder / "work.duckdb", work.folder / "spill", configuration.memory)
    handed = [FeedTable(feeds[each.feed], feeds[each.feed].tables[each.table], each) for each in manifest.tables]
    metadata = {
        "linkage.domain": manifest.domain,
        "linkage.key_id": manifest.key_id,
        "linkage.format": "linkage-snapshot/1",
    }
    write = partial(export_anew, connection, work.snapshot, metadata=metadata)
    steps = linking.Steps(connection, work.folder / "bundle", handed, last.before if last else None, write)
    try:
        with progress.stage("checking the bundle"):
            steps.check()
        with progress.stage("settling", sum(part.kept for each in manifest.tables for part in each.parts)) as stage:
            steps.settle(stage.advance)
        with progress.stage("linking"):
            made = steps.link()
            balances = _balances(manifest, steps.settled)
            linking.make_load(connection, balances)
            months, sources = linking.count_months(connection, made["event"]), linking.count_sources(connection)
            common = linking.make_coverage(connection, sources)
            linking.make_dictionary(connection, steps.tables)
        made |= {table: linking.table_made(connection, table) for table in views.TABLES}
        rows = sum(each.rows for each in made.values())
        with progress.stage("writing Parquet", rows) as stage, linking.during("writing Parquet"):
            months_of = {each.name: each.month for each in steps.settled.values()} | _MONTHS
            published = tuple(_write(connection, metadata, made, months_of, work, stage, last))
            columns = views.columns_of(connection)
    finally:
        connection.close()
    (work.folder / "work.duckdb").unlink()
    with progress.stage("creating the database"):
        make_database(configuration, work, published, columns)
    again = tuple(f"{each.name} ({each.why})" for each in steps.settled.values() if each.why)
    return Linked(published, tuple(balances), months, sources, common, again=again)


def find_last(configuration: Configuration, manifest: BundleManifest, work: WorkFolder) -> tuple[LastRun | None, str]:
    """The last run, where a run can go on from it; else None and why not."""
    return lastrun.find(configuration, work.store, work.private, manifest.domain, manifest.key_id)


def make_database(
    configuration: Configuration, work: WorkFolder, published: Sequence[PublishedTable], columns: views.Columns
) -> None:
    """Make the snapshot's database, and try it as its readers will."""
    database = work.folder / "linked.duckdb"
    with switch.in_place(work.snapshot, work.published):
        connection = linking.connect(database, work.folder / "spill", configuration.memory)
        try:
            with linking.during("creating the database"):
                views.make_tables(connection, work.published, published, columns)
            linking.finish(connection)
        finally:
            connection.close()
        switch.check(work.published, published, database)
    database.rename(work.snapshot / "linked.duckdb")


def _balances(manifest: BundleManifest, settled: Mapping[str, Settled]) -> list[Load]:
    made = []
    for table in manifest.tables:
        result = settled.get(table.name)
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


# The columns by whose month the hub's own tables are cut into files.
_MONTHS = {"event": "start", "event_code": "month"}


def _write(
    connection: duckdb.DuckDBPyConnection,
    metadata: dict[str, str],
    tables: Mapping[str, Made],
    months: Mapping[str, str | None],
    work: WorkFolder,
    stage: Stage,
    last: LastRun | None,
) -> Iterator[PublishedTable]:
    for table, made in sorted(tables.items()):
        if made.relation is not None and not (made.linked and not _count(connection, made.relation)):
            export(connection, work.snapshot, table, months.get(table), metadata, made.relation)
        files = list(written(work.snapshot, table))
        if last is not None:
            last.carry(made.linked, work.snapshot, work.run_id)
            files += last.files(made.linked)
        published = PublishedTable(name=table, rows=made.rows, files=tuple(sorted(files, key=lambda file: file.path)))
        if sum(file.rows for file in files) != made.rows:
            raise IntegrityError(
                f"{table}: the Parquet files do not hold the table's rows", hint="nothing was published"
            )
        stage.advance(published.rows)
        yield published


def written(snapshot: Path, table: str) -> Iterator[File]:
    """The Parquet files that are in a table's folder of a snapshot, with what its account says of each."""
    paths = [*(snapshot / table).rglob("*.parquet")]
    for path, made in zip(paths, of_each(digest, paths), strict=True):
        yield File(
            path=path.relative_to(snapshot).as_posix(),
            rows=pq.read_metadata(path).num_rows,
            bytes=path.stat().st_size,
            sha256=made,
        )


def _count(connection: duckdb.DuckDBPyConnection, source: str) -> int:
    row = connection.execute(f"SELECT count(*) FROM {source}").fetchone()
    return int(row[0]) if row else 0


def check_people(configuration: Configuration, linked: Linked) -> None:
    """Refuse a snapshot of more people than the purpose may cover.

    Raises:
        PolicyError: Says how many may be covered.
    """
    population = configuration.purpose.population
    limit = population.max_people if population else None
    if limit is not None and linked.tables["person"] > limit:
        raise PolicyError(
            f"the purpose may cover {limit:,} people, and the snapshot would hold more",
            hint="narrow the flows or the population; raise purpose.population.max_people only with its document",
        )


def publish(
    configuration: Configuration,
    account_: RunManifest,
    work: WorkFolder,
    rules: held.RowRules,
) -> tuple[str, ...]:
    """Keep the roster, the exact account and the bundle, then make the snapshot the current one: the switch comes last.

    Args:
        configuration: The purpose.
        account_: The exact account.
        work: With the finished snapshot, the bundle that it was made from, and the roster.
        rules: What kept rows out of the bundle.

    Returns:
        What went wrong after the switch: the snapshot is published all the same.
    """
    keep(configuration, account_, work, rules)
    counts = {"rows": sum(each.rows for each in account_.snapshot.tables), "read": account_.read}
    about = {"key": account_.snapshot.key_id, "snapshot": account_.snapshot_digest}
    with acts.publishing(work.act, run=work.run_id, **about, **counts):
        switch.publish(work.store, work.snapshot, work.run_id)
    work.act.details["run"] = work.run_id
    try:
        _mark_newest(work.private, work.run_id)
        _tidy(configuration, account_.snapshot.started, work)
    except OSError as error:
        said = of_the_machine(error)
        what = said.message if said else type(error).__name__
        return (f"the snapshot is published, and what it replaces could not be cleared away: {what}",)
    return ()


def keep(configuration: Configuration, account_: RunManifest, work: WorkFolder, rules: held.RowRules) -> None:
    """Keep what the next run goes on from, beside what it is kept for: it counts once the store's current run is this one.

    Args: those of `publish`.
    """
    kept = work.private / "roster" / work.run_id
    kept.parent.mkdir(exist_ok=True, mode=0o700)
    shutil.move(work.folder / "roster", kept)
    kept.chmod(0o700)
    runs = work.private / "runs"
    runs.mkdir(exist_ok=True, mode=0o700)
    path = runs / f"{work.run_id}.json"
    path.touch(mode=0o600)
    path.write_text(account_.model_dump_json(indent=1), encoding="utf-8")
    for each in [path, runs, *kept.iterdir(), kept, kept.parent]:
        sync(each)
    if configuration.store.hold:
        held.keep(configuration, work.folder / "bundle", work.private, work.run_id, rules)
        sync(work.private / "held")
    sync(work.private)


def _tidy(configuration: Configuration, started: datetime, work: WorkFolder) -> None:
    """Clear away what the new snapshot replaces, once the disk has confirmed the switch; what is left goes next time."""
    sync(work.store.path)
    note = partial(operations.record, work.private, "removed")
    spared = rekeyed.spared(work.private)
    kept_runs = switch.retain(work.store, configuration.store.keep, _expired(configuration, started), note, spared)
    held.forget(work.private, work.run_id)
    for old in work.private.glob("roster/*"):
        if old.name not in kept_runs:
            shutil.rmtree(old)


def remove_snapshots(work: WorkFolder, names: Sequence[str]) -> None:
    """Remove snapshots that are not the current one, and the rosters that were kept for them."""
    note = partial(operations.record, work.private, "removed")
    switch.retain(work.store, len(list(work.store.snapshots.iterdir())), note=note, also=names)
    for name in names:
        shutil.rmtree(work.private / "roster" / name, ignore_errors=True)


def _expired(configuration: Configuration, now: datetime) -> str:
    """The moment before which snapshots are removed, as run ids are written; empty where none is set."""
    rule = configuration.purpose.retention
    return f"{now - timedelta(days=rule.days):%Y%m%dT%H%M%SZ}" if rule else ""
