"""What a run tells of itself as events: the extracts that it takes, and what came of it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from linkage.progress import Progress
from linkage.site import Delivery
from linkage.store.manifest import RunManifest

__all__ = ["begun", "done", "files", "warn"]


def begun(progress: Progress, path: str | Path, run: str, purpose: str, warnings: Sequence[str] = ()) -> None:
    """A purpose holds its store, and begins."""
    progress.tell("started", configuration=str(path), run=run, purpose=purpose)
    for warning in warnings:
        progress.tell("warning", configuration=str(path), message=warning)


def warn(progress: Progress, path: str | Path, message: str | None) -> None:
    """Something that an operator should know of, on the terminal as well; None: nothing."""
    if message is not None:
        progress.tell("warning", configuration=str(path), message=message)
        sys.stderr.write(f"warning: {message}\n")


def files(progress: Progress, path: str | Path, delivered: Sequence[Delivery], last: RunManifest | None) -> None:
    """Every extract that a purpose rests on, and whether its last run did not."""
    had = {(each.feed, each.table, each.sha256) for each in last.inputs} if last else set()
    for delivery in delivered:
        for name, extracts in delivery.extracts.items():
            for each in extracts:
                progress.tell(
                    "file",
                    configuration=str(path),
                    feed=delivery.feed.name,
                    table=name,
                    file=each.path.name,
                    rows=each.rows,
                    bytes=each.size,
                    sha256=each.digest,
                    new=(delivery.feed.name, name, each.digest) not in had,
                )


def done(progress: Progress, path: str | Path, account: RunManifest, *, published: bool) -> None:
    """A purpose was published, or checked."""
    removed = sum(account.removed.values())
    progress.tell(
        "published" if published else "checked",
        configuration=str(path),
        run=account.snapshot.run_id,
        read=account.read,
        kept=account.read - removed,
        removed=removed,
        added_bytes=account.disk.added_bytes if account.disk else None,
        free_bytes=account.disk.free_bytes if account.disk else None,
    )
