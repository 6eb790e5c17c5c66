"""Lists that an ICS keeps: whole or not at all, of the right kind, young enough, and its owner's alone."""

from __future__ import annotations

import os
import re
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
from small import ALLOWED, MERGED_NUMBERS, NOW, OPTED_OUT, SmallIcs, make_small_ics

from linkage import config
from linkage.cli import purposes
from linkage.errors import ConfigurationError, LinkageError, PolicyError
from linkage.optouts import lists, restricted
from linkage.optouts.lists import OBJECTING, SENSITIVE, ListedPeople
from linkage.optouts.restricted import Restricted
from linkage.reasons import Reason
from pages import run, samples

GOOD = f"objecting_nhs_number,note\n{ALLOWED},letter\n\n943 476 5870,\nend,2,2026-11-20\n"


def _list(folder: Path, text: str, mode: int = 0o600) -> Path:
    path = folder / "list.csv"
    path.write_text(text)
    path.chmod(mode)
    return path


def _read(path: Path) -> list[int]:
    said = ListedPeople(path, OBJECTING, Reason.LOCAL_OBJECTION, 35).read(NOW)
    return list(said.out[Reason.LOCAL_OBJECTION].tolist())


def test_a_whole_list_is_read(tmp_path: Path) -> None:
    """Grouped or not, in any order, blank lines between; also one that says that there is nobody."""
    assert _read(_list(tmp_path, GOOD)) == [9434765870, int(ALLOWED)]
    assert _read(_list(tmp_path, "\ufeffobjecting_nhs_number,note\nend,0,2026-11-20\n")) == []


BROKEN = {
    "cut after a line": (GOOD.rpartition("end")[0], "may be cut short"),
    "cut within the last line": (GOOD.rpartition(",")[0], "may be cut short"),
    "a line lost": (GOOD.replace(f"{ALLOWED},letter\n", ""), "fewer lines than the last one says"),
    "a line too many": (GOOD.replace("letter\n", "letter\n9434765870,\n"), "more lines than the last one says"),
    "empty": ("", "may be another list"),
    "another list": (GOOD.replace("objecting", "sensitive"), "may be another list"),
    "an allow-list of the service": (f"{ALLOWED},\n{OPTED_OUT},\n", "may be another list"),
    "too old": (GOOD.replace("2026-11-20", "2026-10-19"), "complete 36 days ago"),
    "of next year": (GOOD.replace("2026-11-20", "2027-11-20"), "in the future"),
    "no day": (GOOD.replace("2026-11-20", "yesterday"), "may be cut short"),
    "a wrong number": (GOOD.replace("943 476 5870", "943 476 5871"), "line 4: not a valid NHS number"),
    "no number": (GOOD.replace("943 476 5870", ""), "may be cut short"),
    "a field too many": (GOOD.replace("letter", "letter,of May"), "more fields"),
    "a quote that never ends": (GOOD.replace("letter", '"letter'), "cannot be read"),
}


@pytest.mark.parametrize(("text", "said"), BROKEN.values(), ids=BROKEN.keys())
def test_a_list_in_doubt_is_refused(tmp_path: Path, text: str, said: str) -> None:
    """By file and line, never with a number."""
    path = _list(tmp_path, text)
    with pytest.raises(PolicyError, match=said) as caught:
        _read(path)
    assert not re.search(r"\d{3} ?\d{3} ?\d{4}", f"{caught.value.message}{caught.value.hint}")


def test_not_text_and_not_there(tmp_path: Path) -> None:
    """Nor is nothing taken for an empty list."""
    path = _list(tmp_path, "")
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(PolicyError, match="cannot be read"):
        _read(path)
    with pytest.raises(PolicyError, match="the list cannot be read"):
        _read(tmp_path / "elsewhere.csv")


