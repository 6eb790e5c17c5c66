"""START HERE: a whole run, from extracts to a published snapshot.

    extracts → sources → optouts → pseudonymise → bundle │ → link → store → analysts
                       site half (sees NHS numbers)      │  hub half (never sees one)

`linkage run` does both halves on one machine. Stages do not know each other: this module and its helpers join them.

    before    authority   whether the purpose's documents stand today
              together    several purposes: each stands or falls alone, what they have in common is read once
    site half site        the files of every flow, the roster; hide: records marked sensitive
              binding     which registers bind, and how fresh they are
              parts       rows to the parts of a bundle; withdrawn_records, handover: what later deliveries say of earlier ones
    hub half  hub         verify, settle, link, account, publish; findings: what is worth a look
    nightly   increments  at the site, what stands from the last run, what is carried over by token, what is made again
              lastrun     at the hub, the last snapshot, whose files are linked where no change reaches
              nights      past runs, going back, disk space, and what machines are told of a run
    apart     sites       the two halves on machines of their own, with packets between them
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from linkage import (  # fmt: skip
    authority,
    binding,
    bundle,
    config,
    freshness,
    held,
    hub,
    parts,
    rostering,
    site,
    together,
)
from linkage.bundle import BundleManifest
from linkage.config import Configuration
from linkage.errors import ConfigurationError, LinkageError, TemporaryError
from linkage.findings import Finding, findings_of, last_account, rows_of
from linkage.increments import increment, taken  # fmt: skip
from linkage.increments import judged as decided
from linkage.increments.judged import Judged
from linkage.increments.plans import FeedPlan
from linkage.increments.taken import Memory, Taken
from linkage.jobs import Job, Made
from linkage.nights import lake, rollback, space, telling  # fmt: skip
from linkage.optouts.registers import Evidence
from linkage.parts import Work
from linkage.progress import Progress, StageTime
from linkage.pseudonymise import Keyset
from linkage.site import Delivery, Shared
from linkage.sources import gate
from linkage.sources import roster as rosters
from linkage.sources.quality import FileQuality
from linkage.sources.resolve import people
from linkage.sources.roster import Roster
from linkage.store.delta import Lake
from linkage.store.manifest import DiskUse, RunManifest, TableTaken
from linkage.together import Together

__all__ = [
    "Begun", "Outcome", "RunReport", "SiteResult", "begin", "check", "hub_half", "prepare", "run", "run_all", "site_half",
    "site_halves",
]  # fmt: skip

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
        behind: Why the Delta tables could not follow the published snapshot; None where they did, or there are none.
        disk: What it took of the disk.
        taken: What was made of the extracts of each table, and what stood of the last run.
        again: What was settled from everything although there was a last run, and why.
        made_whole: Why nothing stood of the last run; None where something may have.
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
    behind: TemporaryError | None = None
    taken: tuple[TableTaken, ...] = ()
    again: tuple[str, ...] = ()
    made_whole: str | None = None
    disk: DiskUse | None = None


@dataclass(frozen=True, slots=True)
class SiteResult:
    """What the site half hands over: the bundle's manifest, and what the account tells of how it came about.

    The roster and what rows were decided by are on the disk by then, encrypted: they are as large as all that follows.
    """

    bundle: BundleManifest
    delivered: tuple[Delivery, ...]
    registers: tuple[Evidence, ...]
    rules: held.RowRules
    quality: tuple[FileQuality, ...]
    taken: tuple[TableTaken, ...]
    made_whole: str | None
    good_until: datetime | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one purpose in a run of several: a report, or why there is none."""

    path: Path
    report: RunReport | None
    error: LinkageError | None


@dataclass(frozen=True, slots=True)
class Begun:
    """One purpose, ready to read: its documents stand, its keyset is open, its store is held.

    Attributes:
        known: Reads the roster of the last run.
        folder: Where the bundle is made; what stays at the site is made beside it, in `site` and `roster`.
        site: Accounts and lists of this run.
    """

    configuration: Configuration
    warnings: tuple[str, ...]
    keyset: Keyset
    known: Callable[[], Roster]
    folder: Path
    site: Path
    memory: Memory
    work: hub.WorkFolder | None = None
    last: RunManifest | None = None
    lake: Lake | None = None
    path: Path = Path()
    full: bool = False


