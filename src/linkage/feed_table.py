"""A contract as tables for a terminal: what an extract holds and what becomes of every column, within a given width."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from linkage.contract import Column, Feed, Table
from linkage.feed_pages import SETTINGS, becomes, facts, form, remarks

_HEAD = ("column", "role", "type", "what becomes of it", "source", "required", "notes")
_LEAST = (10, 6, 4, 14, 12, 8, 10)
_GAP = "  "
NARROWEST = sum(_LEAST) + len(_GAP) * (len(_LEAST) - 1)


def show(feed: Feed, width: int) -> str:
    """One feed: what it is, then for each table its facts and its columns.

    Args:
        feed: The contract.
        width: Characters in a line; `NARROWEST` when less.
    """
    width = max(width, NARROWEST)
    return "\n".join([*_about(feed, width), *(line for name in feed.tables for line in _table(feed, name, width))])


def _about(feed: Feed, width: int) -> Iterator[str]:
    more = f", extends {feed.extends}" if feed.extends else ""
    checked = "checked against a published layout" if feed.verified else "not checked against a published layout"
    yield from _wrapped(f"{feed.name} version {feed.version}: {feed.title}", width)
    yield from _wrapped(f"{SETTINGS[feed.setting]}; {checked}{more}", width)
    yield from _wrapped(_plain(form(feed)), width)
    if feed.description:
        yield ""
        yield from _wrapped(feed.description, width)


def _table(feed: Feed, name: str, width: int) -> Iterator[str]:
    table = feed.tables[name]
    title = f": {table.title}" if table.title else ""
    yield from ("", *_wrapped(f"{name}{title}", width))
    for fact in facts(feed, name, table):
        yield from _wrapped(_plain(fact), width, "  ")
    yield ""
    yield from _grid([_HEAD, *(_row(each, column, table) for each, column in table.columns.items())], width)


def _row(name: str, column: Column, table: Table) -> tuple[str, ...]:
    return (
        name,
        column.role.value,
        column.kind,
        _plain(becomes(name, column, table)),
        "; ".join(column.source),
        "yes" if column.required else "",
        _plain("; ".join(each for each in remarks(column) if each != column.kind)),
    )


def _grid(rows: Sequence[Sequence[str]], width: int) -> Iterator[str]:
    widths = _widths(rows, width)
    for number, row in enumerate(rows):
        cells = [textwrap.wrap(cell, size) or [""] for cell, size in zip(row, widths, strict=True)]
        for line in range(max(map(len, cells))):
            parts = [cell[line] if line < len(cell) else "" for cell in cells]
            yield _GAP.join(f"{part:<{size}}" for part, size in zip(parts, widths, strict=True)).rstrip()
        if number == 0:
            yield _GAP.join("-" * size for size in widths)


def _widths(rows: Sequence[Sequence[str]], width: int) -> list[int]:
    """As wide as the longest cell; where that is too much, the widest columns give way, to no less than they need."""
    widths = [max(len(row[place]) for row in rows) for place in range(len(_HEAD))]
    room = width - len(_GAP) * (len(widths) - 1)
    while sum(widths) > room:
        place = max(range(len(widths)), key=lambda each: widths[each] - _LEAST[each])
        if widths[place] <= _LEAST[place]:
            break
        widths[place] -= 1
    return widths


def _wrapped(text: str, width: int, indent: str = "") -> list[str]:
    return textwrap.wrap(text, width, initial_indent=indent, subsequent_indent=indent + ("  " if indent else ""))


def _plain(text: str) -> str:
    return text.replace("`", "").replace("<br>", "; ").replace("\\|", "|")
