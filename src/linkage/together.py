"""Several purposes on one way: what they have in common is read and cleaned once, and each stands or falls alone.

Flows share a reading where their folder and their contract are the same, also where each takes another part of the feed.
Everything that a purpose decides, opt-outs, population, minimisation, key and domain, is applied to the clean rows for
that purpose alone. No clean row is written anywhere: all purposes' queries are answered in one pass over the file.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import polars as pl

from linkage.contract import Column, Role, Table
from linkage.errors import ConfigurationError, LinkageError, told_of_the_machine
from linkage.jobs import Job, Made, Waiting
from linkage.making import make_all
from linkage.progress import Stage
from linkage.site import TABLES, Delivery, cleaned, reading, windows

__all__ = ["Together", "make", "rows"]

AT_ONCE = 250_000  # rows; the engine holds back hundreds of bytes of each while it makes several results of them
Answers = list[list[pl.DataFrame]]
_Result = TypeVar("_Result")
_Key = tuple[Path, int]


@dataclass(slots=True)
class Together:
    """The purposes that are on their way, by the path of their configuration, and why others are not.

    Attributes:
        paths: The purposes that still stand.
        errors: For each that does not: what stopped it. Nothing of it is published; the others go on.
    """

    paths: list[Path]
    errors: dict[Path, LinkageError] = field(default_factory=dict)

    @classmethod
    def of(cls, paths: Sequence[str | Path]) -> Together:
        """Some purposes before the first step.

        Raises:
            ConfigurationError: One is named twice.
        """
        found = [Path(path) for path in paths]
        if len({path.resolve() for path in found}) != len(found):
            raise ConfigurationError("one configuration is named twice", hint="name each purpose once")
        return cls(found)

    def each(self, step: Callable[[Path], _Result]) -> dict[Path, _Result]:
        """Take one step for every purpose that still stands."""
        done: dict[Path, _Result] = {}
        for path in list(self.paths):
            try:
                with told_of_the_machine():
                    done[path] = step(path)
            except LinkageError as error:
                self.fail(path, error)
        return done

    def fail(self, path: Path, error: LinkageError) -> None:
        """One purpose goes no further."""
        self.errors[path] = error
        self.paths.remove(path)


def make(purposes: Together, jobs: Mapping[Path, Sequence[Job]], stage: Stage) -> dict[Path, list[Made]]:
    """Make every purpose's parts, each file read once for all jobs that share it.

    Args:
        purposes: Those that fail here are taken out.
        jobs: For each purpose, what it makes of each of its flows.
        stage: Advances by the rows that are read.

    Returns:
        The tables of each purpose, in the order of its flows.
    """
    made: dict[_Key, list[Made]] = {}
    for group in _groups(jobs):
        standing = {key: job for key, job in group.items() if key[0] in purposes.paths}
        for key, result in _drive(standing, stage).items():
            if not isinstance(result, LinkageError):
                made[key] = result
            elif key[0] in purposes.paths:
                purposes.fail(key[0], result)
    return {path: [table for place in range(len(jobs[path])) for table in made[path, place]] for path in purposes.paths}


def rows(jobs: Mapping[Path, Sequence[Job]]) -> int:
    """Rows that are read; what several purposes share counts once."""
    return sum(max(job.plan.rows for job in group.values()) for group in _groups(jobs))


def _groups(jobs: Mapping[Path, Sequence[Job]]) -> Iterable[dict[_Key, Job]]:
    """Jobs that share what was read of one flow's files."""
    groups: dict[int, dict[_Key, Job]] = {}
    for path, flows in jobs.items():
        for place, job in enumerate(flows):
            shared = job.delivery.shared
            groups.setdefault(id(job if shared is None else shared), {})[path, place] = job
    return groups.values()


def _drive(jobs: Mapping[_Key, Job], stage: Stage) -> dict[_Key, list[Made] | LinkageError]:
    """Run jobs side by side: whoever waits for the same file is answered by the same reading."""
    running = {key: make_all(job) for key, job in jobs.items()}
    waiting: dict[_Key, Waiting] = {}
    done: dict[_Key, list[Made] | LinkageError] = {}

    def go_on(key: _Key, answer: Answers | LinkageError | None) -> None:
        try:
            waiting[key] = _next(running[key], answer)
        except StopIteration as end:
            done[key] = end.value
        except LinkageError as error:
            done[key] = error

    for key in running:
        go_on(key, None)
    while waiting:
        first = min(_order(each) for each in waiting.values())
        asking = {key: waiting.pop(key) for key in list(waiting) if _order(waiting[key]) == first}
        for key, answer in _read(asking, stage).items():
            go_on(key, answer)
    return done


