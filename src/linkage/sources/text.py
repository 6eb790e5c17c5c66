"""The text of an extract as a stream of UTF-8, whatever it was written and packed in.

A packed or differently encoded file is unpacked and transcoded in chunks, in memory, each time that it is read:
memory does not grow with the file, and its content is never written down a second time.
"""

from __future__ import annotations

import codecs
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import IO, Literal

import pyarrow as pa

from linkage.errors import InputError
from linkage.layout import Encoding

CHUNK = 1 << 18  # larger ones are given back to the system and taken again each time: twice as slow
LONGEST_RECORD = 1 << 26
MOST_BLANK = 1 << 20
SUFFIXES = {".gz": "gzip", ".zip": "zip", ".zst": "zstd"}
Packing = Literal["gzip", "zip", "zstd"]

_MAGIC: tuple[tuple[bytes, Packing], ...] = (
    (b"\x1f\x8b", "gzip"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"PK\x03\x04", "zip"),
    (b"PK\x05\x06", "zip"),
)
_BROKEN = "ask the sender for the file again: it was cut short or damaged on its way"


def plain_name(path: Path) -> str:
    """A file's name without the suffix of what it is packed in."""
    return path.name.removesuffix(path.suffix) if path.suffix.lower() in SUFFIXES else path.name


def packing(path: Path) -> Packing | None:
    """What a file is packed in, by its content; a name that says otherwise is refused.

    Raises:
        InputError: The name promises a packing that the content is not.
    """
    with path.open("rb") as file:
        start = file.read(4)
    found = next((name for magic, name in _MAGIC if start.startswith(magic)), None)
    named = SUFFIXES.get(path.suffix.lower())
    if named and start and found != named:
        raise InputError(f"{path.name}: not a {named} file, as its name says", hint=_BROKEN)
    return found


def plain(path: Path, seen: Callable[[bytes], object] | None = None) -> Iterator[bytes]:
    """The bytes of a file in chunks; `seen` is told of each."""
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            if seen:
                seen(chunk)
            yield chunk


def unpacked(path: Path, packed: Packing | None) -> Iterator[bytes]:
    """The content of a file in chunks.

    Raises:
        InputError: The archive is cut short, damaged, locked, or holds more or less than one file.
    """
    if packed is None:
        yield from plain(path)
        return
    with _broken_is_an_input_error(path, packed):
        if packed == "zip":
            yield from _unzipped(path)
        else:
            with pa.OSFile(str(path), "rb") as file, pa.CompressedInputStream(file, packed) as stream:
                while chunk := stream.read(CHUNK):
                    yield chunk


def utf8(chunks: Iterator[bytes], encoding: Encoding, where: str) -> Iterator[bytes]:
    """The same text in UTF-8, without a byte order mark.

    UTF-8 itself passes unchecked: `inspect` holds it against the rules and can say in which row it breaks them.

    Raises:
        InputError: The text is not in the encoding.
    """
    if encoding == "utf-8":
        yield from _without_mark(chunks)
        return
    try:
        yield from _transcoded(chunks, encoding)
    except UnicodeError:
        raise InputError(
            f"{where}: not {encoding} text, as the contract says",
            hint="the file is cut short, or has another encoding: correct the contract or ask the sender",
        ) from None


def without_first_line(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The same text without its first line."""
    for chunk in chunks:
        _, ended, rest = chunk.partition(b"\n")
        if ended:
            yield rest
            break
    yield from chunks


def trimmed(chunks: Iterator[bytes], found: Callable[[], object] | None = None) -> Iterator[bytes]:
    """The same text without blank lines at its end; `found` is told of them."""
    held = b""
    for chunk in chunks:
        body = len(chunk.rstrip(b"\r\n"))
        if body or len(held) > MOST_BLANK:
            yield held + chunk[:body] if held else chunk[:body]
            held = b""
        held += chunk[body:]
    if held:
        end = b"\r\n" if held.startswith(b"\r\n") else held[:1]
        if found and held != end:
            found()
        yield end


def records(chunks: Iterator[bytes], quote: str, where: str) -> Iterator[bytes]:
    """The same text in blocks that end where a record ends.

    Raises:
        InputError: A record is longer than 64 MiB.
    """
    rest = b""
    for chunk in chunks:
        block = rest + chunk if rest else chunk
        end = _last_record(block, quote.encode())
        rest = block[end:]
        if len(rest) > LONGEST_RECORD:
            raise InputError(f"{where}: a record of more than 64 MiB", hint="its quoting is broken")
        if end:
            yield block[:end]
    if rest:
        yield rest


def _last_record(block: bytes, quote: bytes) -> int:
    """Where the last whole record of a block ends; 0 where none does."""
    end = block.rfind(b"\n") + 1
    if not quote:
        return end
    # A line end is outside quotes where the number of quotes before it is even.
    before = block.count(quote, 0, end)
    while end and before % 2:
        earlier = block.rfind(b"\n", 0, end - 1) + 1
        before -= block.count(quote, earlier, end)
        end = earlier
    return end


@contextmanager
def _broken_is_an_input_error(path: Path, packed: Packing) -> Iterator[None]:
    # An operating system's error has a number and says something else: that the file cannot be read at all.
    try:
        yield
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise InputError(f"{path.name}: a broken {packed} file", hint=_BROKEN) from None


def _unzipped(path: Path) -> Iterator[bytes]:
    with zipfile.ZipFile(path) as archive:
        members = [member for member in archive.infolist() if not member.is_dir()]
        if len(members) != 1:
            raise InputError(
                f"{path.name}: the zip file holds {len(members)} files, not one",
                hint="unpack it into the flow's folder; save a spreadsheet as CSV first",
            )
        if members[0].flag_bits & 1:
            raise InputError(f"{path.name}: the zip file is locked", hint="unlock it: no password is kept here")
        with archive.open(members[0]) as file:
            yield from _read(file)


def _read(file: IO[bytes]) -> Iterator[bytes]:
    while chunk := file.read(CHUNK):
        yield chunk


def _start(chunks: Iterator[bytes]) -> bytes:
    """The first bytes, enough to hold a byte order mark."""
    start = b""
    while len(start) < len(codecs.BOM_UTF8) and (chunk := next(chunks, b"")):
        start += chunk
    return start


def _without_mark(chunks: Iterator[bytes]) -> Iterator[bytes]:
    yield _start(chunks).removeprefix(codecs.BOM_UTF8)
    yield from chunks


def _transcoded(chunks: Iterator[bytes], encoding: Encoding) -> Iterator[bytes]:
    one_byte = encoding == "windows-1252"
    decoder = codecs.getincrementaldecoder(encoding)(_UNDEFINED if one_byte else "strict")
    start = _start(chunks)
    if one_byte and start.startswith((codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise UnicodeError("a byte order mark, which windows-1252 does not have")
    for chunk in chain([start], chunks):
        yield chunk if one_byte and chunk.isascii() else decoder.decode(chunk).encode("utf-8")
    decoder.decode(b"", final=True)


def _control(error: UnicodeError) -> tuple[str, int]:
    """The five bytes that windows-1252 leaves undefined are control characters, as Windows and browsers read them.

    Each byte stays another character, so that no two identifiers become the same.
    """
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "".join(map(chr, error.object[error.start : error.end])), error.end


_UNDEFINED = "linkage-undefined-as-control"
codecs.register_error(_UNDEFINED, _control)
