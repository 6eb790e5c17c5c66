"""What is left of the order of a site's rows: as much as settling asks for, and no more."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from linkage.sites.reorder import reordered

Row = tuple[bytes | None, bytes | None, int | None, int]
_TOKENS = st.one_of(st.none(), st.sampled_from([b"p1", b"p2", b"p3", b"p4"]))
_RECORDS = st.one_of(st.none(), st.sampled_from([b"r1", b"r2", b"r3"]))
_ROWS = st.lists(st.tuples(_TOKENS, _RECORDS, st.one_of(st.none(), st.integers(0, 1)), st.integers(0, 2)), max_size=14)
SCHEMA = {"token": pl.Binary, "record": pl.Binary, "line": pl.Int64, "value": pl.Int64}


def _frame(rows: list[Row]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=SCHEMA, orient="row").with_row_index("_row").cast({"_row": pl.Int64})


@settings(max_examples=300)
@given(_ROWS, st.sampled_from([["record"], ["record", "line"], ["token", "record"]]))
def test_rows_of_a_person_and_of_a_record_keep_their_order(rows: list[Row], keys: list[str]) -> None:
    """Whatever is missing, and whoever shares a record; the rows are the same ones."""
    frame = _frame(rows).with_columns(pl.col("_row").alias("was"))
    made = reordered(frame, keys)
    assert made.schema == frame.schema
    assert sorted(made.drop("_row").rows(), key=repr) == sorted(frame.drop("_row").rows(), key=repr)
    records: dict[tuple[Any, ...], list[tuple[int, int]]] = defaultdict(list)
    persons: dict[bytes, list[tuple[int, int]]] = defaultdict(list)
    for row in made.iter_rows(named=True):
        records[tuple(row[key] for key in keys)].append((row["was"], row["_row"]))
        if row["token"] is not None:
            persons[row["token"]].append((row["was"], row["_row"]))
    for key, found in records.items():
        places = [place for _, place in sorted(found)]
        if None not in key:
            assert places == sorted(set(places)), "a record keeps its order, and no place is there twice"
    for found in persons.values():
        assert [place for _, place in sorted(found)] == sorted(place for _, place in found)
    tokens = made["token"].to_list()
    assert tokens == sorted(filter(None, tokens)) + [None] * made["token"].null_count()


@given(st.permutations(list(range(8))))
def test_the_order_of_persons_in_the_file_tells_nothing(order: list[int]) -> None:
    """Files that differ only in whose rows come first give the same part."""
    rows: list[Row] = [(f"p{each // 2}".encode(), f"r{each}".encode(), 1, each % 2) for each in range(8)]
    mixed = _frame([rows[each] for each in sorted(order, key=lambda each: (order.index(each - each % 2), each % 2))])
    plain = reordered(_frame(rows), ["record"])
    assert reordered(mixed, ["record"]).rows() == plain.rows()


def test_rows_of_nobody_come_in_the_order_of_their_content() -> None:
    """Also those that name no record."""
    one: list[Row] = [(None, None, 1, 2), (None, b"r2", 1, 0), (None, None, 1, 1), (None, b"r1", 1, 0)]
    assert reordered(_frame(one), ["record"]).rows() == reordered(_frame(one[::-1]), ["record"]).rows()


def test_no_row_is_a_part_as_well() -> None:
    """A file of which everything was removed."""
    assert reordered(_frame([]), ["record"]).height == 0
