"""Moving a table of an approved study to the study's own tokens. Only a key holder's program imports this module.

A study has a root secret of its own. So two studies' tables cannot be matched, and two ICSs whose key holders share the
study's keyset can, without a number leaving either. Whoever holds that keyset can turn the study's tokens back, those of
the other ICS too: the tables go to neither key holder. Whoever holds a table before and after can match them by what they hold.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import polars as pl

from linkage.errors import ConfigurationError, InputError, IntegrityError
from linkage.pseudonymise.reverser import KeyHolderKeyset
from linkage.pseudonymise.token import TOKEN_BYTES
from linkage.pseudonymise.translator import Translator

__all__ = ["Moved", "Way", "move", "move_by"]

SUBJECT = "token"  # the store's name for a row's person, in every table
_WRITTEN = r"(?i)^\s*[0-9a-f]{8}-?[0-9a-f]{4}-?8[0-9a-f]{3}-?[89ab][0-9a-f]{3}-?[0-9a-f]{12}\s*$"  # a token as text
PROBE = 10_000  # values of a column by which it is told what it holds


class Kind(StrEnum):
    """What a column of tokens holds."""

    PERSON = "person"
    RECORD = "record"


@dataclass(frozen=True, slots=True)
class Way:
    """From one domain under one keyset to another under another.

    Attributes:
        keyset: The ICS's keyset.
        domain: The ICS's domain.
        study: The study's keyset.
        study_domain: The study's domain.
    """

    keyset: KeyHolderKeyset
    domain: str
    study: KeyHolderKeyset
    study_domain: str

    def translator(self) -> Translator:
        """What makes the study's tokens of the ICS's.

        Raises:
            ConfigurationError: A domain's name cannot be used, or the study has the secret of the ICS.
        """
        if self.study.version_of(self.study_domain).id == self.keyset.version_of(self.domain).id:
            raise ConfigurationError(
                "the study's keyset has the secret of the ICS: whoever is given it could turn all tokens of the ICS back",
                hint="make one for the study alone: `linkage keys create`",
            )
        sources, [target, *_] = self.keyset._usable_subkeys(self.domain), self.study._usable_subkeys(self.study_domain)
        return Translator._from_subkeys(sources, target)


@dataclass(frozen=True, slots=True)
class Moved:
    """What was written.

    Attributes:
        rows: Its rows.
        columns: The columns that held tokens, and of what.
    """

    rows: int
    columns: Mapping[str, Kind]


def move(source: Path, target: Path, way: Way) -> Moved:
    """Write a table with the study's tokens, sorted by them, so that its order tells nothing of the old one.

    Args:
        source: Parquet with tokens of the ICS (16 bytes, as the store has them).
        target: The file to make; it must not exist.
        way: From which domain to which.

    Raises:
        InputError: There are no tokens in it, a column has tokens in another form, or the target exists.
        IntegrityError: A column holds tokens that are not this ICS's, or of people and of records.
    """
    return move_by(source, target, way.translator())


def move_by(source: Path, target: Path, translator: Translator) -> Moved:
    """As `move`, by whatever turns the tokens.

    Args:
        source: Parquet with tokens (16 bytes, as the store has them).
        target: The file to make; it must not exist.
        translator: From the old tokens to the new.

    Raises: as `move`.
    """
    if target.exists():
        raise InputError(f"{target} exists", hint="name a new file")
    rows = pl.scan_parquet(source, hive_partitioning=False)
    names = _token_columns(rows)
    if not names:
        raise InputError(
            f"{source.name}: no column holds tokens", hint="give a table of the store, or a cohort with its tokens"
        )
    kinds = {name: _kind(rows, name, translator) for name in names}
    first = sorted(names, key=lambda name: (kinds[name] is Kind.RECORD, name != SUBJECT))
    made = rows.with_columns(_translated(name, kind, translator) for name, kind in kinds.items()).sort(
        first, nulls_last=False
    )
    aside = target.with_name(f".{target.name}.part")
    try:
        made.sink_parquet(aside, compression="zstd")
        _check(source, aside, names)
        aside.replace(target)
    finally:
        aside.unlink(missing_ok=True)
    return Moved(pl.scan_parquet(target).select(pl.len()).collect().item(), kinds)


def _token_columns(rows: pl.LazyFrame) -> tuple[str, ...]:
    """Columns of 16 bytes.

    Raises:
        InputError: A column could hold tokens that would stay as they are: they would match the study with the ICS.
    """
    schema = rows.collect_schema()
    if nested := [name for name, dtype in schema.items() if dtype.is_nested() and "Binary" in str(dtype)]:
        raise _unmoved(nested[0])
    binary, texts = ([name for name, dtype in schema.items() if dtype == kind] for kind in (pl.Binary, pl.String))
    if not binary and not texts:
        return ()
    seen = rows.select(
        *((pl.col(name).bin.size() == TOKEN_BYTES).all() for name in binary),
        *(~pl.col(name).str.contains(_WRITTEN).any() for name in texts),
    ).collect(engine="streaming")
    tokens = tuple(name for name in binary if seen[name].item())
    if tokens and (others := [name for name in (*binary, *texts) if not seen[name].item()]):
        raise _unmoved(others[0])
    return tokens


def _kind(rows: pl.LazyFrame, name: str, translator: Translator) -> Kind:
    """A person token proves that it is one; what does not is a record's."""
    probe = rows.select(name).filter(pl.col(name).is_not_null()).head(PROBE).collect()[name]
    refused = translator.person(probe)[0].null_count()
    if refused == len(probe) and (name != SUBJECT or not len(probe)):
        return Kind.RECORD
    if refused:
        raise _foreign(name)
    return Kind.PERSON


def _translated(name: str, kind: Kind, translator: Translator) -> pl.Expr:
    def translate(tokens: pl.Series) -> pl.Series:
        made, _ = translator.person(tokens) if kind is Kind.PERSON else translator.record(tokens)
        return made

    return pl.col(name).map_batches(translate, return_dtype=pl.Binary, is_elementwise=True)


def _check(source: Path, made: Path, names: Iterable[str]) -> None:
    """No token was refused: a row that lost its person would look like one that had none."""
    counts = [pl.col(name).null_count() for name in names]
    before = pl.scan_parquet(source, hive_partitioning=False).select(pl.len().alias(" rows"), *counts).collect()
    after = pl.scan_parquet(made).select(pl.len().alias(" rows"), *counts).collect()
    for name in before.columns:
        if before[name].item() != after[name].item():
            raise _foreign(name)


def _unmoved(name: str) -> InputError:
    return InputError(
        f"column {name!r} could hold tokens of the ICS that would stay as they are",
        hint="leave it out, or write tokens as 16 bytes in a column of their own that holds nothing else",
    )


def _foreign(name: str) -> IntegrityError:
    return IntegrityError(
        f"column {name!r} holds tokens that are not of this domain and key",
        hint="check the domain and the keyset; nothing was written",
    )
