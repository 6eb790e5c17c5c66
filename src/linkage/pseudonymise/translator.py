"""From the tokens of one domain to those of another. Only a key holder's program imports this module.

With the compiled kernel no NHS number ever becomes a Python object. Without it, one does for a moment, and Python cannot
wipe it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Self

import numpy as np
import polars as pl
import pyarrow as pa

from linkage.handles import SecretHandle
from linkage.pseudonymise import kernel
from linkage.pseudonymise.reverser import REFUSED, KeyHolderKeyset, tokens_array
from linkage.pseudonymise.token import (
    TOKEN_BYTES,
    Subkeys,
    TokenRefused,
    person_token,
    reverse_person,
    translate_record,
)
from linkage.pseudonymise.tokeniser import binary

if TYPE_CHECKING:
    from numpy.typing import NDArray

    _Made = tuple[NDArray[np.uint8], NDArray[np.uint8]]

__all__ = ["Translator"]


class Translator(SecretHandle):
    """Makes the tokens of one domain from those of another, for the same people and records."""

    __slots__ = ("_sources", "_target")

    _sources: tuple[Subkeys, ...]
    _target: Subkeys

    def __init__(self) -> None:
        raise TypeError("a Translator comes from Translator.open(keyset, source, target)")

    @classmethod
    def open(cls, keyset: KeyHolderKeyset, source: str, target: str) -> Self:
        """The way from one domain to another: from every active key version, to the primary one.

        Raises:
            ConfigurationError: A domain's name cannot be used.
        """
        return cls._from_subkeys(keyset._usable_subkeys(source), keyset._usable_subkeys(target)[0])

    @classmethod
    def between(cls, keyset: KeyHolderKeyset, domain: str, old: str, new: str) -> Self:
        """The way from one key version's tokens of a domain to another's; the old one may be disabled.

        Raises:
            KeyUnavailableError: The keyset has no such version, or it is destroyed.
            ConfigurationError: The domain's name cannot be used.
        """
        return cls._from_subkeys([keyset._version_subkeys(domain, old)], keyset._version_subkeys(domain, new))

    @classmethod
    def _from_subkeys(cls, sources: Sequence[Subkeys], target: Subkeys) -> Self:
        self = object.__new__(cls)
        self._sources, self._target = tuple(sources), target
        return self

    def __repr__(self) -> str:
        return f"<Translator from={self._sources[0].domain} to={self._target.domain}>"

    def person(self, tokens: pl.Series) -> tuple[pl.Series, pl.Series]:
        """Translate person tokens.

        Args:
            tokens: Binary of 16 bytes.

        Returns:
            The target domain's tokens (Binary) and reasons (Enum): null and `refused` where a token is null, forged,
            damaged, or of another domain or key.

        Raises:
            ConfigurationError: The column is not binary.
        """
        first, *others = self._sources
        made, refused = _person(first, self._target, tokens_array(tokens))
        made = made.reshape(-1, TOKEN_BYTES)
        for source in others:
            left = np.flatnonzero(refused)
            if len(left):
                one, no = _person(source, self._target, tokens_array(tokens.gather(left)))
                made[left], refused[left] = one.reshape(-1, TOKEN_BYTES), no
        return _results(made, refused, tokens.name)

    def record(self, tokens: pl.Series) -> tuple[pl.Series, pl.Series]:
        """Translate record tokens; whoever made them, their form is all that can be checked.

        Args, results and errors are those of `person`.
        """
        column = tokens_array(tokens)
        made, refused = _record(self._sources[0].domain, self._target, column)
        return _results(made.reshape(-1, TOKEN_BYTES), refused, tokens.name)


def _nothing(rows: int) -> _Made:
    return np.zeros((rows, TOKEN_BYTES), dtype=np.uint8), np.ones(rows, dtype=np.uint8)


def _results(made: NDArray[np.uint8], refused: NDArray[np.uint8], name: str) -> tuple[pl.Series, pl.Series]:
    validity = pa.py_buffer(np.packbits(refused == 0, bitorder="little"))
    buffers = [validity, pa.py_buffer(np.ascontiguousarray(made))]
    tokens = pa.FixedSizeBinaryArray.from_buffers(pa.binary(TOKEN_BYTES), len(refused), buffers)
    reasons = pl.when(pl.col("refused") > 0).then(pl.lit(REFUSED, dtype=pl.Enum([REFUSED])))
    return binary(tokens, name), pl.select(refused=refused).select(reasons.alias("reason")).to_series()


def _person(source: Subkeys, target: Subkeys, tokens: pa.Array) -> _Made:
    made, refused = _nothing(len(tokens))
    if not kernel.native:
        for row, each in enumerate(tokens.to_pylist()):
            try:
                new = person_token(target, reverse_person(source, each or b""))
            except TokenRefused:
                continue
            made[row], refused[row] = np.frombuffer(new, dtype=np.uint8), 0
        return made, refused
    native, old, new_keys = kernel.native, kernel.open_keys(source), kernel.open_keys(target)

    def work(start: int, rows: int) -> None:
        native.translate(old, new_keys, kernel.arrow_column(tokens, start, rows), made[start:], refused[start:], 0)

    kernel.in_slices(len(tokens), work)
    return made, refused


def _record(source_domain: str, target: Subkeys, tokens: pa.Array) -> _Made:
    made, refused = _nothing(len(tokens))
    if not kernel.native:
        for row, each in enumerate(tokens.to_pylist()):
            try:
                new = translate_record(target, source_domain, each or b"")
            except TokenRefused:
                continue
            made[row], refused[row] = np.frombuffer(new, dtype=np.uint8), 0
        return made, refused
    native, keys, prefix = kernel.native, kernel.open_keys(target), b"@" + source_domain.encode() + b"\0"

    def work(start: int, rows: int) -> None:
        native.record(keys, prefix, kernel.arrow_column(tokens, start, rows), True, made[start:], refused[start:], 0)

    kernel.in_slices(len(tokens), work)
    return made, refused
