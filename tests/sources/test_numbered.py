"""Numbered columns of contracts, written out, against a plain referee."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkage.contract import Feed, parse
from linkage.errors import ConfigurationError
from linkage.numbered import written_out

WIDE = """
name = "wide"
setting = "acute"
[tables.t]
files = "*"
primary_key = "key"
month = "day"
event = { kind = "episode", record = "key", start = "day", codes = [{ system = "icd10", column = ["main", "other_{2..4}"] }] }
[tables.t.columns]
key = { source = "K", role = "record", namespace = "wide.key", required = true }
day = { source = "D", role = "date" }
main = { source = "DIAG_01", role = "code" }
"other_{2..4}" = { source = ["DIAG_{02..04}", "Diagnosis {2..4}"], role = "code", description = "of {1..3}", sentinels = "-" }
"""


def test_a_numbered_column_is_as_many_columns() -> None:
    """Names, sources, aliases and descriptions count together; leading zeros stay; order too."""
    table = _parsed(WIDE).tables["t"]
    assert list(table.columns) == ["key", "day", "main", "other_2", "other_3", "other_4"]
    assert table.columns["other_3"].source == ("DIAG_03", "Diagnosis 3")
    assert table.columns["other_4"].description == "of 3"
    assert table.columns["other_2"].sentinels == ("-",)
    assert table.event is not None
    assert table.event.codes[0].column == ("main", "other_2", "other_3", "other_4")


def test_a_local_contract_changes_one_of_them_or_all(tmp_path: Path) -> None:
    """They are written out before the two are merged."""
    (tmp_path / "wide.toml").write_text(WIDE.replace('"main", "other_{2..4}"', '"main"'))
    changes = '\n[tables.t.columns]\nother_3 = { source = "Second" }\n"other_{2..2}" = false\n'
    table = parse(f'extends = "wide.toml"{changes}', "own.toml", tmp_path).tables["t"]
    assert list(table.columns) == ["key", "day", "main", "other_3", "other_4"]
    assert table.columns["other_3"].source == ("Second",)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("{02..04}", "{02..05}", "does not count as far"),
        ('"other_{2..4}" =', '"other_{4..2}" =', "not a range that counts up"),
        ('"other_{2..4}" =', '"other_{1..9999}" =', "999 at most"),
        ("main = {", "other_2 = {", "'other_2' is there twice"),
    ],
)
def test_ranges_that_make_no_sense_are_refused(old: str, new: str, said: str) -> None:
    """With the file's name and what to do."""
    with pytest.raises(ConfigurationError, match=said) as caught:
        _parsed(WIDE.replace(old, new, 1))
    assert caught.value.message.startswith("wide.toml: ")
    assert caught.value.hint


@given(first=st.integers(0, 120), more=st.integers(0, 30), zeros=st.integers(0, 3), word=st.from_regex(r"[a-z]{1,5}\Z"))
def test_it_counts_as_the_referee_does(first: int, more: int, zeros: int, word: str) -> None:
    """Written by hand, one after the other."""
    start = "0" * zeros + str(first)
    expected = [f"{number:0{len(start)}d}" for number in range(first, first + more + 1)]
    named = f"{word}_{{{start}..{first + more}}}"
    found = written_out({named: {"source": f"X {{{start}..{first + more}}}", "n": 7}, "list": [named, {"a": [named]}]})
    names = [f"{word}_{each}" for each in expected]
    assert list(found) == [*names, "list"]
    assert [found[name] for name in names] == [{"source": f"X {each}", "n": 7} for each in expected]
    assert found["list"] == [*names, {"a": names}]


@given(st.text(alphabet="ab{}.,0123456789", max_size=12).filter(lambda text: ".." not in text))
def test_other_braces_stay(text: str) -> None:
    """Patterns of file names and of dates have braces of their own."""
    assert written_out({"files": text, "list": [text], "k": {text: text}}) == {
        "files": text,
        "list": [text],
        "k": {text: text},
    }


def _parsed(text: str) -> Feed:
    return parse(text, "wide.toml")
