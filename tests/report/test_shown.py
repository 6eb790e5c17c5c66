"""What a snapshot tells of its run: small numbers stay unknown, also where the same rows are counted several times."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report_pages import column

from linkage import shown
from linkage.config import Quality, QualityRule
from linkage.link import Load, MonthRows, SourcesPersons
from linkage.link.small_numbers import bounds, suppress
from linkage.store.manifest import MonthCount, TableCounts

SMALL = st.one_of(st.integers(0, 13), st.sampled_from([7, 12, 1]), st.integers(0, 40))
GROUPS = ("people", "ranges", "status")


def table(people: dict[str, int], ranges: dict[str, int], status: dict[str, int], more: int = 0) -> TableCounts:
    """A table whose rows all have a person or a reason why not."""
    rows = sum(people.values()) + sum(ranges.values())
    return TableCounts(
        feed="gp", table="patient", title="", rows=rows, malformed=more, late=more, future=0,
        people=people, ranges=ranges, status=status,
        columns=(
            column("number", people.get("number_missing", 0), "person", number_blocked=people.get("number_blocked", 0)),
            column("empty", rows), column("sex", more, unknown_code=more),
        ),
    )  # fmt: skip


PEOPLE = st.dictionaries(st.sampled_from(["number_missing", "number_blocked"]), SMALL)
RANGES = st.dictionaries(st.sampled_from(["england", "scotland"]), SMALL, min_size=1)


@st.composite
def runs(draw: st.DrawFn) -> tuple[Load, TableCounts]:
    """A table's balance and what was counted of the same rows."""
    people, ranges = draw(PEOPLE), draw(RANGES)
    rows = sum(people.values()) + sum(ranges.values())
    status = {"01": rows} if draw(st.booleans()) else {"01": min(rows, draw(SMALL))}
    opted_out = draw(st.integers(0, sum(ranges.values())))
    removed = {name: count for name, count in (people | {"national_opt_out": opted_out}).items() if count}
    load = Load("gp", "patient", rows, rows - sum(removed.values()), removed)
    return load, table(people, ranges, status, draw(SMALL))


def _numbers(found: TableCounts) -> Iterator[int | None]:
    yield from (found.rows, found.malformed, found.late, found.future)
    for group in GROUPS:
        yield from getattr(found, group).values()
    for each in found.columns:
        yield from (each.missing, *each.invalid.values())


@given(runs())
def test_nothing_that_is_shown_is_small_or_exact(run: tuple[Load, TableCounts]) -> None:
    """Every count is rounded, wherever it stands; the same count is told in the same way."""
    load, exact = run
    (balance,) = shown.balance([load])
    (found,) = shown.tables([exact], [balance])
    for count in (*_numbers(found), balance.read, balance.published, *balance.removed.values()):
        assert count is None or (count % 5 == 0 and count >= 0)
    assert found.rows == balance.read
    assert found.columns[1].missing == found.rows


def _fits(parts: list[int | None], whole: int | None, exactly: int) -> Iterator[tuple[int, ...]]:
    for counts in product(*(range(low, high + 1) for low, high in map(bounds, parts))):
        if whole is None or suppress(sum(counts) + exactly)[0] == whole:
            yield counts


@settings(max_examples=150)
@given(runs())
def test_no_withheld_count_can_be_worked_out(run: tuple[Load, TableCounts]) -> None:
    """Not from the rows read and the rows published, which can be counted; nor from persons, who are all the rows."""
    load, exact = run
    (balance,) = shown.balance([load])
    (found,) = shown.tables([exact], [balance])
    persons = [*found.people.values(), *found.ranges.values()]
    systems = [(list(balance.removed.values()), load.published)]
    # Where a person's group is withheld as a whole its counts may be anything.
    if None in persons and not all(count is None for count in persons):
        systems.append((persons, 0))
    for parts, exactly in systems:
        fitting = list(_fits(parts, balance.read, exactly))
        assert fitting
        for place, count in enumerate(parts):
            assert count is not None or len({each[place] for each in fitting}) > 1


