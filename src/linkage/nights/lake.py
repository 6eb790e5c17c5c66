"""After a snapshot is published: the Delta tables follow it, where the configuration names a folder for them.

The switch comes first. Were it the other way round, a run that then failed to publish would have shown people in Delta whom
no snapshot may show; so the tables may be a run behind, and then the run says so and the next one brings them up to date.
"""

from __future__ import annotations

from pathlib import Path

from linkage.config import Configuration
from linkage.disk import sync
from linkage.errors import LinkageError, TemporaryError
from linkage.store import delta
from linkage.store.delta import Lake
from linkage.store.layout import Store
from linkage.store.manifest import DeltaVersion, RunManifest

__all__ = ["follow", "of"]


def of(configuration: Configuration) -> Lake | None:
    """The folder of Delta tables, ready; None where the configuration names none.

    Raises:
        ConfigurationError: It holds something else, or the extra is not installed.
    """
    place = configuration.store.delta
    if place is None:
        return None
    rule = configuration.purpose.retention
    days = max(rule.days, 1) if rule else delta.LOG_DAYS
    made = Lake(configuration.at(place), days, configuration.memory)
    made.make()
    return made


def follow(lake: Lake | None, store: Store, private: Path) -> TemporaryError | None:
    """Bring the Delta tables to the current snapshot, and write their versions into its run's account.

    Args:
        lake: The folder of Delta tables; nothing is done where it is None.
        store: Held by this process.
        private: With the accounts of the runs.

    Returns:
        Why they could not be brought up to date; None where they were. The next run tries again.
    """
    if lake is None:
        return None
    try:
        current = store.current()
        if current is None:
            return None
        account = _account(private, current)
        kept = [_versions(private, each.name) for each in store.snapshots.iterdir() if each.name != current]
        versions = delta.write(lake, store.snapshots / current, account.snapshot.tables, kept)
        made = tuple(DeltaVersion(table=table, version=version) for table, version in sorted(versions.items()))
        _rewrite(private, account.model_copy(update={"delta": made}))
    except Exception as error:
        # Whatever the packages say may repeat what is in the data.
        said = error.message if isinstance(error, LinkageError) else type(error).__name__
        return TemporaryError(
            f"the snapshot is published, and the Delta tables were not brought up to date with it ({said})",
            hint="look at the disk and the rights of store.delta; the next run brings them up to date",
        )
    return None


def _path(private: Path, run_id: str) -> Path:
    return private / "runs" / f"{run_id}.json"


def _account(private: Path, run_id: str) -> RunManifest:
    return RunManifest.model_validate_json(_path(private, run_id).read_bytes())


def _versions(private: Path, run_id: str) -> dict[str, int]:
    """The versions that a run whose snapshot stays made; none where its account is not there."""
    try:
        return {each.table: each.version for each in _account(private, run_id).delta}
    except (OSError, ValueError):
        return {}


def _rewrite(private: Path, account: RunManifest) -> None:
    path = _path(private, account.snapshot.run_id)
    aside = path.with_name(f".{path.name}")
    aside.touch(mode=0o600)
    aside.write_text(account.model_dump_json(indent=1), encoding="utf-8")
    sync(aside)
    aside.replace(path)
