"""Every way a column can come, through both kernels on every path: layouts, slices, sizes, and what is damaged.

The oracle of the samples is the format's description over `hashlib` alone, written again here.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkage import nhs_number
from linkage.errors import InputError
from linkage.nhs_number import NumberReason
from linkage.pseudonymise import Pseudonymiser, kernel, token
from linkage.pseudonymise.kernel import CompiledKernel, Kernel, arrow_column, compiled_paths
from linkage.pseudonymise.plain import PlainKernel
from linkage.pseudonymise.reverser import Reverser

ROOT = bytes(range(32))
KEYS = token.derive(ROOT, "ics:demo")
KERNELS: dict[str, Callable[[], Kernel]] = {"plain": lambda: PlainKernel(KEYS)} | {
    name: lambda path=path: CompiledKernel(KEYS, path)  # type: ignore[misc]
    for path, name in enumerate(compiled_paths())
}
compiled = pytest.mark.skipif(not compiled_paths(), reason="the kernel is not compiled here")
every_kernel = pytest.mark.parametrize("name", KERNELS)
every_path = pytest.mark.parametrize("path", range(len(compiled_paths())))
TEXT_KINDS = [pa.string(), pa.large_string(), pa.string_view()]
BINARY_KINDS = [pa.binary(), pa.large_binary(), pa.binary_view()]
NUMBER, OTHER = "9434765919", "4000000632"
TOKEN, OTHER_TOKEN = token.person_token(KEYS, NUMBER), token.person_token(KEYS, OTHER)
MALFORMED = 1 + list(NumberReason).index(NumberReason.MALFORMED)
MISSING = 1 + list(NumberReason).index(NumberReason.MISSING)


def _tokenise(name: str, column: pa.Array) -> tuple[list[bytes | None], list[int]]:
    tokens, codes = KERNELS[name]().tokenise(column, allow_test=True)
    tokens.validate(full=True)
    return tokens.to_pylist(), codes.tolist()


# ---- against hashlib alone ----


def _hmac(key: bytes, message: bytes) -> bytes:
    inner = hashlib.sha256(bytes(b ^ 0x36 for b in key.ljust(64, b"\0")) + message).digest()
    return hashlib.sha256(bytes(b ^ 0x5C for b in key.ljust(64, b"\0")) + inner).digest()


def _subkey(label: str) -> bytes:
    return _hmac(_hmac(b"linkage", ROOT), f"linkage/v1/{label}/ics:demo\x01".encode())


def _by_hand(digits: str) -> bytes:
    t = _hmac(_subkey("person-mac"), digits.encode())
    hi = t[:6] + bytes([0x80 | t[6] & 0x0F]) + t[7:8]
    k = int.from_bytes(_hmac(_subkey("person-enc"), hi + t[8:12])[:4], "big") >> 2
    lo = 1 << 63 | int.from_bytes(t[8:12], "big") << 30 | (k ^ int(digits) // 10)
    return hi + lo.to_bytes(8, "big")


def _record_by_hand(message: bytes) -> bytes:
    t = _hmac(_subkey("record-mac"), message)[:16]
    return t[:6] + bytes([0x80 | t[6] & 0x0F]) + t[7:8] + bytes([0x80 | t[8] & 0x3F]) + t[9:]


def _valid(count: int, seed: int) -> list[str]:
    """So many numbers that pass the check, from the whole range; none is on the block list."""
    chance, found = random.Random(seed), []
    while len(found) < count:
        nine = f"{chance.randrange(10**9):09d}"
        if (tenth := nhs_number.check_digit(nine)) is not None and int(nine) % 111_111_111:
            found.append(f"{nine}{tenth}")
    return found


@every_kernel
def test_a_sample_is_what_hashlib_makes(name: str) -> None:
    """Three thousand person tokens, from text and from integers, and as many record tokens."""
    digits = _valid(3000, seed=11)
    expected = [_by_hand(each) for each in digits]
    assert _tokenise(name, pa.array(digits))[0] == expected
    assert _tokenise(name, pa.array([int(each) for each in digits]))[0] == expected
    values = [each.encode() * (row % 9) for row, each in enumerate(digits)]
    made = KERNELS[name]().record(b"sus_apc.spell_id\0", pa.array(values, pa.binary())).to_pylist()
    assert made == [_record_by_hand(b"sus_apc.spell_id\0" + value) for value in values]


# ---- nulls, offsets and slices ----


def _slices(length: int) -> list[tuple[int, int]]:
    """Starts on, before and behind the bytes of a bitmap, and lengths that end in the midst of one."""
    return [(start, rows) for start in (0, 1, 7, 8, 9, 63, 64, 65) for rows in (0, 1, 8, 13, 64, length - start)]


def _with_nulls(values: list[bytes] | list[str] | list[int], seed: int) -> list[bytes | str | int | None]:
    chance = random.Random(seed)
    return [None if chance.random() < 0.3 else value for value in values]


@every_kernel
@pytest.mark.parametrize("kind", [*TEXT_KINDS, pa.int64()], ids=str)
def test_bitmaps_of_slices_are_read_where_they_begin(name: str, kind: pa.DataType) -> None:
    """Text of every layout and integers."""
    values = _with_nulls(_valid(200, seed=1), seed=2)
    whole = pa.array([each if each is None or kind != pa.int64() else int(each) for each in values], kind)
    expected = [each and token.person_token(KEYS, str(each)) for each in values]
    for start, rows in _slices(200):
        tokens, codes = _tokenise(name, whole.slice(start, rows))
        assert tokens == expected[start : start + rows]
        assert codes == [MISSING if each is None else 0 for each in expected[start : start + rows]]


@every_kernel
@pytest.mark.parametrize("kind", BINARY_KINDS, ids=str)
def test_record_tokens_of_slices_with_nulls(name: str, kind: pa.DataType) -> None:
    """Values of many lengths around the edge of a block."""
    values = _with_nulls([bytes([row % 251]) * (row % 70) for row in range(200)], seed=3)
    expected = [None if each is None else _record_by_hand(b"a\0" + bytes(each)) for each in values]  # type: ignore[arg-type]
    for start, rows in _slices(200):
        found = KERNELS[name]().record(b"a\0", pa.array(values, kind).slice(start, rows))
        assert found.to_pylist() == expected[start : start + rows]


@compiled
@every_path
@pytest.mark.parametrize("kind", [pa.binary(16), *BINARY_KINDS], ids=str)
def test_slices_of_tokens_with_nulls(path: int, kind: pa.DataType) -> None:
    """On the way back and to another domain."""
    digits = _valid(200, seed=4)
    values = _with_nulls([token.person_token(KEYS, each) for each in digits], seed=5)
    other, native = token.derive(ROOT, "site:rxx"), kernel.native
    for start, rows in _slices(200):
        column = arrow_column(pa.array(values, kind).slice(start, rows), 0, rows)
        numbers, tokens, reasons = np.zeros(rows, np.int64), np.zeros((rows, 16), np.uint8), np.zeros(rows, np.uint8)
        native.reverse(kernel.open_keys(KEYS), column, numbers, path)
        native.translate(kernel.open_keys(KEYS), kernel.open_keys(other), column, tokens, reasons, path)
        for row in range(rows):
            known = values[start + row] is not None
            assert numbers[row] == (int(digits[start + row]) if known else -1)
            assert reasons[row] == (0 if known else 1)
            assert tokens[row].tobytes() == (token.person_token(other, digits[start + row]) if known else bytes(16))


@every_kernel
@pytest.mark.parametrize("kind", [*TEXT_KINDS, pa.int64()], ids=str)
def test_empty_columns(name: str, kind: pa.DataType) -> None:
    """Without rows, without offsets or values, and as a slice of nothing in the midst of something."""
    some = pa.array([NUMBER, None, OTHER] if kind != pa.int64() else [int(NUMBER), None, int(OTHER)], kind)
    nothing = pa.py_buffer(b"")
    bare = pa.Array.from_buffers(kind, 0, [None, None] if kind == pa.int64() else [None, nothing, nothing])
    for column in (pa.array([], kind), bare, some.slice(1, 0), some.slice(3)):
        assert _tokenise(name, column) == ([], [])
    assert _tokenise(name, pa.nulls(9, kind)) == ([None] * 9, [MISSING] * 9)


# ---- string views ----


def _views(
    *views: tuple[int, int, int, int], data: tuple[bytes, ...], valid: bytes | None = None
) -> tuple[object, ...]:
    return 2, valid, np.array(views, dtype=np.int32).tobytes(), data, 0, len(views)


def _inline(text: str) -> tuple[int, int, int, int]:
    words = np.frombuffer(text.encode().ljust(12, b"\0"), dtype=np.int32)
    return len(text), int(words[0]), int(words[1]), int(words[2])


@every_kernel
def test_string_views_into_several_buffers(name: str) -> None:
    """Short ones in place, long ones from whichever buffer they lie in."""
    spaced = [f"   {NUMBER[:3]} {NUMBER[3:6]} {NUMBER[6:]}", OTHER, None, f"{OTHER}     ", "x" * 40, f"\t\t\t{NUMBER}"]
    parts = [pa.array(spaced[:2], pa.string_view()), pa.array(spaced[2:5], pa.string_view())]
    whole = pa.concat_arrays([*parts, pa.array(spaced[5:], pa.string_view())])
    assert len(whole.buffers()) > 4
    assert _tokenise(name, whole) == (
        [TOKEN, OTHER_TOKEN, None, OTHER_TOKEN, None, TOKEN],
        [0, 0, MISSING, 0, MALFORMED, 0],
    )


@compiled
@every_path
def test_what_is_null_is_not_looked_at(path: int) -> None:
    """A null row's view or offset may be anything."""
    out, reasons = np.zeros((3, 16), np.uint8), np.zeros(3, np.uint8)
    wild = _views(_inline(NUMBER), (2**30, 7, 9, 2**31 - 1), _inline(OTHER), data=(), valid=b"\x05")
    kernel.native.tokenise(kernel.open_keys(KEYS), wild, 0, out, reasons, path)
    assert [each.tobytes() for each in out] == [TOKEN, bytes(16), OTHER_TOKEN]
    assert reasons.tolist() == [0, MISSING, 0]


