"""A tiny ICS of six feeds whose extracts, registers and configuration change from night to night.

Two purposes read the same folders: one adds to what it has, the other makes everything again each time. Each has a store,
a private folder and so a roster of its own, and both run at the same times.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from linkage.optouts.type1_codes import codes
from linkage.pseudonymise import Keyset

CONTRACTS = Path(__file__).parent / "contracts"
FEEDS = ("gp", "acute", "community", "care", "pds", "deaths")
START = datetime(2026, 11, 28, 6, tzinfo=UTC)
FIRST = date(2026, 11, 1)  # the day that the first extracts are stamped with
DAYS = 27  # and from then there are so many until the first run
HEADERS = {
    "gp": {
        "agreement": "Practice,Active",
        "code": "Id,Snomed",
        "patient": "Id,NHS,Practice,Start,End,Birth,Sex,Sensitive,Objects,Deleted",
        "observation": "Id,Patient,Practice,Day,Code,Value,Confidential,Deleted",
    },
    "acute": {
        "spell": "Id,NHS,Mother,Birth,Practice,Start,End,Provider,Cost,Withheld,Deleted",
        "episode": "Spell,Episode,Start,Withheld",
        "diagnosis": "Spell,Episode,Position,Code",
        "deletion": "Spell,Deleted",
    },
    "community": {
        "patient": "Person,NHS,Birth,Ethnicity,Provider,Period,Submission,Effective",
        "contact": "Contact,Person,Provider,Period,Submission,Effective,Day",
        "active": "Submission",
    },
    "care": {"care": "Council,Reference,NHS,Person,Linked,Carer,From,To,Start"},
    "pds": {"merged": "Old,New", "person": "Row,NHS,Birth,Sex,From,Sensitive"},
    "deaths": {"death": "Id,NHS,Died,Cause,Cancelled"},
}
# One good row in each table that may not be missing, of a person whom nothing happens to.
NOBODY = "4000008102"
ALWAYS = {
    "gp": {
        "agreement": ("Z99001,true", "Z99002,true", "Z99009,true"),
        "code": ("10,73211009", "13,44054006"),
        "patient": (f"p0,{NOBODY},Z99009,2020-01-01,,1950-01-01,1,false,false,false",),
        "observation": ("o0,p0,Z99009,2026-04-01,10,1,false,false",),
    },
    "acute": {
        "spell": (f"s0,{NOBODY},,1950-01-01,Z99009,2026-04-01,2026-04-02,RX1,10,,false",),
        "episode": ("s0,e0,2026-04-01,",),
    },
    "community": {
        "patient": (f"c0,{NOBODY},1950-01-01,A,RZ9,p0,always,2026-01-01",),
        "contact": ("k0,c0,RZ9,p0,always,2026-01-01,2026-04-01",),
    },
    "care": {"care": (f"999,r0,{NOBODY},l0,,,2026-01-01,2026-03-31,2026-02-01",)},
    "pds": {"person": (f"d0,{NOBODY},1950-01-01,1,2020-01-01,false",)},
    "deaths": {"death": (f"x0,{NOBODY},2026-10-01,I21,false",)},
}
DISSENT, WITHDRAWAL = (
    next(code for code in sorted(found) if code.isdigit()) for found in (codes(None).dissent, codes(None).withdrawal)
)


def day_of(path: str) -> int:
    """The day that an extract is stamped with, from 1."""
    stamp = path.rpartition("_")[2][:8]
    return (date.fromisoformat(stamp) - FIRST).days + 1


def table_of(path: str) -> tuple[str, str]:
    """The feed and the table of an extract."""
    feed, _, name = path.partition("/")
    return feed, name.rpartition("_")[0]


def number(nine: int) -> str | None:
    """The NHS number of nine digits, or None where there is none."""
    check = 11 - sum(int(digit) * (10 - place) for place, digit in enumerate(f"{nine:09}")) % 11
    return None if check == 10 else f"{nine:09}{check % 11}"


PEOPLE = tuple(filter(None, map(number, range(400002000, 400002010))))[:7]
assert number(int(NOBODY[:9])) == NOBODY


@dataclass
class Rules:
    """What changes in the configuration; each value is text as it stands in the file."""

    birth: str = "year"
    earliest: str = ""
    kept: str = ""
    tables: str = ""
    type1: str = "everything"
    moved: bool = False
    restricted: tuple[str, ...] = ()
    retention: int = 0
    wider: frozenset[str] = frozenset()
    covers: str = ""


@dataclass
class Evolving:
    """The ICS.

    Attributes:
        folder: Where it is.
        feeds: Which of the six it has.
        files: The rows of every extract, by its path.
        rules: The configuration.
        asked, allowed: Whom the national service was asked about, and who has not opted out.
        objecting, sensitive: Who is on the ICS's own lists.
        leaving: Practices on the list of those that do not share, with their first and last day.
        minutes: How far the clock has gone since the start.
        people: Everybody who may be in an extract.
    """

    folder: Path
    feeds: tuple[str, ...]
    files: dict[str, tuple[str, ...]] = field(default_factory=dict)
    rules: Rules = field(default_factory=Rules)
    asked: set[str] = field(default_factory=lambda: {NOBODY, *PEOPLE[:-1]})
    allowed: set[str] = field(default_factory=lambda: {NOBODY, *PEOPLE})
    objecting: set[str] = field(default_factory=set)
    sensitive: set[str] = field(default_factory=set)
    leaving: dict[str, tuple[str, str]] = field(default_factory=dict)
    minutes: int = 0
    people: tuple[str, ...] = PEOPLE

    def __post_init__(self) -> None:
        (self.folder / "optouts" / "answers").mkdir(parents=True)
        Keyset.create(self.folder / "keys.age")
        for feed in self.feeds:
            (self.folder / feed).mkdir()
            for table, rows in ALWAYS[feed].items():
                self.write(f"{feed}/{table}_20261101.csv", rows)
        self.write_registers()
        self.write_rules()

    def __repr__(self) -> str:
        return f"Evolving({len(self.files)} files)"

    @property
    def configurations(self) -> tuple[Path, Path]:
        """Of the purpose that adds, and of the one that makes everything again."""
        return self.folder / "adding.toml", self.folder / "whole.toml"

    @property
    def now(self) -> datetime:
        """The clock."""
        return START + timedelta(minutes=self.minutes)

    @property
    def last_day(self) -> int:
        """The last day that an extract may be stamped with: yesterday."""
        return (self.now.date() - FIRST).days

    # ------------------------------------------------------------------------------------------------------ extracts

    def write(self, path: str, rows: Iterable[str]) -> None:
        """Write an extract, new or in the place of one."""
        feed, table = table_of(path)
        self.files[path] = tuple(rows)
        (self.folder / path).write_text("\n".join([HEADERS[feed][table], *self.files[path]]) + "\n")

    def new_path(self, feed: str, table: str, day: int | None = None) -> str:
        """A path that is not taken, stamped with a day (1 is the first), or with one after all of the feed's."""
        newest = max(day_of(path) for path in self.files if path.startswith(f"{feed}/"))
        stamped = FIRST + timedelta(days=min(day or newest + 1, self.last_day) - 1)
        stamp = f"{feed}/{table}_{stamped:%Y%m%d}"
        return next(path for end in ["", *"abcdefghijklmnop"] if (path := f"{stamp}{end}.csv") not in self.files)

    def remove(self, path: str) -> None:
        """A file disappears."""
        del self.files[path]
        (self.folder / path).unlink()

    def may_go(self) -> list[str]:
        """Paths of extracts that a feed can do without: all but the first of each of its tables."""
        return [path for path in self.files if not path.endswith("_20261101.csv")]

    # ------------------------------------------------------------------------------------------ registers and rules

    def write_registers(self) -> None:
        """Write every register as it stands."""
        folder, yesterday = self.folder / "optouts", self.now.date() - timedelta(days=1)
        (folder / "r.dat").write_text("".join(f"{each},\n" for each in sorted(self.asked)))
        (folder / "answers" / "r.dat").write_text("".join(f"{each},\n" for each in sorted(self.asked & self.allowed)))
        (folder / "answers" / "r.ctl").write_text(
            f"<DTSControl><StatusRecord><DateTime>{yesterday:%Y%m%d}060000</DateTime></StatusRecord></DTSControl>"
        )
        self._list("objecting", "objecting_nhs_number,note", [f"{each}," for each in sorted(self.objecting)])
        self._list("sensitive", "sensitive_nhs_number,note", [f"{each}," for each in sorted(self.sensitive)])
        periods = [f"{each},{start},{end}," for each, (start, end) in sorted(self.leaving.items())]
        self._list("practices", "not_sharing_ods_code,from,to,note", periods)

    def _list(self, name: str, header: str, lines: Sequence[str]) -> None:
        path = self.folder / f"{name}.csv"
        path.write_text("\n".join([header, *lines, f"end,{len(lines)},{self.now.date() - timedelta(days=1)}"]) + "\n")
        path.chmod(0o600)

    def write_rules(self) -> None:
        """Write both configurations and the contracts."""
        for feed in self.feeds:
            shutil.copy(CONTRACTS / f"{feed}.toml", self.folder / f"{feed}.toml")
            if feed in self.rules.wider:
                path = self.folder / f"{feed}.toml"
                path.write_text(path.read_text().replace(f'name = "{feed}"', f'name = "{feed}"\nversion = 2'))
        for path in self.configurations:
            path.write_text(self._configuration(path.stem))
        lines = [f"{code}," for code in self.rules.restricted]
        self._list("restricted", "restricted_code,note", lines)

    def _configuration(self, name: str) -> str:
        rules = self.rules
        codes_of = '[optouts.restricted]\nlist = "restricted.csv"\n' if rules.restricted else ""
        exempt = '[[optouts.exemptions]]\noptout = "practices_moved"\nreference = "DOC-1"\n' if rules.moved else ""
        flows = "".join(f'[[flows]]\nfeed = "{feed}.toml"\npath = "{feed}"\n{self._flow(feed)}' for feed in self.feeds)
        return f"""
allow_test_numbers = true
private = "{name}/private"
[purpose]
name = "test"
legal_basis = "made-up data"
controllers = ["nobody"]
{f"[purpose.population]{chr(10)}{rules.covers}" if rules.covers else ""}
{f"[purpose.retention]{chr(10)}days = {rules.retention}{chr(10)}reference = 'DOC-2'" if rules.retention else ""}
[keys]
keyset = "age://keys.age"
domain = "ics:test"
[store]
path = "{name}/store"
keep = 3
hold = true
[minimise]
birth = "{rules.birth}"
[quality]
max_invalid = 1.0
max_malformed = 1.0
[optouts.national]
requests = "optouts/*.dat"
answers = "optouts/answers/*.dat"
min_allowed = 0.0
max_not_asked = 1.0
[optouts.type1]
applies_to = "{rules.type1 if "gp" in self.feeds else "primary_care"}"
max_untranslated = 1.0
[optouts.objections]
list = "objecting.csv"
max_share = 1.0
[optouts.sensitive]
list = "sensitive.csv"
max_share = 1.0
[optouts.practices]
list = "practices.csv"
{codes_of}{exempt}{flows}"""

    def _flow(self, feed: str) -> str:
        rules = self.rules
        lines = []
        if feed == "acute" and rules.earliest:
            lines.append(f"earliest = {rules.earliest}")
        if feed == "acute" and rules.tables:
            lines.append(f"tables = {rules.tables}")
        if feed == "gp" and rules.kept:
            lines.append(f'keep = {{ "observation.snomed" = ["{rules.kept}"] }}')
        return "".join(f"{line}\n" for line in lines)

    def both_have_two(self) -> bool:
        """Whether each purpose has a snapshot before its current one."""
        snapshots = [
            sorted((self.folder / each.stem / "store" / "snapshots").iterdir()) for each in self.configurations
        ]
        current = [(self.folder / each.stem / "store" / "current").read_text().strip() for each in self.configurations]
        return all(names[0].name < newest for names, newest in zip(snapshots, current, strict=True))

    def out(self) -> set[str]:
        """Numbers that no table may hold, whatever else is known: opted out nationally, or on a list of the ICS's."""
        return ({*self.people} - (self.asked & self.allowed)) | self.objecting | self.sensitive


def changed(rows: Sequence[str], place: int, change: Callable[[str], str]) -> list[str]:
    """Rows of which one is another."""
    return [change(row) if at == place % len(rows) else row for at, row in enumerate(rows)]
