"""The kernel in plain Python over `hashlib`, with the keys already taken in: for machines without a C compiler."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute

from linkage.errors import InputError
from linkage.handles import SecretHandle
from linkage.nhs_number import parse
from linkage.pseudonymise.token import TOKEN_BYTES, Subkeys

if TYPE_CHECKING:
    from numpy.typing import NDArray

    _State: TypeAlias = tuple["hashlib._Hash", "hashlib._Hash"]
    Reasons: TypeAlias = NDArray[np.uint8]

__all__ = ["PlainKernel"]

_BLOCK_BYTES = 64  # of SHA-256
_CHUNK_ROWS = 1 << 16  # bounds the Python objects alive at once
_LIMIT = 10**10
_LONGEST = 2**31 - 1  # bytes


class PlainKernel(SecretHandle):
    """See `linkage.pseudonymise.kernel.Kernel`. Each distinct value of a column is computed once."""

    __slots__ = ("_enc", "_mac", "_record")

    def __init__(self, subkeys: Subkeys) -> None:
        self._mac = _keyed(subkeys.person_mac)
        self._enc = _keyed(subkeys.person_enc)
        self._record = _keyed(subkeys.record_mac)

    def tokenise(self, column: pa.Array, *, allow_test: bool) -> tuple[pa.Array, Reasons]:
        """See `Kernel`."""
        _check_lengths(column)
        parsed = parse(pl.Series(column), allow_test=allow_test)
        codes = parsed["reason"].to_physical().cast(pl.Int16).fill_null(-1).to_numpy() + 1
        return self.person(parsed["number"].to_arrow()), codes.astype(np.uint8)

    def person(self, numbers: pa.Array) -> pa.Array:
        """See `Kernel`."""
        known = numbers.drop_null().to_numpy(zero_copy_only=False)
        if len(known) and (known.min() < 0 or known.max() >= _LIMIT):
            raise ValueError("person tokens are made from Int64 numbers of at most ten digits")
        return _each_distinct(numbers, lambda distinct: self._person(distinct.to_numpy()))

    def record(self, prefix: bytes, values: pa.Array) -> pa.Array:
        """See `Kernel`."""
        return _each_distinct(values, lambda distinct: self._records(prefix, distinct.to_pylist()))

    def _person(self, numbers: NDArray[np.int64]) -> bytes:
        chunks = (numbers[at : at + _CHUNK_ROWS] for at in range(0, len(numbers), _CHUNK_ROWS))
        return b"".join(self._person_chunk(chunk) for chunk in chunks)

    def _records(self, prefix: bytes, values: list[bytes]) -> bytes:
        inner, outer = self._record[0].copy(), self._record[1]
        inner.update(prefix)
        chunks = (values[at : at + _CHUNK_ROWS] for at in range(0, len(values), _CHUNK_ROWS))
        return b"".join(_stamp(_hmac_each((inner, outer), chunk)) for chunk in chunks)

    def _person_chunk(self, numbers: NDArray[np.int64]) -> bytes:
        digits = (numbers[:, None] // 10 ** np.arange(9, -1, -1) % 10 + ord("0")).astype(np.uint8)
        tag = _hmac_each(self._mac, digits.view("V10").ravel().tolist())
        iv = np.empty((len(numbers), 3), dtype=">u4")
        iv[:] = tag.view(">u4")[:, :3]
        iv[:, 1] = iv[:, 1] & 0xFFFF0FFF | 0x8000
        key = _hmac_each(self._enc, iv.view("V12").ravel().tolist()).view(">u4")[:, 0]
        low = key.astype(np.uint64) >> 2 ^ (numbers // 10).astype(np.uint64)
        token = np.empty((len(numbers), 2), dtype=">u8")
        token[:, 0] = iv[:, :2].copy().view(">u8")[:, 0]
        token[:, 1] = low | iv[:, 2].astype(np.uint64) << 30 | np.uint64(1 << 63)
        return token.tobytes()


def _check_lengths(column: pa.Array) -> None:
    """Polars panics over a value of 2^32 bytes, and needs three times the room of a shorter one."""
    if not pa.types.is_large_string(column.type) or column.nbytes <= _LONGEST:
        return
    if (pa.compute.max(pa.compute.binary_length(column)).as_py() or 0) > _LONGEST:
        raise InputError(
            "a value in the column has 2^31 bytes or more, and is no NHS number",
            hint="look at how the column was split into rows",
        )


def _keyed(key: bytes) -> _State:
    block = key.ljust(_BLOCK_BYTES, b"\0")
    inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in block))
    return inner, hashlib.sha256(bytes(byte ^ 0x5C for byte in block))


def _hmac_each(state: _State, messages: Iterable[bytes]) -> NDArray[np.uint64]:
    """Return the HMAC of each message as a row of four big-endian words."""
    copy_inner, copy_outer = state[0].copy, state[1].copy
    codes: list[bytes] = []
    append = codes.append
    for message in messages:
        inner = copy_inner()
        inner.update(message)
        outer = copy_outer()
        outer.update(inner.digest())
        append(outer.digest())
    return np.frombuffer(b"".join(codes), dtype=">u8").reshape(-1, 4)


def _stamp(codes: NDArray[np.uint64]) -> bytes:
    token = codes[:, :2].copy()
    token[:, 0] = token[:, 0] & 0xFFFF_FFFF_FFFF_0FFF | 0x8000
    token[:, 1] = token[:, 1] & 0x3FFF_FFFF_FFFF_FFFF | 1 << 63
    return token.tobytes()


def _each_distinct(column: pa.Array, compute: Callable[[pa.Array], bytes]) -> pa.Array:
    """Return `compute` of a column as fixed-size binary, working once for each distinct value."""
    encoded = column.dictionary_encode()
    distinct = encoded.dictionary
    buffers = [None, pa.py_buffer(compute(distinct))]
    tokens = pa.FixedSizeBinaryArray.from_buffers(pa.binary(TOKEN_BYTES), len(distinct), buffers)
    return tokens.take(encoded.indices)
