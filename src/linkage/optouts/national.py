"""The national data opt-out: the list of those who may be used, and proof of what was asked.

The national service takes a list of NHS numbers and returns the ones *without* an opt-out. So a number that was asked
about and not returned is out, and a number that nobody asked about is unknown, so out as well.
(NHS England, national data opt-out service; file shapes as users of the service describe them.)
"""

from __future__ import annotations

import hashlib
import io
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from linkage import nhs_number
from linkage.config import National
from linkage.errors import ConfigurationError, PolicyError

Numbers = npt.NDArray[np.int64]
CLOCK_SKEW = timedelta(hours=1)
_SUCCESS = "SUCCESS"  # MESH names other outcomes ERROR
_REJECTED = b"invalid NHS Numbers"
_NONE: Numbers = np.array([], dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Evidence:
    """One register file that a run relied on, for the manifest: counts and digests, never a number."""

    name: str
    file: str
    sha256: str
    as_of: datetime
    numbers: int


@dataclass(frozen=True, slots=True, repr=False)
class AllowedList:
    """Who was asked about and who may be used.

    Attributes:
        asked: Sorted distinct numbers that were sent.
        allowed: Sorted distinct numbers that came back: those without an opt-out.
        answered: The moment of the oldest answer, UTC.
        evidence: The files.
    """

    asked: Numbers
    allowed: Numbers
    answered: datetime
    evidence: tuple[Evidence, ...]

    @property
    def opted_out(self) -> Numbers:
        """Asked about and not returned."""
        return np.setdiff1d(self.asked, self.allowed, assume_unique=True)


def read(rules: National, base: Path, now: datetime) -> AllowedList:
    """Read requests and answers and check that they can be relied on.

    Args:
        rules: Where the files are and how old an answer may be.
        base: The folder that relative patterns start from.
        now: The moment of disclosure, UTC.

    Raises:
        PolicyError: A file is missing, damaged or too old; an answer belongs to another request, is a rejection, or
            is not believable as a list of people who may be used.
    """
    requests = _find(rules.requests, base, "request")
    answers = _find(rules.answers, base, "answer")
    asked = _distinct([_numbers(path) for path in requests])
    allowed = _distinct([_numbers(path) for path in answers])
    stamps = [_answered(path, now) for path in answers]
    _check_belongs(requests, answers)
    _check_fresh(answers, stamps, rules, now)
    if len(np.setdiff1d(allowed, asked, assume_unique=True)):
        raise PolicyError(
            "the national opt-out answer holds numbers that were never asked about",
            hint="it answers another request: put the request and its own answer in place",
        )
    if len(allowed) < rules.min_allowed * len(asked):
        raise PolicyError(
            "the national opt-out answer allows too few of those asked about to be believed",
            hint="it may be cut short, or a list of those who opted out; ask again, or lower min_allowed with a reason",
        )
    evidence = [
        _evidence("national_requests", path, stamp)
        for path, stamp in zip(requests, map(_modified, requests), strict=True)
    ]
    evidence += [_evidence("national_allowed", path, stamp) for path, stamp in zip(answers, stamps, strict=True)]
    return AllowedList(asked, allowed, min(stamps), tuple(evidence))


def _find(patterns: Sequence[str], base: Path, what: str) -> list[Path]:
    try:
        paths = sorted({path for pattern in patterns for path in base.glob(pattern) if path.is_file()})
    except (NotImplementedError, ValueError):
        raise ConfigurationError(
            f"the pattern of national opt-out {what} files cannot be used",
            hint="patterns start from the configuration's folder, for example optouts/*.dat",
        ) from None
    if not paths:
        raise PolicyError(
            f"no national opt-out {what} file like {' or '.join(patterns)}",
            hint="nothing is released without the list of who may be used: fetch it from the mailbox",
        )
    return paths


def _numbers(path: Path) -> Numbers:
    """Numbers of one file; each line is ten digits and a comma."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise PolicyError(f"{path.name}: cannot be read ({error.strerror})", hint="check its permissions") from None
    if _REJECTED in content[:200]:
        raise PolicyError(
            f"{path.name}: the service rejected the request", hint="correct the request and send it again"
        )
    if content and not content.endswith(b"\n"):
        raise PolicyError(f"{path.name}: the last line is cut short", hint="fetch the file again")
    if not content:
        return _NONE
    column = _lines(content)
    parsed = nhs_number.parse(column.str.strip_suffix(","))
    bad = parsed["reason"].is_not_null() | ~column.str.contains(r"^\d{10},?$")
    if bad.any():
        row = int(bad.arg_true()[0]) + 1
        raise PolicyError(
            f"{path.name}: line {row} is not one NHS number",
            hint="this is not a list of NHS numbers as the service writes it",
        )
    return parsed["number"].to_numpy().astype(np.int64)


def _lines(content: bytes) -> pl.Series:
    # One field a line: no separator that could occur in it, and no quoting.
    frame = pl.read_csv(
        io.BytesIO(content),
        has_header=False,
        separator="\x1f",
        quote_char=None,
        schema={"line": pl.String},
        encoding="utf8-lossy",
    )
    return frame["line"].str.strip_suffix("\r").fill_null("")


def _distinct(parts: list[Numbers]) -> Numbers:
    return np.unique(np.concatenate(parts)) if parts else _NONE


def _answered(path: Path, now: datetime) -> datetime:
    """The moment of an answer, from the control file that comes with it."""
    control = path.with_suffix(".ctl")
    try:
        root = ET.parse(control).getroot()  # noqa: S314 a local file
        stamp = root.findtext("StatusRecord/DateTime", "")
        answered = datetime.strptime(stamp, "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    except (OSError, ET.ParseError, ValueError):
        raise PolicyError(
            f"{control.name}: missing or without a readable date, so the age of {path.name} is unknown",
            hint="keep the .ctl file that comes with each answer beside it",
        ) from None
    if root.findtext("StatusRecord/Status", _SUCCESS).strip().upper() != _SUCCESS:
        raise PolicyError(f"{control.name}: the transfer of the answer did not succeed", hint="fetch the answer again")
    if answered > now + CLOCK_SKEW:
        raise PolicyError(f"{control.name}: dated in the future", hint="check the clock of this machine")
    return answered


def _check_belongs(requests: list[Path], answers: list[Path]) -> None:
    missing = {path.stem for path in requests} - {path.stem for path in answers}
    if missing:
        raise PolicyError(
            f"no answer yet to the national opt-out request {min(missing)}",
            hint="wait for the answer, or remove the request",
        )


def _check_fresh(answers: list[Path], stamps: list[datetime], rules: National, now: datetime) -> None:
    oldest = min(stamps)
    if now - oldest > timedelta(days=rules.max_age_days):
        raise PolicyError(
            f"{answers[stamps.index(oldest)].name}: the national opt-out answer is {(now - oldest).days} days old, "
            f"more than the {rules.max_age_days} allowed",
            hint="ask the service again",
        )


def _modified(path: Path) -> datetime:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC)


def _evidence(register: str, path: Path, stamp: datetime) -> Evidence:
    content = path.read_bytes()
    return Evidence(register, path.name, hashlib.sha256(content).hexdigest(), stamp, content.count(b"\n"))
