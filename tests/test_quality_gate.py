"""Limits of `[quality]`: each refuses with exit code 3, says file, column, figure and limit, and publishes nothing."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

import pytest
from small import ALLOWED, HEADER, NOW, SmallIcs, row
from typer.testing import CliRunner

from linkage import pipeline
from linkage.cli import app
from linkage.config import Quality, QualityRule
from linkage.errors import ConfigurationError, InputError, IntegrityError

PRICE = "appointment.commissioning.tariff_calculation.final_price"
NUMBER = "appointment.patient.identity.nhs_number.value"
FILE = "appointment_20261120.csv"


def rule(text: str) -> str:
    return f'[[quality.rules]]\nfeed = "sus_op"\n{text}\n'


APPOINTMENT = 'table = "appointment"\n'
SEX = APPOINTMENT + 'column = "sex"\n'


@dataclass(frozen=True)
class Limit:
    """What is written under `[quality]`, how the ten rows are spoilt, and what must be said (None: the run is good)."""

    name: str
    settings: str
    old: str = ""
    new: str = ""
    said: str | None = None


LIMITS = (
    Limit(
        "max_missing",
        "max_missing = 0.99",
        said=f"{FILE}: column 'appointment.patient.identity.nhs_number.status': 10 of 10 rows have nothing in it",
    ),
    Limit(
        "max_missing of a column",
        rule(APPOINTMENT + 'column = "nhs_number"\nmax_missing = 0.05'),
        said=f"{FILE}: column '{NUMBER}': 1 of 10 rows have nothing in it; the limit is 5.0% (max_missing)",
    ),
    Limit("max_missing not reached", rule(APPOINTMENT + 'column = "nhs_number"\nmax_missing = 0.1')),
    Limit(
        "max_invalid",
        "max_invalid = 0.0",
        "2026-05-01,",
        "2026-05-32,",
        f"{FILE}: column 'appointment.date': 10 of 10 values cannot be read, the first in row 1; the limit is 0.0%",
    ),
    Limit("max_invalid by default", "", "2026-05-01,", "2026-05-32,", "the limit is 10.0% (max_invalid)"),
    Limit(
        "max_invalid of a table over that of the feed",
        rule("max_invalid = 1.0") + rule(APPOINTMENT + "max_invalid = 0.9"),
        "2026-05-01,",
        "2026-05-32,",
        "the limit is 90.0% (max_invalid)",
    ),
    Limit(
        "max_invalid of a column over that of its table",
        rule(APPOINTMENT + "max_invalid = 0.0") + rule(APPOINTMENT + 'column = "appointment_date"\nmax_invalid = 1.0'),
        "2026-05-01,",
        "2026-05-32,",
    ),
    Limit(
        "max_invalid of NHS numbers, where a rule names them",
        rule(APPOINTMENT + 'column = "nhs_number"\nmax_invalid = 0.3'),
        said=f"{FILE}: column '{NUMBER}': 3 of 9 values cannot be read; the limit is 30.0% (max_invalid)",
    ),
    Limit(
        "max_invalid of cells with numbers, where none belong",
        "",
        ",QXX,",
        ",9434765919,",
        "10 of 10 values hold digits that could be an NHS number, where none belongs, the first in row 1; the limit",
    ),
    Limit("max_invalid of NHS numbers, where none does", "max_invalid = 0.0"),
    Limit(
        "max_unknown",
        "max_invalid = 1.0\nmax_unknown = 0.5",
        "1950-05-02,1,",
        "1950-05-02,7,",
        f"{FILE}: column 'appointment.patient.identity.gender': 10 of 10 values are none of the column's codes, "
        "the first in row 1; the limit is 50.0% (max_unknown)",
    ),
    Limit("max_unknown of a column", "max_invalid = 1.0\n" + rule(SEX + "max_unknown = 0.0"), "02,1,", "02,7,", "(max_unknown)"),
    Limit("min_rows", "min_rows = 11", said=f"{FILE}: 10 rows; the limit is 11 (min_rows)"),
    Limit("min_rows not reached", "min_rows = 10"),
    Limit("min_rows of a feed", rule("min_rows = 11"), said="(min_rows)"),
    Limit(
        "max_no_person",
        "max_no_person = 0.3",
        said=f"{FILE}: 4 of 10 rows have no person; the limit is 30.0% (max_no_person)",
    ),
    Limit("max_no_person not reached", "max_no_person = 0.4"),
    Limit(
        "max_late",
        "max_late = 0.9",
        "2026-05-01,",
        "2019-05-01,",
        f"{FILE}: 10 of 10 rows are of more than 365 days before the delivery; the limit is 90.0% (max_late)",
    ),
    Limit(
        "max_late of a table",
        rule(APPOINTMENT + "max_late = 1.0") + "[quality]\nmax_late = 0.5\n",
        "2026-05-01,",
        "2019-05-01,",
    ),
    Limit(
        "max_future",
        rule("max_future = 0.0"),
        "2026-05-01,",
        "2027-05-01,",
        f"{FILE}: 10 of 10 rows are of more than a day after the delivery; the limit is 0.0% (max_future)",
    ),
    Limit(
        "max_malformed of a table",
        rule(APPOINTMENT + "max_malformed = 0.5"),
        ",ZZ1,QXX,12.5",
        "",
        f"{FILE}: 10 of 10 rows have too few or too many fields, the first is row 1; the limit is 50.0% (max_malformed)",
    ),
)  # fmt: skip


@pytest.mark.parametrize("limit", LIMITS, ids=lambda limit: limit.name)
def test_a_limit(small_ics: SmallIcs, limit: Limit) -> None:
    """Reached: exit code 3 and nothing there. Not reached: a snapshot."""
    small_ics.extract.write_text(small_ics.extract.read_text().replace(limit.old, limit.new))
    _limit(small_ics, limit.settings)
    if limit.said is None:
        assert small_ics.run().snapshot is not None
        return
    with pytest.raises(InputError) as caught:
        small_ics.run()
    assert limit.said in caught.value.message
    assert caught.value.exit_code == 3
    assert caught.value.hint
    assert ALLOWED not in caught.value.message
    _nothing_published(small_ics)


def _limit(ics: SmallIcs, settings: str) -> None:
    with ics.configuration.open("a") as file:
        file.write(settings if settings.startswith("[") else f"[quality]\n{settings}\n")


def _nothing_published(ics: SmallIcs) -> None:
    assert ics.current() is None
    assert not list(ics.store.glob("snapshots/*"))
    assert not list(ics.store.glob(".staging-*"))
    assert not list((ics.folder / "private").rglob("*.json"))


def _rewrite(ics: SmallIcs, rows: int) -> None:
    ics.extract.write_text("\n".join([HEADER, *(row(key, ALLOWED) for key in range(1, rows + 1))]) + "\n")


@pytest.mark.parametrize(("now", "good"), [(12, True), (13, False), (8, True), (7, False), (10, True)])
def test_max_change(small_ics: SmallIcs, now: int, good: bool) -> None:
    """A fifth more or fewer rows than in the last run pass, anything beyond is refused; the last snapshot stays."""
    _rewrite(small_ics, 10)
    _limit(small_ics, "max_change = 0.2")
    first = small_ics.run()
    _rewrite(small_ics, now)
    if good:
        assert small_ics.run().snapshot is not None
        return
    with pytest.raises(InputError) as caught:
        small_ics.run()
    share = abs(now - 10) / 10
    assert caught.value.message == (
        f"{FILE}: sus_op appointment has {now} rows and had 10 in the last run: a change of {share:.1%}; "
        "the limit is 20.0% (max_change)"
    )
    assert small_ics.current() == first.run_id


def test_max_change_needs_the_last_account(small_ics: SmallIcs) -> None:
    """A limit that cannot be checked is not a limit that is passed over; without it the account is not needed."""
    first = small_ics.run()
    (small_ics.folder / "private" / "runs" / f"{first.run_id}.json").write_text("{}")
    second = small_ics.run()
    _limit(small_ics, rule(APPOINTMENT + "max_change = 0.2"))
    assert small_ics.run().snapshot is not None
    (small_ics.folder / "private" / "runs" / f"{small_ics.current()}.json").unlink()
    with pytest.raises(IntegrityError, match="max_change cannot be checked"):
        small_ics.run()
    assert second.run_id != small_ics.current() is not None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[[quality.rules]]\nfeed = "sus_ip"\nmin_rows = 1\n', "no flow has a feed 'sus_ip'"),
        (rule('table = "appointments"\nmin_rows = 1'), "has no table 'appointments'"),
        (rule(APPOINTMENT + 'column = "gender"\nmax_missing = 0.1'), "has no column 'gender'"),
        (rule(APPOINTMENT), "needs a limit"),
        (rule('column = "sex"\nmax_missing = 0.1'), "names its table too"),
        (rule(SEX + "min_rows = 1"), "a rule for a column can set"),
        (rule("min_rows = 1") + rule("min_rows = 2"), "two quality rules are for the same"),
        ("[quality]\nmax_missing = 1.1\n", "quality.max_missing"),
        ("[quality]\nmin_rows = -1\n", "quality.min_rows"),
    ],
)
def test_a_rule_that_could_never_apply_is_refused(small_ics: SmallIcs, text: str, said: str) -> None:
    """Misspelt, contradictory or out of bounds: exit code 2."""
    _limit(small_ics, text)
    with pytest.raises(ConfigurationError) as caught:
        small_ics.run()
    assert said in caught.value.message
    _nothing_published(small_ics)


def test_the_most_particular_rule_counts() -> None:
    """Column before table before feed before everything; a rule that does not set a limit does not hide one that does."""
    rules = Quality(
        max_missing=0.5,
        rules=(
            QualityRule(feed="a", max_missing=0.4, min_rows=7),
            QualityRule(feed="a", table="t", max_missing=0.3),
            QualityRule(feed="a", table="t", column="c", max_missing=0.0),
            QualityRule(feed="a", table="t", column="d", max_invalid=0.0),
        ),
    )
    assert [rules.limit("max_missing", "a", "t", column) for column in ("c", "d", "e")] == [0.0, 0.3, 0.3]
    assert rules.limit("max_missing", "a", "u", "c") == 0.4
    assert rules.limit("max_missing", "b", "t", "c") == 0.5
    assert rules.limit("min_rows", "a", "t") == 7
    assert rules.limit("max_change", "a", "t") is None


def test_the_account_says_what_changed(small_ics: SmallIcs) -> None:
    """Rows and completeness against the last run, exactly; the first run is compared with nothing."""
    _rewrite(small_ics, 10)
    first = small_ics.run()
    _rewrite(small_ics, 20)
    lines = small_ics.extract.read_text().replace("1950-05-02", "", 10)
    small_ics.extract.write_text(lines)
    second = small_ics.run()
    runs = [
        json.loads((small_ics.folder / "private" / "runs" / f"{each.run_id}.json").read_text())
        for each in (first, second)
    ]
    assert runs[0]["changes"] == []
    assert runs[0]["last_run"] is None
    assert runs[1]["last_run"] == first.run_id
    assert runs[1]["changes"] == [
        {"feed": "sus_op", "table": "appointment", "column": None, "what": "rows", "before": 10.0, "now": 20.0},
        {
            "feed": "sus_op",
            "table": "appointment",
            "column": "birth_date",
            "what": "missing",
            "before": 0.0,
            "now": 0.5,
        },
    ]


def test_the_terminal_shows_what_is_worth_a_look(small_ics: SmallIcs) -> None:
    """And leaves out what is not: a good extract says nothing of columns that are full."""
    _rewrite(small_ics, 100)
    text = small_ics.extract.read_text().replace("1950-05-02,1,", "1950-05-02,7,", 5)
    small_ics.extract.write_text(text.replace(",12.5,", ",x,", 1))
    small_ics.run()
    text = small_ics.extract.read_text()
    small_ics.extract.write_text(text.replace("2026-05-01", "2019-05-01", 6).replace("2026-05-01", "2027-05-01", 2))
    report = pipeline.check(small_ics.configuration, now=NOW)
    found = {(each.where, each.what): (each.count, each.share) for each in report.findings}
    assert found.pop(("sus_op appointment sex", "unknown_code")) == (5, 0.05)
    assert found.pop(("sus_op appointment final_price", "unreadable")) == (1, 0.01)
    assert found.pop(("sus_op appointment", "late, and more of them than in the last run")) == (6, 0.06)
    assert found.pop(("sus_op appointment", "after the delivery")) == (2, 0.02)
    empty, absent = report.findings[-2:]
    assert {(each.where, each.what) for each in (empty, absent)} == found.keys()
    assert (empty.where, empty.what) == ("sus_op appointment confidentiality", "nothing in any row")
    assert re.fullmatch(r"\d+ columns not in any file: \w+, \w+, \w+ and \d+ more", absent.what)
    shares = [each.share for each in report.findings[:-2]]
    assert shares == sorted(shares, reverse=True)


def test_the_command_prints_it(small_ics: SmallIcs, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the end, a few lines at most."""
    report = pipeline.check(small_ics.configuration, now=NOW)
    monkeypatch.setattr(pipeline, "check", lambda *_, **__: report)
    small_ics.answered()
    said = CliRunner().invoke(app, ["check", str(small_ics.configuration)]).output
    assert "worth a look:" in said
    lines = said.partition("worth a look:\n")[2].splitlines()
    assert re.search(r" 10 +100\.0%  sus_op appointment +\d+ columns not in any file: \w", lines[-2])
    assert any(line.split()[-1] == "number_check_digit" for line in lines)
    assert len(lines) <= 14


def test_the_gate_is_reached_by_the_command(small_ics: SmallIcs, tmp_path: Path) -> None:
    """Exit code 3, as an orchestrator sees it."""
    import subprocess
    import sys

    _limit(small_ics, "min_rows = 1000")
    code = "import sys; from linkage.cli import main; sys.argv[0] = 'linkage'; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "run", str(small_ics.configuration)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 3
    assert done.stderr.startswith(f"error: {FILE}: 10 rows; the limit is 1000 (min_rows)\nhint: ")
    _nothing_published(small_ics)
