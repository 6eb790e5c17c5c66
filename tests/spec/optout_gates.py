"""How each register can be missing, too old, cut short or another list, and what a run says then."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from small import NOW, SmallIcs

from spec.optout_world import Person, make

MORE = """
[optouts.practices]
list = "practices.csv"
[optouts.restricted]
list = "restricted.csv"
[[optouts.registers]]
file = "own.py"
name = "Own"
"""
OWN = """
class Own:
    def __init__(self, base):
        self.base = base
    def read(self, now):
        from linkage.errors import PolicyError
        from linkage.optouts.registers import Said
        if not (self.base / "own.txt").exists():
            raise PolicyError("own.txt: missing")
        return Said()
"""


def make_gated(folder: Path) -> SmallIcs:
    """An ICS of twenty people with every register, all of them good."""
    people = [Person("not returned"), Person(listed="objections"), *[Person()] * 18]
    ics, _ = make(folder, people)
    ics.replace("min_allowed = 0.0\nmax_not_asked = 1.0", "min_allowed = 0.7\nmax_not_asked = 0.05")
    ics.replace('objections.csv"\nmax_share = 1.0', 'objections.csv"\nmax_share = 0.1')
    ics.configuration.write_text(ics.configuration.read_text() + MORE)
    (folder / "practices.csv").write_text("not_sharing_ods_code,from,to,note\nP9,,,\nend,1,2026-11-20\n")
    (folder / "restricted.csv").write_text("restricted_code,note\nB20%,\nend,1,2026-11-20\n")
    (folder / "own.py").write_text(OWN)
    (folder / "own.txt").touch()
    return ics


@dataclass(frozen=True)
class Gate:
    """One way in which a register is not good.

    Attributes:
        register: Which.
        state: `missing`, `stale`, `truncated`, `swapped` or `open`.
        words: What is the matter.
        change: Makes it so.
        said: A part of the error.
        exit_code: What the command ends with.
    """

    register: str
    state: str
    words: str
    change: Callable[[SmallIcs], object]
    said: str
    exit_code: int = 4


def _file(name: str, change: Callable[[Path], object]) -> Callable[[SmallIcs], object]:
    return lambda ics: change(ics.folder / name)


def _text(name: str, pattern: str, new: str) -> Callable[[SmallIcs], object]:
    def change(path: Path) -> None:
        text = path.read_text()
        changed = re.sub(pattern, new, text)
        assert changed != text
        path.write_text(changed)

    return _file(name, change)


def _denied(ics: SmallIcs) -> None:
    """The list of those who opted out, in the place of the list of those who may be used."""
    request = ics.folder / "optouts" / "r.dat"
    returned = set(ics.answer.read_text().splitlines())
    ics.answer.write_text("".join(f"{line}\n" for line in request.read_text().splitlines() if line not in returned))


def _allowed_as_objections(ics: SmallIcs) -> None:
    numbers = ics.answer.read_text().splitlines()
    lines = ["objecting_nhs_number,note", *numbers, f"end,{len(numbers)},2026-11-20", ""]
    (ics.folder / "objections.csv").write_text("\n".join(lines))


def _restamped(table: str) -> Callable[[SmallIcs], object]:
    old = f"{NOW - timedelta(days=36):%Y%m%d}"
    return lambda ics: [
        path.rename(path.with_name(path.name.replace("20261120", old)))
        for path in (ics.folder / "gp").glob(f"{table}_*")
    ]


def _delivered(table: str, day: str) -> Callable[[SmallIcs], object]:
    return lambda ics: [
        path.rename(path.with_name(path.name.replace("20261120", day)))
        for path in (ics.folder / "gp").glob(f"{table}_*")
    ]


def _unasked(count: int) -> Callable[[SmallIcs], object]:
    """So many of the twenty are in neither list of the service; those who were not returned stay."""

    def change(ics: SmallIcs) -> None:
        lines = ics.answer.read_text().splitlines()[1 : 1 + count]
        for path in (ics.folder / REQUEST, ics.answer):
            path.write_text("".join(f"{line}\n" for line in path.read_text().splitlines() if line not in lines))

    return change


def _without_gp(ics: SmallIcs) -> None:
    ics.replace('[[flows]]\nfeed = "gp.toml"\npath = "gp"\n', "")


@dataclass(frozen=True)
class Age:
    """How old a register is, and whether that is too old."""

    register: str
    words: str
    change: Callable[[SmallIcs], object]
    good: bool


CONTROL, ANSWER, REQUEST = "optouts/answers/r.ctl", "optouts/answers/r.dat", "optouts/r.dat"
END = r"end,\d+,2026-11-20\n"
GATES = (
    Gate("national", "missing", "no answer", _file(ANSWER, Path.unlink), "no national opt-out answer file"),
    Gate("national", "missing", "no request", _file(REQUEST, Path.unlink), "no national opt-out request file"),
    Gate("national", "missing", "an answer without its control file", _file(CONTROL, Path.unlink), "missing or without"),
    Gate("national", "missing", "nothing configured", lambda ics: ics.configuration.write_text(
        re.sub(r"(?s)\[optouts.national\].*?(?=\[optouts.type1\])", "", ics.configuration.read_text())), "no national opt-out list"),
    Gate("national", "stale", "8 days old", _text(CONTROL, "20261123", "20261115"), "is 9 days old|is 8 days old"),
    Gate("national", "stale", "dated in the future", _text(CONTROL, "20261123", "20271123"), "dated in the future"),
    Gate("national", "truncated", "the last line cut", _text(ANSWER, r",\n$", ""), "cut short"),
    Gate("national", "truncated", "half of it gone", _file(ANSWER, lambda path: path.write_text(
        "\n".join(path.read_text().splitlines()[:15]) + "\n")), "too few of those asked about"),
    Gate("national", "truncated", "empty", _file(ANSWER, lambda path: path.write_text("")), "too few of those asked about"),
    Gate("national", "swapped", "a list of those who opted out", _denied, "too few of those asked about"),
    Gate("national", "swapped", "the answer to another request", _text(ANSWER, r"^\d{10}", "9434765919"), "never asked about"),
    Gate("national", "swapped", "the service's rejection", _file(ANSWER, lambda path: path.write_text(
        "The file contains one or more invalid NHS Numbers.\n")), "rejected the request"),
    Gate("national", "swapped", "a spreadsheet", _file(ANSWER, lambda path: path.write_text("nhs_number\n4.0E9\n")), "line 1 is not"),
    Gate("national", "does not cover", "one in ten was never asked about", lambda ics: [
        path.write_text("\n".join(path.read_text().splitlines()[3:]) + "\n")
        for path in (ics.folder / REQUEST, ics.answer)], "does not cover|never asked about"),
    Gate("type 1", "missing", "no flow of GP records", _without_gp, "no flow says who has a type 1 opt-out"),
    Gate("type 1", "missing", "no file of codes", lambda ics: ics.replace(
        'applies_to = "everything"', 'applies_to = "everything"\ncodes = "nowhere.toml"'), "cannot be read", 2),
    Gate("type 1", "missing", "no extract", _file("gp/code_20261120.csv", Path.unlink), "no file", 3),
    Gate("type 1", "stale", "36 days old", _restamped("code"), "type 1 opt-outs are older"),
    Gate("type 1", "truncated", "the extract is a header", _file("gp/code_20261120.csv", lambda path: path.write_text(
        "id,patient,day,code\n")), "a header and no rows", 3),
    Gate("practices", "missing", "no list", _file("practices.csv", Path.unlink), "the list cannot be read"),
    Gate("practices", "missing", "no agreements", _file("gp/agreement_20261120.csv", Path.unlink), "no file", 3),
    Gate("practices", "stale", "agreements 36 days old", _restamped("agreement"), "sharing agreements are older"),
    Gate("practices", "stale", "a list complete 36 days ago", _text("practices.csv", "2026-11-20", "2026-10-19"), "36 days ago"),
    Gate("practices", "truncated", "no last line", _text("practices.csv", END, ""), "may be cut short"),
    Gate("practices", "swapped", "a list of practices that share", _text("practices.csv", "not_sharing_", ""), "may be another list"),
    Gate("objections", "missing", "no list", _file("objections.csv", Path.unlink), "the list cannot be read"),
    Gate("objections", "stale", "complete 36 days ago", _text("objections.csv", "2026-11-20", "2026-10-19"), "36 days ago"),
    Gate("objections", "truncated", "no last line", _text("objections.csv", END, ""), "may be cut short"),
    Gate("objections", "truncated", "a line lost", _text("objections.csv", r"\d{10},\n", ""), "may be cut short"),
    Gate("objections", "swapped", "the service's list", lambda ics: (ics.folder / "objections.csv").write_text(
        ics.answer.read_text()), "may be another list"),
    Gate("objections", "swapped", "those who may be used, rightly named", _allowed_as_objections, "too many for objections.csv"),
    Gate("objections", "swapped", "the list of sensitive people", _text("objections.csv", "objecting", "sensitive"), "may be another"),
    Gate("objections", "open", "others can read it", _file("objections.csv", lambda path: path.chmod(0o644)), "others than its owner"),
    Gate("sensitive", "missing", "no list", _file("sensitive.csv", Path.unlink), "the list cannot be read"),
    Gate("sensitive", "stale", "complete 36 days ago", _text("sensitive.csv", "2026-11-20", "2026-10-19"), "36 days ago"),
    Gate("sensitive", "truncated", "no last line", _text("sensitive.csv", END, ""), "may be cut short"),
    Gate("sensitive", "swapped", "the list of objections", _text("sensitive.csv", "sensitive", "objecting"), "may be another list"),
    Gate("restricted", "missing", "no list", _file("restricted.csv", Path.unlink), "the list cannot be read"),
    Gate("restricted", "stale", "complete 367 days ago", _text("restricted.csv", "2026-11-20", "2025-11-22"), "367 days ago"),
    Gate("restricted", "truncated", "no last line", _text("restricted.csv", END, ""), "may be cut short"),
    Gate("restricted", "swapped", "the list of practices", _text("restricted.csv", "restricted_code", "not_sharing_ods_code"),
        "may be another list"),
    Gate("one's own", "missing", "it says so itself", _file("own.txt", Path.unlink), "own.txt: missing"),
    Gate("one's own", "missing", "no file", _file("own.py", Path.unlink), "cannot be read", 2),
)  # fmt: skip

AGES = (
    Age(
        "national", "answered 7 days ago, to the second", _text(CONTROL, "20261123060000", "20261117060000"), good=True
    ),
    Age("national", "and one second more", _text(CONTROL, "20261123060000", "20261117055959"), good=False),
    Age("national", "1 of 20 people never asked about, 5 % allowed", _unasked(1), good=True),
    Age("national", "2 of 20 people never asked about", _unasked(2), good=False),
    Age("type 1", "GP records delivered 34 days ago", _delivered("code", "20261021"), good=True),
    Age("type 1", "GP records delivered 35 days and 6 hours ago", _delivered("code", "20261020"), good=False),
    Age("practices", "agreements delivered 34 days ago", _delivered("agreement", "20261021"), good=True),
    Age("practices", "agreements delivered 35 days and 6 hours ago", _delivered("agreement", "20261020"), good=False),
    Age("practices", "a list complete 35 days ago", _text("practices.csv", "2026-11-20", "2026-10-20"), good=True),
    Age("objections", "complete 35 days ago", _text("objections.csv", "2026-11-20", "2026-10-20"), good=True),
    Age("objections", "complete 36 days ago", _text("objections.csv", "2026-11-20", "2026-10-19"), good=False),
    Age("objections", "complete tomorrow", _text("objections.csv", "2026-11-20", "2026-11-25"), good=True),
    Age("objections", "complete the day after", _text("objections.csv", "2026-11-20", "2026-11-26"), good=False),
    Age("restricted", "complete 366 days ago", _text("restricted.csv", "2026-11-20", "2025-11-23"), good=True),
    Age("restricted", "complete 367 days ago", _text("restricted.csv", "2026-11-20", "2025-11-22"), good=False),
)
