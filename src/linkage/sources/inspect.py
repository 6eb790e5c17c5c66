"""A first look at an extract: its digest, its header, how many rows it has and which of them are malformed.

One streaming pass over the bytes, before anything is parsed. What is found here is what the run's row balance is
held against, so it is counted independently of the reader.
"""

from __future__ import annotations

import codecs
import csv
import hashlib
import io
import re
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from linkage.contract import Feed, Table
from linkage.errors import ConfigurationError, InputError
from linkage.layout import Layout
from linkage.sources import batches, text
from linkage.sources.batches import Batches
from linkage.sources.seen import Seen
from linkage.sources.text import Packing

QUOTE = 0x22
NEWLINE = 0x0A
TYPED = (".parquet", *batches.SUFFIXES)
UNREADABLE = "ask the sender for the file again, or correct its permissions"


@dataclass(frozen=True, slots=True)
class Extract:
    """One delivered file of one table.

    Attributes:
        path: The file; for a database the name of its table.
        header: Its column names as delivered.
        delivered: When it was delivered, UTC.
        rows: Its data rows (records, not lines).
        malformed: Numbers (from 1) of the rows with too few or too many fields, ascending.
        size: Bytes, as delivered.
        digest: SHA-256 of the file as delivered, hexadecimal; for a database of what was asked and found.
        layout: How its text is written.
        packed: What it is packed in.
        ragged: Whether blank lines follow its last row.
        batches: Its rows, where they come as Arrow's batches and not as text or Parquet.
        seen: What the file system said of it before it was looked at; None for a database.
    """

    path: Path
    header: tuple[str, ...]
    delivered: datetime
    rows: int
    malformed: tuple[int, ...]
    size: int
    digest: str
    layout: Layout
    packed: Packing | None = None
    ragged: bool = False
    batches: Batches | None = None
    seen: Seen | None = field(default=None, compare=False)

    @property
    def is_plain(self) -> bool:
        """Whether a reader can take the text straight from the file."""
        return self.layout.encoding == "utf-8" and self.packed is None and not self.ragged

    @property
    def is_parquet(self) -> bool:
        """Whether the file is Parquet rather than text."""
        return self.batches is None and self.path.suffix.lower() == ".parquet"


def inspect(path: Path, feed: Feed, table: Table) -> Extract:
    """Look at one extract.

    Args:
        path: A text file, packed or not, or Parquet, or a file of Arrow's.
        feed: Its contract: where the delivery stamp stands in the file's name.
        table: The contract's table: with the feed's, how its text is written.

    Raises:
        InputError: The file is empty, unreadable, broken, in another encoding, or its quoting does not end.
    """
    delivered = delivery(path, feed)
    try:
        seen = Seen.of(path)
        if path.suffix.lower() == ".parquet":
            found = _inspect_parquet(path, delivered)
        elif path.suffix.lower() in batches.SUFFIXES:
            found = _inspect_arrow(path, delivered)
        else:
            found = _inspect_text(path, feed.layout(table), table, delivered)
        return replace(found, seen=seen)
    except OSError as error:
        raise InputError(f"{path.name}: cannot be read ({error.strerror})", hint=UNREADABLE) from None


def delivery(path: Path, feed: Feed) -> datetime:
    """When an extract was delivered: the stamp in its name, else in its folder's, UTC.

    Where a feed has no stamps it is the time of modification.

    Raises:
        InputError: The feed's names carry a stamp and this one's cannot be read.
    """
    if feed.delivered is None:
        return datetime.fromtimestamp(path.stat().st_mtime, UTC).replace(microsecond=0)
    try:
        name = text.plain_name(path)
        names = (name, as_text_file(name))
        places = (*names, *(f"{path.parent.name}/{each}" for each in names))
        found = next(filter(None, (re.search(feed.delivered, place) for place in places)), None)
    except re.error:
        raise ConfigurationError(f"{feed.name}: delivered is not a pattern", hint="correct the contract") from None
    try:
        stamp = found.group(1) if found else ""
        return datetime.strptime(stamp, feed.delivered_format).replace(tzinfo=UTC)
    except (ValueError, IndexError):
        raise InputError(
            f"{path.name}: no delivery stamp in the file's name or its folder's",
            hint=f"names of feed {feed.name} carry a date as {feed.delivered_format}; rename or remove the file",
        ) from None


def as_text_file(name: str) -> str:
    """What a file of typed columns would be called as the CSV file that contracts speak of."""
    stem, dot, suffix = name.rpartition(".")
    return f"{stem}.csv" if f"{dot}{suffix}".lower() in TYPED else name


