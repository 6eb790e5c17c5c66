"""The runs of a purpose: what each read and published, whether its snapshot is still there, and when it will go.

Operators read the exact accounts in the private folder; analysts the snapshots' manifests, with small numbers withheld.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict

from linkage.config import Configuration
from linkage.errors import InputError, IntegrityError
from linkage.nights import rekeyed
from linkage.store.layout import RUN_ID, Store
from linkage.store.manifest import RunManifest, SnapshotManifest

__all__ = ["History", "Listed", "Run", "State", "kept", "of_purpose", "of_store", "there_in"]

State = Literal["current", "kept", "gone"]
_Kind = TypeVar("_Kind", RunManifest, SnapshotManifest)


@dataclass(frozen=True, slots=True)
class Run:
    """One run.

    Attributes:
        name: Its id.
        state: Whether its snapshot is the current one, still there, or gone.
        snapshot: What analysts may read of it.
        account: Everything, exactly; None for analysts.
        goes_in: With which next run that publishes its snapshot goes by `store.keep`; None where that is not known.
        goes_from: The day from which on the next run removes it by `purpose.retention`; None without one.
    """

    name: str
    state: State
    snapshot: SnapshotManifest
    account: RunManifest | None = None
    goes_in: int | None = None
    goes_from: date | None = None


class Listed(BaseModel):
    """One line of `linkage runs list`; None: withheld, or not known to whoever asks.

    Attributes:
        run: The run's id.
        started: When, UTC.
        purpose: The purpose.
        state: As in `Run`.
        read: Rows read.
        published: Rows of feeds' tables that were published.
        extracts: Extracts that the run rested on.
        new_extracts: Those of them that the run before did not have.
        goes_in: As in `Run`.
        goes_from: As in `Run`.
        from_held: The run whose held bundle was linked again, where no extract was read.
        full: Why everything was linked anew; None where the run went on from the one before.
        made_again: Extracts that the run before had, whose rows were made again all the same.
        why: The most frequent reason for that.
    """

    model_config = ConfigDict(frozen=True)

    run: str
    started: str
    purpose: str
    state: State
    read: int | None
    published: int | None
    extracts: int | None = None
    new_extracts: int | None = None
    goes_in: int | None = None
    goes_from: date | None = None
    from_held: str | None = None
    full: str | None = None
    made_again: int | None = None
    why: str | None = None


@dataclass(frozen=True, slots=True)
class History:
    """Runs by name, oldest first. They are read one at a time: an account is as large as its run had files.

    Attributes:
        names: Every run that is known.
        read: Reads one; None where its account or manifest is damaged.
        current: The current one.
    """

    names: tuple[str, ...]
    read: Callable[[str], Run | None]
    current: str | None

    def find(self, name: str | None = None) -> Run:
        """A run by its id or a part of it that no other has; the current one when not given.

        Raises:
            InputError: There is none, or several.
            IntegrityError: It cannot be read.
        """
        if name is None and self.current is None:
            raise InputError("nothing has been published", hint="run the pipeline first")
        wanted = name or self.current or ""
        found = [wanted] if wanted in self.names else [each for each in self.names if wanted in each]
        if len(found) != 1:
            problem = "several runs have this in their names" if found else "no run is known by this name"
            raise InputError(problem, hint="`linkage runs list` names them")
        run = self.read(found[0])
        if run is None:
            raise IntegrityError(f"{found[0]}: what is kept of this run is damaged", hint="restore it from its backup")
        return run

    def before(self, run: Run) -> Run | None:
        """The run to compare with: its last run where that is known, else the one before it."""
        said = run.account.last_run if run.account else run.snapshot.last_run
        earlier = [each for each in self.names if each < run.name]
        name = said if said in self.names else earlier[-1] if earlier else None
        return self.read(name) if name else None

    def later(self, name: str) -> Iterator[tuple[str, Run | None]]:
        """Runs that came after one; None for a damaged one."""
        return ((each, self.read(each)) for each in self.names if each > name)

    def listed(self, last: int | None = None) -> Iterator[Listed | str]:
        """A line for each of the newest, oldest first; the name alone of one that is damaged."""
        for name in self.names[-last if last else 0 :]:
            run = self.read(name)
            yield name if run is None else _line(run, self.before(run))


def of_purpose(configuration: Configuration) -> History:
    """Every run whose exact account is kept, for the pipeline's operators."""
    store = Store(configuration.at(configuration.store.path))
    folder = configuration.at(configuration.private) / "runs"
    there, current = there_in(store), store.current()
    rule, spared = configuration.purpose.retention, rekeyed.spared(configuration.at(configuration.private))
    counted = [name for name in there if name not in spared]

    def read(name: str) -> Run | None:
        account = _parsed(folder / f"{name}.json", RunManifest)
        if account is None:
            return None
        here = name in there
        return Run(
            name=name,
            state=_state(name, there, current),
            snapshot=account.snapshot,
            account=account,
            goes_in=_goes_in(name, counted, configuration.store.keep) if name in counted else None,
            goes_from=account.snapshot.started.date() + timedelta(days=rule.days) if rule and here else None,
        )

    return History(tuple(sorted(path.stem for path in folder.glob("*.json"))), read, current)


