"""A draft of a contract from a sample file, for a person to finish.

It names the file's columns and repeats no value. What looks as if it could tell who somebody is stands in it as a comment,
so that it is dropped until a person says otherwise.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from linkage.contract import NAME, RESERVED, Role
from linkage.errors import InputError
from linkage.sources import sample
from linkage.sources.guess import Guess, guess, key
from linkage.sources.sample import Sample

_STAMPS = ((r"\d{14}", "%Y%m%d%H%M%S"), (r"\d{8}", "%Y%m%d"), (r"\d{4}-\d\d-\d\d", "%Y-%m-%d"))


@dataclass(frozen=True, slots=True)
class _Column:
    """A column of the draft: its name there, its place in the file (from 1), what the file calls it, what it may be."""

    name: str
    place: int
    source: str
    guess: Guess

    def line(self) -> str:
        """Its line, commented out unless it is kept."""
        where = f"source = {_quoted(self.source)}" if self.source else f"position = {self.place}"
        keys = ", ".join([where, f'role = "{self.guess.role.value}"', *self.guess.more])
        return f"{'' if self.guess.keep else '# '}{self.name} = {{ {keys} }}  # {self.guess.why}"


def draft(path: Path, name: str | None = None, header: bool | None = None) -> str:
    """Draft a contract.

    Args:
        path: Text, packed or not, Parquet or Arrow.
        name: The feed's name; made of the file's when not given.
        header: Whether the first line names the columns; guessed when not given.

    Returns:
        TOML that `contract.parse` reads.

    Raises:
        InputError: The file cannot be read, or has nothing that a draft could keep.
    """
    found = sample.read(path, header)
    feed = name or _plain(_unstamped(found.name)[0], {"feed", "table"}) or "local"
    columns = _columns(found, feed)
    keys = [column.name for column in columns if column.guess.role is Role.RECORD and column.guess.keep]
    kept = [column.name for column in columns if column.guess.keep]
    if not kept:
        raise InputError(
            f"{path.name}: no column of it is one that a draft could keep",
            hint="write the contract by hand: docs/how-to/local-feed.md",
        )
    return "\n".join([*_head(found, columns, keys), *_feed(found, feed), *_table(found, columns, keys or kept), ""])


def _columns(found: Sample, feed: str) -> list[_Column]:
    taken: set[str] = set(RESERVED)
    named = []
    for place, (source, values) in enumerate(found.columns, start=1):
        name = _plain(source, taken) or _plain(f"column_{place}", taken)
        taken.add(name)
        named.append(_Column(name, place, source, guess(source, values, f"{feed}.{name}")))
    return _with_subject(_with_key(named))


def _with_key(columns: list[_Column]) -> list[_Column]:
    place = key([column.guess for column in columns])
    if place is None:
        return columns
    chosen = columns[place]
    more = (*chosen.guess.more, "required = true")
    told = replace(
        chosen.guess, keep=True, why="an identifier of its own in nearly every row: a one-way token goes on", more=more
    )
    return [*columns[:place], replace(chosen, guess=told), *columns[place + 1 :]]


def _with_subject(columns: list[_Column]) -> list[_Column]:
    """One column of NHS numbers is whose row it is; the others are other people, if they are kept."""
    people = [column for column in columns if column.guess.role is Role.PERSON and column.guess.keep]
    subject = next(
        (column for column in people if not re.search(r"(?i)mother|carer|other|super|link", column.source)), None
    )
    others = [column for column in people if column is not subject]
    return [
        replace(
            column,
            guess=replace(
                column.guess, keep=False, more=("other = true",), why=f"{column.guess.why}; another person in the row?"
            ),
        )
        if column in others
        else column
        for column in columns
    ]


def _plain(source: str, taken: set[str]) -> str:
    """A contract's name for a column, or an empty text where none can be made."""
    spaced = re.sub(r"(?<=[a-z\d])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", source)
    plain = re.sub(r"[^a-z0-9]+", "_", spaced.lower()).strip("_")[:50].strip("_")
    if not NAME.fullmatch(plain):
        return ""
    number = 2
    name = plain
    while name in taken:
        name, number = f"{plain}_{number}", number + 1
    return name


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007F")


