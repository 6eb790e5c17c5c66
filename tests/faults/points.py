"""A store through thousands of faults: after each one it is whole, and the next run ends as if nothing had happened."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from linkage.pseudonymise import Keyset
from linkage.store.layout import Store

from . import checks
from .draws import draw
from .driver import Ended, command, in_child, tables
from .injector import Fault
from .world import DAYS, World

Tables = dict[str, list[tuple[Any, ...]]]
NEXT = "the next run"
ATTEMPTS = 3  # faults at most before a run without one


@dataclass
class Reference:
    """The same world without any fault: what each day's snapshot holds, and how many operations its run does."""

    world: World
    days: list[tuple[Tables, dict[str, int]]] = field(default_factory=list)

    def day(self, day: int) -> tuple[Tables, dict[str, int]]:
        """Run up to that day."""
        while len(self.days) <= day:
            self.world.deliver(len(self.days))
            ended = command(self.world, len(self.days), Fault(), "run")
            assert ended.code == 0, ended.said
            self.days.append((in_child(tables, self.world.store), ended.counts))
        return self.days[day]


@dataclass
class Found:
    """What a point showed: the fault, how the run ended, and what is wrong; nothing where all is well."""

    point: int
    day: int
    family: str
    fault: Fault
    ended: Ended
    wrong: list[str]

    def __str__(self) -> str:
        hit = " ".join(self.ended.hit) if self.ended.hit else "nowhere"
        said = next((line for line in self.ended.said.splitlines() if line.startswith("error")), "")
        lines = "".join(f"\n    {each}" for each in self.wrong)
        return f"{self.point} day {self.day} {self.family}: {self.fault} [{hit}] -> {self.ended.code} {said}{lines}"


@dataclass
class Line:
    """One world, day by day: some faults in each day's run, then a run without one."""

    world: World
    reference: Reference
    ever_current: set[str | None] = field(default_factory=set)
    unknown: set[str] = field(default_factory=set)

    @property
    def store(self) -> Store:
        return Store(self.world.store)

    def points(self, first: int) -> Iterator[Found]:
        """Every point of this world; the number of the first is given, and each is drawn from its number."""
        point = first
        for day in range(DAYS):
            self.world.deliver(day)
            random_ = random.Random(f"{self.world.seed} {point}")
            for _ in range(random_.randint(1, ATTEMPTS) if day else 0):
                random_ = random.Random(f"{self.world.seed} {point}")
                family, fault = draw(
                    random_, self.reference.day(day)[1], [str(p) for p in self.world.extracts.iterdir()]
                )
                yield self.point(point, day, family, fault)
                point += 1
            yield self.recover(point, day)

    def point(self, point: int, day: int, family: str, fault: Fault) -> Found:
        """One fault in one run, and what it left."""
        if fault.target:
            self._remember(fault)
        before = self.store.current()
        whole = checks.digests(self.store.snapshots / before) if before else {}
        ended = command(self.world, day, fault, "run")
        wrong = list(self._wrong(fault, ended, before, whole, day))
        if fault.target:
            self._restore(fault)
        return Found(point, day, family, fault, ended, wrong)

    def recover(self, point: int, day: int) -> Found:
        """The next run, without a fault: it ends as the run that never failed, and nothing is left of those that did."""
        ended = command(self.world, day, Fault(), "run")
        wrong = [] if ended.code == 0 else [f"the next run fails: {ended.said.strip()[-400:]}"]
        self.ever_current.add(self.store.current())
        wrong += checks.half_snapshots(self.world)
        wrong += checks.left_over(self.world)
        wrong += [
            f"a snapshot that nobody was told of is still there: {path.name}"
            for path in self.store.snapshots.iterdir()
            if path.name not in self.ever_current
        ]
        wrong += self._private()
        wrong += in_child(_other_rows, self.world, self.reference.day(day)[0], ended.said)
        return Found(point, day, NEXT, Fault(), ended, wrong)

    def _wrong(self, fault: Fault, ended: Ended, before: str | None, whole: dict[str, str], day: int) -> Iterator[str]:
        current = self.store.current()
        self.ever_current.add(current)
        if before is not None and checks.digests(self.store.snapshots / before) != whole:
            yield "the last snapshot is not what it was"
        yield from checks.half_snapshots(self.world)
        yield from checks.open_to_others(self.world)
        yield from checks.left_over(self.world, fault)
        yield from checks.told(ended)
        if ended.code == 0 and current == before:
            yield "it says that all went well and published nothing"
        if ended.code > 0 and current != before:
            yield f"it published and says that it failed: {ended.said.strip()[-400:]}"
        if current is not None and current not in self.unknown and (not fault.target or current == before):
            expected = self.reference.day(day if current != before else self._day_of(before))[0]
            yield from in_child(_other_rows, self.world, expected, ended.said)
        elif current is not None:
            # What a run made of a file that changed under it stands in no reference, until the next run.
            self.unknown.add(current)

    def _day_of(self, run_id: str | None) -> int:
        return next(day for day in range(DAYS) if (run_id or "").startswith(f"{self.world.now(day):%Y%m%d}"))

    def _private(self) -> Iterator[str]:
        published = {path.name for path in self.store.snapshots.iterdir()}
        for kind in ("roster", "held", "late"):
            for path in self.world.private.glob(f"{kind}/*"):
                if path.name not in published:
                    yield f"private/{kind}/{path.name} belongs to no snapshot"

    def _remember(self, fault: Fault) -> None:
        target = Path(fault.target)
        self._good = target.read_bytes()
        Path(f"{target}.next").write_bytes(self._good + self._good.splitlines(keepends=True)[-1])

    def _restore(self, fault: Fault) -> None:
        Path(fault.target).write_bytes(self._good)
        Path(f"{fault.target}.next").unlink(missing_ok=True)


def _other_rows(world: World, expected: Tables, said: str) -> list[str]:
    """Where the current snapshot differs from what was expected, and numbers anywhere; in a process of its own."""
    wrong = list(checks.numbers_on_disk(world, said))
    try:
        found = tables(world.store)
    except Exception as error:
        return [*wrong, f"the store cannot be opened: {error}"]
    if found.keys() != expected.keys():
        wrong.append("other tables than without a fault")
    for name in found.keys() & expected.keys():
        if found[name] != expected[name]:
            wrong.append(f"{name}: {len(found[name])} rows, not the {len(expected[name])} of the run without a fault")
    return wrong


WORLDS = 4


def many(folder: Path, points: int, seed: int) -> Iterator[Found]:
    """As many points as asked for, in one world after another; each is drawn from the seed and its number."""
    folder.mkdir(parents=True, exist_ok=True)
    Keyset.create(folder / "keys.age")
    references: dict[int, Reference] = {}
    done = 0
    while done < points:
        kind = seed * WORLDS + done % WORLDS
        if kind not in references:
            references[kind] = Reference(_world(folder / f"quiet-{kind}", kind))
        shutil.rmtree(folder / "line", ignore_errors=True)
        for found in Line(_world(folder / "line", kind), references[kind]).points(done):
            done += found.family != NEXT
            yield found
            if done >= points and found.family == NEXT:
                return


def _world(folder: Path, seed: int) -> World:
    made = World(folder / "ics", seed)
    made.make(folder.parent)
    return made
