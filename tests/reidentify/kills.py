"""Kills a release at one step after another, each in a process of its own: `python kills.py FOLDER`.

A step is anything that changes the disk. The folder holds the ICS with an approved request; each process works in a copy.
What became of each is printed as one JSON line: the step, and what is there before and after the next start.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from small import NOW

from linkage.cohorts import release
from linkage.errors import PolicyError
from linkage.pseudonymise import Keyset
from linkage.reidentify import publish
from linkage.reidentify.states import History

STEPS = ((os, "fsync"), (os, "mkdir"), (os, "open"), (os, "rename"), (os, "replace"), (os, "unlink"), (os, "rmdir"))
KILLED = 9


def kill_at(step: int) -> Callable[[], int]:
    """End this process before the given step; what counts the steps so far."""
    done = 0

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **named: Any) -> Any:
            nonlocal done
            done += 1
            if done == step:
                os._exit(KILLED)
            return real(*args, **named)

        return call

    for module, name in STEPS:
        setattr(module, name, counted(getattr(module, name)))
    return lambda: done


def forked(work: Callable[[], int]) -> int:
    """The exit code of some work in a process of its own; nothing has started threads here."""
    child = os.fork()
    if not child:
        code = 1
        try:
            code = work()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def released(folder: Path, step: int) -> int:
    """A release that is killed at a step; 0 where it had no such step."""
    count = kill_at(step)
    release.release(folder / "linkage.toml", folder / "request", NOW)
    return 0 if count() < step else 2


def again(folder: Path) -> int:
    """The next start: it settles what is open, and refuses the same request."""
    try:
        release.release(folder / "linkage.toml", folder / "request", NOW)
    except PolicyError:
        return 0
    return 3


def state(folder: Path, digest: str) -> list[object]:
    """What the log says, how many files are left of a release that did not get to its rename, and how many packages there are."""
    signer = Keyset.open("age://keys.age", base=folder).signer().verifier
    found = publish.read_release(folder / "released", digest, signer)
    place = folder / "released"
    aside = [path for path in place.glob(".*") if path.is_dir()] if place.exists() else []
    return [History.of(folder / "audit").state(digest).value, len(aside), len(found[0].packages) if found else 0]


def main() -> None:
    """Every step."""
    folder = Path(sys.argv[1])
    step = 0
    while True:
        step += 1
        copy = folder.with_name(f"killed{step}")
        shutil.copytree(folder, copy)
        code = forked(lambda copy=copy, step=step: released(copy, step))  # type: ignore[misc]
        digest = sys.argv[2]
        before = state(copy, digest)
        after = forked(lambda copy=copy: again(copy))  # type: ignore[misc]
        sys.stdout.write(json.dumps([step, code, before, after, state(copy, digest)]) + "\n")
        shutil.rmtree(copy)
        if code != KILLED:
            return


if __name__ == "__main__":
    main()
