"""What the site half hands to the hub half: Parquet files by feed table, and a manifest that accounts for every row.

    <bundle>/manifest.json
    <bundle>/<feed>/<table>/part-00000.parquet      one for each extract file
    <bundle>/<feed>/<table>/submissions.parquet     where a contract says that submissions replace one another

A part holds `token` (16 bytes, null where a feed keeps unlinked rows), the table's kept columns, and four
columns for settling re-submissions: `_delivered`, `_file`, `_row` and `_deleted`. `submissions.parquet` says which
submissions came, also those of which no row may go on, and nothing of persons or records. No part ever holds an NHS
number.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict

from linkage.errors import IntegrityError

_Told = TypeVar("_Told")
FORMAT: Literal["linkage-bundle/1"] = "linkage-bundle/1"
_AT_ONCE = 4  # files, of which little is in memory
LEVEL = 1  # of zstd: tokens do not compress, and higher levels made nothing smaller and cost a third more
# Places of one sender's files of a table; those of several senders follow one another in steps of it.
PLACES = 1 << 20
BOOKKEEPING = ("_delivered", "_file", "_row", "_deleted", "_rows")

SqlType = Literal["UUID", "VARCHAR", "BIGINT", "SMALLINT", "TINYINT", "DOUBLE", "DATE", "TIMESTAMP", "TIME", "BOOLEAN"]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Field(_Model):
    """One column of a part. A token (type UUID) is stored as 16 bytes."""

    name: str
    type: SqlType
    role: str
    description: str = ""


class Part(_Model):
    """One extract file after the site half.

    Attributes:
        path: Relative to the bundle, with forward slashes.
        place: The number in its rows' `_file`; of two files of a table the one delivered later has the higher.
        source: The extract's file name.
        source_digest: SHA-256 of the extract, hexadecimal.
        delivered: The delivery stamp, UTC.
        read: Rows in the extract.
        kept: Rows in the part; `read` = `kept` + the sum of `removed`.
        removed: Rows by reason.
        digest: SHA-256 of the part, hexadecimal.
    """

    path: str
    place: int
    source: str
    source_digest: str
    delivered: datetime
    read: int
    kept: int
    removed: dict[str, int]
    digest: str


class TableParts(_Model):
    """All parts of one feed table; every part has the same fields.

    Attributes:
        submissions: The table's submissions where its contract says what they replace, as parts with no `token`: the
            columns of the rule, the first `_delivered`, `_file` and `_row` of each, and its number of `_rows`.
    """

    feed: str
    table: str
    contract_digest: str
    fields: tuple[Field, ...]
    parts: tuple[Part, ...]
    submissions: TableParts | None = None

    @property
    def all_parts(self) -> tuple[Part, ...]:
        """The parts, with those that list submissions."""
        return self.parts + (self.submissions.parts if self.submissions else ())

    @property
    def name(self) -> str:
        """The published table's name."""
        return f"{self.feed}_{self.table}"


class BundleManifest(_Model):
    """The account of a bundle."""

    format: Literal["linkage-bundle/1"] = FORMAT
    domain: str
    key_id: str
    tables: tuple[TableParts, ...]


def digest(path: Path) -> str:
    """SHA-256 of a file, hexadecimal, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def of_each(step: Callable[[Path], _Told], paths: Iterable[Path]) -> list[_Told]:
    """What a step says of each of some files, in their order: a few files at a time, as reading and hashing hold no other work up."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(step, paths))


def check_part(path: Path, part: Part) -> None:
    """Check that a part is the one that a manifest names, before another is made from it.

    Raises:
        IntegrityError: It is missing or was changed.
    """
    try:
        good = digest(path) == part.digest
    except OSError:
        good = False
    if not good:
        raise IntegrityError(
            f"{part.path}: a part of the bundle is missing or was changed",
            hint="find out who could write there, then make everything anew: `linkage run --full`",
        )


def write(folder: Path, manifest: BundleManifest) -> None:
    """Write the manifest, last, so that a bundle without one is known to be unfinished."""
    balance(manifest)
    (folder / "manifest.json").write_text(manifest.model_dump_json(indent=1), encoding="utf-8")


def read(folder: Path, stands: Callable[[Part], bool] | None = None) -> BundleManifest:
    """Read a bundle's manifest and check that every part is the one it names.

    Args:
        folder: The bundle.
        stands: Whether a part is known to be what it was without reading it whole; None where nothing is known.

    Raises:
        IntegrityError: The manifest is missing or does not balance, or a part is missing or was changed.
    """
    hint = "make the bundle again"
    try:
        manifest = BundleManifest.model_validate_json((folder / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise IntegrityError(f"{folder}: the bundle's manifest is missing or damaged", hint=hint) from None
    balance(manifest)
    parts = [part for table in manifest.tables for part in table.all_parts]
    unread = [part for part in parts if not (stands and stands(part) and (folder / part.path).is_file())]
    found = of_each(lambda path: digest(path) if path.is_file() else None, [folder / part.path for part in unread])
    for part, made in zip(unread, found, strict=True):
        if made != part.digest:
            raise IntegrityError(f"{part.path}: missing from the bundle or changed since", hint=hint)
    return manifest


def balance(manifest: BundleManifest) -> None:
    """Check that every row of every extract was kept or removed for a reason.

    Raises:
        IntegrityError: Some file's rows do not add up.
    """
    for table in manifest.tables:
        for part in table.parts:
            if part.read != part.kept + sum(part.removed.values()):
                raise IntegrityError(
                    f"{table.feed} {table.table}: the rows of {part.source} do not add up",
                    hint="nothing was published; keep the extract and report this",
                )
