"""What a run tells of itself when it is done, and what became of each purpose of several."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from linkage.errors import LinkageError, TemporaryError
from linkage.findings import Finding, findings_of
from linkage.progress import Progress, StageTime
from linkage.store.manifest import DiskUse, RunManifest, TableTaken

__all__ = ["Outcome", "RunReport"]


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

    @classmethod
    def of(
        cls,
        account: RunManifest,
        progress: Progress,
        snapshot: Path | None,
        *,
        warnings: tuple[str, ...],
        again: tuple[str, ...] = (),
        behind: TemporaryError | None = None,
    ) -> RunReport:
        """What the exact account of a run says, and what it does not; `progress` has the times of its stages."""
        return cls(
            run_id=account.snapshot.run_id,
            snapshot=snapshot,
            database=snapshot / "linked.duckdb" if snapshot else None,
            tables={table.name: table.rows for table in account.snapshot.tables},
            read=account.read,
            removed=account.removed,
            stages=tuple(progress.times),
            findings=tuple(findings_of(account)),
            warnings=warnings,
            behind=behind,
            taken=account.taken,
            again=again,
            made_whole=account.made_whole,
            disk=account.disk,
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one purpose in a run of several: a report, or why there is none."""

    path: Path
    report: RunReport | None
    error: LinkageError | None
