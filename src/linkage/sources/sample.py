"""A first look at a file that no contract describes yet: its characters, delimiter, header, and some rows as text."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from linkage.errors import InputError
from linkage.layout import Encoding, Layout
from linkage.sources import text

MOST_BYTES, MOST_ROWS, FEW_ROWS = 2 << 20, 5_000, 200
_DELIMITERS = (",", "|", "\t", ";", "^", "~")
_NAME = re.compile(r"(?=.*[A-Za-z])[A-Za-z_\d][\w .:()/&'-]{0,120}")
_VALUE = re.compile(
    r"\d{5}|@|^[A-Za-z]{1,2}\d[A-Za-z\d]?\s*\d[A-Za-z]{2}$|^\d{1,4}[-/ .]\w{2,3}[-/ .]\d{2,4}"
    r"|^\d+ [A-Za-z]+ (?:road|street|close|lane)",
    re.IGNORECASE,
)
# Parts of words that columns of health and care records are called by. A first line without them is taken for data.
_WORDS = re.compile(
    r"id$|key|guid|nhs|num|date|time|code|name|title|sex|gender|ethn|birth|dob|death|post|addr|street|road|town|county"
    r"|phone|mail|practice|gp|org|provid|commission|patient|person|type|status|reason|source|method|event|epi|spell|admi"
    r"|disch|disdate|diag|oper|cost|price|value|unit|text|desc|comment|note|flag|is[A-Z]|lsoa|ref|start|end|from|month"
    r"|year|age|count|version|row|record|contact|care|service|ward|drug|dos|quant|visit|attend|outcome|call|case|delet"
    r"|remov|test|sensitiv|confid|priority|speci|procode|identifier",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, repr=False)
class Sample:
    """Some rows of a file.

    Attributes:
        name: The file's name, without what it is packed in.
        layout: How its text is written; the default for files that are not text.
        is_text: Whether it is text.
        columns: For each column its name (empty where the file names none) and its values, stripped, blanks null (String).
    """

    name: str
    layout: Layout
    is_text: bool
    columns: tuple[tuple[str, pl.Series], ...]


def read(path: Path, header: bool | None = None) -> Sample:
    """Read the start of a file.

    Args:
        path: Text in any encoding that contracts know, packed or not; Parquet; or Arrow.
        header: Whether the first line names the columns; guessed when not given.

    Raises:
        InputError: It cannot be read, is empty, or has one column only.
    """
    try:
        typed = _typed(path)
        if typed is not None:
            return Sample(path.name, Layout(), is_text=False, columns=tuple((c.name, _text(c)) for c in typed))
        return _from_text(path, header)
    except OSError as error:
        raise InputError(f"{path.name}: cannot be read ({error.strerror})", hint="name an existing file") from None


def _typed(path: Path) -> pl.DataFrame | None:
    """The first rows of a Parquet or Arrow file; None for any other."""
    readers = {".parquet": pl.read_parquet, ".arrow": pl.read_ipc, ".feather": pl.read_ipc, ".ipc": pl.read_ipc}
    reader = readers.get(path.suffix.lower())
    if path.suffix.lower() == ".arrows":
        reader = pl.read_ipc_stream
    if reader is None:
        return None
    try:
        return reader(path.read_bytes() if path.suffix.lower() == ".arrows" else path, n_rows=MOST_ROWS)
    except OSError:
        raise
    except BaseException as error:
        # A panic of the reader is not an Exception; its message could quote the file.
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise InputError(
            f"{path.name}: cannot be read ({type(error).__name__})", hint="ask for the file again"
        ) from None


def _text(column: pl.Series) -> pl.Series:
    if column.dtype.is_nested() or column.dtype == pl.Binary:
        return pl.Series(column.name, [None] * len(column), dtype=pl.String)
    return _stripped(column.cast(pl.String))


def _stripped(column: pl.Series) -> pl.Series:
    stripped = column.str.strip_chars()
    return stripped.set(stripped == "", None)


def _from_text(path: Path, header: bool | None) -> Sample:
    content, whole = _start(path)
    encoding, written = _decoded(content, path.name)
    delimiter, quote, rows = _rows(written, whole=whole)
    if not rows:
        raise InputError(f"{path.name}: the file is empty", hint="name a file with a header and some rows")
    if len(rows[0]) < 2:
        raise InputError(
            f"{path.name}: one column only, whatever stands between its fields",
            hint="its delimiter is none that is known here: write the contract by hand",
        )
    named = _names(rows) if header is None else header
    if named and len(rows) < 2:
        raise InputError(f"{path.name}: a header and no rows", hint="name a file with some rows")
    body = rows[1:] if named else rows
    fields = [list(column) for column in zip(*(row for row in body if len(row) == len(rows[0])), strict=True)]
    if not fields:
        raise InputError(f"{path.name}: no row has as many fields as the first", hint="write the contract by hand")
    names = rows[0] if named else [""] * len(rows[0])
    columns = tuple(
        (name, _stripped(pl.Series(values, dtype=pl.String))) for name, values in zip(names, fields, strict=True)
    )
    layout = Layout(encoding=encoding, delimiter=delimiter, quote=quote, header=named)
    return Sample(text.plain_name(path), layout, is_text=True, columns=columns)


def _start(path: Path) -> tuple[bytes, bool]:
    """The first bytes of a file, unpacked, and whether they are all of it."""
    content = b""
    for chunk in text.unpacked(path, text.packing(path)):
        content += chunk
        if len(content) > MOST_BYTES:
            return content[:MOST_BYTES], False
    return content, True


def _decoded(content: bytes, name: str) -> tuple[Encoding, str]:
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16", content[: len(content) // 2 * 2].decode("utf-16", errors="ignore")
    if b"\0" in content:
        raise InputError(f"{name}: no text in an encoding that is known here", hint="ask for UTF-8")
    try:
        decoder = codecs.getincrementaldecoder("utf-8-sig")()
        return "utf-8", decoder.decode(content)  # a last character may be cut
    except UnicodeDecodeError:
        return "windows-1252", content.decode("cp1252", errors="replace")


def _rows(written: str, *, whole: bool) -> tuple[str, str, list[list[str]]]:
    """What stands between fields and around them, and the rows: under the choice that gives most rows the same form."""
    best: tuple[float, int, str, str] | None = None
    for quote in ('"', ""):
        for delimiter in _DELIMITERS:
            rows = _parsed(written, delimiter, quote, FEW_ROWS, whole=whole)
            if not rows:
                continue
            width = len(rows[0])
            even = sum(len(row) == width for row in rows) / len(rows) if width > 1 else 0.0
            if best is None or (even, width) > best[:2]:
                best = (even, width, delimiter, quote)
    if best is None:
        return ",", '"', []
    return best[2], best[3], _parsed(written, best[2], best[3], MOST_ROWS, whole=whole)


def _parsed(written: str, delimiter: str, quote: str, most: int, *, whole: bool) -> list[list[str]]:
    lines = io.StringIO(written, newline="")
    if quote:
        reader = csv.reader(lines, delimiter=delimiter, quotechar=quote)
    else:
        reader = csv.reader(lines, delimiter=delimiter, quotechar=None, quoting=csv.QUOTE_NONE)
    rows: list[list[str]] = []
    try:
        for row in reader:
            if row:
                rows.append(row)
            if len(rows) > most:
                break
        else:
            if not whole and len(rows) > 1:
                rows.pop()  # the last one is cut
    except csv.Error:
        return []
    return rows


def _names(rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first line names the columns. In doubt it does not: what it holds is then repeated nowhere."""
    first = [field.strip() for field in rows[0]]
    if len(set(first)) < len(first) or not all(_NAME.fullmatch(field) and not _VALUE.search(field) for field in first):
        return False
    if any(field in {row[place].strip() for row in rows[1:] if place < len(row)} for place, field in enumerate(first)):
        return False
    return sum(bool(_WORDS.search(field)) for field in first) * 2 >= len(first)