def of_store(path: Path) -> History:
    """Every snapshot that is there, for whoever may read the store.

    Raises:
        InputError: It is no store.
    """
    store = Store(path)
    if not store.marker.is_file():
        raise InputError(f"{path}: not a linkage store", hint="name the folder that holds `linkage-store`")
    there, current = there_in(store), store.current()

    def read(name: str) -> Run | None:
        found = _parsed(store.snapshots / name / "manifest.json", SnapshotManifest)
        return None if found is None else Run(name, _state(name, there, current), found)

    return History(tuple(there), read, current)


def kept(configuration: Configuration) -> tuple[str, ...]:
    """The runs whose snapshots can be gone back to, the newest first: those that are there and have an account."""
    store, known = Store(configuration.at(configuration.store.path)), of_purpose(configuration)
    return tuple(name for name in reversed(there_in(store)) if name in known.names and name != known.current)


def there_in(store: Store) -> list[str]:
    """The snapshots that are there, oldest first."""
    try:
        return sorted(path.name for path in store.snapshots.iterdir() if RUN_ID.fullmatch(path.name.encode()))
    except FileNotFoundError:
        return []


def _parsed(path: Path, kind: type[_Kind]) -> _Kind | None:
    try:
        return kind.model_validate_json(path.read_bytes())
    except PermissionError:
        raise InputError(
            f"{path}: may not be read by this user",
            hint="exact accounts are for the pipeline's operators; with --store whoever may read it is told the rest",
        ) from None
    except (OSError, ValueError):
        return None


def _state(name: str, there: Sequence[str], current: str | None) -> State:
    if name not in there:
        return "gone"
    return "current" if name == current else "kept"


def _goes_in(name: str, there: Sequence[str], keep: int) -> int:
    """The next run that publishes counts as 1; it is the current one then and `keep - 1` others stay."""
    newer = len(there) - 1 - list(there).index(name)
    return max(keep - newer, 1)


def _line(run: Run, before: Run | None) -> Listed:
    balance = run.account.balance if run.account else run.snapshot.balance
    again: Counter[str] = Counter()
    for each in run.account.taken if run.account else ():
        again.update(each.again)
    return Listed(
        run=run.name,
        started=f"{run.snapshot.started:%Y-%m-%dT%H:%M:%SZ}",
        purpose=run.snapshot.purpose,
        state=run.state,
        read=_sum([each.read for each in balance]),
        published=_sum([each.published for each in balance]),
        extracts=len(run.account.inputs) if run.account else None,
        new_extracts=_new(run.account, before.account if before else None) if run.account else None,
        goes_in=run.goes_in,
        goes_from=run.goes_from,
        from_held=run.account.from_held if run.account else None,
        full=run.account.full if run.account else None,
        made_again=again.total() if run.account else None,
        why=again.most_common(1)[0][0] if again else None,
    )


def _sum(counts: Sequence[int | None]) -> int | None:
    """The sum; None where a part of it is withheld."""
    return None if None in counts else sum(each or 0 for each in counts)


def _new(account: RunManifest, before: RunManifest | None) -> int:
    had = {(each.feed, each.table, each.sha256) for each in before.inputs} if before else set()
    return sum((each.feed, each.table, each.sha256) not in had for each in account.inputs)
