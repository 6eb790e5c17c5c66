"""What goes wrong at three in the morning: one clear error, the right exit code, and the last snapshot untouched."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from small import ALLOWED, HEADER, NOT_ASKED, OPTED_OUT, SmallIcs, row

import linkage
from linkage.errors import (
    ConfigurationError,
    InputError,
    IntegrityError,
    KeyUnavailableError,
    LinkageError,
    PolicyError,
)
from linkage.pipeline import RunReport

SECRETS = (ALLOWED, "943 476 5919", OPTED_OUT, NOT_ASKED, "QX1 1AA", "1950-05-02", "1234567890")
DATE = "appointment.date"


@dataclass(frozen=True)
class Case:
    """How to spoil the small ICS, and what must be said."""

    name: str
    spoil: Callable[[SmallIcs], object]
    error: type[LinkageError]
    said: str


def _edit(old: str, new: str) -> Callable[[SmallIcs], object]:
    return lambda ics: ics.extract.write_text(ics.extract.read_text().replace(old, new))


def _second_date(ics: SmallIcs) -> None:
    lines = ics.extract.read_text().splitlines()
    ics.extract.write_text("\n".join([f"{lines[0]},{DATE}", *(f"{line},2026-05-01" for line in lines[1:])]) + "\n")


def _control(ics: SmallIcs) -> Path:
    return ics.answer.with_suffix(".ctl")


def _clash(ics: SmallIcs) -> None:
    shipped = Path(linkage.__file__).parent / "sources" / "feeds" / "sus_op.toml"
    (ics.folder / "op.toml").write_text(shipped.read_text().replace("\noutcome = ", "\nage = "))
    ics.replace('feed = "sus_op"', 'feed = "op.toml"')


def _two_flows(ics: SmallIcs) -> None:
    (ics.folder / "same.toml").write_text('extends = "sus_op"')
    ics.configuration.write_text(f'{ics.configuration.read_text()}[[flows]]\nfeed = "same.toml"\npath = "extracts"\n')


CASES = (
    Case("two flows of one name", _two_flows, ConfigurationError, "two flows deliver feed sus_op"),
    Case("a contract that publishes a name twice", _clash, ConfigurationError, "both be published as 'age'"),
    Case("missing file", lambda ics: ics.extract.unlink(), InputError, "no file like appointment_"),
    Case("empty file", lambda ics: ics.extract.write_bytes(b""), InputError, "the file is empty"),
    Case(
        "stamped in the future",
        lambda ics: ics.extract.rename(ics.extract.with_name("appointment_20261201.csv")),
        InputError,
        "lies in the future",
    ),
    Case(
        "NHS numbers where a price should be",
        _edit("12.5,", "9434765919,"),
        InputError,
        "final_price",
    ),
    Case(
        "an answer without its request",
        lambda ics: (ics.answer.parent / "later.dat").write_text(f"{NOT_ASKED},\n"),
        PolicyError,
        "later.dat: the national opt-out answer has no request of its name",
    ),
    Case(
        "an answer whose transfer failed",
        lambda ics: ics.answer.with_suffix(".ctl").write_text(
            "<DTSControl><StatusRecord><DateTime>20261123060000</DateTime><Status>ERROR</Status></StatusRecord></DTSControl>"
        ),
        PolicyError,
        "did not succeed",
    ),
    Case("header only", lambda ics: ics.extract.write_text(HEADER + "\n"), InputError, "a header and no rows"),
    Case("wrong delimiter", _edit(",", ";"), InputError, "one column only"),
    Case(
        "utf-16",
        lambda ics: ics.extract.write_text(ics.extract.read_text(), encoding="utf-16"),
        InputError,
        "not UTF-8",
    ),
    Case(
        "utf-16 as Windows writes it",
        lambda ics: ics.extract.write_bytes(ics.extract.read_text().replace("\n", "\r\n").encode("utf-16")),
        InputError,
        "not UTF-8",
    ),
    Case("lines that end in carriage returns", _edit("\n", "\r"), InputError, "carriage returns alone"),
    Case("a header that is no header", _edit(HEADER, "x" * 200_000), InputError, "its first line cannot be read"),
    Case(
        "windows-1252",
        lambda ics: ics.extract.write_bytes(ics.extract.read_bytes().replace(b"a3", b"\xe9")),
        InputError,
        "row 3: not UTF-8",
    ),
    Case(
        "a typo in a header",
        _edit(DATE, "apointment.date"),
        InputError,
        "'appointment.date' is missing; the nearest is",
    ),
    Case("a column twice", _second_date, InputError, f"'{DATE}' occurs 2 times"),
    Case("an open quote", _edit("a7,", 'a7,"'), InputError, "a quoted field never ends"),
    Case("short rows", _edit(",ZZ1,QXX,12.5", ""), InputError, "the first is row 1"),
    Case(
        "wrong type throughout",
        _edit("2026-05-", "5/2026/"),
        InputError,
        f"'{DATE}': 10 of 10 values cannot be read, the first in row 1; the limit is 10.0% (max_invalid)",
    ),
    Case(
        "no stamp in the name",
        lambda ics: ics.extract.rename(ics.extract.with_name("appointment_x.csv")),
        InputError,
        "no delivery stamp",
    ),
    Case(
        "stale answer",
        lambda ics: _control(ics).write_text(_control(ics).read_text().replace("20261123", "20261101")),
        PolicyError,
        "r.dat: the national opt-out answer is 23 days old",
    ),
    Case("missing answer", lambda ics: ics.answer.unlink(), PolicyError, "no national opt-out answer"),
    Case("no control file", lambda ics: _control(ics).unlink(), PolicyError, "r.ctl: missing"),
    Case(
        "answer in the future",
        lambda ics: _control(ics).write_text(_control(ics).read_text().replace("20261123", "20271123")),
        PolicyError,
        "dated in the future",
    ),
    Case(
        "answer to another request",
        lambda ics: ics.answer.write_text(f"{NOT_ASKED},\n"),
        PolicyError,
        "never asked about",
    ),
    Case(
        "rejection",
        lambda ics: ics.answer.write_text("The file contains one or more invalid NHS Numbers.\n"),
        PolicyError,
        "rejected",
    ),
    Case("empty answer", lambda ics: ics.answer.write_bytes(b""), PolicyError, "too few"),
    Case("answer cut short", lambda ics: ics.answer.write_text(ALLOWED[:5]), PolicyError, "cut short"),
    Case("not a list of numbers", lambda ics: ics.answer.write_text("{}\n"), PolicyError, "r.dat: line 1"),
    Case(
        "a request that does not cover the flow",
        lambda ics: ics.replace("max_not_asked = 0.2", "max_not_asked = 0.1"),
        PolicyError,
        "does not cover sus_op appointment",
    ),
    Case(
        "no national list",
        lambda ics: ics.replace("[optouts.national]", "[quality]\n[optouts.x]"),
        ConfigurationError,
        "optouts.x",
    ),
    Case("unknown key", lambda ics: ics.replace("name =", "nam = 1\nname ="), ConfigurationError, "purpose.nam"),
    Case("unknown feed", lambda ics: ics.replace('"sus_op"', '"sus_po"'), ConfigurationError, "no feed is called"),
    Case(
        "opt-outs said to be applied elsewhere",
        lambda ics: ics.replace('path = "extracts"', 'path = "extracts"\noptouts_applied_upstream = "x"'),
        ConfigurationError,
        "people arrive by NHS number",
    ),
    Case(
        "an absolute pattern",
        lambda ics: ics.replace('"optouts/*.dat"', '"/optouts/*.dat"'),
        ConfigurationError,
        "pattern",
    ),
    Case("missing keyset", lambda ics: (ics.folder / "keys.age").unlink(), KeyUnavailableError, "keyset"),
    Case("missing identity", lambda ics: (ics.folder / "keys.identity").unlink(), KeyUnavailableError, "keyset"),
    Case("damaged keyset", lambda ics: (ics.folder / "keys.age").write_bytes(b"no key"), KeyUnavailableError, "keyset"),
    Case(
        "damaged roster",
        lambda ics: next((ics.folder / "private").rglob("entries.arrow.age")).write_bytes(b"?"),
        IntegrityError,
        "",
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_one_clear_error_and_the_last_snapshot_stays(published: tuple[SmallIcs, RunReport], case: Case) -> None:
    """The error says what and where, never a value; nothing half-made is left."""
    ics, before = published
    case.spoil(ics)
    with pytest.raises(case.error) as caught:
        ics.run()
    message, hint = caught.value.message, caught.value.hint
    assert type(caught.value) is case.error
    assert case.said in message
    assert hint
    assert not [secret for secret in SECRETS if secret in message + hint]
    assert ics.current() == before.run_id
    assert not list(ics.store.glob(".staging-*"))


def _many(ics: SmallIcs, rows: int) -> list[str]:
    return [HEADER, *(row(key, ALLOWED, day=1 + key % 28) for key in range(1, rows + 1))]


def test_a_few_unreadable_dates_are_counted(small_ics: SmallIcs) -> None:
    """Three dates in a hundred that cannot be read are empty, counted, and the first is named by its row."""
    lines = _many(small_ics, 100)
    for place in (5, 50, 99):
        lines[place] = lines[place].replace("2026-05-", "2026-15-")
    small_ics.extract.write_text("\n".join(lines) + "\n")
    report = small_ics.run()
    exact = json.loads((small_ics.folder / "private" / "runs" / f"{report.run_id}.json").read_text())
    dates = next(each for each in exact["quality"] if each["column"] == "appointment_date")
    assert (dates["written"], dates["invalid"], dates["first_invalid"]) == (100, 3, 5)
    assert report.tables["event"] == 100


def test_a_row_cut_short_is_counted(small_ics: SmallIcs) -> None:
    """The last row of two hundred has lost its end."""
    lines = _many(small_ics, 200)
    small_ics.extract.write_text("\n".join([*lines[:-1], lines[-1][:40]]))
    report = small_ics.run()
    assert report.removed == {"row_malformed": 1}
    assert report.read == 200


@pytest.mark.parametrize("what", ["file", "folder"])
def test_a_store_that_is_something_else_is_not_touched(small_ics: SmallIcs, what: str) -> None:
    """An output path that exists and is no store is refused and left as it was."""
    precious = small_ics.store if what == "file" else small_ics.store / "precious.txt"
    precious.parent.mkdir(exist_ok=True)
    precious.write_text("mine")
    with pytest.raises(ConfigurationError):
        small_ics.run()
    assert precious.read_text() == "mine"
    assert list(small_ics.store.parent.glob("store/*")) in ([], [precious])


_COMMAND = "import sys; from linkage.cli import main; sys.argv[0] = 'linkage'; main()"
_SMALL_FILES = (
    "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
    " resource.setrlimit(resource.RLIMIT_FSIZE, (60000, 60000)); "
)


def _command(ics: SmallIcs, before: str = "") -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-c", before + _COMMAND, "run", str(ics.configuration)]
    return subprocess.run(words, capture_output=True, text=True, check=False, env={**os.environ, "NO_COLOR": "1"})


def test_the_command_says_error_and_hint(published: tuple[SmallIcs, RunReport]) -> None:
    """Two lines, and the exit code of the error."""
    ics, _ = published
    ics.extract.write_bytes(b"")
    done = _command(ics)
    lines = done.stderr.splitlines()
    assert done.returncode == 3
    assert [line.partition(":")[0] for line in lines] == ["error", "hint"]
    assert done.stdout == ""


@pytest.mark.skipif(sys.platform == "win32", reason="file size limits are a POSIX thing")
def test_a_full_disk_is_temporary(published: tuple[SmallIcs, RunReport]) -> None:
    """When nothing more can be written the command ends with 75 and the last snapshot stays."""
    ics, before = published
    _control(ics).write_text(_control(ics).read_text().replace("20261123060000", _now()))
    done = _command(ics, before=_SMALL_FILES)
    assert done.returncode == 75
    assert done.stderr.startswith("error: the disk is full")
    assert ics.current() == before.run_id


def _now() -> str:
    from datetime import UTC, datetime

    return f"{datetime.now(UTC):%Y%m%d%H%M%S}"
