"""How full each column came: a bar of all columns for each table, and behind it a bar for each column."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence

from linkage.contract import Role
from linkage.report.facts import Facts
from linkage.report.markup import Html, joined
from linkage.report.numbers import count, percent, share
from linkage.report.pieces import bar, key, number, section, stacked, table, text, unfold
from linkage.store.manifest import ColumnCounts, TableCounts

__all__ = ["completeness", "full"]

# The least share of rows with something in the column, from the fullest class down.
CLASSES = (
    ("c4", 0.99, "99% of rows or more"),
    ("c3", 0.9, "90% to 99%"),
    ("c2", 0.5, "50% to 90%"),
    ("c1", 0.0, "less than 50%"),
)
EMPTY, UNKNOWN = ("c0", "none"), ("cw", "withheld")
MOST_WITHHELD = 7  # a count that is withheld because it is small is this at most


def completeness(facts: Facts) -> Html:
    """The section."""
    tables = [each for each in facts.run.quality if each.rows != 0]
    return section(
        "completeness",
        "Completeness by column and feed",
        text("How many of a table's columns have something written in how many of the rows that were read."),
        key([*((kind, words) for kind, _, words in CLASSES), EMPTY, UNKNOWN]),
        table(
            ["table", "#columns", "by how full they are"], (_overview(each) for each in tables), "Columns of each table"
        ),
        joined(_feeds(tables)),
    )


def full(column: ColumnCounts, rows: int | None) -> float | None:
    """The share of rows that have something in a column; where missing cells are few, the least that it can be."""
    missing = column.missing
    if missing is None and column.role != Role.PERSON.value:
        missing = MOST_WITHHELD
    found = share(missing, rows)
    return None if found is None else 1 - found


def _class(filled: float | None) -> tuple[str, str]:
    if filled is None:
        return UNKNOWN
    return next(((kind, words) for kind, least, words in CLASSES if filled and filled >= least), EMPTY)


def _overview(each: TableCounts) -> list[Html | str]:
    classes = Counter(_class(full(column, each.rows)) for column in each.columns)
    order = [*((kind, words) for kind, _, words in CLASSES), EMPTY, UNKNOWN]
    parts = [
        (kind, classes[kind, words] / len(each.columns), f"{classes[kind, words]} columns: {words}")
        for kind, words in order
        if each.columns
    ]
    return [f"{each.feed} {each.table}", number(f"{len(each.columns):,}"), stacked(parts)]


def _feeds(tables: Sequence[TableCounts]) -> Iterator[Html]:
    feeds: defaultdict[str, list[TableCounts]] = defaultdict(list)
    for each in tables:
        feeds[each.feed].append(each)
    for feed, its in feeds.items():
        columns = sum(len(each.columns) for each in its)
        yield unfold(
            f"{feed}: every column",
            *(_columns(each) for each in its),
            more=f"{columns:,} column{'s' if columns > 1 else ''}",
        )


def _columns(each: TableCounts) -> Html:
    title = f"{each.feed} {each.table}" + (f": {each.title}" if each.title else "")
    if each.unread:
        title += f". Columns of the files that are not read: {each.unread:,}"
    headings = ["column", "what it is", "#filled", "", "#invalid, of what is written", "why"]
    return table(headings, (_column(column, each) for column in each.columns), title)


def _column(column: ColumnCounts, table_: TableCounts) -> list[Html | str]:
    rows = table_.rows
    filled, (kind, _) = full(column, rows), _class(full(column, rows))
    if column.column in table_.absent:
        return [column.column, _role(column), number("not in any file"), bar(None), number("–"), ""]
    at_least = "at least " if column.missing is None and filled is not None else None
    return [
        column.column,
        _role(column),
        number(joined([at_least, percent(filled)])),
        bar(filled, class_=kind),
        number(_invalid(column, rows)),
        _reasons(column.invalid),
    ]


def _role(column: ColumnCounts) -> str:
    return column.role.replace("_", " ")


def _invalid(column: ColumnCounts, rows: int | None) -> Html | str:
    if not column.invalid:
        return "–"
    counts = list(column.invalid.values())
    if None in counts or rows is None or column.missing is None:
        return percent(None) if None in counts else count(sum(each or 0 for each in counts))
    return percent(share(sum(each or 0 for each in counts), max(rows - column.missing, 1)))


def _reasons(invalid: Mapping[str, int | None]) -> Html:
    return joined(
        part
        for place, (reason, cells) in enumerate(invalid.items())
        for part in ("; " if place else None, f"{reason} ", count(cells))
    )
