"""Both kernels, on every path of this processor, against the plain referee: row by row, however the column is laid out."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkage import nhs_number
from linkage.nhs_number import NumberReason
from linkage.pseudonymise import kernel, token
from linkage.pseudonymise.kernel import CompiledKernel, Kernel, compiled_paths
from linkage.pseudonymise.plain import PlainKernel

KEYS = token.derive(bytes(range(32)), "ics:demo")
REASONS = [None, *NumberReason]
KERNELS: dict[str, Callable[[], Kernel]] = {"plain": lambda: PlainKernel(KEYS)} | {
    name: lambda path=path: CompiledKernel(KEYS, path)  # type: ignore[misc]
    for path, name in enumerate(compiled_paths())
}
compiled = pytest.mark.skipif(not compiled_paths(), reason="the kernel is not compiled here")
every_kernel = pytest.mark.parametrize("name", KERNELS)

_DIGITS = st.integers(0, 10**10 - 1).map(lambda number: f"{number:010d}")
_VALID = st.integers(0, 10**9 - 1).map(lambda nine: f"{nine:09d}{nhs_number.check_digit(f'{nine:09d}') or 0}")
_BLOCKED = st.sampled_from([f"{number:010d}" for number in nhs_number.BLOCKED])
_MANGLED = st.tuples(_VALID, st.integers(0, 10), st.sampled_from([" ", "-", "\t", "x", "٣", "\x00", "0", "  -"])).map(
    lambda parts: parts[0][: parts[1]] + parts[2] + parts[0][parts[1] :]
)
TEXTS = st.none() | st.text(max_size=30) | _DIGITS | _VALID | _BLOCKED | _MANGLED | st.sampled_from(["", " ", "-"])


def _expected(text: str | int | None, *, allow_test: bool) -> tuple[bytes | None, NumberReason | None]:
    why = nhs_number.reason(text, allow_test=allow_test)
    if why is not None:
        return None, why
    digits = f"{text:010d}" if isinstance(text, int) else nhs_number.normalise(text or "")
    return token.person_token(KEYS, digits), None


def _results(made: Kernel, column: pa.Array, *, allow_test: bool = True) -> list[tuple[bytes | None, object]]:
    tokens, codes = made.tokenise(column, allow_test=allow_test)
    tokens.validate(full=True)
    return list(zip(tokens.to_pylist(), [REASONS[code] for code in codes], strict=True))


@every_kernel
@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view()])
@given(values=st.lists(TEXTS, max_size=150), allow_test=st.booleans())
def test_text_agrees_with_the_referee(
    name: str, kind: pa.DataType, values: Sequence[str | None], allow_test: bool
) -> None:
    """Tokens and reasons, for offsets of both widths and for views."""
    found = _results(KERNELS[name](), pa.array(values, kind), allow_test=allow_test)
    assert found == [_expected(value, allow_test=allow_test) for value in values]


@every_kernel
@given(values=st.lists(st.none() | st.integers(-(2**63), 2**63 - 1) | st.integers(0, 10**10) | _VALID.map(int)))
def test_integers_agree_with_the_referee(name: str, values: Sequence[int | None]) -> None:
    """Leading zeros are put back; what no ten digits hold is malformed."""
    found = _results(KERNELS[name](), pa.array(values, pa.int64()))
    assert found == [_expected(value, allow_test=True) for value in values]


@every_kernel
@given(data=st.data(), values=st.lists(TEXTS, min_size=1, max_size=80))
def test_slices_are_read_where_they_begin(name: str, data: st.DataObject, values: Sequence[str | None]) -> None:
    """Offsets into values and into the bitmap of what is null."""
    start = data.draw(st.integers(0, len(values)))
    length = data.draw(st.integers(0, len(values) - start))
    for kind in (pa.string(), pa.large_string(), pa.string_view()):
        column = pa.array(values, kind).slice(start, length)
        expected = [_expected(value, allow_test=True) for value in values[start : start + length]]
        assert _results(KERNELS[name](), column) == expected


@every_kernel
def test_every_length_around_the_size_of_a_batch(name: str) -> None:
    """No row is lost at the end of a batch, of a lane or of a thread's slice."""
    values = [f"{nine:09d}{digit}" for nine in range(943_000_000, 943_000_330) if (digit := _digit(nine)) is not None]
    made = KERNELS[name]()
    expected = [(token.person_token(KEYS, value), None) for value in values]
    for rows in range(len(values)):
        assert _results(made, pa.array(values[:rows], pa.string())) == expected[:rows]


