"""What is wrong with an extract, counted while its rows go by: a few sums in the scan that is made anyway.

What is counted, for each file:

- rows, and of them those cut short or too long (`malformed`);
- `late` and `future` rows: the event happened more than `late_after_days` before the delivery stamp, or more than a
  day after it (a day, because a stamp has no time zone);
- `people`: rows whose person cannot be known, by reason; a row may have other faults too, so this is not the balance;
- `ranges`: rows with a usable NHS number, by who issues it; `status`: rows by NHS number status indicator;
- columns of the file that are not read (`unread`), and columns of the contract that are not in the file (`absent`);
- for each column: `missing` (nothing written, or a sentinel), and `invalid` by reason (written, but not a value).

Everything is a count, or a name of the contract's; no value is kept, and no name that the file gives.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

import polars as pl

from linkage import nhs_number
from linkage.contract import DROPPED, Column, Role, Table
from linkage.nhs_number import NumberReason
from linkage.reasons import Reason
from linkage.sources import clean, read
from linkage.sources.inspect import Extract
from linkage.sources.resolve import GIVEN, KEY, PERSON_REASON

__all__ = ["STATUS", "ColumnQuality", "Fault", "FileQuality", "counts", "event_column", "tally"]

STATUS = tuple(f"{code:02d}" for code in range(1, 9))  # NHS Data Dictionary, NHS NUMBER STATUS INDICATOR CODE
_UNFIT = tuple(reason.value for reason in NumberReason if reason is not NumberReason.MISSING)
_PEOPLE = (Reason.PERSON_UNKNOWN.value, Reason.PERSON_AMBIGUOUS.value, NumberReason.MISSING.value, *_UNFIT)
_ONE_DAY = timedelta(days=1)


class Fault(StrEnum):
    """Why a written value is not a value; an NHS number column has the reasons of `nhs_number` instead."""

    UNREADABLE = "unreadable"  # not of the column's type or formats
    UNKNOWN_CODE = "unknown_code"  # none of the contract's codes, or not in its lookup
    OUT_OF_RANGE = "out_of_range"  # a date before 1850 or after 2150
    LIKE_NHS_NUMBER = "like_nhs_number"  # digits that could be an NHS number, where none belongs


@dataclass(frozen=True, slots=True)
class ColumnQuality:
    """Cells of one column of one file.

    Attributes:
        feed: The feed.
        table: Its table.
        file: The file's name.
        column: The contract's name of the column.
        written: Cells that hold something; rows = `written` + `missing`.
        missing: Cells that hold nothing. For the number of another person in the row: cells without a usable one. A
            flag of type text lacks nothing, since blank is its no.
        invalid: Written cells that are not a value.
        first_invalid: The first row with one; 0 where there is none or it was not looked for.
        reasons: `invalid` by reason, without zeros.
    """

    feed: str
    table: str
    file: str
    column: str
    written: int
    missing: int
    invalid: int
    first_invalid: int
    reasons: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FileQuality:
    """Rows of one file; counts by reason are without zeros.

    `unread` counts columns of the file that neither the contract names nor the flow takes; `absent` are columns of the
    contract that the file lacks, whose cells are all missing.
    """

    feed: str
    table: str
    file: str
    rows: int
    malformed: int
    late: int
    future: int
    people: dict[str, int]
    ranges: dict[str, int]
    status: dict[str, int]
    unread: int = 0
    absent: tuple[str, ...] = ()
    columns: tuple[ColumnQuality, ...] = ()


def counts(table: Table, delivered: datetime, late_after_days: int) -> list[pl.Expr]:
    """Everything that is counted, as aggregates over rows that are cleaned and resolved; `tally` reads them."""
    made = [pl.len().alias("rows"), *_of_events(table, delivered.replace(tzinfo=None), late_after_days)]
    if table.subjects or table.person_keys:
        made += [(pl.col(PERSON_REASON) == reason).sum().alias(f"#people?{reason}") for reason in _PEOPLE]
        made += [value.alias(f"#below?{place}") for place, value in enumerate(nhs_number.counts_below(GIVEN))]
    if table.number_status:
        # A status read from a column of integers has lost its zero.
        status = pl.col(table.number_status)
        made += [status.is_in([code, code[1:]]).sum().alias(f"#status?{code}") for code in STATUS]
        known = [form for code in STATUS for form in (code, code[1:])]
        made.append((status.is_not_null() & ~status.is_in(known)).sum().alias("#status?other"))
    for name in _columns(table):
        made += _of_column(name, table)
    return made


def _of_events(table: Table, delivered: datetime, late_after_days: int) -> list[pl.Expr]:
    name = event_column(table)
    if name is None:
        return []
    happened = pl.col(name)
    kind = pl.Date if table.columns[name].kind == "date" else pl.Datetime("us")
    early, after = (pl.lit(delivered + by).cast(kind) for by in (-timedelta(days=late_after_days), _ONE_DAY))
    return [(happened < early).sum().alias("late"), (happened > after).sum().alias("future")]


def event_column(table: Table) -> str | None:
    """The column with the date of what a row tells of: the event's start, else the date that decides the month."""
    name = table.event.start if table.event else table.month
    return name if name and table.columns[name].kind in ("date", "datetime") else None


