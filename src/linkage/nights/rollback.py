"""Going back to an earlier snapshot, unless that could publish people again who have said no since.

A snapshot is only as good as what was known when it was made. Where a later run read a register or an extract that this one
did not, somebody may have opted out since, and nobody can tell who without the extracts: a document has to allow it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from importlib.metadata import version
from pathlib import Path

from linkage import acts, authority, binding, config, hub
from linkage.bundle import digest
from linkage.config import Configuration
from linkage.errors import InputError, IntegrityError, PolicyError, TemporaryError
from linkage.nights import history, lake, operations
from linkage.nights.history import History, Run
from linkage.nights.operations import Expected
from linkage.site import Delivery
from linkage.sources import roster_files as rosters
from linkage.store import publish as switch
from linkage.store.layout import Store
from linkage.store.manifest import Input, RegisterFile, RunManifest

__all__ = ["RolledBack", "check_taken", "rollback", "verify"]


@dataclass(frozen=True, slots=True)
class RolledBack:
    """What was done.

    Attributes:
        run: The run whose snapshot readers see now.
        before: The one that they saw.
        reasons: Why it needed a document; empty where it needed none.
        extracts: What the next run has to find again in the folders.
        behind: Why the Delta tables could not follow; None where they did, or there are none.
    """

    run: str
    before: str
    reasons: tuple[str, ...]
    extracts: tuple[Expected, ...]
    behind: TemporaryError | None = None


def rollback(
    path: str | Path, run: str, *, reference: str = "", without: Sequence[str] = (), now: datetime | None = None
) -> RolledBack:
    """Make an earlier snapshot the current one.

    Args:
        path: The `linkage.toml`.
        run: The run's id, or a part of it that no other has.
        reference: The document that allows it although people may have opted out since; needed only then.
        without: File names of extracts that the next run need not find again.
        now: The moment that documents and retention are judged by, UTC; the clock when not given.

    Raises:
        TemporaryError: A run holds the store.
        InputError: There is no such run, its snapshot is gone, or it is the current one already.
        PolicyError: People may have opted out since, its time is over, or a document of the purpose does not stand.
        IntegrityError: The snapshot or what the next run needs beside it is damaged.
    """
    now = now or datetime.now(UTC)
    configuration = config.load(Path(path))
    authority.check(configuration, now.date())
    if not Store(configuration.at(configuration.store.path)).marker.is_file():
        raise InputError("nothing has been published", hint="run the pipeline first")
    with hub.working(configuration, now, "rollback") as work:
        tables = lake.of(configuration)
        known = history.of_purpose(configuration)
        target, before = _target(known, run, work.store.current(), again=bool(without)), work.store.current()
        if target.account is None or before is None:
            raise InputError("the run has no exact account, or there is no current one", hint="run the pipeline")
        _check_retention(configuration, target, now)
        verify(work.store, target.account)
        if configuration.hub is None:
            _check_roster(work.private / "roster" / target.name)
        later = _later(target.account, known, work.store)
        reasons = tuple(_since(configuration, target.account, later, now)) if target.name != before else ()
        current = switch.manifest_of(work.store.snapshots / before)
        if current is not None and current.key_id != target.account.snapshot.key_id:
            reasons += (f"its tokens are of key {target.account.snapshot.key_id}, which the store has left",)
        left = _expected(later, without)
        reasons += (f"the next run forgets what {' and '.join(without)} said of opt-outs",) if without else ()
        if reasons and not reference:
            raise PolicyError(
                f"{target.name} may hold people who have said no since: {'; '.join(reasons)}",
                hint="correct the extracts and run again; or name the document that allows this with --reference",
            )
        operations.record(
            work.private, "rolled back", target.name, before=before, reference=reference, reasons=reasons, extracts=left
        )
        about = {"run": target.name, "before": before, "snapshot": target.account.snapshot_digest}
        with acts.publishing(work.act, **about, reasons=len(reasons)):
            switch.switch(work.store, target.name)
        behind = lake.follow(tables, work.store, work.private)
    return RolledBack(target.name, before, reasons, left, behind)


def _target(known: History, run: str, current: str | None, *, again: bool) -> Run:
    found = known.find(run)
    if found.state == "gone":
        raise InputError(f"{found.name}: its snapshot is gone", hint="`linkage runs list` says which are kept")
    if found.name == current and not again:
        raise InputError(f"{found.name} is the current snapshot already", hint="nothing was changed")
    return found


def _check_retention(configuration: Configuration, target: Run, now: datetime) -> None:
    rule = configuration.purpose.retention
    if rule is not None and now - target.snapshot.started > timedelta(days=rule.days):
        raise PolicyError(
            f"{target.name} is older than the purpose's retention allows", hint="run the pipeline over the extracts"
        )


def verify(store: Store, account: RunManifest) -> None:
    """Check every file of a snapshot by its digest, and that it opens with all its rows.

    Raises:
        IntegrityError: One is missing or was changed; names it.
    """
    name, hint = account.snapshot.run_id, "choose another run: nothing was changed"
    place = store.snapshots / name
    said = {file.path: file.sha256 for table in account.snapshot.tables for file in table.files}
    said |= {"manifest.json": account.snapshot_digest}
    said |= {"linked.duckdb": account.database_digest} if account.database_digest else {}
    for file, expected in said.items():
        try:
            good = digest(place / file) == expected
        except OSError:
            good = False
        if not good:
            raise IntegrityError(f"{name}: {file} is missing or was changed", hint=hint)
    switch.check(place, account.snapshot.tables)


def _check_roster(folder: Path) -> None:
    if not rosters.is_whole(folder):
        raise IntegrityError(
            f"{folder.name}: the roster of that run is not there, and without it deltas lose their patients",
            hint="restore it to the private folder from its backup, or choose another run",
        )


@dataclass(frozen=True, slots=True)
class _Later:
    """What runs after one knew that it did not."""

    untold: tuple[str, ...]
    registers: tuple[RegisterFile, ...]
    inputs: tuple[Input, ...]
    from_held: tuple[str, ...]
    contracts: tuple[str, ...]


def _later(account: RunManifest, known: History, store: Store) -> _Later:
    name = account.snapshot.run_id
    registers = {(each.name, each.sha256): None for each in account.registers}
    inputs = {(each.feed, each.table, each.sha256): None for each in account.inputs}
    new_registers: list[RegisterFile] = []
    new_inputs: list[Input] = []
    from_held: list[str] = []
    contracts = {(each.feed, each.contract_digest) for each in account.snapshot.feeds}
    changed: set[str] = set()
    untold = [each for each in history.there_in(store) if each > name and each not in known.names]
    for later, run in known.later(name):
        if run is None or run.account is None:
            untold.append(later)
            continue
        from_held += [later] if run.account.from_held else []
        changed |= {feed.feed for feed in run.snapshot.feeds if (feed.feed, feed.contract_digest) not in contracts}
        new_registers += [each for each in run.account.registers if (each.name, each.sha256) not in registers]
        registers |= {(each.name, each.sha256): None for each in run.account.registers}
        new_inputs += [each for each in run.account.inputs if (each.feed, each.table, each.sha256) not in inputs]
        inputs |= {(each.feed, each.table, each.sha256): None for each in run.account.inputs}
    return _Later(tuple(untold), tuple(new_registers), tuple(new_inputs), tuple(from_held), tuple(sorted(changed)))


def _since(configuration: Configuration, account: RunManifest, later: _Later, now: datetime) -> Iterator[str]:
    """Why people may be in this snapshot whom the configuration or what is known since would leave out."""
    if later.untold:
        yield f"the account of {min(later.untold)}, which came later, is missing or damaged"
    if later.registers:
        first = later.registers[0]
        count = _some(len(later.registers), "file of a register", "files of registers")
        yield f"later runs used {count} that it did not know, first {first.name} as of {first.as_of:%Y-%m-%d}"
    if later.inputs:
        extract = later.inputs[0]
        count = _some(len(later.inputs), "extract", "extracts")
        yield f"later runs took {count} that may tell of opt-outs, first {extract.file} of {extract.feed} {extract.table}"
    if later.from_held:
        yield f"{later.from_held[0]} took late opt-outs out of what is held"
    if later.contracts:
        yield f"the contract of {later.contracts[0]} has changed, and may keep more out"
    yield from _revoked(configuration, account, now.date())
    yield from _by_time(configuration, account.snapshot.started.date(), now)
    if account.snapshot.configuration_digest != configuration.digest:
        yield "the configuration has changed"
    if account.snapshot.tool_version != version("linkage"):
        yield f"it was made by linkage {account.snapshot.tool_version}, and this is {version('linkage')}"


def _revoked(configuration: Configuration, account: RunManifest, today: date) -> Iterator[str]:
    """A revocation can be announced long before its day, so that nothing has changed since but the day."""
    there = {each.site for each in account.sites if each.sequence is not None}
    for site in configuration.hub.sites if configuration.hub is not None else ():
        if site.name in there and site.is_revoked(today):
            yield f"rows of site {site.name} are in it, which is revoked since {site.revoked}"


def _by_time(configuration: Configuration, since: date, now: datetime) -> Iterator[str]:
    try:
        day = binding.fewer_from(configuration, since, now)
    except PolicyError as error:
        yield error.message
        return
    if day is not None and day <= now.date():
        yield f"fewer may be used since {day}: a practice does not share from then on, or people are too old"


def _some(count: int, one: str, many: str) -> str:
    return f"{count:,} {one if count == 1 else many}"


def _expected(later: _Later, without: Sequence[str]) -> tuple[Expected, ...]:
    """Extracts that later runs took: if one has left its folder, what it said of opt-outs would be forgotten with it."""
    unknown = set(without) - {each.file for each in later.inputs}
    if unknown:
        raise InputError(
            f"{min(unknown)}: no later run has taken an extract of this name",
            hint="`linkage runs diff` names the extracts; name only what has to be left out",
        )
    return tuple(
        Expected(feed=each.feed, table=each.table, file=each.file, sha256=each.sha256)
        for each in later.inputs
        if each.file not in without
    )


def check_taken(private: Path, current: str | None, delivered: Sequence[Delivery], last: RunManifest | None) -> None:
    """After a rollback: refuse to run without an extract that was taken before it. A corrected one has the same name.

    Raises:
        PolicyError: One is not in its folder; names the first and counts the others.
    """
    wanted = operations.expected(private, current)
    if not wanted:
        return
    known = {each.sha256 for each in wanted} | {each.sha256 for each in (last.inputs if last else ())}
    here, corrected = set(), Counter[tuple[str, str, str]]()
    for delivery in delivered:
        for name, extracts in delivery.extracts.items():
            here |= {(delivery.feed.name, name, each.digest) for each in extracts}
            corrected.update((delivery.feed.name, name, x.path.name) for x in extracts if x.digest not in known)
    missing = []
    for each in wanted:
        if (each.feed, each.table, each.sha256) not in here:
            corrected[each.feed, each.table, each.file] -= 1
            missing += [each] if corrected[each.feed, each.table, each.file] < 0 else []
    if missing:
        first, more = missing[0], f", and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise PolicyError(
            f"{first.file} of {first.feed} {first.table}{more}: taken by a run that was rolled back, and not in its folder; "
            "what it said of opt-outs would be forgotten",
            hint="put it back, or deliver it corrected under its name; where it may be left out: "
            f"`linkage rollback linkage.toml {current} --without {first.file} --reference DOCUMENT`",
        )
