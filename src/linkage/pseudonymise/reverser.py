"""The way back from person tokens to NHS numbers. Only a key holder's program imports this module.

Nothing else in the library imports it, so a program that can make tokens cannot turn them back by
accident. The control is the key, not this module: see `linkage.pseudonymise.token`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Self, overload

import numpy as np
import polars as pl
import pyarrow as pa

from linkage.errors import ConfigurationError
from linkage.handles import SecretHandle
from linkage.pseudonymise import kernel
from linkage.pseudonymise.keyset import Keyset
from linkage.pseudonymise.token import TOKEN_BYTES, Subkeys, TokenRefused, reverse_person

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["REFUSED", "KeyHolderKeyset", "Reverser", "tokens_array"]

REFUSED: Final = "refused"
_REFUSED: Final = -1
_DIGITS: Final = 10
_MOST_TEXTS: Final = (2**31 - 1) // _DIGITS


class KeyHolderKeyset(Keyset):
    """A keyset that can also reverse. `KeyHolderKeyset.open` takes the arguments of `Keyset.open`."""

    __slots__ = ()

    def reverser(self, domain: str) -> Reverser:
        """Return the way back for one domain, under the primary and every other active version.

        Raises:
            ConfigurationError: when the domain's name cannot be used.
        """
        return Reverser._from_subkeys(self._usable_subkeys(domain))


class Reverser(SecretHandle):
    """Turns the person tokens of one domain back into NHS numbers. Comes from `KeyHolderKeyset.reverser`."""

    __slots__ = ("_subkeys",)

    _subkeys: tuple[Subkeys, ...]

    def __init__(self) -> None:
        raise TypeError("a Reverser comes from KeyHolderKeyset.reverser(domain)")

    @classmethod
    def _from_subkeys(cls, subkeys: Sequence[Subkeys]) -> Self:
        self = object.__new__(cls)
        self._subkeys = tuple(subkeys)
        return self

    def __repr__(self) -> str:
        return f"<Reverser domain={self._subkeys[0].domain} versions={len(self._subkeys)}>"

    @overload
    def reverse(self, tokens: pl.Series) -> tuple[pl.Series, pl.Series]: ...

    @overload
    def reverse(self, tokens: pa.Array | pa.ChunkedArray) -> tuple[pa.Array, pa.Array]: ...

    def reverse(
        self, tokens: pl.Series | pa.Array | pa.ChunkedArray
    ) -> tuple[pl.Series, pl.Series] | tuple[pa.Array, pa.Array]:
        """Return the NHS numbers behind person tokens.

        Args:
            tokens: Polars Binary, or Arrow `arrow.uuid`, fixed-size or other binary.

        Returns:
            Numbers of ten digits and reasons, both as long as the column. Whatever is wrong with a
            token (null, forged, damaged, of another domain or key) the number is null and the reason is
            `refused`. Polars: String and Enum. Arrow: string array and dictionary array of strings.

        Raises:
            ConfigurationError: when the column is not binary, or an Arrow column has more rows than one Arrow
                string array holds.
            InputError: when an Arrow column's buffers contradict each other.
        """
        if isinstance(tokens, pl.Series):
            numbers = self._numbers(tokens)
            refused = pl.when(numbers.is_null()).then(pl.lit(REFUSED, dtype=pl.Enum([REFUSED])))
            return numbers, pl.select(refused).to_series().alias("reason")
        numbers = self._numbers(_series(tokens))
        codes = pl.select(pl.when(numbers.is_null()).then(pl.lit(0, dtype=pl.Int8))).to_series()
        reasons = pa.DictionaryArray.from_arrays(codes.to_arrow(), pa.array([REFUSED]))
        return numbers.to_arrow().cast(pa.string()), reasons

    def _numbers(self, tokens: pl.Series) -> pl.Series:
        column = tokens_array(tokens)
        numbers = np.full(len(column), _REFUSED, dtype=np.int64)
        for subkeys in self._subkeys:
            left = np.flatnonzero(numbers == _REFUSED)
            if len(left):
                numbers[left] = _reverse(
                    subkeys, tokens_array(tokens.gather(left)) if len(left) < len(column) else column
                )
        text = pl.col("number").cast(pl.String).str.zfill(_DIGITS)
        return (
            pl.select(number=numbers).select(pl.when(pl.col("number") >= 0).then(text).alias(tokens.name)).to_series()
        )


def tokens_array(tokens: pl.Series) -> pa.Array:
    """A column of tokens as one Arrow array.

    Raises:
        ConfigurationError: The column is not binary.
    """
    if tokens.dtype not in (pl.Binary, pl.Null):
        raise ConfigurationError(
            f"tokens cannot be reversed from a column of type {tokens.dtype}",
            hint="give the 16-byte tokens themselves, not their text",
        )
    array = tokens.cast(pl.Binary).rechunk().to_arrow(compat_level=pl.CompatLevel.newest())
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array


def _reverse(subkeys: Subkeys, tokens: pa.Array) -> NDArray[np.int64]:
    """The numbers behind tokens, -1 where one is refused."""
    numbers = np.empty(len(tokens), dtype=np.int64)
    if not kernel.native:
        numbers[:] = [_reverse_one(subkeys, token) for token in tokens.to_pylist()]
        return numbers
    native, keys = kernel.native, kernel.open_keys(subkeys)

    def work(start: int, rows: int) -> None:
        native.reverse(keys, kernel.arrow_column(tokens, start, rows), numbers[start:], 0)

    kernel.in_slices(len(tokens), work)
    return numbers


def _reverse_one(subkeys: Subkeys, token: bytes | None) -> int:
    try:
        return int(reverse_person(subkeys, token)) if token is not None else _REFUSED
    except TokenRefused:
        return _REFUSED


def _series(tokens: pa.Array | pa.ChunkedArray) -> pl.Series:
    kind = tokens.type if isinstance(tokens, pa.Array | pa.ChunkedArray) else pa.bool_()
    kinds = (pa.types.is_fixed_size_binary, pa.types.is_binary, pa.types.is_large_binary, pa.types.is_null)
    if isinstance(tokens, pa.Array | pa.ChunkedArray) and len(tokens) > _MOST_TEXTS:
        raise ConfigurationError(
            f"numbers of {len(tokens):,} tokens do not fit one Arrow string array",
            hint=f"give the column in parts of at most {_MOST_TEXTS:,} rows, or as Polars",
        )
    if kind == pa.uuid():
        tokens = tokens.cast(pa.binary(TOKEN_BYTES))
    elif not any(is_kind(kind) for is_kind in kinds):
        raise ConfigurationError(
            "tokens are reversed from an Arrow or Polars column of binary values",
            hint="give the 16-byte tokens themselves, not their text",
        )
    kernel.check_buffers(tokens)
    return pl.Series("", tokens)
