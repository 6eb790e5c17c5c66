"""The account of a run: the exact one, which stays with the pipeline, and the one that analysts see."""

from __future__ import annotations

from datetime import date, datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

from linkage.errors import IntegrityError


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FeedVersion(_Model):
    """The contract that a feed was read by."""

    feed: str
    version: int
    contract_digest: str
    title: str = ""
    setting: str = ""


class File(_Model):
    """A published file; `sha256` is hexadecimal."""

    path: str
    rows: int
    bytes: int
    sha256: str


class PublishedTable(_Model):
    """A published table and its Parquet files."""

    name: str
    rows: int
    files: tuple[File, ...]


class ShownBalance(_Model):
    """A feed table's rows with small numbers suppressed (None)."""

    feed: str
    table: str
    read: int | None
    published: int | None
    removed: dict[str, int | None]


class DocumentUsed(_Model):
    """A document that the run relied on: legal basis, agreement, exemption."""

    what: str
    reference: str
    starts: date | None
    ends: date | None


class ColumnCounts(_Model):
    """Cells of one column over all files of its table: with nothing in them, and invalid by reason; None: withheld."""

    column: str
    role: str
    missing: int | None
    invalid: dict[str, int | None]


class TableCounts(_Model):
    """`sources.quality.FileQuality` over all files of a feed's table; None: withheld.

    `unread` is the most that any file has, `absent` what none has.
    """

    feed: str
    table: str
    title: str
    rows: int | None
    malformed: int | None
    late: int | None
    future: int | None
    people: dict[str, int | None]
    ranges: dict[str, int | None]
    status: dict[str, int | None]
    unread: int = 0
    absent: tuple[str, ...] = ()
    columns: tuple[ColumnCounts, ...]


class Change(_Model):
    """How a table or a column differs from the last run.

    Attributes:
        feed: The feed.
        table: Its table.
        column: The column, or None where it is about the table's rows.
        what: `rows` of the table, or the share of them that is `late`, `future` or has `no_person`; the share of a column's rows that
            is `missing`, or of its written cells that is `invalid`.
        before: In the last run.
        now: In this run.
    """

    feed: str
    table: str
    column: str | None
    what: Literal["rows", "late", "future", "no_person", "missing", "invalid"]
    before: float
    now: float


class Limit(_Model):
    """A limit of `[quality]` that was in force: for everything, or for what a rule names."""

    name: str
    value: float
    feed: str | None = None
    table: str | None = None
    column: str | None = None


class MonthCount(_Model):
    """Rows of `event` of one feed by the month of their start, written 2026-04; None: without one, or withheld."""

    feed: str
    month: str | None
    rows: int | None


class SourcesCount(_Model):
    """Persons whom these feeds know and no others; in a snapshot without feeds: all others."""

    feeds: tuple[str, ...]
    persons: int | None


class PairCount(_Model):
    """Persons whom both feeds know, or the feed, where both are the same; None: withheld."""

    feed: str
    other: str
    persons: int | None


class ShownSite(_Model):
    """A site whose data is in a snapshot, and when it handed that over, UTC."""

    site: str
    made: datetime


class SnapshotManifest(_Model):
    """What analysts may read about a snapshot; `sites` is empty where one machine did everything."""

    format: Literal["linkage-snapshot/1"] = "linkage-snapshot/1"
    run_id: str
    tool_version: str
    started: datetime
    purpose: str
    legal_basis: str
    documents: tuple[DocumentUsed, ...]
    configuration_digest: str
    domain: str
    key_id: str
    feeds: tuple[FeedVersion, ...]
    tables: tuple[PublishedTable, ...]
    balance: tuple[ShownBalance, ...]
    quality: tuple[TableCounts, ...] = ()
    limits: tuple[Limit, ...] = ()
    months: tuple[MonthCount, ...] = ()
    sources: tuple[SourcesCount, ...] = ()
    common: tuple[PairCount, ...] = ()
    last_run: str | None = None
    changes: tuple[Change, ...] = ()
    sites: tuple[ShownSite, ...] = ()


class Input(_Model):
    """An extract that was read."""

    feed: str
    table: str
    file: str
    bytes: int
    sha256: str
    delivered: datetime
    rows: int


class ExactBalance(_Model):
    """Exactly what became of a feed table's rows."""

    feed: str
    table: str
    read: int
    published: int
    removed: dict[str, int]


class RegisterFile(_Model):
    """A register's file that decided who is in."""

    name: str
    file: str
    sha256: str
    as_of: datetime
    numbers: int


class ColumnCount(_Model):
    """Cells of one column of one file: `sources.quality.ColumnQuality`."""

    feed: str
    table: str
    file: str
    column: str
    written: int
    missing: int | None = None
    invalid: int
    first_invalid: int
    reasons: dict[str, int] = {}