def run(
    path: str | Path,
    *,
    now: datetime | None = None,
    progress: Progress | None = None,
    passphrase: Callable[[], str] | None = None,
    full: bool = False,
) -> RunReport:
    """Run the whole pipeline and publish a snapshot.

    Args:
        path: The `linkage.toml`.
        now: The moment that the freshness of registers is judged by, UTC; the clock when not given.
        progress: Where stages are shown; standard error when not given.
        passphrase: Asks for the keyset's passphrase; called only when the keyset needs one.
        full: Make everything anew; else the parts of the last run that still stand are taken over, with the same result.

    Raises:
        LinkageError: Anything that stops a run; what was published before stays as it was.
    """
    return _only(run_all([path], now=now, progress=progress, passphrase=passphrase, full=full))


def check(
    path: str | Path,
    *,
    now: datetime | None = None,
    progress: Progress | None = None,
    passphrase: Callable[[], str] | None = None,
) -> RunReport:
    """Do everything that `run` does, on working files that are deleted, and publish nothing."""
    return _only(run_all([path], now=now, progress=progress, passphrase=passphrase, publish=False))


def run_all(
    paths: Sequence[str | Path],
    *,
    now: datetime | None = None,
    progress: Progress | None = None,
    passphrase: Callable[[], str] | None = None,
    publish: bool = True,
    full: bool = False,
) -> tuple[Outcome, ...]:
    """Run several purposes. Extracts that they have in common, by one contract, are read and cleaned once.

    Each purpose stands or falls alone: one that is refused publishes nothing, and the others publish what they would
    have published without it.

    Args:
        paths: The `linkage.toml` of each. One that shares its store, its private folder or its token domain with one
            before it is refused.
        now: As in `run`.
        progress: As in `run`.
        passphrase: As in `run`.
        publish: False does all the rest, as `check`.
        full: As in `run`.

    Returns:
        What became of each, in the order given.

    Raises:
        ConfigurationError: Two of them are one file.
    """
    now, progress = now or datetime.now(UTC), progress or Progress()
    purposes = Together.of(paths)
    with ExitStack() as stack:
        places: set[Path | str] = set()
        act = "run" if publish else "check"
        begun = purposes.each(lambda path: begin(path, now, passphrase, stack, places, progress, full=full, act=act))
        handed = site_halves(purposes, begun, now, progress)
        reports = purposes.each(
            lambda path: _finish(begun[path], handed[path], now, progress.branch(len(begun), path), publish=publish)
        )
        for path, each in begun.items():
            if each.work is not None:
                each.work.act.error = purposes.errors.get(path)
    return tuple(Outcome(Path(path), reports.get(Path(path)), purposes.errors.get(Path(path))) for path in paths)


def _only(outcomes: Sequence[Outcome]) -> RunReport:
    for each in outcomes:
        if each.error is not None:
            raise each.error
    return next(each.report for each in outcomes if each.report is not None)


def begin(
    path: Path,
    now: datetime,
    passphrase: Callable[[], str] | None,
    stack: ExitStack,
    places: set[Path | str],
    progress: Progress,
    *,
    full: bool,
    kind: Literal["machine", "site"] = "machine",
    act: str = "run",
) -> Begun:
    """One purpose, ready to read, until the stack is closed.

    Args:
        path: The `linkage.toml`.
        now: As in `run`.
        passphrase: As in `run`.
        stack: What holds the store.
        places: The stores, private folders and domains of purposes before it.
        progress: As in `run`.
        full: As in `run`.
        kind: Of which kind the configuration has to be.
        act: What the log is told of it.
    """
    configuration = config.of_kind(path, kind)
    warnings = authority.check(configuration, now.date())
    _take(configuration, places)
    keyset = site.open_keyset(configuration, passphrase)
    work = stack.enter_context(hub.working(configuration, now, act))
    with work.act.noted():
        telling.begun(progress, path, work.run_id, configuration.purpose.name, warnings)
        known = partial(hub.load_roster, configuration, keyset, work)
        last = last_account(work.private, work.store.current(), configuration.quality)
        memory = held.memory(work.private, work.store.current(), keyset.unseal)
    if full:
        memory = Memory.nothing("a full run was asked for")
    tables = lake.of(configuration)
    bundle_folder, site_folder = work.folder / "bundle", work.folder / "site"
    return Begun(
        configuration, warnings, keyset, known, bundle_folder, site_folder, memory, work, last, tables, path, full
    )


