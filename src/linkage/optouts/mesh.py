"""The files that travel between an ICS and the national service: lists of NHS numbers, and what is said about them.

A message is a `.dat` file and a `.ctl` file of the same name, an XML document whose root is `DTSControl`. A list has one
number a line, ten digits and a comma, and ends every line with a line feed. The service gives each answer the `LocalId`
of the request it belongs to.
(As users of the MESH client and of the national data opt-out service describe them.)
"""

from __future__ import annotations

import hashlib
import io
import re
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl

from linkage import nhs_number
from linkage.errors import PolicyError
from linkage.optouts.registers import NONE, Evidence, Numbers, distinct

REJECTED = b"invalid NHS Numbers"
LINE = 12  # ten digits, a comma, a line feed
SUCCESS = "SUCCESS"
_AT_ONCE = 1 << 16  # lines
_NINE = 9
_MOMENT = "%Y%m%d%H%M%S"
_WORD = re.compile(r"[A-Z]{1,20}|[A-Z0-9]{1,4}")


@dataclass(frozen=True, slots=True)
class Control:
    """What a control file says.

    Attributes:
        kind: `Data` or `Report`.
        local_id: The request's own name for the message; empty where there is none.
        status: SUCCESS, or what else became of the transfer; a word.
        code: The status code; a word.
        moment: When, UTC.
    """

    kind: str
    local_id: str
    status: str
    code: str
    moment: datetime

    @property
    def good(self) -> bool:
        """Whether the transfer succeeded."""
        return self.status == SUCCESS


def read_control(path: Path) -> Control:
    """Read a control file.

    Raises:
        PolicyError: It is missing, not XML, or has no readable date.
    """
    try:
        content = path.read_bytes()
        # A control file has no document type; one that has could name entities that never end.
        if b"<!" in content.replace(b"<!--", b""):
            raise ValueError
        root = ET.fromstring(content)  # noqa: S314 no document type, so no entities
        moment = datetime.strptime(_text(root, "StatusRecord/DateTime"), _MOMENT).replace(tzinfo=UTC)
    except (OSError, ET.ParseError, ValueError):
        raise PolicyError(
            f"{path.name}: missing or without a readable date, so the age of {path.with_suffix('.dat').name} is unknown",
            hint="keep the .ctl file that comes with each answer beside it",
        ) from None
    return Control(
        kind=_text(root, "MessageType") or "Data",
        local_id=_text(root, "LocalId"),
        status=_word(_text(root, "StatusRecord/Status").upper()) or SUCCESS,
        code=_word(_text(root, "StatusRecord/StatusCode")),
        moment=moment,
    )


def local_id(path: Path) -> str:
    """The LocalId of a request, from its control file; the name of one that has none."""
    try:
        return _text(ET.fromstring(path.with_suffix(".ctl").read_bytes()), "LocalId") or path.stem  # noqa: S314 our own
    except FileNotFoundError:
        return path.stem
    except (OSError, ET.ParseError):
        raise PolicyError(
            f"{path.stem}.ctl: the control file of a request cannot be read",
            hint="restore it, or remove the request and ask again",
        ) from None


def control(name: str, local: str, sender: str, recipient: str, workflow: str) -> bytes:
    """The control file of a message to be sent."""
    root = ET.Element("DTSControl")
    for tag, text in (
        ("Version", "1.0"),
        ("AddressType", "DTS"),
        ("MessageType", "Data"),
        ("From_DTS", sender),
        ("To_DTS", recipient),
        ("Subject", name),
        ("LocalId", local),
        ("Compress", "Y"),
        ("Encrypted", "N"),
        ("WorkflowId", workflow),
        ("IsCompressed", "N"),
        ("AllowChunking", "Y"),
    ):
        ET.SubElement(root, tag).text = text
    ET.indent(root)
    made: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return made + b"\n"


def lines(numbers: Numbers) -> bytes:
    """A list as the service wants it."""
    table = np.empty((len(numbers), LINE), dtype=np.uint8)
    places = 10 ** np.arange(9, -1, -1, dtype=np.int64)
    for column, place in enumerate(places):
        table[:, column] = numbers // place % 10 + ord("0")
    table[:, 10], table[:, 11] = ord(","), ord("\n")
    return table.tobytes()


def read_numbers(path: Path, register: str, moment: datetime) -> tuple[Numbers, Evidence]:
    """Sorted distinct numbers of one list, and what the manifest says of the file.

    Raises:
        PolicyError: The file cannot be read, is a rejection, is cut short, or is no such list; says which line.
    """
    content = read_bytes(path)
    numbers = numbers_of(path.name, content)
    digest = hashlib.sha256(content).hexdigest()
    return numbers, Evidence(register, path.name, digest, moment, len(numbers))


def read_bytes(path: Path) -> bytes:
    """A file's content, or an error that names it."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise PolicyError(f"{path.name}: cannot be read ({error.strerror})", hint="check its permissions") from None


def numbers_of(name: str, content: bytes) -> Numbers:
    """Sorted distinct numbers of a list's content; `name` is what an error calls it."""
    if REJECTED in content[:200]:
        raise PolicyError(f"{name}: the service rejected the request", hint="correct the request and send it again")
    if content and not content.endswith(b"\n"):
        raise PolicyError(f"{name}: the last line is cut short", hint="fetch the file again")
    if not content:
        return NONE
    plain = _plain(content)
    if plain is not None:
        return distinct(np.sort(plain))
    column = _lines(content)
    parsed = nhs_number.parse(column.str.strip_suffix(","))
    bad = parsed["reason"].is_not_null() | ~column.str.contains(r"^\d{10},?$")
    if bad.any():
        row = int(bad.arg_true()[0]) + 1
        raise PolicyError(
            f"{name}: line {row} is not one NHS number",
            hint="this is not a list of NHS numbers as the service writes it",
        )
    return distinct(parsed["number"].to_numpy().astype(np.int64))


def _plain(content: bytes) -> Numbers | None:
    """The numbers of a list whose lines are all as the service writes them; None where one is not."""
    if len(content) % LINE:
        return None
    table = np.frombuffer(content, dtype=np.uint8).reshape(-1, LINE)
    numbers = np.zeros(len(table), dtype=np.int64)
    for first in range(0, len(table), _AT_ONCE):
        *digits, comma, feed = np.ascontiguousarray(table[first : first + _AT_ONCE].T)
        some = numbers[first : first + _AT_ONCE]
        for each in digits:
            digit = each - np.uint8(ord("0"))  # what is below 0 is far above 9
            if (digit > _NINE).any():
                return None
            some *= 10
            some += digit
        if (comma != ord(",")).any() or (feed != ord("\n")).any():
            return None
    return numbers if nhs_number.are_valid(numbers).all() else None


def _lines(content: bytes) -> pl.Series:
    # One field a line: no separator that could occur in it, and no quoting.
    frame = pl.read_csv(
        io.BytesIO(content),
        has_header=False,
        separator="\x1f",
        quote_char=None,
        schema={"line": pl.String},
        encoding="utf8-lossy",
    )
    return frame["line"].str.strip_suffix("\r").fill_null("")


def _text(root: ET.Element, tag: str) -> str:
    return (root.findtext(tag) or "").strip()


def _word(text: str) -> str:
    """The text where it is one plain word: what is shown of a message is never more."""
    return text if _WORD.fullmatch(text) else ("" if not text else "UNKNOWN")
