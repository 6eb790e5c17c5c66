"""Linking a held bundle again, with what became known since: no extract is read and no key is needed.

linkage optouts tokens   the key holder's step: registers and replaced numbers become token lists (`late`)
linkage run --from-held  this: the lists reach every row by token (`link.withdraw`), then the hub half as in any run
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from linkage import authority, bundle, config, contract, handover, held, hub
from linkage.bundle import BundleManifest, TableParts
from linkage.config import Configuration
from linkage.contract import Feed
from linkage.errors import ConfigurationError, IntegrityError
from linkage.findings import last_account
from linkage.link.withdraw import withdraw
from linkage.nights import lake, telling
from linkage.outcome import Outcome, RunReport
from linkage.progress import Progress
from linkage.sources import select
from linkage.store.manifest import RunManifest
from linkage.together import Together

__all__ = ["relink", "relink_all"]


def relink(path: str | Path, *, now: datetime | None = None, progress: Progress | None = None) -> RunReport:
    """Publish a new snapshot from the held bundle of the current one, without those who may no longer be used.

    The held bundle becomes what is left of it: nobody comes back but through a new extract.

    Args:
        path: The `linkage.toml`.
        now: The moment that ages are judged by, UTC; the clock when not given.
        progress: Where stages are shown; standard error when not given.

    Raises:
        PolicyError: A document has ended, or the token lists are missing, too old or made for something else.
        LinkageError: Anything else that stops it; what was published before stays as it was.
    """
    now, progress = now or datetime.now(UTC), progress or Progress()
    configuration = config.of_kind(Path(path), "machine")
    warnings = authority.check(configuration, now.date())
    with hub.working(configuration, now, "relink") as work:
        telling.begun(progress, path, work.run_id, configuration.purpose.name, warnings)
        tables = lake.of(configuration)
        found = held.find(configuration, work.private, work.store.current())
        last = _account(work, configuration, found.run_id)
        folder = work.folder / "bundle"
        manifest = held.copy(work.private, found, folder)
        feeds = _feeds(configuration, manifest)
        lists, about = held.read_lists(configuration, work.private, found, manifest, now)
        with progress.stage("withdrawing", sum(part.kept for table in manifest.tables for part in table.parts)):
            manifest = _logs(folder, withdraw(folder, manifest, feeds, lists), feeds)
            bundle.write(folder, manifest)
        before, why = hub.find_last(configuration, manifest, work)
        linked = replace(hub.link(configuration, bundle.read(folder), feeds, work, progress, before), full=why or None)
        hub.check_people(configuration, linked)
        handed = _handed(found, manifest, feeds, last, about)
        with progress.stage("accounting"):
            account = hub.account(configuration, handed, linked, work, now, progress, last)
        # The roster that the token lists came with is the newest; it stays encrypted.
        shutil.copytree(work.private / "late" / found.run_id / "roster", work.folder / "roster")
        with progress.stage("publishing"):
            late = hub.publish(configuration, account, work, found.rules)
        behind = lake.follow(tables, work.store, work.private)
        telling.done(progress, path, account, published=True)
    return RunReport.of(account, progress, work.published, warnings=warnings + late, again=linked.again, behind=behind)


def relink_all(
    paths: Sequence[str | Path], *, now: datetime | None = None, progress: Progress | None = None
) -> tuple[Outcome, ...]:
    """Link the held bundles of several purposes again; each stands or falls alone, as in `pipeline.run_all`."""
    purposes = Together.of(paths)
    shown = progress or Progress()
    reports = purposes.each(lambda path: relink(path, now=now, progress=Progress(shown.console, tell=shown.tell)))
    return tuple(Outcome(Path(path), reports.get(Path(path)), purposes.errors.get(Path(path))) for path in paths)


def _account(work: hub.WorkFolder, configuration: Configuration, run_id: str) -> RunManifest:
    last = last_account(work.private, run_id, configuration.quality)
    if last is None:
        raise IntegrityError(
            f"{run_id}.json: the account of the run whose bundle is held is missing or damaged",
            hint="restore it to the private folder, or run over the extracts",
        )
    return last


def _handed(
    found: held.Held, manifest: BundleManifest, feeds: Mapping[str, Feed], last: RunManifest, about: held.LateLists
) -> hub.Handed:
    """What the account tells of the bundle: as the last one does, with the registers that the lists were made from."""
    return hub.Handed(
        bundle=manifest,
        feeds=last.snapshot.feeds,
        contracts=feeds,
        inputs=last.inputs,
        registers=about.registers,
        quality=last.quality,
        files=last.files,
        from_held=found.run_id,
    )


def _feeds(configuration: Configuration, manifest: BundleManifest) -> Mapping[str, Feed]:
    """The contracts of the flows, as the bundle was made by.

    Raises:
        ConfigurationError: One was changed since.
    """
    loaded = [(contract.load(flow.feed, configuration.base), flow) for flow in configuration.flows]
    by_codes = configuration.optouts.restricted is not None
    feeds = {feed.name: select.narrowed(feed, flow, by_codes=by_codes) for feed, flow in loaded}
    for table in manifest.tables:
        if table.feed not in feeds or feeds[table.feed].digest != table.contract_digest:
            raise ConfigurationError(
                f"the contract of {table.feed} changed since the bundle was made", hint="run over the extracts"
            )
    return feeds


def _logs(folder: Path, manifest: BundleManifest, feeds: Mapping[str, Feed]) -> BundleManifest:
    """Of logs of deletions, only what names a record that is still there: the rest would tell of those who left."""
    records = {(each.feed, each.table): each for each in manifest.tables}

    def left(parts: TableParts) -> TableParts:
        feed = feeds[parts.feed]
        if feed.tables[parts.table].kind != "deletions" or not parts.parts:
            return parts
        return handover.about_kept(folder, feed, parts, {name: records[feed.name, name] for name in feed.records()})

    return manifest.model_copy(update={"tables": tuple(left(each) for each in manifest.tables)})
