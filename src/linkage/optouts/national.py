"""The national data opt-out: the list of those who may be used, and proof of what was asked.

The national service takes a list of NHS numbers and returns the ones *without* an opt-out. So a number that was asked
about and not returned is out, and a number that nobody asked about is unknown, so out as well. It is the moment of
disclosure that counts, never that of an event, and a person's choice stands after death.
(NHS England, national data opt-out service.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from operator import itemgetter
from pathlib import Path

import numpy as np

from linkage import nhs_number
from linkage.config import National
from linkage.errors import ConfigurationError, PolicyError
from linkage.optouts import mesh
from linkage.optouts.registers import NONE, Numbers, Said, distinct
from linkage.reasons import Reason

CLOCK_SKEW = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Pair:
    """A request and its answer, and the moment of the answer, UTC."""

    request: Path
    answer: Path
    answered: datetime


@dataclass(frozen=True, slots=True)
class NationalAnswers:
    """What the service was asked about and what it answered.

    Attributes:
        rules: Where the files are and how old an answer may be.
        base: The folder that relative patterns start from.
        spares_other_nations: Whether numbers issued in Scotland and Ireland may be used all the same.
    """

    rules: National
    base: Path
    spares_other_nations: bool = False

    def read(self, now: datetime) -> Said:
        """Who may be used: of all answers young enough, the latest to a request that named a number decides.

        Raises:
            PolicyError: No answer is young enough; a file is missing or damaged; an answer belongs to another request, is
                a rejection, or is not believable as a list of people who may be used.
        """
        answers, evidence = [], []
        for pair in self._fresh(now):
            asked, sent = mesh.read_numbers(pair.request, "national_requests", pair.answered)
            allowed, back = mesh.read_numbers(pair.answer, "national_allowed", pair.answered)
            check_answer(pair.answer.name, asked, allowed, self.rules.min_allowed)
            answers.append((pair.answered, asked, allowed))
            evidence += [sent, back]
        asked, allowed = latest(answers)
        denied = np.setdiff1d(asked, allowed, assume_unique=True)
        if self.spares_other_nations:
            denied = denied[~nhs_number.issued_abroad(denied)]
        return Said(
            out={Reason.NATIONAL_OPT_OUT: denied},
            may=allowed,
            otherwise=Reason.NATIONAL_NOT_ASKED,
            spares_other_nations=self.spares_other_nations,
            evidence=tuple(evidence),
        )

    def pairs(self, now: datetime) -> tuple[list[Pair], list[Path]]:
        """Requests with their answers, and requests that have none yet, by name.

        Raises:
            PolicyError: There is no request or no answer; an answer has no request, no date, or one in the future.
        """
        requests = {path.stem: path for path in self.find(self.rules.requests, "request")}
        answers = {path.stem: path for path in self.find(self.rules.answers, "answer")}
        stray = sorted(answers.keys() - requests.keys())
        if stray:
            raise PolicyError(
                f"{stray[0]}.dat: the national opt-out answer has no request of its name",
                hint="put the request back, or remove the answer",
            )
        pairs = [Pair(requests[stem], path, _answered(path, now)) for stem, path in answers.items()]
        return pairs, [path for stem, path in requests.items() if stem not in answers]

    def is_fresh(self, pair: Pair, now: datetime) -> bool:
        """Whether the answer is young enough."""
        return now - pair.answered <= timedelta(days=self.rules.max_age_days)

    def _fresh(self, now: datetime) -> list[Pair]:
        pairs, _ = self.pairs(now)
        fresh = [pair for pair in pairs if self.is_fresh(pair, now)]
        if not fresh:
            newest = max(pairs, key=lambda pair: pair.answered)
            raise PolicyError(
                f"{newest.answer.name}: the national opt-out answer is {(now - newest.answered).days} days old, "
                f"more than the {self.rules.max_age_days} allowed",
                hint="ask the service again: `linkage optouts request`",
            )
        return fresh

    def find(self, patterns: Sequence[str], what: str) -> list[Path]:
        """Files of one kind, sorted.

        Raises:
            PolicyError: There is none.
        """
        try:
            paths = sorted({path for pattern in patterns for path in self.base.glob(pattern) if path.is_file()})
        except (NotImplementedError, ValueError):
            raise ConfigurationError(
                f"the pattern of national opt-out {what} files cannot be used",
                hint="patterns start from the configuration's folder, for example optouts/*.dat",
            ) from None
        if not paths:
            raise PolicyError(
                f"no national opt-out {what} file like {' or '.join(patterns)}",
                hint="nothing is released without the list of who may be used: `linkage optouts request` asks for it",
            )
        twice = {path.stem for path in paths if [each.stem for each in paths].count(path.stem) > 1}
        if twice:
            raise PolicyError(
                f"two national opt-out {what} files are called {min(twice)}",
                hint="requests and answers belong together by name: remove one",
            )
        return paths


def latest(answers: Sequence[tuple[datetime, Numbers, Numbers]]) -> tuple[Numbers, Numbers]:
    """Put answers together: about each number the latest that was asked about it decides.

    Of two answers of one moment that disagree, the one that says no is believed.

    Args:
        answers: For each its moment, the numbers asked about, and those of them that came back, sorted distinct.

    Returns:
        All numbers asked about, and those of them that may be used.
    """
    asked, allowed = NONE, NONE
    moment = itemgetter(0)
    for _, group in groupby(sorted(answers, key=moment), key=moment):
        lists = [(sent, back) for _, sent, back in group]
        asked_now = distinct(*(sent for sent, _ in lists))
        denied = distinct(*(np.setdiff1d(sent, back, assume_unique=True) for sent, back in lists))
        allowed_before = np.setdiff1d(allowed, asked_now, assume_unique=True)
        allowed = distinct(allowed_before, np.setdiff1d(asked_now, denied, assume_unique=True))
        asked = distinct(asked, asked_now)
    return asked, allowed


def check_answer(name: str, asked: Numbers, allowed: Numbers, min_allowed: float) -> None:
    """Refuse an answer that cannot be the one to its request.

    Raises:
        PolicyError: It holds numbers that were not asked about, or too few of those that were.
    """
    if len(np.setdiff1d(allowed, asked, assume_unique=True)):
        raise PolicyError(
            f"{name}: the national opt-out answer holds numbers that were never asked about",
            hint="it answers another request: put the request and its own answer in place",
        )
    if len(allowed) < min_allowed * len(asked):
        raise PolicyError(
            f"{name}: the national opt-out answer allows too few of those asked about to be believed",
            hint="it may be cut short, or a list of those who opted out; ask again, or lower min_allowed with a reason",
        )


def _answered(answer: Path, now: datetime) -> datetime:
    """The moment of an answer, from the control file that comes with it."""
    path = answer.with_suffix(".ctl")
    control = mesh.read_control(path)
    if not control.good:
        raise PolicyError(f"{path.name}: the transfer of the answer did not succeed", hint="fetch the answer again")
    if control.moment > now + CLOCK_SKEW:
        raise PolicyError(f"{path.name}: dated in the future", hint="check the clock of this machine")
    return control.moment
