"""Asking the national service: everybody's number, once, in as many files as the service's limits ask for."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np

from linkage.config import National
from linkage.errors import ConfigurationError, InputError
from linkage.optouts import mesh, private_files
from linkage.optouts.registers import Numbers


@dataclass(frozen=True, slots=True)
class Asked:
    """One request file that was written.

    Attributes:
        path: The list; its control file is beside it.
        local_id: What its answer will be known by.
        numbers: How many it holds.
    """

    path: Path
    local_id: str
    numbers: int


def ask(numbers: Numbers, rules: National, base: Path, now: datetime) -> list[Asked]:
    """Write requests for a list of numbers, readable by their owner only.

    A file is called `<mailbox>-<ddmmyyyy>-<sequence>.dat`. Its LocalId is that name and eight random digits, so that an
    answer is never taken for that of another request of the same name.

    Args:
        numbers: Sorted distinct valid NHS numbers.
        rules: Mailboxes, workflow, where requests are kept and how large they may be.
        base: The folder that relative patterns start from.
        now: The moment, UTC.

    Raises:
        ConfigurationError: No mailbox is configured, or requests have no one folder.
        InputError: There is nobody to ask about.
    """
    if not rules.mailbox:
        raise ConfigurationError(
            "no mailbox to send the national opt-out request from is configured",
            hint='add mailbox = "…", the MESH mailbox of the ICS, under [optouts.national]',
        )
    if not len(numbers):
        raise InputError("no flow and no roster holds a usable NHS number", hint="check the flows: nobody to ask about")
    folder = private_files.folder(rules.requests, base, "optouts.national.requests")
    count = -(-len(numbers) * mesh.LINE // (rules.max_file_bytes // mesh.LINE * mesh.LINE))
    first = _next(folder, rules.mailbox, now)
    made = []
    for place, part in enumerate(np.array_split(numbers, count)):
        name = f"{rules.mailbox}-{now:%d%m%Y}-{first + place:04d}"
        local = f"{name}-{secrets.token_hex(4).upper()}"
        path = folder / f"{name}.dat"
        private_files.write(path, _unlike_others(part, folder))
        # The control file last: the MESH client sends a message when it sees one.
        control = mesh.control(name, local, rules.mailbox, rules.recipient, rules.workflow)
        private_files.write(path.with_suffix(".ctl"), control)
        made.append(Asked(path, local, len(part)))
    return made


def _next(folder: Path, mailbox: str, now: datetime) -> int:
    """The first sequence number of the day that is not taken.

    Raises:
        InputError: Four digits are not enough.
    """
    stems = [path.stem for path in folder.glob(f"{mailbox}-{now:%d%m%Y}-*")]
    taken = [int(number) for stem in stems if (number := stem.rpartition("-")[2]).isdigit()]
    return max(taken, default=0) + 1


def _unlike_others(numbers: Numbers, folder: Path) -> bytes:
    """The list's content; where the same bytes were sent before, the list begins at another number.

    The service checks that an upload is unique, so the same list again would not be answered.
    """
    content = mesh.lines(numbers)
    sent = {
        hashlib.sha256(path.read_bytes()).digest()
        for path in folder.glob("*.dat")
        if path.stat().st_size == len(content)
    }
    turn = 0
    while hashlib.sha256(content).digest() in sent and turn < len(numbers) - 1:
        turn += 1
        content = mesh.lines(np.roll(numbers, -turn))
    return content
