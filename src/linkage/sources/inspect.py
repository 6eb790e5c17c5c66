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
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from linkage.contract import Feed
from linkage.errors import ConfigurationError, InputError

CHUNK = 1 << 22
QUOTE = 0x22
NEWLINE = 0x0A
UNREADABLE = "ask the sender for the file again, or correct its permissions"


@dataclass(frozen=True, slots=True)
class Extract:
    """One delivered file of one table.

    Attributes:
        path: The file.
        header: Its column names as delivered.
        delivered: When it was delivered, UTC.
        rows: Its data rows (records, not lines).
        malformed: Numbers (from 1) of the rows with too few or too many fields, ascending.
        size: Bytes.
        digest: SHA-256, hexadecimal.
    """

    path: Path
    header: tuple[str, ...]
    delivered: datetime
    rows: int
    malformed: tuple[int, ...]
    size: int
    digest: str

    @property
    def is_parquet(self) -> bool:
        """Whether the file is Parquet rather than text."""
        return self.path.suffix.lower() == ".parquet"


def inspect(path: Path, feed: Feed) -> Extract:
    """Look at one extract.

    Args:
        path: A text file with a header, or Parquet.
        feed: Its contract: the delimiter, and where the delivery stamp stands in the file's name.

    Raises:
        InputError: The file is empty, unreadable, not UTF-8, or its quoting does not end.
    """
    delivered = delivery(path, feed)
    try:
        if path.suffix.lower() == ".parquet":
            return _inspect_parquet(path, delivered)
        return _inspect_text(path, feed.delimiter, delivered)
    except OSError as error:
        raise InputError(f"{path.name}: cannot be read ({error.strerror})", hint=UNREADABLE) from None


def delivery(path: Path, feed: Feed) -> datetime:
    """When an extract was delivered: the stamp in its name, or its modification time where a feed has none, UTC.

    Raises:
        InputError: The feed's names carry a stamp and this one's cannot be read.
    """
    if feed.delivered is None:
        return datetime.fromtimestamp(path.stat().st_mtime, UTC).replace(microsecond=0)
    try:
        found = re.search(feed.delivered, path.name)
    except re.error:
        raise ConfigurationError(f"{feed.name}: delivered is not a pattern", hint="correct the contract") from None
    try:
        stamp = found.group(1) if found else ""
        return datetime.strptime(stamp, feed.delivered_format).replace(tzinfo=UTC)
    except (ValueError, IndexError):
        raise InputError(
            f"{path.name}: no delivery stamp in the file's name",
            hint=f"names of feed {feed.name} carry a date as {feed.delivered_format}; rename or remove the file",
        ) from None


def _inspect_parquet(path: Path, delivered: datetime) -> Extract:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    try:
        metadata = pq.read_metadata(path)
        header = tuple(pq.read_schema(path).names)
    except Exception:
        # The reader's own message can quote bytes of the file.
        raise InputError(f"{path.name}: not a readable Parquet file", hint=UNREADABLE) from None
    return Extract(path, header, delivered, metadata.num_rows, (), path.stat().st_size, digest)


def _inspect_text(path: Path, delimiter: str, delivered: datetime) -> Extract:
    sha = hashlib.sha256()
    header = _header(path, delimiter)
    shape = _Shape(delimiter=ord(delimiter), expected=len(header) - 1)
    decoder = codecs.getincrementaldecoder("utf-8")()
    size = 0
    with ThreadPoolExecutor(1) as beside:
        for chunk in _chunks(path):
            size += len(chunk)
            digested = beside.submit(sha.update, chunk)
            _check_text(chunk, decoder, path, shape)
            shape.add(chunk)
            digested.result()
    if not size:
        raise InputError(f"{path.name}: the file is empty", hint="ask the sender for the file again")
    shape.finish()
    if shape.inside:
        raise InputError(
            f"{path.name}: a quoted field never ends", hint="the file is cut short or its quoting is broken"
        )
    return Extract(path, header, delivered, shape.rows - 1, shape.malformed(), size, sha.hexdigest())


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk


def _check_text(chunk: bytes, decoder: codecs.IncrementalDecoder, path: Path, shape: _Shape) -> None:
    if b"\0" in chunk:
        raise InputError(
            f"{path.name}: not UTF-8 text (it holds zero bytes, as UTF-16 does)",
            hint="ask for UTF-8 encoding",
        )
    if chunk.isascii() and decoder.getstate()[0] == b"":
        return
    try:
        decoder.decode(chunk)
    except UnicodeDecodeError as error:
        row = shape.rows + chunk.count(b"\n", 0, max(error.start, 0))
        raise InputError(
            f"{path.name}: row {row}: not UTF-8 text", hint="the file has another encoding: ask for UTF-8"
        ) from None


def _header(path: Path, delimiter: str) -> tuple[str, ...]:
    with path.open("rb") as file:
        first = file.readline(1 << 20)
    text = first.decode("utf-8-sig", errors="replace").rstrip("\r\n")
    return tuple(next(csv.reader(io.StringIO(text), delimiter=delimiter), [""]))


@dataclass(slots=True)
class _Shape:
    """Counts records and those with an unexpected number of delimiters; quotes may span records and chunks."""

    delimiter: int
    expected: int
    inside: bool = False
    rows: int = 0
    carried: int = 0
    open_record: bool = False
    uneven: list[npt.NDArray[np.int64]] = field(default_factory=list)

    def add(self, chunk: bytes) -> None:
        """Take the next bytes of the file."""
        data = np.frombuffer(chunk, dtype=np.uint8)
        marks = (data == self.delimiter) | (data == NEWLINE)
        if self.inside or b'"' in chunk:
            quoted = np.bitwise_xor.accumulate((data == QUOTE).view(np.uint8))
            if self.inside:
                quoted ^= 1
            self.inside = bool(quoted[-1])
            marks &= quoted == 0
        places = np.flatnonzero(marks)
        ends = np.flatnonzero(data[places] == NEWLINE)
        # Between two line ends stand only delimiters.
        counts = np.diff(ends, prepend=-1) - 1
        begun = len(places) - (int(ends[-1]) + 1 if len(ends) else 0)
        if len(ends):
            counts[0] += self.carried
            self.carried = 0
        self.carried += begun
        self.open_record = not (len(ends) and places[ends[-1]] == len(data) - 1)
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
