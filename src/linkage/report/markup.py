"""Markup that is made of elements, so that text is escaped wherever it comes from and every element is closed.

The page is HTML5 written as XML: one that a browser and an XML parser read alike.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = ["Html", "joined", "plain", "tag"]

# What XML has no place for, and what makes a reader see text in another order than it is written in.
_UNFIT = re.compile(
    "[^\t\n\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]|[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]"
)
_ESCAPED = {ord("&"): "&amp;", ord("<"): "&lt;", ord(">"): "&gt;", ord('"'): "&quot;", ord("'"): "&#39;"}
_VOID = frozenset({"br", "meta"})


class Html(str):
    """Markup; any other string is text."""

    __slots__ = ()


Inside = str | int | None


def plain(text: str) -> Html:
    """Text as markup: nothing in it is read as anything else."""
    return Html(_UNFIT.sub("\N{REPLACEMENT CHARACTER}", text).translate(_ESCAPED))


def joined(parts: Iterable[Inside]) -> Html:
    """Several pieces one after the other; text among them is escaped, None is left out."""
    return Html("".join(part if isinstance(part, Html) else plain(str(part)) for part in parts if part is not None))


def tag(name: str, /, *inside: Inside, **attributes: str | int | None) -> Html:
    """An element.

    Args:
        name: Its name, which is never data.
        inside: Elements, or text, which is escaped; None is left out.
        attributes: Their values are escaped; None leaves one out. `_` in a name stands for `-`, and is dropped at its end.
    """
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{plain(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _VOID or (not inside and name in ("rect", "circle", "line", "path", "col")):
        return Html(f"<{name}{given}/>")
    return Html(f"<{name}{given}>{joined(inside)}</{name}>")
