"""A configuration is one purpose: what it must say, how it is shown, and that nothing runs on a document that has ended."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from small import NOW, SmallIcs

from linkage import authority, config, pipeline
from linkage.errors import ConfigurationError, PolicyError
from linkage.pipeline import RunReport
from linkage.purpose import BasisKind

TODAY = NOW.date()
COMMAND = "import sys; from linkage.cli import main; sys.argv[0] = 'linkage'; main()"


def _purpose(ics: SmallIcs, basis: str = '"made-up data"', more: str = "", flow: str = "", exemption: str = "") -> None:
    """Write what a purpose says into the small ICS's configuration."""
    ics.replace('legal_basis = "made-up data"', f"legal_basis = {basis}")
    ics.replace("[keys]", f"{more}\n[keys]")
    ics.replace("[[flows]]", f"{exemption}\n[[flows]]\n{flow}")


def _agreement(ends: date, starts: date | None = None) -> str:
    began = f"starts = {starts}\n" if starts else ""
    return f'[[purpose.agreements]]\nreference = "DSA-1"\nparties = ["A Trust", "An ICB"]\n{began}ends = {ends}\n'


@dataclass(frozen=True)
class Ended:
    """A document, by the day it ends or begins, and what is said when it does not stand."""

    name: str
    said: str

    def write(self, ics: SmallIcs, day: date) -> None:
        match self.name:
            case "purpose":
                _purpose(ics, more=f"ends = {day}")
            case "basis":
                _purpose(ics, f'{{ kind = "section_251", reference = "26/CAG/0001", expires = {day} }}')
            case "agreement":
                _purpose(ics, more=_agreement(day), flow='agreement = "DSA-1"')
            case _:
                lifted = f'[[optouts.exemptions]]\noptout = "practices"\nreference = "EX-1"\nexpires = {day}'
                _purpose(ics, exemption=lifted)


ENDED = (
    Ended("purpose", "the purpose (test) ended on 2026-11-23"),
    Ended("basis", "legal basis, section 251 support (26/CAG/0001) ended on 2026-11-23"),
    Ended("agreement", "agreement for sus_op (DSA-1) ended on 2026-11-23"),
    Ended("exemption", "exemption from practices (EX-1) ended on 2026-11-23"),
)


@pytest.mark.parametrize("document", ENDED, ids=lambda each: each.name)
def test_a_document_that_ended_yesterday_refuses_the_run(
    published: tuple[SmallIcs, RunReport], document: Ended
) -> None:
    """Before anything is read, and what was published stays."""
    ics, before = published
    document.write(ics, TODAY - timedelta(days=1))
    with pytest.raises(PolicyError) as caught:
        ics.run()
    assert caught.value.message == document.said
    assert ics.current() == before.run_id


@pytest.mark.parametrize("document", ENDED, ids=lambda each: each.name)
@pytest.mark.parametrize(("days", "warned"), [(0, True), (30, True), (31, False)])
def test_a_document_stands_to_its_last_day_and_is_warned_of_before(
    small_ics: SmallIcs, document: Ended, days: int, warned: bool
) -> None:
    """The last day counts."""
    document.write(small_ics, TODAY + timedelta(days=days))
    report = small_ics.run()
    said = [each for each in report.warnings if f"ends on {TODAY + timedelta(days=days)}, in {days} days" in each]
    assert len(said) == warned


def test_an_agreement_that_begins_tomorrow_refuses_the_run(small_ics: SmallIcs) -> None:
    """Data does not flow before it is agreed."""
    tomorrow = TODAY + timedelta(days=1)
    _purpose(small_ics, more=_agreement(tomorrow + timedelta(days=300), tomorrow), flow='agreement = "DSA-1"')
    with pytest.raises(PolicyError, match=r"agreement for sus_op \(DSA-1\) begins only on 2026-11-25"):
        small_ics.run()


def test_several_ended_documents_are_counted(small_ics: SmallIcs) -> None:
    """The first is named."""
    _purpose(small_ics, more="ends = 2026-01-01\n" + _agreement(date(2026, 1, 1)), flow='agreement = "DSA-1"')
    with pytest.raises(PolicyError, match=r"the purpose \(test\) ended on 2026-01-01, and 1 more"):
        small_ics.run()


# What is written for the legal basis, and what is said about it; None where it is accepted.
BASES = (
    ('"the agreement of all controllers"', None),
    ('{ kind = "not_personal" }', None),
    ('{ kind = "direct_care" }', None),
    ('{ kind = "explicit_consent", reference = "consent form 3" }', None),
    ('{ kind = "section_251", reference = "26/CAG/0001", expires = 2027-01-01 }', None),
    ('{ kind = "section_251", reference = "26/CAG/0001" }', "say when it expires"),
    ('{ kind = "section_251", expires = 2027-01-01 }', "needs the reference"),
    ('{ kind = "explicit_consent" }', "needs the reference"),
    ('{ kind = "statutory" }', "needs the reference"),
    ('{ kind = "communicable_disease" }', "needs the reference"),
    ('{ kind = "public_interest" }', "needs the reference"),
    ('{ kind = "other" }', "needs a description"),
    ('""', "needs a description"),
    ('" "', "needs a description"),
    ('{ kind = "because" }', "Input should be"),
    ('{ kind = "not_personal", expire = 2027-01-01 }', "there is no such key"),
)


