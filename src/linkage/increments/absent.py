"""Whose rows a part does not have, and why: so that a later run can tell whether the extract has to be read again.

Rows by themselves are not kept, only how many there are of each person under each reason. It holds NHS numbers and raw
keys: in the clear it exists in memory alone.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import polars as pl

from linkage.contract import Feed, Role, Table
from linkage.errors import IntegrityError
from linkage.optouts.apply import by_practice
from linkage.optouts.policy import Policy
from linkage.reasons import Reason
from linkage.site import HIDDEN, flagged, is_pseudonymised
from linkage.sources.resolve import GIVEN, KEY, NUMBER, key_within

__all__ = ["ABSENT", "absent", "load", "marked", "save"]

ABSENT = pl.Schema(
    {
        "column": pl.String(),
        "number": pl.Int64(),
        "key": pl.String(),
        "marked": pl.String(),
        "at_home": pl.Boolean(),
        "by_practice": pl.Boolean(),
        "reason": pl.String(),
        "rows": pl.Int64(),
    }
)
_ALL = pl.Schema()


def absent(
    decided: pl.LazyFrame, feed: Feed, table: Table, policy: Policy, removed: str, apart: pl.Schema = _ALL
) -> pl.LazyFrame:
    """Whose rows do not go on, go on without a token, or do not name another person.

    Args:
        decided: The rows of one file, decided about.
        feed: The contract.
        table: The contract's table.
        policy: What they were decided by.
        removed: The column of reasons.
        apart: Further columns of the rows, by which they are told apart.

    Returns:
        `ABSENT`, and the columns of `apart` before it: `column` is the contract's column that names the person, by
        `number` (as delivered) or `key`; `marked` is the reason of the row's own flags; `by_practice` whether its
        practice keeps it out, and `at_home` whether that is the practice that the roster knows; `reason` is null where
        rows went on; `rows` says how many, and is null where that is not known.
    """
    found = [pl.LazyFrame(schema={**apart, **ABSENT})]
    if table.kind != "records" or is_pseudonymised(feed):
        return found[0]
    named = [*table.person_keys[:1], *table.subjects[:1]][:1]
    kept = pl.col(removed).is_null()
    ruled = by_practice(policy, feed, table)
    for name in named:
        rows = decided.filter(~kept | pl.col(NUMBER).is_null()).select(
            *apart.names(),
            pl.lit(name).alias("column"),
            *_named(name, table, GIVEN, pl.col(name)),
            marked(table, policy).alias("marked"),
            (pl.lit(value=False) if ruled is None else _at_home(table)).alias("at_home"),
            (pl.lit(value=False) if ruled is None else ruled).alias("by_practice"),
            pl.col(removed).alias("reason"),
        )
        found.append(_counted(rows, apart))
    for name in table.others:
        rows = decided.filter(kept & pl.col(name).is_null()).select(
            *apart.names(),
            pl.lit(name).alias("column"),
            *_named(name, table, f"{name}{GIVEN}", pl.col(name + KEY) if _by_key(name, table) else pl.col(name)),
            pl.lit(None, pl.String).alias("marked"),
            pl.lit(value=False).alias("at_home"),
            pl.lit(value=False).alias("by_practice"),
            pl.lit(None, pl.String).alias("reason"),
        )
        found.append(_counted(rows, apart))
    return pl.concat(found)


def marked(table: Table, policy: Policy) -> pl.Expr:
    """The reason (String) for which a row's own flags, its codes or another version of its record remove it, or null."""
    test, own = Reason.TEST_PATIENT.value, flagged(table)
    hidden = pl.when(pl.col(HIDDEN) | policy.restricted.holds(table)).then(pl.lit(Reason.SENSITIVE.value))
    return pl.coalesce(pl.when(own == test).then(pl.lit(test)), hidden, own)


def _by_key(name: str, table: Table) -> bool:
    return table.columns[name].role is Role.PERSON_KEY


def _named(name: str, table: Table, number: str, key: pl.Expr) -> tuple[pl.Expr, pl.Expr]:
    """How a row names a person: by number or by key, the other being null."""
    if _by_key(name, table):
        return pl.lit(None, pl.Int64).alias("number"), key_within(table, name, key).alias("key")
    return pl.col(number).alias("number"), pl.lit(None, pl.String).alias("key")


def _at_home(table: Table) -> pl.Expr:
    """Whether a row says no practice itself, so that the one counts that the roster knows."""
    own = table.with_role(Role.PRACTICE)[:1]
    return pl.col(own[0]).is_null() if own else pl.lit(value=True)


def _counted(rows: pl.LazyFrame, apart: pl.Schema) -> pl.LazyFrame:
    named = rows.filter(pl.col("number").is_not_null() | pl.col("key").is_not_null())
    by = [*apart, *ABSENT.names()[:-1]]
    counted = named.group_by(by).agg(pl.len().alias("rows"))
    return counted.select(*apart, *(pl.col(name).cast(kind) for name, kind in ABSENT.items()))


def save(frame: pl.DataFrame, path: Path, seal: Callable[[bytes], bytes]) -> None:
    """Write one part's, encrypted, owner-only."""
    buffer = io.BytesIO()
    frame.select(ABSENT.names()).write_ipc(buffer, compression="zstd")
    path.touch(mode=0o600)
    path.write_bytes(seal(buffer.getvalue()))


def load(path: Path, unseal: Callable[[bytes], bytes]) -> pl.DataFrame:
    """Read one part's.

    Raises:
        IntegrityError: It is missing, does not open under the key, or is not what was written.
    """
    try:
        frame = pl.read_ipc(io.BytesIO(unseal(path.read_bytes())))
    except (OSError, pl.exceptions.PolarsError):
        frame = None
    if frame is None or frame.schema != ABSENT:
        raise IntegrityError(f"{path.name}: whose rows a part lacks is missing or damaged", hint="run with --full")
    return frame
