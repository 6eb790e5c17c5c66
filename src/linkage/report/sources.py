"""Which sources know the same people: every two of them, and the combinations that are most frequent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from linkage.report.facts import Facts
from linkage.report.markup import Html, tag
from linkage.report.numbers import count, percent, share
from linkage.report.pieces import figure, number, section, table, text, unfold
from linkage.store.manifest import PairCount, SourcesCount

__all__ = ["sources"]

COMBINATIONS = 24
CELL, NAME, TOP, STEP, BARS = 24, 150, 120, 20, 110  # pixels
WIDE_CELL, MOST_WIDE = 58, 14  # cells with figures in them, for as many feeds
LETTER = 7  # the width of a letter, about, for names that are cut short

Pairs = Mapping[tuple[str, str], int | None]


def sources(facts: Facts) -> Html:
    """The section; says so where the snapshot does not tell."""
    pairs: dict[tuple[str, str], int | None] = {}
    for each in facts.run.common:
        pairs[each.feed, each.other] = pairs[each.other, each.feed] = each.persons
    feeds = sorted({feed for feed, _ in pairs})
    if not feeds:
        return section("sources", "Which sources know the same people", text("This snapshot does not tell."))
    return section(
        "sources",
        "Which sources know the same people",
        _matrix(feeds, pairs),
        unfold("Every two sources", _pairs(facts.run.common, pairs)),
        tag("h3", "The most frequent combinations"),
        _combinations(facts.run.sources),
        unfold("Every combination", _table(facts.run.sources, facts.people)),
    )


def _short(name: str, room: int = NAME - 10) -> str:
    most = room // LETTER
    return name if len(name) <= most else f"{name[: most - 1]}…"


def _matrix(feeds: Sequence[str], pairs: Pairs) -> Html:
    """A row is a source: how many of its people the source of each column knows too."""
    cell, drawing = WIDE_CELL if len(feeds) <= MOST_WIDE else CELL, []
    top = min(max(len(feed) for feed in feeds) * LETTER, TOP) + 12  # room for the turned names
    for column, feed in enumerate(feeds):
        x, y = NAME + column * cell + cell // 2, top - 8
        turned = f"rotate(-50 {x} {y})"
        drawing.append(tag("text", tag("title", feed), _short(feed, TOP), x=x, y=y, transform=turned))
    for row, feed in enumerate(feeds):
        y = top + row * CELL
        label = tag("text", tag("title", feed), _short(feed), x=NAME - 8, y=y + 16, text_anchor="end")
        drawing.append(label)
        for column, other in enumerate(feeds):
            drawing += _cell(feed, other, pairs, (NAME + column * cell, y, cell))
    size = (NAME + len(feeds) * cell + TOP // 2, top + len(feeds) * CELL + 4)
    words = (
        "Of the people whom the source of a row knows, the share whom the source of a column knows too; darker is more."
    )
    return figure(drawing, size, "How many people every two sources have in common, in the table below", words)


def _cell(feed: str, other: str, pairs: Pairs, place: tuple[int, int, int]) -> list[Html]:
    x, y, cell = place
    both, part = pairs[feed, other], share(pairs[feed, other], pairs[feed, feed])
    said = f"{feed} and {other}: " + (f"{both:,} people" if both is not None else "withheld")
    step = 0 if not part else min(int(part * 5) + 1, 5)
    kind = "cw" if both is None else f"m{step}"
    made = [tag("rect", tag("title", said), x=x, y=y, width=cell, height=CELL, class_=f"{kind} cell")]
    if cell == WIDE_CELL and part is not None:
        dark = "on-dark" if step > 3 else "on-light" if step == 3 else None
        made.append(tag("text", percent(part), x=x + cell // 2, y=y + 16, text_anchor="middle", class_=dark))
    return made


def _pairs(common: Sequence[PairCount], pairs: Pairs) -> Html:
    rows = (
        [
            each.feed,
            each.other,
            number(count(each.persons)),
            number(percent(share(each.persons, pairs[each.feed, each.feed]))),
            number(percent(share(each.persons, pairs[each.other, each.other]))),
        ]
        for each in common
        if each.feed != each.other and each.persons != 0
    )
    headings = ["source", "other source", "#people in both", "#of the source's", "#of the other's"]
    return table(headings, rows, "Two sources without a line have nobody in common")


def _combinations(found: Sequence[SourcesCount]) -> Html:
    """A column is a combination: a bar for its people, and a dot for each source that knows them."""
    shown = [each for each in found if each.feeds and each.persons][:COMBINATIONS]
    if not shown:
        return text("No combination of sources has enough people to be shown.")
    feeds = sorted({feed for each in shown for feed in each.feeds})
    largest = max(each.persons or 0 for each in shown)
    drawing = []
    for row, feed in enumerate(feeds):
        y = BARS + 24 + row * STEP
        drawing.append(tag("text", tag("title", feed), _short(feed), x=NAME - 8, y=y + 4, text_anchor="end"))
    for place, each in enumerate(shown):
        x = NAME + 16 + place * CELL
        high = max(round((each.persons or 0) / largest * (BARS - 20)), 1)
        said = f"{each.persons:,} people: {', '.join(each.feeds)}"
        drawing.append(tag("rect", tag("title", said), x=x - 8, y=BARS - high, width=16, height=high, class_="bar"))
        drawing += _dots([feed in each.feeds for feed in feeds], x)
    drawing.append(tag("text", f"{largest:,}", x=NAME + 8, y=12, class_="q"))
    size = (NAME + 32 + len(shown) * CELL, BARS + 24 + len(feeds) * STEP)
    words = f"People whom the sources with a dot know, and no other source; the {len(shown)} largest combinations."
    return figure(drawing, size, "The most frequent combinations of sources, in the table below", words)


def _dots(knows: Sequence[bool], x: int) -> list[Html]:
    """A dot for each source, those that know the people tied together over those that do not."""
    heights = [BARS + 24 + row * STEP for row in range(len(knows))]
    full = [y for y, known in zip(heights, knows, strict=True) if known]
    return [
        *(tag("circle", cx=x, cy=y, r=5, class_="no") for y in heights if y not in full),
        tag("line", x1=x, x2=x, y1=full[0], y2=full[-1], class_="tie"),
        *(tag("circle", cx=x, cy=y, r=5, class_="dot") for y in full),
    ]


def _table(found: Sequence[SourcesCount], people: int | None) -> Html:
    rows = (
        [
            ", ".join(each.feeds) or "all other combinations",
            number(count(each.persons)),
            number(percent(share(each.persons, people))),
        ]
        for each in found
    )
    return table(["known to these sources and no others", "#people", "#of all"], rows, "People by their sources")