def _inspect_parquet(path: Path, delivered: datetime) -> Extract:
    try:
        metadata = pq.read_metadata(path)
        header = tuple(pq.read_schema(path).names)
    except Exception:
        # The reader's own message can quote bytes of the file.
        raise InputError(f"{path.name}: not a readable Parquet file", hint=UNREADABLE) from None
    return Extract(path, header, delivered, metadata.num_rows, (), path.stat().st_size, _digest(path), Layout())


def _inspect_arrow(path: Path, delivered: datetime) -> Extract:
    file = batches.ArrowFile.of(path)
    header, rows = tuple(file.schema.names), batches.count(file, path.name)
    size = path.stat().st_size
    return Extract(path, header, delivered, rows, (), size, _digest(path), Layout(), batches=file)


def _inspect_text(path: Path, layout: Layout, table: Table, delivered: datetime) -> Extract:
    sha = hashlib.sha256()
    size = path.stat().st_size
    packed = text.packing(path)
    header = _header(path, layout, packed, table)
    shape = _Shape(ord(layout.delimiter), len(header) - 1, ord(layout.quote) if layout.quote else None)
    decoder = codecs.getincrementaldecoder("utf-8")()
    blank_lines: list[None] = []
    with _beside(sha.update) as seen:
        for chunk in text.trimmed(_text(path, layout, packed, seen), lambda: blank_lines.append(None)):
            _check_text(chunk, decoder, path, shape)
            shape.add(chunk)
    shape.finish()
    if not shape.rows:
        raise InputError(f"{path.name}: the file is empty", hint="ask the sender for the file again")
    if shape.inside:
        raise InputError(
            f"{path.name}: a quoted field never ends", hint="the file is cut short or its quoting is broken"
        )
    if decoder.getstate()[0]:
        raise InputError(f"{path.name}: its last character never ends", hint="the file is cut short")
    first = 1 if layout.header else 0
    return Extract(
        path=path,
        header=header,
        delivered=delivered,
        rows=shape.rows - first,
        malformed=tuple(row + 1 - first for row in shape.malformed()),
        size=size,
        digest=sha.hexdigest() if packed is None else _digest(path),
        layout=layout,
        packed=packed,
        ragged=bool(blank_lines),
    )


@contextmanager
def _beside(take: Callable[[bytes], object]) -> Iterator[Callable[[bytes], object]]:
    """Do something with each chunk in another thread, while the next one is made; one waits at most."""
    with ThreadPoolExecutor(1) as pool:
        last: list[Future[object]] = []

        def seen(chunk: bytes) -> None:
            if last:
                last.pop().result()
            last.append(pool.submit(take, chunk))

        yield seen
        for each in last:
            each.result()


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def content(extract: Extract) -> Iterator[bytes]:
    """The data rows of a text extract in UTF-8, in chunks: no header, no blank lines at the end."""
    chunks = text.trimmed(_text(extract.path, extract.layout, extract.packed))
    return text.without_first_line(chunks) if extract.layout.header else chunks


def _text(
    path: Path, layout: Layout, packed: Packing | None, seen: Callable[[bytes], object] | None = None
) -> Iterator[bytes]:
    content = text.plain(path, seen) if packed is None else text.unpacked(path, packed)
    return text.utf8(content, layout.encoding, path.name)


def _check_text(chunk: bytes, decoder: codecs.IncrementalDecoder, path: Path, shape: _Shape) -> None:
    if b"\0" in chunk:
        raise _holds_zero_bytes(path)
    if chunk.isascii() and decoder.getstate()[0] == b"":
        return
    try:
        decoder.decode(chunk)
    except UnicodeDecodeError as error:
        row = shape.rows + chunk.count(b"\n", 0, max(error.start, 0))
        raise InputError(
            f"{path.name}: row {row}: not UTF-8 text",
            hint='the file has another encoding: ask for UTF-8, or say in the contract which (encoding = "windows-1252")',
        ) from None


def _header(path: Path, layout: Layout, packed: Packing | None, table: Table) -> tuple[str, ...]:
    """The names of the columns; without a header those of the contract, or an empty one for each field."""
    fields = _first_line(path, layout, packed)
    if layout.header:
        return fields
    known = {source.casefold() for column in table.columns.values() for source in (*column.source, *layout.names)}
    if sum(field.strip().casefold() in known for field in fields) * 2 > len(fields):
        raise InputError(
            f"{path.name}: its first line names the columns, and the contract says that it has no header",
            hint="remove the header from the contract's table, so that the file's names count",
        )
    return tuple(layout.names) or ("",) * len(fields)


