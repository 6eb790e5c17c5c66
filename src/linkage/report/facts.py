"""What a page is drawn from: the manifest of a snapshot as it is, or with the exact counts of the run's account."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from linkage.findings import summed
from linkage.link import suppress
from linkage.store.manifest import (
    PairCount,
    RunManifest,
    ShownBalance,
    SnapshotManifest,
    SourcesCount,
    TableCounts,
)

__all__ = ["Facts", "exact", "shown"]


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that the page tells.

    Attributes:
        run: The manifest; its counts are exact where `exact`, else with small numbers withheld.
        people: Persons in the snapshot.
        exact: Whether this is the operators' page.
    """

    run: SnapshotManifest
    people: int | None
    exact: bool


def shown(manifest: SnapshotManifest) -> Facts:
    """What whoever may read the snapshot may see."""
    people = _people(manifest)
    return Facts(manifest, None if people is None else suppress(people)[0], exact=False)


def exact(account: RunManifest) -> Facts:
    """What the operators of the pipeline may see."""
    run = account.snapshot
    counts = {
        "balance": tuple(ShownBalance.model_validate(each.model_dump()) for each in account.balance),
        "quality": tuple(_named(account)),
        "months": account.months,
        "sources": tuple(sorted(account.sources, key=lambda each: (-(each.persons or 0), each.feeds))),
        "common": tuple(_pairs(account.sources)),
        "last_run": account.last_run,
        "changes": account.changes,
    }
    return Facts(run.model_copy(update=counts), _people(run), exact=True)


def _people(manifest: SnapshotManifest) -> int | None:
    return next((table.rows for table in manifest.tables if table.name == "person"), None)


def _named(account: RunManifest) -> Iterator[TableCounts]:
    """The exact counts with the titles and roles that the snapshot knows."""
    known = {(each.feed, each.table): each for each in account.snapshot.quality}
    for table in summed(account.files, account.quality):
        names = known.get((table.feed, table.table))
        roles = {column.column: column.role for column in names.columns} if names else {}
        columns = tuple(each.model_copy(update={"role": roles.get(each.column, "")}) for each in table.columns)
        yield table.model_copy(update={"title": names.title if names else "", "columns": columns})


def _pairs(sources: tuple[SourcesCount, ...]) -> Iterator[PairCount]:
    common: Counter[tuple[str, str]] = Counter()
    for each in sources:
        for place, feed in enumerate(sorted(each.feeds)):
            for other in sorted(each.feeds)[place:]:
                common[feed, other] += each.persons or 0
    feeds = sorted({feed for feed, _ in common})
    for place, feed in enumerate(feeds):
        for other in feeds[place:]:
            yield PairCount(feed=feed, other=other, persons=common[feed, other])
