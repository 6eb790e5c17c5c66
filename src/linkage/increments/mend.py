"""A part of the last bundle mended: of a file that is as it was, only those rows are read again that a change concerns.

What the last run made of these rows is taken off the part and off what was counted of the file, and what this run makes of
them is put on. All other rows were decided by what is decided by still.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from linkage.bundle import LEVEL, Part, check_part, digest
from linkage.errors import IntegrityError
from linkage.increments import absent
from linkage.increments.absent import ABSENT
from linkage.increments.asking import UNIT
from linkage.increments.still import held_of, unknown
from linkage.increments.taken import link
from linkage.increments.twice import Side, Twice, of_file
from linkage.jobs import Done, Making, lacking
from linkage.reasons import Reason
from linkage.site import cleaned, reading, stamp
from linkage.sources import gate
from linkage.sources.quality import ColumnQuality, FileQuality

__all__ = ["Mended", "Read", "mend"]

MOST = 250_000  # rows that are decided about together, so that memory does not grow with those that are concerned
_WITHDRAWN = Reason.WITHDRAWN.value


@dataclass(frozen=True, slots=True, repr=False)
class Read:
    """Rows of one file that are looked at again.

    Attributes:
        position: Of the file among the table's.
        numbers: Their numbers in the file (UInt32).
        rows: The rows, cleaned; `_row` has the place of the file as well (`of_file`).
    """

    position: int
    numbers: pl.Series
    rows: pl.DataFrame


def mend(making: Making) -> Iterator[tuple[int, Done | None]]:
    """The parts of which some rows are looked at again, by position, and what is said of their files now.

    Returns:
        None for a file of which so many rows are concerned that it takes less to make its part anew.

    Raises:
        IntegrityError: Something that is held of the last run is missing, damaged, or does not go with the extract.
        InputError: A file is worse than the limits of today allow.
    """
    concerned = {position: _concerned(making, position) for position in making.plan.mended}
    yield from ((position, None) for position, numbers in concerned.items() if len(numbers) > MOST)
    few = {position: numbers for position, numbers in concerned.items() if len(numbers) <= MOST}
    for together in _some_at_once(_read(making, *each) for each in few.items()):
        rows = pl.concat(each.rows for each in together)
        before = making.plan.before
        if before is None:
            raise ValueError("without what the last run decided by nothing can be mended")
        twice = Twice.of(rows, making, before)
        for each in together:
            yield each.position, Mended(making, each, twice).done()


def _concerned(making: Making, position: int) -> pl.Series:
    delivery, extract = making.job.delivery, making.extracts[position]
    allow_test = making.job.work.policy.allow_test_numbers
    return making.plan.concerned.rows(delivery, making.name, extract, allow_test=allow_test)


def _read(making: Making, position: int, numbers: pl.Series) -> Read:
    delivery, extract = making.job.delivery, making.extracts[position]
    with reading(extract, delivery.feed):
        rows = cleaned(delivery, making.table, extract, numbers)
        rows = rows.with_columns(of_file(making.plan.places[position]).alias("_row"))
        return Read(position, numbers, rows.collect(engine="streaming"))


def _some_at_once(read: Iterable[Read]) -> Iterator[list[Read]]:
    together: list[Read] = []
    for each in read:
        together.append(each)
        if sum(one.rows.height for one in together) >= MOST:
            yield together
            together = []
    if together:
        yield together


@dataclass(frozen=True, slots=True, repr=False)
class Mended:
    """One part that is mended.

    Attributes:
        making: The table.
        read: Which of the file's rows were looked at.
        twice: What was and is decided about them, among others.
    """

    making: Making
    read: Read
    twice: Twice

    @property
    def _before(self) -> tuple[Part, FileQuality]:
        known = self.making.plan.kept[self.read.position]
        if known.part is None or known.quality is None:
            raise ValueError("only what was handed over can be mended")
        return known.part, known.quality

    def done(self) -> Done:
        """The part, and what is kept beside it."""
        making, position = self.making, self.read.position
        part, counted = self._before
        was, now = self.twice.was.at(part.place), self.twice.now.at(part.place)
        found = _moved(counted, was.quality(making, position), now.quality(making, position))
        gate.check_file(making.job.work.quality, making.table, making.extracts[position], found)
        memory, held = held_of(making)
        try:
            stood = pl.scan_parquet(held / "bundle" / part.path).filter(self._concerned).collect(engine="streaming")
            self._beside(held, part, was, now)
            made = self._account(part, self._written(held, part, stood), stood.height, was, now)
            told = [making.submissions.of_part(held / "bundle", part)] if making.submissions else []
        except (FileNotFoundError, pl.exceptions.PolarsError):
            raise IntegrityError(
                f"{part.path}: something of it is missing from what is held of the last run, or damaged",
                hint="run with --full",
            ) from None
        return Done(made, found, told, unknown(making, memory, position))

    @property
    def _concerned(self) -> pl.Expr:
        return pl.col("_row").is_in(self.read.numbers.cast(pl.Int64).implode())

    def _written(self, held: Path, part: Part, stood: pl.DataFrame) -> int:
        """Write the part; how many of the rows that were looked at it has now."""
        source, target = held / "bundle" / part.path, self.making.job.folder / part.path
        target.parent.mkdir(parents=True, exist_ok=True)
        extract = self.making.extracts[self.read.position]
        own = self.twice.released.filter(_of_place("_row", part.place)).sort("_row")
        rows = own.with_columns(
            (pl.col("_row") % 2**32).alias("_row"),
            stamp(extract).alias("_delivered"),
            pl.lit(part.place, pl.Int32).alias("_file"),
        ).select(stood.columns)
        if rows.equals(stood):
            link(source, target)
            return rows.height
        check_part(source, part)
        left = pl.scan_parquet(source).filter(~self._concerned)
        left.merge_sorted(rows.lazy(), key="_row").sink_parquet(target, compression="zstd", compression_level=LEVEL)
        return rows.height

    def _account(self, part: Part, stand: int, stood: int, was: Side, now: Side) -> Part:
        """Every row of the file accounted for."""
        removed = _sum(part.removed, was.removed, now.removed)
        # What was kept and does not stand in the part was taken out by a later row of its record.
        removed[_WITHDRAWN] = removed.get(_WITHDRAWN, 0) - (was.kept - stood)
        kept = part.kept - stood + stand
        if kept + sum(removed.values()) != part.read or min(removed.values()) < 0 or stand != now.kept:
            raise IntegrityError(
                f"{part.source}: its rows are not those that the last run counted",
                hint="the file was changed without a trace, or what is held of the last run: run with --full",
            )
        removed = {reason: rows for reason, rows in sorted(removed.items()) if rows}
        path = self.making.job.folder / part.path
        return part.model_copy(update={"kept": kept, "removed": removed, "digest": digest(path)})

    def _beside(self, held: Path, part: Part, was: Side, now: Side) -> None:
        """What is kept beside the part: keys of removed rows, rows that were taken out, whose rows it lacks."""
        making, withdrawals = self.making, self.making.withdrawals
        (making.job.site / part.path).parent.mkdir(parents=True, exist_ok=True)
        row = pl.col("_order") - part.place * 2**32
        left = pl.scan_parquet(withdrawals.beside(held / "site", part.path)).filter(
            ~row.is_in(self.read.numbers.cast(pl.Int64).implode())
        )
        more = self.twice.removed.lazy().filter(_of_place("_order", part.place))
        pl.concat([left, more]).sink_parquet(withdrawals.beside(making.job.site, part.path))
        taken_out = withdrawals.taken_out(held / "site", part.path)
        if part.removed.get(_WITHDRAWN):
            link(taken_out, withdrawals.taken_out(making.job.site, part.path))
        memory = making.job.delivery.memory
        if memory is None or memory.unseal is None:
            raise ValueError("only what a last run took can be mended")
        lacks = absent.load(lacking(held / "site", part.path), memory.unseal)
        absent.save(
            _lacking_now(lacks, was, now, making.plan.concerned.people),
            lacking(making.job.site, part.path),
            making.job.seal,
        )


def _of_place(column: str, place: int) -> pl.Expr:
    """Whether a row's number or its order is of the file of one part."""
    return pl.col(column) // 2**32 == place


