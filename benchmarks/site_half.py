"""Extract to bundle: the whole site half on one SUS-like CSV, against Polars merely copying the same CSV to Parquet.

    python benchmarks/site_half.py --rows 10000000 --rounds 3
    python benchmarks/site_half.py --scale 1000000 2000000 4000000 8000000

Each run is a process of its own, so that its peak memory is its own. The extract has 25 columns and one tenth as many
people as rows; five in a hundred opted out. The second command shows how time and memory go with the number of rows.
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

from linkage import Keyset

PREFIX = "appointment."
_CHUNK = 1_000_000

SITE = """
import sys, time, json, resource, tempfile
from datetime import UTC, datetime
from pathlib import Path
from linkage import config, pipeline, site
from linkage.progress import Progress
from linkage.sources.roster import Roster
configuration = config.load(Path(sys.argv[1]) / "linkage.toml")
progress = Progress()
with tempfile.TemporaryDirectory(dir=sys.argv[1]) as folder:
    started, busy_before = time.perf_counter(), time.process_time()
    keyset = site.open_keyset(configuration)
    done = pipeline.site_half(configuration, keyset, Roster.empty(), Path(folder), datetime.now(UTC), progress)
    seconds = time.perf_counter() - started
    busy = time.process_time() - busy_before
    kept = sum(part.kept for table in done.bundle.tables for part in table.parts)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
stages = {each.name: each.seconds for each in progress.times}
print(json.dumps({"seconds": seconds, "peak": peak, "busy": busy, "kept": kept, "stages": stages}))
"""

COPY = """
import sys, time, json, resource, tempfile
from pathlib import Path
import polars as pl
source = next((Path(sys.argv[1]) / "extracts").glob("*.csv"))
with tempfile.TemporaryDirectory(dir=sys.argv[1]) as folder:
    started = time.perf_counter()
    pl.scan_csv(source, infer_schema=False).sink_parquet(Path(folder) / "copy.parquet", compression="zstd")
    seconds = time.perf_counter() - started
print(json.dumps({"seconds": seconds, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}))
"""

CONFIGURATION = """
allow_test_numbers = true
[purpose]
name = "benchmark"
legal_basis = "made-up data"
controllers = ["nobody"]
[keys]
keyset = "age://keys.age"
domain = "bench:site"
[store]
path = "store"
[optouts.national]
requests = "requests/*.dat"
answers = "answers/*.dat"
max_age_days = 7
[optouts.type1]
applies_to = "primary_care"
[[flows]]
"""


def main() -> None:
    """Measure at one size, or at several."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--scale", type=int, nargs="+", help="sizes to run once each, instead of --rows")
    parser.add_argument("--json", type=Path, help="a folder for the figures")
    options = parser.parse_args()
    for rows in options.scale or [options.rows]:
        with tempfile.TemporaryDirectory() as folder:
            make(Path(folder), rows, options.seed)
            _measure(Path(folder), rows, 1 if options.scale else options.rounds, options.json)


def _measure(folder: Path, rows: int, rounds: int, target: Path | None) -> None:
    told: dict[str, dict[str, object]] = {}

    def run(name: str, program: str) -> float:
        done = subprocess.run([sys.executable, "-c", program, str(folder)], check=True, stdout=subprocess.PIPE)
        told[name] = json.loads(done.stdout)
        return float(told[name]["seconds"])  # type: ignore[arg-type]

    contenders = [
        Contender("Polars copies the CSV to Parquet", rows, lambda: run("copy", COPY)),
        Contender("the whole site half", rows, lambda: run("site", SITE)),
    ]
    measured = measure(contenders, rounds)
    report(f"extract to bundle, {rows:,} rows of 25 columns", measured, ["linkage", "polars"], target)
    print(f"peak memory: copy {told['copy']['peak'] / 2**30:.2f} GiB, site half {told['site']['peak'] / 2**30:.2f} GiB")  # type: ignore[operator]
    stages = told["site"]["stages"]
    print("of the site half:", {name: round(seconds, 1) for name, seconds in stages.items()})  # type: ignore[attr-defined]


