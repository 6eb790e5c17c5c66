"""A part of the last bundle that stands: under its name in the new one, with what people and registers say of its rows today."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from linkage.bundle import Part
from linkage.errors import IntegrityError
from linkage.handover import lines
from linkage.increments import absent
from linkage.increments.carried import carry
from linkage.increments.compare import source, unknown_name
from linkage.increments.taken import Memory, link
from linkage.jobs import UNKNOWN, Done, Job, Making, lacking, unfiltered
from linkage.reasons import Reason
from linkage.sources import gate

__all__ = ["before", "held_of", "may_stand_again", "still", "unknown"]


def still(making: Making, position: int) -> Done:
    """The part of a file that the last run took, and what was said of the file.

    Raises:
        IntegrityError: Something of it is missing or damaged.
        InputError: The file is worse than the limits of today allow.
    """
    before, (memory, held) = making.plan.kept[position], held_of(making)
    if before.part is None or before.quality is None:
        raise ValueError("only what was handed over can stand")
    gate.check_file(making.job.work.quality, making.table, making.extracts[position], before.quality)
    try:
        make = _log if making.table.kind == "deletions" else _records
        part = make(making, memory, held, before.part)
        told = [making.submissions.of_part(held / "bundle", before.part)] if making.submissions else []
    except (FileNotFoundError, pl.exceptions.PolarsError):
        raise IntegrityError(
            f"{before.part.path}: something of it is missing from what is held of the last run, or damaged",
            hint="run with --full",
        ) from None
    return Done(part, before.quality, told, unknown(making, memory, position))


def held_of(making: Making) -> tuple[Memory, Path]:
    """What the last run took, and where it is held."""
    memory = making.job.delivery.memory
    if memory is None or memory.folder is None:
        raise ValueError("only what a last run took can stand")
    return memory, memory.folder


def _log(making: Making, _: Memory, held: Path, part: Part) -> Part:
    link(lines(held / "site", part.path), making.job.folder / part.path)
    for place in (making.withdrawals.beside, lacking):
        link(place(held / "site", part.path), place(making.job.site, part.path))
    return unfiltered(part, lines(held / "site", part.path))


def _records(making: Making, memory: Memory, held: Path, part: Part) -> Part:
    job, plan, withdrawals = making.job, making.plan, making.withdrawals
    removed, lacks = (place(held / "site", part.path) for place in (withdrawals.beside, lacking))
    withdrawn = withdrawals.taken_out(held / "site", part.path)
    if part.removed.get(Reason.WITHDRAWN.value):
        if not withdrawn.is_file():
            raise FileNotFoundError
        link(withdrawn, withdrawals.taken_out(job.site, part.path))
    untouched = part.place not in plan.changed | plan.recounted
    if untouched or plan.reach is None or memory.unseal is None:
        link(held / "bundle" / part.path, job.folder / part.path)
        link(removed, withdrawals.beside(job.site, part.path))
        link(lacks, lacking(job.site, part.path))
        return part
    found = plan.reach.absent(absent.load(lacks, memory.unseal))
    left = found.absent
    if plan.tokens is not None and part.place in plan.changed:
        (job.site / part.path).parent.mkdir(parents=True, exist_ok=True)
        (job.folder / part.path).parent.mkdir(parents=True, exist_ok=True)
        carried = carry(held / "bundle" / part.path, job.folder / part.path, part, plan.tokens, withdrawals.of_a_part())
        withdrawals.add(removed, part.path, carried.removed)
        part, left = carried.part, pl.concat([left, carried.absent])
    else:
        link(held / "bundle" / part.path, job.folder / part.path)
        link(removed, withdrawals.beside(job.site, part.path))
    absent.save(left, lacking(job.site, part.path), job.seal)
    return found.recounted(part)


def unknown(making: Making, memory: Memory, position: int) -> pl.DataFrame:
    """The keys of a file that nothing translated, and nothing does."""
    if not any(column.lookup for column in making.table.columns.values()):
        return UNKNOWN.to_frame()
    kept = memory.frame(unknown_name(making.job.delivery, making.name))
    if kept is None:
        return UNKNOWN.to_frame()
    return kept.filter(pl.col("_source") == source(making.job.delivery, making.extracts[position]))


def before(job: Job, name: str) -> Iterator[tuple[Path, Part]]:
    """The parts of a table that stand, as the last bundle had them, and where they are."""
    memory = job.delivery.memory
    for each in job.plan.tables[name].kept.values():
        if each.part is not None and memory is not None and memory.folder is not None:
            yield memory.folder / "bundle" / each.part.path, each.part


def may_stand_again(making: Making) -> Iterator[int]:
    """Positions of parts that stand, and lack rows that a later delivery took out which does not take them out any more."""
    if making.job.delivery.memory is None:
        return
    candidates = {
        position: before.part
        for position, before in making.plan.kept.items()
        if before.part and before.part.removed.get(Reason.WITHDRAWN.value)
    }
    if not candidates:
        return
    _, held = held_of(making)
    keys = _taken_out_no_more(making, held)
    if keys is not None and not any(each.height for each in keys):
        return
    for position, part in candidates.items():
        taken_out = making.withdrawals.taken_out(held / "site", part.path)
        if keys is None or not taken_out.is_file() or any(_holds(taken_out, each) for each in keys if each.height):
            yield position


def _holds(path: Path, keys: pl.DataFrame) -> bool:
    found = pl.scan_parquet(path).join(keys.lazy(), on=keys.columns, how="semi").select(pl.len())
    return bool(found.collect(engine="streaming").item())


def _taken_out_no_more(making: Making, held: Path) -> list[pl.DataFrame] | None:
    """Keys of rows that files had removed when they were taken last and have not now; None where it is not known."""
    files, withdrawals = making.plan.files, making.withdrawals
    found = []
    for file in files.gone:
        if file.part and withdrawals.count(held / "site", file.part.path):
            found.append(withdrawals.removed(held / "site", file.part.path))
    for position in (*making.plan.why, *making.plan.mended):
        before = files.known[position].part
        if before is None or not withdrawals.count(held / "site", before.path):
            continue
        same_place = before.place == making.plan.places[position]
        found.append(withdrawals.lost(held / "site", before.path) if same_place else None)
    known = [each for each in found if each is not None]
    return known if len(known) == len(found) else None
