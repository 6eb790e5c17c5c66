"""The steps of linking one after the other, from a checked bundle to every table that is published, anew or on top of the last run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import duckdb

from linkage.anew import Write
from linkage.link.before import Before
from linkage.link.checks import check_no_numbers, check_tokens
from linkage.link.codes import make_event_codes
from linkage.link.doubted import find_doubted
from linkage.link.events import make_events
from linkage.link.increment import Made
from linkage.link.persons import make_persons, make_registrations
from linkage.link.reached import Change
from linkage.link.resettle import keep_attributes, resettle
from linkage.link.settle import Settled, settle
from linkage.link.standing import Fall, find_falls
from linkage.link.tables import FeedTable
from linkage.link.touched import find_touched

__all__ = ["Steps"]


@dataclass
class Steps:
    """The hub half's work on one bundle.

    Attributes:
        connection: From `engine.connect`.
        folder: The bundle.
        handed: All its tables, with those that only name deleted records.
        before: What to go on from; None makes everything.
        write: Writes files of the new snapshot; nothing is gone on from without it.
        settled: What became of each table of records, by published name, once `settle` is done.
    """

    connection: duckdb.DuckDBPyConnection
    folder: Path
    handed: Sequence[FeedTable]
    before: Before | None = None
    write: Write | None = None
    settled: dict[str, Settled] = field(default_factory=dict)
    _changes: dict[str, Change] = field(default_factory=dict)

    @property
    def tables(self) -> list[FeedTable]:
        """The tables of records."""
        return [each for each in self.handed if each.table.kind == "records"]

    def check(self) -> None:
        """Look for what is no token, and for NHS numbers, in all parts that the last run did not look at.

        Raises:
            IntegrityError: There is some; names the column.
        """
        parts = [each.parts for each in self.handed]
        fresh = [self.before.new_parts(each) if self.before else each for each in parts]
        check_tokens(self.connection, self.folder, fresh)
        check_no_numbers(self.connection, self.folder, fresh, parts)

    def settle(self, advance: Callable[[int], object]) -> None:
        """Settle every table of records.

        Args:
            advance: Told of the rows of each table when it is done.

        Raises:
            IntegrityError: Rows do not add up, or what the last run left was changed.
        """
        falls = find_falls(self.connection, self.folder, self.handed)
        earlier = self._earlier()
        for each in self.tables:
            fallen = falls.get(each.name, ())
            if self.before is None or self.write is None:
                done = settle(self.connection, self.folder, each.parts, each.table, fallen)
            else:
                then = earlier.get(each.name, ())
                change = Change(self.connection, self.folder, each, self.before, self.write, fallen, then)
                done = resettle(change)
                if not done.why:
                    self._changes[each.name] = change
            self.settled[each.name] = done
            advance(sum(part.kept for part in each.parts.parts))

    def _earlier(self) -> Mapping[str, tuple[Fall, ...]]:
        """For what rows of the last bundle fell, of the feeds whose contract is the same."""
        if self.before is None:
            return {}
        then = self.before.tables
        same = [
            replace(each, parts=then[each.name])
            for each in self.handed
            if each.name in then and then[each.name].contract_digest == each.parts.contract_digest
        ]
        return find_falls(self.connection, self.before.folder, same, prefix="_before")

    def link(self) -> dict[str, Made]:
        """Make the tables of events, codes and persons.

        Returns:
            They and the settled tables, by published name.

        Raises:
            IntegrityError: What the last run left was changed.
        """
        connection, tables = self.connection, self.tables
        logs = {each.name for each in self.handed} - {each.name for each in tables}
        increment = self.before.increment(self._changes, logs, self.write) if self.before and self.write else None
        made = {each: settled.made for each, settled in self.settled.items()}
        made["event"] = make_events(connection, tables, increment, made)
        made["event_code"] = make_event_codes(connection, tables, increment)
        touched = find_touched(connection, tables, increment)
        doubted = find_doubted(connection, tables, touched) if touched else None
        for change in self._changes.values():
            asked = doubted.about(change.table) if doubted else None
            if asked or doubted is None:
                keep_attributes(change, asked)
        made["person"] = make_persons(connection, tables, increment, touched, doubted)
        made["registration"] = make_registrations(connection, tables, increment)
        return made