def _digit(nine: int) -> int | None:
    return nhs_number.check_digit(f"{nine:09d}")


@compiled
def test_a_column_of_many_threads_is_the_same_as_in_one() -> None:
    """Slices for threads meet exactly, nulls and all."""
    rows = 5 * (1 << 17) + 13
    numbers = np.random.default_rng(7).integers(0, 10**10, rows)
    column = pa.array(numbers, mask=numbers % 7 == 0)
    whole, codes = CompiledKernel(KEYS).tokenise(column, allow_test=True)
    parts = [CompiledKernel(KEYS).tokenise(column.slice(at, 50_000), allow_test=True) for at in range(0, rows, 50_000)]
    assert whole.equals(pa.concat_arrays([tokens for tokens, _ in parts]))
    assert (codes == np.concatenate([part for _, part in parts])).all()
    assert (codes == 1).sum() == (numbers % 7 == 0).sum()


@every_kernel
@given(
    values=st.lists(st.none() | st.binary(max_size=300), max_size=70),
    namespace=st.sampled_from(["a", "sus_apc.spell", "x" * 54, "x" * 55, "x" * 56, "x" * 64, "y" * 130]),
)
def test_record_tokens_agree_with_the_referee(name: str, values: Sequence[bytes | None], namespace: str) -> None:
    """Of any length: within one block, on the edge of it, and of many."""
    prefix = namespace.encode() + b"\0"
    expected = [
        None if value is None else token._stamp(token._hmac(KEYS.record_mac, prefix + value)) for value in values
    ]
    for kind in (pa.binary(), pa.large_binary(), pa.binary_view()):
        assert KERNELS[name]().record(prefix, pa.array(values, kind)).to_pylist() == expected


@every_kernel
def test_record_tokens_of_every_length(name: str) -> None:
    """The padding of SHA-256 turns at 55, 56, 63 and 64 bytes."""
    values = [bytes([length % 251]) * length for length in range(300)]
    expected = [token._stamp(token._hmac(KEYS.record_mac, b"n\0" + value)) for value in values]
    assert KERNELS[name]().record(b"n\0", pa.array(values, pa.binary())).to_pylist() == expected


@every_kernel
def test_numbers_that_are_known_to_be_valid(name: str) -> None:
    """Null stays null; what has no ten digits is an error."""
    made = KERNELS[name]()
    numbers = pa.array([9434765919, None, 101011113], pa.int64())
    assert made.person(numbers).to_pylist() == [
        token.person_token(KEYS, "9434765919"), None, token.person_token(KEYS, "0101011113"),
    ]  # fmt: skip
    for wrong in (-1, 10**10, -(2**63), 2**63 - 1):
        with pytest.raises(ValueError, match="ten digits"):
            made.person(pa.array([9434765919, wrong], pa.int64()))


@compiled
@pytest.mark.parametrize("path", range(len(compiled_paths())))
@given(tokens=st.lists(st.binary(min_size=16, max_size=16) | _VALID.map(lambda digits: digits.encode()), max_size=70))
def test_what_is_no_token_is_refused(path: int, tokens: list[bytes]) -> None:
    """Random bytes, other lengths and null: never a number."""
    column = _column(pa.array([*tokens, None], pa.binary()))
    numbers = np.zeros(len(tokens) + 1, dtype=np.int64)
    kernel.native.reverse(_handle(), column, numbers, path)
    assert (numbers == -1).all()


@compiled
@pytest.mark.parametrize("path", range(len(compiled_paths())))
@given(nines=st.lists(st.integers(0, 10**9 - 1), max_size=150), bit=st.integers(0, 127))
def test_reversing_and_translating(path: int, nines: list[int], bit: int) -> None:
    """There and back; to another domain what that domain's own keys make; and no changed bit goes unnoticed."""
    digits = [f"{nine:09d}{digit}" for nine in nines if (digit := _digit(nine)) is not None]
    tokens = [token.person_token(KEYS, each) for each in digits]
    numbers = np.zeros(len(tokens), dtype=np.int64)
    kernel.native.reverse(_handle(), _column(pa.array(tokens, pa.binary(16))), numbers, path)
    assert numbers.tolist() == [int(each) for each in digits]

    other = token.derive(bytes(range(32)), "site:rxx")
    out, reasons = np.zeros(16 * len(tokens), dtype=np.uint8), np.zeros(len(tokens), dtype=np.uint8)
    target = kernel.native.keys(other.person_mac, other.person_enc, other.record_mac)
    kernel.native.translate(_handle(), target, _column(pa.array(tokens, pa.binary(16))), out, reasons, path)
    assert out.tobytes() == b"".join(token.person_token(other, each) for each in digits)
    assert not reasons.any()

    changed = [(int.from_bytes(each) ^ 1 << bit).to_bytes(16) for each in tokens]
    kernel.native.translate(_handle(), target, _column(pa.array(changed, pa.binary(16))), out, reasons, path)
    assert reasons.all()
    assert not out.any()


