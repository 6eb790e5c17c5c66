"""The row-wise middle of the site half: one extract file in, one part of a bundle out, every row accounted for.

`prepare` is pure, lazy and row-wise once the roster and the lists are in hand: it never groups.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import polars as pl

from linkage import hide
from linkage.absent import marked
from linkage.bundle import LEVEL, Part, TableParts, digest
from linkage.config import Quality
from linkage.contract import Feed, Role, Table
from linkage.errors import IntegrityError
from linkage.handover import Submissions, about_kept, lines
from linkage.increment import FeedPlan, TablePlan
from linkage.judged import Judges
from linkage.optouts.apply import OPTOUT_REASON, apply
from linkage.optouts.policy import Policy
from linkage.pseudonymise import Pseudonymiser
from linkage.pseudonymise.minimise import Minimiser, outputs, with_areas
from linkage.reasons import Reason
from linkage.site import INACTIVE, Delivery, is_pseudonymised, reading
from linkage.sources import clean, gate, quality
from linkage.sources.inspect import Extract
from linkage.sources.quality import FileQuality
from linkage.sources.resolve import KEY_REMOVES, PERSON_REASON, People, resolve
from linkage.taken import link
from linkage.withdrawn_records import Withdrawals

REMOVED = "_removed"


@dataclass(frozen=True, slots=True)
class Work:
    """Everything that rows are held against, ready before the first row is read."""

    who: People
    policy: Policy
    pseudonymiser: Pseudonymiser
    minimiser: Minimiser
    quality: Quality


@dataclass(frozen=True, slots=True)
class Made:
    """The parts of one table, and what was wrong with its files."""

    parts: TableParts
    quality: tuple[FileQuality, ...]


def prepare(frame: pl.LazyFrame, feed: Feed, table: Table, work: Work) -> pl.LazyFrame:
    """Decide about each row and make what may leave of it.

    Args:
        frame: Cleaned rows (`sources.clean`).
        feed: The contract.
        table: The contract's table.
        work: Roster, policy, pseudonymiser and minimiser.

    Returns:
        The kept rows: `token` (16-byte Binary), the table's outputs, `_row` and `_deleted`.
    """
    return release(decide(frame, feed, table, work), feed, table, work)


def decide(frame: pl.LazyFrame, feed: Feed, table: Table, by: Judges) -> pl.LazyFrame:
    """Find each row's person and give the row a reason (`_removed`, String) or none."""
    frame = resolve(frame, table, by.who, allow_test=by.policy.allow_test_numbers)
    direct = table.kind == "records" and not is_pseudonymised(feed)
    frame = (
        apply(frame, feed, table, by.policy)
        if direct
        else frame.with_columns(pl.lit(None, pl.String).alias(OPTOUT_REASON))
    )
    person = pl.col(PERSON_REASON)
    if feed.unlinked == "keep":
        person = pl.lit(None, pl.String)
    test = Reason.TEST_PATIENT.value
    flags = pl.coalesce(marked(table, by.policy), pl.col(KEY_REMOVES))
    not_here = [test, Reason.DELETED.value]
    return frame.with_columns(
        pl.coalesce(
            pl.when(pl.col(INACTIVE) & ~pl.col("_malformed")).then(pl.lit(Reason.INACTIVE_SUBMISSION.value)),
            clean.required_reason(table),
            pl.when(flags == test).then(pl.lit(test)),
            person,
            # A deletion goes on to the hub, where it takes out the earlier copies of its record.
            pl.when(~flags.is_in(not_here)).then(flags),
            pl.col(OPTOUT_REASON),
        ).alias(REMOVED)
    )


def release(frame: pl.LazyFrame, feed: Feed, table: Table, work: Work) -> pl.LazyFrame:
    """Of the rows that may go on, what may leave."""
    kept = with_areas(frame.filter(pl.col(REMOVED).is_null()), table, work.minimiser)
    made = outputs(feed, table, work.minimiser, work.pseudonymiser)
    deletions = [name for name in table.with_role(Role.FLAG) if table.columns[name].removes == "deleted"]
    always = pl.lit(table.kind == "deletions")
    deleted = pl.any_horizontal([pl.col(name).fill_null(value=True) for name in deletions] or [always])
    return kept.select(
        *(output.value.alias(output.field.name) for output in made),
        pl.col("_row").cast(pl.Int64),
        deleted.alias("_deleted"),
    )


