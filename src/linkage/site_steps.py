"""The site half of one purpose, step by step: its files are looked at, its people judged, its parts planned and handed over.

`pipeline.py` tells the story; between planning and handing over, `together` makes the parts of all purposes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from linkage import binding, bundle, freshness, held, rostering, site
from linkage.begun import Begun
from linkage.bundle import BundleManifest
from linkage.findings import rows_of
from linkage.increments import increment, judged, taken
from linkage.increments.judged import Judged
from linkage.increments.plans import FeedPlan
from linkage.increments.taken import Taken
from linkage.jobs import Job, Made
from linkage.nights import rollback, space, telling
from linkage.optouts.registers import Evidence
from linkage.parts import Work
from linkage.progress import Progress
from linkage.site import Delivery, Shared
from linkage.sources import gate
from linkage.sources import roster_files as rosters
from linkage.sources.quality import FileQuality
from linkage.sources.resolve import people
from linkage.store.manifest import TableTaken

__all__ = ["Ready", "SiteResult", "hand_over", "jobs", "judge", "look", "plan"]


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
class Ready:
    """What one purpose makes its parts by.

    Attributes:
        work: What rows are held against.
        good_until: When the first register that was applied is too old, or says more, UTC; None where none can be.
    """

    work: Work
    good_until: datetime | None


def look(
    begun: Begun, now: datetime, shared: dict[tuple[Path, str], Shared] | None, progress: Progress
) -> tuple[Delivery, ...]:
    """Find the files of every flow, and refuse what nobody should begin to read."""
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


def judge(begun: Begun, delivered: Sequence[Delivery], now: datetime) -> Ready:
    """Bring the roster up to date, and say who may be used by the registers of now."""
    configuration = begun.configuration
    roster = rostering.roster(begun.known(), delivered, binding.type1_codes(configuration))
    who = people(roster, allow_test=configuration.allow_test_numbers)
    policy = binding.policy(configuration, delivered, roster, who, now)
    pseudonymiser = begun.keyset.pseudonymiser(configuration.keys.domain)
    work = Work(who, policy, pseudonymiser, site.minimiser(configuration), configuration.quality)
    good_until = min(freshness.ends(configuration, policy, delivered, now), default=None)
    # Encrypted, beside the bundle: the next run goes on from it, and this one has no more use for most of it.
    rosters.save(roster, begun.site.with_name("roster"), begun.keyset.seal)
    return Ready(work, good_until)


def plan(begun: Begun, ready: Ready, delivered: Sequence[Delivery]) -> list[FeedPlan]:
    """Which parts of the last bundle stand, beside what it was decided by."""
    between = increment.between(begun.memory, Judged.of(ready.work))
    return [increment.plan(each, ready.work, between) for each in delivered]


def jobs(begun: Begun, ready: Ready, delivered: Sequence[Delivery], plans: Sequence[FeedPlan]) -> Iterator[Job]:
    """What is to be made of each flow."""
    begun.site.mkdir(exist_ok=True, mode=0o700)
    for delivery, plan in zip(delivered, plans, strict=True):
        yield Job(delivery, begun.folder, begun.site, ready.work, plan, begun.keyset.seal)


def hand_over(
    begun: Begun,
    ready: Ready,
    delivered: tuple[Delivery, ...],
    plans: Sequence[FeedPlan],
    made: Sequence[Made],
) -> SiteResult:
    """Check what was made, and write what the hub half and the next run go on from."""
    site.check_unchanged(delivered)
    binding.check_coverage(begun.configuration, [table.parts for table in made])
    pseudonymiser = ready.work.pseudonymiser
    manifest = BundleManifest(
        domain=pseudonymiser.domain, key_id=pseudonymiser.key_id, tables=tuple(table.parts for table in made)
    )
    bundle.write(begun.folder, manifest)
    quality = tuple(each for table in made for each in table.quality)
    account = increment.account(delivered, plans, made, binding.type1_codes(begun.configuration))
    account = account.model_copy(update={"bundle_digest": bundle.digest(begun.folder / "manifest.json")})
    _keep(begun, ready, account)
    told = increment.told(delivered, plans, made)
    policy = ready.work.policy
    return SiteResult(
        bundle=manifest,
        delivered=delivered,
        registers=policy.evidence,
        rules=held.RowRules.of(policy),
        quality=quality,
        taken=told,
        made_whole=begun.memory.why,
        good_until=ready.good_until,
    )


def _keep(begun: Begun, ready: Ready, account: Taken) -> None:
    """Write what stays at the site, encrypted, beside the bundle: the next run goes on from it."""
    judged.save(Judged.of(ready.work), begun.site / "judged", begun.keyset.seal)
    taken.save(account, begun.memory.frames, begun.site, begun.keyset.seal)
