"""What one purpose makes of one flow: the files that it waits for, the tables that it makes, the parts that are done."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from linkage import hide, parts
from linkage.bundle import Field, Part, TableParts, digest
from linkage.contract import Table
from linkage.handover import Submissions
from linkage.hide import Hidden
from linkage.increments.judged import Judges
from linkage.increments.plans import FeedPlan, TablePlan
from linkage.parts import REMOVED, Work
from linkage.pseudonymise.minimise import Output
from linkage.reasons import Reason
from linkage.site import Delivery
from linkage.sources.inspect import Extract
from linkage.sources.quality import FileQuality
from linkage.withdrawn_records import Withdrawals

UNKNOWN = pl.Schema({"_source": pl.String(), "column": pl.String(), "key": pl.String()})


@dataclass(frozen=True, slots=True)
class Job:
    """What one purpose makes of one flow.

    Attributes:
        delivery: The flow's files.
        folder: The bundle.
        site: What stays at the site, beside the bundle.
        work: What rows are held against.
        plan: Which parts of the last bundle stand.
        seal: Encrypts what stays, for example `Keyset.seal`.
    """

    delivery: Delivery
    folder: Path
    site: Path
    work: Work
    plan: FeedPlan
    seal: Callable[[bytes], bytes] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Waiting:
    """One file that a job waits for.

    Attributes:
        delivery: Whose file it is.
        name: Its table.
        position: Its position among the table's files.
        plan: From clean rows of it, and how often rows of it were given before, to the queries that the job wants answered.
    """

    delivery: Delivery
    name: str
    position: int
    plan: Callable[[pl.LazyFrame, int], list[pl.LazyFrame]]

    @property
    def table(self) -> Table:
        """The contract of the table."""
        return self.delivery.feed.tables[self.name]

    @property
    def extract(self) -> Extract:
        """The file."""
        return self.delivery.extracts[self.name][self.position]


@dataclass(frozen=True, slots=True)
class Made:
    """The parts of one table, what was wrong with its files, and why parts of files that had been taken were made again."""

    parts: TableParts
    quality: tuple[FileQuality, ...]
    again: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Making:
    """How the parts of one table are made."""

    job: Job
    name: str
    fields: tuple[Field, ...]
    withdrawals: Withdrawals
    submissions: Submissions | None

    @classmethod
    def of(cls, job: Job, name: str, outputs: list[Output]) -> Making:
        """For one table; `outputs` are all that it hands on."""
        table = job.delivery.feed.tables[name]
        withdrawals = Withdrawals.of(table, outputs, job.folder, job.site, hide.by(job.plan.hidden.get(name, ())))
        fields = tuple(output.field for output in outputs)
        return cls(job, name, fields, withdrawals, Submissions.of(table, outputs))

    @property
    def table(self) -> Table:
        """The contract of the table."""
        return self.job.delivery.feed.tables[self.name]

    @property
    def extracts(self) -> tuple[Extract, ...]:
        """The files."""
        return self.job.delivery.extracts[self.name]

    @property
    def plan(self) -> TablePlan:
        """Which parts stand."""
        return self.job.plan.tables[self.name]

    @property
    def hidden(self) -> Sequence[Hidden]:
        """The records whose rows are hidden."""
        return self.job.plan.hidden.get(self.name, ()) if self.table.kind == "records" else ()

    def decided(self, rows: pl.LazyFrame, by: Judges, hidden: Sequence[Hidden]) -> pl.LazyFrame:
        """Clean rows with their persons, and a reason in `_removed` for those that do not go on or are not asked for."""
        delivery, table = self.job.delivery, self.table
        unwanted = delivery.selection.unwanted(self.name, table)
        decided = parts.decide(hide.hide(rows, hidden), delivery.feed, table, by)
        return decided.with_columns(pl.coalesce(REMOVED, unwanted).alias(REMOVED))

    def path(self, position: int) -> Path:
        """Where the part of a file is, in the bundle."""
        return Path(self.job.delivery.feed.name) / self.name / f"part-{self.plan.places[position]:05d}.parquet"


@dataclass(frozen=True, slots=True)
class Done:
    """The part of one file, what was wrong with the file, the submissions in it, and the keys that nothing translates."""

    part: Part
    quality: FileQuality
    told: list[pl.DataFrame]
    unknown: pl.DataFrame


def lacking(site: Path, part: str) -> Path:
    """Where it is said whose rows a part does not have, encrypted."""
    return (site / part).with_suffix(".absent.age")


def unfiltered(log: Part, lines: Path) -> Part:
    """The account of a log's lines, which are in a file of their own, before those are left out that name no record."""
    notices = log.removed.get(Reason.NOTICE.value, 0)
    removed = {reason: rows for reason, rows in log.removed.items() if reason != Reason.NOTICE.value}
    return log.model_copy(update={"kept": log.kept + notices, "removed": removed, "digest": digest(lines)})
