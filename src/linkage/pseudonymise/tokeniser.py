"""`Pseudonymiser`: one domain's keys behind a handle; a column goes in, tokens and reasons come out.

A column may be Arrow or Polars and comes back as the same. `tokenise` and `expr` check NHS numbers;
`person_*` trust that `linkage.nhs_number` has; `record_*` are for every other identifier. Every token
is computed by `linkage.pseudonymise.kernel`, the only part that does arithmetic on keys.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Self, overload

import numpy as np
import polars as pl
import pyarrow as pa

from linkage.handles import SecretHandle
from linkage.nhs_number import REASONS, ColumnTypeError, NumberReason
from linkage.pseudonymise.kernel import Kernel, check_buffers, open_kernel
from linkage.pseudonymise.token import TOKEN_BYTES, Subkeys, check_namespace, derive, key_id

if TYPE_CHECKING:
    from linkage.pseudonymise.plain import Reasons

__all__ = ["Pseudonymiser", "binary"]


class Pseudonymiser(SecretHandle):
    """Makes the tokens of one domain. Safe to use from several threads.

    Comes from `Keyset.pseudonymiser`. Whoever holds one can also try every NHS number: it is as secret
    as the key. It shows its domain and key id only, and cannot be pickled or copied, so neither can a
    Polars plan that uses it.
    """

    __slots__ = ("_domain", "_kernel", "_key_id")

    _domain: str
    _kernel: Kernel
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
        self._domain, self._key_id, self._kernel = subkeys.domain, identifier, open_kernel(subkeys)
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
            InputError: when an Arrow column's buffers contradict each other, or its text is not UTF-8.
        """
        columns = [_numbers(column)] if isinstance(column, pl.Series) else _chunks(column)
        tokens, codes = _joined(columns, partial(self._kernel.tokenise, allow_test=allow_test_numbers))
        found = pa.array(codes.view("int8") - 1, mask=codes == 0)
        if isinstance(column, pl.Series):
            return binary(tokens, column.name), pl.Series("reason", found).cast(pl.UInt8).cat.to(REASONS)
        names = pa.DictionaryArray.from_arrays(found, pa.array([each.value for each in NumberReason]))
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
        if numbers.dtype != pl.Int64:
            raise ValueError("person tokens are made from Int64 numbers of at most ten digits")
        return binary(self._kernel.person(_arrow(numbers)), numbers.name)

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
        column = _arrow(values.cast(pl.String).cast(pl.Binary))
        return binary(self._kernel.record(namespace.encode() + b"\0", column), values.name)

    def record_expr(self, column: str | pl.Expr, namespace: str) -> pl.Expr:
        """Return `record_tokens` as an elementwise Polars expression."""
        check_namespace(namespace)
        return _elementwise(column, partial(self.record_tokens, namespace=namespace))

    def _tokens(self, column: pl.Series, *, allow_test_numbers: bool) -> pl.Series:
        return self.tokenise(column, allow_test_numbers=allow_test_numbers)[0]


def _elementwise(column: str | pl.Expr, function: Callable[[pl.Series], pl.Series]) -> pl.Expr:
    values = pl.col(column) if isinstance(column, str) else column
    return values.map_batches(function, return_dtype=pl.Binary, is_elementwise=True)


def _arrow(column: pl.Series) -> pa.Array:
    """One Arrow array over the column's own memory."""
    array = column.rechunk().to_arrow(compat_level=pl.CompatLevel.newest())
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array


def _numbers(column: pl.Series) -> pa.Array:
    """The column as text or Int64; an integer that Int64 cannot hold becomes -1, which is malformed too."""
    if column.dtype.is_integer():
        whole = column.cast(pl.Int64, strict=False)
        lost = whole.null_count() > column.null_count()
        return _arrow(
            pl.select(pl.when(column.is_null()).then(whole).otherwise(whole.fill_null(-1))).to_series()
            if lost
            else whole
        )
    if column.dtype not in (pl.String, pl.Null):
        raise ColumnTypeError(f"NHS numbers cannot be read from a column of type {column.dtype}")
    return _arrow(column.cast(pl.String))


def binary(tokens: pa.Array, name: str) -> pl.Series:
    """Tokens as Polars keeps them; large binary is what it takes in fastest."""
    validity, values = tokens.buffers()
    ends = np.arange(len(tokens) + 1, dtype=np.int64) * TOKEN_BYTES
    buffers = [validity, pa.py_buffer(ends), values]
    return pl.Series(name, pa.Array.from_buffers(pa.large_binary(), len(tokens), buffers), dtype=pl.Binary)


def _joined(
    columns: list[pa.Array], tokenise: Callable[[pa.Array], tuple[pa.Array, Reasons]]
) -> tuple[pa.Array, Reasons]:
    """What is made of each chunk, in one. A chunk too small for several threads may have one to itself."""
    if len(columns) == 1:
        return tokenise(columns[0])
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        parts = list(pool.map(tokenise, columns))
    return pa.concat_arrays([tokens for tokens, _ in parts]), np.concatenate([codes for _, codes in parts])


def _chunks(column: pa.Array | pa.ChunkedArray) -> list[pa.Array]:
    """An Arrow column's chunks as text or Int64. Text stays where it is: Polars panics over a value of 2^32 bytes."""
    known = isinstance(column, pa.Array | pa.ChunkedArray)
    text = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    if not known or not any(is_kind(column.type) for is_kind in (*text, pa.types.is_integer, pa.types.is_null)):
        raise ColumnTypeError("NHS numbers are read from an Arrow or Polars column of text or integers")
    check_buffers(column)
    chunks = (column.chunks if isinstance(column, pa.ChunkedArray) else [column]) or [pa.array([], column.type)]
    return (
        chunks if any(is_text(column.type) for is_text in text) else [_numbers(pl.Series("", each)) for each in chunks]
    )
