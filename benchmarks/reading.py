"""Reading and cleaning alone: rows a second, memory as rows grow, and what columns cost that nobody keeps.

    python benchmarks/reading.py                                   # a million rows of 25 columns, three rounds
    python benchmarks/reading.py --scale 1000000 8000000           # time and peak memory at each size
    python benchmarks/reading.py --wide 200                        # the kept columns of a SUS spell, alone and among 200
    python benchmarks/reading.py --wide 200 --site                 # the same through the whole site half
    python benchmarks/reading.py --wide 200 --parquet              # the same from Parquet

Each run is a process of its own: it looks at the extract (digest, records, fields), reads the contract's columns and
cleans them, and counts what is missing in every cleaned column, so that all of them are made. `--wide` leaves half of the columns
that are not kept empty, as they are in SUS extracts, and fills the others with codes.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
from numbers_made_up import test_range_numbers
from side_by_side import Contender, measure, report
from site_half import SITE, make_site
from site_half import _rows as outpatient_rows

from linkage.contract import load

CHUNK = 500_000

READ = """
import sys, time, json, resource
from pathlib import Path
import polars as pl
from linkage.contract import load
from linkage.sources import clean, read
from linkage.sources.inspect import inspect
feed, name = load(sys.argv[2]), sys.argv[3]
table = feed.tables[name]
started, busy = time.perf_counter(), time.process_time()
extract = inspect(Path(sys.argv[1]), feed, table)
looked = time.perf_counter()
frame = clean.clean(read.scan(extract, table), feed, table, {})
counted = frame.select(pl.all().null_count(), pl.len().alias("rows")).collect(engine="streaming")
ended, ended_busy = time.perf_counter(), time.process_time()
assert counted["rows"].item() == extract.rows
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
told = {"looking": looked - started, "reading": ended - looked, "seconds": ended - started, "peak": peak}
told |= {"busy": ended_busy - busy}
print(json.dumps(told))
"""


def main() -> None:
    """Measure one of the three."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--scale", type=int, nargs="+", help="sizes to run once each, instead of --rows")
    parser.add_argument("--wide", type=int, help="columns of the wide extract")
    parser.add_argument("--site", action="store_true", help="with --wide: the whole site half")
    parser.add_argument("--parquet", action="store_true", help="with --wide: from Parquet files")
    parser.add_argument("--json", type=Path, help="a folder for the figures")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if options.wide:
            _wide(Path(folder), options)
        for rows in [] if options.wide else options.scale or [options.rows]:
            path = _outpatients(Path(folder), rows, options.seed)
            rounds = 1 if options.scale else options.rounds
            _measure(
                f"reading and cleaning {rows:,} rows of 25 columns", {"25 columns": path}, rows, rounds, options.json
            )
            path.unlink()


def _measure(title: str, paths: dict[str, Path], rows: int, rounds: int, target: Path | None) -> None:
    told: dict[str, list[dict[str, float]]] = {name: [] for name in paths}

    def run(name: str) -> float:
        if (paths[name].parent / "linkage.toml").exists():
            done = subprocess.run(
                [sys.executable, "-c", SITE, str(paths[name].parent)], check=True, stdout=subprocess.PIPE
            )
            site = json.loads(done.stdout)
            looking = site["stages"]["looking at extracts"]
            told[name].append(
                {"looking": looking, "reading": site["seconds"] - looking, "busy": site["busy"], "peak": site["peak"]}
            )
            return float(site["seconds"])
        feed = ("sus_op", "appointment") if paths[name].name.startswith("appointment") else ("sus_apc", "spell")
        command = [sys.executable, "-c", READ, str(paths[name]), *feed]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
        told[name].append(json.loads(done.stdout))
        return told[name][-1]["seconds"]

    contenders = [Contender(name, rows, lambda name=name: run(name)) for name in paths]  # type: ignore[misc]
    measured = measure(contenders, rounds)
    report(title, measured, ["linkage", "polars"], target)
    for name, runs in told.items():
        middle = {key: float(np.median([each[key] for each in runs])) for key in runs[0]}
        print(
            f"{name}: {paths[name].stat().st_size / 1e6:,.0f} MB, looking {middle['looking']:.2f} s, the rest "
            f"{middle['reading']:.2f} s, of the processor {middle['busy']:.2f} s, peak {middle['peak'] / 2**30:.2f} GiB"
        )
    if len(measured) > 1:
        busy = [np.median([each["busy"] for each in runs]) for runs in told.values()]
        print(
            f"the second costs {measured[1].seconds / measured[0].seconds - 1:+.0%}, of the processor {busy[1] / busy[0] - 1:+.0%}"
        )


