"""One part of a site: found among its packets, checked, opened in memory, and written anew with tokens of the ICS."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path

import polars as pl

from linkage.bundle import LEVEL, PLACES, Field, Part, SqlType, TableParts, digest
from linkage.contract import Role, Table
from linkage.disk import sync
from linkage.errors import IntegrityError
from linkage.federate.packet import SEALED, read_packet
from linkage.federate.receive import Holds
from linkage.link.tables import key_columns
from linkage.pseudonymise.translator import Translator
from linkage.signed import Verifier
from linkage.sites.opening import Opener
from linkage.sites.register import columns
from linkage.sites.reorder import reordered

__all__ = ["Brought", "TablePart", "rewrite"]

_DTYPES: Mapping[SqlType, type[pl.DataType]] = {
    "UUID": pl.Binary, "VARCHAR": pl.String, "BIGINT": pl.Int64, "SMALLINT": pl.Int16, "TINYINT": pl.Int8,
    "DOUBLE": pl.Float64, "DATE": pl.Date, "TIMESTAMP": pl.Datetime, "TIME": pl.Time, "BOOLEAN": pl.Boolean,
}  # fmt: skip
_BOOK: Mapping[str, pl.DataType] = {"_row": pl.Int64(), "_delivered": pl.Datetime("us"), "_file": pl.Int32()}
_OF_ROWS = {**_BOOK, "_deleted": pl.Boolean()}
_OF_SUBMISSIONS = {**_BOOK, "_rows": pl.Int64()}
_AGAIN = "ask the site for all of it: `linkage site run --everything`"


@dataclass(frozen=True, slots=True)
class Brought:
    """Where each part is that a site's packets have brought.

    Attributes:
        places: By the digest of a part: its sealed file, and the digest of that.
    """

    places: Mapping[str, tuple[Path, str]]

    @classmethod
    def of(cls, packets: Sequence[Path], known: Sequence[Verifier]) -> Brought:
        """Of a site's packets in their order; a part that came again is read where it came last.

        Raises:
            IntegrityError: The manifest of one was changed.
        """
        places = {}
        for folder in packets:
            packet, _, _ = read_packet(folder, known)
            for path, sealed in packet.sealed.items():
                places[packet.parts[path]] = (folder / f"{path}{SEALED}", sealed)
        return cls(places)

    def opened(self, part: Part, opener: Opener, title: str) -> bytes:
        """A part's bytes, in memory, as the site signed them.

        Raises:
            IntegrityError: Its sealed file is missing or was changed, is not for this key holder, or holds something else.
        """
        found = self.places.get(part.digest)
        sealed = found[0].read_bytes() if found is not None and found[0].is_file() else None
        if found is None or sealed is None:
            raise IntegrityError(f"{title}: {part.path} is missing from the inbox", hint=_AGAIN)
        if hashlib.sha256(sealed).hexdigest() != found[1]:
            raise IntegrityError(
                f"{title}: {part.path} was changed in the inbox", hint="find out who could write there"
            )
        opened = opener.open(sealed)
        if opened is None:
            raise IntegrityError(
                f"{title}: {part.path} is not sealed to this key holder",
                hint="tell the site the public key: `linkage hub recipient` prints it",
            )
        if hashlib.sha256(opened).hexdigest() != part.digest:
            raise IntegrityError(f"{title}: {part.path} holds something else than the site signed", hint=_AGAIN)
        return opened


@dataclass(frozen=True, slots=True)
class TablePart:
    """What the parts of one table have in common.

    Attributes:
        fields: Their columns beside the bookkeeping.
        book: The bookkeeping, with its types.
        holds: What their token columns hold, by contract and not by the site's word.
        keys: The columns that name a record; empty for a list of submissions, whose rows are of nobody.
        translator: From the site's domain to that of the ICS.
    """

    fields: tuple[Field, ...]
    book: Mapping[str, pl.DataType]
    holds: Mapping[str, Holds]
    keys: tuple[str, ...]
    translator: Translator

    @classmethod
    def of(cls, parts: TableParts, table: Table, translator: Translator) -> TablePart:
        """Of a table's rows."""
        keys = table.with_role(Role.RECORD) if table.kind == "deletions" else key_columns(parts, table)
        return cls(parts.fields, _OF_ROWS, _tokens(parts.fields, table), keys, translator)

    @classmethod
    def of_submissions(cls, parts: TableParts, table: Table, translator: Translator) -> TablePart:
        """Of its list of submissions."""
        fields = parts.submissions.fields if parts.submissions else ()
        return cls(fields, _OF_SUBMISSIONS, _tokens(fields, table), (), translator)


