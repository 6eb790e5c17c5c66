"""A whole ICS and its nights: `python benchmarks/scale.py --people 2000000 --folder /somewhere/large`.

Makes a history of some 50 rows a person over all feeds and two weekly deliveries (kept in the folder, so that it is made
once), then runs, each as a process of its own: the first full run, a night of 0.8 % new rows, and a night on which people
also come, opt out and have their numbers replaced. The floor of a full run is Polars copying the same files to Parquet;
the floor of a night is Polars rewriting what the night replaced: files of the snapshot, and the parts that are held of it.
GP history comes as Parquet unless `--csv` is given, everything else as CSV. Of memory two figures are told: all that is
resident, which counts the pages of mapped files as well, and the process's own.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import platform
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

from linkage import Keyset
from linkage.cli import demo
from linkage.synthetic import Night, Stream, deliver, make, moment

AS_OF, SEED = dt.date(2026, 11, 5), 1
WEEKS = (Night(7, span=7), Night(14, span=7, previous=Night(7, span=7)))
QUIET = Night(15, decides=False, previous=WEEKS[1])
EVENTFUL = Night(16, previous=QUIET)

SNAPSHOTS, HELD = Path("store") / "snapshots", Path("private") / "held"

STEPS = ("copy", "full", "quiet", "eventful")

RUN = """
import json, sys, time
from datetime import datetime
from linkage import pipeline
started = time.perf_counter()
report = pipeline.run(sys.argv[1], now=datetime.fromisoformat(sys.argv[2]))
stages = {each.name: [each.seconds, each.rows] for each in report.stages}
print(json.dumps({"seconds": time.perf_counter() - started, "rows": report.read, "removed": sum(report.removed.values()),
    "stages": stages, "snapshot": str(report.snapshot), "published": sum(report.tables.values())}))
"""

COPY = """
import json, sys, time, tempfile
from pathlib import Path
import polars as pl
started = time.perf_counter()
with tempfile.TemporaryDirectory(dir=sys.argv[1]) as folder:
    for place, line in enumerate(sys.stdin):
        path, separator = line.rstrip("\\n").split("\\t")
        if path.endswith(".parquet"):
            rows = pl.scan_parquet(path)
        else:
            rows = pl.scan_csv(path, infer_schema=False, separator=separator or ",", encoding="utf8-lossy")
        rows.sink_parquet(Path(folder) / f"{place}.parquet", compression="zstd", compression_level=1)
    print(json.dumps({"seconds": time.perf_counter() - started}))
