"""Which parts of the last bundle still stand: those of files that are as they were, where all that they rest on is too.

Whatever cannot be told cheaply and exactly is made again, and why is said.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from linkage import hide
from linkage.contract import Role, Table
from linkage.errors import LinkageError
from linkage.hide import Hidden
from linkage.increments import compare, judged, translations
from linkage.increments.compare import Files
from linkage.increments.concerned import Concerned
from linkage.increments.judged import Judged
from linkage.increments.plans import FeedPlan, TablePlan
from linkage.increments.reach import Between, Reach
from linkage.increments.standing_parts import NOT_KNOWN, Standing
from linkage.increments.taken import Memory, Taken, TakenFile, TakenTable, versions
from linkage.increments.untold import codes_digest
from linkage.optouts.type1_codes import Codes
from linkage.site import Delivery, is_pseudonymised
from linkage.sources.resolve import People
from linkage.store.manifest import TableTaken

if TYPE_CHECKING:
    from linkage.jobs import Made
    from linkage.parts import Work

__all__ = ["account", "between", "gone", "plan", "told"]

EARLIER = "a file that was delivered before it came"


def between(memory: Memory, now: Judged) -> Between | None:
    """What differs from what the last run decided by; None where that is not known.

    Args:
        memory: What the last run took.
        now: What this run decides by.
    """
    if memory.folder is None or memory.unseal is None:
        return None
    who = now.who.earlier(allow_test=now.policy.allow_test_numbers)
    if who is None:
        return None
    # What is damaged is not relied on: then all is made again, and the run says so.
    with suppress(LinkageError):
        return Between(judged.load(memory.folder / "site" / "judged", who, memory.unseal), now)
    return None


def gone(delivered: Sequence[Delivery]) -> Iterator[str]:
    """What a run says of extracts that the last one took and that are not there, or not as they were."""
    for delivery in delivered:
        for table in delivery.feed.tables:
            here = {compare.source(delivery, each) for each in delivery.extracts[table]}
            for file in compare.files(delivery, table).gone:
                name = Path(file.path).name
                what = "changed since the last run" if file.path in here else "is gone, and its rows with it"
                yield f"{delivery.feed.name} {table}: {name} {what}"


def plan(delivery: Delivery, work: Work, between: Between | None) -> FeedPlan:
    """Decide for every file of a feed whether its part of the last bundle stands.

    Args:
        delivery: The feed's files.
        work: What rows are held against.
        between: What differs from what the last run decided by; None where that is not known.
    """
    hidden = hide.find(delivery)
    tables = {name: _table(delivery, name, work, hidden.get(name, ()), between) for name in delivery.feed.handed_over()}
    return FeedPlan(tables, hidden)


def _table(delivery: Delivery, name: str, work: Work, hidden: Sequence[Hidden], between: Between | None) -> TablePlan:
    files = compare.files(delivery, name)
    rests_on = {**_common(delivery, work), **dict(_own(delivery, delivery.feed.tables[name], hidden, work))}
    reason = _everything(delivery, name, files, rests_on) or _words_changed(delivery, name)
    places, kept, why = _in_order(files)
    stands = Standing(delivery, name, work, kept)
    reach = Reach(everything=reason) if reason else _reach(delivery, name, between, stands)
    reason = reach.everything
    if reason is None and kept and stands.incomplete:
        reason = NOT_KNOWN
    if reason is not None:
        return TablePlan(
            files, tuple(range(len(files.extracts))), why=dict.fromkeys(files.known, reason), rests_on=rests_on
        )
    change, marked = stands.people(reach), stands.hidden(hidden)
    mended = {**change.mended, **marked}
    if between is None or any(each.before is None for each in hidden):
        mended, why = {}, {**mended, **why}
    why = {**change.why, **why, **stands.not_known(marked), **stands.translated()}
    kept = {position: before for position, before in kept.items() if position not in why}
    concerned = Concerned.of(reach, hidden)
    return TablePlan(
        files, places, kept, why, rests_on, reach, change.tokens, change.changed, change.recounted,
        mended={position: reason for position, reason in mended.items() if position in kept},
        concerned=concerned,
        before=concerned.known(between.before, delivery.feed.tables[name]) if between and mended else None,
    )  # fmt: skip


def _in_order(files: Files) -> tuple[tuple[int, ...], dict[int, TakenFile], dict[int, str]]:
    """A place for every file, those that keep theirs, and why others do not."""
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
    return tuple(places), kept, why


def _reach(delivery: Delivery, name: str, between: Between | None, stands: Standing) -> Reach:
    table = delivery.feed.tables[name]
    if table.kind != "records" or is_pseudonymised(delivery.feed):
        return Reach()
    if between is None:
        return Reach(everything="what the last run decided by is not known")
    return between.reach(delivery.feed, table, stands.lacked)


def _words_changed(delivery: Delivery, name: str) -> str | None:
    """Whether something is translated otherwise than it was; what was not translated at all is another matter."""
    changed = any(words.changed for words in translations.of(delivery, delivery.feed.tables[name]).values())
    return "its table of codes changed" if changed else None


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


def told(delivered: Sequence[Delivery], plans: Sequence[FeedPlan], made: Sequence[Made]) -> tuple[TableTaken, ...]:
    """For the account of the run: of every table that is handed over, what was made, what stood, and why."""
    made_again = {(each.parts.feed, each.parts.table): each.again for each in made}
    return tuple(
        TableTaken(
            feed=delivery.feed.name,
            table=name,
            new=len(each.files.extracts) - len(each.files.known),
            kept=len(each.files.known) - len(again) - len(mended),
            mended=dict(sorted(Counter(mended.values()).items())),
            again=dict(sorted(Counter(again.values()).items())),
            gone=tuple(sorted(Path(file.path).name for file in each.files.gone)),
        )
        for delivery, plan in zip(delivered, plans, strict=True)
        for name, each in plan.tables.items()
        for again in [made_again[delivery.feed.name, name]]
        for mended in [{position: why for position, why in each.mended.items() if position not in again}]
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
        "how far people are described": [work.minimiser.birth, work.minimiser.digest],
        "what counts as late": work.quality.late_after_days,
    }
    return {what: _hash(each) for what, each in said.items()}


def _own(delivery: Delivery, table: Table, hidden: Sequence[Hidden], work: Work) -> Iterator[tuple[str, str]]:
    """What the parts of one table rest on besides."""
    active = delivery.active.get(table.submission.active or "") if table.submission else None
    if active is not None:
        yield "its active submissions", _digest(active.to_frame())
    if table.with_role(Role.CODE):
        yield "the restricted codes", work.policy.restricted.digest
    if hidden:
        yield "what marks records sensitive", _hash([each.by for each in hidden])
    if is_pseudonymised(delivery.feed) and table.with_role(Role.PERSON_KEY):
        yield "people", _people(work.who, work.policy.allow_test_numbers)


def _people(who: People, allow_test: bool) -> str:
    entries = {name: _digest(frame) for name, frame in sorted(who.by_namespace.items())}
    return _hash([entries, _digest(who.current), allow_test])


def _hash(said: object) -> str:
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _digest(frame: pl.DataFrame | None) -> str:
    """The same for the same rows, in whatever order."""
    if frame is None:
        return ""
    # Older Arrow writes text end to end, so that the bytes do not depend on how a frame came about.
    content = frame.sort(frame.columns).rechunk().write_ipc(None, compat_level=pl.CompatLevel.oldest())
    return hashlib.sha256(content.getbuffer()).hexdigest()
