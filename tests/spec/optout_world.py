"""A small ICS of people of whom something is known, and what a run makes of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import polars as pl
from small import GP_PRACTICES, HEADER, MERGED_NUMBERS, NOW, SmallIcs, make_small_ics, row

from golden import decisions
from linkage import Keyset, pipeline

IN = "in"
SHARES, DOES_NOT = "P1", "P2"
DISSENT, WITHDRAWAL, READ_DISSENT, CTV3_DISSENT = "827241000000103", "827261000000102", "9Nu0.00", "XaZ89"
RECORDED = "2026-02-01"  # the day of everybody's one GP record
SINCE_2010 = ((SHARES, "2010-01-01", ""),)
MOVED = ((SHARES, "2010-01-01", "2026-03-31"), (DOES_NOT, "2026-04-01", ""))

Registrations = tuple[tuple[str, str, str], ...]
Codes = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Person:
    """What is known of one person.

    Attributes:
        national: What became of the number: `returned`, `not returned` or `not asked`.
        scottish: Whether the number was issued in Scotland.
        codes: Codes of the GP record and their days.
        flags: What the GP system's three flags hold: `is_consent`, `is_opted_in` (both say no when false) and `refuses`.
        spine_sensitive: What the GP system's flag holds that marks the person sensitive.
        registrations: Practice, first and last day; P1 shares, P2 does not.
        listed: `objections` or `sensitive`: the list that the number is on.
        old: What there is under an older number: ``""`` none, `nothing` said, `not returned` by the service, or `objections`.
    """

    national: str = "returned"
    scottish: bool = False
    codes: Codes = ()
    flags: tuple[str, str, str] = ("", "", "")
    spine_sensitive: str = ""
    registrations: Registrations = SINCE_2010
    listed: str = ""
    old: str = ""


@dataclass(frozen=True)
class Settings:
    """What the purpose says.

    Attributes:
        lifted: Opt-outs with an exemption.
        type1_on: What a type 1 opt-out applies to.
    """

    lifted: frozenset[str] = field(default_factory=frozenset)
    type1_on: str = "everything"


Outcome = tuple[str, str]
"""What became of the hospital record and of the GP record: `in`, or the reason why not."""


def numbers(first: str, count: int) -> list[str]:
    """Valid NHS numbers that begin so."""
    found: list[str] = []
    body = int(first.ljust(9, "0"))
    while len(found) < count:
        digits = f"{body:09d}"
        check = 11 - sum(int(digit) * weight for digit, weight in zip(digits, range(10, 1, -1), strict=True)) % 11
        if check != 10:
            found.append(f"{digits}{check % 11}")
        body += 1
    return found


GP = (
    GP_PRACTICES
    + """consent = { source = "is_consent", role = "flag", optout = "type1", out_when = false }
opted_in = { source = "is_opted_in", role = "flag", optout = "national", out_when = false }
refuses = { source = "refuses", role = "flag", optout = "objection", out_when = true }
sensitive = { source = "sensitive", role = "flag", removes = "sensitive", whole_person = true }
[tables.code]
files = "code_*.csv"
primary_key = "code_id"
month = "day"
type1 = { record = "code_id", code = "code", date = "day" }
[tables.code.columns]
code_id = { source = "id", role = "record", namespace = "gp.code", required = true }
patient = { source = "patient", role = "person_key", namespace = "gp.patient", required = true }
day = { source = "day", role = "date" }
code = { source = "code", role = "code" }
"""
)
SECTIONS = """
[quality]
max_invalid = 1.0
[optouts.objections]
list = "objections.csv"
max_share = 1.0
[optouts.sensitive]
list = "sensitive.csv"
max_share = 1.0
[[flows]]
feed = "gp.toml"
path = "gp"
[[flows]]
feed = "pds.toml"
path = "pds"
"""


def make(folder: Path, people: Sequence[Person], settings: Settings = Settings()) -> tuple[SmallIcs, list[str]]:
    """Write everything out; the ICS, and each person's number."""
    ics = make_small_ics(folder)
    english, scottish = iter(numbers("40001", 2 * len(people))), iter(numbers("0101015", len(people)))
    current = [next(scottish if person.scottish else english) for person in people]
    old = [next(english) for _ in people]
    ics.replace("min_allowed = 0.5\nmax_not_asked = 0.2", "min_allowed = 0.0\nmax_not_asked = 1.0")
    ics.replace('applies_to = "primary_care"', f'applies_to = "{settings.type1_on}"')
    exemptions = "".join(
        f'[[optouts.exemptions]]\noptout = "{name}"\nreference = "EX-1"\n' for name in sorted(settings.lifted)
    )
    ics.configuration.write_text(ics.configuration.read_text() + SECTIONS + exemptions)
    ics.extract.write_text("\n".join([HEADER, *(row(i, number) for i, number in enumerate(current, 1)), ""]))
    _write_registers(ics, people, current, old)
    _write_gp(ics.folder, people, current)
    return ics, current


