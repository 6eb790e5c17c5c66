"""What is to be made of the files of a run, and which parts of the last bundle stand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from linkage.hide import Hidden
from linkage.increments.compare import Files
from linkage.increments.concerned import Concerned
from linkage.increments.taken import TakenFile

if TYPE_CHECKING:
    from linkage.increments.carried import Tokens
    from linkage.increments.judged import Judged
    from linkage.increments.reach import Reach

__all__ = ["FeedPlan", "TablePlan"]


@dataclass(frozen=True, slots=True)
class TablePlan:
    """What is made of the files of one table.

    Attributes:
        files: The files.
        places: The place of each among the table's parts, by position; of two files the later one's is higher.
        kept: By position, those whose parts of the last bundle stand.
        why: By position, why the part of a file that the last run took is made again.
        rests_on: What the parts are made by, by what it is: digests.
        reach: What a change of people or registers means for parts that stand.
        tokens: The same, by token.
        changed: Places of parts of which some rows change by it.
        recounted: Places of parts that lack the rows that they lacked, of which some are counted for another reason.
        mended: By position, of those that stand: why some of their rows are read again.
        concerned: Which rows those are.
        before: What the last run decided by; None where nothing is mended.
    """

    files: Files
    places: tuple[int, ...]
    kept: Mapping[int, TakenFile] = field(default_factory=dict)
    why: Mapping[int, str] = field(default_factory=dict)
    rests_on: Mapping[str, str] = field(default_factory=dict)
    reach: Reach | None = None
    tokens: Tokens | None = None
    changed: frozenset[int] = frozenset()
    recounted: frozenset[int] = frozenset()
    mended: Mapping[int, str] = field(default_factory=dict)
    concerned: Concerned = field(default_factory=Concerned)
    before: Judged | None = None

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