@pytest.mark.skipif(os.name != "posix", reason="permissions are POSIX's")
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o620])
def test_a_list_of_people_is_its_owners_alone(tmp_path: Path, mode: int) -> None:
    """Even where others could only write to it."""
    path = _list(tmp_path, GOOD, mode)
    with pytest.raises(PolicyError, match="others than its owner"):
        _read(path)
    assert lists.read(path, OBJECTING, 35, NOW).complete.day == 20


@pytest.fixture
def ics(tmp_path: Path) -> SmallIcs:
    """The small ICS, both of whose people the national list lets in."""
    ics = make_small_ics(tmp_path)
    ics.answer.write_text(f"{ALLOWED},\n{OPTED_OUT},\n")
    return ics


def _add(ics: SmallIcs, section: str, text: str) -> Path:
    path = ics.folder / f"{section}.csv"
    path.write_text(text)
    path.chmod(0o600)
    share = "" if section == "restricted" else "max_share = 1.0\n"
    with ics.configuration.open("a") as file:
        file.write(f'[optouts.{section}]\nlist = "{section}.csv"\n{share}')
    return path


@pytest.mark.parametrize(
    ("section", "header", "reason"),
    [("objections", OBJECTING, "local_objection"), ("sensitive", SENSITIVE, "sensitive")],
)
def test_people_on_a_list_are_out(ics: SmallIcs, section: str, header: tuple[str, ...], reason: str) -> None:
    """All their rows; the account names the list, and the analysts' manifest does not."""
    _add(ics, section, f"{','.join(header)}\n{OPTED_OUT},\nend,1,2026-11-20\n")
    report = ics.run()
    assert report.removed[reason] == 1
    assert report.tables["person"] == 1
    account = (ics.folder / "private" / "runs" / f"{report.run_id}.json").read_text()
    assert f"{section}.csv" in account
    assert report.snapshot is not None
    assert f"{section}.csv" not in (report.snapshot / "manifest.json").read_text()


def test_a_replaced_number_on_a_list_finds_its_person(ics: SmallIcs) -> None:
    """Somebody objected under an old number, and rows come with the new one; and the other way round."""
    pds = ics.add_feed("pds", MERGED_NUMBERS)
    (pds / "merged_20261120.csv").write_text(f"old,new\n9434765870,{OPTED_OUT}\n")
    path = _add(ics, "objections", "objecting_nhs_number,note\n9434765870,\nend,1,2026-11-20\n")
    assert ics.run().removed["local_objection"] == 1
    path.write_text(f"objecting_nhs_number,note\n{OPTED_OUT},\nend,1,2026-11-20\n")
    ics.extract.write_text(ics.extract.read_text().replace(OPTED_OUT, "9434765870"))
    assert ics.run().removed["local_objection"] == 1


def test_a_list_of_those_who_may_be_used_is_not_believed(ics: SmallIcs) -> None:
    """Under the right header it would remove nearly everybody: nothing is published, and the last snapshot stays."""
    before = ics.run().run_id
    _add(ics, "objections", f"objecting_nhs_number,note\n{ALLOWED},\nend,1,2026-11-20\n")
    ics.replace("max_share = 1.0", "max_share = 0.1")
    with pytest.raises(PolicyError, match="more than 10% of all rows are removed as local_objection"):
        ics.run()
    assert ics.current() == before


CODES = [
    ("8H7..", "8H7", True),
    ("B20%", "B20.1", True),
    ("B20%", "B201", True),
    ("B20%", "B2", False),
    ("B20", "B20", True),
    ("B20", "B201", False),
    ("B20.1", "B201", True),
    ("86406008", "86406008", True),
    ("86406008", "864060081", False),
    ("9Nu0.", "9Nu0.00", True),
    ("b20", "B20", False),
]


