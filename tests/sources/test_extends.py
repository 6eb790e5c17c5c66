"""A local contract in a few lines: what it adds, changes and removes, and what is said when it is wrong."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from linkage.cli import app
from linkage.contract import Feed, load, parse
from linkage.errors import ConfigurationError
from linkage.extend import Place, _merged
from pages import samples

PAGE = Path(__file__).parent.parent.parent / "docs" / "reference" / "contracts.md"
PARENT = load("sus_op")
TABLE = PARENT.tables["appointment"]


def extended(changes: str, name: str = "local.toml") -> Feed:
    """A contract that extends outpatients."""
    return parse(f'extends = "sus_op"\n{changes}', name)


def test_nothing_more_is_the_same_contract_under_another_digest() -> None:
    """The digest says which file was used, also where nothing is changed."""
    feed = extended("")
    assert feed == PARENT.model_copy(update={"extends": "sus_op", "digest": feed.digest})
    assert feed.digest != PARENT.digest


def test_the_digest_covers_what_is_extended(tmp_path: Path) -> None:
    """The same few lines over another parent are another contract."""
    (tmp_path / "grandchild.toml").write_text('extends = "child.toml"\n')
    digests = set()
    for title in ("A", "B"):
        (tmp_path / "child.toml").write_text(f'extends = "sus_op"\ntitle = "{title}"\n')
        feed = load("grandchild.toml", tmp_path)
        assert feed.title == title
        digests.add(feed.digest)
    assert len(digests) == 2


def test_a_contract_of_a_few_lines_says_much() -> None:
    """One of each: a name, a table's files, an alias, codes, a sentinel, a column more and a column less."""
    feed = extended(
        """
        name = "our_outpatients"
        sentinels = { add = "1700-01-01", remove = "9999-12-31" }
        delimiter = "|"
        [tables.appointment]
        files = "op_{north,south}_*.txt"
        encoding = "windows-1252"
        [tables.appointment.columns]
        outcome = { source = { add = ["OUTCOME CODE"] }, codes = ["1", "2"] }
        sex = { codes = { add = "3" } }
        clinic = { source = "Clinic", role = "code", description = "the clinic" }
        postcode = false
        """
    )
    table = feed.tables["appointment"]
    assert (feed.name, feed.title, feed.delimiter) == ("our_outpatients", PARENT.title, "|")
    assert set(feed.sentinels) == set(PARENT.sentinels) - {"9999-12-31"} | {"1700-01-01"}
    assert table.files == ("op_{north,south}_*.txt",)
    assert feed.layout(table).encoding == "windows-1252"
    assert table.columns["outcome"].source == (*TABLE.columns["outcome"].source, "OUTCOME CODE")
    assert table.columns["outcome"].role == TABLE.columns["outcome"].role
    assert table.columns["outcome"].codes == ("1", "2")
    assert table.columns["sex"].codes == (*TABLE.columns["sex"].codes, "3")
    assert list(table.columns) == [name for name in TABLE.columns if name != "postcode"] + ["clinic"]
    assert table.event == TABLE.event


def test_a_table_and_a_part_can_go_and_come() -> None:
    """And a part is merged, not replaced."""
    gone = ["episode", "diagnosis", "snomed_diagnosis", "read_diagnosis", "procedure", "snomed_procedure"]
    tables = "".join(f"{name} = false\n" for name in gone)
    feed = parse(f'extends = "sus_apc"\n[tables]\n{tables}', "local.toml")
    assert list(feed.tables) == ["spell", "deletion"]
    without = extended("[tables.appointment]\nevent = false\n").tables["appointment"]
    assert without.event is None
    assert without.columns == TABLE.columns
    changed = extended('[tables.appointment.event]\nkind = "visit"\n').tables["appointment"].event
    assert changed == TABLE.event.model_copy(update={"kind": "visit"}) if TABLE.event else None
    more = extended(
        """
        [tables.clinic]
        files = "clinic.csv"
        kind = "lookup"
        key = "clinic"
        [tables.clinic.columns]
        clinic = { source = "Clinic", role = "code" }
        """
    )
    assert list(more.tables) == [*PARENT.tables, "clinic"]


def test_a_switch_is_set_and_not_removed() -> None:
    """False is also a value."""
    table = extended(
        "[tables.appointment]\noptional = false\nroster = false\n"
        "[tables.appointment.columns]\ndate = { required = false }\n".replace("date", next(iter(TABLE.required)))
    ).tables["appointment"]
    assert not table.optional
    assert not table.columns[TABLE.required[0]].required


