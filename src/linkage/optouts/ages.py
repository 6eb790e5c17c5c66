"""How old a register that comes with the extracts may be."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from linkage.errors import PolicyError


def check(newest: Mapping[str, datetime], words: str, days: int, now: datetime) -> None:
    """Refuse when the newest delivery of a table that a register is read from is too old.

    Args:
        newest: When each table was last delivered, UTC.
        words: What is read from them, for the error.
        days: How old it may be.
        now: The moment of disclosure, UTC.

    Raises:
        PolicyError: Names the table and its age.
    """
    for table, delivered in newest.items():
        if now - delivered > timedelta(days=days):
            raise PolicyError(
                f"{table}: the newest delivery is {(now - delivered).days} days old, so its {words} are older than the "
                f"{days} days allowed",
                hint="wait for a new extract, or raise max_age_days with a reason",
            )
