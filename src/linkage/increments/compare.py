"""The files of a table beside those that the last run took: which are known, which are new, which are gone.

A file is known again by its place in the folder, its delivery stamp and its digest. A copy of it elsewhere is a delivery of its
own, as it is for a run that reads everything.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from linkage.contract import Feed
from linkage.increments.taken import TakenFile
from linkage.sources.inspect import Extract

if TYPE_CHECKING:
    from linkage.site import Delivery

__all__ = ["Files", "contract_digest", "files", "source", "unknown_name"]


@dataclass(frozen=True, slots=True)
class Files:
    """The extracts of one table.

    Attributes:
        extracts: In the order of delivery.
        known: By their position among them, those that the last run took.
        gone: Names of files that the last run took and that are not there, or not as they were.
        contract: The digest of what the contract and the flow say of the table.
        same_contract: Whether the last run's was the same.
    """

    extracts: tuple[Extract, ...]
    known: Mapping[int, TakenFile] = field(default_factory=dict)
    gone: tuple[TakenFile, ...] = ()
    contract: str = ""
    same_contract: bool = False

    @property
    def only_added(self) -> bool:
        """Whether every file that the last run took is there, and all others were delivered after them.

        Never of a table of a database, which has nothing to be known again by.
        """
        if any(each.seen is None for each in self.extracts):
            return False
        return self.same_contract and not self.gone and set(self.known) == set(range(len(self.known)))

    @property
    def new(self) -> tuple[Extract, ...]:
        """Those that the last run did not take."""
        return tuple(each for place, each in enumerate(self.extracts) if place not in self.known)


def files(delivery: Delivery, name: str) -> Files:
    """One table of a delivery beside what the last run took of it."""
    memory, extracts = delivery.memory, delivery.extracts[name]
    contract = contract_digest(delivery.feed, name)
    if memory is None or delivery.folder is None:
        return Files(extracts, contract=contract)
    before = memory.table(delivery.feed.name, name)
    taken = {each.path: each for each in before.files}
    known: dict[int, TakenFile] = {}
    for place, extract in enumerate(extracts):
        if extract.seen is None:
            continue
        path = extract.path.relative_to(delivery.folder).as_posix()
        found = taken.get(path)
        if found and (found.digest, found.delivered) == (extract.digest, extract.delivered):
            known[place] = taken.pop(path)
    return Files(extracts, known, tuple(taken.values()), contract, before.contract == contract)


def contract_digest(feed: Feed, name: str) -> str:
    """The digest of everything that a contract, narrowed to a flow, says of one table."""
    table = feed.tables[name]
    said = [
        feed.digest,
        feed.model_dump(mode="json", exclude={"tables"}),
        table.model_dump(mode="json"),
        sorted(feed.deletable(table).items()) if table.kind == "records" else [],
    ]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def unknown_name(delivery: Delivery, table: str) -> str:
    """Under which name the keys are kept that no table of codes translated in the files of a table."""
    return f"{delivery.feed.name} untranslated {table}"


def source(delivery: Delivery, extract: Extract) -> str:
    """A file's place in the flow's folder; empty for a table of a database."""
    if extract.seen is None or delivery.folder is None:
        return ""
    return extract.path.relative_to(delivery.folder).as_posix()
