"""Every step of publishing, one by one: a run dies there, and the next one clears up.

One run goes as far as publishing; from there a process is forked for each step, and dies at it.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from linkage import hub, pipeline
from linkage.config import Configuration
from linkage.hub import WorkFolder
from linkage.pseudonymise import Keyset
from linkage.store.layout import Store
from linkage.store.open import open_store
from linkage.store.publish import remove

from . import checks
from .driver import as_another_user, command, import_what_a_run_does
from .injector import Armed, Fault
from .world import World

NAMES = ("rename", "link", "volume")
OFTEN = ("mkdir", "unlink", "rmdir", "create", "write", "sync", "chmod")  # much the same for one file after another


def every_step(folder: Path, thin: int) -> Iterator[str]:
    """What is wrong after a run died at a step, for every step that moves a file to a name or gives it a second one.

    Args:
        folder: An empty folder.
        thin: Of the other steps, which do much the same for one file after another, every so many.
    """
    Keyset.create(folder / "keys.age")
    world = World(folder / "ics", 3)
    world.make(folder)
    # So many that the run which is killed has an old snapshot to remove.
    for day in range(4):
        world.deliver(day)
        ended = command(world, day, Fault(), "run", str(world.configuration))
        assert ended.code == 0, ended.said
    world.deliver(4)
    found = folder / "found"
    child = os.fork()
    if not child:
        try:
            hub.publish = _each(world, found, thin)  # type: ignore[assignment]
            pipeline.run(world.configuration, now=world.now(4))
        finally:
            os._exit(1)
    os.waitpid(child, 0)
    yield from found.read_text().splitlines()


def _each(world: World, found: Path, thin: int) -> Callable[..., None]:
    publish = hub.publish

    def instead(configuration: Configuration, account: Any, work: WorkFolder, rules: Any) -> None:
        backup = world.folder.parent / "backup"
        hub.hold = lambda store: nullcontext()  # type: ignore[assignment]
        for place in (world.store, world.private):
            shutil.copytree(place, backup / place.name)
        given = (configuration, account, work, rules)
        counts = _forked(world, Fault(), lambda: publish(*given)).counts
        _restore(world, backup)
        lines, done = [], 0
        for kind in (*NAMES, *OFTEN):
            for at in range(1, counts[kind] + 1, thin if kind in OFTEN else 1):
                before = work.store.current()
                armed = _forked(world, Fault("kill", (kind,), at), lambda: publish(*given))
                wrong = [*_after(world, work, before), *_next_start(world, configuration, work)]
                lines += [f"{kind} {at} {armed.hit}: {each}" for each in wrong]
                done += 1
                _restore(world, backup)
        found.write_text("\n".join([*lines, f"{done} steps"]))
        os._exit(0)

    return instead


def _forked(world: World, fault: Fault, work: Callable[[], object]) -> Armed:
    armed = Armed(fault, world.folder)
    child = os.fork()
    if not child:
        armed.arm()
        try:
            work()
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    return armed


def _after(world: World, work: WorkFolder, before: str | None) -> Iterator[str]:
    current = work.store.current()
    if current not in (before, work.run_id):
        yield f"current names {current}"
    yield from checks.half_snapshots(world)
    with open_store(world.store) as connection:
        if connection.execute("SELECT count(*) FROM event").fetchone() == (0,):
            yield "the current snapshot is empty"


def _next_start(world: World, configuration: Configuration, work: WorkFolder) -> Iterator[str]:
    """What the next run finds when it has cleared up."""

    def start() -> None:
        with hub.working(configuration, world.now(4), "run"):
            pass

    _forked(world, Fault(), start)
    store = Store(world.store)
    there = {path.name for path in store.snapshots.iterdir()}
    if work.run_id in there and store.current() != work.run_id:
        yield "a snapshot that nobody was told of"
    yield from (f"left: {path.name}" for path in store.path.glob(".staging-*"))
    for kind in ("roster", "held", "late"):
        yield from (f"left: {p.parent.name}/{p.name}" for p in world.private.glob(f"{kind}/*") if p.name not in there)
    yield from checks.half_snapshots(world)


def _restore(world: World, backup: Path) -> None:
    for place in (world.store, world.private):
        remove(place)
        shutil.copytree(backup / place.name, place)


def main(folder: Path, thin: int) -> None:
    """Print what is wrong, and how many steps there were."""
    import_what_a_run_does(folder / "warm")
    as_another_user(folder)
    for line in every_step(folder, thin):
        sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), int(sys.argv[2]))