def _columns(table: Table) -> list[str]:
    return [name for name, column in table.columns.items() if column.role not in DROPPED]


def _of_column(name: str, table: Table) -> list[pl.Expr]:
    cells, column = pl.col(name), table.columns[name]
    if column.role is Role.PERSON:
        # Text that is blank stays text until it is parsed; another person's column has been parsed already.
        blank = (cells.cast(pl.String) == "").sum() if not column.other else 0
        empty = pl.col(f"{name}{GIVEN}") if column.other else cells
        return [(empty.null_count() + blank).alias(f"{name}?empty")]
    if column.role is Role.PERSON_KEY and column.other:
        return [pl.col(name + KEY).null_count().alias(f"{name}?empty")]
    if name not in clean.counted(table):
        return [cells.null_count().alias(f"{name}?empty")]
    invalid = pl.col(name + clean.INVALID)
    empty = cells.null_count()
    if column.role is Role.FLAG:
        # A blank flag of type text says no; one raised for another version of the record is no longer null.
        empty = invalid.sum() if column.kind == "text" else (cells.is_null() | invalid).sum()
    made = [
        empty.alias(f"{name}?empty"),
        invalid.sum().alias(f"{name}?invalid"),
        pl.col("_row").filter(invalid).min().alias(f"{name}?first"),
    ]
    if clean.can_refuse(column):
        made.append(pl.col(name + clean.REFUSED).sum().alias(f"{name}?refused"))
    return made


def tally(feed: str, name: str, table: Table, extract: Extract, found: dict[str, int | None]) -> FileQuality:
    """Put the counts of one file in order.

    Args:
        feed: The feed's name.
        name: The table's name.
        table: The contract's table.
        extract: The file.
        found: What the aggregates of `counts` came to, by name.
    """
    people, delivered = _named("people", found), read.columns(extract, table)
    return FileQuality(
        feed=feed,
        table=name,
        file=extract.path.name,
        rows=found["rows"] or 0,
        malformed=len(extract.malformed),
        late=found.get("late") or 0,
        future=found.get("future") or 0,
        people=people,
        ranges=_ranges(found),
        status=_named("status", found),
        unread=len(extract.header) - len(set(delivered.values())),
        absent=tuple(column for column in _columns(table) if column not in delivered),
        columns=tuple(
            ColumnQuality(feed, name, extract.path.name, column, *_cells(column, table, found, people))
            for column in _columns(table)
        ),
    )


def _named(group: str, found: dict[str, int | None]) -> dict[str, int]:
    start = f"#{group}?"
    return {name.removeprefix(start): count for name, count in found.items() if count and name.startswith(start)}


def _ranges(found: dict[str, int | None]) -> dict[str, int]:
    below = [count or 0 for name, count in found.items() if name.startswith("#below?")]
    return {name.value: rows for name, rows in nhs_number.by_range(below).items()} if below else {}


def _cells(
    name: str, table: Table, found: dict[str, int | None], people: dict[str, int]
) -> tuple[int, int, int, int, dict[str, int]]:
    rows, empty = found["rows"] or 0, found[f"{name}?empty"] or 0
    column = table.columns[name]
    if column.role is Role.PERSON:
        unfit = {reason: people[reason] for reason in _UNFIT if reason in people and not column.other}
        return rows - empty, empty, sum(unfit.values()), 0, unfit
    invalid = found.get(f"{name}?invalid") or 0
    refused = found.get(f"{name}?refused") or 0
    missing = empty - invalid
    reasons = {fault: count for fault, count in _faults(column, invalid, refused).items() if count}
    return rows - missing, missing, invalid, found.get(f"{name}?first") or 0, reasons


def _faults(column: Column, invalid: int, refused: int) -> dict[str, int]:
    if clean.is_coded(column):
        return {Fault.UNKNOWN_CODE.value: invalid}
    if column.kind in ("date", "datetime"):
        return {Fault.OUT_OF_RANGE.value: refused, Fault.UNREADABLE.value: invalid - refused}
    if column.kind == "text" and column.role is not Role.FLAG:
        return {Fault.LIKE_NHS_NUMBER.value: invalid}
    return {Fault.LIKE_NHS_NUMBER.value: refused, Fault.UNREADABLE.value: invalid - refused}
