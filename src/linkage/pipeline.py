"""START HERE: a whole run, from extracts to a published snapshot.

    extracts → sources → optouts → pseudonymise → bundle │ → link → store → analysts
                       site half (sees NHS numbers)      │  hub half (never sees one)

`linkage run` does both halves on one machine. Stages do not know each other: this module and its helpers join them.

    before    authority   whether the purpose's documents stand today
              together    several purposes: each stands or falls alone, what they have in common is read once
              begun       what a purpose needs: its keyset, its store, what the last run left
    site half site_steps  a purpose's steps up to its bundle, between which the parts are made
              site        the files of every flow, the roster; hide: records marked sensitive
              binding     which registers bind, and how fresh they are
              parts       rows to the parts of a bundle; withdrawn_records, handover: what later deliveries say of earlier ones
    hub half  hub         verify, settle, link, account, publish; findings: what is worth a look
    nightly   increments  at the site, what stands from the last run, what is carried over by token, what is made again
              lastrun     at the hub, the last snapshot, whose files are linked where no change reaches
              nights      past runs, going back, disk space, and what machines are told of a run
    apart     sites       the two halves on machines of their own, with packets between them
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from linkage import bundle, hub, site_steps, together
from linkage.begun import Begun, begin
from linkage.config import Configuration
from linkage.increments import increment
from linkage.increments.taken import Memory
from linkage.nights import lake, telling
from linkage.outcome import Outcome, RunReport
from linkage.progress import Progress
from linkage.pseudonymise import Keyset
from linkage.site import Shared
from linkage.site_steps import SiteResult
from linkage.sources.roster import Roster
from linkage.together import Together

__all__ = [
    "Begun", "Outcome", "RunReport", "SiteResult", "begin", "check", "hub_half", "run", "run_all", "site_half", "site_halves",
]  # fmt: skip


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
    telling.done(progress, begun.path, account, published=publish)
    return RunReport.of(
        account,
        progress,
        work.published if publish else None,
        warnings=(*begun.warnings, *increment.gone(handed.delivered), *late),
        again=linked.again,
        behind=behind,
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
        delivered = purposes.each(lambda path: site_steps.look(begun[path], now, shared, progress))
    for path in purposes.paths:
        telling.files(progress, path, delivered[path], begun[path].last)
    with progress.stage("roster and opt-outs"):
        ready = purposes.each(lambda path: site_steps.judge(begun[path], delivered[path], now))
        plans = purposes.each(lambda path: site_steps.plan(begun[path], ready[path], delivered[path]))
    jobs = {
        path: list(site_steps.jobs(begun[path], ready[path], delivered[path], plans[path])) for path in purposes.paths
    }
    with progress.stage("preparing", together.rows(jobs)) as stage:
        made = together.make(purposes, jobs, stage)
    with progress.stage("handing over"):
        return purposes.each(
            lambda path: site_steps.hand_over(begun[path], ready[path], delivered[path], plans[path], made[path])
        )


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
