"""How fast the log takes entries, synced, and how long it takes to prove a long log whole and append-only.

python benchmarks/audit.py --entries 1000000
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from linkage.audit import Entry, Journal

NOW = datetime(2026, 11, 24, 6, 0, tzinfo=UTC)


def entries(count: int) -> list[Entry]:
    """Intents with a count and a digest, as a release writes them."""
    return [
        Entry(time=NOW, act="release", phase="intent", by="key-holder", details={"people": each, "digest": "ab" * 32})
        for each in range(count)
    ]


def main() -> None:
    """Append one by one, append in batches, verify against a checkpoint of half the log."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--batch", type=int, default=1_000)
    asked = parser.parse_args()
    folder = Path(tempfile.mkdtemp(dir=Path.cwd()))
    journal = Journal(folder / "audit", now=lambda: NOW)
    try:
        some = entries(asked.batch)
        with journal.held() as log:
            start = time.perf_counter()
            for each in some[:100]:
                log.add([each])
            print(f"one by one: {100 / (time.perf_counter() - start):,.0f} synced entries a second")
            start = time.perf_counter()
            log.add(some)
            print(f"in batches of {asked.batch:,}: {asked.batch / (time.perf_counter() - start):,.0f} a second")
            while log.size < asked.entries // 2:
                log.add(some)
            half = (journal.folder / "checkpoint").read_text(encoding="utf-8")
            while log.size < asked.entries:
                log.add(some)
            size = log.size
        start = time.perf_counter()
        journal.check_whole(against=(half,))
        print(f"verifying {size:,} entries against a checkpoint of half: {time.perf_counter() - start:.2f} s")
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
