"""How well each table's rows name a person, and when what they tell of happened."""

from __future__ import annotations

from collections.abc import Mapping

from linkage.report.facts import Facts
from linkage.report.markup import Html, joined
from linkage.report.numbers import added, count, percent, share
from linkage.report.pieces import bar, number, section, table, text
from linkage.store.manifest import TableCounts

__all__ = ["people"]

Counts = Mapping[str, int | None]


def people(facts: Facts) -> Html:
    """The section: NHS numbers by row, and rows that are late, in the future or cut short."""
    tables = [each for each in facts.run.quality if each.rows != 0]
    persons = [each for each in tables if each.people or each.ranges]
    return section(
        "people",
        "NHS numbers and dates",
        text("Rows with a usable NHS number, by its issuer, and rows without a person, by reason; a row may have other faults too."),
        table(
            ["table", "#usable", "", "issued by", "no person", "number status"],
            (_persons(each) for each in persons),
            "NHS numbers of each table",
        ),
        text("Late: the event was long before the delivery. In the future: more than a day after it."),
        table(
            ["table", "#rows", "#late", "", "#in the future", "#cut short or too long"],
            (_dates(each) for each in tables),
            "Dates and form of each table's rows",
        ),
    )  # fmt: skip


def _persons(each: TableCounts) -> list[Html | str]:
    usable = share(added(each.ranges.values()), each.rows)
    withheld = None in each.ranges.values() and not added(each.ranges.values())
    return [
        f"{each.feed} {each.table}",
        number(percent(None if withheld else usable)),
        bar(None if withheld else usable, size="slim"),
        _listed(each.ranges),
        _listed(each.people),
        _listed(each.status) if each.status else "–",
    ]


def _listed(counts: Counts) -> Html:
    return joined(
        piece
        for place, (name, rows) in enumerate(sorted(counts.items()))
        for piece in ("; " if place else None, f"{name.replace('_', ' ')} ", count(rows))
    )


def _dates(each: TableCounts) -> list[Html | str]:
    late = share(each.late, each.rows)
    figures = (each.rows, each.late, each.future, each.malformed)
    rows, late_rows, future, malformed = (number(count(figure)) for figure in figures)
    return [f"{each.feed} {each.table}", rows, late_rows, bar(late, size="slim"), future, malformed]
