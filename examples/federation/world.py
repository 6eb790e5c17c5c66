"""Everybody in three made-up ICSs: who they are, where they are and were registered, which hospitals they went to.

Many are in two ICSs' records: they moved, or went to a hospital over the border. A hospital's rows go to its own ICS and
to that of the patient's practice, as rows of hospitals do.
"""

from __future__ import annotations

import csv
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

ICSS = {"qxx": 0.6, "qyy": 0.3, "qzz": 0.1}  # the third one is small
PRACTICES = {name: tuple(f"{name[-1].upper()}8100{number}" for number in range(1, 4)) for name in ICSS}
BIRTHS, VISITS = date(1930, 1, 1), date(2025, 10, 1)
DELIVERED = date(2026, 11, 20)


@dataclass(frozen=True)
class Person:
    """Somebody.

    Attributes:
        number: Their NHS number, of the range for tests.
        sex: 1 male, 2 female.
        born: When.
        places: The practices where they were, each with its ICS, its first day, and its last or None.
        visits: Days of attendances, each with the ICS of the hospital.
    """

    number: str
    sex: str
    born: date
    places: tuple[tuple[str, str, date, date | None], ...]
    visits: tuple[tuple[str, date], ...]

    @property
    def home(self) -> str:
        """The ICS of their current practice."""
        return self.places[-1][1]

    @property
    def age(self) -> int:
        """In 2026, by the year of birth."""
        return 2026 - self.born.year


def people(size: int, seed: int) -> list[Person]:
    """So many people, the same each time."""
    chance = random.Random(seed)  # noqa: S311 made-up people
    return [_person(chance, number) for number in _numbers(size)]


def write(folder: Path, name: str, everybody: Sequence[Person]) -> None:
    """The extracts of one ICS: its practices' lists, and what hospitals send it."""
    lists = [
        (f"{name}-{place}-{at}", each.number, each.sex, each.born, practice, starts, ends or "")
        for place, each in enumerate(everybody)
        for at, (practice, ics, starts, ends) in enumerate(each.places)
        if ics == name
    ]
    visits = [
        (f"{place}-{at}", each.number, day)
        for place, each in enumerate(everybody)
        for at, (ics, day) in enumerate(each.visits)
        if name in (ics, each.home)
    ]
    _csv(folder / "register", "register", ("entry", "nhs", "sex", "born", "practice", "starts", "ends"), lists)
    _csv(folder / "hospital", "hospital", ("attendance", "nhs", "day"), visits)


def _person(chance: random.Random, number: str) -> Person:
    home = chance.choices(list(ICSS), list(ICSS.values()))[0]
    starts, born = date(2000 + chance.randrange(20), 1, 1), BIRTHS + timedelta(days=chance.randrange(34_000))
    places = [(chance.choice(PRACTICES[home]), home, max(starts, born), None)]
    if chance.random() < 0.08:
        moved, new = date(2025, 1, 1) + timedelta(days=chance.randrange(600)), chance.choice(list(ICSS))
        places = [(*places[0][:3], moved - timedelta(days=1)), (chance.choice(PRACTICES[new]), new, moved, None)]
    here = places[-1][1]
    visits = [
        (here if chance.random() < 0.8 else chance.choice(list(ICSS)), VISITS + timedelta(days=chance.randrange(365)))
        for _ in range(chance.choices([0, 1, 2, 4], [70, 18, 8, 4])[0])
    ]
    return Person(number, chance.choice("12"), born, tuple(places), tuple(visits))


def _numbers(size: int) -> Iterator[str]:
    """NHS numbers of the range 900 to 999, which is nobody's, with their check digits."""
    found, stem = 0, 900_000_000
    while found < size:
        stem += 7
        check = -sum(int(digit) * weight for digit, weight in zip(str(stem), range(10, 1, -1), strict=True)) % 11
        if check < 10:
            found += 1
            yield f"{stem}{check}"


def _csv(folder: Path, name: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    folder.mkdir(parents=True)
    with (folder / f"{name}_{DELIVERED:%Y%m%d}.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(rows)