@pytest.mark.parametrize(("listed", "written", "out"), CODES)
def test_restricted_codes(tmp_path: Path, listed: str, written: str, out: bool) -> None:
    """Dots do not matter, case does, and only % leaves the end open."""
    path = _list(tmp_path, f"restricted_code,note\n{listed},\nend,1,2026-11-20\n")
    found = Restricted.of(lists.read(path, restricted.HEADER, 366, NOW))
    matched = pl.select(restricted.bare(pl.lit(written))).item()
    assert (matched in found.codes or matched.startswith(found.beginnings or ("\n",))) is out


def test_a_row_with_a_restricted_code_goes_with_all_its_deliveries(ics: SmallIcs) -> None:
    """Also where the flow does not take the column that it stands in; other rows of the person stay."""
    text = ics.extract.read_text().replace("2026-05-01,10:00,1,5,1,", "2026-05-01,10:00,1,5,1,", 1)
    ics.extract.write_text(text)
    (ics.folder / "gp.toml").write_text(GP)
    (ics.folder / "gp").mkdir()
    rows = [f"1,{ALLOWED},2026-05-01,B20.1", f"2,{ALLOWED},2026-05-02,J45"]
    (ics.folder / "gp" / "code_20261119.csv").write_text("\n".join(["id,nhs,day,code", rows[0][:-5] + "J45", ""]))
    (ics.folder / "gp" / "code_20261120.csv").write_text("\n".join(["id,nhs,day,code", *rows, ""]))
    with ics.configuration.open("a") as file:
        file.write('[[flows]]\nfeed = "gp.toml"\npath = "gp"\ncolumns = { code = ["day"] }\n')
    path = _add(ics, "restricted", "restricted_code,note\nB20%,\nend,1,2026-11-20\n")
    report = ics.run()
    assert report.tables["gp_code"] == 1
    assert (report.removed["sensitive"], report.removed["withdrawn"]) == (1, 1)
    assert report.tables["sus_op_appointment"] == 5
    path.write_text(path.read_text().replace("2026-11-20", "2025-11-20"))
    with pytest.raises(PolicyError, match="complete 369 days ago"):
        ics.run()


GP = """
name = "gp"
setting = "urgent"
delivered = '_(\\d{8})\\.csv$'
[tables.code]
files = "code_*.csv"
primary_key = "id"
month = "day"
[tables.code.columns]
id = { source = "id", role = "record", namespace = "gp.code", required = true }
nhs_number = { source = "nhs", role = "person" }
day = { source = "day", role = "date" }
code = { source = "code", role = "code" }
"""

OWN = """
from dataclasses import dataclass
import numpy as np
from linkage.optouts.registers import Said
from linkage.reasons import Reason

@dataclass
class Ours:
    base: object
    number: int
    def read(self, now):
        {body}
"""
FAILS = {
    "an error of its own": ("raise ValueError(self.number)", PolicyError, "failed with ValueError"),
    "something else": ("return [self.number]", PolicyError, "does not return Said"),
    "a list": ("return Said(out={Reason.LOCAL_OBJECTION: [self.number]})", PolicyError, "array of 64-bit"),
    "text": ("return Said(out={Reason.LOCAL_OBJECTION: np.array([str(self.number)])})", PolicyError, "array of 64-bit"),
    "another reason": ("return Said(out={Reason.DUPLICATE: np.array([self.number])})", PolicyError, "gives a reason"),
    "may without a reason": ("return Said(may=np.array([self.number]))", PolicyError, "failed with ValueError"),
}


def _own(ics: SmallIcs, body: str, name: str = "Ours") -> None:
    (ics.folder / "ours.py").write_text(OWN.replace("{body}", body))
    with ics.configuration.open("a") as file:
        file.write(f'[[optouts.registers]]\nfile = "ours.py"\nname = "{name}"\nsettings = {{ number = {OPTED_OUT} }}\n')