@pytest.mark.parametrize(
    ("changes", "said", "hint"),
    [
        ("title = ", "not a TOML file", "line"),
        ("colour = 1", "colour", ""),
        ("[tables.appointmnet]\nmonth = 'x'", "tables.appointmnet: sus_op has no such table", "'appointment'"),
        ("[tables.appointment.columns]\noutcom = { codes = ['1'] }", "sus_op has no such column", "'outcome'"),
        ("[tables.appointment.columns]\noutcom = false", "sus_op has none to remove", "'outcome'"),
        ("[tables]\nappointmnet = false", "sus_op has none to remove", "'appointment'"),
        ("sentinels = { remove = '1900-01-02' }", "sus_op has no '1900-01-02' to remove", "'1900-01-01'"),
        ("[tables.appointment.columns]\noutcome = { role = 'outcome' }", "tables.appointment.columns.outcome.role", ""),
        ("[tables.appointment.columns]\n" + str(TABLE.primary_key[0]) + " = false", "is named but is not one", ""),
    ],
)
def test_what_is_wrong_is_said_of_the_local_file(changes: str, said: str, hint: str) -> None:
    """Which is the one to correct."""
    with pytest.raises(ConfigurationError) as refused:
        extended(changes, "feeds/local.toml")
    assert refused.value.message.startswith("feeds/local.toml: ")
    assert said in refused.value.message
    assert hint in refused.value.hint


def test_what_is_wrong_in_an_extended_file_is_said_of_that_one(tmp_path: Path) -> None:
    """However long the chain is."""
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "base.toml").write_text('extends = "sus_op"\ncolour = "red"\n')
    (tmp_path / "deep" / "middle.toml").write_text('extends = "base.toml"\n')
    (tmp_path / "top.toml").write_text('extends = "deep/middle.toml"\n')
    with pytest.raises(ConfigurationError) as refused:
        load("top.toml", tmp_path)
    assert refused.value.message.startswith(f"{tmp_path / 'deep' / 'base.toml'}: colour: ")


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"a.toml": 'extends = "a.toml"'}, "a.toml: extends itself"),
        ({"a.toml": 'extends = "b.toml"', "b.toml": 'extends = "a.toml"'}, "b.toml: extends itself"),
        ({"a.toml": 'extends = "nowhere"'}, "no feed is called 'nowhere'"),
        ({"a.toml": 'extends = "nowhere.toml"'}, "nowhere.toml: cannot be read"),
        ({"a.toml": 'extends = ["sus_op", "sus_apc"]'}, "extends: the name of one contract"),
    ],
)
def test_what_cannot_be_extended_is_refused(files: dict[str, str], said: str, tmp_path: Path) -> None:
    """Before anything is merged."""
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    with pytest.raises(ConfigurationError, match=re.escape(said)):
        load("a.toml", tmp_path)


def test_the_pages_sample_can_be_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the command that shows any contract."""
    (sample,) = [each for each in samples(PAGE.read_text(), "toml") if 'extends = "sus_apc"' in each]
    monkeypatch.chdir(tmp_path)
    Path("our_spells.toml").write_text(sample)
    shown = CliRunner().invoke(app, ["feeds", "show", "our_spells.toml"], catch_exceptions=False)
    assert shown.exit_code == 0
    assert shown.stdout.splitlines()[1].endswith("extends sus_apc")
    assert re.search(r"^ward +code ", shown.stdout, re.MULTILINE)
    assert not re.search(r"^postcode ", shown.stdout, re.MULTILINE)


NAMES = st.sampled_from("abcd")
VALUES: st.SearchStrategy[Any] = st.one_of(st.integers(0, 3), st.text("xy", max_size=2), st.lists(st.integers(0, 3)))


@given(old=st.dictionaries(NAMES, VALUES), new=st.dictionaries(NAMES, VALUES))
def test_plain_values_merge_as_dictionaries_do(old: dict[str, Any], new: dict[str, Any]) -> None:
    """And neither of the two is changed."""
    before = (repr(old), repr(new))
    assert _merged(old, new, Place("new", "old")) == {**old, **new}
    assert list(_merged(old, new, Place("new", "old"))) == list({**old, **new})
    assert (repr(old), repr(new)) == before
