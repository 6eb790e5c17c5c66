"""The way back: who can import it, and what it refuses."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from uuid import UUID

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from linkage.errors import ConfigurationError, InputError
from linkage.pseudonymise import Keyset, Pseudonymiser
from linkage.pseudonymise.reverser import KeyHolderKeyset, Reverser

ROOT, OLD, OFF, GONE = bytes(range(32)), b"\1" * 32, b"\2" * 32, b"\3" * 32
NUMBERS = ["9434765919", "0101011113", "4000000632"]
Opener = Callable[..., KeyHolderKeyset]


def tokens_of(root: bytes, domain: str = "ics:demo") -> pl.Series:
    """The tokens of NUMBERS."""
    return Pseudonymiser.from_root(root, domain).tokenise(pl.Series("t", NUMBERS))[0]


def test_making_tokens_does_not_import_the_way_back() -> None:
    """In a fresh interpreter, `import linkage` and its tokens leave the module unloaded."""
    program = (
        "import sys, linkage, linkage.pseudonymise\n"
        "sys.exit('linkage.pseudonymise.reverser' in sys.modules or "
        "hasattr(linkage.pseudonymise.Keyset, 'reverser'))"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.usefixtures("either")
def test_polars_there_and_back(opened: Opener) -> None:
    """Leading zeros included, as text of ten digits."""
    numbers, reasons = opened((ROOT, "primary")).reverser("ics:demo").reverse(tokens_of(ROOT))
    assert numbers.to_list() == NUMBERS
    assert reasons.to_list() == [None] * 3
    assert (numbers.dtype, numbers.name, reasons.dtype) == (pl.String(), "t", pl.Enum(["refused"]))


@pytest.mark.usefixtures("either")
def test_arrow_there_and_back(opened: Opener) -> None:
    """`arrow.uuid`, its storage and plain binary; sliced, chunked and empty."""
    reverser = opened((ROOT, "primary")).reverser("ics:demo")
    made = Pseudonymiser.from_root(ROOT, "ics:demo").tokenise(pa.array([None, *NUMBERS]))[0]
    forms = [made, made.storage, made.storage.cast(pa.binary()), made.storage.cast(pa.large_binary())]
    chunked = pa.chunked_array([made.slice(0, 2), made.slice(2)])
    for column in [*forms, chunked, pa.chunked_array([made.storage])]:
        numbers, reasons = reverser.reverse(column)
        assert (numbers.type, reasons.type) == (pa.string(), pa.dictionary(pa.int8(), pa.string()))
        assert numbers.to_pylist() == [None, *NUMBERS]
        assert reasons.to_pylist() == ["refused", None, None, None]
    assert reverser.reverse(made.slice(2))[0].to_pylist() == NUMBERS[1:]
    assert len(reverser.reverse(pa.chunked_array([], pa.uuid()))[0]) == 0


@pytest.mark.usefixtures("either")
def test_whatever_is_wrong_is_only_refused(opened: Opener) -> None:
    """Null, short, noise, one bit changed, another domain: the same single reason."""
    good = tokens_of(ROOT)[0]
    bad = [None, b"", b"\0" * 16, good[:-1], good + b"\0", good[:-1] + bytes([good[-1] ^ 1])]
    column = pl.Series([good, *bad, tokens_of(ROOT, "site:rxx")[0]], dtype=pl.Binary)
    numbers, reasons = opened((ROOT, "primary")).reverser("ics:demo").reverse(column)
    assert numbers.to_list() == [NUMBERS[0]] + [None] * 7
    assert reasons.to_list() == [None] + ["refused"] * 7


@pytest.mark.usefixtures("either")
def test_primary_and_active_versions_are_tried(opened: Opener) -> None:
    """A rotated key still reads; a disabled, destroyed or unknown one does not."""
    keyset = opened((OLD, "active"), (ROOT, "primary"), (OFF, "disabled"), (GONE, "destroyed"))
    reverser = keyset.reverser("ics:demo")
    assert keyset.pseudonymiser("ics:demo").tokenise(pl.Series(NUMBERS))[0].equals(tokens_of(ROOT))
    for root in (ROOT, OLD):
        assert reverser.reverse(tokens_of(root))[0].to_list() == NUMBERS
    for root in (OFF, GONE, b"\4" * 32):
        assert reverser.reverse(tokens_of(root))[1].to_list() == ["refused"] * 3


def test_other_columns_are_a_configuration_error(opened: Opener) -> None:
    """Text is not a token."""
    reverser = opened((ROOT, "primary")).reverser("ics:demo")
    text = str(UUID(bytes=tokens_of(ROOT)[0]))
    for column in (pl.Series([text]), pa.array([text]), pa.array([1]), [text]):
        with pytest.raises(ConfigurationError) as caught:
            reverser.reverse(column)
        assert caught.value.hint
        assert text not in str(caught.value)


def test_only_a_key_holder_gets_a_reverser(opened: Opener) -> None:
    """Neither by building one nor from an ordinary keyset; a wrong domain is refused."""
    with pytest.raises(TypeError, match="KeyHolderKeyset"):
        Reverser()
    keyset = opened((ROOT, "primary"))
    assert isinstance(keyset, Keyset)
    assert not hasattr(Keyset, "reverser")
    assert repr(keyset.reverser("ics:demo")) == "<Reverser domain=ics:demo versions=1>"
    with pytest.raises(ConfigurationError):
        keyset.reverser("ICS")


def test_arrow_buffers_that_contradict_each_other_are_refused(opened: Opener) -> None:
    """As in the tokeniser."""
    index = pa.py_buffer(np.array([0, 10**6, 16], dtype=np.int32))
    column = pa.Array.from_buffers(pa.binary(), 2, [None, index, pa.py_buffer(bytes(16))])
    with pytest.raises(InputError, match="contradict"):
        opened((ROOT, "primary")).reverser("ics:demo").reverse(column)