def _tokens(fields: Sequence[Field], table: Table) -> dict[str, Holds]:
    known = columns(table)
    return {field.name: known[field.name] for field in fields if field.type == "UUID"}


def rewrite(opened: bytes, about: TablePart, part: Part, places: int, target: Path) -> str:
    """Write a part with tokens of the ICS, its rows in the order of those.

    Args:
        opened: The site's part.
        about: What its table's parts have in common.
        part: What the site says of it.
        places: What is added to places of the site's files.
        target: The file to write; it appears whole.

    Returns:
        The digest of the file, hexadecimal.

    Raises:
        IntegrityError: It does not hold what the site says, or a token is not one of the site's domain and key.
    """
    rows = _read(opened, about, part)
    rows = rows.with_columns(
        _translated(rows[name], holds, about.translator, part) for name, holds in about.holds.items()
    )
    if about.keys:
        rows = reordered(rows, about.keys)
    else:
        rows = rows.sort(pl.all()).with_columns(pl.col("_row").rank("dense").over("_file").cast(pl.Int64) - 1)
    rows = rows.with_columns((pl.col("_file") + places).cast(pl.Int32))
    aside = target.with_suffix(".new")
    rows.write_parquet(aside, compression="zstd", compression_level=LEVEL)
    aside.chmod(0o600)
    sync(aside)
    made = digest(aside)
    aside.replace(target)
    return made


def _read(opened: bytes, about: TablePart, part: Part) -> pl.DataFrame:
    """The rows of a part, once they are what the site says."""
    named = [field.name for field in about.fields]
    try:
        rows = pl.read_parquet(io.BytesIO(opened), hive_partitioning=False)
    except pl.exceptions.PolarsError:
        rows = None
    good = (
        rows is not None
        and sorted(rows.columns) == sorted([*named, *about.book])
        and rows.height == part.kept
        and all(rows.schema[field.name] == _DTYPES[field.type] for field in about.fields)
        and all(rows.schema[name] == dtype for name, dtype in about.book.items())
        and (not about.keys or "token" in about.holds)
        and bool(rows.select(_is_in_place(about, part).fill_null(value=False).all()).item())
    )
    if not good or rows is None:
        raise IntegrityError(
            f"{part.path}: the part does not hold what the site says of it", hint="find out how the site made it"
        )
    return rows


def _is_in_place(about: TablePart, part: Part) -> pl.Expr:
    """Whether a row says the part's own file and delivery; a list of submissions is of several files, all the site's own."""
    if not about.keys:
        # A place beyond the site's own would be that of another site's file, whose submission it would replace.
        return pl.col("_file").is_between(0, PLACES - 1)
    return (pl.col("_file") == part.place) & (
        pl.col("_delivered") == part.delivered.astimezone(UTC).replace(tzinfo=None)
    )


def _translated(tokens: pl.Series, holds: Holds, translator: Translator, part: Part) -> pl.Series:
    made, _ = translator.person(tokens) if holds == "person" else translator.record(tokens)
    if made.null_count() != tokens.null_count():
        raise IntegrityError(
            f"{part.path}: column {tokens.name!r} holds tokens that are not of the site's domain and key",
            hint="ask the site which keyset it used; nothing of its packet was taken over",
        )
    return made.alias(tokens.name)
