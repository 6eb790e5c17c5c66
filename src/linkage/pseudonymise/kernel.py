"""The arithmetic on keys over whole columns: compiled where it could be built, over `hashlib` where not.

Both make the same bytes. `open_kernel` gives the faster that there is; `NAME` says which. The compiled one checks itself
against published answers when it is imported, and an import that fails that check is an error, not a reason to go on.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np
import pyarrow as pa

from linkage.errors import InputError
from linkage.handles import SecretHandle
from linkage.pseudonymise.plain import PlainKernel
from linkage.pseudonymise.token import TOKEN_BYTES, Subkeys

try:
    from linkage.pseudonymise import _kernel
except ImportError:
    _kernel = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from linkage.pseudonymise.plain import Reasons

__all__ = [
    "NAME",
    "CompiledKernel",
    "Kernel",
    "arrow_column",
    "check_buffers",
    "compiled_paths",
    "in_slices",
    "native",
    "open_kernel",
    "open_keys",
]

_ALIGN = 8  # rows: slices of one validity bitmap begin at a byte
_ROWS_A_THREAD = 1 << 17  # below this a thread costs more than it saves
_FIXED: Final = 3  # 16 bytes each
_LAYOUTS: Final = (
    (pa.types.is_string, 0),
    (pa.types.is_binary, 0),
    (pa.types.is_large_string, 1),
    (pa.types.is_large_binary, 1),
    (pa.types.is_string_view, 2),
    (pa.types.is_binary_view, 2),
    (pa.types.is_fixed_size_binary, _FIXED),
    (pa.types.is_int64, 4),
)
# Bits of `flags` in _kernel_numbers.h.
_NO_TEST_NUMBERS, _CHECKED_ALREADY = 2, 4


class Kernel(Protocol):
    """What both kernels do. Arrays are single Arrow chunks; tokens come as fixed-size binary of 16 bytes."""

    def tokenise(self, column: pa.Array, *, allow_test: bool) -> tuple[pa.Array, Reasons]:
        """Tokens of text or Int64, and a code for each row: 0, or the place of the reason in REASONS plus one."""
        ...

    def person(self, numbers: pa.Array) -> pa.Array:
        """Tokens of Int64 numbers that are known to be valid.

        Raises:
            ValueError: One has more than ten digits or is negative.
        """
        ...

    def record(self, prefix: bytes, values: pa.Array) -> pa.Array:
        """Record tokens of binary values; the prefix is the namespace and a zero byte."""
        ...


def compiled_paths() -> tuple[str, ...]:
    """What the compiled kernel can use on this processor, fastest first; nothing where there is none."""
    return _kernel.paths() if _kernel else ()


def open_keys(subkeys: Subkeys) -> _kernel.Handle:
    """The compiled kernel's own key states, which are wiped when the handle goes."""
    return _kernel.keys(subkeys.person_mac, subkeys.person_enc, subkeys.record_mac)


def open_kernel(subkeys: Subkeys) -> Kernel:
    """The fastest kernel for the keys of a domain."""
    return CompiledKernel(subkeys) if _kernel else PlainKernel(subkeys)


native = _kernel
NAME: Final = f"compiled, {compiled_paths()[0]}" if _kernel else "Python over hashlib"


class CompiledKernel(SecretHandle):
    """The kernel in C. Its key states are wiped when it goes.

    Args:
        subkeys: Of the domain.
        path: A place in `compiled_paths`.
        threads: At most so many at a time; as many as there are processors when not given.
    """

    __slots__ = ("_keys", "_path", "_threads")

    def __init__(self, subkeys: Subkeys, path: int = 0, threads: int | None = None) -> None:
        self._threads = threads or os.cpu_count() or 1
        self._keys = open_keys(subkeys)
        self._path = path

    def tokenise(self, column: pa.Array, *, allow_test: bool) -> tuple[pa.Array, Reasons]:
        """See `Kernel`."""
        return self._tokenise(column, 0 if allow_test else _NO_TEST_NUMBERS)

    def person(self, numbers: pa.Array) -> pa.Array:
        """See `Kernel`."""
        tokens, reasons = self._tokenise(numbers, _CHECKED_ALREADY)
        if (reasons > 1).any():
            raise ValueError("person tokens are made from Int64 numbers of at most ten digits")
        return tokens

    def record(self, prefix: bytes, values: pa.Array) -> pa.Array:
        """See `Kernel`."""
        tokens, reasons = _outputs(len(values))

        def work(start: int, rows: int) -> None:
            out = tokens[start * TOKEN_BYTES :], reasons[start:]
            _kernel.record(self._keys, prefix, arrow_column(values, start, rows), False, *out, self._path)

        in_slices(len(values), work, self._threads)
        return _array(tokens, reasons)

    def _tokenise(self, column: pa.Array, flags: int) -> tuple[pa.Array, Reasons]:
        tokens, reasons = _outputs(len(column))

        def work(start: int, rows: int) -> None:
            out = tokens[start * TOKEN_BYTES :], reasons[start:]
            _kernel.tokenise(self._keys, arrow_column(column, start, rows), flags, *out, self._path)

        in_slices(len(column), work, self._threads)
        return _array(tokens, reasons), reasons


def _outputs(rows: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    return np.empty(rows * TOKEN_BYTES, dtype=np.uint8), np.empty(rows, dtype=np.uint8)


def _array(tokens: NDArray[np.uint8], reasons: NDArray[np.uint8]) -> pa.Array:
    validity = pa.py_buffer(np.packbits(reasons == 0, bitorder="little")) if reasons.any() else None
    buffers = [validity, pa.py_buffer(tokens)]
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(TOKEN_BYTES), len(reasons), buffers)


def arrow_column(array: pa.Array, start: int, rows: int) -> tuple[int, object, object, tuple[object, ...], int, int]:
    """Some rows of an Arrow array as the compiled kernel takes them."""
    layout = next((number for fits, number in _LAYOUTS if fits(array.type)), None)
    if layout is None or (layout == _FIXED and array.type.byte_width != TOKEN_BYTES):
        raise ValueError(f"the kernel does not take columns of type {array.type}")
    validity, index, *data = array.buffers()
    # An array without bytes may come without the buffer for them.
    held = tuple(each if each is not None else b"" for each in data)
    return layout, validity, index if index is not None else b"", held, array.offset + start, rows


def check_buffers(column: pa.Array | pa.ChunkedArray) -> None:
    """Hold an Arrow column from elsewhere against its own buffers: Polars takes them in unchecked.

    Raises:
        InputError: They contradict each other, or text is not UTF-8.
    """
    try:
        column.validate(full=True)
    except pa.ArrowException:
        raise InputError(
            "the Arrow column's buffers contradict each other, or its text is not UTF-8",
            hint="write the column again with the tool that made it",
        ) from None


def in_slices(rows: int, work: Callable[[int, int], None], most: int | None = None) -> None:
    """Do all rows, on as many threads as there are processors: the compiled code lets go of the interpreter lock."""
    threads = min(most or os.cpu_count() or 1, max(rows // _ROWS_A_THREAD, 1))
    if threads == 1:
        work(0, rows)
        return
    size = -(-rows // threads // _ALIGN) * _ALIGN
    with ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(work, at, min(size, rows - at)) for at in range(0, rows, size)]:
            done.result()
