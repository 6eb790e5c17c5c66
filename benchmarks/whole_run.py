"""How long a whole run takes and how much memory it needs: `python benchmarks/whole_run.py --people 1000000`.

Makes a made-up ICS (not timed as part of the run), then `linkage run` as a process of its own, and prints the time of
each stage, rows a second and the peak memory of the process, as a table and as JSON with the machine and versions.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

from linkage.cli import demo

_RUN = "import sys; from linkage.cli import main; sys.argv = ['linkage', 'run', sys.argv[1]]; main()"


def main() -> None:
    """Make, run, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="a folder to make the ICS in and keep; a temporary one otherwise")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary) / "ics"
        started = time.perf_counter()
        demo.make(folder, options.people, options.seed)
        made = time.perf_counter() - started
        started = time.perf_counter()
        command = [sys.executable, "-c", _RUN, str(folder / "linkage.toml")]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
        seconds = time.perf_counter() - started
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
        account = json.loads(max((folder / "private" / "runs").glob("*.json")).read_text())
    print(done.stdout.decode())
    result = {
        "command": f"python benchmarks/whole_run.py --people {options.people} --seed {options.seed}",
        "machine": {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()},
        "versions": {name: version(name) for name in ("linkage", "polars", "duckdb", "pyarrow")},
        "making_seconds": round(made, 1),
        "run_seconds": round(seconds, 1),
        "peak_bytes": peak,
        "rows": sum(each["read"] for each in account["balance"]),
        "stages": account["stages"],
    }
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
