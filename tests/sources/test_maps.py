"""Words to codes: what a column's `map` makes of what councils and suppliers write."""

from __future__ import annotations

import re
import string

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from linkage.contract import Column, Feed, parse
from linkage.errors import ConfigurationError
from linkage.sources import clean

CONTRACT = """
name = "words"
setting = "social_care"
[tables.t]
files = "t"
primary_key = "k"
[tables.t.columns]
k = { source = "k", role = "record", namespace = "words.k" }
sex = { source = "sex", role = "category", sentinels = "-", map = { "Male" = "1", "Female" = "2", "Not  known" = "0", "Other" = "" } }
"""
FEED = parse(CONTRACT, "words.toml")

# What is written, the code it becomes, and whether it counts as unknown.
WORDS = [
    ("Male", "1", False),
    ("  mALE ", "1", False),
    ("FEMALE", "2", False),
    ("1", "1", False),
    ("2", "2", False),
    ("not known", "0", False),
    ("Not \t known", "0", False),
    ("Other", None, False),
    ("", None, False),
    (None, None, False),
    ("-", None, False),
    ("Males", None, True),
    ("3", None, True),
    ("9434765919", None, True),
]


def _cleaned(values: list[str | None], feed: Feed = FEED) -> pl.DataFrame:
    frame = pl.LazyFrame({"k": ["x"] * len(values), "sex": values}, schema={"k": pl.String, "sex": pl.String})
    return clean.clean(frame, feed, feed.tables["t"], {}).collect()


@pytest.mark.parametrize(("written", "code", "unknown"), WORDS)
def test_a_word_becomes_its_code(written: str | None, code: str | None, unknown: bool) -> None:
    """A code stays, a word without a code is empty, and only what is not listed is counted."""
    row = _cleaned([written]).row(0, named=True)
    assert (row["sex"], row["sex?invalid"]) == (code, unknown)


@given(st.lists(st.one_of(st.none(), st.sampled_from([w for w, _, _ in WORDS if w]), st.text(max_size=8))))
@example(["\x1f", "\x1cmale", "fe\x0bmale"])
def test_the_same_as_a_dictionary(written: list[str | None]) -> None:
    """A plain look-up, one value after the other."""
    codes = {"male": "1", "female": "2", "not known": "0", "other": "", "1": "1", "2": "2", "0": "0"}
    for value, row in zip(written, _cleaned(written).iter_rows(named=True), strict=True):
        # Python takes ASCII's separators of files and records for blanks as well.
        text = (value or "").strip(string.whitespace)
        plain = " ".join(re.split(f"[{string.whitespace}]+", text.lower()))
        if text in ("", "-"):
            expected: tuple[str | None, bool] = (None, False)
        elif text.isascii():
            expected = (codes.get(plain) or None, plain not in codes)
        else:
            continue  # the two ideas of what is a blank beyond ASCII differ
        assert (row["sex"], row["sex?invalid"]) == expected


def test_unknown_words_are_counted() -> None:
    """They are among the columns that the quality gate looks at."""
    assert "sex" in clean.counted(FEED.tables["t"])


@pytest.mark.parametrize("extra", ['codes = ["1"]', 'type = "integer"'])
def test_a_map_stands_alone(extra: str) -> None:
    """With codes beside it nobody could say which of the two decides."""
    with pytest.raises(ConfigurationError, match="map"):
        parse(CONTRACT.replace('sentinels = "-"', extra), "words.toml")


def test_a_map_is_for_text_columns() -> None:
    """A column without one has none."""
    assert Column.model_validate({"source": "a", "role": "category"}).map == {}