def _outpatients(folder: Path, rows: int, seed: int) -> Path:
    people = test_range_numbers(max(rows // 10, 1), seed)
    path = folder / f"appointment_{datetime.now(UTC):%Y%m%d}.csv"
    with path.open("wb") as file:
        for at in range(0, rows, CHUNK):
            frame = outpatient_rows(people, at, min(CHUNK, rows - at), seed)
            frame[:, :25].write_csv(file, include_header=at == 0)
    return path


def _wide(folder: Path, options: argparse.Namespace) -> None:
    """The kept columns of a SUS spell by themselves, and spread among others."""
    (folder / "kept").mkdir()
    (folder / "wide").mkdir()
    name = f"spell_{datetime.now(UTC):%Y%m%d}.csv"
    paths = {"the kept columns": folder / "kept" / name, f"{options.wide} columns": folder / "wide" / name}
    people = test_range_numbers(max(options.rows // 10, 1), options.seed)
    narrow, wide = (path.open("wb") for path in paths.values())
    with narrow, wide:
        for at in range(0, options.rows, CHUNK // 10):
            rows = min(CHUNK // 10, options.rows - at)
            kept = _spells(people, at, rows, options.seed)
            kept.write_csv(narrow, include_header=at == 0)
            _among_others(kept, options.wide, at).write_csv(wide, include_header=at == 0)
    if options.parquet:
        paths = {name: _as_parquet(path) for name, path in paths.items()}
    if options.site:
        for path in paths.values():
            make_site(path.parent, people, 'feed = "sus_apc"\ntables = ["spell"]\npath = "."')
    _measure(
        f"{options.rows:,} SUS spells: {kept.width} columns kept of {options.wide}", paths, options.rows, options.rounds,
        options.json,
    )  # fmt: skip


def _as_parquet(path: Path) -> Path:
    target = path.with_suffix(".parquet")
    pl.scan_csv(path, infer_schema=False).sink_parquet(target, compression="zstd")
    path.unlink()
    return target


def _spells(people: pl.Series, first: int, rows: int, seed: int) -> pl.DataFrame:
    """The columns that the shipped contract keeps, filled by their roles."""
    draws = np.random.default_rng([seed, first])
    codes = pl.Series(["11", "12", "21", "28", "82", "19", "300", "RX1"])
    made = {}
    for name, column in load("sus_apc").tables["spell"].columns.items():
        match column.role.value, column.kind:
            case "person", _:
                made[name] = (
                    people.gather(draws.integers(0, len(people), rows))
                    if not column.other
                    else pl.Series([None] * rows, dtype=pl.String)
                )
            case "person_key" | "record", _:
                made[name] = pl.Series(np.arange(first, first + rows)).cast(pl.String)
            case "flag", _:
                made[name] = pl.Series([None] * rows, dtype=pl.String)
            case _, "date":
                made[name] = (
                    pl.Series(draws.integers(10_000, 20_000, rows)).cast(pl.Int32).cast(pl.Date).cast(pl.String)
                )
            case _, "time":
                made[name] = pl.Series(draws.integers(10, 24, rows)).cast(pl.String) + ":30:00"
            case _, "number":
                made[name] = pl.Series(draws.integers(50, 9000, rows)).cast(pl.String) + ".25"
            case "postcode", _:
                made[name] = pl.Series(["QX1 1AA", "QX2 2BB"]).gather(draws.integers(0, 2, rows))
            case _:
                known = pl.Series(column.codes) if column.codes else codes
                made[name] = known.gather(draws.integers(0, len(known), rows))
    columns = load("sus_apc").tables["spell"].columns
    return pl.DataFrame({columns[name].source[0]: values.rename(name) for name, values in made.items()})


def _among_others(kept: pl.DataFrame, width: int, first: int) -> pl.DataFrame:
    """The kept columns at even distances among others, of which every second is empty."""
    draws = np.random.default_rng([7, first])
    codes = pl.Series([None, "1", "NSP", "Z99", "100", "2026-05-01", "0.00", "RX101"])
    step, columns = width / kept.width, {}
    places = {round(number * step): name for number, name in enumerate(kept.columns)}
    for place in range(width):
        if place in places:
            columns[places[place]] = kept[places[place]]
        elif place % 2:
            columns[f"spell.other.{place}"] = pl.Series([None] * kept.height, dtype=pl.String)
        else:
            columns[f"spell.other.{place}"] = codes.gather(draws.integers(0, len(codes), kept.height))
    return pl.DataFrame(columns)


if __name__ == "__main__":
    main()