def _handle() -> kernel.native.Handle:
    return kernel.native.keys(KEYS.person_mac, KEYS.person_enc, KEYS.record_mac)


def _column(array: pa.Array) -> tuple[int, object, object, tuple[object, ...], int, int]:
    return kernel.arrow_column(array, 0, len(array))


def _offsets(*values: int) -> bytes:
    return np.array(values, dtype=np.int32).tobytes()


def _view(length: int, buffer: int, start: int) -> bytes:
    return np.array([length, 0, buffer, start], dtype=np.int32).tobytes()


BROKEN = {
    "no rows' offsets": (0, None, b"", (b"",), 0, 1),
    "too few offsets": (0, None, _offsets(0, 10), (b"9434765919",), 0, 2),
    "offsets beyond the data": (0, None, _offsets(0, 11), (b"9434765919",), 0, 1),
    "offsets that go back": (0, None, _offsets(10, 0), (b"9434765919",), 0, 1),
    "negative offsets": (0, None, _offsets(-10, 0), (b"9434765919",), 0, 1),
    "no data": (0, None, _offsets(0, 0), (), 0, 1),
    "two data buffers for offsets": (0, None, _offsets(0, 0), (b"", b""), 0, 1),
    "wide offsets beyond the data": (1, None, np.array([0, 2**62]).tobytes(), (b"9434765919",), 0, 1),
    "a bitmap too short": (0, b"", _offsets(0, 10), (b"9434765919",), 0, 1),
    "a negative offset": (0, None, _offsets(0, 10), (b"9434765919",), -1, 1),
    "negative rows": (0, None, _offsets(0, 10), (b"9434765919",), 0, -1),
    "a huge offset": (0, None, _offsets(0, 10), (b"9434765919",), 2**62, 2**62),
    "a view into no buffer": (2, None, _view(20, 0, 0), (), 0, 1),
    "a view into another buffer": (2, None, _view(20, 1, 0), (b"x" * 20,), 0, 1),
    "a view of negative length": (2, None, _view(-1, 0, 0), (b"x" * 20,), 0, 1),
    "a view beyond its buffer": (2, None, _view(20, 0, 1), (b"x" * 20,), 0, 1),
    "a view before its buffer": (2, None, _view(20, 0, -1), (b"x" * 20,), 0, 1),
    "integers too few": (4, None, b"1234567", (), 0, 1),
    "fixed values too few": (3, None, b"x" * 31, (), 0, 2),
    "an unknown layout": (5, None, b"x" * 32, (), 0, 1),
    "a negative layout": (-1, None, b"x" * 32, (), 0, 1),
}


@compiled
@pytest.mark.parametrize("column", BROKEN.values(), ids=BROKEN)
def test_buffers_that_contradict_each_other_are_refused(column: tuple[object, ...]) -> None:
    """By every function, before anything is read that is not there."""
    native, out, reasons = kernel.native, np.zeros(64, dtype=np.uint8), np.zeros(8, dtype=np.uint8)
    with pytest.raises(ValueError, match="buffers"):
        native.tokenise(_handle(), column, 0, out, reasons, 0)  # type: ignore[arg-type]
    with pytest.raises((ValueError, TypeError)):
        native.record(_handle(), b"n\0", column, False, out, reasons, 0)  # type: ignore[arg-type]
    with pytest.raises((ValueError, TypeError)):
        native.reverse(_handle(), column, np.zeros(8), 0)  # type: ignore[arg-type]
    with pytest.raises((ValueError, TypeError)):
        native.translate(_handle(), _handle(), column, out, reasons, 0)  # type: ignore[arg-type]


