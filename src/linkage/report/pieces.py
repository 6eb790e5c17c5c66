"""What sections are made of: tables, bars in their cells, keys to colours, and parts that unfold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from linkage.report.markup import Html, Inside, joined, tag
from linkage.report.numbers import width

__all__ = ["bar", "by_feed", "figure", "key", "number", "section", "stacked", "table", "text", "unfold"]

BAR, STACK = 14, 16  # heights in pixels
FEEDS = 8  # in one table


def section(name: str, title: str, *inside: Inside) -> Html:
    """A part of the page that the list at its top leads to."""
    return tag("section", tag("h2", title), *inside, id=name, aria_label=title)


def text(words: str, *, class_: str | None = None) -> Html:
    """A paragraph."""
    return tag("p", words, class_=class_)


def number(value: Inside) -> Html:
    """A cell with a figure."""
    return tag("td", value, class_="n")


def table(headings: Sequence[Inside], rows: Iterable[Sequence[Inside]], caption: str) -> Html:
    """A table in a frame that scrolls sideways where it is wider than the page.

    Args:
        headings: Of the columns; one that begins with `#` is of figures.
        rows: Cells: elements `td` or `th` as they are, anything else in one; the first is the row's heading.
        caption: What it shows.
    """
    head = tag("tr", *(_heading(each) for each in headings))
    body = joined(tag("tr", *(_cell(cell, first=not place) for place, cell in enumerate(row))) for row in rows)
    made = tag("table", tag("caption", caption), tag("thead", head), tag("tbody", body))
    return _scroll(made, caption)


def by_feed(heading: str, feeds: Sequence[str], caption: str, rows: Iterable[tuple[str, Mapping[str, Inside]]]) -> Html:
    """Tables with a column for each feed, few enough in one that it fits on paper."""
    lines = list(rows)
    return joined(
        table(
            [heading, *(f"#{feed}" for feed in some)],
            ([name, *(number(cells[feed]) for feed in some)] for name, cells in lines),
            caption if not place else f"{caption}, continued",
        )
        for place in range(0, len(feeds), FEEDS)
        for some in [feeds[place : place + FEEDS]]
    )


def _heading(words: Inside) -> Html:
    if isinstance(words, str) and words.startswith("#"):
        return tag("th", words[1:], scope="col", class_="n")
    return tag("th", words, scope="col")


def _cell(cell: Inside, *, first: bool) -> Html:
    if isinstance(cell, Html) and cell.startswith(("<td", "<th")):
        return cell
    return tag("th", cell, scope="row", class_="name") if first else tag("td", cell)


def _scroll(inside: Html, label: str) -> Html:
    return tag("div", inside, class_="scroll", tabindex=0, role="region", aria_label=label)


def bar(share: float | None, *, class_: str = "bar", limit: float | None = None, size: str = "p") -> Html:
    """A cell with a bar for a share, whose figure stands in the next cell; `limit` is a mark on it."""
    track = tag("rect", width="100%", height=BAR, rx=2, class_="track")
    drawn = tag("rect", width=width(share), height=BAR, rx=2, class_=class_) if share else None
    mark = tag("line", x1=width(limit), x2=width(limit), y1=0, y2=BAR, class_="limit") if limit is not None else None
    return tag("td", tag("svg", track, drawn, mark, height=BAR, aria_hidden="true"), class_=size)


def stacked(parts: Iterable[tuple[str, float, str]], class_: str = "wide") -> Html:
    """A cell with one bar of several parts: each a class, a share of the whole and what it is."""
    drawn, start = [tag("rect", width="100%", height=STACK, class_="track")], 0.0
    for kind, share, what in parts:
        if share > 0:
            drawn.append(tag("rect", tag("title", what), x=width(start), width=width(share), height=STACK, class_=kind))
            start += share
    return tag("td", tag("svg", *drawn, height=STACK, aria_hidden="true"), class_=class_)


def key(entries: Iterable[tuple[str, str]]) -> Html:
    """What the classes of a plot's parts stand for."""
    return tag("ul", *(tag("li", _swatch(kind), words) for kind, words in entries), class_="key")


def _swatch(kind: str) -> Html:
    return tag(
        "svg", tag("rect", width=14, height=14, rx=2, class_=f"{kind} cell"), width=14, height=14, aria_hidden="true"
    )


def figure(drawing: Sequence[Html], size: tuple[int, int], label: str, words: str) -> Html:
    """A drawing of its own size, which scrolls sideways where the page is narrower.

    Args:
        drawing: Its elements.
        size: Width and height in pixels.
        label: What a person hears who cannot see it.
        words: What stands below it.
    """
    wide, high = size
    made = tag("svg", tag("title", label), *drawing, width=wide, height=high, viewBox=f"0 0 {wide} {high}", role="img")
    return tag("figure", _scroll(made, label), tag("figcaption", words))


def unfold(title: str, *inside: Inside, more: str = "") -> Html:
    """A part that is closed until somebody opens it; paper shows it open."""
    summary = tag("summary", title, tag("span", f" {more}", class_="quiet") if more else None)
    return tag("details", summary, *inside)
