"""A store through thousands of faults: after each one it is whole, and the next run ends as if nothing had happened."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from linkage.pseudonymise import Keyset
from linkage.store.layout import Store
from linkage.store.publish import remove

from . import checks
from .draws import draw
from .driver import Ended, command, in_child, tables
from .injector import KINDS, Fault
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
            ended = command(self.world, len(self.days), Fault(), "run", str(self.world.configuration))
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


# How often a fault comes in which command.
COMMANDS = {"run": 70, "run --full": 8, "check": 4, "rollback": 8, "optouts tokens": 4, "run --from-held": 6}
SHORT = ("rollback", "optouts")  # do a fraction of what a run does


@dataclass
class Line:
    """One world, day by day: some faults in each day's run, then a run without one.

    Attributes:
        world: Its folder.
        reference: The same world without any fault.
        days: Of every snapshot that has been the current one, the day whose rows it holds; None where no reference knows.
    """

    world: World
    reference: Reference
    days: dict[str, int | None] = field(default_factory=dict)

    @property
    def store(self) -> Store:
        return Store(self.world.store)

    def points(self, first: int) -> Iterator[Found]:
        """Every point of this world; the number of the first is given, and each is drawn from its number."""
        point = first
        for day in range(DAYS):
            self.world.deliver(day)
            for _ in range(random.Random(f"{self.world.seed} {point}").randint(1, ATTEMPTS)):
                random_ = random.Random(f"{self.world.seed} {point}")
                name, words = self._command(random_)
                counts = self.reference.day(day)[1]
                if words[0] in SHORT:
                    counts = {kind: count // 5 for kind, count in counts.items()}
                family, fault = draw(random_, counts, [str(path) for path in self.world.extracts.iterdir()])
                if point < len(KINDS):
                    # The first points are one of each kind, so that a few already try all.
                    kind = KINDS[point]
                    family, fault = "killed", Fault("kill", (kind,), random_.randint(1, counts[kind] or 1))
                yield self.point(point, day, f"{name}: {family}", fault, words)
                point += 1
            yield self.recover(point, day)

    def _command(self, random_: random.Random) -> tuple[str, tuple[str, ...]]:
        configuration, current = str(self.world.configuration), self.store.current()
        name = random_.choices([*COMMANDS], [*COMMANDS.values()])[0] if current else "run"
        older = [each for each in self.days if each != current and (self.store.snapshots / each).is_dir()]
        if name == "rollback" and older and self.days[older[-1]] is not None:
            return name, ("rollback", configuration, older[-1], "--reference", "a document")
        if name == "rollback":
            name = "run"
        return name, (*name.split(), configuration)

    def point(self, point: int, day: int, family: str, fault: Fault, words: tuple[str, ...]) -> Found:
        """One fault in one command, and what it left."""
        if fault.target:
            self._remember(fault)
        if "--from-held" in words:
            command(self.world, day, Fault(), "optouts", "tokens", words[-1])
        before, left = self.store.current(), checks.staging(self.world)
        whole = checks.digests(self.store.snapshots / before) if before else {}
        ended = command(self.world, day, fault, *words)
        if fault.target:
            self._restore(fault)
        wrong = list(self._wrong(fault, ended, before, whole))
        wrong += checks.left_over(self.world, fault, left)
        wrong += self._switched(words, ended, before, day if words[0] == "run" and not fault.target else None)
        wrong += self._rows(ended)
        return Found(point, day, family, fault, ended, wrong)

    def recover(self, point: int, day: int) -> Found:
        """The next run, without a fault: it ends as the run that never failed, and nothing is left of those that did."""
        ended = command(self.world, day, Fault(), "run", str(self.world.configuration))
        wrong = [] if ended.code == 0 else [f"the next run fails: {ended.said.strip()[-400:]}"]
        self.days[self.store.current() or ""] = day
        wrong += checks.half_snapshots(self.world)
        wrong += checks.left_over(self.world)
        wrong += [
            f"a snapshot that nobody was told of is still there: {path.name}"
            for path in self.store.snapshots.iterdir()
            if path.name not in self.days
        ]
        wrong += self._private()
        wrong += self._rows(ended)
        return Found(point, day, NEXT, Fault(), ended, wrong)

    def _wrong(self, fault: Fault, ended: Ended, before: str | None, whole: dict[str, str]) -> Iterator[str]:
        if before is not None and checks.digests(self.store.snapshots / before) != whole:
            yield "the last snapshot is not what it was"
        yield from checks.half_snapshots(self.world)
        yield from checks.open_to_others(self.world)
        yield from checks.told(ended)

    def _switched(self, words: tuple[str, ...], ended: Ended, before: str | None, day: int | None) -> Iterator[str]:
        """Whether there is a new snapshot, as the exit code says."""
        current = self.store.current()
        if current is None:
            return
        if words[0] == "rollback":
            allowed, published = {before, words[2]}, current == words[2]
        else:
            allowed, published = {before} if words[0] != "run" else {before, current}, current != before
            self.days.setdefault(current, None if "--from-held" in words else day)
        if current not in allowed:
            yield f"{words[0]} made {current} the current snapshot"
        if ended.code == 0 and not published and words[0] in ("run", "rollback"):
            yield "it says that all went well and published nothing"
        if ended.code > 0 and published:
            yield f"it published and says that it failed: {ended.said.strip()[-400:]}"

    def _rows(self, ended: Ended) -> list[str]:
        """What is wrong with the rows of the current snapshot, and whether anybody is recognised anywhere."""
        current = self.store.current()
        day = self.days[current] if current else None
        expected = None if day is None else self.reference.day(day)[0]
        return in_child(_other_rows, self.world, expected, ended.said)

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


def _other_rows(world: World, expected: Tables | None, said: str) -> list[str]:
    """Where the current snapshot differs from what was expected, and numbers anywhere; in a process of its own."""
    wrong = list(checks.numbers_on_disk(world, said))
    if Store(world.store).current() is None:
        return wrong
    try:
        found = tables(world.store)
    except Exception as error:
        return [*wrong, f"the store cannot be opened: {error}"]
    if expected is None:
        return wrong
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
        if (folder / "line").exists():
            # Published folders may not be written into.
            remove(folder / "line")
        for found in Line(_world(folder / "line", kind), references[kind]).points(done):
            done += found.family != NEXT
            yield found
            if done >= points and found.family == NEXT:
                return


def _world(folder: Path, seed: int) -> World:
    made = World(folder / "ics", seed)
    made.make(folder.parent)
    return made
