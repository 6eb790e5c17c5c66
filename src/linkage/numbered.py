"""Numbered columns in a few words: wide extracts repeat a column, from the first diagnosis to the twentieth.

    "diagnosis_{1..20}" = { source = "DIAG_{01..20}", role = "code" }

is twenty columns, from `diagnosis_1` with the source `DIAG_01` on. In a list, `"diagnosis_{1..20}"` is twenty texts. A
range counts up; the digits of its first number say how many digits the numbers have at least.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

__all__ = ["written_out"]

_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")
_MOST = 999


def written_out(content: Mapping[str, Any]) -> dict[str, Any]:
    """The content of a TOML file with every range written out.

    A key with a range is as many keys, and the ranges in its value count along with it. A text in a list is as many
    texts. Any other text stays as it is.

    Raises:
        ValueError: A range counts down or too far, ranges that belong together differ in length, or a name is there
            twice; names the key.
    """
    written: dict[str, Any] = {}
    for key, value in content.items():
        for place, name in enumerate(names := _each(key)):
            if name in written:
                raise ValueError(f"{name!r} is there twice")
            written[name] = _value(_at(value, place, len(names), key) if _RANGE.search(key) else value)
    return written


def _value(value: Any) -> Any:
    if isinstance(value, Mapping):
        return written_out(value)
    if isinstance(value, list):
        return [each for item in value for each in (_each(item) if isinstance(item, str) else [_value(item)])]
    return value


def _each(text: str) -> list[str]:
    """The texts that one with a range stands for; the text itself when there is none."""
    found = _RANGE.search(text)
    return [_numbered(text, place) for place in range(_length(found))] if found else [text]


def _at(value: Any, place: int, length: int, key: str) -> Any:
    """A value of the numbered key at one place of its range."""
    if isinstance(value, Mapping):
        return {name: _at(each, place, length, key) for name, each in value.items()}
    if isinstance(value, list):
        return [_at(each, place, length, key) for each in value]
    if not isinstance(value, str):
        return value
    if any(_length(found) != length for found in _RANGE.finditer(value)):
        raise ValueError(f"{key!r}: {value!r} does not count as far as its name")
    return _numbered(value, place)


def _numbered(text: str, place: int) -> str:
    return _RANGE.sub(lambda found: str(int(found[1]) + place).zfill(len(found[1])), text)


def _length(found: re.Match[str]) -> int:
    length = int(found[2]) - int(found[1]) + 1
    if not 1 <= length <= _MOST:
        raise ValueError(f"{found[0]} is not a range that counts up, to {_MOST} at most")
    return length