def _write_registers(ics: SmallIcs, people: Sequence[Person], current: list[str], old: list[str]) -> None:
    asked = [(number, each.national) for number, each in zip(current, people, strict=True)]
    asked += [
        (number, "returned" if each.old != "not returned" else each.old)
        for number, each in zip(old, people, strict=True)
    ]
    request, answer = ics.folder / "optouts" / "r.dat", ics.answer
    request.write_text("".join(f"{number},\n" for number, what in asked if what != "not asked"))
    answer.write_text("".join(f"{number},\n" for number, what in asked if what == "returned"))
    for name, header in (("objections", "objecting_nhs_number"), ("sensitive", "sensitive_nhs_number")):
        on = [number for number, each in zip(current, people, strict=True) if each.listed == name]
        on += [number for number, each in zip(old, people, strict=True) if each.old == name]
        path = ics.folder / f"{name}.csv"
        path.write_text(
            "\n".join([f"{header},note", *(f"{number}," for number in on), f"end,{len(on)},2026-11-20", ""])
        )
        path.chmod(0o600)
    (ics.folder / "pds.toml").write_text(MERGED_NUMBERS)
    (ics.folder / "pds").mkdir()
    pairs = [f"{before},{now}" for before, now, each in zip(old, current, people, strict=True) if each.old]
    pairs.append(",".join(numbers("499", 2)))  # two of nobody's: a file that is empty is refused
    (ics.folder / "pds" / "merged_20261120.csv").write_text("\n".join(["old,new", *pairs, ""]))


def _write_gp(folder: Path, people: Sequence[Person], current: list[str]) -> None:
    patients, codes = [], []
    for who, (person, number) in enumerate(zip(people, current, strict=True)):
        for place, registration in enumerate(person.registrations):
            cells = [f"k{who}_{place}", number, *registration, *person.flags, person.spine_sensitive]
            patients.append(",".join(cells))
        codes.append(f"r{who},k{who}_0,{RECORDED},195967001")
        codes += [f"c{who}_{place},k{who}_0,{day},{code}" for place, (code, day) in enumerate(person.codes)]
    (folder / "gp.toml").write_text(GP)
    (folder / "gp").mkdir()
    for name, lines in (
        ("agreement", ["practice,active", "P1,true", "P2,false"]),
        ("patient", ["id,nhs,practice,start,end,is_consent,is_opted_in,refuses,sensitive", *patients]),
        ("code", ["id,patient,day,code", *codes]),
    ):
        (folder / "gp" / f"{name}_20261120.csv").write_text("\n".join([*lines, ""]))


def outcomes(folder: Path, people: Sequence[Person], settings: Settings = Settings()) -> list[Outcome]:
    """Run, and find what became of each person's hospital record and of their GP record."""
    ics, current = make(folder, people, settings)
    with decisions() as removed:
        report = pipeline.run(ics.configuration, now=NOW)
    reasons = {(file.split("_")[0], number): reason for file, number, reason in removed}
    found, line = [], 1
    for place, person in enumerate(people, start=1):
        found.append((reasons.get(("appointment", place), IN), reasons.get(("code", line), IN)))
        line += 1 + len(person.codes)
    # Whoever has no hospital record in has nothing in, under any of their tokens.
    expected = [number for number, (hospital, _) in zip(current, found, strict=True) if hospital == IN]
    assert report.database is not None
    with duckdb.connect(str(report.database), read_only=True) as connection:
        tokens = {token.bytes for (token,) in connection.execute("SELECT token FROM person").fetchall()}
    pseudonymiser = Keyset.open("age://keys.age", base=folder).pseudonymiser("ics:test")
    assert tokens == set(pseudonymiser.tokenise(pl.Series(expected, dtype=pl.String))[0].to_list())
    return found
