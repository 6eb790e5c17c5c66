"""Which delivery of a record counts."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pytest
from bundles import Row, feed, parts, token
from hypothesis import given, settings
from hypothesis import strategies as st

from linkage.errors import IntegrityError
from linkage.link import Settled, connect, settle
from linkage.reasons import Reason

FEED = feed(
    """
name = "f"
setting = "acute"
[tables.t]
files = "*"
primary_key = ["key", "part"]
month = "day"
[tables.t.columns]
key = { source = "a", role = "record", namespace = "f.key" }
part = { source = "b", role = "number", type = "integer" }
day = { source = "c", role = "date" }
said = { source = "d", role = "category" }
"""
)
FIELDS = {"token": "UUID", "key": "UUID", "part": "BIGINT", "day": "DATE", "said": "VARCHAR"}
MAY, JUNE = date(2026, 5, 9), date(2026, 6, 1)


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    opened = connect(tmp_path / "linked.duckdb", tmp_path / "spill")
    yield opened
    opened.close()


def row(key: int | None, said: str = "x", person: int | None = 1, day: date | None = MAY, **more: Any) -> Row:
    return {"token": person, "key": key, "part": 1, "day": day, "said": said, **more}


def settled(
    connection: duckdb.DuckDBPyConnection, folder: Path, files: Sequence[Sequence[Row]]
) -> tuple[Settled, list[tuple[Any, ...]]]:
    result = settle(connection, folder, parts(folder, "f", "t", FIELDS, files), FEED.tables["t"])
    return result, connection.execute("SELECT * FROM f_t").fetchall()


def test_one_delivery_stays_as_it_is(connection: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    result, rows = settled(connection, tmp_path, [[row(1), row(2)]])
    assert (result.name, result.month, result.kept, result.removed) == ("f_t", "day", 2, {})
    assert rows[0] == (token(1), token(1), 1, MAY, "x")


def test_the_same_row_again_is_a_duplicate(connection: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    result, rows = settled(connection, tmp_path, [[row(1), row(1)], [row(1)]])
    assert result.removed == {Reason.DUPLICATE: 2}
    assert len(rows) == 1


def test_a_later_delivery_supersedes(connection: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    result, rows = settled(connection, tmp_path, [[row(1, "old")], [row(1, "new")]])
    assert result.removed == {Reason.SUPERSEDED: 1}
    assert rows[0][-1] == "new"


def test_delivery_decides_before_file_and_row(connection: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    _, rows = settled(connection, tmp_path, [[row(1, "newest", _delivered=9)], [row(1, "old"), row(1, "older")]])
    assert rows[0][-1] == "newest"


def test_another_person_is_not_a_duplicate(connection: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    result, rows = settled(connection, tmp_path, [[row(1, person=7)], [row(1, person=8)]])
    assert result.removed == {Reason.SUPERSEDED: 1}
    assert rows[0][0] == token(8)


def test_a_deletion_takes_every_copy_out(connection: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    result, rows = settled(connection, tmp_path, [[row(1), row(2)], [row(1, _deleted=True)]])
    assert result.removed == {Reason.DELETED: 2}
    assert [found[1] for found in rows] == [token(2)]


def test_a_record_can_come_back(connection: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    result, rows = settled(connection, tmp_path, [[row(1)], [row(1, _deleted=True)], [row(1)]])
    assert result.removed == {Reason.DUPLICATE: 1, Reason.SUPERSEDED: 1}
    assert len(rows) == 1


def test_rows_without_a_whole_key_are_never_merged(connection: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    result, rows = settled(connection, tmp_path, [[row(None), row(None), row(1, part=None)], [row(None)]])
    assert (result.kept, result.removed, len(rows)) == (4, {}, 4)


def test_rows_are_sorted_by_month_then_token_then_key(connection: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    given_rows = [
        row(5, person=1, day=JUNE),
        row(4, person=2, day=date(2026, 5, 1)),
        row(3, person=1, day=date(2026, 5, 31)),
        row(2, person=1, day=MAY),
        row(1, person=9, day=None),
        row(6, person=None, day=MAY),
    ]
    _, rows = settled(connection, tmp_path, [given_rows])
    assert [found[1] for found in rows] == [token(key) for key in (1, 6, 2, 3, 4, 5)]


def test_a_table_without_parts_has_its_columns(connection: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    result, rows = settled(connection, tmp_path, [])
    assert (result.kept, rows) == (0, [])
    described = connection.execute("SELECT column_name, data_type FROM duckdb_columns() WHERE table_name = 'f_t'")
    assert dict(described.fetchall()) == FIELDS


def test_a_bundle_whose_rows_were_lost_is_refused(connection: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    made = parts(tmp_path, "f", "t", FIELDS, [[row(1)]])
    lying = made.model_copy(update={"parts": (made.parts[0].model_copy(update={"kept": 2}),)})
    with pytest.raises(IntegrityError, match="2 rows came"):
        settle(connection, tmp_path, lying, FEED.tables["t"])


@pytest.mark.parametrize("path", ["../f.parquet", "/etc/f.parquet", "a/../../f.parquet", "f/*.parquet"])
def test_a_part_outside_the_bundle_is_refused(connection: duckdb.DuckDBPyConnection, tmp_path: Path, path: str) -> None:
    made = parts(tmp_path, "f", "t", FIELDS, [[row(1)]])
    leading_out = made.model_copy(update={"parts": (made.parts[0].model_copy(update={"path": path}),)})
    with pytest.raises(IntegrityError, match="leads out"):
        settle(connection, tmp_path, leading_out, FEED.tables["t"])


def test_wildcards_in_the_folder_stand_for_themselves(connection: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    for name in ("a[1]*?'b", "a1"):
        (tmp_path / name).mkdir()
    result, _ = settled(connection, tmp_path / "a[1]*?'b", [[row(1)]])
    assert result.kept == 1


def test_an_error_never_repeats_a_value(connection: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    made = parts(tmp_path, "f", "t", FIELDS, [[row(1, said="943 476 5919")]])
    fields = [each.model_copy(update={"type": "BIGINT"}) if each.name == "said" else each for each in made.fields]
    with pytest.raises(IntegrityError) as caught:
        settle(connection, tmp_path, made.model_copy(update={"fields": tuple(fields)}), FEED.tables["t"])
    assert "943" not in str(caught.value)
    assert caught.value.__cause__ is None


ROWS = st.lists(
    st.lists(
        st.builds(
            row,
            key=st.one_of(st.none(), st.integers(1, 3)),
            said=st.sampled_from(["a", "b"]),
            person=st.one_of(st.none(), st.integers(1, 2)),
            day=st.sampled_from([None, MAY, JUNE]),
            part=st.sampled_from([None, 1, 2]),
            _deleted=st.booleans(),
            _delivered=st.integers(0, 2),
        ),
        max_size=6,
    ),
    max_size=3,
)


def referee(files: Sequence[Sequence[Row]]) -> tuple[Counter[str], Counter[tuple[Any, ...]]]:
    """The same in plain Python: what goes, by reason, and what stays."""
    copies: dict[tuple[Any, ...], list[tuple[tuple[int, int, int], Row]]] = {}
    kept: Counter[tuple[Any, ...]] = Counter()
    removed: Counter[str] = Counter()
    for place, rows in enumerate(files):
        for number, each in enumerate(rows):
            if each["key"] is None or each["part"] is None:
                if each["_deleted"]:
                    removed["deleted"] += 1
                    continue
                kept[content(each)] += 1
            else:
                at = (each["_delivered"], place, number)
                copies.setdefault((each["key"], each["part"]), []).append((at, each))
    for found in copies.values():
        *earlier, (_, last) = sorted(found, key=lambda copy: copy[0])
        if last["_deleted"]:
            removed["deleted"] += len(found)
            continue
        kept[content(last)] += 1
        for _, each in earlier:
            same = content(each) == content(last) and not each["_deleted"]
            removed["duplicate" if same else "superseded"] += 1
    return removed, kept


def content(each: Row) -> tuple[Any, ...]:
    return tuple(
        token(each[name]) if type == "UUID" and each[name] is not None else each[name] for name, type in FIELDS.items()
    )


@settings(max_examples=60, deadline=None)
@given(ROWS)
def test_agrees_with_plain_python(files: list[list[Row]]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        connection = connect(folder / "linked.duckdb", folder / "spill", threads=2)
        result, rows = settled(connection, folder, files)
        connection.close()
    removed, kept = referee(files)
    assert {str(reason): count for reason, count in result.removed.items()} == removed
    assert Counter(rows) == kept


def test_the_order_of_rows_does_not_depend_on_threads(tmp_path: Path) -> None:
    files = [[row(n * 7919 % 5000, person=n * 31 % 97, said=str(n % 3)) for n in range(20_000)] for _ in range(2)]
    found = []
    for threads in (1, 2, 4, 4):
        place = tmp_path / str(len(found))
        connection = connect(tmp_path / f"{len(found)}.duckdb", place, threads=threads)
        found.append(settled(connection, place, files)[1])
        connection.close()
    assert found[0] == found[1] == found[2] == found[3]