"""


@dataclass(frozen=True)
class Measured:
    """One process: its seconds, its peaks in bytes, and what it printed."""

    name: str
    seconds: float
    peak: int
    own: int
    told: dict[str, object]


def main() -> None:
    """Make what is missing, run, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=2_000_000)
    parser.add_argument("--days", type=int, default=1_600, help="how far back events go: 1,600 make 49 rows a person")
    parser.add_argument("--folder", type=Path, required=True, help="made where it is not there yet, and kept")
    parser.add_argument("--csv", action="store_true", help="GP history as CSV as well")
    parser.add_argument("--only-make", action="store_true")
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=STEPS, help="without `full` what is there goes on")
    parser.add_argument("--json", type=Path, help="a file for the figures")
    options = parser.parse_args()
    stream = Stream(days=options.days, people_a_file=max(options.people // 4, 50_000), typed=not options.csv)
    _make(options.folder, options.people, stream)
    if options.only_make:
        return
    measured = []
    for each in _measure(options.folder, options.steps):
        _say(each)
        measured.append(each)
    machine = {
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "versions": {name: version(name) for name in ("linkage", "polars", "duckdb", "pyarrow")},
        "people": options.people,
        "command": f"python benchmarks/scale.py --people {options.people} --days {options.days}",
        "steps": list(options.steps),
    }
    result = {**machine, "runs": [asdict(each) for each in measured]}
    print(json.dumps(result, indent=1))
    if options.json:
        options.json.write_text(json.dumps(result, indent=1))


def _say(each: Measured) -> None:
    rows = f"{each.told['rows']:>13,} rows" if "rows" in each.told else ""
    print(
        f"{each.name:<40}{each.seconds:>9.1f} s {each.peak / 2**30:>7.2f} GiB resident {each.own / 2**30:>7.2f} own {rows}",
        flush=True,
    )
    stages = each.told.get("stages", {})
    for name, (seconds, count) in stages.items():  # type: ignore[attr-defined]
        print(f"    {name:<26}{seconds:>9.1f} s {f'{count / seconds:>12,.0f} rows/s' if count else ''}", flush=True)


def _measure(folder: Path, steps: Sequence[str]) -> Iterable[Measured]:
    ics = folder / "ics"
    if "full" in steps:
        _begin_anew(folder, ics)
    if "copy" in steps:
        files = sorted(path for path in (ics / "extracts").rglob("*") if path.is_file())
        yield _child("Polars copies the same files", COPY, [str(folder)], "\n".join(map(_named, files)))
    if "full" in steps:
        yield _run("the first full run", ics, WEEKS[-1])
    for step, night in (("quiet", QUIET), ("eventful", EVENTFUL)):
        if step not in steps:
            continue
        before = {runs: _newest(ics / runs) for runs in (SNAPSHOTS, HELD)}
        _bring(folder / f"night-{night.number}", ics)
        yield _run("a night that decides nothing" if night is QUIET else "a night with decisions", ics, night)
        for runs, what in ((SNAPSHOTS, "files of the snapshot"), (HELD, "parts that are held")):
            name, files = _rewriting(before[runs], _newest(ics / runs), what)
            yield _child(name, COPY, [str(folder)], files)


def _rewriting(before: Mapping[int, Path], after: Mapping[int, Path], what: str) -> tuple[str, str]:
    """The floor of a night, what it is called and its files: Polars rewrites those that are new."""
    new = [path for inode, path in after.items() if inode not in before]
    size = sum(path.stat().st_size for path in new) / 2**20
    print(f"the night replaced {len(new)} of {len(after)} {what}, {size:,.0f} MiB", flush=True)
    return f"rewriting {len(new)} {what}", "\n".join(map(_named, new))


def _begin_anew(folder: Path, ics: Path) -> None:
    """Remove what earlier measurements made and brought."""
    for name in ("store", "private"):
        if (ics / name).exists():
            subprocess.run(["chmod", "-R", "u+w", ics / name], check=True)
            shutil.rmtree(ics / name)
    for night in folder.glob("night-*"):
        for path in night.rglob("*"):
            if path.is_file():
                (ics / path.relative_to(night)).unlink(missing_ok=True)


def _named(path: Path) -> str:
    separator = "|" if path.parent.name in ("iuc111", "cad999") else ","
    return f"{path}\t{separator}"


def _newest(runs: Path) -> dict[int, Path]:
    """The Parquet files of the newest run by inode: one that was linked over is not new."""
    newest = max(runs.iterdir(), key=lambda path: path.name)
    return {path.stat().st_ino: path for path in sorted(newest.rglob("*.parquet"))}


def _run(name: str, ics: Path, night: Night) -> Measured:
    return _child(name, RUN, [str(ics / "linkage.toml"), moment(AS_OF, night.number).isoformat()], "")


def _child(name: str, program: str, arguments: Sequence[str], fed: str) -> Measured:
    process = subprocess.Popen(
        [sys.executable, "-c", program, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    peaks = {"VmRSS": 0, "RssAnon": 0}
    watcher = threading.Thread(target=_watch, args=(process, peaks), daemon=True)
    watcher.start()
    out, _ = process.communicate(fed)
    watcher.join()
    if process.returncode:
        raise SystemExit(f"{name}: failed")
    told = json.loads(out.strip().splitlines()[-1])
    return Measured(name, told["seconds"], peaks["VmRSS"] * 1024, peaks["RssAnon"] * 1024, told)


def _watch(process: subprocess.Popen[str], peaks: dict[str, int]) -> None:
    """Look at the process twenty times a second: what is resident, and what of it is its own."""
    status = Path(f"/proc/{process.pid}/status")
    while process.poll() is None:
        try:
            lines = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
        except OSError:
            return
        for name, peak in peaks.items():
            peaks[name] = max(peak, int(lines.get(name, "0 kB").split()[0]))
        time.sleep(0.05)


def _make(folder: Path, people: int, stream: Stream) -> None:
    done = folder / "made"
    if done.exists():
        return
    ics = folder / "ics"
    started = time.perf_counter()
    made = make(ics, people, SEED, AS_OF, _progress, stream=stream)
    rows = {"history": made.rows}
    for night in WEEKS:
        rows[f"week {night.number}"] = deliver(ics, people, SEED, AS_OF, night, stream)
    for night in (QUIET, EVENTFUL):
        rows[f"night {night.number}"] = deliver(folder / f"night-{night.number}", people, SEED, AS_OF, night, stream)
    text = demo.text(demo.FLOWS)
    if people < demo.FEW:
        text = text.replace("max_age_days = 7\n", f"max_age_days = 7\n{demo.OF_FEW}", 1)
    (ics / "linkage.toml").write_text(text)
    (ics / "keys").mkdir()
    Keyset.create(ics / "keys" / "ics.age")
    done.write_text(json.dumps({**rows, "seconds": round(time.perf_counter() - started, 1)}))
    print(done.read_text(), flush=True)


def _progress(done: int, people: int) -> None:
    print(f"made up {done:,} of {people:,} people", file=sys.stderr, flush=True)


def _bring(night: Path, ics: Path) -> None:
    """A night's files arrive beside those that are there."""
    for path in sorted(night.rglob("*")):
        if path.is_file():
            target = ics / path.relative_to(night)
            target.parent.mkdir(parents=True, exist_ok=True)
            if not target.exists():
                os.link(path, target)


if __name__ == "__main__":
    main()