def _take(configuration: Configuration, taken: set[Path | str]) -> None:
    """Refuse a purpose that would write where another of the same run does, or give people the same tokens."""
    if configuration.keys.domain in taken:
        raise ConfigurationError(
            "another purpose of this run has the same token domain, so their people could be matched",
            hint="give each purpose a domain of its own under [keys]",
        )
    places = (configuration.store.path, configuration.private, configuration.store.delta)
    own = {configuration.at(path).resolve() for path in places if path is not None}
    if own & taken:
        raise ConfigurationError(
            "another purpose of this run has the same store, private folder or folder of Delta tables",
            hint="give each purpose a store, a private folder and Delta tables of its own",
        )
    taken |= {*own, configuration.keys.domain}


def _finish(begun: Begun, handed: SiteResult, now: datetime, progress: Progress, *, publish: bool) -> RunReport:
    configuration, work = begun.configuration, begun.work
    if work is None:
        raise ValueError("a site half alone has no store to finish in")
    linked = hub_half(configuration, handed, work, progress, full=begun.full)
    hub.check_people(configuration, linked)
    with progress.stage("accounting"):
        account = hub.account(configuration, hub.Handed.of(handed), linked, work, now, progress, begun.last)
    late: tuple[str, ...] = ()
    if publish:
        with progress.stage("publishing"):
            late = hub.publish(configuration, account, work, handed.rules)
    behind = lake.follow(begun.lake, work.store, work.private) if publish else None
    where = work.published if publish else None
    telling.done(progress, begun.path, account, published=publish)
    return RunReport(
        run_id=work.run_id,
        snapshot=where,
        database=where / "linked.duckdb" if where else None,
        tables=linked.tables,
        read=account.read,
        removed=account.removed,
        stages=tuple(progress.times),
        findings=tuple(findings_of(account)),
        warnings=(*begun.warnings, *increment.gone(handed.delivered), *late),
        taken=handed.taken,
        again=linked.again,
        made_whole=handed.made_whole,
        behind=behind,
        disk=account.disk,
    )


def site_half(
    configuration: Configuration, keyset: Keyset, known: Roster, folder: Path, now: datetime, progress: Progress
) -> SiteResult:
    """From extracts to a bundle in which nobody can be recognised and nobody is who opted out."""
    purposes = Together.of([""])
    with TemporaryDirectory() as site_folder:
        memory = Memory.nothing("nothing is known of earlier runs")
        begun = {
            path: Begun(configuration, (), keyset, lambda: known, folder, Path(site_folder) / "site", memory)
            for path in purposes.paths
        }
        made = site_halves(purposes, begun, now, progress)
    for error in purposes.errors.values():
        raise error
    return next(iter(made.values()))


def site_halves(
    purposes: Together, begun: Mapping[Path, Begun], now: datetime, progress: Progress
) -> dict[Path, SiteResult]:
    """The site half of every purpose; what they have in common is read once."""
    shared: dict[tuple[Path, str], Shared] | None = {} if len(begun) > 1 else None
    with progress.stage("looking at extracts"):
        delivered = purposes.each(lambda path: _look(begun[path], now, shared, progress))
    for path in purposes.paths:
        telling.files(progress, path, delivered[path], begun[path].last)
    with progress.stage("roster and opt-outs"):
        judged = purposes.each(lambda path: _judge(begun[path], delivered[path], now))
        plans = purposes.each(lambda path: _plan(begun[path], judged[path], delivered[path]))
    jobs = {path: list(_jobs(begun[path], judged[path], delivered[path], plans[path])) for path in purposes.paths}
    with progress.stage("preparing", together.rows(jobs)) as stage:
        made = together.make(purposes, jobs, stage)
    with progress.stage("handing over"):
        return purposes.each(
            lambda path: _hand_over(begun[path], judged[path], delivered[path], plans[path], made[path])
        )


def _jobs(begun: Begun, judged: _Judged, delivered: Sequence[Delivery], plans: Sequence[FeedPlan]) -> Iterator[Job]:
    begun.site.mkdir(exist_ok=True, mode=0o700)
    for delivery, plan in zip(delivered, plans, strict=True):
        yield Job(delivery, begun.folder, begun.site, judged.work, plan, begun.keyset.seal)


