"""What differs between two runs: rows, reasons, extracts, registers, contracts, configuration, quality."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import TypeVar

from pydantic import BaseModel, ConfigDict

from linkage.findings import compared
from linkage.nights.history import Run
from linkage.report import facts
from linkage.store.manifest import Change, FeedVersion, Input, RegisterFile, SnapshotManifest

__all__ = ["Count", "Differences", "between"]

_Listed = TypeVar("_Listed", Input, RegisterFile)


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True)


class Count(_Model):
    """One count in both runs; None: withheld. Of a table or reason that one of them does not have it is 0."""

    name: str
    before: int | None
    after: int | None


class Differences(_Model):
    """What differs; empty where nothing does. Of extracts and registers only operators know.

    Attributes:
        before: The first run.
        after: The second.
        tables: Rows of each published table.
        removed: Rows removed, by reason, over all tables.
        extracts_taken: Extracts that only the second run rests on.
        extracts_gone: Those that only the first does.
        registers_taken: Files of registers that only the second run used.
        registers_gone: Those that only the first did.
        contracts: Feeds whose contract was another, came or went: `sus_op: 3 -> 4`.
        said: What is said about each run as a whole and differs: purpose, configuration, tool version, domain, key.
        quality: Shares and rows that changed.
    """

    before: str
    after: str
    tables: tuple[Count, ...] = ()
    removed: tuple[Count, ...] = ()
    extracts_taken: tuple[Input, ...] = ()
    extracts_gone: tuple[Input, ...] = ()
    registers_taken: tuple[RegisterFile, ...] = ()
    registers_gone: tuple[RegisterFile, ...] = ()
    contracts: tuple[str, ...] = ()
    said: tuple[str, ...] = ()
    quality: tuple[Change, ...] = ()


def between(before: Run, after: Run) -> Differences:
    """What differs between two runs, exactly where both have their exact accounts."""
    exact = before.account is not None and after.account is not None
    was = facts.exact(before.account).run if exact and before.account else before.snapshot
    now = facts.exact(after.account).run if exact and after.account else after.snapshot
    taken, gone, registers_taken, registers_gone = _files(before, after)
    return Differences(
        before=before.name,
        after=after.name,
        tables=_counts({each.name: each.rows for each in was.tables}, {each.name: each.rows for each in now.tables}),
        removed=_counts(_removed(was), _removed(now)),
        extracts_taken=taken,
        extracts_gone=gone,
        registers_taken=registers_taken,
        registers_gone=registers_gone,
        contracts=tuple(_contracts(was.feeds, now.feeds)),
        said=tuple(_said(was, now)),
        quality=compared(was.quality, now.quality),
    )


def _files(
    before: Run, after: Run
) -> tuple[tuple[Input, ...], tuple[Input, ...], tuple[RegisterFile, ...], tuple[RegisterFile, ...]]:
    if before.account is None or after.account is None:
        return (), (), (), ()
    was, now = before.account, after.account
    return (
        _only(now.inputs, was.inputs),
        _only(was.inputs, now.inputs),
        _only(now.registers, was.registers),
        _only(was.registers, now.registers),
    )


def _only(these: Sequence[_Listed], others: Sequence[_Listed]) -> tuple[_Listed, ...]:
    known = {_key(each) for each in others}
    return tuple(each for each in these if _key(each) not in known)


def _key(each: Input | RegisterFile) -> Hashable:
    if isinstance(each, Input):
        return each.feed, each.table, each.sha256
    return each.name, each.sha256


def _removed(run: SnapshotManifest) -> dict[str, int | None]:
    total: Counter[str] = Counter()
    withheld = set()
    for table in run.balance:
        for reason, rows in table.removed.items():
            withheld |= {reason} if rows is None else set()
            total[reason] += rows or 0
    return {reason: None if reason in withheld else rows for reason, rows in total.items()}


def _counts(before: Mapping[str, int | None], after: Mapping[str, int | None]) -> tuple[Count, ...]:
    names = sorted(before.keys() | after.keys())
    made = (Count(name=name, before=before.get(name, 0), after=after.get(name, 0)) for name in names)
    return tuple(each for each in made if each.before != each.after)


def _contracts(before: Sequence[FeedVersion], after: Sequence[FeedVersion]) -> Iterable[str]:
    was, now = {each.feed: each for each in before}, {each.feed: each for each in after}
    for feed in sorted(was.keys() | now.keys()):
        if feed not in now:
            yield f"{feed}: no longer a flow"
        elif feed not in was:
            yield f"{feed}: new, version {now[feed].version}"
        elif was[feed].contract_digest != now[feed].contract_digest:
            versions = f"version {was[feed].version} -> {now[feed].version}"
            same = was[feed].version == now[feed].version
            yield f"{feed}: " + (f"changed within version {now[feed].version}" if same else versions)


def _said(before: SnapshotManifest, after: SnapshotManifest) -> Iterable[str]:
    named = ("purpose", "legal_basis", "tool_version", "domain", "key_id")
    for name in named:
        was, now = getattr(before, name), getattr(after, name)
        if was != now:
            yield f"{name}: {was} -> {now}"
    if before.configuration_digest != after.configuration_digest:
        yield f"configuration: {before.configuration_digest[:12]} -> {after.configuration_digest[:12]}"
