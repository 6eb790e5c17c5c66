"""The people of a cohort: tokens of the current snapshot, and no column but those that may go with an NHS number."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from linkage.config import Configuration
from linkage.errors import InputError, IntegrityError, PolicyError
from linkage.reidentify.judged import TAKEN
from linkage.reidentify.request import TOKEN, are_tokens
from linkage.store import shell
from linkage.store.manifest import SnapshotManifest

__all__ = ["Snapshot", "check_columns", "people_of", "tokens_of"]

_TEN_DIGITS = 1e9  # from here on a figure could be an NHS number
_TOKEN = r"(?i)[0-9a-f]{8}-?[0-9a-f]{4}-?8[0-9a-f]{3}-?[89ab][0-9a-f]{3}-?[0-9a-f]{12}"  # noqa: S105 their form
_PLAIN = (pl.Boolean, pl.Date, pl.Float32, pl.Float64, pl.String)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The current snapshot.

    Attributes:
        folder: Where it is.
        manifest: What it says of itself.
        digest: SHA-256 of that, hexadecimal.
    """

    folder: Path
    manifest: SnapshotManifest
    digest: str

    @classmethod
    def current(cls, configuration: Configuration) -> Snapshot:
        """The current one of a configuration's store.

        Raises:
            InputError: Nothing has been published.
            PolicyError: It is of another domain than the configuration's.
            IntegrityError: It is not there, or its manifest cannot be read.
        """
        folder = shell.snapshot(configuration.at(configuration.store.path))
        try:
            content = (folder / "manifest.json").read_bytes()
            said = SnapshotManifest.model_validate_json(content)
        except (OSError, ValueError):
            raise IntegrityError("the snapshot's manifest cannot be read", hint="run the pipeline again") from None
        if said.domain != configuration.keys.domain:
            raise PolicyError(
                "the current snapshot is of another domain than the configuration's", hint="run the pipeline again"
            )
        return cls(folder, said, hashlib.sha256(content).hexdigest())

    def knows(self, tokens: pl.Series) -> pl.Series:
        """Whether each token (Binary) is somebody's in the person table (Boolean).

        Raises:
            IntegrityError: The table is not there, or cannot be read.
        """
        files = [
            self.folder / file.path for table in self.manifest.tables if table.name == "person" for file in table.files
        ]
        try:
            known = pl.scan_parquet(files).select(pl.col(TOKEN), pl.lit(value=True).alias("known"))
            asked = tokens.alias(TOKEN).to_frame().lazy().join(known, on=TOKEN, how="left", maintain_order="left")
            return asked.select(pl.col("known").fill_null(value=False)).collect()["known"]
        except (OSError, pl.exceptions.PolarsError):
            raise IntegrityError(
                f"{self.folder.name}: its table of people cannot be read",
                hint="look at the snapshot with `linkage open`",
            ) from None


def tokens_of(cohort: str, snapshot: Path) -> pl.DataFrame:
    """The rows of a cohort.

    Args:
        cohort: A file `.parquet`, `.csv` or `.sql`, or a query itself.
        snapshot: Where a query is asked.

    Raises:
        InputError: The file cannot be read.
        ConfigurationError: The query cannot be run.
    """
    path, kind = Path(cohort), cohort.lower().rpartition(".")[2]
    try:
        if kind == "parquet":
            return pl.read_parquet(path)
        if kind == "csv":
            return pl.read_csv(path)
        text = path.read_text(encoding="utf-8") if kind == "sql" else cohort
    except (OSError, UnicodeDecodeError, pl.exceptions.PolarsError):
        raise InputError(f"{cohort}: cannot be read as a cohort", hint="give a query, or a file of tokens") from None
    return shell.rows(snapshot, text)


def people_of(rows: pl.DataFrame, agreed: Sequence[str], snapshot: Snapshot) -> pl.DataFrame:
    """A cohort with its tokens as 16 bytes, all of them in the snapshot, and the columns that were agreed, in that order.

    Raises:
        InputError: A token is none, is there twice, or is not in the snapshot; a column may name somebody.
        PolicyError: There is a column that was not agreed.
    """
    if TOKEN not in rows.columns:
        raise InputError("the cohort has no column called token", hint="select the token of the person table")
    check_columns(rows.drop(TOKEN), agreed)
    people = rows.select(_binary(rows[TOKEN]), *(name for name in agreed if name in rows.columns))
    if not people.height or people[TOKEN].is_duplicated().any():
        raise InputError("the cohort is empty, or names somebody twice", hint="one row for each person")
    missing = int((~snapshot.knows(people[TOKEN])).sum())
    if missing:
        raise InputError(
            f"{missing:,} of the cohort's {people.height:,} tokens are not in the current snapshot",
            hint="select the cohort from it: people leave with their opt-outs, and tokens change with their key",
        )
    return people


def check_columns(more: pl.DataFrame, agreed: Sequence[str]) -> None:
    """Refuse columns that were not agreed, that could name somebody, or that a spreadsheet would run.

    Raises:
        PolicyError: One was not agreed.
        InputError: One holds something else than words, figures and dates, or has the name of what is known of somebody.
    """
    for column in more:
        if column.name.strip().lower() in TAKEN:
            raise InputError(
                f"the cohort's column {column.name} has not a name of its own: what is so called is looked up for each person",
                hint="call it otherwise, and in the purpose too: [purpose.reidentification] columns",
            )
        if column.name not in agreed:
            raise PolicyError(
                f"the cohort's column {column.name} is not among those that may go with an NHS number",
                hint="leave it out; the purpose names them: [purpose.reidentification] columns",
            )
        _check_column(column)


def _binary(tokens: pl.Series) -> pl.Series:
    """Tokens as 16 bytes; text is a UUID."""
    if tokens.dtype == pl.String:
        tokens = tokens.str.replace_all("-", "", literal=True).str.to_lowercase().str.decode("hex", strict=False)
    if not are_tokens(tokens):
        raise InputError("the cohort's column token holds what is no token", hint="select it as it is in the snapshot")
    return tokens


def _check_column(column: pl.Series) -> None:
    """Refuse what could name somebody, or what a spreadsheet would run."""
    if not (column.dtype.is_integer() or column.dtype.is_decimal() or column.dtype in _PLAIN):
        raise InputError(f"the cohort's column {column.name} is neither text, a number nor a date", hint="leave it out")
    if column.dtype.is_numeric() and (column.cast(pl.Float64).abs() >= _TEN_DIGITS).any():
        raise InputError(
            f"the cohort's column {column.name} holds figures as long as an NHS number is", hint="give smaller ones"
        )
    if column.dtype != pl.String:
        return
    if column.str.contains(_TOKEN).any():
        raise InputError(
            f"the cohort's column {column.name} holds what looks like a token: beside a number it would say whose it is",
            hint="leave it out",
        )
    bad = (
        column.str.contains(r"^[=+@\t\r-]") | column.str.contains(r"[0-9]([ -]?[0-9]){9}") | column.str.contains(r"\n")
    )
    if bad.any():
        raise InputError(
            f"the cohort's column {column.name} holds lines, formulas, or ten digits as an NHS number has",
            hint="give words and figures",
        )
