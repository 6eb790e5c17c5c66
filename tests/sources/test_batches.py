"""Arrow's files, batch by batch: what is read is what was written, and what is broken is refused by name."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import ipc

from linkage.contract import Feed, parse
from linkage.errors import InputError
from linkage.sources import batches, clean, read
from linkage.sources.inspect import Extract, inspect

FEED = parse(
    """
    name = "test"
    setting = "acute"
    delivered = '_([0-9]{8})\\.csv$'
    [tables.visit]
    files = "visit_*.csv"
    primary_key = "key"
    [tables.visit.columns]
    key = { source = "Key", role = "record", namespace = "test.key" }
    number = { source = "NHS Number", role = "person" }
    day = { source = "Day", role = "date" }
    ward = { source = "Ward", role = "code" }
    """,
    "test.toml",
)
VISIT = FEED.tables["visit"]


def _write(table: pa.Table, path: Path, *, stream: bool, compression: str | None, rows: int) -> None:
    options = ipc.IpcWriteOptions(compression=compression)
    with (ipc.new_stream if stream else ipc.new_file)(str(path), table.schema, options=options) as writer:
        writer.write_table(table, max_chunksize=rows)


def _read(path: Path, feed: Feed = FEED) -> tuple[Extract, pl.DataFrame]:
    extract = inspect(path, feed, feed.tables["visit"])
    return extract, read.scan(extract, feed.tables["visit"]).collect(engine="streaming")


@st.composite
def columns(draw: st.DrawFn) -> tuple[pa.Table, pa.DataType]:
    """Rows of four columns, the last of any type that holds texts."""
    rows = draw(st.integers(0, 30))

    def some(values: st.SearchStrategy[object]) -> list[object]:
        return draw(st.lists(st.none() | values, min_size=rows, max_size=rows))

    text = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
    kind = draw(
        st.sampled_from([pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())])
    )
    made = {
        "Ward": pa.array(some(text), pa.string()).cast(kind),
        "NHS Number": pa.array(some(st.integers(0, 10**10)), pa.int64()),
        "Key": pa.array(some(text), pa.string()),
        "other": pa.array([[1]] * rows, pa.list_(pa.int8())),
        "Day": pa.array(some(st.dates()), pa.date32()),
    }
    return pa.table(made), kind


@given(columns(), st.booleans(), st.sampled_from([None, "zstd", "lz4"]), st.integers(1, 10), st.integers(1, 7))
def test_what_was_written_is_read(
    made: tuple[pa.Table, pa.DataType], stream: bool, compression: str | None, rows: int, piece: int
) -> None:
    """In both formats, packed or not, however the rows are cut; columns that the contract does not name do not matter."""
    table, _ = made
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(batches, "PIECE", piece)
        path = Path(folder) / "visit_20261101.arrow"
        _write(table, path, stream=stream, compression=compression, rows=rows)
        extract, frame = _read(path)
    assert extract.rows == table.num_rows == frame.height
    assert extract.delivered.isoformat() == "2026-11-01T00:00:00+00:00"
    assert frame["_row"].to_list() == list(range(1, table.num_rows + 1))
    for name, source in (("key", "Key"), ("number", "NHS Number"), ("day", "Day"), ("ward", "Ward")):
        assert frame[name].to_list() == table[source].to_pylist()
    assert not frame["_malformed"].any()


def test_counting_the_rows_reads_one_column(tmp_path: Path) -> None:
    """Also where no column is asked for, or the first rows only."""
    table = pa.table({"Key": ["a", "b", "c"], "Day": [None] * 3, "NHS Number": ["1"] * 3})
    path = tmp_path / "visit_20261101.arrow"
    _write(table, path, stream=True, compression=None, rows=2)
    rows = read.scan(inspect(path, FEED, VISIT), VISIT)
    assert rows.select(pl.len()).collect(engine="streaming").item() == 3
    assert rows.head(2).collect(engine="streaming")["key"].to_list() == ["a", "b"]
    assert rows.filter(pl.col("key") == "c").select("_row").collect(engine="streaming").item() == 3
    cleaned = clean.clean(rows, FEED, VISIT, {}).collect(engine="streaming")
    assert cleaned["number"].to_list() == ["1"] * 3


def _bytes(*, stream: bool) -> bytes:
    sink = pa.BufferOutputStream()
    table = pa.table({"Key": [f"9434765919-{place}" for place in range(999)]})
    with (ipc.new_stream if stream else ipc.new_file)(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=99)
    return sink.getvalue().to_pybytes()


def _text_that_is_none() -> bytes:
    """A file whose text is not UTF-8."""
    sink = pa.BufferOutputStream()
    array = pa.Array.from_buffers(pa.string(), 1, pa.array([b"\xff\xfe"]).buffers())
    batch = pa.record_batch({"Key": array})
    with ipc.new_file(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return sink.getvalue().to_pybytes()


BROKEN = {
    "nothing": b"",
    "text": b"Key,Day\n9434765919,x\n",
    "half a file": _bytes(stream=False)[: len(_bytes(stream=False)) // 2],
    "half a stream": _bytes(stream=True)[: len(_bytes(stream=True)) // 2],
    "a file without its end": _bytes(stream=False)[:-4],
    "Feather of version 1": b"FEA1" + bytes(40),
    "text that is no UTF-8": _text_that_is_none(),
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_a_broken_file_is_refused_and_nothing_of_it_repeated(content: bytes, tmp_path: Path) -> None:
    """By its name, before anything is taken from it."""
    path = tmp_path / "visit_20261101.arrow"
    path.write_bytes(content)
    with pytest.raises(InputError) as refused:
        inspect(path, FEED, VISIT)
    assert refused.value.message.startswith("visit_20261101.arrow: ")
    assert refused.value.hint
    assert "9434765919" not in refused.value.message + refused.value.hint


def test_a_type_in_which_no_values_are_read_is_refused(tmp_path: Path) -> None:
    """Where the contract takes the column; the error names it."""
    path = tmp_path / "visit_20261101.arrow"
    table = pa.table({"Key": pa.array([[1]], pa.list_(pa.int64())), "Day": [None], "NHS Number": ["1"]})
    _write(table, path, stream=False, compression=None, rows=2)
    with pytest.raises(InputError, match=r"visit_20261101.arrow: column 'Key' is of type List"):
        _read(path)


class Failing:
    """Batches whose reader says something in the middle."""

    schema = pa.schema({"Key": pa.string()})
    places = (0,)

    def read(self, _places: Sequence[int]) -> Iterator[pa.RecordBatch]:
        yield pa.record_batch({"Key": ["a"]})
        raise InputError("the middle: broken", hint="mend it")


def test_what_a_reader_raises_on_purpose_arrives_as_it_is() -> None:
    """Through the engine, with its class and its message."""
    with pytest.raises(InputError, match="the middle: broken"):
        batches.scan(Failing(), "x").collect(engine="streaming")


def test_a_large_batch_goes_through_in_pieces(tmp_path: Path) -> None:
    """Writers that make one batch of everything are common."""
    path = tmp_path / "visit_20261101.arrow"
    table = pa.table({"Key": pa.array(range(200_000), pa.int64())})
    _write(table, path, stream=False, compression=None, rows=200_000)
    heights: list[int] = []
    frame = batches.scan(batches.ArrowFile.of(path), "x").select(
        pl.col("c0").map_batches(
            lambda each: heights.append(len(each)) or each, return_dtype=pl.Int64, is_elementwise=True
        )
    )
    assert frame.collect(engine="streaming").height == 200_000
    assert max(heights) <= batches.PIECE
