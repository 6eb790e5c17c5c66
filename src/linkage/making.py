"""The parts of a bundle: one extract file in, one part out, every row accounted for; those of the last bundle that stand go on."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import polars as pl

from linkage import parts
from linkage.bundle import LEVEL, Part, TableParts, check_part, digest
from linkage.contract import Table
from linkage.errors import InputError, IntegrityError
from linkage.handover import about_kept, lines
from linkage.increments import absent
from linkage.increments.compare import source, unknown_name
from linkage.increments.mend import mend
from linkage.increments.still import before, may_stand_again, still
from linkage.increments.taken import link
from linkage.jobs import UNKNOWN, Done, Job, Made, Making, Waiting, lacking
from linkage.parts import REMOVED
from linkage.pieces import joined, of_cells, piece, summed
from linkage.pseudonymise.minimise import outputs
from linkage.site import reading
from linkage.sources import clean, gate, quality

__all__ = ["make", "make_all"]

MAY_STAND_AGAIN = "rows that a later delivery had taken out may stand again"


def make_all(job: Job) -> Generator[Waiting, list[list[pl.DataFrame]], list[Made]]:
    """Make all parts of a feed: its records, and of its logs of deletions what is about records that go on.

    A generator: it waits for each file, and whoever drives it (`together.make`) answers, so that several jobs can be
    answered from one reading.
    """
    delivery = job.delivery
    made = {}
    for name in delivery.feed.records():
        made[name] = yield from make(job, name)
    records = {name: each.parts for name, each in made.items()}
    for name in delivery.feed.deletions():
        log = yield from make(job, name)
        if log.parts.parts:
            with reading(delivery.extracts[name][-1], delivery.feed):
                for part in log.parts.parts:
                    link(job.folder / part.path, lines(job.site, part.path))
                last = {part.path: (path, part) for path, part in before(job, name)}
                log = replace(log, parts=about_kept(job.folder, delivery.feed, log.parts, records, last))
        made[name] = log
    return list(made.values())


def make(job: Job, name: str) -> Generator[Waiting, list[list[pl.DataFrame]], Made]:
    """Make all parts of one table, but those that stand."""
    delivery, work = job.delivery, job.work
    making = Making.of(
        job, name, outputs(delivery.feed, delivery.feed.tables[name], work.minimiser, work.pseudonymiser)
    )
    done: dict[int, Done] = {}
    for position in [each for each in range(len(making.extracts)) if each not in making.plan.kept]:
        done[position] = yield from _made(making, position)
    again = dict(making.plan.why)
    for position, mended in mend(making):
        if mended is None:
            again[position] = making.plan.mended[position]
        done[position] = mended or (yield from _made(making, position))
    for position in may_stand_again(making):
        again[position] = MAY_STAND_AGAIN
        _forget(making, position)
        done[position] = yield from _made(making, position)
    for position in making.plan.kept:
        if position not in done:
            done[position] = still(making, position)
    stand = {
        before.part.place
        for at, before in making.plan.kept.items()
        if at not in again and at not in making.plan.mended and before.part
    }
    fresh = {*making.plan.places} - (stand - making.plan.changed)
    found = [done[position] for position in range(len(making.extracts))]
    made = [each.part for each in found]
    if made:
        with _of_parts(job.folder, made), reading(making.extracts[-1], delivery.feed):
            made = making.withdrawals.apply(made, fresh)
    table_parts = TableParts(
        feed=delivery.feed.name,
        table=name,
        contract_digest=delivery.feed.digest,
        fields=making.fields,
        parts=tuple(made),
    )
    if delivery.memory and made:
        delivery.memory.frames[unknown_name(delivery, name)] = pl.concat(each.unknown for each in found)
    if making.submissions:
        listed = [told for each in found for told in each.told]
        table_parts = making.submissions.write(job.folder, table_parts, listed)
    return Made(table_parts, tuple(each.quality for each in found), again)


@contextmanager
def _of_parts(folder: Path, made: Iterable[Part]) -> Iterator[None]:
    """Parts and what is kept beside them are our own, some from the last run: no extract is to blame where they cannot be read.

    Raises:
        IntegrityError: One is damaged.
    """
    try:
        yield
    except InputError:
        for part in made:
            check_part(folder / part.path, part)
        raise IntegrityError(
            "what is kept beside the parts of the last run is damaged",
            hint="find out who could write there, then make everything anew: `linkage run --full`",
        ) from None


def _made(making: Making, position: int) -> Generator[Waiting, list[list[pl.DataFrame]], Done]:
    for root in (making.job.folder, making.job.site):
        (root / making.path(position)).parent.mkdir(parents=True, exist_ok=True)
    answers = yield Waiting(making.job.delivery, making.name, position, partial(_plan, making, position))
    part = making.path(position).as_posix()
    for path in (making.job.folder / part, making.withdrawals.beside(making.job.site, part)):
        joined(path, len(answers))
    return _accounted(making, position, answers)


def _forget(making: Making, position: int) -> None:
    """Remove what was mended of a file that is made again after all: some of it has a second name with the last run."""
    part, site = making.path(position).as_posix(), making.job.site
    beside = (making.withdrawals.beside(site, part), making.withdrawals.taken_out(site, part), lacking(site, part))
    for path in (making.job.folder / part, *beside):
        path.unlink(missing_ok=True)


def _plan(making: Making, position: int, rows: pl.LazyFrame, at: int) -> list[pl.LazyFrame]:
    """The queries over one file, or some rows of it: the part, keys of removed rows, rows by reason, cells, whose rows the
    part does not have, keys that nothing translates, and its submissions. `at` counts these rows among the file's.
    """
    job, table = making.job, making.table
    delivery, work, extract = job.delivery, job.work, making.extracts[position]
    path, place = making.path(position), making.plan.places[position]
    decided = making.decided(rows, work, making.hidden)
    sink = (
        parts.release(decided, delivery.feed, table, work)
        .with_columns(
            pl.lit(extract.delivered.replace(tzinfo=None), pl.Datetime("us")).alias("_delivered"),
            pl.lit(place, pl.Int32).alias("_file"),
        )
        .sink_parquet(piece(job.folder / path, at), compression="zstd", compression_level=LEVEL, lazy=True)
    )
    keys = making.withdrawals.of_rows(decided, REMOVED, place)
    gone = keys.sink_parquet(piece(making.withdrawals.beside(job.site, path.as_posix()), at), lazy=True)
    told = [making.submissions.listed(decided, REMOVED, extract, place)] if making.submissions else []
    reasons = decided.group_by(REMOVED).len()
    cells = decided.select(quality.counts(table, extract.delivered, work.quality.late_after_days))
    lacks = absent.absent(decided, delivery.feed, table, work.policy, REMOVED)
    return [sink, gone, reasons, cells, lacks, pl.concat(_unknown(rows, table)), *told]


def _unknown(rows: pl.LazyFrame, table: Table) -> Iterator[pl.LazyFrame]:
    """By column that is translated: keys as delivered that nothing translates (`UNKNOWN`, no source)."""
    yield UNKNOWN.to_frame().lazy().select("column", "key")
    for name, column in table.columns.items():
        if column.lookup:
            key = pl.col(name + clean.UNTRANSLATED)
            found = rows.select(pl.lit(name).alias("column"), key.alias("key")).filter(pl.col("key").is_not_null())
            yield found.unique()


def _accounted(making: Making, position: int, answers: list[list[pl.DataFrame]]) -> Done:
    """One part with every row accounted for, and what was wrong with its file."""
    _, _, found, counts, lacking_in, untranslated, *listed = zip(*answers, strict=True)
    reasons, cells, lacks = summed(found, "len"), of_cells(counts), summed(lacking_in, "rows")
    unknown = pl.concat(untranslated).unique()
    told = [making.submissions.together(each) for each in listed] if making.submissions else []
    job, path, extract = making.job, making.path(position), making.extracts[position]
    counted = quality.tally(job.delivery.feed.name, making.name, making.table, extract, cells.row(0, named=True))
    gate.check_file(job.work.quality, making.table, extract, counted)
    removed = {reason: rows for reason, rows in reasons.sort(REMOVED).iter_rows() if reason is not None}
    kept = int(reasons.filter(pl.col(REMOVED).is_null())["len"].sum())
    if kept + sum(removed.values()) != extract.rows:
        raise IntegrityError(
            f"{extract.path.name}: {extract.rows} rows were counted and {kept + sum(removed.values())} were read",
            hint="the file changed while it was read, or its quoting is broken: nothing was published",
        )
    part = Part(
        path=path.as_posix(),
        place=making.plan.places[position],
        source=extract.path.name,
        source_digest=extract.digest,
        delivered=extract.delivered,
        read=extract.rows,
        kept=kept,
        removed=removed,
        digest=digest(job.folder / path),
    )
    absent.save(lacks, lacking(job.site, part.path), job.seal)
    where = pl.lit(source(job.delivery, extract)).alias("_source")
    return Done(part, counted, told, unknown.select(where, "column", "key"))