@pytest.mark.parametrize(
    ("load", "rows"),
    [
        # 1002 is shown as 1000, which is at most 1002, and 1001 are published: one was removed.
        (Load("gp", "patient", 1002, 1001, {"national_opt_out": 1}), None),
        (Load("gp", "patient", 1001, 1000, {"national_opt_out": 1}), 1000),
    ],
)
def test_rows_that_tell_a_removed_one_are_withheld_everywhere(load: Load, rows: int | None) -> None:
    """An empty column has as many missing cells as there are rows."""
    exact = table({}, {"england": load.read}, {"01": load.read})
    (found,) = shown.tables([exact], shown.balance([load]))
    assert found.rows == found.ranges["england"] == found.status["01"] == found.columns[1].missing == rows


def test_persons_that_tell_one_are_withheld_with_the_column_that_holds_them() -> None:
    """28 rows are shown as 30, and four sevens are all that fits."""
    people = {"number_missing": 7, "number_blocked": 7}
    ranges = {"england": 7, "scotland": 7}
    exact = table(people, ranges, {"01": 28})
    balance = shown.balance([Load("gp", "patient", 28, 28, {})])
    (found,) = shown.tables([exact], balance)
    assert found.rows == 30
    assert set(found.people.values()) | set(found.ranges.values()) | set(found.status.values()) == {None}
    assert (found.columns[0].missing, found.columns[0].invalid) == (None, {"number_blocked": None})


@given(st.lists(SMALL, min_size=1, max_size=4))
def test_months(rows: list[int]) -> None:
    """Each withheld or rounded; all withheld where their sum tells of one; the newest are kept."""
    exact = [MonthRows("gp", f"2026-{place + 1:02d}", count) for place, count in enumerate(rows)]
    found = [each.rows for each in shown.months(exact)]
    assert len(found) == len(rows)
    if found != [None] * len(rows):
        assert found == [suppress(count)[0] for count in rows]
        fitting = list(_fits(found, suppress(sum(rows))[0], 0))
        for place, count in enumerate(found):
            assert count is not None or len({each[place] for each in fitting}) > 1


def test_only_the_newest_months_are_told() -> None:
    many = [MonthRows("gp", f"{1900 + place // 12}-{place % 12 + 1:02d}", 50) for place in range(300)]
    found = shown.months([*many, MonthRows("gp", None, 9), MonthRows("zz", None, 9)])
    assert len(found) == shown.MONTHS + 1
    assert found[0].month == "1915-01"
    assert found[-1] == MonthCount(feed="zz", month=None, rows=10)


@given(st.lists(st.integers(1, 40), max_size=6))
def test_combinations_of_sources(persons: list[int]) -> None:
    """None is small, what is left over neither, and together they are everybody."""
    exact = [SourcesPersons((f"feed{place}",), count) for place, count in enumerate(persons)]
    found = shown.sources(exact)
    assert all(each.persons is None or each.persons >= 10 for each in found if each.feeds)
    rest = [each.persons for each in found if not each.feeds]
    kept = sum(count for place, count in enumerate(persons) if (f"feed{place}",) in {each.feeds for each in found})
    left = sum(persons) - kept
    assert rest == ([suppress(left)[0]] if left else [])
    # Only where all people together are so few is their number withheld.
    assert rest != [None] or sum(persons) < 8


def test_limits_are_those_in_force() -> None:
    """The general ones, and each rule's own."""
    rules = Quality(max_missing=0.5, rules=(QualityRule(feed="gp", table="patient", column="sex", max_unknown=0.1),))
    found = {(each.name, each.feed, each.table, each.column): each.value for each in shown.limits(rules)}
    assert found == {
        ("max_missing", None, None, None): 0.5,
        ("max_invalid", None, None, None): 0.1,
        ("max_unknown", None, None, None): 1.0,
        ("max_malformed", None, None, None): 0.01,
        ("max_no_person", None, None, None): 1.0,
        ("max_late", None, None, None): 1.0,
        ("max_future", None, None, None): 1.0,
        ("min_rows", None, None, None): 0,
        ("max_unknown", "gp", "patient", "sex"): 0.1,
    }
