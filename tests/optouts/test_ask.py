"""Requests as the national service wants them: byte for byte, in files small enough, about everyone, and for nobody else to read."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import xml.etree.ElementTree as ET
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small import ALLOWED, NOT_ASKED, NOW, OPTED_OUT, SmallIcs, make_small_ics

from linkage import inquiry, nhs_number
from linkage.config import National
from linkage.errors import ConfigurationError, InputError
from linkage.optouts import mesh
from linkage.optouts.ask import ask
from made_up import MadeUp

RULES = National(requests="out/*.dat", answers="back/*.dat", mailbox="X26OT154")
COMMAND = "import sys; from linkage.cli import main; sys.argv[0] = 'linkage'; main()"


def _valid(count: int, start: int = 400_000_000) -> list[int]:
    found = []
    while len(found) < count:
        digit = nhs_number.check_digit(f"{start:09d}")
        if digit is not None and start * 10 + digit not in nhs_number.BLOCKED:
            found.append(start * 10 + digit)
        start += 1
    return found


def _numbers(*values: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array(values, dtype=np.int64)


def test_a_request_is_what_the_service_wants(tmp_path: Path) -> None:
    """Name, lines, control file, and nobody else may read them."""
    (made,) = ask(_numbers(101011113, 4000000632, 9434765919), RULES, tmp_path, NOW)
    assert made.path == tmp_path / "out" / "X26OT154-24112026-0001.dat"
    assert made.path.read_bytes() == b"0101011113,\n4000000632,\n9434765919,\n"
    root = ET.fromstring(made.path.with_suffix(".ctl").read_bytes())  # noqa: S314 our own
    assert root.tag == "DTSControl"
    assert {each.tag: each.text for each in root} == {
        "Version": "1.0",
        "AddressType": "DTS",
        "MessageType": "Data",
        "From_DTS": "X26OT154",
        "To_DTS": "X26HC065",
        "Subject": "X26OT154-24112026-0001",
        "LocalId": made.local_id,
        "Compress": "Y",
        "Encrypted": "N",
        "WorkflowId": "SPINE_NTT_UPHOLDING",
        "IsCompressed": "N",
        "AllowChunking": "Y",
    }
    assert made.local_id.startswith("X26OT154-24112026-0001-")
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "out").iterdir()} == {0o600}
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o700


@given(st.lists(st.integers(0, 10**10 - 1)))
def test_lines_are_ten_digits_and_a_comma(numbers: list[int]) -> None:
    """Against plain formatting."""
    assert mesh.lines(_numbers(*numbers)) == b"".join(b"%010d,\n" % number for number in numbers)


@pytest.mark.parametrize(("limit", "files"), [(12, 25), (13, 25), (24, 13), (120, 3), (299, 2), (300, 1), (10_000, 1)])
def test_a_request_is_cut_into_files_small_enough(tmp_path: Path, limit: int, files: int) -> None:
    """Each number is in one file, and files are about equal."""
    numbers = _valid(25)
    rules = RULES.model_copy(update={"max_file_bytes": limit})
    made = ask(_numbers(*numbers), rules, tmp_path, NOW)
    assert len(made) == files
    assert [each.path.stem[-4:] for each in made] == [f"{place:04d}" for place in range(1, files + 1)]
    assert all(each.path.stat().st_size <= limit for each in made)
    assert max(each.numbers for each in made) - min(each.numbers for each in made) <= 1
    found = [int(line[:10]) for each in made for line in each.path.read_text().splitlines()]
    assert found == numbers
    assert len({each.local_id for each in made}) == files


def test_a_second_request_of_a_day_has_another_name_and_other_bytes(tmp_path: Path) -> None:
    """The service refuses an upload that it has had before."""
    numbers = _valid(5)
    first, second, third = (ask(_numbers(*numbers), RULES, tmp_path, NOW)[0] for _ in range(3))
    assert [each.path.stem[-4:] for each in (first, second, third)] == ["0001", "0002", "0003"]
    assert len({each.path.read_bytes() for each in (first, second, third)}) == 3
    assert len({each.local_id for each in (first, second, third)}) == 3
    for each in (first, second, third):
        assert sorted(int(line[:10]) for line in each.path.read_text().splitlines()) == numbers


def test_without_a_mailbox_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no mailbox"):
        ask(_numbers(4000000632), RULES.model_copy(update={"mailbox": ""}), tmp_path, NOW)
    assert not list(tmp_path.rglob("*.dat"))


def test_nobody_to_ask_about_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="usable NHS number"):
        ask(_numbers(), RULES, tmp_path, NOW)


@pytest.mark.parametrize("pattern", ["*/x.dat", "/tmp/x/*.dat", "../x/*.dat"])  # noqa: S108 refused, not used
def test_requests_have_one_folder_below_the_configurations(tmp_path: Path, pattern: str) -> None:
    with pytest.raises(ConfigurationError, match=r"optouts\.national\.requests"):
        ask(_numbers(4000000632), RULES.model_copy(update={"requests": (pattern,)}), tmp_path, NOW)


def _asked(ics: SmallIcs) -> list[str]:
    made = inquiry.request(ics.configuration, NOW)
    return [line[:10] for each in made for line in each.path.read_text().splitlines()]


@pytest.fixture
def ics(tmp_path: Path) -> SmallIcs:
    ics = make_small_ics(tmp_path)
    ics.replace("min_allowed = 0.5", 'min_allowed = 0.5\nmailbox = "X26OT154"')
    return ics


def test_everyone_of_a_flow_is_asked_about_once(ics: SmallIcs) -> None:
    """Invalid, blocked and missing numbers are not: one of them would have the whole file rejected."""
    assert _asked(ics) == sorted([ALLOWED, OPTED_OUT, NOT_ASKED])


def test_test_numbers_are_asked_about_only_where_they_are_people(ics: SmallIcs) -> None:
    """The service knows none of them."""
    ics.replace("allow_test_numbers = true", "allow_test_numbers = false")
    assert _asked(ics) == [NOT_ASKED]


def test_replaced_numbers_are_asked_about_too(ics: SmallIcs) -> None:
    """Old and new, from this delivery and from earlier ones."""
    current, older, oldest = (str(number) for number in _valid(3, 601_000_000))
    (ics.folder / "pds").mkdir()
    mergers = ics.folder / "pds" / "PDS_Person_Merger_20261119.csv"
    mergers.write_text(f"NHS Number,Superseded NHS Number\n{older},{oldest}\n")
    with ics.configuration.open("a") as file:
        file.write('[[flows]]\nfeed = "pds"\npath = "pds"\n')
    ics.run()
    mergers.write_text(f"NHS Number,Superseded NHS Number\n{current},{older}\n")
    assert set(_asked(ics)) == {ALLOWED, OPTED_OUT, NOT_ASKED, current, older, oldest}


def test_a_request_and_its_answer_make_a_run(ics: SmallIcs) -> None:
    """The whole way, as somebody at a terminal goes it."""
    for path in (*(ics.folder / "optouts").glob("*.dat"), ics.answer, ics.answer.with_suffix(".ctl")):
        path.unlink()
    asked = _command(ics, "request")
    assert asked.returncode == 0, asked.stderr
    assert "3 numbers, LocalId X26OT154-" in asked.stdout
    (sent,) = (ics.folder / "optouts").glob("*.dat")
    inbox = ics.folder / "inbox"
    inbox.mkdir()
    waiting = _command(ics, "read", str(inbox))
    assert (waiting.returncode, waiting.stdout) == (75, f"outstanding: {sent.stem}\n")
    local = ET.fromstring(sent.with_suffix(".ctl").read_bytes()).findtext("LocalId")  # noqa: S314 our own
    moment = datetime.now(UTC)
    (inbox / "returned.ctl").write_text(
        f"<DTSControl><MessageType>Data</MessageType><LocalId>{local}</LocalId><StatusRecord>"
        f"<DateTime>{moment:%Y%m%d%H%M%S}</DateTime><Status>SUCCESS</Status></StatusRecord></DTSControl>"
    )
    (inbox / "returned.dat").write_text(f"{ALLOWED},\n{NOT_ASKED},\n")
    read = _command(ics, "read", str(inbox))
    assert read.returncode == 0, read.stderr
    assert read.stdout.splitlines() == [
        f"{moment:%Y-%m-%d %H:%M}  returned.ctl: answer",
        "every request is answered",
    ]
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, "run", str(ics.configuration)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "1 national_opt_out" in done.stdout
    assert "not_asked" not in done.stdout
    for said in (asked, waiting, read, done):
        assert not [number for number in (ALLOWED, OPTED_OUT, NOT_ASKED) if number in said.stdout + said.stderr]


def test_a_rejection_ends_with_the_code_of_a_refusal(ics: SmallIcs) -> None:
    """Somebody has to act: exit code 4."""
    ics.answer.unlink()
    (ics.folder / "in").mkdir()
    control = (
        "<DTSControl><LocalId>r</LocalId><StatusRecord><DateTime>20261123060000</DateTime></StatusRecord></DTSControl>"
    )
    (ics.folder / "in" / "m.ctl").write_text(control)
    (ics.folder / "in" / "m.dat").write_text("The file contains one or more invalid NHS Numbers.\n")
    done = _command(ics, "read", str(ics.folder / "in"))
    assert done.returncode == 4
    assert done.stderr.startswith("error: m.ctl: rejected")


def _command(ics: SmallIcs, word: str, *more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", COMMAND, "optouts", word, str(ics.configuration), *more],
        capture_output=True, text=True, check=False, env={**os.environ, "NO_COLOR": "1"},
    )  # fmt: skip


def test_a_request_covers_a_whole_ics(made_up: MadeUp, tmp_path: Path) -> None:
    """Of the made-up ICS: every valid number that any extract writes, by the truth and by reading every file as text."""
    text = (made_up.folder / "linkage.toml").read_text()
    own = tmp_path / "linkage.toml"
    own.write_text(text.replace('"optouts/national/requests', '"asked').replace('"optouts/national/answers', '"back'))
    for name in ("extracts", "keys", "store", "private", "reference"):
        (tmp_path / name).symlink_to(made_up.folder / name)
    made = inquiry.request(own, datetime.now(UTC))
    asked = {int(line[:10]) for each in made for line in each.path.read_text().splitlines()}
    assert len(asked) == sum(each.numbers for each in made)
    written = pl.concat([made_up.people["nhs_number"], made_up.people["superseded"].explode().drop_nulls()])
    in_rows = made_up.rows["number"].drop_nulls().unique()
    assert not set(in_rows.to_list()) - asked
    extra = asked - set(written.to_list())
    # Numbers of nobody in the population: the second number of an ambiguous key, and people in registers only.
    assert all(nhs_number.is_valid(f"{number:010d}") for number in extra)
