"""Lists that an ICS keeps itself: who objects, whose record is sensitive, which practices do not share.

A list is a CSV file. Its first line names what it holds, so that no list is taken for another; its last line says how
many lines came before and on which day it was last known to be complete, so that a list that was cut short or forgotten is
refused:

    objecting_nhs_number,note
    943 476 5919,letter of 3 May
    end,1,2026-11-20
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from linkage import nhs_number
from linkage.errors import PolicyError
from linkage.optouts.registers import Evidence, Numbers, Said, distinct
from linkage.reasons import Reason

END = "end"
OBJECTING = ("objecting_nhs_number", "note")
SENSITIVE = ("sensitive_nhs_number", "note")
_FORM = (
    "its first line is {header}, its last `end,<number of lines between>,<day on which it was complete, as 2026-11-20>`"
)


@dataclass(frozen=True, slots=True, repr=False)
class KeptList:
    """A list that was read whole.

    Attributes:
        file: Its name.
        header: What its first line says.
        lines: Its other lines with their places, the last one not among them.
        complete: The day of its last line.
        evidence: For the account of the run.
    """

    file: str
    header: tuple[str, ...]
    lines: tuple[tuple[int, tuple[str, ...]], ...]
    complete: date
    evidence: Evidence

    def rows(self) -> Iterator[tuple[int, tuple[str, ...]]]:
        """Each line with its place in the file, filled up to as many fields as the header has."""
        for line, row in self.lines:
            yield line, (*row, *[""] * (len(self.header) - len(row)))

    def wrong(self, line: int, why: str) -> PolicyError:
        """The error for one line; never with what it holds."""
        return PolicyError(f"{self.file}: line {line}: {why}", hint="correct the line; nothing is released until then")


@dataclass(frozen=True, slots=True)
class ListedPeople:
    """People on a list that the ICS keeps: a register of those who may not be used.

    Attributes:
        path: The list, readable by its owner only.
        header: What it holds, `OBJECTING` or `SENSITIVE`.
        reason: Why they may not be used.
        max_age_days: How long after its day of completeness it counts.
    """

    path: Path
    header: tuple[str, ...]
    reason: Reason
    max_age_days: int

    def read(self, now: datetime) -> Said:
        """Everybody on the list.

        Raises:
            PolicyError: It is missing, open to others, cut short, too old, another list, or holds what is no NHS number.
        """
        kept = read(self.path, self.header, self.max_age_days, now, private=True)
        return Said(out={self.reason: people(kept)}, evidence=(kept.evidence,))


def read(path: Path, header: tuple[str, ...], max_age_days: int, now: datetime, *, private: bool = False) -> KeptList:
    """Read a list.

    Args:
        path: The file.
        header: What its first line has to say.
        max_age_days: How long after its day of completeness it counts.
        now: The moment of disclosure, UTC.
        private: Whether it holds NHS numbers, so that nobody but its owner may be able to read it.

    Raises:
        PolicyError: It is missing, open to others, cut short, too old, or holds something else.
    """
    content = _content(path, private=private)
    try:
        text = io.StringIO(content.decode("utf-8-sig"), newline="")
        rows = [tuple(cell.strip() for cell in row) for row in csv.reader(text, strict=True)]
    except (UnicodeDecodeError, csv.Error):
        raise PolicyError(f"{path.name}: cannot be read as a list", hint=_form(header)) from None
    if not rows or rows[0] != header:
        raise PolicyError(
            f"{path.name}: the first line does not say that it holds {header[0]}, so it may be another list",
            hint=_form(header),
        )
    lines = [(place, row) for place, row in enumerate(rows[1:], start=2) if any(row)]
    complete = _complete(path.name, lines[-1][1] if lines else (), len(lines) - 1, header)
    if complete > now.date() + timedelta(days=1):
        raise PolicyError(
            f"{path.name}: its last line lies in the future", hint="check the day, and this machine's clock"
        )
    age = (now.date() - complete).days
    if age > max_age_days:
        raise PolicyError(
            f"{path.name}: the list was complete {age} days ago, more than the {max_age_days} allowed",
            hint="see that nobody is missing, then put today into its last line; or raise max_age_days with a reason",
        )
    body = tuple(lines[:-1])
    if any(len(row) > len(header) for _, row in body):
        raise PolicyError(f"{path.name}: a line has more fields than the first", hint=_form(header))
    digest = hashlib.sha256(content).hexdigest()
    evidence = Evidence(header[0], path.name, digest, datetime.combine(complete, time(), UTC), len(body))
    return KeptList(path.name, header, body, complete, evidence)


def people(kept: KeptList) -> Numbers:
    """The NHS numbers in the first field of each line, sorted, each once.

    Raises:
        PolicyError: One is not valid: a mistyped number is an objection that would be missed.
    """
    column = pl.Series([row[0] for _, row in kept.rows()], dtype=pl.String)
    parsed = nhs_number.parse(column)
    bad = parsed["reason"].is_not_null()
    if bad.any():
        raise kept.wrong(kept.lines[int(bad.arg_true()[0])][0], "not a valid NHS number")
    return distinct(parsed["number"].to_numpy().astype(np.int64))


def _complete(name: str, last: tuple[str, ...], count: int, header: tuple[str, ...]) -> date:
    try:
        word, lines, day = last
        if word != END:
            raise ValueError
        told, complete = int(lines), date.fromisoformat(day)
    except ValueError:
        raise PolicyError(
            f"{name}: the last line does not say how many lines there are and on which day that was complete, "
            "so the list may be cut short",
            hint=_form(header),
        ) from None
    if told != count:
        # Neither figure is repeated: they would say how many people object.
        raise PolicyError(
            f"{name}: there are {'fewer' if count < told else 'more'} lines than the last one says, so the list may be cut "
            "short",
            hint="see that nobody is missing, then put the number of lines between the first and the last into the last",
        )
    return complete


def _content(path: Path, *, private: bool) -> bytes:
    try:
        content = path.read_bytes()
        mode = path.stat().st_mode
    except OSError as error:
        raise PolicyError(
            f"{path.name}: the list cannot be read ({error.strerror})",
            hint="nothing is released without it: put it back",
        ) from None
    if private and os.name == "posix" and mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise PolicyError(
            f"{path.name}: holds NHS numbers, and others than its owner can reach it", hint=f"chmod 600 {path.name}"
        )
    return content


def _form(header: tuple[str, ...]) -> str:
    return _FORM.format(header=f"`{','.join(header)}`")