def make(folder: Path, rows: int, seed: int) -> None:
    """The extract, the opt-out list, the key and the configuration."""
    people = test_range_numbers(rows // 10, seed)
    (folder / "extracts").mkdir()
    path = folder / "extracts" / f"appointment_{datetime.now(UTC):%Y%m%d}.csv"
    with path.open("wb") as file:
        for at in range(0, rows, _CHUNK):
            _rows(people, at, min(_CHUNK, rows - at), seed).write_csv(file, include_header=at == 0)
    make_site(folder, people, 'feed = "sus_op"\npath = "extracts"')


def make_site(folder: Path, people: pl.Series, flow: str) -> None:
    """Everything beside the extract; one person in twenty opted out."""
    for name in ("requests", "answers"):
        (folder / name).mkdir()
    allowed = people.gather(np.flatnonzero(np.arange(len(people)) % 20 != 0))
    (folder / "requests" / "bench.dat").write_text(",\n".join(people) + ",\n")
    (folder / "answers" / "bench.dat").write_text(",\n".join(allowed) + ",\n")
    (folder / "answers" / "bench.ctl").write_text(control())
    Keyset.create(folder / "keys.age")
    (folder / "linkage.toml").write_text(f"{CONFIGURATION}{flow}\n")


def control() -> str:
    """The control file of an answer of now."""
    return (
        f"<DTSControl><StatusRecord><DateTime>{datetime.now(UTC):%Y%m%d%H%M%S}</DateTime></StatusRecord></DTSControl>"
    )


def _rows(people: pl.Series, first: int, rows: int, seed: int) -> pl.DataFrame:
    draws = np.random.default_rng([seed, first])

    def pick(*values: str) -> pl.Series:
        return pl.Series(values).gather(draws.integers(0, len(values), rows))

    def whole(low: int, high: int) -> pl.Series:
        return pl.Series(draws.integers(low, high, rows)).cast(pl.String)

    who = draws.integers(0, len(people), rows)
    days = pl.Series(draws.integers(20_000, 20_700, rows)).cast(pl.Int32).cast(pl.Date).cast(pl.String)
    born = pl.Series(who % 33_000 - 13_000).cast(pl.Int32).cast(pl.Date).cast(pl.String)
    key = pl.Series(np.arange(first, first + rows)).cast(pl.String)
    return pl.DataFrame(
        {
            "PRIMARYKEY_ID": key,
            f"{PREFIX}identifier": "OA" + key,
            f"{PREFIX}patient.identity.nhs_number.value": people.gather(who),
            f"{PREFIX}patient.identity.nhs_number.status": "01",
            f"{PREFIX}patient.identity.birth_date": born,
            f"{PREFIX}patient.identity.gender": pick("1", "2"),
            f"{PREFIX}patient.identity.ethnic_category": pick("A", "B", "C", "H", "Z"),
            f"{PREFIX}patient.identity.withheld_identity_reason": "",
            f"{PREFIX}patient.registration.general_practice": "Z99" + whole(100, 200),
            f"{PREFIX}patient.residence.postcode": "QX" + whole(1, 30) + " " + whole(1, 9) + pick("AA", "BB", "CC"),
            f"{PREFIX}date": days,
            f"{PREFIX}time": whole(10, 20) + ":" + whole(10, 60) + ":00",
            f"{PREFIX}first_attendance": pick("1", "2", "3"),
            f"{PREFIX}attended_or_dna": pick("5", "6", "3"),
            f"{PREFIX}outcome": pick("1", "2", "3"),
            f"{PREFIX}consultation_medium": pick("01", "02"),
            f"{PREFIX}care_professional.main_specialty": pick("100", "110", "300", "320"),
            f"{PREFIX}care_professional.treatment_function": pick("100", "110", "300", "320"),
            f"{PREFIX}commissioning.service_agreement.provider": pick("ZZ1", "ZZ2", "ZZ3"),
            f"{PREFIX}commissioning.service_agreement.commissioner": "QXX",
            f"{PREFIX}commissioning.tariff_calculation.final_price": whole(50, 300) + ".50",
            f"{PREFIX}referral.priority_type": pick("1", "2", "3"),
            "system.record.confidentiality_category": "",
            "system.record.version": "1",
            "system.interchange.received_date": days,
            "dmicImportLogId": "7100",
        }
    )


if __name__ == "__main__":
    main()
