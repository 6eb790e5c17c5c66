"""Polars keeps to memory: what it spills lies in the clear in a folder of the system, outside the store, and outlives a crash.

Polars 2 spills what sorts, groups and joins hold back once a process has taken four fifths of the machine's memory, to
`/var/tmp` on Linux. In the site half those rows are NHS numbers. Nothing there needs it, since rows are decided one by one;
whoever does run out of memory fails, and what was published stays. DuckDB holds tokens only, and spills into the run's own
working folder.
"""

from __future__ import annotations

import os

import polars as pl

__all__ = ["keep_in_memory"]

# Polars takes the lower of a share of all memory and a number of megabytes; there is no switch.
_UNREACHED = {"POLARS_OOC_MEMORY_BUDGET_FRACTION": str(10**6), "POLARS_OOC_MEMORY_BUDGET_MB": str(2**63)}


def keep_in_memory() -> None:
    """Put the limits from which Polars spills out of reach, for this process and those that it starts."""
    os.environ.update(_UNREACHED)
    pl.Config.reload_env_vars()


keep_in_memory()
