"""A made-up ICS of three feeds and some dozens of people, day by day: deliveries, opt-outs, merged numbers, deletions."""

from __future__ import annotations

import random
import shutil
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from small import MERGED_NUMBERS

FIRST = date(2027, 3, 1)  # after today, or no file would have settled by the clock that the shim shows
CONFIGURATION = """
allow_test_numbers = true
[purpose]
name = "test"
legal_basis = "made-up data"
controllers = ["nobody"]
[keys]
keyset = "age://keys.age"
domain = "ics:test"
[store]
path = "store"
keep = 3
hold = true
[optouts.national]
requests = "optouts/*.dat"
answers = "optouts/answers/*.dat"
max_age_days = 7
min_allowed = 0.3
max_not_asked = 0.5
[optouts.type1]
applies_to = "primary_care"
[[flows]]
feed = "gp.toml"
path = "extracts"
[[flows]]
feed = "pds.toml"
path = "extracts"
[[flows]]
feed = "community.toml"
path = "extracts"
"""
GP = """
name = "gp"
setting = "primary_care"
delivered = '_(\\d{8})\\.csv'
[tables.agreement]
files = "agreement_*.csv"
kind = "sharing"
sharing = { practice = "practice", flags = { active = true } }
[tables.agreement.columns]
practice = { source = "practice", role = "practice", required = true }
active = { source = "active", role = "flag" }
[tables.patient]
files = "patient_*.csv"
primary_key = "patient"
roster = true
registration = { practice = "practice", start = "start", end = "end" }
[tables.patient.columns]
patient = { source = "id", role = "person_key", namespace = "gp.patient", required = true }
nhs_number = { source = "nhs", role = "person" }
practice = { source = "practice", role = "practice" }
start = { source = "start", role = "date" }
end = { source = "end", role = "date" }
refuses = { source = "refuses", role = "flag", optout = "type1", out_when = true }
[tables.coded]
files = "coded_*.csv"
primary_key = "entry"
month = "day"
event = { kind = "coded", record = "entry", start = "day" }
[tables.coded.columns]
entry = { source = "entry", role = "record", namespace = "gp.entry", required = true }
patient = { source = "id", role = "person_key", namespace = "gp.patient", required = true }
day = { source = "day", role = "date" }
said = { source = "said", role = "category" }
"""
COMMUNITY = """
name = "community"
setting = "community"
delivered = '_(\\d{8})\\.csv'
[tables.contact]
files = "contact_*.csv"
primary_key = ["contact"]
month = "day"
event = { kind = "contact", record = "contact", start = "day" }
[tables.contact.columns]
contact = { source = "contact", role = "record", namespace = "community.contact", required = true }
number = { source = "nhs", role = "person" }
day = { source = "day", role = "date" }
said = { source = "said", role = "category" }
[tables.log]
files = "log_*.csv"
kind = "deletions"
optional = true
[tables.log.columns]
contact = { source = "contact", role = "record", namespace = "community.contact", required = true }
deleted = { source = "deleted", role = "flag", removes = "deleted" }
"""
PEOPLE, DAYS = 30, 5


def numbers(count: int) -> list[str]:
    """NHS numbers of the test range with valid check digits."""
    found, place = [], 999_100_000
    while len(found) < count:
        place += 7
        check = 11 - sum(int(digit) * weight for digit, weight in zip(str(place), range(10, 1, -1), strict=True)) % 11
        if check != 10:
            found.append(f"{place}{check % 11}")
    return found