def _look(
    begun: Begun, now: datetime, shared: dict[tuple[Path, str], Shared] | None, progress: Progress
) -> tuple[Delivery, ...]:
    configuration = begun.configuration
    delivered = tuple(site.deliveries(configuration, now, shared=shared, memory=begun.memory))
    if begun.work is not None:
        rollback.check_taken(begun.work.private, begun.work.store.current(), delivered, begun.last)
        scarce = space.check(begun.work, delivered, begun.last, full=begun.memory.why is not None)
        telling.warn(progress, begun.path, scarce)
    gate.check_names(configuration.quality, [delivery.feed for delivery in delivered])
    for delivery in delivered:
        gate.check_rows(configuration.quality, delivery.feed, delivery.extracts, rows_of(begun.last))
    return delivered


@dataclass(frozen=True, slots=True)
class _Judged:
    roster: Roster
    work: Work
    good_until: datetime | None


def _judge(begun: Begun, delivered: Sequence[Delivery], now: datetime) -> _Judged:
    configuration = begun.configuration
    roster = rostering.roster(begun.known(), delivered, binding.type1_codes(configuration))
    who = people(roster, allow_test=configuration.allow_test_numbers)
    policy = binding.policy(configuration, delivered, roster, who, now)
    pseudonymiser = begun.keyset.pseudonymiser(configuration.keys.domain)
    work = Work(who, policy, pseudonymiser, site.minimiser(configuration), configuration.quality)
    good_until = min(freshness.ends(configuration, policy, delivered, now), default=None)
    return _Judged(roster, work, good_until)


def _plan(begun: Begun, judged: _Judged, delivered: Sequence[Delivery]) -> list[FeedPlan]:
    """Which parts of the last bundle stand, beside what it was decided by."""
    between = increment.between(begun.memory, Judged.of(judged.work))
    return [increment.plan(each, judged.work, between) for each in delivered]


def _hand_over(
    begun: Begun,
    judged: _Judged,
    delivered: tuple[Delivery, ...],
    plans: Sequence[FeedPlan],
    made: Sequence[Made],
) -> SiteResult:
    site.check_unchanged(delivered)
    binding.check_coverage(begun.configuration, [table.parts for table in made])
    pseudonymiser = judged.work.pseudonymiser
    manifest = BundleManifest(
        domain=pseudonymiser.domain, key_id=pseudonymiser.key_id, tables=tuple(table.parts for table in made)
    )
    bundle.write(begun.folder, manifest)
    quality = tuple(each for table in made for each in table.quality)
    account = increment.account(delivered, plans, made, binding.type1_codes(begun.configuration))
    account = account.model_copy(update={"bundle_digest": bundle.digest(begun.folder / "manifest.json")})
    _keep(begun, judged, account)
    told = increment.told(delivered, plans, made)
    policy = judged.work.policy
    rules = held.RowRules.of(policy)
    return SiteResult(manifest, delivered, policy.evidence, rules, quality, told, begun.memory.why, judged.good_until)


def _keep(begun: Begun, judged: _Judged, account: Taken) -> None:
    """Write what stays at the site, encrypted, beside the bundle: the next run goes on from it."""
    rosters.save(judged.roster, begun.site.with_name("roster"), begun.keyset.seal)
    decided.save(Judged.of(judged.work), begun.site / "judged", begun.keyset.seal)
    taken.save(account, begun.memory.frames, begun.site, begun.keyset.seal)


def hub_half(
    configuration: Configuration, handed: SiteResult, work: hub.WorkFolder, progress: Progress, *, full: bool = False
) -> hub.Linked:
    """From a bundle to linked tables: verify, settle, link, write; on top of the last run, or `full`."""
    folder = work.folder / "bundle"
    feeds = {delivery.feed.name: delivery.feed for delivery in handed.delivered}
    with progress.stage("taking in the bundle"):
        last, why = (None, "it was asked for") if full else hub.find_last(configuration, handed.bundle, work)
        manifest = bundle.read(folder, last.stands(folder, work.run_id) if last else None)
    return replace(hub.link(configuration, manifest, feeds, work, progress, last), full=why or None)
