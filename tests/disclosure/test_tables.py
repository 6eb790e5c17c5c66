"""Tables of counts: what stays, what is withheld, and what no two shown counts give away."""

from __future__ import annotations

from itertools import product

import duckdb
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkage import disclosure
from linkage.disclosure import ALL, POLICIES, SUPPRESSED, Policy
from linkage.errors import InputError, LinkageError, PolicyError

HES = POLICIES["hes"]


def _table(counts: dict[tuple[str, ...], int], names: tuple[str, ...] = ("sex", "age")) -> pl.DataFrame:
    rows = [(*key, count) for key, count in counts.items()]
    return pl.DataFrame(rows, schema={**dict.fromkeys(names, pl.String), "count": pl.Int64}, orient="row")


def _shown(table: pl.DataFrame, names: tuple[str, ...] = ("sex", "age")) -> dict[tuple[str, ...], str]:
    return {tuple(row[: len(names)]): row[len(names)] for row in table.iter_rows()}


def test_totals_are_computed_and_then_rounded() -> None:
    """Three counts of 12 are 36, which is shown as 35; three tens would be 30."""
    made = disclosure.release(_table({("f",): 12, ("m",): 12, ("i",): 12}, ("sex",)), ["sex"], HES)
    assert _shown(made, ("sex",)) == {("f",): "10", ("i",): "10", ("m",): "10", (ALL,): "35"}


def test_empty_groups_stay() -> None:
    """Also groups that are in no row, and values that are in none."""
    made = disclosure.release(
        _table({("f", "old"): 20, ("m", "young"): 30}), ["sex", "age"], HES, values={"sex": ["indeterminate"]}
    )
    shown = _shown(made)
    assert shown["f", "young"] == "0"
    assert shown["indeterminate", "old"] == shown["indeterminate", ALL] == "0"


def test_a_total_that_leads_back_to_a_small_group_is_withheld() -> None:
    """The total over both sexes less the women would be three men."""
    made = disclosure.release(_table({("f",): 100, ("m",): 3}, ("sex",)), ["sex"], HES)
    assert _shown(made, ("sex",)) == {("f",): "100", ("m",): SUPPRESSED, (ALL,): SUPPRESSED}
    assert made.row(-1) == (ALL, SUPPRESSED, 99, 109)


def test_a_total_does_not_leave_few_for_all_that_is_withheld() -> None:
    """Where counts are exact, the total less the shown ones is the withheld ones together."""
    counts = _table({("a",): 50, ("b",): 60, ("c",): 2, ("d",): 3}, ("place",))
    made = disclosure.release(counts, ["place"], POLICIES["sacro"])
    assert _shown(made, ("place",))[(ALL,)] == SUPPRESSED
    plenty = _table({("a",): 50, ("b",): 60, ("c",): 6, ("d",): 7}, ("place",))
    assert _shown(disclosure.release(plenty, ["place"], POLICIES["sacro"]), ("place",))[(ALL,)] == "123"


def test_two_groups_of_nearly_the_same_people_are_not_both_shown() -> None:
    """All but two of the pregnant are women: neither total is a part of the other, and they differ by two."""
    made = _shown(
        disclosure.release(
            _table({("f", "yes"): 40, ("f", "no"): 0, ("m", "yes"): 2, ("m", "no"): 90}), ["sex", "age"], HES
        )
    )
    assert made["f", ALL] == "40"
    assert made[ALL, "yes"] == SUPPRESSED


@pytest.mark.parametrize(
    ("cells", "names", "problem"),
    [
        ({("f", "old"): 1}, ["sex", "colour"], InputError),
        ({("f", ALL): 1}, ["sex", "age"], InputError),
        ({("f", "old"): -1}, ["sex", "age"], InputError),
    ],
)
def test_what_is_no_table_of_counts_is_refused(
    cells: dict[tuple[str, ...], int], names: list[str], problem: type[LinkageError]
) -> None:
    """Before anything is shown."""
    with pytest.raises(problem):
        disclosure.release(_table(cells), names, HES)


def test_a_group_in_two_rows_is_refused() -> None:
    """Each of the rows might be small, and their sum not; or the other way round."""
    twice = pl.DataFrame({"sex": ["f", "f"], "count": [4, 40]})
    with pytest.raises(InputError, match="several rows"):
        disclosure.release(twice, ["sex"], HES)


def test_a_rounded_or_hidden_column_is_no_count() -> None:
    """What was released once is not released again."""
    made = disclosure.release(pl.DataFrame({"sex": ["f"], "count": [40]}), ["sex"], HES)
    with pytest.raises(InputError, match="whole numbers"):
        disclosure.release(made.filter(pl.col("sex") != ALL), ["sex"], HES)


def test_a_table_of_too_many_groups_is_refused() -> None:
    """Each group would be a person."""
    many = pl.DataFrame({"practice": [str(each) for each in range(2001)], "count": [1] * 2001})
    with pytest.raises(PolicyError, match="too many groups"):
        disclosure.release(many, ["practice"], HES)
    six = [f"d{each}" for each in range(6)]
    with pytest.raises(PolicyError, match="6 dimensions"):
        disclosure.release(pl.DataFrame({**{each: ["x"] for each in six}, "count": [9]}), six, HES)