@dataclass(frozen=True, slots=True)
class Job:
    """What one purpose makes of one flow.

    Attributes:
        delivery: The flow's files.
        folder: The bundle.
        site: What stays at the site, beside the bundle.
        work: What rows are held against.
        plan: Which parts of the last bundle stand.
    """

    delivery: Delivery
    folder: Path
    site: Path
    work: Work
    plan: FeedPlan


@dataclass(frozen=True, slots=True)
class Waiting:
    """One file that a job waits for.

    Attributes:
        delivery: Whose file it is.
        name: Its table.
        position: Its position among the table's files.
        plan: From its clean rows to the queries that the job wants answered in one pass.
    """

    delivery: Delivery
    name: str
    position: int
    plan: Callable[[pl.LazyFrame], list[pl.LazyFrame]]

    @property
    def table(self) -> Table:
        """The contract of the table."""
        return self.delivery.feed.tables[self.name]

    @property
    def extract(self) -> Extract:
        """The file."""
        return self.delivery.extracts[self.name][self.position]


@dataclass(frozen=True, slots=True)
class Making:
    """How the parts of one table are made."""

    job: Job
    name: str
    withdrawals: Withdrawals
    submissions: Submissions | None

    @property
    def table(self) -> Table:
        """The contract of the table."""
        return self.job.delivery.feed.tables[self.name]

    @property
    def plan(self) -> TablePlan:
        """Which of them stand."""
        return self.job.plan.tables[self.name]

    def path(self, position: int) -> Path:
        """Where the part of a file is, in the bundle."""
        return Path(self.job.delivery.feed.name) / self.name / f"part-{self.plan.places[position]:05d}.parquet"


def make_all(job: Job) -> Generator[Waiting, list[pl.DataFrame], list[Made]]:
    """Make all parts of a feed: its records, and of its logs of deletions what is about records that go on.

    A generator: it waits for each file, and whoever drives it (`together.make`) answers, so that several jobs can be
    answered from one reading.
    """
    delivery = job.delivery
    made = {}
    for name in delivery.feed.records():
        made[name] = yield from make(job, name)
    records = {name: each.parts for name, each in made.items()}
    for name in delivery.feed.deletions():
        log = yield from make(job, name)
        if log.parts.parts:
            with reading(delivery.extracts[name][-1], delivery.feed):
                for part in log.parts.parts:
                    link(job.folder / part.path, lines(job.site, part.path))
                log = replace(log, parts=about_kept(job.folder, delivery.feed, log.parts, records))
        made[name] = log
    return list(made.values())


def make(job: Job, name: str) -> Generator[Waiting, list[pl.DataFrame], Made]:
    """Make all parts of one table, but those that stand."""
    delivery, work = job.delivery, job.work
    table, extracts = delivery.feed.tables[name], delivery.extracts[name]
    out = outputs(delivery.feed, table, work.minimiser, work.pseudonymiser)
    making = Making(job, name, Withdrawals.of(table, out, job.folder, job.site), Submissions.of(table, out))
    made, counts, listed = [], [], []
    for position in range(len(extracts)):
        if position in making.plan.kept:
            part, counted, told = _stands(making, position)
        else:
            for root in (job.folder, job.site):
                (root / making.path(position)).parent.mkdir(parents=True, exist_ok=True)
            _, _, reasons, cells, *told = yield Waiting(delivery, name, position, partial(_plan, making, position))
            part, counted = _accounted(making, position, reasons, cells)
        made.append(part)
        counts.append(counted)
        listed += told
    if extracts:
        with reading(extracts[-1], delivery.feed):
            made = making.withdrawals.apply(made)
    parts = TableParts(
        feed=delivery.feed.name,
        table=name,
        contract_digest=delivery.feed.digest,
        fields=tuple(output.field for output in out),
        parts=tuple(made),
    )
    written = making.submissions.write(job.folder, parts, listed) if making.submissions else parts
    return Made(written, tuple(counts))


