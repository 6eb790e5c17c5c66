"""Which fault comes next: drawn from a seed, so that a number brings the same one back."""

from __future__ import annotations

import errno
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from .injector import CHANGES, NEEDS_PERMISSION, NEEDS_SPACE, Fault

ANY = "any"  # one kind, any of those that happen


@dataclass(frozen=True)
class Drawn:
    """A family of faults.

    Attributes:
        weight: How often it is drawn.
        action: What happens.
        kinds: At which operations; ANY for one kind of those that happen.
        numbers: Of these errors one.
        then: What is refused from then on.
    """

    weight: int
    action: str
    kinds: tuple[str, ...] | str
    numbers: tuple[int, ...] = (0,)
    then: tuple[str, ...] = ()


DEVICE = ("read", "write", "sync", "volume")
FAMILIES = {
    "killed": Drawn(30, "kill", ANY),
    "killed while it writes": Drawn(6, "torn", ("write",)),
    "disk full": Drawn(14, "refuse", NEEDS_SPACE, (errno.ENOSPC, errno.ENOSPC, errno.EDQUOT), NEEDS_SPACE),
    "half written, then full": Drawn(6, "short", ("write",), (errno.ENOSPC,), NEEDS_SPACE),
    "half written once": Drawn(3, "short", ("write",)),
    "disk fails": Drawn(8, "refuse", DEVICE, (errno.EIO,), DEVICE),
    "disk fails once": Drawn(6, "refuse", ANY, (errno.EIO,)),
    "permission lost": Drawn(8, "refuse", NEEDS_PERMISSION, (errno.EACCES,), NEEDS_PERMISSION),
    "permission lost once": Drawn(4, "refuse", ANY, (errno.EACCES,)),
    "read-only": Drawn(3, "refuse", NEEDS_PERMISSION, (errno.EROFS,), NEEDS_PERMISSION),
    "too many files": Drawn(5, "refuse", ("open", "create"), (errno.EMFILE,), ("open", "create")),
    "no memory": Drawn(2, "refuse", ("map",), (errno.ENOMEM,)),
    "extract changes": Drawn(6, "change", ("open", "read")),
    "clock jumps": Drawn(3, "jump", ANY),
}
JUMPS = (-86_400, -7200, -1, 1, 7200, 3 * 86_400)
LATE = 0.4  # how often a fault comes in the last third, where things are published


def draw(random_: random.Random, counts: Mapping[str, int], extracts: Sequence[str]) -> tuple[str, Fault]:
    """One fault, and its family.

    Args:
        random_: Decides.
        counts: How many operations of each kind a run does that nothing happens to.
        extracts: Files that may change while they are read.
    """
    name = random_.choices([*FAMILIES], [each.weight for each in FAMILIES.values()])[0]
    drawn = FAMILIES[name]
    kinds = (random_.choice([each for each, count in counts.items() if count]),) if drawn.kinds == ANY else drawn.kinds
    last = sum(counts.get(each, 0) for each in kinds) or 1
    fault = Fault(
        drawn.action,
        kinds=tuple(kinds),
        at=random_.randint(last * 2 // 3 if random_.random() < LATE else 1, last) or 1,
        number=random_.choice(drawn.numbers),
        then=drawn.then,
    )
    if drawn.action == "change":
        target = random_.choice(extracts)
        at = random_.randint(1, 12)
        return name, replace(
            fault, action=random_.choice(CHANGES), at=at, only=target.rpartition("/")[2], target=target
        )
    return name, replace(fault, jump=random_.choice(JUMPS)) if drawn.action == "jump" else fault
