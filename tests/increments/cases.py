"""What may happen between two nights, one thing at a time, on an ICS in which everything of it can be seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from equality import Unequal, run_both
from evolving import DISSENT, PEOPLE, WITHDRAWAL, Evolving

from linkage.sources import seen

P = PEOPLE
BASE: dict[str, tuple[tuple[int, str, tuple[str, ...]], ...]] = {
    "gp": (
        (3, "code", (f"11,{DISSENT}", f"12,{WITHDRAWAL}")),
        (
            3,
            "patient",
            (
                f"p1,{P[0]},Z99001,2020-01-01,,1950-05-02,1,false,false,false",
                f"p2,{P[1]},Z99002,2020-01-01,,1951-05-02,2,false,false,false",
                f"p3,{P[2]},Z99001,2020-01-01,,1952-05-02,1,false,false,false",
            ),
        ),
        (
            3,
            "observation",
            (
                "o1,p1,Z99001,2026-05-01,10,1,false,false",
                "o2,p2,Z99002,2026-05-02,13,1,false,false",
                "o3,p3,Z99001,2026-06-01,10,1,false,false",
                "o4,p4,Z99001,2026-06-01,10,1,false,false",
                "o5,p1,Z99001,2026-06-02,14,1,false,false",
            ),
        ),
        (5, "observation", ("o1,p1,Z99001,2026-05-01,10,2,false,false", "o6,p2,Z99002,2026-04-15,13,1,false,false")),
    ),
    "acute": (
        (
            3,
            "spell",
            (
                f"s1,{P[0]},{P[1]},1950-05-02,Z99001,2026-05-01,,RX1,1,,false",
                f"s2,{P[1]},,1951-05-02,Z99002,2026-05-02,,RX1,1,,false",
                f"s3,{P[2]},,1952-05-02,Z99001,2026-06-01,,RX2,1,,false",
            ),
        ),
        (3, "episode", ("s1,e1,2026-05-01,", "s2,e1,2026-05-02,", "s3,e1,2026-06-01,", "s9,e1,2026-06-01,")),
        (3, "diagnosis", ("s1,e1,1,I21", "s2,e1,1,E11", "s3,e1,1,I21")),
        (5, "spell", (f"s2,{P[1]},,1951-05-02,Z99002,2026-05-03,,RX1,2,,false",)),
        (5, "deletion", ("s3,true",)),
        (6, "spell", (f"s3,{P[2]},,1952-05-02,Z99001,2026-06-02,,RX2,1,,false",)),
    ),
    "community": (
        (
            3,
            "patient",
            (f"c1,{P[0]},1950-05-02,A,RZ1,May,u1,2026-06-01", f"c2,{P[1]},1951-05-02,B,RZ1,May,u1,2026-06-01"),
        ),
        (3, "contact", ("k1,c1,RZ1,May,u1,2026-06-01,2026-05-01", "k2,c2,RZ1,May,u1,2026-06-01,2026-05-02")),
        (5, "contact", ("k1,c1,RZ1,May,u2,2026-07-01,2026-05-01", "k3,c2,RZ1,May,u2,2026-07-01,2026-05-02")),
    ),
    "care": (
        (
            3,
            "care",
            (
                f"101,r1,{P[0]},l1,l2,{P[2]},2026-04-01,2026-05-31,2026-05-01",
                f"101,r2,{P[1]},l2,,,2026-04-01,2026-05-31,2026-05-02",
                f"102,r3,{P[3]},l3,,{P[0]},2026-04-01,2026-06-30,2026-06-01",
            ),
        ),
        (5, "care", (f"101,r1,{P[0]},l1,l2,,2026-05-01,2026-05-31,2026-05-03",)),
    ),
    "pds": (
        (3, "merged", (f"{P[5]},{P[0]}",)),
        (3, "person", (f"d1,{P[0]},1950-05-02,1,2020-01-01,false", f"d2,{P[1]},1951-05-02,2,2020-01-01,false")),
    ),
    "deaths": ((3, "death", (f"x1,{P[3]},2026-09-01,I21,false", f"x2,{P[5]},2026-09-01,J18,false")),),
}


@dataclass(frozen=True)
class Case:
    """One thing that happens.

    Attributes:
        name: What it is.
        feeds: Of an ICS with these feeds.
        happens: Changes it.
        undone: Takes that back, where it can be.
    """

    name: str
    feeds: tuple[str, ...]
    happens: Callable[[Evolving], object]
    undone: Callable[[Evolving], object] | None = None


def base(folder: Path, feeds: tuple[str, ...]) -> Evolving:
    """The ICS before anything happens."""
    ics = Evolving(folder, feeds)
    for feed in feeds:
        for day, table, rows in BASE[feed]:
            ics.write(ics.new_path(feed, table, day), rows)
    return ics


def _deliver(feed: str, table: str, *rows: str, day: int | None = None) -> Callable[[Evolving], object]:
    return lambda ics: ics.write(ics.new_path(feed, table, day), rows)


def _register(name: str, person: str) -> Callable[[Evolving], object]:
    def step(ics: Evolving) -> None:
        getattr(ics, name).symmetric_difference_update({person})
        ics.write_registers()

    return step


def _practice(practice: str, start: str | None, end: str = "") -> Callable[[Evolving], object]:
    def step(ics: Evolving) -> None:
        ics.leaving = {practice: (start, end)} if start is not None else {}
        ics.write_registers()

    return step


def _rule(name: str, value: object) -> Callable[[Evolving], object]:
    def step(ics: Evolving) -> None:
        setattr(ics.rules, name, value)
        ics.write_rules()

    return step


def _contract(feed: str) -> Callable[[Evolving], object]:
    def step(ics: Evolving) -> None:
        ics.rules.wider ^= {feed}
        ics.write_rules()

    return step


def _gone(path: str) -> Callable[[Evolving], object]:
    return lambda ics: ics.remove(path)


def _in_place(path: str, old: str, new: str) -> Callable[[Evolving], object]:
    return lambda ics: ics.write(path, [row.replace(old, new) for row in ics.files[path]])


def _again(path: str, to: str) -> Callable[[Evolving], object]:
    return lambda ics: ics.write(to, ics.files[path])


def _patient(
    place: int, person: str, practice: str = "Z99001", birth: str = "1950-05-02", flags: str = "false,false,false"
) -> str:
    return f"p{place},{person},{practice},2020-01-01,,{birth},1,{flags}"


OBSERVATION = "gp/observation_20261103.csv"
SPELLS = "acute/spell_20261103.csv"
CONTACTS = "community/contact_20261105.csv"
_ALL = ("gp", "acute", "pds")
CASES = (
    Case("nothing", ("gp", "acute"), lambda ics: None),
    Case("new rows", ("gp",), _deliver("gp", "observation", "o9,p1,Z99001,2026-06-15,10,1,false,false")),
    Case("a correction", ("gp",), _deliver("gp", "observation", "o3,p3,Z99001,2026-05-15,13,2,false,false")),
    Case(
        "a correction to another person",
        ("gp",),
        _deliver("gp", "observation", "o3,p2,Z99002,2026-06-01,10,1,false,false"),
    ),
    Case(
        "older rows come late",
        ("gp",),
        _deliver("gp", "observation", "o1,p1,Z99001,2026-05-01,13,3,false,false", day=4),
    ),
    Case(
        "older rows of a spell come late",
        ("acute",),
        _deliver("acute", "spell", f"s2,{P[3]},,1951-05-02,Z99002,2026-04-30,,RX1,9,,false", day=4),
    ),
    Case(
        "a file again, as old",
        ("gp",),
        _again(OBSERVATION, "gp/observation_20261103b.csv"),
        _gone("gp/observation_20261103b.csv"),
    ),
    Case(
        "a file again, as the newest",
        ("gp",),
        _again(OBSERVATION, "gp/observation_20261109.csv"),
        _gone("gp/observation_20261109.csv"),
    ),
    Case("a file disappears", ("gp",), _gone(OBSERVATION)),
    Case("the patients disappear", ("gp",), _gone("gp/patient_20261103.csv")),
    Case("the log of deletions disappears", ("acute",), _gone("acute/deletion_20261105.csv")),
    Case("a later submission disappears", ("community",), _gone(CONTACTS)),
    Case("a replacement disappears", ("pds", "deaths"), _gone("pds/merged_20261103.csv")),
    Case(
        "a file changes",
        ("gp",),
        _in_place(OBSERVATION, "2026-06-01", "2026-06-03"),
        _in_place(OBSERVATION, "2026-06-03", "2026-06-01"),
    ),
    Case("a patient's number changes in place", ("gp",), _in_place("gp/patient_20261103.csv", P[2], P[3])),
    Case("deleted by a flag", ("gp",), _deliver("gp", "observation", "o2,p2,Z99002,2026-05-02,13,1,false,true")),
    Case(
        "deleted by a log",
        ("acute",),
        _deliver("acute", "deletion", "s1,true"),
        _deliver("acute", "deletion", "s1,false"),
    ),
    Case(
        "deleted by a log and delivered again",
        ("acute",),
        lambda ics: (
            _deliver("acute", "deletion", "s1,true")(ics),
            _deliver("acute", "spell", f"s1,{P[0]},,1950-05-02,Z99001,2026-05-01,,RX1,4,,false")(ics),
        ),
    ),
    Case("a spell is withheld", ("acute",), _deliver("acute", "episode", "s1,e2,2026-05-01,yes")),
    Case(
        "an observation is confidential",
        ("gp",),
        _deliver("gp", "observation", "o2,p2,Z99002,2026-05-02,13,1,true,false"),
    ),
    Case(
        "a person is sensitive",
        _ALL,
        _deliver("gp", "patient", _patient(1, P[0], flags="true,false,false")),
        _deliver("gp", "patient", _patient(1, P[0])),
    ),
    Case(
        "a person objects",
        _ALL,
        _deliver("gp", "patient", _patient(1, P[0], flags="false,true,false")),
        _deliver("gp", "patient", _patient(1, P[0])),
    ),
    Case("a patient is deleted", _ALL, _deliver("gp", "patient", _patient(1, P[0], flags="false,false,true"))),
    Case(
        "a type 1 opt-out",
        _ALL,
        _deliver("gp", "observation", "o9,p1,Z99001,2026-06-20,11,,false,false"),
        _deliver("gp", "observation", "o10,p1,Z99001,2026-06-21,12,,false,false"),
    ),
    Case(
        "a type 1 opt-out is deleted",
        _ALL,
        _deliver("gp", "observation", "o9,p1,Z99001,2026-06-20,11,,false,false"),
        _deliver("gp", "observation", "o9,p1,Z99001,2026-06-20,11,,false,true"),
    ),
    Case("opted out nationally", _ALL, _register("allowed", P[0]), _register("allowed", P[0])),
    Case("a mother opted out", ("acute",), _register("allowed", P[1]), _register("allowed", P[1])),
    Case("another person in a row opted out", ("care",), _register("allowed", P[2]), _register("allowed", P[2])),
    Case("an adult cared for opted out", ("care",), _register("allowed", P[1]), _register("allowed", P[1])),
    Case("asked about for the first time", ("deaths", "pds"), _register("asked", P[3]), _register("asked", P[3])),
    Case("on the list of objections", _ALL, _register("objecting", P[1]), _register("objecting", P[1])),
    Case(
        "on the list of the sensitive",
        ("community", "care"),
        _register("sensitive", P[1]),
        _register("sensitive", P[1]),
    ),
    Case("two numbers merge", ("acute", "pds", "deaths"), _deliver("pds", "merged", f"{P[1]},{P[2]}")),
    Case(
        "a merged number had opted out",
        ("acute", "pds"),
        lambda ics: (_register("allowed", P[1])(ics), _deliver("pds", "merged", f"{P[1]},{P[2]}")(ics)),
    ),
    Case(
        "merges disagree",
        ("acute", "pds"),
        _deliver("pds", "merged", f"{P[1]},{P[2]}", f"{P[1]},{P[3]}"),
        _deliver("pds", "merged", f"{P[1]},{P[2]}"),
    ),
    Case("merges go round", ("acute", "pds"), _deliver("pds", "merged", f"{P[1]},{P[2]}", f"{P[2]},{P[1]}")),
    Case(
        "a key gets another number",
        ("gp", "acute"),
        _deliver("gp", "patient", _patient(1, P[3])),
        _deliver("gp", "patient", _patient(1, P[0])),
    ),
    Case(
        "a key has two numbers",
        ("gp",),
        _deliver("gp", "patient", _patient(1, P[0]), _patient(1, P[3])),
        _deliver("gp", "patient", _patient(1, P[0])),
    ),
    Case(
        "an adult's key gets another number",
        ("care",),
        _deliver("care", "care", f"101,r9,{P[3]},l2,,,2026-07-01,2026-07-31,2026-07-05"),
    ),
    Case(
        "a spell gets another number",
        ("acute",),
        _deliver("acute", "spell", f"s1,{P[3]},,1950-05-02,Z99001,2026-05-01,,RX1,1,,false"),
    ),
    Case(
        "a spell without a number",
        ("acute",),
        _deliver("acute", "spell", "s1,,,1950-05-02,Z99001,2026-05-01,,RX1,1,,false"),
    ),
    Case("a patient who was missing", ("gp",), _deliver("gp", "patient", _patient(4, P[3]))),
    Case(
        "a spell that was missing",
        ("acute",),
        _deliver("acute", "spell", f"s9,{P[3]},,1953-05-02,Z99001,2026-06-01,,RX1,1,,false"),
    ),
    Case("a birth date is corrected", _ALL, _deliver("gp", "patient", _patient(1, P[0], birth="1951-06-02"))),
    Case(
        "a person's birth date is corrected",
        ("pds", "acute"),
        _deliver("pds", "person", f"d1,{P[0]},1949-05-02,1,2020-01-01,false"),
    ),
    Case("a practice leaves by its list", ("gp", "acute"), _practice("Z99001", ""), _practice("Z99001", None)),
    Case(
        "a practice left for a while",
        ("gp",),
        _practice("Z99001", "2026-04-01", "2026-05-01"),
        _practice("Z99001", None),
    ),
    Case(
        "a practice leaves by its agreement",
        ("gp",),
        _deliver("gp", "agreement", "Z99001,false", "Z99002,true", "Z99009,true"),
        _deliver("gp", "agreement", "Z99001,true", "Z99002,true", "Z99009,true"),
    ),
    Case(
        "a patient moves to a practice that left",
        ("gp",),
        lambda ics: (
            _practice("Z99002", "")(ics),
            _deliver("gp", "patient", f"p1,{P[0]},Z99002,2026-06-01,,1950-05-02,1,false,false,false")(ics),
        ),
        _practice("Z99002", None),
    ),
    Case("a code that was missing", ("gp",), _deliver("gp", "code", "14,195967001")),
    Case("a code changes", ("gp",), _deliver("gp", "code", "10,195967001"), _deliver("gp", "code", "10,73211009")),
    Case(
        "a code becomes a type 1 opt-out",
        ("gp", "acute"),
        _deliver("gp", "code", f"10,{DISSENT}"),
        _deliver("gp", "code", "10,73211009"),
    ),
    Case(
        "a submission replaces another",
        ("community",),
        _deliver("community", "contact", "k4,c1,RZ1,May,u3,2026-08-01,2026-05-09"),
    ),
    Case(
        "active submissions are listed",
        ("community",),
        _deliver("community", "active", "u1", "always"),
        _deliver("community", "active", "u2", "always"),
    ),
    Case(
        "a council submits a period again",
        ("care",),
        _deliver("care", "care", f"101,r7,{P[1]},l2,,,2026-05-01,2026-05-31,2026-05-09"),
    ),
    Case(
        "a death is cancelled",
        ("deaths",),
        _deliver("deaths", "death", f"x1,{P[3]},2026-09-01,I21,true"),
        _deliver("deaths", "death", f"x1,{P[3]},2026-09-02,I21,false"),
    ),
    Case("births to the month", ("gp",), _rule("birth", "month"), _rule("birth", "year")),
    Case("from another day", ("acute",), _rule("earliest", "2026-05-02"), _rule("earliest", "")),
    Case("other codes are kept", ("gp",), _rule("kept", "44054006"), _rule("kept", "")),
    Case("fewer tables", ("acute",), _rule("tables", '["spell"]'), _rule("tables", "")),
    Case(
        "type 1 for primary care alone",
        _ALL,
        lambda ics: (
            _deliver("gp", "observation", "o9,p1,Z99001,2026-06-20,11,,false,false")(ics),
            _rule("type1", "primary_care")(ics),
        ),
        _rule("type1", "everything"),
    ),
    Case("codes are restricted", ("gp", "acute"), _rule("restricted", ("I21", "7321%")), _rule("restricted", ())),
    Case("a contract changes", ("gp", "acute"), _contract("gp"), _contract("gp")),
)
# Tried on every change; the machine draws of all.
OFTEN = frozenset(
    {
        "a correction to another person",
        "a file disappears",
        "deleted by a log",
        "a spell is withheld",
        "opted out nationally",
        "another person in a row opted out",
        "two numbers merge",
        "a practice leaves by its list",
        "a code changes",
        "a submission replaces another",
    }
)


def one_at_a_time(folder: Path, case: Case) -> None:
    """Hold both runs against each other before a case, after it and when it was taken back.

    Raises:
        Unequal: They differ, or one was refused; says where.
    """
    with pytest.MonkeyPatch.context() as patch:
        # Files are known again by their times alone, as they are once they have lain for a while.
        patch.setattr(seen, "SETTLED", -(10**18))
        ics = base(folder, case.feeds)
        for step in (None, case.happens, case.undone):
            if step is not None:
                step(ics)
            if step is not None or ics.minutes == 0:
                refused = run_both(ics)
                if refused:
                    raise Unequal(refused)