def _first_line(path: Path, layout: Layout, packed: Packing | None) -> tuple[str, ...]:
    """The fields of the header, which is one line, or of the first record, which may be several."""
    # The header's own quotes do not matter: it is one line also where they are broken.
    quote = "" if layout.header else layout.quote
    first = next(text.records(_text(path, layout, packed), quote, path.name), b"")
    if layout.header:
        first = first.partition(b"\n")[0].rstrip(b"\r")
        if b"\0" in first:
            raise _holds_zero_bytes(path)
        if b"\r" in first:
            raise InputError(
                f"{path.name}: its lines end in carriage returns alone, or its header holds one",
                hint="ask for line feeds at the ends of lines, with or without carriage returns before them",
            )
    line = io.StringIO(first.decode("utf-8", errors="replace"), newline="")
    if layout.quote:
        reader = csv.reader(line, delimiter=layout.delimiter, quotechar=layout.quote)
    else:
        reader = csv.reader(line, delimiter=layout.delimiter, quotechar=None, quoting=csv.QUOTE_NONE)
    try:
        return tuple(next(reader, [""]))
    except csv.Error:
        raise InputError(
            f"{path.name}: its first line cannot be read", hint="the file has another format than the contract says"
        ) from None


def _holds_zero_bytes(path: Path) -> InputError:
    return InputError(
        f"{path.name}: not UTF-8 text (it holds zero bytes, as UTF-16 does)",
        hint='ask for UTF-8 encoding, or say encoding = "utf-16" in the contract',
    )


@dataclass(slots=True)
class _Shape:
    """Counts records and those with an unexpected number of delimiters; quotes may span records and chunks."""

    delimiter: int
    expected: int
    quote: int | None = QUOTE
    inside: bool = False
    rows: int = 0
    carried: int = 0
    open_record: bool = False
    uneven: list[npt.NDArray[np.int64]] = field(default_factory=list)

    def add(self, chunk: bytes) -> None:
        """Take the next bytes of the file.

        A byte is a bit: 64 of them are looked at at once, and no place of a delimiter is ever written down.
        """
        data = np.frombuffer(chunk, dtype=np.uint8)
        delimiters = _bits(data == self.delimiter)
        ends = np.flatnonzero(data == NEWLINE)
        if self.inside or (self.quote is not None and self.quote in chunk):
            quotes = _bits(data == self.quote)
            inside = _between(quotes, begun=self.inside)
            delimiters &= ~inside
            ends = ends[inside[ends >> 6] >> (ends & 63).astype(np.uint64) & np.uint64(1) == 0]
            self.inside ^= bool(np.bitwise_count(quotes).sum() & 1)
        before = np.cumsum(np.bitwise_count(delimiters), dtype=np.int64)
        # Those of the words before, and those of its own word up to it.
        below = (np.uint64(1) << (ends & 63).astype(np.uint64)) - np.uint64(1)
        upto = np.bitwise_count(delimiters[ends >> 6] & below) + np.concatenate(([0], before))[ends >> 6]
        counts = np.diff(upto, prepend=0)
        total = int(before[-1]) if len(before) else 0
        if len(ends):
            counts[0] += self.carried
            self.carried = 0
            total -= int(upto[-1])
        self.carried += total
        if len(data):
            self.open_record = not (len(ends) and ends[-1] == len(data) - 1)
        self._take(counts)

    def finish(self) -> None:
        """The file has ended: a last record without a line end counts too."""
        if self.open_record:
            self._take(np.array([self.carried]))

    def malformed(self) -> tuple[int, ...]:
        """Numbers of the uneven records, the header being 0 and the first row 1."""
        return tuple(int(row) for rows in self.uneven for row in rows)

    def _take(self, counts: npt.NDArray[np.int64]) -> None:
        uneven = np.flatnonzero(counts != self.expected)
        if len(uneven):
            self.uneven.append(uneven + self.rows)
        self.rows += len(counts)


def _bits(marks: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint64]:
    """The marks as bits of 64-bit words, the first in the lowest."""
    packed = np.packbits(marks, bitorder="little")
    words = np.zeros(-(-len(packed) // 8) * 8, dtype=np.uint8)
    words[: len(packed)] = packed
    return words.view("<u8").astype(np.uint64, copy=False)


def _between(quotes: npt.NDArray[np.uint64], *, begun: bool) -> npt.NDArray[np.uint64]:
    """A bit for each byte: whether the number of quotes up to it is odd, with the one that has `begun`."""
    inside = quotes.copy()
    for distance in (1, 2, 4, 8, 16, 32):
        inside ^= inside << np.uint64(distance)
    odd = np.cumsum(np.bitwise_count(quotes), dtype=np.int64) & 1
    before = np.concatenate(([int(begun)], odd[:-1] ^ int(begun)))
    return inside ^ np.where(before == 1, ~np.uint64(0), np.uint64(0))