@dataclass
class World:
    """What is delivered on which day; the same for the same seed.

    Attributes:
        folder: Where everything is.
        seed: Decides what happens.
    """

    folder: Path
    seed: int
    people: list[str] = field(default_factory=lambda: numbers(PEOPLE))

    @property
    def configuration(self) -> Path:
        return self.folder / "linkage.toml"

    @property
    def store(self) -> Path:
        return self.folder / "store"

    @property
    def private(self) -> Path:
        return self.folder / "private"

    @property
    def extracts(self) -> Path:
        return self.folder / "extracts"

    @staticmethod
    def now(day: int) -> datetime:
        """The moment of a day's run."""
        return datetime(FIRST.year, FIRST.month, FIRST.day, 6, tzinfo=UTC) + timedelta(days=day)

    def make(self, keys: Path) -> None:
        """The configuration, the contracts, the keyset that lies in a folder, and folders without extracts."""
        for each in (self.extracts, self.folder / "optouts" / "answers", self.folder / "temporary"):
            each.mkdir(parents=True)
        for name in ("keys.age", "keys.identity"):
            shutil.copy2(keys / name, self.folder / name)
        self.configuration.write_text(CONFIGURATION)
        for name, contract in (("gp", GP), ("pds", MERGED_NUMBERS), ("community", COMMUNITY)):
            (self.folder / f"{name}.toml").write_text(contract)

    def deliver(self, day: int) -> None:
        """What comes on one day: new extracts, the answer of the national opt-out, and what is taken back."""
        random_ = random.Random(f"{self.seed} {day}")
        self._practices(day, random_)
        self._contacts(day, random_)
        if day % 2 == 0:
            self._write("merged", day, "old,new", [",".join(random_.sample(self.people, 2))])
        self._answer(day, random_)
        if day == 3:
            self._path("contact", 1).unlink()
        if day == 4:
            path = self._path("contact", 2)
            path.write_text(path.read_text().replace(",a\n", ",z\n"))

    def _path(self, table: str, day: int) -> Path:
        return self.extracts / f"{table}_{FIRST + timedelta(days=day):%Y%m%d}.csv"

    def _write(self, table: str, day: int, header: str, rows: list[str]) -> None:
        self._path(table, day).write_text("\n".join([header, *rows]) + "\n")

    def _practices(self, day: int, random_: random.Random) -> None:
        if day in (0, 2, 4):
            self._write(
                "agreement", day, "practice,active", ["P1,true", "P2,true", f"P3,{'false' if day == 2 else 'true'}"]
            )
        whom = range(PEOPLE) if day == 0 else random_.sample(range(PEOPLE), 4)
        rows = [
            f"g{each},{self.people[each]},P{random_.randint(1, 3)},2020-01-0{day + 1},,{each % 9 == day}"
            for each in whom
        ]
        self._write("patient", day, "id,nhs,practice,start,end,refuses", rows)
        entries = [
            f"e{day}{place},g{random_.randrange(PEOPLE)},2026-0{random_.randint(4, 6)}-11,{random_.choice('ab')}"
            for place in range(15)
        ]
        self._write("coded", day, "entry,id,day,said", entries)

    def _contacts(self, day: int, random_: random.Random) -> None:
        known = [f"c{each}" for each in range(day * 10)]
        mine = [f"c{each}" for each in range(day * 10, day * 10 + 10)] + random_.sample(known, min(day, 3))
        rows = [f"{key},{random_.choice(self.people)},2026-0{random_.randint(4, 6)}-09,a" for key in mine]
        self._write("contact", day, "contact,nhs,day,said", rows)
        if day in (1, 3):
            self._write("log", day, "contact,deleted", [f"{random_.choice(known)},1"])

    def _answer(self, day: int, random_: random.Random) -> None:
        """Everybody is asked about; four said no, others each day."""
        out = set(random_.sample(self.people, 4))
        folder = self.folder / "optouts"
        (folder / "r.dat").write_text("".join(f"{each},\n" for each in self.people))
        (folder / "answers" / "r.dat").write_text("".join(f"{each},\n" for each in self.people if each not in out))
        (folder / "answers" / "r.ctl").write_text(
            f"<DTSControl><StatusRecord><DateTime>{self.now(day):%Y%m%d}050000</DateTime></StatusRecord></DTSControl>"
        )
