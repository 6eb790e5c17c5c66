"""`linkage optouts status`: what it says of each register is what the next run then does."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from small import ALLOWED, NOT_ASKED, NOW, OPTED_OUT, SmallIcs, make_small_ics
from test_practices import GP, write

from linkage import cli, register_status
from linkage.cli.optouts import status_lines
from linkage.errors import LinkageError

EXEMPT = '[[optouts.exemptions]]\noptout = "{}"\nreference = "EX-1"\n'


@pytest.fixture
def ics(tmp_path: Path) -> SmallIcs:
    """Two flows, one of GP records, and every register that can be configured."""
    ics = make_small_ics(tmp_path)
    ics.replace('applies_to = "primary_care"', 'applies_to = "everything"')
    (ics.folder / "gp.toml").write_text(GP)
    (ics.folder / "gp").mkdir()
    write(ics, "agreement", "practice,active", "P1,true")
    write(ics, "patient", "id,nhs,practice,start,end,deleted", f"a,{ALLOWED},P1,2020-01-01,,false")
    write(ics, "code", "id,patient,day,snomed,deleted", "c1,a,2026-02-01,1,false")
    for name, text in (
        ("objections", "objecting_nhs_number,note\nend,0,2026-11-10\n"),
        ("sensitive", "sensitive_nhs_number,note\nend,0,2026-11-10\n"),
        ("practices", "not_sharing_ods_code,from,to,note\nend,0,2026-11-10\n"),
        ("restricted", "restricted_code,note\nend,0,2026-01-10\n"),
    ):
        (ics.folder / f"{name}.csv").write_text(text)
        (ics.folder / f"{name}.csv").chmod(0o600)
        with ics.configuration.open("a") as file:
            file.write(f'[optouts.{name}]\nlist = "{name}.csv"\n')
    with ics.configuration.open("a") as file:
        file.write('[[flows]]\nfeed = "gp.toml"\npath = "gp"\n')
    return ics


def _lines(ics: SmallIcs) -> list[str]:
    return list(status_lines(register_status.status(ics.configuration, NOW), NOW))


GOOD = """\
practices          of 2026-11-10, 14 days old, 35 allowed, binds on 1 flow
sensitive          as delivered, binds on 2 flows
objections         as delivered, binds on 2 flows
listed_sensitive   of 2026-11-10, 14 days old, 35 allowed, binds on 2 flows
listed_objections  of 2026-11-10, 14 days old, 35 allowed, binds on 2 flows
type1              of 2026-11-20, 4 days old, 35 allowed, binds on 2 flows
national           of 2026-11-23, 1 day old, 7 allowed, binds on 2 flows
national_flags     as delivered, binds on 2 flows
restricted         of 2026-01-10, 318 days old, 366 allowed, binds on 2 flows
covered            2 of 2 flows: nearly everybody in them was asked about
published          nothing yet
next run           goes ahead, until 2026-11-30 06:00
"""


def test_what_is_said_of_good_registers(ics: SmallIcs) -> None:
    """Word for word; then the run does go ahead, and the next status names it."""
    assert "\n".join(_lines(ics)) + "\n" == GOOD
    run = ics.run().run_id
    assert f"published          {run}" in _lines(ics)


def _age(name: str, day: str) -> Callable[[SmallIcs], object]:
    def change(ics: SmallIcs) -> object:
        path = ics.folder / f"{name}.csv"
        return path.write_text(re.sub(r"\d{4}-\d\d-\d\d\n$", f"{day}\n", path.read_text()))

    return change


def _old_answer(ics: SmallIcs) -> None:
    control = ics.answer.with_suffix(".ctl")
    control.write_text(control.read_text().replace("20261123", "20261101"))


def _old_records(ics: SmallIcs) -> None:
    for path in (ics.folder / "gp").iterdir():
        path.rename(path.with_name(path.name.replace("20261120", "20261001")))


# What is changed, and the register or row that says so.
CHANGES: dict[str, tuple[Callable[[SmallIcs], object], str]] = {
    "no answer": (lambda ics: ics.answer.unlink(), "national           REFUSED"),
    "an old answer": (_old_answer, "national           REFUSED"),
    "another's answer": (lambda ics: ics.answer.write_text(f"{NOT_ASKED},\n"), "national           REFUSED"),
    "old GP records": (_old_records, "type1              REFUSED"),
    "old agreements": (_old_records, "practices          REFUSED"),
    "an old list of objections": (_age("objections", "2026-10-01"), "listed_objections  REFUSED"),
    "an old list of practices": (_age("practices", "2026-10-01"), "practices          REFUSED"),
    "an old list of codes": (_age("restricted", "2025-10-01"), "restricted         REFUSED"),
    "a list that others can read": (lambda ics: (ics.folder / "sensitive.csv").chmod(0o644), "listed_sensitive   REFUSED"),
    "a list cut short": (
        lambda ics: (ics.folder / "sensitive.csv").write_text("sensitive_nhs_number,note\n"),
        "listed_sensitive   REFUSED",
    ),
    "people never asked about": (
        lambda ics: ics.replace("max_not_asked = 0.2", "max_not_asked = 0.1"),
        "covered            1 of 2 flows",
    ),
    "a basis that ended": (
        lambda ics: ics.replace('controllers = ["nobody"]', 'controllers = ["nobody"]\nends = 2026-11-01'),
        "refused            the purpose (test) ended on 2026-11-01",
    ),
    "nothing configured": (
        lambda ics: ics.configuration.write_text(
            re.sub(r"(?s)\[optouts.national\].*?(?=\[optouts.type1\])", "", ics.configuration.read_text())
        ),
        "national           REFUSED",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("change", "said"), CHANGES.values(), ids=CHANGES.keys())
def test_what_is_refused_is_what_a_run_refuses(ics: SmallIcs, change: Callable[[SmallIcs], object], said: str) -> None:
    """A run then ends in exit code 4, publishes nothing and leaves the last snapshot."""
    before = ics.run().run_id
    change(ics)
    found = register_status.status(ics.configuration, NOW)
    lines = list(status_lines(found, NOW))
    assert any(line.startswith(said) for line in lines), lines
    assert not any(line.startswith("next run") for line in lines)
    with pytest.raises(LinkageError) as caught:
        ics.run()
    assert caught.value.exit_code == 4
    assert ics.current() == before
    text = "\n".join([*lines, caught.value.message, caught.value.hint])
    assert not {ALLOWED, OPTED_OUT, NOT_ASKED} & set(re.findall(r"\d{10}", text))


def test_an_exemption_is_said(ics: SmallIcs) -> None:
    """And nothing that it lifts is refused."""
    with ics.configuration.open("a") as file:
        file.write("".join(EXEMPT.format(name) for name in ("national", "type1", "practices")))
    ics.answer.unlink()
    lines = _lines(ics)
    assert {f"{name:<18} lifted by an exemption" for name in ("national", "type1", "practices")} < set(lines)
    assert lines[-1].startswith("next run           goes ahead")


def test_the_command_ends_with_4_where_a_run_would(
    ics: SmallIcs, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the clock of today the made-up answer is too old, or as old as it is."""
    control = ics.answer.with_suffix(".ctl")
    control.write_text(control.read_text().replace("20261123", f"{NOW - timedelta(days=40):%Y%m%d}"))
    monkeypatch.setattr("sys.argv", ["linkage", "optouts", "status", str(ics.configuration)])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    said = capsys.readouterr()
    assert caught.value.code == 4
    assert "national           REFUSED" in said.out
    assert "error: the next run is refused" in said.err