@compiled
def test_an_empty_bitmap_is_still_a_bitmap() -> None:
    """Where it is too short for its rows, no row is taken to be there."""
    for bitmap in (b"", np.zeros(0, np.uint8), pa.py_buffer(b"")):
        with pytest.raises(ValueError, match="shorter"):
            kernel.native.tokenise(
                kernel.open_keys(KEYS), _views(_inline(NUMBER), data=(), valid=bitmap),  # type: ignore[arg-type]
                0, np.zeros(16, np.uint8), np.zeros(1, np.uint8), 0,
            )  # fmt: skip


# ---- text that is no text ----


@compiled
@every_path
@pytest.mark.parametrize("kind", TEXT_KINDS, ids=str)
@given(
    values=st.lists(
        st.none()
        | st.binary(max_size=14)
        | st.sampled_from(
            [NUMBER.encode(), b"\xff", b"943476591\xb9", b" 9434765919\xa0", b"\xed\xa0\x80", b"\xc0\xb9" * 10]
        )
    )
)
def test_what_is_not_utf_8_is_malformed(path: int, kind: pa.DataType, values: list[bytes | None]) -> None:
    """To the kernel itself; a whole column is refused before. And what is UTF-8 is read as ever."""
    binary = BINARY_KINDS[TEXT_KINDS.index(kind)]
    raw = pa.array(values, binary)
    tokens, codes = _tokenise(compiled_paths()[path], pa.Array.from_buffers(kind, len(values), raw.buffers()))
    for value, made, code in zip(values, tokens, codes, strict=True):
        try:
            text = None if value is None else value.decode()
        except UnicodeDecodeError:
            assert (made, code) == (None, MALFORMED)
            continue
        why = nhs_number.reason(text)
        assert code == (0 if why is None else 1 + list(NumberReason).index(why))
        assert made == (None if why or text is None else token.person_token(KEYS, nhs_number.normalise(text)))


