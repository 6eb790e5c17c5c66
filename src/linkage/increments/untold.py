"""Which files the roster has yet to hear of: it keeps what the others said.

What files say of a key is put together in the order of delivery, so a kind of statement is heard again from all files where
that order changed, where a file changed or went, or where the same file would say something else now.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from datetime import datetime

from linkage.contract import Table
from linkage.increments import compare, translations
from linkage.increments.compare import Files
from linkage.optouts.type1_codes import Codes
from linkage.site import Delivery
from linkage.sources.inspect import Extract

__all__ = ["Untold", "codes_digest"]

_Told = tuple[str, str]  # a feed and its table
_Group = tuple[str, str]  # what is told, and what people are known by


class Untold:
    """What of the files of a run the roster has yet to hear."""

    def __init__(self, delivered: Sequence[Delivery], codes: Codes) -> None:
        self._files: dict[_Told, Files] = {}
        groups: dict[_Group, list[_Told]] = {}
        for delivery in delivered:
            for name, table in delivery.feed.tables.items():
                self._files[delivery.feed.name, name] = compare.files(delivery, name)
                for kind in _kinds(table):
                    groups.setdefault((kind, _namespace(kind, table)), []).append((delivery.feed.name, name))
        unlike = {(each.feed.name, name) for each in delivered for name in each.feed.tables if self._unlike(each, name)}
        searched = {each.memory.taken.type1 for each in delivered if each.memory}
        self._again = {
            (kind, namespace)
            for (kind, namespace), tables in groups.items()
            if unlike.intersection(tables)
            or self._at_odds(tables)
            or (kind == "type1" and searched != {codes_digest(codes)})
        }

    def tells(self, kind: str, delivery: Delivery, name: str, extract: Extract) -> bool:
        """Whether a file says something of this kind that the roster does not know."""
        table = delivery.feed.tables[name]
        if kind not in _kinds(table):
            return False
        new = any(each is extract for each in self._files[delivery.feed.name, name].new)
        return new or (kind, _namespace(kind, table)) in self._again

    def _unlike(self, delivery: Delivery, name: str) -> bool:
        """Whether files that the last run took are gone, come after others now, or would say something else."""
        files = self._files[delivery.feed.name, name]
        return not files.only_added or not _same_words(delivery, name, files)

    def _at_odds(self, tables: Sequence[_Told]) -> bool:
        """Whether a new file was delivered no later than one that was heard.

        Of statements of one moment the last one heard may count, and the order in which files are read decides.
        """
        newest = max(_stamps([self._files[each] for each in tables], known=True), default=None)
        earliest = min(_stamps([self._files[each] for each in tables], known=False), default=None)
        return newest is not None and earliest is not None and earliest <= newest


def _kinds(table: Table) -> tuple[str, ...]:
    """What a table tells the roster of."""
    told = {
        "entries": table.roster,
        "type1": table.type1,
        "superseded": table.superseded,
        "flags": table.optout_flags,
        "registrations": table.registration,
    }
    return tuple(kind for kind, said in told.items() if said)


def _namespace(kind: str, table: Table) -> str:
    """What the roster knows the people by whom a table speaks of."""
    by_key = table.person_keys and kind != "superseded"
    return table.columns[table.person_keys[0]].namespace or "" if by_key else ""


def _same_words(delivery: Delivery, name: str, files: Files) -> bool:
    """Whether codes are translated, and submissions active, in files that the last run took as they were for it."""
    table = delivery.feed.tables[name]
    memory, feed = delivery.memory, delivery.feed.name
    met, taken = translations.met(delivery, name), {each.path for each in files.known.values()}
    if met is None or met & taken:
        return False
    if table.submission is None or table.submission.active is None:
        return True
    active = f"{feed} active {table.submission.active}"
    before, now = (memory.frame(active), memory.frames.get(active)) if memory else (None, None)
    # Where the list came or went, submissions count that did not, or do not that did.
    return before is now if before is None or now is None else before.equals(now)


def _stamps(found: Sequence[Files], *, known: bool) -> Iterator[datetime]:
    for files in found:
        for position, extract in enumerate(files.extracts):
            if (position in files.known) is known:
                yield extract.delivered


def codes_digest(codes: Codes) -> str:
    """What files are searched for, and how many codes may go untranslated."""
    said = [sorted(codes.dissent), sorted(codes.withdrawal), codes.max_untranslated]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()
