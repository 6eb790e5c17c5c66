"""How a text extract is written: its characters, its delimiter, its quotes, and whether its columns have names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import AfterValidator

Encoding = Literal["utf-8", "windows-1252", "utf-16"]


def _one_byte(value: str) -> str:
    """Readers work on bytes, where only ASCII characters are one; a letter or digit would be part of values."""
    if len(value) != 1 or not value.isascii() or value.isalnum() or value in "\0\r\n\ufeff":
        raise ValueError("one ASCII character, not a letter, a digit or a line end")
    return value


def _quote(value: str) -> str:
    return _one_byte(value) if value else value


Delimiter = Annotated[str, AfterValidator(_one_byte)]
Quote = Annotated[str, AfterValidator(_quote)]


@dataclass(frozen=True, slots=True)
class Layout:
    """How the text files of one table are written.

    Attributes:
        encoding: The characters.
        delimiter: What stands between fields: one byte.
        quote: What stands around a field that holds a delimiter or a line end: one byte, or empty where quotes are
            characters like any other.
        header: Whether the first line names the columns.
        names: The columns' names in the order of the file, given by the contract where the file has none.
    """

    encoding: Encoding = "utf-8"
    delimiter: str = ","
    quote: str = '"'
    header: bool = True
    names: Sequence[str] = ()
