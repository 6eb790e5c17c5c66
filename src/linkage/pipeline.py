"""START HERE: a whole run, from extracts to a published snapshot.

    extracts → sources → optouts → pseudonymise → bundle │ → link → store → analysts
                       site half (sees NHS numbers)      │  hub half (never sees one)

`linkage run` does both halves on one machine. Stages do not know each other: this module and its helpers join them.

    before    authority   whether the purpose's documents stand today
    site half site        the files of every flow, the roster; hide: records marked sensitive
              binding     which registers bind, and how fresh they are
              parts       rows to the parts of a bundle; withdrawn_records, handover: what later deliveries say of earlier ones
    hub half  hub         verify, settle, link, account, publish; findings: what is worth a look
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from linkage import authority, binding, bundle, config, hub, parts, rostering, site
from linkage.bundle import BundleManifest
from linkage.config import Configuration
from linkage.findings import Finding, findings_of, last_account, rows_of
from linkage.optouts.policy import Policy
from linkage.parts import Work
from linkage.progress import Progress, StageTime
from linkage.pseudonymise import Keyset
from linkage.site import Delivery
from linkage.sources import gate
from linkage.sources import roster as rosters
from linkage.sources.quality import FileQuality
from linkage.sources.resolve import people
from linkage.sources.roster import Roster

__all__ = ["RunReport", "check", "hub_half", "prepare", "run", "site_half"]

prepare = parts.prepare


@dataclass(frozen=True, slots=True)
class RunReport:
    """What a run did.

    Attributes:
        run_id: The run, and its snapshot.
        snapshot: The published folder; None after `check`.
        database: The DuckDB file in it; None after `check`.
        tables: Rows of each published table.
        read: Rows read from all extracts that go on.
        removed: Rows removed, by reason, over all tables. Exact: not for analysts.
        stages: How long each stage took.
        findings: What stands out in the quality of the extracts, the largest share first. Exact as well.
        warnings: What an information-governance lead should know of, for example an agreement that ends soon.
    """

    run_id: str
    snapshot: Path | None
    database: Path | None
    tables: dict[str, int]
    read: int
    removed: dict[str, int]
    stages: tuple[StageTime, ...]
    findings: tuple[Finding, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SiteResult:
    """What the site half hands over: the bundle's manifest, and what stays at the site."""

    bundle: BundleManifest
    delivered: tuple[Delivery, ...]
    policy: Policy
    roster: Roster
    quality: tuple[FileQuality, ...]


def run(
    path: str | Path,
    *,
    now: datetime | None = None,
    progress: Progress | None = None,
    passphrase: Callable[[], str] | None = None,
) -> RunReport:
    """Run the whole pipeline and publish a snapshot.

    Args:
        path: The `linkage.toml`.
        now: The moment that the freshness of registers is judged by, UTC; the clock when not given.
        progress: Where stages are shown; standard error when not given.
        passphrase: Asks for the keyset's passphrase; called only when the keyset needs one.

    Raises:
        LinkageError: Anything that stops a run; what was published before stays as it was.
    """
    return _run(Path(path), now or datetime.now(UTC), progress or Progress(), passphrase, publish=True)


def check(
    path: str | Path,
    *,
    now: datetime | None = None,
    progress: Progress | None = None,
    passphrase: Callable[[], str] | None = None,
) -> RunReport:
    """Do everything that `run` does, on working files that are deleted, and publish nothing."""
    return _run(Path(path), now or datetime.now(UTC), progress or Progress(), passphrase, publish=False)


def _run(
    path: Path, now: datetime, progress: Progress, passphrase: Callable[[], str] | None, *, publish: bool
) -> RunReport:
    configuration = config.load(path)
    warnings = authority.check(configuration, now.date())
    keyset = site.open_keyset(configuration, passphrase)
    with hub.working(configuration, now) as work:
        known = hub.load_roster(configuration, keyset, work)
        last = last_account(work.private, work.store.current(), configuration.quality)
        handed = site_half(configuration, keyset, known, work.folder / "bundle", now, progress, rows_of(last))
        linked = hub_half(configuration, handed, work.folder, progress)
        account = hub.account(configuration, hub.Handed.of(handed), linked, work, now, progress, last)
        if publish:
            hub.publish(configuration, partial(rosters.save, handed.roster, seal=keyset.seal), account, work)
    where = work.published if publish else None
    return RunReport(
        run_id=work.run_id,
        snapshot=where,
        database=where / "linked.duckdb" if where else None,
        tables=linked.tables,
        read=account.read,
        removed=account.removed,
        stages=tuple(progress.times),
        findings=tuple(findings_of(account)),
        warnings=warnings,
    )


def site_half(
    configuration: Configuration,
    keyset: Keyset,
    known: Roster,
    folder: Path,
    now: datetime,
    progress: Progress,
    rows_before: Mapping[tuple[str, str], int] | None = None,
) -> SiteResult:
    """From extracts to a bundle in which nobody can be recognised and nobody is who opted out."""
    with progress.stage("looking at extracts"):
        delivered = tuple(site.deliveries(configuration, now))
        gate.check_names(configuration.quality, [delivery.feed for delivery in delivered])
        for delivery in delivered:
            gate.check_rows(configuration.quality, delivery.feed, delivery.extracts, rows_before or {})
    with progress.stage("roster and opt-outs"):
        roster = rostering.roster(known, delivered, binding.type1_codes(configuration))
        who = people(roster, allow_test=configuration.allow_test_numbers)
        policy = binding.policy(configuration, delivered, roster, who, now)
    pseudonymiser = keyset.pseudonymiser(configuration.keys.domain)
    work = Work(who, policy, pseudonymiser, site.minimiser(configuration), configuration.quality)
    with progress.stage("preparing", sum(delivery.rows for delivery in delivered)) as stage:
        made = [table for delivery in delivered for table in parts.make_all(delivery, folder, work, stage)]
    binding.check_coverage(configuration, [table.parts for table in made])
    manifest = BundleManifest(
        domain=pseudonymiser.domain, key_id=pseudonymiser.key_id, tables=tuple(table.parts for table in made)
    )
    bundle.write(folder, manifest)
    return SiteResult(manifest, delivered, policy, roster, tuple(each for table in made for each in table.quality))


def hub_half(configuration: Configuration, handed: SiteResult, folder: Path, progress: Progress) -> hub.Linked:
    """From a bundle to linked tables: verify, settle, link, write."""
    manifest = bundle.read(folder / "bundle")
    feeds = {delivery.feed.name: delivery.feed for delivery in handed.delivered}
    return hub.link(configuration, manifest, feeds, folder, progress)