def _next(steps: Generator[Waiting, Answers, list[Made]], answer: Answers | LinkageError | None) -> Waiting:
    if answer is None:
        return next(steps)
    return steps.throw(answer) if isinstance(answer, LinkageError) else steps.send(answer)


def _order(each: Waiting) -> tuple[bool, int, int, Path]:
    """Logs of deletions after records, tables as in the contract: the same for all jobs, whichever tables they take.

    The file comes last: where one arrived after the first purpose had looked, places are of other files.
    """
    names = list((each.delivery.shared or {}).get(TABLES, each.delivery.feed.tables))
    return each.table.kind == "deletions", names.index(each.name), each.position, each.extract.path


def _read(asking: Mapping[_Key, Waiting], stage: Stage) -> dict[_Key, Answers | LinkageError]:
    """Answer everybody who waits for one file; where that fails, each alone, to find out who it fails for."""
    if len(asking) == 1 or _alike([each.table for each in asking.values()]):
        try:
            return {**_answers(asking, stage)}
        except LinkageError as error:
            if len(asking) == 1:
                return dict.fromkeys(asking, error)
    return {key: answer for key, each in asking.items() for answer in _read({key: each}, stage).values()}


def _answers(asking: Mapping[_Key, Waiting], stage: Stage) -> dict[_Key, Answers]:
    """For each job what its queries come to, of some rows of the file after the others."""
    one = next(iter(asking.values()))
    found: dict[_Key, Answers] = {key: [] for key in asking}
    with reading(one.extract, one.delivery.feed):
        delivery, table = _whole([(each.delivery, each.table) for each in asking.values()])
        # Each purpose has results of its own, for which rows are held back.
        rows = max(AT_ONCE // len(asking), 1)
        for place, clean in enumerate(windows(delivery, table, one.extract, rows)):
            for key, answers in _answered(asking, clean, place, stage).items():
                found[key].append(answers)
    return found


def _answered(
    asking: Mapping[_Key, Waiting], clean: pl.LazyFrame, place: int, stage: Stage
) -> dict[_Key, list[pl.DataFrame]]:
    def tick(rows: pl.Series) -> pl.Series:
        stage.advance(len(rows))
        return rows

    clean = clean.with_columns(pl.col("_row").map_batches(tick, return_dtype=pl.UInt32, is_elementwise=True))
    if len(asking) > 1:
        # The engine finds what one job's queries have in common, and not what lies below that for several jobs.
        clean = clean.cache()
    queries = {key: each.plan(_own(clean, each) if len(asking) > 1 else clean, place) for key, each in asking.items()}
    answers = iter(pl.collect_all([each for plans in queries.values() for each in plans], engine="streaming"))
    return {key: [next(answers) for _ in plans] for key, plans in queries.items()}


def _whole(wanted: Sequence[tuple[Delivery, Table]]) -> tuple[Delivery, Table]:
    """The table with every column that somebody wants, and what its columns are looked up in."""
    delivery, table = wanted[0]
    columns = {name: column for _, each in wanted for name, column in each.columns.items()}
    lookups = {name: found for each, _ in wanted for name, found in each.lookups.items()}
    return replace(delivery, lookups=lookups), table.model_copy(update={"columns": columns})


def _own(rows: pl.LazyFrame, each: Waiting) -> pl.LazyFrame:
    """Of the rows with every column, those columns that one job would have read alone."""
    return rows.select(cleaned(each.delivery, each.table, each.extract).collect_schema().names())


def _alike(tables: Sequence[Table]) -> bool:
    """Whether the tables' common columns are cleaned in the same way: they may differ in being published."""
    seen: dict[str, Column] = {}
    for table in tables:
        for name, column in table.columns.items():
            # A key is cleaned as an identifier, whether a roster is read by it or not.
            role = Role.RECORD if column.role is Role.PERSON_KEY else column.role
            plain = column.model_copy(update={"published": True, "role": role})
            if seen.setdefault(name, plain) != plain:
                return False
    return len({table.submission for table in tables}) == 1
