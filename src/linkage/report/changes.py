"""What differs from the last run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from linkage.report.facts import Facts
from linkage.report.markup import Html
from linkage.report.numbers import count, percent
from linkage.report.pieces import bar, number, section, table, text, unfold
from linkage.store.manifest import Change

__all__ = ["changes"]

SHOWN = 20


def changes(facts: Facts) -> Html:
    """The section: the largest changes, and behind them all others."""
    found, title = sorted(facts.run.changes, key=_size, reverse=True), "Against the last run"
    if facts.run.last_run is None:
        return section("changes", title, text("There was no run before this one."))
    if not found:
        return section("changes", title, text(f"Nothing that is counted differs from run {facts.run.last_run}."))
    headings = ["where", "what", "#before", "#now", "#change", ""]
    rest = found[SHOWN:]
    return section(
        "changes",
        title,
        table(headings, _rows(found[:SHOWN]), f"The largest changes since run {facts.run.last_run}"),
        unfold(f"{len(rest):,} smaller changes", table(headings, _rows(rest), "Smaller changes")) if rest else None,
    )


def _size(each: Change) -> float:
    by = abs(each.now - each.before)
    return by / max(each.before, each.now, 1) if each.what == "rows" else by


def _rows(found: Iterable[Change]) -> Iterator[list[Html | str]]:
    for each in found:
        where = " ".join(part for part in (each.feed, each.table, each.column) if part)
        shown = count if each.what == "rows" else percent
        by = each.now - each.before
        of = (each.before or each.now) if each.what == "rows" else 1
        words = "rows" if each.what == "rows" else f"share that is {each.what}".replace("is no_person", "has no person")
        yield [
            where,
            words,
            number(shown(each.before)),
            number(shown(each.now)),
            number(f"{by / of:+.1%}"),
            bar(_size(each)),
        ]
