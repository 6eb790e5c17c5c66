"""Which parts of the last bundle still stand: those of files that are as they were, where all that they rest on is too.

Whatever cannot be told cheaply and exactly is made again, and why is said.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from linkage import compare, hide
from linkage.compare import Files
from linkage.contract import Role, Table
from linkage.hide import Hidden
from linkage.optouts.policy import Policy
from linkage.optouts.type1_codes import Codes
from linkage.reasons import Reason
from linkage.site import Delivery, is_pseudonymised
from linkage.sources.resolve import People
from linkage.store.manifest import TableTaken
from linkage.taken import Taken, TakenFile, TakenTable, versions
from linkage.untold import codes_digest

if TYPE_CHECKING:
    from linkage.parts import Made, Work

__all__ = ["FeedPlan", "TablePlan", "account", "plan", "told"]

_WITHDRAWN = Reason.WITHDRAWN.value
EARLIER = "a file that was delivered before it came"
MAY_STAND_AGAIN = "rows that a later delivery had taken out may stand again"


@dataclass(frozen=True, slots=True)
class TablePlan:
    """What is made of the files of one table.

    Attributes:
        files: The files.
        places: The place of each among the table's parts, by position; of two files the later one's is higher.
        kept: By position, those whose parts of the last bundle stand.
        why: By position, why the part of a file that the last run took is made again.
        rests_on: What the parts are made by, by what it is: digests.
    """

    files: Files
    places: tuple[int, ...]
    kept: Mapping[int, TakenFile] = field(default_factory=dict)
    why: Mapping[int, str] = field(default_factory=dict)
    rests_on: Mapping[str, str] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """Rows of the files that are read."""
        return sum(each.rows for position, each in enumerate(self.files.extracts) if position not in self.kept)


@dataclass(frozen=True, slots=True)
class FeedPlan:
    """What is made of the files of one feed.

    Attributes:
        tables: By name, for those that are handed over.
        hidden: The records marked sensitive, by the table whose rows they hide.
    """

    tables: Mapping[str, TablePlan]
    hidden: Mapping[str, Sequence[Hidden]] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """Rows that are read."""
        return sum(each.rows for each in self.tables.values())


def plan(delivery: Delivery, work: Work) -> FeedPlan:
    """Decide for every file of a feed whether its part of the last bundle stands."""
    hidden = hide.find(delivery)
    common = _common(delivery, work)
    tables = {}
    for name, table in delivery.feed.handed_over().items():
        rests_on = {**common, **dict(_own(delivery, table, hidden.get(name, ()), work))}
        tables[name] = _table(delivery, name, rests_on)
    return FeedPlan(tables, hidden)


def _table(delivery: Delivery, name: str, rests_on: Mapping[str, str]) -> TablePlan:
    files = compare.files(delivery, name)
    reason = _everything(delivery, name, files, rests_on)
    if reason is not None:
        return TablePlan(
            files, tuple(range(len(files.extracts))), why=dict.fromkeys(files.known, reason), rests_on=rests_on
        )
    places: list[int] = []
    kept: dict[int, TakenFile] = {}
    why: dict[int, str] = {}
    for position in range(len(files.extracts)):
        least = places[-1] + 1 if places else 0
        before = files.known.get(position)
        if before is not None and before.part is not None and before.quality is not None:
            if before.part.place >= least:
                kept[position] = before
                places.append(before.part.place)
                continue
            why[position] = EARLIER
        places.append(least)
    if files.gone or why:
        for position in [each for each, before in kept.items() if before.part and _WITHDRAWN in before.part.removed]:
            why[position] = MAY_STAND_AGAIN
            del kept[position]
    return TablePlan(files, tuple(places), kept, why, rests_on)


def account(delivered: Sequence[Delivery], plans: Sequence[FeedPlan], made: Sequence[Made], codes: Codes) -> Taken:
    """What a run took, for the next."""
    parts = {(each.parts.feed, each.parts.table): each for each in made}
    tables = {}
    for delivery, plan in zip(delivered, plans, strict=True):
        for name in delivery.feed.tables:
            own, found = plan.tables.get(name), parts.get((delivery.feed.name, name))
            files = [
                TakenFile.of(
                    extract,
                    delivery.folder,
                    found.parts.parts[position] if found else None,
                    found.quality[position] if found else None,
                )
                for position, extract in enumerate(delivery.extracts[name])
                if delivery.folder and extract.seen
            ]
            tables[f"{delivery.feed.name} {name}"] = TakenTable(
                contract=compare.contract_digest(delivery.feed, name),
                rests_on=dict(own.rests_on) if own else {},
                files=tuple(files),
            )
    contracts = {each.feed.name: each.feed.digest for each in delivered}
    return Taken(versions=versions(), contracts=contracts, type1=codes_digest(codes), tables=tables)


def told(delivered: Sequence[Delivery], plans: Sequence[FeedPlan]) -> tuple[TableTaken, ...]:
    """For the account of the run: of every table that is handed over, what was made, what stood, and why."""
    return tuple(
        TableTaken(
            feed=delivery.feed.name,
            table=name,
            new=len(each.files.extracts) - len(each.files.known),
            kept=len(each.kept),
            again=dict(sorted(Counter(each.why.values()).items())),
            gone=tuple(sorted(Path(file.path).name for file in each.files.gone)),
        )
        for delivery, plan in zip(delivered, plans, strict=True)
        for name, each in plan.tables.items()
    )


def _everything(delivery: Delivery, name: str, files: Files, rests_on: Mapping[str, str]) -> str | None:
    """Why no part of a table stands; None where some may."""
    memory = delivery.memory
    if memory is None or memory.why is not None:
        return (memory.why if memory else None) or "nothing is known of earlier runs"
    if not files.same_contract:
        return "its contract or what the flow takes changed"
    before = memory.table(delivery.feed.name, name).rests_on
    changed = [what for what in {**before, **rests_on} if before.get(what) != rests_on.get(what)]
    return f"{' and '.join(changed)} changed" if changed else None


def _common(delivery: Delivery, work: Work) -> dict[str, str]:
    """What the parts of every table of a feed rest on, besides its contract."""
    said = {
        "the token domain or the key": [work.pseudonymiser.domain, work.pseudonymiser.key_id],
        "the days and codes that the flow takes": [
            str(delivery.selection.earliest),
            sorted((name, sorted(codes)) for name, codes in delivery.selection.codes.items()),
        ],
        "how far people are described": [work.minimiser.birth, _digest(work.minimiser.areas)],
        "what counts as late": work.quality.late_after_days,
        "the restricted codes": [sorted(work.policy.restricted.codes), work.policy.restricted.beginnings],
    }
    made = {what: _hash(each) for what, each in said.items()}
    if not is_pseudonymised(delivery.feed):
        made["people"] = _people(work.who, work.policy.allow_test_numbers)
        made["opt-outs or practices"] = _policy(work.policy, delivery.feed.name)
    return made


def _own(delivery: Delivery, table: Table, hidden: Sequence[Hidden], work: Work) -> Iterator[tuple[str, str]]:
    """What the parts of one table rest on besides."""
    if lookups := sorted({column.lookup for column in table.columns.values() if column.lookup}):
        yield "its table of codes", _hash([_digest(delivery.lookups[name]) for name in lookups])
    active = delivery.active.get(table.submission.active or "") if table.submission else None
    if active is not None:
        yield "its active submissions", _digest(active.to_frame())
    if hidden:
        yield "records marked sensitive", _hash([[each.by, _digest(each.keys)] for each in hidden])
    if is_pseudonymised(delivery.feed) and table.with_role(Role.PERSON_KEY):
        yield "people", _people(work.who, work.policy.allow_test_numbers)


def _people(who: People, allow_test: bool) -> str:
    entries = {name: _digest(frame) for name, frame in sorted(who.by_namespace.items())}
    return _hash([entries, _digest(who.current), allow_test])


def _policy(policy: Policy, feed: str) -> str:
    standing, sharing = policy.standings[feed], policy.sharing
    listed = [hashlib.sha256(each.tobytes()).hexdigest() for each in (standing.numbers, standing.verdicts)]
    practices = sharing and [
        {name: sorted(codes) for name, codes in sharing.agreed.items()},
        sorted(sharing.listed),
        [[str(each.starts), str(each.ends), sorted(each.practices)] for each in sharing.periods],
        _digest(sharing.leavers),
    ]
    return _hash([listed, standing.otherwise, standing.otherwise_abroad, practices])


def _hash(said: object) -> str:
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _digest(frame: pl.DataFrame | None) -> str:
    """The same for the same rows, in whatever order."""
    if frame is None:
        return ""
    # Older Arrow writes text end to end, so that the bytes do not depend on how a frame came about.
    content = frame.sort(frame.columns).rechunk().write_ipc(None, compat_level=pl.CompatLevel.oldest())
    return hashlib.sha256(content.getbuffer()).hexdigest()