@pytest.mark.parametrize(("body", "error", "said"), FAILS.values(), ids=FAILS.keys())
def test_whatever_goes_wrong_in_an_own_register_refuses_the_run(
    ics: SmallIcs, body: str, error: type[LinkageError], said: str
) -> None:
    """And nothing that it read is repeated."""
    _own(ics, body)
    with pytest.raises(error, match=said) as caught:
        ics.run()
    assert OPTED_OUT not in f"{caught.value.message}{caught.value.hint}"
    assert caught.value.__cause__ is None
    assert ics.current() is None


def test_an_own_register_that_is_not_there(ics: SmallIcs) -> None:
    """A misspelt class is a configuration that cannot be used."""
    _own(ics, "return Said()", name="Theirs")
    with pytest.raises(ConfigurationError, match="Theirs cannot be made"):
        ics.run()
    (ics.folder / "ours.py").chmod(0o664)
    with pytest.raises(PolicyError, match="others than its owner can change it"):
        ics.run()
    (ics.folder / "ours.py").unlink()
    with pytest.raises(ConfigurationError, match="cannot be read"):
        ics.run()


def test_an_own_register_binds(ics: SmallIcs) -> None:
    """A register of those who may not be used, and one of those who may, in any order and more than once."""
    _own(ics, "return Said(out={Reason.TYPE1_OPT_OUT: np.array([self.number, 5, self.number])})")
    assert ics.run().removed["type1_opt_out"] == 1
    (ics.folder / "ours.py").write_text(
        OWN.replace("{body}", "return Said(may=np.array([self.number, 5]), otherwise=Reason.LOCAL_OBJECTION)")
    )
    assert ics.run().removed["local_objection"] == 5  # the one whom nobody asked about among them


def test_the_howtos_sample_works(ics: SmallIcs) -> None:
    """Word for word, with the configuration beside it."""
    page = (Path(__file__).parents[2] / "docs/how-to/own-register.md").read_text()
    (source,) = samples(page, "python")
    (section,) = samples(page, "toml")
    (ics.folder / "council.py").write_text(source)
    with ics.configuration.open("a") as file:
        file.write(section)
    (ics.folder / "council.txt").write_text(f"2026-11-20\n{OPTED_OUT}\n")
    assert ics.run().removed["local_objection"] == 1
    (ics.folder / "council.txt").write_text(f"{NOW.date() - timedelta(days=15)}\n{OPTED_OUT}\n")
    with pytest.raises(PolicyError, match="older than 14 days"):
        ics.run()


@pytest.mark.skipif(os.name != "posix", reason="written for a POSIX shell")
def test_the_howtos_lists_work(ics: SmallIcs) -> None:
    """Word for word, as its commands make them."""
    page = (Path(__file__).parents[2] / "docs/how-to/opt-out-lists.md").read_text()
    run(samples(page, "sh"), ics.folder)
    (section,) = samples(page, "toml")
    with ics.configuration.open("a") as file:
        file.write(section.replace('list = "objections.csv"', 'list = "objections.csv"\nmax_share = 1.0'))
    report = ics.run()
    assert report.removed["local_objection"] == 4
    assert report.tables["sus_op_appointment"] == 1


def test_the_purpose_says_which_lists_and_registers_bind(ics: SmallIcs) -> None:
    """An information-governance lead reads it without looking into the file."""
    _add(ics, "objections", "objecting_nhs_number,note\nend,0,2026-11-20\n")
    _add(ics, "restricted", "restricted_code,note\nend,0,2026-11-20\n")
    _own(ics, "return Said()")
    with ics.configuration.open("a") as file:
        file.write('[[optouts.exemptions]]\noptout = "practices_moved"\nreference = "EX-2"\n')
    page = "\n".join(purposes.page(config.load(ics.configuration), NOW.date()))
    for line in (
        "objections: binds: removes everything of the people on the list objections.csv",
        "restricted: binds: removes records with a code on the list restricted.csv",
        "Ours: binds: removes everything of the people whom ours.py names",
        "of people who moved to one, records from before are LIFTED by an exemption",
        "from practices_moved, by EX-2, without an end",
    ):
        assert line in page