def test_people_are_counted_alike_in_a_table_and_in_a_database() -> None:
    """A missing value is a group of its own, and so is one that is written like it."""
    people = pl.DataFrame({"sex": ["f", "f", None, "(not known)"], "age": [1, 1, 2, 2]})
    with duckdb.connect() as connection:
        relation = connection.from_arrow(people.to_arrow())
        found = disclosure.count_people(relation, ["sex", "age"])
        assert disclosure.count_people(relation, []).rows() == [(4,)]
    assert found.equals(disclosure.count_people(people, ["sex", "age"]))
    assert found.rows() == [("(not known)", "2", 2), ("f", "1", 2)]


COUNTS = st.one_of(st.integers(0, 20), st.integers(0, 3), st.integers(90, 110))
TABLES = st.sampled_from([(2, 2), (3, 2), (1, 4), (2, 2, 2)]).flatmap(
    lambda shape: st.tuples(st.just(shape), st.lists(COUNTS, min_size=_size(shape), max_size=_size(shape)))
)


def _size(shape: tuple[int, ...]) -> int:
    size = 1
    for each in shape:
        size *= each
    return size


def _people(shape: tuple[int, ...], counts: list[int]) -> dict[tuple[str, ...], range]:
    """Who is in each finest group, as numbers."""
    found, first = {}, 0
    for cell, count in zip(product(*(map(str, range(each)) for each in shape)), counts, strict=True):
        found[cell] = range(first, first + count)
        first += count
    return found


def _members(people: dict[tuple[str, ...], range], label: tuple[str, ...]) -> set[int]:
    """A group's people by the plain meaning of its label."""
    fits = [each for cell, each in people.items() if all(a in (ALL, b) for a, b in zip(label, cell, strict=True))]
    return {person for each in fits for person in each}


@given(TABLES, st.sampled_from(list(POLICIES.values())))
def test_no_two_shown_counts_single_few_people_out(table: tuple[tuple[int, ...], list[int]], policy: Policy) -> None:
    """Against who really is in each group; and what is shown is true, within its bounds."""
    shape, counts = table
    people = _people(shape, counts)
    names = tuple(f"d{each}" for each in range(len(shape)))
    made = disclosure.release(_table({cell: len(each) for cell, each in people.items()}, names), names, policy)
    groups = [(_members(people, tuple(row[: len(names)])), row) for row in made.iter_rows()]
    assert len(groups) == _size(tuple(each + 1 for each in shape))
    for members, row in groups:
        count, least, most = row[len(names) :]
        assert least <= len(members) <= most
        assert count == SUPPRESSED or len(members) >= policy.smallest_shown or (policy.shows_zero and not members)
    shown = [members for members, row in groups if row[len(names)] != SUPPRESSED]
    for one, other in product(shown, repeat=2):
        assert len(one ^ other) == 0 or len(one ^ other) >= policy.smallest_shown


@given(TABLES)
def test_what_is_withheld_stays_open(table: tuple[tuple[int, ...], list[int]]) -> None:
    """By the counts of any one split and its total, no withheld count can be worked out."""
    shape, counts = table
    people = _people(shape, counts)
    names = tuple(f"d{each}" for each in range(len(shape)))
    made = disclosure.release(_table({cell: len(each) for cell, each in people.items()}, names), names, HES)
    rows = {tuple(row[: len(names)]): row[len(names) :] for row in made.iter_rows()}
    for label, (count, least, most) in rows.items():
        for place, value in enumerate(label):
            if value != ALL or count == SUPPRESSED:
                continue
            parts = [(*label[:place], str(each), *label[place + 1 :]) for each in range(shape[place])]
            for part in parts:
                others = [rows[each] for each in parts if each != part]
                if rows[part][0] == SUPPRESSED and rows[part][1] < rows[part][2]:
                    low = max(rows[part][1], least - sum(each[2] for each in others))
                    high = min(rows[part][2], most - sum(each[1] for each in others))
                    assert low < high


def test_rates_come_from_what_is_shown() -> None:
    """A rate needs its numerator and its denominator, and tells no more than they do."""
    cells = _table({("a", "yes"): 21, ("a", "no"): 79, ("b", "yes"): 3, ("b", "no"): 60}, ("place", "died"))
    made = disclosure.rates(disclosure.release(cells, ["place", "died"], HES), "died", ["place"])
    found = {row[0]: row[1:] for row in made.iter_rows()}
    assert found["a"] == ("20.0", pytest.approx(100 * 18 / 102), pytest.approx(100 * 22 / 98))
    assert found["b"][0] == SUPPRESSED
    assert found["b"][1] <= 100 * 3 / 63 <= found["b"][2]


def test_a_rate_of_nobody_is_none() -> None:
    """Nothing divided by nobody is not zero."""
    cells = _table({("a", "yes"): 0, ("a", "no"): 0, ("b", "yes"): 30, ("b", "no"): 60}, ("place", "died"))
    made = disclosure.rates(disclosure.release(cells, ["place", "died"], HES), "died", ["place"])
    assert {row[0]: row[1:] for row in made.iter_rows()}["a"] == (SUPPRESSED, None, None)
    with pytest.raises(InputError):
        disclosure.rates(disclosure.release(cells, ["place", "died"], HES), "place", ["died"])
