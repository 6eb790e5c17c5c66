"""`Pseudonymiser`: one domain's keys behind a handle; a column goes in, tokens and reasons come out.

A column may be Arrow or Polars and comes back as the same. `tokenise` and `expr` check NHS numbers;
`person_*` trust that `linkage.nhs_number` has; `record_*` are for every other identifier. Each distinct
value of a batch is computed once. `_Kernel` is the only part that does arithmetic on keys, and its two
methods are all that a faster kernel has to provide.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Self, TypeAlias, overload

import numpy as np
import polars as pl
import pyarrow as pa

from linkage.nhs_number import ColumnTypeError, NumberReason, parse
from linkage.pseudonymise.token import TOKEN_BYTES, SecretHandle, Subkeys, check_namespace, derive, key_id

if TYPE_CHECKING:
    from numpy.typing import NDArray

    _State: TypeAlias = tuple["hashlib._Hash", "hashlib._Hash"]

__all__ = ["Pseudonymiser"]

_BLOCK_BYTES = 64  # of SHA-256
_CHUNK_ROWS = 1 << 16  # bounds the Python objects alive at once
_LIMIT = 10**10


class Pseudonymiser(SecretHandle):
    """Makes the tokens of one domain. Safe to use from several threads.

    Comes from `Keyset.pseudonymiser`. Whoever holds one can also try every NHS number: it is as secret
    as the key. It shows its domain and key id only, and cannot be pickled or copied, so neither can a
    Polars plan that uses it.
    """

    __slots__ = ("_domain", "_kernel", "_key_id")

    _domain: str
    _kernel: _Kernel
    _key_id: str

    def __init__(self) -> None:
        raise TypeError("a Pseudonymiser comes from Keyset.pseudonymiser(domain)")

    @classmethod
    def from_root(cls, root: bytes, domain: str) -> Self:
        """Build one from a raw root secret of 32 bytes: for published vectors and interoperability only.

        Raises:
            ConfigurationError: when the domain's name cannot be used.
            ValueError: when the root is not 32 bytes.
        """
        return cls._from_subkeys(derive(root, domain), key_id(root))

    @classmethod
    def _from_subkeys(cls, subkeys: Subkeys, identifier: str) -> Self:
        self = object.__new__(cls)
        self._domain, self._key_id, self._kernel = subkeys.domain, identifier, _Kernel(subkeys)
        return self

    def __repr__(self) -> str:
        return f"<Pseudonymiser domain={self._domain} key_id={self._key_id}>"

    @property
    def domain(self) -> str:
        """The domain whose tokens this makes."""
        return self._domain

    @property
    def key_id(self) -> str:
        """The id of the key version in use, 16 hexadecimal digits."""
        return self._key_id

    @overload
    def tokenise(self, column: pl.Series, *, allow_test_numbers: bool = True) -> tuple[pl.Series, pl.Series]: ...

    @overload
    def tokenise(
        self, column: pa.Array | pa.ChunkedArray, *, allow_test_numbers: bool = True
    ) -> tuple[pa.Array, pa.Array]: ...

    def tokenise(
        self, column: pl.Series | pa.Array | pa.ChunkedArray, *, allow_test_numbers: bool = True
    ) -> tuple[pl.Series, pl.Series] | tuple[pa.Array, pa.Array]:
        """Check a column of NHS numbers and return its person tokens.

        Args:
            column: Text (with spaces or hyphens, or without), or integers of any width, which are padded
                with zeros to ten digits.
            allow_test_numbers: Accept 900 to 999.

        Returns:
            Tokens and reasons, both as long as the column; exactly one of the two is null in each row.
            Polars: Binary of 16 bytes and Enum `linkage.nhs_number.REASONS`. Arrow: one `arrow.uuid` array
            and one dictionary array of strings.

        Raises:
            ColumnTypeError: (a ConfigurationError) when the column holds neither text nor integers.
        """
        series = column if isinstance(column, pl.Series) else _series(column)
        parsed = parse(series, allow_test=allow_test_numbers)
        tokens, reasons = self._person_array(parsed["number"]), parsed["reason"]
        if isinstance(column, pl.Series):
            return _binary(tokens, column.name), reasons
        codes = reasons.to_physical().cast(pl.Int8).to_arrow()
        names = pa.DictionaryArray.from_arrays(codes, pa.array([each.value for each in NumberReason]))
        return pa.ExtensionArray.from_storage(pa.uuid(), tokens), names

    def expr(self, column: str | pl.Expr, *, allow_test_numbers: bool = True) -> pl.Expr:
        """Return the tokens of `tokenise` as an elementwise Polars expression: Binary of 16 bytes."""
        return _elementwise(column, partial(self._tokens, allow_test_numbers=allow_test_numbers))

    def person_tokens(self, numbers: pl.Series) -> pl.Series:
        """Return the tokens of numbers that `linkage.nhs_number` has found valid; null stays null.

        Args:
            numbers: Int64.

        Raises:
            ValueError: when one has more than ten digits or is negative. Nothing else is checked again.
        """
        return _binary(self._person_array(numbers), numbers.name)

    def person_expr(self, column: str | pl.Expr) -> pl.Expr:
        """Return `person_tokens` as an elementwise Polars expression."""
        return _elementwise(column, self.person_tokens)

    def record_tokens(self, values: pl.Series, namespace: str) -> pl.Series:
        """Return one-way tokens of identifiers that are not NHS numbers; null stays null.

        Args:
            values: String, cleaned as the contract says; where an identifier is unique only within an
                organisation, its ODS code and the character 0x1F come first.
            namespace: What the identifier stands for, `[a-z0-9_.]+`, the same in every column that holds it.

        Raises:
            ConfigurationError: when the namespace's name cannot be used, or the values are not text.
        """
        check_namespace(namespace)
        if values.dtype not in (pl.String, pl.Null):
            raise ColumnTypeError(f"record tokens cannot be made from a column of type {values.dtype}")
        column = values.cast(pl.String).cast(pl.Binary).to_arrow()
        return _binary(_each_distinct(column, partial(self._record_buffer, namespace)), values.name)

    def record_expr(self, column: str | pl.Expr, namespace: str) -> pl.Expr:
        """Return `record_tokens` as an elementwise Polars expression."""
        check_namespace(namespace)
        return _elementwise(column, partial(self.record_tokens, namespace=namespace))

    def _tokens(self, column: pl.Series, *, allow_test_numbers: bool) -> pl.Series:
        return self.tokenise(column, allow_test_numbers=allow_test_numbers)[0]

    def _person_array(self, numbers: pl.Series) -> pa.Array:
        if numbers.dtype != pl.Int64 or not numbers.is_between(0, _LIMIT - 1).all():
            raise ValueError("person tokens are made from Int64 numbers of at most ten digits")
        return _each_distinct(numbers.to_arrow(), lambda distinct: self._kernel.person(distinct.to_numpy()))

    def _record_buffer(self, namespace: str, distinct: pa.Array) -> bytes:
        return self._kernel.record(namespace.encode(), distinct.to_pylist())


class _Kernel(SecretHandle):
    """The two computations on keys, over the hash functions of `hashlib` with the key already taken in."""

    __slots__ = ("_enc", "_mac", "_record")

    def __init__(self, subkeys: Subkeys) -> None:
        self._mac = _keyed(subkeys.person_mac)
        self._enc = _keyed(subkeys.person_enc)
        self._record = _keyed(subkeys.record_mac)

    def person(self, numbers: NDArray[np.int64]) -> bytes:
        """Return 16 bytes for each valid number."""
        chunks = (numbers[at : at + _CHUNK_ROWS] for at in range(0, len(numbers), _CHUNK_ROWS))
        return b"".join(self._person_chunk(chunk) for chunk in chunks)

    def record(self, namespace: bytes, values: list[bytes]) -> bytes:
        """Return 16 bytes for each value."""
        inner, outer = self._record[0].copy(), self._record[1]
        inner.update(namespace + b"\0")
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


def _elementwise(column: str | pl.Expr, function: Callable[[pl.Series], pl.Series]) -> pl.Expr:
    values = pl.col(column) if isinstance(column, str) else column
    return values.map_batches(function, return_dtype=pl.Binary, is_elementwise=True)


def _binary(tokens: pa.Array, name: str) -> pl.Series:
    return pl.Series(name, tokens, dtype=pl.Binary)


def _series(column: pa.Array | pa.ChunkedArray) -> pl.Series:
    known = isinstance(column, pa.Array | pa.ChunkedArray)
    accepted = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    kinds = (*accepted, pa.types.is_integer, pa.types.is_null)
    if not known or not any(is_kind(column.type) for is_kind in kinds):
        raise ColumnTypeError("NHS numbers are read from an Arrow or Polars column of text or integers")
    return pl.Series("", column)