@pytest.mark.parametrize(("basis", "said"), BASES)
def test_a_legal_basis_says_enough(small_ics: SmallIcs, basis: str, said: str | None) -> None:
    """Which kinds need a reference, and which an end."""
    _purpose(small_ics, basis)
    if said is None:
        config.load(small_ics.configuration)
    else:
        with pytest.raises(ConfigurationError, match=said):
            config.load(small_ics.configuration)


def test_every_kind_of_basis_has_words() -> None:
    """And no two the same."""
    assert len({kind.words for kind in BasisKind}) == len(BasisKind)


REIDENTIFICATION = (
    ("allowed = true", False),
    ('allowed = true\nroles = ["GP practice"]\nmax_people = 500', False),
    ('allowed = true\nroles = ["GP practice"]\nreference = "R-1"', False),
    ('allowed = true\nmax_people = 500\nreference = "R-1"', False),
    ('allowed = true\nroles = ["GP practice"]\nmax_people = 500\nreference = "R-1"', True),
    ("allowed = false", True),
)


@pytest.mark.parametrize(("rules", "accepted"), REIDENTIFICATION)
def test_re_identification_says_to_whom_and_how_many(small_ics: SmallIcs, rules: str, accepted: bool) -> None:
    """Allowed without a limit is not allowed."""
    _purpose(small_ics, more=f"[purpose.reidentification]\n{rules}")
    if accepted:
        config.load(small_ics.configuration)
    else:
        with pytest.raises(ConfigurationError, match="give all"):
            config.load(small_ics.configuration)


@pytest.mark.parametrize("flow", ["", 'agreement = "DSA-2"'])
def test_where_agreements_are_listed_every_flow_names_one(small_ics: SmallIcs, flow: str) -> None:
    """A misspelt reference is no agreement."""
    _purpose(small_ics, more=_agreement(date(2027, 1, 1)), flow=flow)
    with pytest.raises(ConfigurationError, match="flow sus_op: its agreement is not one of"):
        config.load(small_ics.configuration)


def test_an_agreement_is_listed_once(small_ics: SmallIcs) -> None:
    """Two last days for one reference is one too many."""
    twice = _agreement(date(2027, 1, 1)) + _agreement(date(2028, 1, 1))
    _purpose(small_ics, more=twice, flow='agreement = "DSA-1"')
    with pytest.raises(ConfigurationError, match="two agreements have the same reference"):
        config.load(small_ics.configuration)


def test_the_manifests_record_the_documents(small_ics: SmallIcs) -> None:
    """Both the analysts' and the exact one inside it."""
    lifted = '[[optouts.exemptions]]\noptout = "practices"\nreference = "EX-1"'
    basis = '{ kind = "section_251", reference = "26/CAG/0001", expires = 2027-01-01 }'
    _purpose(small_ics, basis, _agreement(date(2027, 3, 31)), 'agreement = "DSA-1"', lifted)
    report = small_ics.run()
    assert report.snapshot is not None
    shown = json.loads((report.snapshot / "manifest.json").read_text())
    assert shown["legal_basis"] == "section 251 support, 26/CAG/0001"
    assert [(each["what"], each["reference"], each["ends"]) for each in shown["documents"]] == [
        ("the purpose", "test", None),
        ("legal basis, section 251 support", "26/CAG/0001", "2027-01-01"),
        ("agreement for sus_op", "DSA-1", "2027-03-31"),
        ("exemption from practices", "EX-1", None),
    ]
    exact = json.loads((small_ics.folder / "private" / "runs" / f"{report.run_id}.json").read_text())
    assert exact["snapshot"]["documents"] == shown["documents"]


def test_snapshots_older_than_the_retention_go(small_ics: SmallIcs) -> None:
    """Even where `keep` would keep them; the current one stays."""
    _purpose(small_ics, more="retention = { days = 5 }")
    small_ics.replace('path = "store"', 'path = "store"\nkeep = 9')
    for day in (-1, 0, 1):
        pipeline.run(small_ics.configuration, now=NOW + timedelta(days=day))
    assert len(list((small_ics.store / "snapshots").iterdir())) == 3
    pipeline.run(small_ics.configuration, now=NOW + timedelta(days=5))
    left = sorted(path.name[:8] for path in (small_ics.store / "snapshots").iterdir())
    assert left == ["20261124", "20261125", "20261129"]


def _command(ics: SmallIcs, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", COMMAND, "purposes", *words[:1], str(ics.configuration), *words[1:]],
        capture_output=True, text=True, check=False, env={**os.environ, "NO_COLOR": "1", "TERM": "dumb"},
    )  # fmt: skip


