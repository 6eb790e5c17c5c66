"""Text stays text, whatever is in it."""

from __future__ import annotations

import unicodedata
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkage.report.markup import Html, joined, plain, tag
from linkage.report.numbers import count, percent, share, width

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "]]><!--",
    "&lt;script&gt;",
    "javascript:alert(1)",
    "</style><style>*{display:none}",
)


@given(st.text(), st.text())
def test_any_text_is_read_back_as_it_was(inside: str, value: str) -> None:
    """As text and as an attribute, with what XML cannot hold replaced, and no element more than was made."""
    root = ElementTree.fromstring(tag("p", inside, class_=value))  # noqa: S314 our own markup
    assert len(root) == 0
    assert set(root.attrib) == {"class"}
    assert (root.text or "") == "".join(letter if _fits(letter) else "\N{REPLACEMENT CHARACTER}" for letter in inside)


def _fits(letter: str) -> bool:
    """Whether XML 1.0 has a place for a letter that turns nothing round."""
    if unicodedata.bidirectional(letter) in ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"):
        return False
    marks = letter in "\u200e\u200f\u061c" or letter in "\ufffe\uffff"
    return letter in "\t\n" or not (marks or unicodedata.category(letter) in ("Cc", "Cs"))


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text(text: str) -> None:
    """Nothing of it can begin an element, end one, or leave an attribute."""
    made = tag("p", text, title=text)
    assert made.count("<") == 2
    assert made.count('"') == 2
    assert ElementTree.fromstring(made).text == text  # noqa: S314 our own markup


@pytest.mark.parametrize("letter", ["\x00", "\x08", "\x1b", "\u202e", "\u2066", "\ufffe", "\ud800", "\x85", "\x7f"])
def test_letters_that_mislead_or_break_are_replaced(letter: str) -> None:
    """Those that turn the order of what follows are as unwelcome as those that no parser takes."""
    assert plain(f"a{letter}b") == "a\N{REPLACEMENT CHARACTER}b"


def test_markup_is_not_escaped_twice_and_text_always_once() -> None:
    assert joined(["a<b", Html("<br/>"), 3, None]) == "a&lt;b<br/>3"
    assert tag("rect", x=1, rx=None, aria_hidden="true") == '<rect x="1" aria-hidden="true"/>'
    assert tag("p", tag("b", "<")) == "<p><b>&lt;</b></p>"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, '<span class="withheld">withheld</span>'),
        (0.0, "0.0%"),
        (0.0001, "&lt;0.1%"),
        (0.0005, "0.1%"),
        (0.123, "12.3%"),
        (0.9994, "99.9%"),
        (0.9999, "&gt;99.9%"),
        (1.0, "100.0%"),
    ],
)
def test_a_share_is_never_rounded_to_none_or_all(value: float | None, shown: str) -> None:
    assert percent(value) == shown


def test_counts_and_lengths() -> None:
    assert count(1234567) == "1,234,567"
    assert count(None) == '<span class="withheld">withheld</span>'
    assert [share(5, 0), share(None, 5), share(5, None), share(3, 2), share(1, 4)] == [None, None, None, 1.0, 0.25]
    assert [width(each) for each in (0.0, 1 / 3, 1.0, 2.0, -1.0)] == ["0%", "33.33%", "100%", "100%", "0%"]
