"""From one domain to another: the published values, both kernels, several key versions, and what is refused."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from uuid import UUID

import polars as pl
import pytest

from linkage.errors import ConfigurationError
from linkage.pseudonymise import Pseudonymiser
from linkage.pseudonymise.reverser import KeyHolderKeyset
from linkage.pseudonymise.translator import Translator

ROOT, OLD = bytes(range(32)), b"\1" * 32
NUMBERS = pl.Series("t", ["9434765919", None, "0101011113", "3462950622"])
Opener = Callable[..., KeyHolderKeyset]


def _tokens(root: bytes, domain: str) -> pl.Series:
    return Pseudonymiser.from_root(root, domain).tokenise(NUMBERS)[0]


@pytest.mark.usefixtures("either")
def test_the_result_is_what_the_target_makes_itself(opened: Opener) -> None:
    """From the primary version and from an older active one, in one column."""
    translator = Translator.open(opened((ROOT, "primary"), (OLD, "active")), "site:rxx", "ics:demo")
    mixed = pl.concat([_tokens(ROOT, "site:rxx"), _tokens(OLD, "site:rxx")])
    tokens, reasons = translator.person(mixed)
    expected = _tokens(ROOT, "ics:demo").to_list()
    assert tokens.to_list() == expected * 2
    assert reasons.to_list() == [None, "refused", None, None] * 2
    assert (tokens.dtype, tokens.name, reasons.dtype) == (pl.Binary(), "t", pl.Enum(["refused"]))


@pytest.mark.usefixtures("either")
def test_what_was_not_made_there_is_refused(opened: Opener) -> None:
    """Tokens of another domain or key, of other lengths, damaged ones."""
    translator = Translator.open(opened((ROOT, "primary")), "site:rxx", "ics:demo")
    good = _tokens(ROOT, "site:rxx")[0]
    damaged = bytes([good[0] ^ 1]) + good[1:]
    wrong = [*_tokens(ROOT, "ics:demo"), *_tokens(OLD, "site:rxx"), damaged, good[:15], good + b"\0", b"", bytes(16)]
    tokens, reasons = translator.person(pl.Series(wrong, dtype=pl.Binary))
    assert tokens.null_count() == len(wrong)
    assert set(reasons) == {"refused"}


@pytest.mark.usefixtures("either")
def test_record_tokens_have_the_published_value(opened: Opener) -> None:
    """And what has not the form of a token is refused."""
    record = UUID("8cf15a01-559b-8cb9-ba08-420b14f037fe").bytes
    translator = Translator.open(opened((ROOT, "primary")), "site:rxx", "ics:demo")
    tokens, reasons = translator.record(pl.Series([record, bytes(16), record[:15], None], dtype=pl.Binary))
    assert tokens.to_list() == [UUID("444e1ab6-8a5f-82ce-843a-0335484a2293").bytes, None, None, None]
    assert reasons.to_list() == [None, "refused", "refused", "refused"]


@pytest.mark.usefixtures("either")
def test_nothing_and_very_little(opened: Opener) -> None:
    """Empty columns and columns of nulls."""
    translator = Translator.open(opened((ROOT, "primary")), "site:rxx", "ics:demo")
    assert translator.person(pl.Series([], dtype=pl.Binary))[0].len() == 0
    assert translator.person(pl.Series([None, None]))[1].to_list() == ["refused"] * 2


def test_it_shows_and_gives_away_no_key(opened: Opener) -> None:
    """A handle like the others."""
    translator = Translator.open(opened((ROOT, "primary")), "site:rxx", "ics:demo")
    assert repr(translator) == "<Translator from=site:rxx to=ics:demo>"
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(translator)
    with pytest.raises(TypeError, match=r"Translator\.open"):
        Translator()
    with pytest.raises(ConfigurationError):
        translator.person(pl.Series(["text"]))
    with pytest.raises(ConfigurationError):
        Translator.open(opened((ROOT, "primary")), "Site RXX", "ics:demo")
