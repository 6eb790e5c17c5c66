"""Three purposes over the same extract: run one after another, and in one run that reads and cleans it once.

    python benchmarks/several_purposes.py --rows 4000000 --rounds 3

Only the site half is timed, since the hub half is each purpose's own. Each run is a process of its own, so that its peak
memory is its own. The extract is that of `site_half.py`; the purposes differ in domain and in how birth dates are minimised.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import site_half
from side_by_side import Contender, measure, report

SITES = """
import json, resource, sys, tempfile, time
from datetime import UTC, datetime
from pathlib import Path
from linkage import config, pipeline, site
from linkage.increments.taken import Memory
from linkage.progress import Progress
from linkage.sources.roster import Roster
from linkage.together import Together

def peak():
    # What getrusage tells of begins with what the parent held when it started this process.
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return int(status.read_text().partition("VmHWM:")[2].split()[0]) * 1024

purposes = Together.of(sys.argv[2:])
with tempfile.TemporaryDirectory(dir=sys.argv[1]) as folder:
    started = time.perf_counter()
    begun = {}
    for place, path in enumerate(purposes.paths):
        configuration = config.load(path)
        work, keyset = Path(folder) / str(place), site.open_keyset(configuration)
        work.mkdir()
        begun[path] = pipeline.Begun(
            configuration, (), keyset, Roster.empty, work / "bundle", work / "site", Memory.nothing("it is the first run")
        )
    done = pipeline.site_halves(purposes, begun, datetime.now(UTC), Progress())
    seconds = time.perf_counter() - started
if len(done) != len(begun):
    raise SystemExit(str(purposes.errors))
print(json.dumps({"seconds": seconds, "peak": peak()}))
"""


def main() -> None:
    """Measure both ways, alternating."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=4_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="a folder for the figures")
    options = parser.parse_args()
    peaks: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        site_half.make(folder, options.rows, 1)
        paths = _purposes(folder)

        def alone() -> float:
            return sum(_run(folder, [path], peaks, "alone") for path in paths)

        contenders = [
            Contender("one after another", options.rows, alone),
            Contender("in one run", options.rows, lambda: _run(folder, paths, peaks, "together")),
        ]
        measured = measure(contenders, options.rounds)
    report(f"three purposes over {options.rows:,} rows of 25 columns", measured, ["linkage", "polars"], options.json)
    print(
        f"peak memory: one purpose {peaks['alone'] / 2**30:.2f} GiB, three in one {peaks['together'] / 2**30:.2f} GiB"
    )


def _run(folder: Path, paths: list[Path], peaks: dict[str, float], name: str) -> float:
    command = [sys.executable, "-c", SITES, str(folder), *map(str, paths)]
    told = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    peaks[name] = max(peaks.get(name, 0), told["peak"])
    return float(told["seconds"])


def _purposes(folder: Path) -> list[Path]:
    text = (folder / "linkage.toml").read_text()
    made = []
    for name, birth in (("first", "year"), ("second", "month"), ("third", "year")):
        path = folder / f"{name}.toml"
        path.write_text(
            text.replace("bench:site", f"bench:{name}").replace(
                "[[flows]]", f'[minimise]\nbirth = "{birth}"\n[[flows]]'
            )
        )
        made.append(path)
    return made


if __name__ == "__main__":
    main()
