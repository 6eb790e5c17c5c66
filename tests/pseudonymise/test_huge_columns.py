"""Columns of more than 2^31 bytes, which 32-bit offsets cannot reach; most of their bytes are never touched."""

from __future__ import annotations

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from linkage.errors import ConfigurationError, InputError
from linkage.nhs_number import NumberReason
from linkage.pseudonymise import Pseudonymiser, kernel, token
from linkage.pseudonymise.kernel import CompiledKernel, compiled_paths
from linkage.pseudonymise.reverser import Reverser

ROOT = bytes(range(32))
KEYS = token.derive(ROOT, "ics:demo")
NUMBER, OTHER = "9434765919", "4000000632"
TOKEN, OTHER_TOKEN = token.person_token(KEYS, NUMBER), token.person_token(KEYS, OTHER)
MALFORMED = 1 + list(NumberReason).index(NumberReason.MALFORMED)
MISSING = 1 + list(NumberReason).index(NumberReason.MISSING)
compiled = pytest.mark.skipif(not compiled_paths(), reason="the kernel is not compiled here")
every_path = pytest.mark.parametrize("path", range(len(compiled_paths())))

FAR = 2**31 + 100


def _far_column(kind: pa.DataType, width: type) -> pa.Array:
    """A number at either end of a buffer that is never written between: pages that nobody touches take no memory."""
    data = np.zeros(FAR + 26, dtype=np.uint8)
    data[:10] = np.frombuffer(NUMBER.encode(), dtype=np.uint8)
    data[FAR:] = np.frombuffer(f"{OTHER}   {NUMBER}   ".encode(), dtype=np.uint8)
    ends = np.array([0, 10, FAR, FAR + 10, FAR + 10, FAR + 26], dtype=width)
    return pa.Array.from_buffers(kind, 5, [pa.py_buffer(b"\x17"), pa.py_buffer(ends), pa.py_buffer(data)])


@compiled
@every_path
def test_text_beyond_2_to_the_31_bytes(path: int) -> None:
    """One row of which is itself longer than that."""
    made, codes = CompiledKernel(KEYS, path).tokenise(_far_column(pa.large_string(), np.int64), allow_test=True)
    assert made.to_pylist() == [TOKEN, None, OTHER_TOKEN, None, TOKEN]
    assert codes.tolist() == [0, MALFORMED, 0, MISSING, 0]


@compiled
def test_huge_columns_by_the_front_door() -> None:
    """One large array; chunks of ordinary text that are longer together; and as Polars keeps it."""
    made, far = Pseudonymiser.from_root(ROOT, "ics:demo"), _far_column(pa.large_string(), np.int64)
    tokens, reasons = made.tokenise(far)
    assert [each and each.bytes for each in tokens.to_pylist()] == [TOKEN, None, OTHER_TOKEN, None, TOKEN]
    assert reasons.to_pylist() == [None, "number_malformed", None, "number_missing", None]
    blank = pa.Array.from_buffers(
        pa.string(), 1, [None, pa.py_buffer(np.array([0, 2**30], np.int32)), pa.py_buffer(np.zeros(2**30, np.uint8))]
    )
    chunked = pa.chunked_array([pa.array([NUMBER]), blank, blank, blank, pa.array([None, OTHER])])
    tokens, reasons = made.tokenise(chunked)
    assert [each and each.bytes for each in tokens.to_pylist()] == [TOKEN, None, None, None, None, OTHER_TOKEN]
    assert reasons.to_pylist() == [None, *["number_malformed"] * 3, "number_missing", None]
    many = pl.concat([pl.Series("n", chunk, dtype=pl.String) for chunk in chunked.chunks])
    assert made.tokenise(many)[0].to_list() == [TOKEN, None, None, None, None, OTHER_TOKEN]


@compiled
@every_path
def test_identifiers_beyond_2_to_the_31_bytes(path: int) -> None:
    """Record tokens of binary values there."""
    far = _far_column(pa.large_binary(), np.int64).slice(2)
    found = CompiledKernel(KEYS, path).record(b"a\0", far).to_pylist()
    assert found == [token.record_token(KEYS, "a", OTHER), None, token.record_token(KEYS, "a", f"   {NUMBER}   ")]


def test_a_value_beyond_2_to_the_31_bytes_without_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of ours, for Polars would end the program; shorter values are read, wherever they lie."""
    monkeypatch.setattr(kernel, "_kernel", None)
    made, far = Pseudonymiser.from_root(ROOT, "ics:demo"), _far_column(pa.large_string(), np.int64)
    with pytest.raises(InputError, match="bytes or more"):
        made.tokenise(far)
    assert [each and each.bytes for each in made.tokenise(far.slice(2))[0].to_pylist()] == [OTHER_TOKEN, None, TOKEN]


def test_numbers_that_no_arrow_string_array_holds_are_an_error() -> None:
    """Before any work is done; in parts, or in Polars, they can be had."""
    part = pa.array([TOKEN] * 100_000, pa.binary(16))
    with pytest.raises(ConfigurationError, match="220,000,000") as caught:
        Reverser._from_subkeys([KEYS]).reverse(pa.chunked_array([part] * 2200))
    assert "in parts" in caught.value.hint
