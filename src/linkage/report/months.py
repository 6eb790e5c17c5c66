"""Rows over time: for each feed a column of events for each month, all feeds under one another on the same months."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from linkage.report.facts import Facts
from linkage.report.markup import Html, tag
from linkage.report.numbers import added, count, width
from linkage.report.pieces import by_feed, number, section, table, text, unfold
from linkage.store.manifest import MonthCount

__all__ = ["months"]

SHOWN, AHEAD, HEIGHT = 60, 3, 44  # months, months after the run, pixels
Rows = Mapping[int, int | None]


def months(facts: Facts) -> Html:
    """The section; empty where the snapshot does not say."""
    feeds, undated = _by_feed(facts.run.months)
    span = _span(feeds.values(), facts.run.started)
    if not span:
        return section("months", "Rows over time", text("This snapshot does not tell its events by month."))
    plots = [_row(feed, rows, span, undated.get(feed)) for feed, rows in feeds.items()]
    plots.append(["", number(""), number(""), _axis(span), number("")])
    return section(
        "months",
        "Rows over time",
        text(f"Events in the snapshot by the month in which they start, {_name(span[0])} to {_name(span[-1])}. "
             "Each feed has its own height: its largest month is named."),
        table(["feed", "#largest month", "#earlier", "events in each month", "#later or undated"], plots, "Events by feed and month"),
        unfold("Every month", _table(feeds, span)),
    )  # fmt: skip


def _month(text_: str) -> int:
    return int(text_[:4]) * 12 + int(text_[5:7]) - 1


def _name(month: int) -> str:
    return f"{month // 12:04d}-{month % 12 + 1:02d}"


def _by_feed(counts: Iterable[MonthCount]) -> tuple[dict[str, dict[int, int | None]], dict[str, int | None]]:
    feeds: defaultdict[str, dict[int, int | None]] = defaultdict(dict)
    undated: dict[str, int | None] = {}
    for each in counts:
        if each.month is None:
            undated[each.feed] = each.rows
        else:
            feeds[each.feed][_month(each.month)] = each.rows
    return dict(feeds), undated


def _span(feeds: Iterable[Rows], started: datetime) -> range:
    """The months that are drawn: not those of mistyped years, which would leave no room for the others."""
    last = started.year * 12 + started.month - 1 + AHEAD
    found = [month for rows in feeds for month in rows if last - SHOWN < month <= last]
    return range(min(found), max(found) + 1) if found else range(0)


def _row(feed: str, rows: Rows, span: range, undated: int | None) -> list[Html | str]:
    largest = max((rows.get(month) or 0 for month in span), default=0)
    earlier = [count_ for month, count_ in rows.items() if month < span[0]]
    later = [count_ for month, count_ in rows.items() if month > span[-1]]
    drawn = [_bar(place, month, rows, largest, len(span)) for place, month in enumerate(span) if month in rows]
    plot = tag(
        "svg", *_years(span, HEIGHT), _floor(), *drawn, height=HEIGHT, role="img", aria_label=_said(feed, rows, span)
    )
    return [
        feed,
        number(count(largest or None)),
        number(_sum(earlier)),
        tag("td", plot, class_="wide"),
        number(_sum([*later, *([undated] if undated is not None else [])])),
    ]


def _sum(counts: Sequence[int | None]) -> Html:
    return count(None if counts and not added(counts) else added(counts))


def _said(feed: str, rows: Rows, span: range) -> str:
    shown = sum(1 for month in span if rows.get(month))
    return f"{feed}: events in {shown} of {len(span)} months, in the table below"


def _bar(place: int, month: int, rows: Rows, largest: int, of: int) -> Html:
    found = rows[month]
    # A withheld month is a mark on the floor: that there was something, and not how much.
    high = max(round((found or 0) / largest * (HEIGHT - 2)), 1) if found and largest else 3
    said = f"{_name(month)}: " + (f"{found:,}" if found is not None else "withheld")
    kind = "bar" if found is not None else "cw"
    title, x, wide = tag("title", said), width(place / of), width(0.86 / of)
    return tag("rect", title, x=x, width=wide, y=HEIGHT - high, height=high, class_=kind)


def _floor() -> Html:
    return tag("line", x1=0, x2="100%", y1=HEIGHT, y2=HEIGHT, class_="axis")


def _years(span: range, high: int) -> list[Html]:
    januaries = [place / len(span) for place, month in enumerate(span) if month % 12 == 0]
    return [tag("line", x1=width(at), x2=width(at), y1=0, y2=high, class_="grid") for at in januaries]


def _axis(span: range) -> Html:
    labels = [
        tag("text", str(month // 12), x=width(place / len(span)), y=14, class_="q")
        for place, month in enumerate(span)
        if month % 12 == 0 and place < len(span) - 2
    ]
    return tag("td", tag("svg", *labels, height=18, aria_hidden="true"), class_="wide")


def _table(feeds: Mapping[str, Rows], span: range) -> Html:
    def cells(month: int) -> Mapping[str, Html | str]:
        return {feed: count(rows[month]) if month in rows else "–" for feed, rows in feeds.items()}

    return by_feed("month", list(feeds), "Events in each month", ((_name(month), cells(month)) for month in span))