def _lacking_now(lacks: pl.DataFrame, was: Side, now: Side, concerned: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """Whose rows a part lacks (`ABSENT`), after some were looked at again.

    Args:
        lacks: Whose it lacked.
        was: What was counted of the rows that were looked at.
        now: What is.
        concerned: By column, numbers and keys all whose rows were looked at.
    """
    people = [each.select(pl.lit(name).alias("column"), *UNIT) for name, each in concerned.items()]
    looked_at = pl.concat([ABSENT.to_frame().select("column", *UNIT), *people])
    named = ["column", *UNIT]
    left = lacks.join(looked_at, on=named, how="anti", nulls_equal=True)
    other = was.absent.join(looked_at, on=named, how="anti", nulls_equal=True)
    # Of people of whom some rows alone were looked at: those rows off, those rows on.
    counted = pl.concat(
        [
            left.filter(pl.col("rows").is_not_null()),
            other.select(ABSENT.names()).with_columns(-pl.col("rows")),
            now.absent.select(ABSENT.names()),
        ]
    )
    summed = counted.group_by(ABSENT.names()[:-1], maintain_order=True).agg(pl.col("rows").sum())
    return pl.concat([left.filter(pl.col("rows").is_null()), summed.filter(pl.col("rows") > 0)])


def _moved(counted: FileQuality, was: FileQuality | None, now: FileQuality | None) -> FileQuality:
    """What was counted of a file, with what some rows were counted as taken off, and put on as what they are."""
    if was is None or now is None or was == now:
        return counted
    columns = zip(counted.columns, was.columns, now.columns, strict=True)
    return replace(
        counted,
        people=_told(counted.people, was.people, now.people),
        ranges=_told(counted.ranges, was.ranges, now.ranges),
        status=_told(counted.status, was.status, now.status),
        columns=tuple(_cells(*each) for each in columns),
    )


def _cells(counted: ColumnQuality, was: ColumnQuality, now: ColumnQuality) -> ColumnQuality:
    return replace(
        counted,
        written=counted.written - was.written + now.written,
        missing=counted.missing - was.missing + now.missing,
        invalid=counted.invalid - was.invalid + now.invalid,
        reasons=_told(counted.reasons, was.reasons, now.reasons),
    )


def _told(counted: Mapping[str, int], was: Mapping[str, int], now: Mapping[str, int]) -> dict[str, int]:
    return {name: rows for name, rows in _sum(counted, was, now).items() if rows}


def _sum(counted: Mapping[str, int], was: Mapping[str, int], now: Mapping[str, int]) -> dict[str, int]:
    names: Sequence[str] = list(dict.fromkeys([*counted, *was, *now]))
    return {name: counted.get(name, 0) - was.get(name, 0) + now.get(name, 0) for name in names}
