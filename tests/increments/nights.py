"""Sixty nights of the tiny ICS, drawn from a seed: it grows, corrects, deletes, says no and comes back."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta
from random import Random

from evolving import DISSENT, START, WITHDRAWAL, Evolving, changed, day_of, number, table_of

PEOPLE = tuple(filter(None, map(number, range(400003000, 400003060))))[:40]
MINUTES = 24 * 60
_CODES = ("10", "10", "13", "13", "13", "14")


@dataclass
class Nights:
    """What happens on each night.

    Attributes:
        ics: Changed in place.
        chance: Everything is drawn from it.
        last: The highest number that a record of each kind has.
    """

    ics: Evolving
    chance: Random
    last: dict[str, int] = field(default_factory=dict)

    def begin(self) -> None:
        """Everybody but the youngest was asked about, and one in ten has opted out."""
        self.ics.people = PEOPLE
        self.ics.asked.update(PEOPLE[:30])
        self.ics.allowed = {*self.ics.allowed, *PEOPLE} - {*PEOPLE[5:30:10]}
        self.ics.write_registers()
        self.deliver("gp", "code", [f"11,{DISSENT}", f"12,{WITHDRAWAL}", "14,195967001"])
        self.deliver("gp", "patient", [self._patient(place) for place in range(20)])
        self.deliver("acute", "spell", [self._spell() for _ in range(12)])
        self.month("2026-10")

    def night(self, place: int) -> None:
        """One night; the clock goes on by a day."""
        self.ics.minutes = place * MINUTES
        chance = self.chance
        self.deliver("gp", "observation", [self._observation() for _ in range(chance.randint(2, 6))])
        spells = [self._spell() for _ in range(chance.randint(1, 3))]
        self.deliver("acute", "spell", spells)
        self.deliver("acute", "episode", [f"{each.split(',')[0]},e1,{self._day()}," for each in spells])
        if place % 3 == 0:
            self.deliver("gp", "patient", [self._patient(chance.randrange(min(20 + place // 2, 40)))])
            self.deliver("acute", "deletion", [f"s{chance.randint(1, self.last['s'])},true"])
        if place % 4 == 0:
            self.deliver(
                "deaths", "death", [f"x{place},{chance.choice(PEOPLE)},2026-10-{chance.randint(1, 28)},I21,false"]
            )
        if place % 7 == 0:
            old, new = chance.sample(PEOPLE, 2)
            self.deliver("pds", "merged", [f"{old},{new}"])
            self.deliver("pds", "person", [f"d{place},{old},1948-0{chance.randint(1, 9)}-01,2,2026-01-01,false"])
        if place % 6 == 5:
            self.deliver("gp", "agreement", ["Z99001,true", "Z99002,true", "Z99009,true"])
        if place % 20 == 0:
            self.month(f"2026-{10 - place // 20:02}")
        self._files(place)
        self._people(place)
        self.ics.write_registers()

    def month(self, period: str) -> None:
        """The feeds that come by the month: one again, whole, and the next."""
        people = self.chance.sample(range(20), 8)
        told = f"RZ1,{period},u{self.last.get('o', 0)},2026-11-01"
        patients = [f"c{each},{PEOPLE[each]},19{30 + each}-01-01,A,{told}" for each in people]
        self.deliver("community", "patient", patients)
        self.deliver("community", "contact", [f"k{period}{each},c{each},{told},{period}-05" for each in people[:5]])
        rows = [
            f"101,r{period}{each},{PEOPLE[each]},l{each},l{people[0]},,{period}-01,{period}-28,{period}-03"
            for each in people
        ]
        self.deliver("care", "care", rows)

    def deliver(self, feed: str, table: str, rows: list[str], day: int | None = None) -> None:
        """An extract more, stamped with yesterday unless it is late."""
        self.ics.write(self.ics.new_path(feed, table, day or self.ics.last_day), rows)

    def _files(self, place: int) -> None:
        """What goes wrong with deliveries: late, twice, corrected where they lie, gone."""
        chance, files = self.chance, sorted(self.ics.may_go())
        if place % 5 == 1:
            self.deliver("gp", "observation", [self._observation()], self.ics.last_day - chance.randint(2, 9))
        if place % 9 == 4:
            path = chance.choice(files)
            self.deliver(*table_of(path), list(self.ics.files[path]), day_of(path) if chance.random() < 0.5 else None)
        if place % 11 == 6:
            path = chance.choice([each for each in files if table_of(each) == ("acute", "spell")])
            self.ics.write(path, changed(self.ics.files[path], 0, lambda row: row.replace("RX1", "RX2")))
        if place % 23 == 17:
            self.ics.remove(chance.choice([each for each in files if table_of(each)[1] == "observation"]))

    def _people(self, place: int) -> None:
        """Who says no and who comes back, by every way that there is."""
        chance, ics = self.chance, self.ics
        ics.asked.update(PEOPLE[: 30 + place // 6])
        if place % 2:
            ics.allowed.symmetric_difference_update({chance.choice(PEOPLE)})
        if place % 8 == 3:
            self.deliver("gp", "observation", [self._observation(chance.choice(["11", "11", "12"]))])
        if place % 13 == 5:
            ics.objecting.symmetric_difference_update({chance.choice(PEOPLE)})
        if place % 17 == 8:
            ics.sensitive.symmetric_difference_update({chance.choice(PEOPLE)})
        if place in (22, 33):
            ics.leaving = {"Z99001": ("2026-04-01", "")} if place == 22 else {"Z99001": ("2026-04-01", "2026-05-01")}

    def _key(self, letter: str, new: float = 0.8) -> str:
        """A new record, or one that came before."""
        last = self.last.get(letter, 0)
        if last and self.chance.random() > new:
            return f"{letter}{self.chance.randint(1, last)}"
        self.last[letter] = last + 1
        return f"{letter}{last + 1}"

    def _day(self) -> date:
        """Mostly of late; now and then booked for a day to come."""
        return START.date() + timedelta(minutes=self.ics.minutes, days=self.chance.randint(-40, 2))

    def _patient(self, place: int) -> str:
        practice = self.chance.choice(["Z99001", "Z99002"])
        return f"p{place},{PEOPLE[place]},{practice},2020-01-01,,19{30 + place}-05-01,{1 + place % 2},false,false,false"

    def _observation(self, code: str = "") -> str:
        code = code or self.chance.choice(_CODES)
        gone = self.chance.random() < 0.1
        person = self.chance.randrange(20)
        return f"{self._key('o')},p{person},Z9900{1 + person % 2},{self._day()},{code},1,false,{str(gone).lower()}"

    def _spell(self) -> str:
        person, mother = self.chance.choice(PEOPLE), self.chance.choice(["", "", "", *PEOPLE[:4]])
        withheld = "yes" if self.chance.random() < 0.03 else ""
        return f"{self._key('s')},{person},{mother},1950-05-01,Z99001,{self._day()},,RX1,{self.chance.randint(1, 9)},{withheld},false"