SHOWN = """\
purpose       test, to 31 January 2027
controllers   nobody
legal basis   section 251 support, 26/CAG/0001, to 1 January 2027
data          sus_op: SUS outpatient care, DSA-1, A Trust and An ICB, to 31 March 2027
people        everybody in the flows
opt-outs      national: binds: only those whom the service returned, asked at most 7 days ago
              type1: binds: removes GP records of the person; GP records at most 35 days old
              practices: LIFTED by an exemption
exemptions    from practices, by EX-1, without an end
described by  year of birth, month of death, postcode district; names, contacts and free text dropped
domain        ics:test, keyset age://keys.age
kept          3 snapshots, none longer than 400 days (RET-1)
named again   by GP practice, at most 500 people in a request (R-1)
              at most 500 people in 365 days; each request approved by one other person, within 7 days
              with the NHS number and the reason go: nothing more
"""


def _whole(ics: SmallIcs) -> None:
    more = (
        'ends = 2027-01-31\nretention = { days = 400, reference = "RET-1" }\n'
        '[purpose.reidentification]\nallowed = true\nroles = "GP practice"\nmax_people = 500\nreference = "R-1"\n'
    )
    lifted = '[[optouts.exemptions]]\noptout = "practices"\nreference = "EX-1"'
    basis = '{ kind = "section_251", reference = "26/CAG/0001", expires = 2027-01-01 }'
    _purpose(ics, basis, more + _agreement(date(2027, 3, 31)), 'agreement = "DSA-1"', lifted)


def test_show_prints_the_purpose_in_words(small_ics: SmallIcs) -> None:
    """Everything that the file decides, on one page."""
    _whole(small_ics)
    done = _command(small_ics, "show", "--on", "2026-11-24")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == SHOWN


def test_show_says_what_would_be_refused_or_warned_of(small_ics: SmallIcs) -> None:
    """At the end of the page."""
    _whole(small_ics)
    done = _command(small_ics, "show", "--on", "2027-01-05")
    assert "refused       legal basis, section 251 support (26/CAG/0001) ended on 2027-01-01\n" in done.stdout
    assert "warnings      the purpose (test) ends on 2027-01-31, in 26 days\n" in done.stdout


CHECKED = """\
26 days       the purpose: test
ENDED         legal basis, section 251 support: 26/CAG/0001
85 days       agreement for sus_op: DSA-1
stands        exemption from practices: EX-1
stands        retention: RET-1
stands        re-identification: R-1
"""


def test_check_lists_every_document_and_refuses_as_a_run_would(small_ics: SmallIcs) -> None:
    """Exit code 4; without the option it is today that counts."""
    _whole(small_ics)
    done = _command(small_ics, "check", "--on", "2027-01-05")
    assert done.stdout == CHECKED
    assert done.returncode == 4
    assert done.stderr.startswith("error: legal basis, section 251 support (26/CAG/0001) ended on 2027-01-01\n")


def test_check_warns_of_what_is_missing(small_ics: SmallIcs) -> None:
    """A plain text and a flow without an agreement are accepted, and said."""
    done = _command(small_ics, "check")
    assert done.returncode == 0
    assert done.stderr.splitlines() == [
        "warning: the legal basis is words only: give its kind, reference and expiry",
        "warning: flow sus_op names no agreement",
    ]


def test_a_keyset_in_a_variable_is_warned_of_where_people_are_real(small_ics: SmallIcs) -> None:
    """Every run, and whoever looks at the purpose, is told; tests with made-up people are not."""
    small_ics.replace("age://keys.age", "env://KEYSET")
    assert "warning: the keyset" not in _command(small_ics, "check").stderr
    small_ics.replace("allow_test_numbers = true", "")
    assert "warning: the keyset is in an environment variable" in _command(small_ics, "check").stderr
    found = authority.check(config.load(small_ics.configuration), TODAY)
    assert [each for each in found if "every program that is started from here inherits it" in each]


def test_check_takes_today_when_no_day_is_given(small_ics: SmallIcs) -> None:
    """By the clock."""
    past = datetime.now(UTC).date() - timedelta(days=2)
    _purpose(small_ics, more=f"ends = {past}")
    assert _command(small_ics, "check").returncode == 4


def test_an_agreement_without_a_list_has_no_end(small_ics: SmallIcs) -> None:
    """A bare reference is accepted, and warned of."""
    _purpose(small_ics, flow='agreement = "DSA-9"')
    loaded = config.load(small_ics.configuration)
    assert "the agreement DSA-9 has no end date" in authority.warnings(loaded, TODAY)


def test_documents_of_pseudonymised_flows_are_listed(tmp_path: Path) -> None:
    """The document that says where opt-outs were applied is one of those a run relies on."""
    (tmp_path / "linkage.toml").write_text(
        '[purpose]\nname = "x"\nlegal_basis = "y"\ncontrollers = "z"\n[keys]\nkeyset = "age://k"\ndomain = "ics:x"\n'
        '[store]\npath = "s"\n[[flows]]\nfeed = "f.toml"\npath = "p"\noptouts_applied_upstream = "letter 7"\n'
    )
    loaded = config.load(tmp_path / "linkage.toml")
    assert authority.Document("opt-outs of f.toml applied upstream", "letter 7") in authority.documents(loaded)