def _stands(making: Making, position: int) -> tuple[Part, FileQuality, list[pl.DataFrame]]:
    """A part of the last bundle that still stands, under its name in this one, and what was said of its file.

    Raises:
        IntegrityError: It is missing.
    """
    job, before = making.job, making.plan.kept[position]
    memory = job.delivery.memory
    if memory is None or memory.folder is None or before.part is None or before.quality is None:
        raise ValueError("only what a last run took can stand")
    gate.check_file(job.work.quality, making.table, job.delivery.extracts[making.name][position], before.quality)
    part, bundle, site = before.part, memory.folder / "bundle", memory.folder / "site"
    try:
        if making.table.kind == "deletions":
            link(lines(site, part.path), job.folder / part.path)
        else:
            link(bundle / part.path, job.folder / part.path)
        link(making.withdrawals.beside(site, part.path), making.withdrawals.beside(job.site, part.path))
        told = [making.submissions.of_part(bundle, part)] if making.submissions else []
    except FileNotFoundError:
        raise IntegrityError(
            f"{part.path}: missing from the held bundle of the last run", hint="run with --full"
        ) from None
    return _unfiltered(part) if making.table.kind == "deletions" else part, before.quality, told


def _unfiltered(log: Part) -> Part:
    """The account of a log's lines before those are left out that name no record which goes on."""
    notices = log.removed.get(Reason.NOTICE.value, 0)
    removed = {reason: rows for reason, rows in log.removed.items() if reason != Reason.NOTICE.value}
    return log.model_copy(update={"kept": log.kept + notices, "removed": removed})


def _plan(making: Making, position: int, rows: pl.LazyFrame) -> list[pl.LazyFrame]:
    """The queries over one file: the part, keys of removed rows, rows by reason, cells, and its submissions."""
    job, name, table = making.job, making.name, making.table
    delivery, work, extract = job.delivery, job.work, job.delivery.extracts[name][position]
    path, place = making.path(position), making.plan.places[position]
    unwanted = delivery.selection.unwanted(name, table)
    rows = hide.hide(rows, job.plan.hidden.get(name, ()) if table.kind == "records" else ())
    decided = decide(rows, delivery.feed, table, work).with_columns(pl.coalesce(REMOVED, unwanted).alias(REMOVED))
    sink = (
        release(decided, delivery.feed, table, work)
        .with_columns(
            pl.lit(extract.delivered.replace(tzinfo=None), pl.Datetime("us")).alias("_delivered"),
            pl.lit(place, pl.Int32).alias("_file"),
        )
        .sink_parquet(job.folder / path, compression="zstd", compression_level=LEVEL, lazy=True)
    )
    gone = making.withdrawals.sink(decided, REMOVED, place, path)
    told = [making.submissions.listed(decided, REMOVED, extract, place)] if making.submissions else []
    reasons = decided.group_by(REMOVED).len()
    cells = decided.select(quality.counts(table, extract.delivered, work.quality.late_after_days))
    return [sink, gone, reasons, cells, *told]


def _accounted(making: Making, position: int, reasons: pl.DataFrame, cells: pl.DataFrame) -> tuple[Part, FileQuality]:
    """One part with every row accounted for, and what was wrong with its file."""
    job, name, path = making.job, making.name, making.path(position)
    extract = job.delivery.extracts[name][position]
    counted = quality.tally(job.delivery.feed.name, name, making.table, extract, cells.row(0, named=True))
    gate.check_file(job.work.quality, making.table, extract, counted)
    removed = {reason: rows for reason, rows in reasons.sort(REMOVED).iter_rows() if reason is not None}
    kept = int(reasons.filter(pl.col(REMOVED).is_null())["len"].sum())
    if kept + sum(removed.values()) != extract.rows:
        raise IntegrityError(
            f"{extract.path.name}: {extract.rows} rows were counted and {kept + sum(removed.values())} were read",
            hint="the file changed while it was read, or its quoting is broken: nothing was published",
        )
    part = Part(
        path=path.as_posix(),
        place=making.plan.places[position],
        source=extract.path.name,
        source_digest=extract.digest,
        delivered=extract.delivered,
        read=extract.rows,
        kept=kept,
        removed=removed,
        digest=digest(job.folder / path),
    )
    return part, counted