@compiled
def test_what_is_given_wrongly_is_refused() -> None:
    """Keys of another length, outputs too short or read-only, another object for keys, a path that is not there."""
    native, column = kernel.native, _column(pa.array(["9434765919"] * 3))
    out, reasons = np.zeros(48, dtype=np.uint8), np.zeros(3, dtype=np.uint8)
    for size in (0, 31, 33):
        with pytest.raises(ValueError, match="32 bytes"):
            native.keys(bytes(size), bytes(32), bytes(32))
    with pytest.raises(ValueError, match="output is shorter"):
        native.tokenise(_handle(), column, 0, out[:47], reasons, 0)
    with pytest.raises(ValueError, match="output is shorter"):
        native.tokenise(_handle(), column, 0, out, reasons[:2], 0)
    with pytest.raises((TypeError, BufferError)):
        native.tokenise(_handle(), column, 0, bytes(48), reasons, 0)
    with pytest.raises(ValueError, match="no such path"):
        native.tokenise(_handle(), column, 0, out, reasons, 99)
    with pytest.raises(ValueError, match="PyCapsule"):
        native.tokenise(object(), column, 0, out, reasons, 0)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        native.tokenise(_handle(), None, 0, out, reasons, 0)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        native.tokenise(_handle(), (*column[:3], 5, 0, 3), 0, out, reasons, 0)  # type: ignore[arg-type]


@compiled
def test_nothing_is_leaked() -> None:
    """Buffers and keys are let go, also where a call fails."""
    column, out = _column(pa.array(["9434765919"] * 3)), np.zeros(48, dtype=np.uint8)
    reasons, handle = np.zeros(3, dtype=np.uint8), _handle()
    before = [sys.getrefcount(each) for each in (out, reasons, handle, column[2], column[3][0])]
    for _ in range(100):
        kernel.native.tokenise(handle, column, 0, out, reasons, 0)
        with pytest.raises(ValueError, match="output"):
            kernel.native.tokenise(handle, column, 0, out[:1], reasons, 0)
    assert [sys.getrefcount(each) for each in (out, reasons, handle, column[2], column[3][0])] == before


def test_a_pseudonymiser_takes_the_fastest_there_is() -> None:
    """And says which."""
    assert (f"compiled, {compiled_paths()[0]}" if compiled_paths() else "Python over hashlib") == kernel.NAME
    assert type(kernel.open_kernel(KEYS)) is (CompiledKernel if compiled_paths() else PlainKernel)


def test_unsigned_and_wide_integers_are_read_too() -> None:
    """What Int64 cannot hold is malformed, not missing."""
    from linkage import Pseudonymiser

    made = Pseudonymiser.from_root(bytes(range(32)), "ics:demo")
    for dtype, wide in ((pl.UInt64, 2**64 - 1), (pl.Int128, 2**100)):
        tokens, reasons = made.tokenise(pl.Series([9434765919, wide, None], dtype=dtype))
        assert tokens[0] == token.person_token(KEYS, "9434765919")
        assert reasons.to_list() == [None, "number_malformed", "number_missing"]


def test_the_command_line_says_which_kernel_runs() -> None:
    """`linkage --version --verbose`."""
    from typer.testing import CliRunner

    from linkage.cli import app

    said = CliRunner().invoke(app, ["--version", "--verbose"])
    assert said.exit_code == 0
    assert f"kernel: {kernel.NAME}" in said.output


def test_without_a_compiler_everything_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tokens, record tokens and the way back, made by the plain kernel."""
    from linkage import Pseudonymiser
    from linkage.pseudonymise.reverser import Reverser

    numbers, texts = pl.Series(["9434765919", "943 476 5919", "", None, "1111111111"]), pl.Series(["a", None, "b" * 99])
    results = []
    for compiled in (True, False):
        if not compiled:
            monkeypatch.setattr(kernel, "_kernel", None)
            monkeypatch.setattr(kernel, "native", None)
        made = Pseudonymiser.from_root(bytes(range(32)), "ics:demo")
        tokens, reasons = made.tokenise(numbers)
        back = Reverser._from_subkeys([token.derive(bytes(32), "ics:demo"), KEYS]).reverse(tokens)[0]
        records = made.record_tokens(texts, "a.b")
        results.append([each.to_list() for each in (tokens, reasons, back, records)])
    assert results[0] == results[1]
    assert results[0][2] == ["9434765919", "9434765919", None, None, None]


def test_fixed_size_binary_of_another_width_is_refused() -> None:
    """The compiled kernel steps 16 bytes from row to row."""
    with pytest.raises(ValueError, match=r"fixed_size_binary\[10\]"):
        _column(pa.array([b"9434765919"], pa.binary(10)))
