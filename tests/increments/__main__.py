"""Draw many examples of the machine: `python -m tests.increments --examples 1000 [--steps 12] [--seed 1]`."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from cases import CASES, one_at_a_time  # noqa: E402
from equality import Unequal  # noqa: E402
from hypothesis import HealthCheck, Phase, seed, settings  # noqa: E402
from hypothesis.stateful import run_state_machine_as_test  # noqa: E402
from machine import Increments  # noqa: E402
from soak import nights_on_end  # noqa: E402


def main() -> None:
    """Draw the examples, and say how long it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=1000)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--no-shrink", action="store_true")
    parser.add_argument("--cases", nargs="?", const="", help="try single things whose name holds this, not the machine")
    parser.add_argument("--nights", type=int, default=0, help="go through so many nights on end, not the machine")
    asked = parser.parse_args()
    if asked.nights:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            nights_on_end(Path(folder) / "ics", asked.nights, range(10, asked.nights + 1, 10))
        sys.exit()
    if asked.cases is not None:
        sys.exit(_cases(asked.cases))
    phases = [each for each in Phase if each is not Phase.shrink or not asked.no_shrink]
    drawn = settings(
        max_examples=asked.examples,
        stateful_step_count=asked.steps,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        print_blob=True,
        phases=phases,
    )
    started = time.monotonic()

    class Told(Increments):
        """Says now and then how far it is."""

        done = 0

        def teardown(self) -> None:
            super().teardown()
            Told.done += 1
            if Told.done % 10 == 0:
                sys.stderr.write(f"{Told.done} examples in {time.monotonic() - started:,.0f} seconds\n")

    machine = Told if asked.seed is None else seed(asked.seed)(Told)
    run_state_machine_as_test(machine, settings=drawn)
    sys.stdout.write(f"{asked.examples} examples in {time.monotonic() - started:,.0f} seconds\n")


def _cases(word: str) -> int:
    """Try the cases whose name holds a word; 1 where one failed."""
    failed = 0
    for case in [each for each in CASES if word in each.name]:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            try:
                one_at_a_time(Path(folder) / "ics", case)
                said = "good"
            except Unequal as error:
                said, failed = f"FAILED: {error}", 1
        sys.stdout.write(f"{case.name}: {said}\n")
        sys.stdout.flush()
    return failed


if __name__ == "__main__":
    main()
