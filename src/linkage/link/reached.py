"""The records that a change reaches: some row of theirs came, went or differs, or stands or falls otherwise than before.

Any superset would do, since every record that is named here is settled from all its rows. A record is its key; where a
part of the key is null it is all rows with that same key, which settling keeps side by side.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import duckdb

from linkage.anew import Write
from linkage.bundle import TableParts
from linkage.link import tables
from linkage.link.before import Before, Compared
from linkage.link.engine import name, run
from linkage.link.standing import Fall
from linkage.link.tables import FeedTable

__all__ = ["REACHED", "Change", "find_reached", "matches"]

REACHED = "temp._reached"
PIECE = 1_000_000  # rows of an extract


@dataclass(frozen=True)
class Change:
    """One table between two runs.

    Attributes:
        connection: From `engine.connect`.
        folder: The bundle.
        table: The table in it.
        before: The last run, with the same table by the same contract.
        write: Writes files of the new snapshot.
        falls: Why rows no longer stand, from `find_falls`.
        earlier: The same of the last run.
    """

    connection: duckdb.DuckDBPyConnection
    folder: Path
    table: FeedTable
    before: Before
    write: Write
    falls: Sequence[Fall] = ()
    earlier: Sequence[Fall] = field(default=())

    @cached_property
    def compared(self) -> Compared:
        """The parts beside those of the last run."""
        return self.before.compared(self.table.parts)

    @property
    def nothing(self) -> bool:
        """Whether no part came or went, and nothing falls or fell."""
        return not (self.compared.came.parts or self.compared.gone.parts or self.falls or self.earlier)

    @property
    def keys(self) -> tuple[str, ...]:
        """The published columns of the key."""
        return tables.key_columns(self.table.parts, self.table.table)

    @property
    def columns(self) -> list[tuple[str, str]]:
        """The published columns with their types."""
        return [("token", "UUID"), *((each.name, each.type) for each in self.table.fields)]

    @property
    def step(self) -> str:
        """What is being done, for an error."""
        return f"settling what changed in {self.table.name}"

    def run(self, sql: str) -> list[tuple[object, ...]]:
        """Run a statement of this table."""
        return run(self.connection, sql, self.step)

    def count(self, relation: str) -> int:
        """The rows of a relation."""
        return int(run(self.connection, f"SELECT count(*) FROM {relation}", self.step)[0][0])


def find_reached(change: Change) -> int:
    """Make `temp._reached`, the keys of all records that the change reaches, and return how many there are."""
    types = dict(change.columns)
    typed = ", ".join(f"{name(key)} {types[key]}" for key in change.keys)
    change.run(f"CREATE OR REPLACE TEMP TABLE _met ({typed})")
    _rows_that_differ(change)
    _rows_that_fall(change)
    change.run("CREATE OR REPLACE TEMP TABLE _reached AS SELECT DISTINCT * FROM temp._met")
    change.run("DROP TABLE temp._met")
    return change.count(REACHED)


def matches(change: Change, rows: str, keys: str) -> str:
    """A condition that is true where a row has a reached key; null parts of keys are equal to each other."""
    tested = ", ".join(f"coalesce(bool_or({name(key)} IS NULL), FALSE)" for key in change.keys)
    nulls = change.run(f"SELECT {tested} FROM {REACHED}")[0]
    # Equality alone is the faster join, and nearly always enough.
    return " AND ".join(
        f"{rows}.{name(key)} {'IS NOT DISTINCT FROM' if null else '='} {keys}.{name(key)}"
        for key, null in zip(change.keys, nulls, strict=True)
    )


def _rows_that_differ(change: Change) -> None:
    """File by file and piece by piece, so that what has to be kept of a comparison is never more than a piece.

    A row has one number in its extract, whatever was made of it: one is beside the other.
    """
    came, gone = change.compared.came, change.compared.gone
    keys = ", ".join(name(key) for key in change.keys)
    for place in sorted({each.place for each in (*came.parts, *gone.parts)}):
        now, then = _at(came, place), _at(gone, place)
        if now.parts and then.parts:
            for piece in _pieces(max(part.read for part in (*now.parts, *then.parts))):
                _compare(change, now, then, piece)
            continue
        rows = tables.rows(change.folder, now) if now.parts else tables.rows(change.before.folder, then)
        change.run(f"INSERT INTO temp._met SELECT DISTINCT {keys} FROM {rows}")


def _pieces(rows: int) -> Iterator[str]:
    """Conditions that each hold for some numbers of rows, and one of them for any."""
    bounds = list(range(PIECE, rows + 1, PIECE))
    for first, end in zip([None, *bounds], [*bounds, None], strict=True):
        least, most = "" if first is None else f"_row >= {first}", "" if end is None else f"_row < {end}"
        yield " AND ".join(filter(None, (least, most))) or "TRUE"


def _compare(change: Change, now: TableParts, then: TableParts, piece: str) -> None:
    columns = ["_row", "_delivered", "_deleted", *(column for column, _ in change.columns)]
    differs = " OR ".join(f"a.{name(each)} IS DISTINCT FROM b.{name(each)}" for each in columns)
    a, b = (
        f"(SELECT * FROM {tables.rows(folder, parts)} WHERE {piece})"
        for folder, parts in ((change.folder, now), (change.before.folder, then))
    )
    listed = ", ".join(f"{side}.{name(key)} AS {side}{at}" for side in "ab" for at, key in enumerate(change.keys))
    change.run(
        f"CREATE OR REPLACE TEMP TABLE _pairs AS SELECT {listed}, a._row AS a, b._row AS b"
        f" FROM {a} a FULL JOIN {b} b ON a._row = b._row WHERE {differs}"
    )
    for side in "ab":
        keys = ", ".join(f"{side}{at}" for at in range(len(change.keys)))
        change.run(f"INSERT INTO temp._met SELECT DISTINCT {keys} FROM temp._pairs WHERE {side} IS NOT NULL")
    change.run("DROP TABLE temp._pairs")


def _at(parts: TableParts, place: int) -> TableParts:
    return parts.model_copy(update={"parts": tuple(each for each in parts.parts if each.place == place)})


def _rows_that_fall(change: Change) -> None:
    """Records of rows about which the logs or the submissions say something else than they did."""
    now, then = ({fall.name: fall for fall in falls} for falls in (change.falls, change.earlier))
    rows, keys = tables.rows(change.folder, change.table.parts), ", ".join(f"r.{name(key)}" for key in change.keys)
    for each in sorted({*now, *then}):
        said = [f"SELECT * FROM {fall.table}" for fall in (now.get(each), then.get(each)) if fall]
        fall = now.get(each) or then[each]
        differs = f"({said[0]} EXCEPT {said[1]}) UNION ALL ({said[1]} EXCEPT {said[0]})" if len(said) == 2 else said[0]
        listed = ", ".join(column for _, column in fall.on)
        change.run(f"CREATE OR REPLACE TEMP TABLE _altered AS SELECT DISTINCT {listed} FROM ({differs})")
        if change.count("temp._altered"):
            on = " AND ".join(f"r.{name(own)} = f.{column}" for own, column in fall.on)
            change.run(f"INSERT INTO temp._met SELECT DISTINCT {keys} FROM {rows} r SEMI JOIN temp._altered f ON {on}")
