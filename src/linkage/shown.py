"""What a snapshot may say about the run that made it: its exact counts with small numbers withheld.

Whoever reads the snapshot reads this, and the report is drawn from it. A count that stands in two places is withheld in
both or in neither, and where a total would tell a withheld count all that the total could be worked out from goes too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby

from linkage.config import Quality
from linkage.contract import Role
from linkage.link import Coverage, Load, MonthRows, SourcesPersons, read_shown, suppress, total
from linkage.store.manifest import (
    Limit,
    MonthCount,
    PairCount,
    ShownBalance,
    SourcesCount,
    TableCounts,
)

__all__ = ["balance", "common", "limits", "months", "sources", "tables"]

MONTHS, COMBINATIONS = 120, 50  # of each feed, the newest; the most frequent

_LIMITS = (
    "max_missing",
    "max_invalid",
    "max_unknown",
    "max_malformed",
    "max_no_person",
    "max_late",
    "max_future",
    "min_rows",
    "max_change",
)


def limits(rules: Quality) -> tuple[Limit, ...]:
    """The limits in force, the general ones first."""
    given = [(rules, None, None, None), *((rule, *rule.target) for rule in rules.rules)]
    return tuple(
        Limit(name=name, value=value, feed=feed, table=table, column=column)
        for each, feed, table, column in given
        for name in _LIMITS
        if (value := getattr(each, name)) is not None
    )


def balance(loads: Iterable[Load]) -> tuple[ShownBalance, ...]:
    """Rows read, published and removed of each table."""
    return tuple(
        ShownBalance(
            feed=load.feed,
            table=load.table,
            read=read_shown(load),
            published=_shown(load.published),
            removed=_each(load.removed),
        )
        for load in loads
    )


def tables(exact: Iterable[TableCounts], balances: Iterable[ShownBalance]) -> tuple[TableCounts, ...]:
    """What was counted about each table's extracts.

    Args:
        exact: The exact counts.
        balances: The balance as it is shown. Where it withholds the rows read, nothing here may tell them: a column
            that is empty has as many missing cells, and everybody has a number or a reason why not.
    """
    rows = {(each.feed, each.table): each.read for each in balances}
    return tuple(_table(each, rows.get((each.feed, each.table), _shown(each.rows))) for each in exact)


def _table(exact: TableCounts, rows: int | None) -> TableCounts:
    if rows is None:
        return _withheld(exact)
    columns = tuple(
        each.model_copy(update={"missing": _shown(each.missing), "invalid": _each(each.invalid)})
        for each in exact.columns
    )
    groups = {name: _each(getattr(exact, name)) for name in ("people", "ranges", "status")}
    counts = {name: _shown(getattr(exact, name)) for name in ("malformed", "late", "future")}
    shown = exact.model_copy(update={"rows": rows, "columns": columns, **groups, **counts})
    if _tells(exact, "people", "ranges"):
        return _without_persons(shown)
    return shown.model_copy(update={"status": dict.fromkeys(shown.status)}) if _tells(exact, "status") else shown


def _tells(exact: TableCounts, *groups: str) -> bool:
    """Whether a withheld count can be worked out from the rows and the other counts of the groups: parts of them."""
    parts = [count or 0 for group in groups for count in getattr(exact, group).values()]
    rest = (exact.rows or 0) - sum(parts)
    return bool(parts) and total([*parts, max(rest, 0)]) is None


def _without_persons(shown: TableCounts) -> TableCounts:
    """Without what was counted of persons and numbers, in the columns that hold them too."""
    columns = tuple(
        each.model_copy(update={"missing": None, "invalid": dict.fromkeys(each.invalid)})
        if each.role == Role.PERSON.value
        else each
        for each in shown.columns
    )
    groups: dict[str, object] = {name: dict.fromkeys(getattr(shown, name)) for name in ("people", "ranges", "status")}
    return shown.model_copy(update={**groups, "columns": columns})


def _withheld(exact: TableCounts) -> TableCounts:
    columns = tuple(
        each.model_copy(update={"missing": None, "invalid": dict.fromkeys(each.invalid)}) for each in exact.columns
    )
    groups: dict[str, object] = {name: dict.fromkeys(getattr(exact, name)) for name in ("people", "ranges", "status")}
    counts: dict[str, object] = dict.fromkeys(("rows", "malformed", "late", "future"))
    return exact.model_copy(update={"columns": columns, **groups, **counts})


def _shown(count: int | None) -> int | None:
    return None if count is None else suppress(count)[0]


def _each(counts: Mapping[str, int | None]) -> dict[str, int | None]:
    return {name: _shown(count) for name, count in sorted(counts.items()) if count}


def months(exact: Iterable[MonthRows]) -> tuple[MonthCount, ...]:
    """Events by feed and month, the newest months of each feed; all withheld where their sum tells of one."""
    return tuple(
        MonthCount(feed=feed, month=each.month, rows=each.rows)
        for feed, rows in groupby(exact, key=lambda each: each.feed)
        for each in _months(list(rows))
    )


def _months(rows: list[MonthRows]) -> Iterator[MonthCount]:
    tells = total(each.rows for each in rows) is None
    newest = sorted(rows, key=lambda each: each.month or "")[-MONTHS:]
    for each in newest:
        yield MonthCount(feed=each.feed, month=each.month, rows=None if tells else _shown(each.rows))


def sources(exact: Iterable[SourcesPersons]) -> tuple[SourcesCount, ...]:
    """Persons by the feeds that know them, the most frequent combinations; the last entry is all others, never few."""
    ordered = sorted(exact, key=lambda each: (-each.persons, each.feeds))
    kept = [each for each in ordered[:COMBINATIONS] if _shown(each.persons)]
    rest = sum(each.persons for each in ordered[len(kept) :])
    # A small rest could be worked out from the number of all persons: it is made larger.
    while kept and rest > 0 and not _shown(rest):
        rest += kept.pop().persons
    made = [SourcesCount(feeds=each.feeds, persons=_shown(each.persons)) for each in kept]
    return tuple([*made, SourcesCount(feeds=(), persons=_shown(rest))] if rest else made)


def common(exact: Iterable[Coverage]) -> tuple[PairCount, ...]:
    """Persons whom two feeds both know."""
    return tuple(PairCount(feed=each.feed, other=each.other, persons=each.persons) for each in exact)
