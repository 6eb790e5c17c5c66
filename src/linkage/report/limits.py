"""The limits that were in force, and what came nearest to each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from linkage.contract import Role
from linkage.report.facts import Facts
from linkage.report.markup import Html
from linkage.report.numbers import added, percent, share
from linkage.report.pieces import bar, number, section, table, text
from linkage.sources.quality import Fault
from linkage.store.manifest import Limit, TableCounts

__all__ = ["limits", "nearest"]

_WORDS = {
    "max_missing": "rows with nothing in a column",
    "max_invalid": "values that cannot be read or are unknown",
    "max_unknown": "values that are none of the column's codes",
    "max_malformed": "rows with too few or too many fields",
    "max_no_person": "rows without a person",
    "max_late": "rows of long before the delivery",
    "max_future": "rows of after the delivery",
    "max_change": "change of a table's rows since the last run",
    "min_rows": "the fewest rows of a file",
}

_OF_ROWS: dict[str, Callable[[TableCounts], int | None]] = {
    "max_malformed": lambda each: each.malformed,
    "max_no_person": lambda each: added(each.people.values()),
    "max_late": lambda each: each.late,
    "max_future": lambda each: each.future,
}

Target = tuple[str, str, str | None]


def limits(facts: Facts) -> Html:
    """The section."""
    words = (
        "A run is refused, and nothing published, where a file goes beyond one of these. The bars are of whole tables."
    )
    rows = [_row(each, facts) for each in facts.run.limits]
    if not rows:
        return section("limits", "Limits", text("This snapshot does not tell its limits."))
    headings = ["limit", "of", "for", "#at", "#nearest to it", "", "where"]
    return section(
        "limits", "Limits", text(words), table(headings, rows, "Limits of data quality, and what came nearest to them")
    )


def _row(limit: Limit, facts: Facts) -> list[Html | str]:
    where = " ".join(each for each in (limit.feed, limit.table, limit.column) if each) or "everything"
    start: list[Html | str] = [limit.name, _WORDS.get(limit.name, ""), where]
    if limit.name == "min_rows":
        return [*start, number(f"{limit.value:,.0f}"), number("–"), "", ""]
    found = nearest(limit, facts)
    if limit.value >= 1 and limit.name != "max_change":
        return [*start, number("no limit"), number(percent(found[0]) if found else "–"), "", ""]
    if found is None:
        return [*start, number(percent(limit.value)), number("–"), bar(None, limit=limit.value), ""]
    value, target = found
    drawn = bar(value, limit=limit.value)
    return [
        *start,
        number(percent(limit.value)),
        number(percent(value)),
        drawn,
        " ".join(filter(None, target)) if value else "",
    ]


def nearest(limit: Limit, facts: Facts) -> tuple[float, Target] | None:
    """The highest share among those that the limit is for and no rule of a narrower place, and where it is."""
    measured = _changes(facts) if limit.name == "max_change" else _measured(limit.name, facts.run.quality)
    own = [(value, target) for value, target in measured if _holds(limit, target, facts.run.limits)]
    return max(own, key=lambda each: each[0], default=None)


def _holds(limit: Limit, target: Target, every: Sequence[Limit]) -> bool:
    feed, table_, column = target
    named = {(each.feed, each.table, each.column) for each in every if each.name == limit.name}
    places = ((feed, table_, column), (feed, table_, None), (feed, None, None), (None, None, None))
    return next((place for place in places if place in named), None) == (limit.feed, limit.table, limit.column)


def _measured(name: str, tables: Sequence[TableCounts]) -> Iterator[tuple[float, Target]]:
    for each in tables:
        if name in _OF_ROWS and (found := share(_OF_ROWS[name](each), each.rows)) is not None:
            yield found, (each.feed, each.table, None)
        for column in each.columns if each.rows else ():
            target = (each.feed, each.table, column.column)
            # NHS numbers have a limit only where a rule names their column; `_holds` cannot know, so they are left out.
            if column.missing is None or (name == "max_invalid" and column.role == Role.PERSON.value):
                continue
            written = (each.rows or 0) - column.missing
            if name == "max_missing":
                yield share(column.missing, each.rows) or 0.0, target
            elif name == "max_invalid" and written > 0:
                yield share(added(column.invalid.values()), written) or 0.0, target
            elif name == "max_unknown" and written > 0:
                yield share(column.invalid.get(Fault.UNKNOWN_CODE.value, 0) or 0, written) or 0.0, target


def _changes(facts: Facts) -> Iterator[tuple[float, Target]]:
    for each in facts.run.changes:
        if each.what == "rows" and each.before:
            yield abs(each.now - each.before) / each.before, (each.feed, each.table, None)
