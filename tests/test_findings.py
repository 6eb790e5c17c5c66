"""What is worth a look: each line by a specification table, for exact counts and for shown ones, where some are withheld."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkage.findings import Finding, compared, summed, worth_a_look
from linkage.store.manifest import Change, ColumnCount, ColumnCounts, FileCount, ShownBalance, TableCounts


def table(rows: int | None = 1000, missing: int | None = 0, **changed: object) -> TableCounts:
    """A table of one column, in which nothing stands out."""
    column = ColumnCounts(column="sex", role="category", missing=missing, invalid={"unknown_code": 0})
    made = TableCounts(
        feed="gp", table="patient", title="", rows=rows, malformed=0, late=0, future=0, people={}, ranges={}, status={},
        columns=(column,),
    )  # fmt: skip
    return made.model_copy(update=changed)


def invalid(count: int | None, missing: int | None = 0) -> dict[str, object]:
    return {"columns": (ColumnCounts(column="sex", role="category", missing=missing, invalid={"unknown_code": count}),)}


@dataclass(frozen=True)
class Case:
    """A table as it was and as it is, and the line that is said about it (None: none)."""

    now: TableCounts
    said: str | None
    before: TableCounts | None = None
    copies: int | None = 0


CASES = (
    Case(table(), None),
    Case(table(future=9), None),
    Case(table(future=10), "gp patient: 10 (1.0%) after the delivery"),
    Case(table(future=None), None),
    Case(table(malformed=1), "gp patient: 1 (0.1%) cut short or too long"),
    Case(table(malformed=None), None),
    Case(table(people={"number_missing": 19}), None),
    Case(table(people={"number_missing": 20}), "gp patient: 20 (2.0%) number_missing"),
    Case(table(people={"person_unknown": 500}), "gp patient: 500 (50.0%) person_unknown"),
    Case(table(people={"number_check_digit": 500}), None),  # the column of the number tells of it
    Case(table(late=1000), None),  # an extract of many years
    Case(table(late=1000), "gp patient: 1000 (100.0%) late, and more of them than in the last run", table(late=900)),
    Case(table(late=949), None, table(late=900)),
    Case(table(people={"number_check_digit": 60}), "gp patient: 60 (6.0%) without a person, and more of them than in the last run",
         table(people={"number_check_digit": 10})),
    Case(table(**invalid(9)), None),
    Case(table(**invalid(10)), "gp patient sex: 10 (1.0%) unknown_code"),
    Case(table(**invalid(5, missing=500)), "gp patient sex: 5 (1.0%) unknown_code"),
    Case(table(**invalid(None)), None),
    Case(table(rows=None, **invalid(10)), None),
    Case(table(missing=1000), "gp patient sex: 1000 (100.0%) nothing in any row"),
    Case(table(missing=1000, absent=("sex",)), "gp patient sex: 1000 (100.0%) not in any file"),
    Case(table(missing=60), "gp patient sex: 50 (5.0%) emptier than in the last run", table(missing=10)),
    Case(table(missing=59), None, table(missing=10)),
    Case(table(missing=10), None, table(missing=60)),
    Case(table(rows=1200), "gp patient: 200 (20.0%) rows more than in the last run", table()),
    Case(table(rows=801), None, table()),
    Case(table(rows=800), "gp patient: 200 (20.0%) rows fewer than in the last run", table()),
    Case(table(rows=0), "gp patient: 1000 (100.0%) rows fewer than in the last run", table()),
    Case(table(), None, copies=49),
    Case(table(), "gp patient: 50 (5.0%) exact copies", copies=50),
    Case(table(), None, copies=None),
)  # fmt: skip


def _said(finding: Finding) -> str:
    return f"{finding.where}: {finding.count} ({finding.share:.1%}) {finding.what}"


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.said}")
def test_each_line(case: Case) -> None:
    """At its threshold, and not before it."""
    changes = compared([case.before], [case.now]) if case.before else ()
    removed = {"duplicate": case.copies}
    balance = ShownBalance(feed="gp", table="patient", read=case.now.rows, published=0, removed=removed)
    found = [_said(each) for each in worth_a_look([case.now], changes, [balance])]
    assert found == ([case.said] if case.said else [])


def test_columns_that_are_empty_are_one_line_a_table_and_come_last() -> None:
    """However many they are; three are named."""
    columns = tuple(ColumnCounts(column=f"c{place}", role="code", missing=1000, invalid={}) for place in range(7))
    found = worth_a_look([table(columns=columns, absent=("c0", "c6"), future=20)], (), ())
    assert [_said(each) for each in found] == [
        "gp patient: 20 (2.0%) after the delivery",
        "gp patient: 1000 (100.0%) 5 columns with nothing in any row: c1, c2, c3 and 2 more",
        "gp patient: 1000 (100.0%) 2 columns not in any file: c0, c6",
    ]


def test_what_is_withheld_is_not_compared() -> None:
    """Neither now nor before: a change would tell of it."""
    known, unknown = table(missing=100, late=100), table(rows=None, missing=None, late=None)
    for before, now in ((known, unknown), (unknown, known), (unknown, unknown)):
        assert [each for each in compared([before], [now]) if each.what != "rows"] == []
    assert compared([known], [table(missing=100, late=100, **{"people": {"number_missing": None}})]) == ()


def test_every_share_is_compared() -> None:
    """Rows by number, all others by share."""
    before = table(rows=1000, late=10, future=0, people={"number_missing": 10}, **invalid(5))
    now = table(rows=500, late=10, future=5, people={"number_missing": 10}, **invalid(5, missing=100))
    assert compared([before], [now]) == tuple(
        Change(feed="gp", table="patient", column=column, what=what, before=was, now=is_)
        for column, what, was, is_ in (
            (None, "rows", 1000, 500),
            (None, "future", 0.0, 0.01),
            (None, "late", 0.01, 0.02),
            (None, "no_person", 0.01, 0.02),
            ("sex", "invalid", 0.005, 0.0125),
            ("sex", "missing", 0.0, 0.2),
        )
    )  # fmt: skip


COUNTS = st.dictionaries(st.sampled_from(["a", "b"]), st.integers(1, 9))
FILES = st.lists(
    st.builds(
        FileCount, feed=st.sampled_from(["gp", "ae"]), table=st.just("t"), file=st.just("f"), rows=st.integers(0, 99),
        malformed=st.integers(0, 9), late=st.integers(0, 9), future=st.integers(0, 9), people=COUNTS, ranges=COUNTS,
        status=COUNTS, unread=st.integers(0, 3), absent=st.lists(st.sampled_from("xyz"), unique=True).map(tuple),
    )
)  # fmt: skip


@given(FILES)
def test_the_sum_of_a_tables_files_agrees_with_a_plain_referee(files: list[FileCount]) -> None:
    columns = [
        ColumnCount(feed=file.feed, table="t", file="f", column="c", written=file.rows, missing=file.late, invalid=file.future,
                    first_invalid=0, reasons={"unreadable": file.future} if file.future else {})
        for file in files
    ]  # fmt: skip
    found = {each.feed: each for each in summed(files, columns)}
    assert list(found) == list(dict.fromkeys(file.feed for file in files))
    for feed, each in found.items():
        its = [file for file in files if file.feed == feed]
        assert each.rows == sum(file.rows for file in its)
        assert (each.malformed, each.late, each.future) == tuple(
            sum(getattr(file, name) for file in its) for name in ("malformed", "late", "future")
        )
        for group in ("people", "ranges", "status"):
            names = {name for file in its for name in getattr(file, group)}
            assert getattr(each, group) == {name: sum(getattr(f, group).get(name, 0) for f in its) for name in names}
        assert each.unread == max(file.unread for file in its)
        assert set(each.absent) == set.intersection(*(set(file.absent) for file in its))
        assert each.columns[0].missing == each.late
        assert sum(count or 0 for count in each.columns[0].invalid.values()) == each.future
