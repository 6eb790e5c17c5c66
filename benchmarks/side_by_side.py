"""Contenders side by side in one run: alternating, medians, ratios, as a table and as JSON."""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


@dataclass(frozen=True)
class Contender:
    """One way to do the work.

    Attributes:
        name: What the table calls it.
        rows: Rows that `run` works on.
        run: Does the work once; a number it returns is taken as the seconds, for work in another process.
    """

    name: str
    rows: int
    run: Callable[[], float | None]


@dataclass(frozen=True)
class Measured:
    """The median over all rounds, and how far the rounds lie apart."""

    name: str
    rows: int
    seconds: float
    fastest: float
    slowest: float

    @property
    def rate(self) -> float:
        """Rows a second."""
        return self.rows / self.seconds


def measure(contenders: Sequence[Contender], rounds: int = 5) -> list[Measured]:
    """Run all contenders one after another, `rounds` times, so that a noisy minute hits all of them."""
    seconds: dict[str, list[float]] = {each.name: [] for each in contenders}
    for _ in range(rounds):
        for each in contenders:
            started = time.perf_counter()
            told = each.run()
            seconds[each.name].append(told if told is not None else time.perf_counter() - started)
    return [
        Measured(
            each.name,
            each.rows,
            statistics.median(seconds[each.name]),
            min(seconds[each.name]),
            max(seconds[each.name]),
        )
        for each in contenders
    ]


def report(title: str, measured: Sequence[Measured], packages: Sequence[str], folder: Path | None) -> None:
    """Print the table, the first contender's ratio to each, and write the JSON where a folder is given."""
    first = measured[0]
    print(f"\n{title}")
    print(f"{'':<52}{'M rows/s':>10}{'ns/row':>10}{'spread':>9}{'first/this':>12}")
    for each in measured:
        spread = f"{each.slowest / each.fastest - 1:.0%}"
        nanoseconds = each.seconds / each.rows * 1e9
        print(f"{each.name:<52}{each.rate / 1e6:>10.3f}{nanoseconds:>10.1f}{spread:>9}{first.rate / each.rate:>12.2f}")
    if folder:
        folder.mkdir(parents=True, exist_ok=True)
        result = {
            "title": title,
            "command": " ".join([Path(sys.executable).name, *sys.argv]),
            "machine": {"processor": _processor(), "cores": os.cpu_count(), "system": platform.platform()},
            "versions": {"python": platform.python_version()} | _versions(packages),
            "results": [vars(each) | {"rate": each.rate, "ratio": first.rate / each.rate} for each in measured],
        }
        (folder / f"{Path(sys.argv[0]).stem}.json").write_text(json.dumps(result, indent=1) + "\n")


def _versions(packages: Sequence[str]) -> dict[str, str]:
    found = {}
    for name in packages:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