def _unstamped(name: str) -> tuple[str, str, str]:
    """A file's name as words, as a pattern, and how its stamp is written (empty where it has none)."""
    stem = name.rpartition(".")[0] or name
    for pattern, layout in _STAMPS:
        found = re.search(rf"(?<!\d){pattern}(?!\d)", stem)
        if found:
            return stem.replace(found[0], ""), name.replace(found[0], "*"), layout
    return stem, name, ""


def _head(found: Sample, columns: Sequence[_Column], keys: Sequence[str]) -> Iterator[str]:
    dropped = sum(not column.guess.keep for column in columns)
    yield "# A draft, made from a sample file without looking at any specification. Before it is used, a person decides:"
    yield "#"
    yield "# - which setting, title, version and source are right;"
    yield f"# - whether what it takes of the file's columns is right: {len(columns) - dropped} are taken, {dropped} stand in comments"
    yield "#   and are dropped, as is every column that is removed from here;"
    if any(column.guess.role is Role.PERSON and column.guess.keep for column in columns):
        yield "# - whether the column of role person holds the NHS number of whom the row is about;"
    else:
        yield "# - whose rows these are: no column is known to hold NHS numbers. Nothing goes on while kind says informs;"
    if keys:
        yield f"# - whether {keys[0]} names a record, also when the record is delivered again;"
    else:
        yield "# - what tells records apart: no column has a value of its own in nearly every row;"
    if not found.layout.header:
        yield "# - what the columns are called: the file does not name them;"
    yield "# - which flags take rows out, which codes are allowed (codes), and which dates mean nothing (sentinels);"
    yield "# - what a row becomes: an event, a registration, something that tells about the person (attribute)."
    yield "#"
    yield "# docs/reference/contracts.md says what every key means."
    yield ""


def _feed(found: Sample, feed: str) -> Iterator[str]:
    _, _, stamp = _unstamped(found.name)
    yield f'name = "{feed}"'
    yield "version = 1"
    yield 'title = "decide"'
    yield 'setting = "acute"  # decide: primary_care, acute, community, mental_health, social_care, urgent or registry'
    yield 'source = "Drafted from a sample file; no specification was looked at."'
    yield "verified = false"
    if stamp:
        digits = next(pattern for pattern, layout in _STAMPS if layout == stamp)
        yield f"delivered = '(?<!\\d)({digits})(?!\\d)'"
        yield f'delivered_format = "{stamp}"'
    if found.is_text:
        layout = found.layout
        yield f'encoding = "{layout.encoding}"'
        yield f"delimiter = {_quoted(layout.delimiter)}"
        if layout.quote != '"':
            yield f"quote = {_quoted(layout.quote)}"
        if not layout.header:
            yield "header = false"
    yield 'sentinels = ["1800-01-01", "1900-01-01", "9999-12-31"]'
    yield ""


def _table(found: Sample, columns: Sequence[_Column], keys: Sequence[str]) -> Iterator[str]:
    _, pattern, _ = _unstamped(found.name)
    dates = [
        each.name
        for each in columns
        if each.guess.keep and each.guess.role is Role.DATE and "time" not in str(each.guess.more)
    ]
    yield "[tables.row]"
    yield f"files = {_quoted(pattern)}"
    if not any(each.guess.role is Role.PERSON and each.guess.keep for each in columns):
        yield 'kind = "informs"  # nothing goes on: say whose rows these are, then remove this line'
    yield f"primary_key = {json.dumps(list(keys))}"
    if dates:
        yield f'month = "{dates[0]}"  # decide which date'
        yield f'# event = {{ kind = "decide", record = "{keys[0]}", start = "{dates[0]}" }}'
    yield ""
    yield "[tables.row.columns]"
    yield from (column.line() for column in columns)
