"""Makes docs/reference/opt-outs.md of the tables of the specification: `python tests/spec/optout_page.py`."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from linkage.optouts.type1_codes import national
from spec.optout_cases import COMBINATIONS, SECTIONS, SETTINGS, Cases
from spec.optout_gates import AGES, GATES
from spec.optout_world import IN, Outcome

INTRODUCTION = """\
# Opt-outs

Everything binds unless an exemption with a reference lifts it. What counts is the moment of disclosure, never the day of an
event, and what somebody said stands after death. A row is held against every register by the current number of its person
and by the number it came with. There is no opt-out column in any table; how many rows each reason removed is in the analysts'
store with small numbers suppressed, and exactly in the private account of the run.

The tables below are run as they stand. The day of the run is 24 November 2026; *hospital* and *GP* are the person's record in
a hospital feed and in a GP feed: "in", or the [reason](reasons.md) why not.
"""
WORDS = {
    "National data opt-out": """\
The service returns who may be used. A number that was asked about and not returned is out, one that was never asked about
too. The latest answer young enough decides about each number. See [how to ask](../how-to/national-opt-out.md).""",
    "Type 1": """\
From the GP records of the flows: codes, and flags of GP systems, each with its own polarity. The latest of dissent and
withdrawal wins; every doubt is a dissent. Of a record that was delivered again the latest version counts; one that only lost
its code does not take a dissent back. A key that was delivered with two NHS numbers says no for both people.""",
    "Practices": """\
P1 shares and P2 does not, by its agreement or the ICS's list. The GP record is of 1 February 2026, made at the first practice.
Who is now registered with a practice that does not share has no GP records in the output, at whichever practice they were
made: that practice holds the whole record now and has not agreed. The registration that began last decides. With an exemption
from `practices_moved` records stay in up to the last day with a practice that shares. A practice on the ICS's list keeps
everything out while its line lasts, and afterwards what is dated within it. Only registrations in the flows are known.""",
    "Local objections and sensitive people": """\
By flag or by a [list that the ICS keeps](../how-to/opt-out-lists.md). Beside people, codes can be restricted: a row with one of
them is removed as `sensitive`, whoever's it is. A [register of one's own](../how-to/own-register.md) comes on top.""",
    "Which reason counts where several apply": "A row is counted once, under the first reason in this order.",
}
UNVERIFIED = """\
## What could not be checked

The codes of type 1 marked "no" above were found in nothing published. A wrong withdrawal code could let in somebody who did opt
out: confirm them, or switch them off in a file of the ICS's own; then no dissent is ever taken back.

```toml
# type1_codes.toml, named by codes = "type1_codes.toml" under [optouts.type1]
off = ["827261000000102", "9Nu1.", "XaZ8A"]

[[code]]
system = "read2"
code = "93C1."
means = "dissent"
```

A code that is added later refuses the run where earlier extracts, now gone, were not searched for it; put them back for one run,
or say `redelivered = <the day of a full extract>` for the code.

The limit of 21 days for the age of an answer is from memory of the service's policy. Whether the service returns numbers that
were replaced is not known: a person who is asked about under an old number too, and not returned under it, is out. What the flags
of EMIS's agreements mean together (activated, and neither disabled nor deleted) is a reading of their names. A list of legally
restricted codes does not come with the package for want of one that could be checked.

Two people are not found: one whose dissent is recorded at a practice that no flow brings, and one who moved to a practice that no
flow's registrations name.
"""


def page() -> str:
    """The whole page."""
    return "\n".join([*_parts()]).rstrip() + "\n"


def _parts() -> Iterator[str]:
    yield INTRODUCTION
    for title, cases in SECTIONS.items():
        yield f"## {title}\n\n{WORDS[title]}\n"
        if title == "Type 1":
            yield from _codes()
        yield from _table(("what is known", "hospital", "GP"), _rows(cases))
    yield "## What an exemption lifts\n\nHospital and GP record, where they differ; one word where they do not.\n"
    yield from _table(("what is known", *SETTINGS), _combinations())
    yield "## How old is too old, and who has to be covered\n"
    yield from _table(("register", "is", "a run"), _ages())
    yield (
        "## When a run is refused\n\nNothing is published then, and what was published before stays. In this example the service's "
        "answers may be 7 days old, GP records and lists 35.\n"
    )
    gates = ([gate.register, gate.state, gate.words, str(gate.exit_code)] for gate in GATES)
    yield from _table(("register", "is", "for example", "exit code"), gates)
    yield UNVERIFIED


def _codes() -> Iterator[str]:
    rows = (
        [f"`{each.code}`", each.system, each.means, "yes" if each.verified else "**no**"] for each in national().code
    )
    yield from _table(("code", "system", "means", "checked"), rows)


def _rows(cases: Cases) -> Iterator[list[str]]:
    for name, (_, (hospital, gp)) in cases.items():
        yield [name, _word(hospital), _word(gp)]


def _combinations() -> Iterator[list[str]]:
    for name, (_, expected) in COMBINATIONS.items():
        yield [name, *(_both(each) for each in expected)]


def _ages() -> Iterator[list[str]]:
    for age in AGES:
        yield [age.register, age.words, "goes ahead" if age.good else "is refused"]


def _both(outcome: Outcome) -> str:
    return " / ".join(dict.fromkeys(_word(each) for each in outcome))


def _word(outcome: str) -> str:
    return outcome if outcome == IN else f"`{outcome}`"


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    heads = list(head)
    yield f"| {' | '.join(heads)} |"
    yield "|" + "---|" * len(heads)
    yield from (f"| {' | '.join(row)} |" for row in rows)
    yield ""


if __name__ == "__main__":
    (Path(__file__).parents[2] / "docs/reference/opt-outs.md").write_text(page(), encoding="utf-8")
