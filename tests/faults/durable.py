"""What a loss of power could take: names and contents that a run relied on before the disk had confirmed them."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from linkage.pseudonymise import Keyset

from .driver import command
from .injector import KINDS, Fault
from .world import World

SWITCH = "store/current"
RESTS_ON = ("store/snapshots", "private/roster", "private/runs", "private/held", "audit/entries")


@dataclass
class Disk:
    """What has been written and not yet confirmed, by path from the root."""

    files: set[str] = field(default_factory=set)
    folders: set[str] = field(default_factory=set)

    def unsure(self, kind: str, path: str, target: str = "") -> list[str]:
        """Take one operation; for the switch, what it rests on and is not confirmed."""
        parent = PurePosixPath(path).parent.as_posix()
        if kind in ("create", "mkdir", "link"):
            self.folders.add(parent)
        elif kind in ("write", "truncate"):
            self.files.add(path)
        elif kind == "sync":
            self.files.discard(path)
            self.folders.discard(path)
        elif kind == "volume":
            self.files.clear()
            self.folders.clear()
        elif kind == "unlink":
            self.files.discard(path)
        elif kind == "rename":
            if target == SWITCH:
                return sorted(each for each in self.files | self.folders if _rests(each) or each == path)
            self.files = {_moved(each, path, target) for each in self.files}
            self.folders = {_moved(each, path, target) for each in self.folders}
            self.folders.add(PurePosixPath(target).parent.as_posix())
        return []


def _rests(path: str) -> bool:
    return path == "private" or any(path == each or path.startswith(f"{each}/") for each in RESTS_ON)


def _moved(each: str, path: str, target: str) -> str:
    return target + each[len(path) :] if each == path or each.startswith(f"{path}/") else each


def not_confirmed(trace: Path, root: Path) -> list[str]:
    """What was not on the disk when a run switched; raises where it never switched."""
    lines = [line.split(" ", 1) for line in trace.read_text().splitlines()]
    said = [(int(kind), path.removeprefix(f"{root}/")) for kind, path in lines]
    disk = Disk()
    for place, (kind, path) in enumerate(said):
        if kind == len(KINDS):
            continue
        target = said[place + 1][1] if KINDS[kind] == "rename" else ""
        found = disk.unsure(KINDS[kind], path, target)
        if target == SWITCH:
            return found
    raise AssertionError("the run never switched")


def written_elsewhere(trace: Path, *own: Path) -> list[str]:
    """Files and folders that a run made outside its own, wherever on the machine."""
    lines = [line.split(" ", 1) for line in trace.read_text().splitlines()]
    made = {path for kind, path in lines if KINDS[int(kind) % len(KINDS)] in ("create", "mkdir", "link")}
    kept = (*(f"{each}/" for each in own), "/dev/", "/proc/")
    return sorted(path for path in made - {str(each) for each in own} if not path.startswith(kept))


def main(folder: Path) -> None:
    """A first run and two that go on from it, each printed with what it did not make sure of and wrote elsewhere."""
    Keyset.create(folder / "keys.age")
    world = World(folder / "ics", 1)
    world.make(folder)
    for day in (0, 1, 2):
        world.deliver(day)
        trace = folder / f"trace-{day}"
        ended = command(world, day, Fault(), "run", str(world.configuration), trace=trace, root=Path("/"))
        elsewhere = written_elsewhere(trace, world.store, world.private, world.folder / "audit")
        sys.stdout.write(f"{day} {ended.code} {not_confirmed(trace, world.folder)} {elsewhere}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