class FileCount(_Model):
    """Rows of one file: `sources.quality.FileQuality`."""

    feed: str
    table: str
    file: str
    rows: int
    malformed: int
    late: int
    future: int
    people: dict[str, int]
    ranges: dict[str, int]
    status: dict[str, int]
    unread: int = 0
    absent: tuple[str, ...] = ()


class DeltaVersion(_Model):
    """The version of a Delta table that holds the snapshot's rows."""

    table: str
    version: int


class StageSeconds(_Model):
    """How long a stage took."""

    name: str
    seconds: float
    rows: int


class TableTaken(_Model):
    """What was made of the files of one table, and what still stood of the last run.

    Attributes:
        new: Files that the last run did not take.
        kept: Files whose part of the last run stood.
        mended: Why some rows of other files were read again, and of how many files.
        again: Why parts of other files were made again, and of how many.
        gone: Names of files that the last run took and that are not there as they were.
    """

    feed: str
    table: str
    new: int
    kept: int
    mended: dict[str, int] = {}
    again: dict[str, int] = {}
    gone: tuple[str, ...] = ()


class DiskUse(_Model):
    """What a run took of the disk, in bytes; what is linked from an earlier snapshot counts as nothing.

    Attributes:
        work_bytes: The most that its working folder held, the new snapshot with it.
        full: Whether it made everything anew.
        full_work_bytes: `work_bytes` of the last run that did.
        full_input_bytes: Bytes of the extracts that that one read.
        snapshot_bytes: The snapshot, with what it shares with others.
        added_bytes: What the snapshot added to the store.
        store_bytes: All snapshots together, before retention.
        free_bytes: Free on the store's volume just before publishing.
    """

    work_bytes: int
    full: bool
    full_work_bytes: int
    full_input_bytes: int
    snapshot_bytes: int
    added_bytes: int
    store_bytes: int
    free_bytes: int


class SiteTable(_Model):
    """Rows of one feed table that a site read, and that it handed over."""

    feed: str
    table: str
    read: int
    handed_over: int


class SiteTaken(_Model):
    """What a run took of one site; only its name, and why it is revoked, where it took nothing.

    Attributes:
        site: Its name.
        sequence: The number of its packet; None where there is none, or the site is revoked.
        packet: The packet's digest, hexadecimal.
        made: When the site made it, UTC.
        good_until: When the first opt-out register that the site applied is too old, UTC.
        tables: Its rows.
        people: How many persons are in them.
        exemptions: Opt-outs that were lifted at the site, with the document.
        revoked: Since when nothing of it is taken.
        why: Why.
    """

    site: str
    sequence: int | None = None
    packet: str = ""
    made: datetime | None = None
    good_until: datetime | None = None
    tables: tuple[SiteTable, ...] = ()
    people: int = 0
    exemptions: tuple[str, ...] = ()
    revoked: date | None = None
    why: str = ""


class RunManifest(_Model):
    """Everything about a run, exactly: for the pipeline's operators, not for analysts.

    `full` says why it linked everything anew; None where it went on from the last run. `rekeyed_from` is the run whose
    snapshot this is with the tokens of another key.
    """

    format: Literal["linkage-run/1"] = "linkage-run/1"
    snapshot: SnapshotManifest
    snapshot_digest: str
    database_digest: str = ""
    inputs: tuple[Input, ...]
    balance: tuple[ExactBalance, ...]
    registers: tuple[RegisterFile, ...]
    exemptions: tuple[str, ...]
    quality: tuple[ColumnCount, ...]
    files: tuple[FileCount, ...] = ()
    months: tuple[MonthCount, ...] = ()
    sources: tuple[SourcesCount, ...] = ()
    last_run: str | None = None
    changes: tuple[Change, ...] = ()
    stages: tuple[StageSeconds, ...]
    from_held: str | None = None
    rekeyed_from: str | None = None
    delta: tuple[DeltaVersion, ...] = ()
    taken: tuple[TableTaken, ...] = ()
    made_whole: str | None = None
    disk: DiskUse | None = None
    full: str | None = None
    sites: tuple[SiteTaken, ...] = ()

    @property
    def read(self) -> int:
        """Rows read."""
        return sum(each.read for each in self.balance)

    @property
    def removed(self) -> dict[str, int]:
        """Rows removed by reason, over all tables."""
        total: dict[str, int] = {}
        for each in self.balance:
            for reason, rows in each.removed.items():
                total[reason] = total.get(reason, 0) + rows
        return total


def check_balance(balance: tuple[ExactBalance, ...]) -> None:
    """Check that read = published + removed in every table.

    Raises:
        IntegrityError: Rows are unaccounted for; names the table.
    """
    for each in balance:
        if each.read != each.published + sum(each.removed.values()):
            raise IntegrityError(
                f"{each.feed} {each.table}: {each.read} rows were read, {each.published} would be published and "
                f"{sum(each.removed.values())} were removed",
                hint="nothing was published: report this",
            )
