"""A made-up ICS after a run, and a search for anybody in it."""

from __future__ import annotations

import json
import pickle
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import duckdb
import polars as pl
from filelock import FileLock

from linkage import Keyset, Pseudonymiser, pipeline
from linkage.cli import demo
from linkage.pipeline import RunReport

PEOPLE = 2_500


@dataclass(frozen=True)
class MadeUp:
    """Its folder, what the run reported, the truth about people and rows, and the exact account."""

    folder: Path
    report: RunReport
    pseudonymiser: Pseudonymiser
    people: pl.DataFrame
    rows: pl.DataFrame
    exact: dict[str, list[dict[str, object]]]


def made_up_once(place: Path) -> MadeUp:
    """Made as `linkage demo` makes it, in a place that several processes share, by the first that comes."""
    folder, told = place / "demo", place / "report.pickle"
    place.mkdir(exist_ok=True)
    with FileLock(place / "lock"):
        if not told.exists():
            demo.make(folder, PEOPLE, seed=7)
            told.write_bytes(pickle.dumps(pipeline.run(folder / "linkage.toml")))
    report: RunReport = pickle.loads(told.read_bytes())  # noqa: S301 from a process of the same tests
    keyset = Keyset.open("age://keys/ics.age", base=folder)
    return MadeUp(
        folder,
        report,
        keyset.pseudonymiser("ics:demo"),
        pl.read_parquet(folder / "truth" / "people.parquet"),
        pl.read_parquet(folder / "truth" / "rows.parquet"),
        json.loads((folder / "private" / "runs" / f"{report.run_id}.json").read_text()),
    )


def copied(made_up: MadeUp, folder: Path) -> Path:
    """A copy that a test may change, all but the store: its database names its files by their place, so it stays there."""
    shutil.copytree(made_up.folder, folder, ignore=shutil.ignore_patterns("store"))
    (folder / "store").symlink_to(made_up.folder / "store", target_is_directory=True)
    return folder


class Search:
    """Looks for NHS numbers, names and postcodes of the made-up people."""

    def __init__(self, people: pl.DataFrame) -> None:
        numbers = pl.concat([people["nhs_number"], people["superseded"].explode().drop_nulls()])
        self.numbers = set(numbers.to_list())
        self.names = {name.lower() for name in pl.concat([people["given_name"], people["surname"]]).drop_nulls()}
        self.postcodes = {postcode.replace(" ", "") for postcode in people["postcode"].drop_nulls()}

    def text(self, text: str, where: object) -> None:
        """Raise AssertionError where a text holds one of them, wherever in a longer run of digits it begins."""
        digits = {int(re.sub(r"[ -]", "", run)) for run in re.findall(r"(?=(\d{3}[ -]?\d{3}[ -]?\d{4}))", text)}
        assert not digits & self.numbers, f"an NHS number in {where}"
        words = {word.lower() for word in re.findall(r"[A-Za-z]{6,}", text)}
        assert not words & self.names, f"a name in {where}"
        codes = {code.replace(" ", "").upper() for code in re.findall(r"QX\d{1,2} ?\d[A-Z]{2}", text, re.IGNORECASE)}
        assert not codes & self.postcodes, f"a postcode in {where}"

    def frame(self, frame: pl.DataFrame, where: object) -> None:
        """The same for every column of a table, numbers as numbers."""
        for column in frame:
            if isinstance(column.dtype, pl.List):
                column = column.explode()
            if column.dtype == pl.String:
                self.text("\n".join(column.drop_nulls().unique().to_list()), where)
            elif column.dtype.is_numeric():
                assert not set(column.drop_nulls().unique().to_list()) & self.numbers, f"an NHS number in {where}"

    def folder(self, folder: Path) -> set[str]:
        """The same for every file below a folder, raw and decoded; the kinds of files that were searched."""
        kinds = set()
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            self.text(path.name, path)
            if path.suffix in (".parquet", ".removed", ".withdrawn", ".lines"):
                self.frame(pl.read_parquet(path, hive_partitioning=False), path)
            elif path.suffix == ".duckdb":
                self._database(path)
            elif path.suffix != ".age":
                self.text(path.read_bytes().decode("latin-1"), path)
            kinds.add(path.suffix)
        return kinds

    def _database(self, path: Path) -> None:
        with duckdb.connect(str(path), read_only=True) as connection:
            # Views show the Parquet beside them, which is searched itself; here they may lead to nothing yet.
            for (view,) in connection.execute("SELECT sql FROM duckdb_views() WHERE NOT internal").fetchall():
                self.text(view, path)
            tables = connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()
            assert tables
            for (table,) in tables:
                rows = connection.sql(f'SELECT * FROM "{table}"').to_arrow_table()
                self.frame(pl.DataFrame(rows), f"{path} {table}")
