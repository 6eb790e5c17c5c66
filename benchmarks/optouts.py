"""Opt-outs applied to 100 million rows: 3 million people and a 3 million line allow-list, against the site half itself.

    python benchmarks/optouts.py
    python benchmarks/optouts.py --rows 10000000 --site-rows 500000

The list is read from the files of the national service, combined with the other registers as in a run, and applied by
the same code as in a run to rows that come in chunks: every row is really looked up. Made-up rows are drawn outside the
clock. The site half is measured in the same command on fewer rows (`site_half.py`), and its time taken by the row. Each
part is a process of its own, so that its peak memory is its own.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import site_half
from numbers_made_up import test_range_numbers

APPLY = """
import json, resource, sys, time
from datetime import UTC, datetime
from pathlib import Path
import numpy as np
import polars as pl
from linkage import config, contract
from linkage.optouts.apply import OPTOUT_REASON, apply
from linkage.optouts.national import NationalAnswers
from linkage.optouts.policy import Policy, combine
from linkage.optouts.registers import Flagged
from linkage.reasons import Reason

def peak():
    # What getrusage tells of begins with what the parent held when it started this process.
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return int(status.read_text().partition("VmHWM:")[2].split()[0]) * 1024

folder, rows, chunk = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
people = np.load(folder / "people.npy")
feed = contract.load("sus_op", Path())
table = feed.tables["appointment"]
draws = np.random.default_rng(1)

def drawn(size):
    numbers = people[draws.integers(0, len(people), size)]
    return pl.DataFrame({"_number": numbers, "_given": numbers}).with_columns(pl.lit(None, pl.String).alias("_practice"))

# What holding a chunk, drawing it and running a query over it takes anyway.
drawn(chunk).lazy().select(pl.col("_number").sum()).collect(engine="streaming")
before = peak()
started = time.perf_counter()
rules = config.National(requests=("requests/*.dat",), answers=("answers/*.dat",))
marked = Flagged(Reason.SENSITIVE, np.sort(people[::1000]))
said = [each.read(datetime.now(UTC)) for each in (NationalAnswers(rules, folder), marked)]
standing = combine(said)
del said
policy = Policy({feed.name: standing}, None)
reading = time.perf_counter() - started
applying, removed, done = 0.0, 0, 0
while done < rows:
    frame = drawn(min(chunk, rows - done))
    started = time.perf_counter()
    kept = apply(frame.lazy(), feed, table, policy).select(pl.col(OPTOUT_REASON).is_not_null().sum())
    removed += kept.collect(engine="streaming").item()
    applying += time.perf_counter() - started
    done += frame.height
print(json.dumps({"reading": reading, "applying": applying, "removed": removed, "rows": done,
                  "listed": len(standing.numbers), "more": peak() - before}))
"""


def main() -> None:
    """Measure both, and say how one stands to the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000_000)
    parser.add_argument("--chunk", type=int, default=2_000_000)
    parser.add_argument("--people", type=int, default=3_000_000)
    parser.add_argument("--site-rows", type=int, default=2_000_000)
    parser.add_argument("--json", type=Path, help="a folder for the figures")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        site_half.make(Path(folder), options.site_rows, 1)
        site = _run(site_half.SITE, folder)
    with tempfile.TemporaryDirectory() as folder:
        _lists(Path(folder), options.people)
        found = _run(APPLY, folder, str(options.rows), str(options.chunk))
    whole = site["seconds"] / options.site_rows * found["rows"]
    share = (found["reading"] + found["applying"]) / whole
    print(f"opt-outs on {found['rows']:,.0f} rows, a list of {found['listed']:,.0f} numbers:")
    print(f"  reading the list  {found['reading']:8.1f} s")
    print(f"  applying it       {found['applying']:8.1f} s, {found['rows'] / found['applying'] / 1e6:.1f} M rows/s")
    print(f"  removed           {found['removed'] / found['rows']:8.1%} of the rows")
    print(f"  memory            {found['more'] / 2**30:8.2f} GiB more than without")
    print(f"the site half: {site['seconds']:.1f} s for {options.site_rows:,} rows, so {whole:.0f} s for as many")
    print(f"opt-outs take {share:.1%} of that")
    if options.json:
        options.json.mkdir(parents=True, exist_ok=True)
        (options.json / "optouts.json").write_text(json.dumps({**found, "site": site, "share": share}, indent=1))


def _run(program: str, folder: str, *arguments: str) -> dict[str, float]:
    done = subprocess.run([sys.executable, "-c", program, folder, *arguments], check=True, stdout=subprocess.PIPE)
    made: dict[str, float] = json.loads(done.stdout)
    return made


def _lists(folder: Path, people: int) -> None:
    """What was asked and what came back: five in a hundred more were asked about, and opted out."""
    import numpy as np

    asked = test_range_numbers(people * 20 // 19, 1)
    numbers = asked.cast(int).to_numpy()
    np.save(folder / "people.npy", numbers)
    opted_out = np.arange(len(numbers)) % 20 == 0
    for name in ("requests", "answers"):
        (folder / name).mkdir()
    (folder / "requests" / "bench.dat").write_text(",\n".join(asked) + ",\n")
    (folder / "answers" / "bench.dat").write_text(",\n".join(asked.filter(~opted_out)) + ",\n")
    (folder / "answers" / "bench.ctl").write_text(site_half.control())


if __name__ == "__main__":
    main()
