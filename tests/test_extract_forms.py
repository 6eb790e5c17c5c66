"""The same extracts in every form in which suppliers' tools write them: what is published is the same, row by row."""

from __future__ import annotations

import csv
import gzip
import io
import shutil
from collections.abc import Callable
from pathlib import Path

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import csv as arrow_csv
from pyarrow import ipc
from small import make_small_ics

import golden
from linkage import contract, pipeline
from linkage.cli import demo
from linkage.sources import read
from linkage.sources.inspect import inspect

Table = list[list[str]]


def _encoding(path: Path) -> str:
    return "cp1252" if path.parent.name == "tpp" else "utf-8"


def _rewritten(
    path: Path, change: Callable[[Table], Table] = lambda rows: rows, quoting: int = csv.QUOTE_MINIMAL
) -> None:
    delimiter = "|" if path.parent.name in ("iuc111", "cad999") else ","
    encoding = _encoding(path)
    rows = change(list(csv.reader(io.StringIO(path.read_bytes().decode(encoding), newline=""), delimiter=delimiter)))
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter, lineterminator="\n", quoting=quoting).writerows(rows)
    path.write_bytes(out.getvalue().encode(encoding))


def _packed(path: Path) -> None:
    path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes(), 1))
    path.unlink()


def _typed(path: Path, write: Callable[[pa.Table, Path], object], suffix: str, *, dictionaries: bool = False) -> None:
    """The same cells as texts, in a file whose columns have types."""
    delimiter = "|" if path.parent.name in ("iuc111", "cad999") else ","
    header = next(csv.reader(io.StringIO(path.read_text(encoding=_encoding(path))), delimiter=delimiter))
    table = arrow_csv.read_csv(
        path,
        read_options=arrow_csv.ReadOptions(encoding=_encoding(path)),
        parse_options=arrow_csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
        convert_options=arrow_csv.ConvertOptions(column_types=dict.fromkeys(header, pa.string())),
    )
    write(_coded(table) if dictionaries else table, path.with_suffix(suffix))
    path.unlink()


def _coded(table: pa.Table) -> pa.Table:
    return pa.table({name: table[name].dictionary_encode() for name in table.column_names})


def _file(table: pa.Table, path: Path) -> None:
    with ipc.new_file(str(path), table.schema, options=ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_table(table, max_chunksize=50)


def _stream(table: pa.Table, path: Path) -> None:
    with ipc.new_stream(str(path), table.schema) as writer:
        writer.write_table(table, max_chunksize=70)


def _unix(content: bytes) -> bytes:
    return content.replace(b"\r\n", b"\n")


def _marked(path: Path) -> None:
    """The mark is one of Unicode's: windows-1252 has none."""
    if path.parent.name != "tpp":
        _bytes(path, lambda content: b"\xef\xbb\xbf" + content)


def _bytes(path: Path, change: Callable[[bytes], bytes]) -> None:
    path.write_bytes(change(path.read_bytes()))


FORMS: dict[str, Callable[[Path], None]] = {
    "a byte order mark": _marked,
    "lines that end as on Windows": lambda path: _bytes(path, lambda content: _unix(content).replace(b"\n", b"\r\n")),
    "lines that end as elsewhere": lambda path: _bytes(path, _unix),
    "packed": _packed,
    "blank lines at the end": lambda path: _bytes(path, lambda content: content + b"\n\r\n\n"),
    "no line end at the end": lambda path: _bytes(path, lambda content: content.rstrip(b"\r\n")),
    "everything quoted": lambda path: _rewritten(path, quoting=csv.QUOTE_ALL),
    "columns in another order": lambda path: _rewritten(path, lambda rows: [row[::-1] for row in rows]),
    "spaces around names and values": lambda path: _rewritten(
        path, lambda rows: [[f" {cell} " for cell in row] for row in rows]
    ),
    "Parquet": lambda path: _typed(path, pq.write_table, ".parquet"),
    "Arrow's file": lambda path: _typed(path, _file, ".feather"),
    "Arrow's stream": lambda path: _typed(path, _stream, ".arrows"),
    "Arrow's stream of dictionaries": lambda path: _typed(path, _stream, ".arrow", dictionaries=True),
    "a column more, with lines, quotes and delimiters in it": lambda path: _rewritten(
        path, lambda rows: [[*rows[0], "extra"], *([*row, 'a\nb "c", d|e'] for row in rows[1:])]
    ),
}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, object]]:
    """A made-up ICS, and what is published of it as it is."""
    folder = tmp_path_factory.mktemp("forms") / "plain"
    demo.make(folder, 600, seed=3)
    return folder, _published(folder)


def _published(folder: Path) -> dict[str, object]:
    report = pipeline.run(folder / "linkage.toml")
    assert report.database is not None
    with duckdb.connect(str(report.database), read_only=True) as connection:
        tables = connection.execute("SELECT name FROM (SHOW TABLES)").fetchall()
        return {
            table: connection.execute(f'SELECT count(*), sum(hash(t)::HUGEINT) FROM "{table}" t').fetchone()
            for (table,) in tables
        }


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_the_same_is_published(
    plain: tuple[Path, dict[str, object]], tmp_path: Path, form: Callable[[Path], None]
) -> None:
    """Every table, every row, and the account."""
    source, expected = plain
    folder = tmp_path / "form"
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns("store", "private"))
    for path in (folder / "extracts").rglob("*.csv"):
        form(path)
    assert _published(folder) == expected


def test_the_stamp_may_stand_in_the_folder(tmp_path: Path) -> None:
    """As some suppliers deliver: the same file names in a folder for each day, which is not a file delivered twice."""
    plain, dated = tmp_path / "plain", tmp_path / "dated"
    for folder in (plain, dated):
        folder.mkdir()
    outcome = golden.run(plain, ["tpp"])
    path = golden.prepare(dated, ["tpp"])
    for file in (dated / "extracts" / "tpp").glob("*.csv"):
        name, _, stamp = file.stem.partition("_")
        (file.parent / stamp).mkdir(exist_ok=True)
        file.rename(file.parent / stamp / f"{name}.csv")
    report = pipeline.run(path, now=golden.NOW)
    assert report.tables == outcome.report.tables
    assert report.removed == outcome.report.removed


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_some_rows_at_a_time_are_the_rows_at_once(tmp_path: Path, form: Callable[[Path], None]) -> None:
    """With the same numbers, in the same order, however few at a time."""
    ics = make_small_ics(tmp_path)
    form(ics.extract)
    (path,) = ics.extract.parent.iterdir()
    feed = contract.load("sus_op", tmp_path)
    table = feed.tables["appointment"]
    extract = inspect(path, feed, table)
    whole = read.scan(extract, table).collect()
    assert whole["_row"].to_list() == list(range(1, 11))
    for rows in (1, 3, 10):
        windows = [each.collect() for each in read.windows(extract, table, rows)]
        assert pl.concat(windows).equals(whole)
        if extract.is_parquet:
            assert len(windows) == -(-10 // rows)