# ---- integers of every width ----

INTEGERS = {
    pl.Int8: pa.int8(), pl.Int16: pa.int16(), pl.Int32: pa.int32(), pl.Int64: pa.int64(), pl.Int128: None,
    pl.UInt8: pa.uint8(), pl.UInt16: pa.uint16(), pl.UInt32: pa.uint32(), pl.UInt64: pa.uint64(),
}  # fmt: skip


@pytest.mark.usefixtures("either")
@pytest.mark.parametrize("dtype", INTEGERS, ids=str)
def test_integers_of_every_width_lost_their_leading_zeros(dtype: type[pl.DataType]) -> None:
    """The smallest and the largest numbers that fit, with what is null and negative between; Polars and Arrow."""
    made = Pseudonymiser.from_root(ROOT, "ics:demo")
    most = min(pl.select(dtype.max()).item(), 10**10 - 1)  # type: ignore[attr-defined]
    numbers = [each for each in [*range(60), *range(most - 60, most + 1)] if nhs_number.reason(f"{each:010d}") is None]
    assert len(numbers) >= 5
    signed = [] if str(dtype).startswith("U") else [-1, -(most // 2)]
    values = [*numbers, None, *signed, *numbers]
    good = [token.person_token(KEYS, f"{each:010d}") for each in numbers]
    why = [None] * len(good) + ["number_missing"] + ["number_malformed"] * len(signed) + [None] * len(good)
    tokens, reasons = made.tokenise(pl.Series(values, dtype=dtype))
    assert tokens.to_list() == [*good, None, *([None] * len(signed)), *good]
    assert reasons.to_list() == why
    if (kind := INTEGERS[dtype]) is not None:
        column = pa.array(values, kind)
        arrow_tokens, arrow_reasons = made.tokenise(pa.chunked_array([column.slice(0, 3), column.slice(3)]))
        assert [each and each.bytes for each in arrow_tokens.to_pylist()] == tokens.to_list()
        assert arrow_reasons.to_pylist() == why


# ---- damaged columns ----


def _damaged() -> dict[str, pa.Array]:
    data, views = pa.py_buffer(b"9434765919" * 2), np.array([[20, 0, 0, 1]], dtype=np.int32)
    columns = {"a view": pa.Array.from_buffers(pa.string_view(), 1, [None, pa.py_buffer(views.tobytes()), data])}
    for kind, width in ((pa.string(), np.int32), (pa.large_string(), np.int64)):
        for what, ends in {"far": (0, 3000, 20), "before": (0, -1, 20), "backwards": (0, 20, 10, 20)}.items():
            offsets = pa.py_buffer(np.array(ends, dtype=width).tobytes())
            columns[f"{kind} {what}"] = pa.Array.from_buffers(kind, len(ends) - 1, [None, offsets, data])
    return columns


@pytest.mark.usefixtures("either")
@pytest.mark.parametrize("column", _damaged().values(), ids=_damaged())
def test_damaged_arrow_columns_are_an_input_error(column: pa.Array) -> None:
    """Without the value, and without reading what is not there."""
    made = Pseudonymiser.from_root(ROOT, "ics:demo")
    for each in (column, pa.chunked_array([pa.array([NUMBER], column.type), column])):
        with pytest.raises(InputError, match="contradict each other") as caught:
            made.tokenise(each)
        assert "9434" not in str(caught.value) + caught.value.hint


@pytest.mark.usefixtures("either")
def test_damaged_columns_of_tokens_are_an_input_error() -> None:
    """On the way back too."""
    offsets = pa.py_buffer(np.array([0, 3000, 32], dtype=np.int32).tobytes())
    column = pa.Array.from_buffers(pa.binary(), 2, [None, offsets, pa.py_buffer(TOKEN * 2)])
    with pytest.raises(InputError, match="contradict each other"):
        Reverser._from_subkeys([KEYS]).reverse(column)
