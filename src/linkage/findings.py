"""The exact counts of a run against the last run's, and which of them are worth a person's look."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from linkage.config import Quality
from linkage.errors import IntegrityError
from linkage.reasons import Reason
from linkage.store.manifest import Change, RunManifest

__all__ = ["Finding", "compared", "last_account", "rows_of", "worth_a_look"]

# From where a figure is worth a line on the terminal; the account has all of them.
LOOK_INVALID, LOOK_FUTURE, LOOK_PEOPLE = 0.01, 0.01, 0.02
LOOK_ROWS, LOOK_MISSING, LOOK_LATE = 0.2, 0.05, 0.05  # against the last run

Table = tuple[str, str]
Column = tuple[str, str, str]

# Why a row has no person, beside what is wrong with a number, which its column tells.
_PERSONS = (Reason.NUMBER_MISSING.value, Reason.PERSON_UNKNOWN.value, Reason.PERSON_AMBIGUOUS.value)


@dataclass(frozen=True, slots=True)
class Finding:
    """One line worth a look.

    Attributes:
        where: Feed, table and, where it is about one, the column.
        what: What was found, in a few words.
        count: Rows or cells.
        share: Of the rows or of the written cells; of the last run's rows for a change.
    """

    where: str
    what: str
    count: int
    share: float


def last_account(private: Path, current: str | None, rules: Quality) -> RunManifest | None:
    """The exact account of the run whose snapshot is the current one; None before the first.

    Raises:
        IntegrityError: It is missing or damaged although a limit on changes needs it.
    """
    if current is None:
        return None
    try:
        return RunManifest.model_validate_json((private / "runs" / f"{current}.json").read_bytes())
    except (OSError, ValueError):
        if rules.max_change is not None or any(rule.max_change is not None for rule in rules.rules):
            raise IntegrityError(
                f"{current}.json: the account of the last run is missing or damaged, so max_change cannot be checked",
                hint="restore it to the private folder, or leave max_change out for one run",
            ) from None
        return None


def rows_of(account: RunManifest | None) -> dict[Table, int]:
    """Rows that a run read, by feed and table."""
    rows: defaultdict[Table, int] = defaultdict(int)
    for each in account.inputs if account else ():
        rows[each.feed, each.table] += each.rows
    return rows


def compared(account: RunManifest, last: RunManifest | None) -> RunManifest:
    """The account with every table whose rows differ from the last run's, and every column that is emptier or fuller."""
    if last is None:
        return account
    found = [*_row_changes(rows_of(last), rows_of(account)), *_column_changes(_missing(last), _missing(account))]
    return account.model_copy(update={"last_run": last.snapshot.run_id, "changes": tuple(found)})


def _row_changes(before: dict[Table, int], now: dict[Table, int]) -> Iterator[Change]:
    for feed, table in sorted(before.keys() | now.keys()):
        was, rows = before.get((feed, table), 0), now.get((feed, table), 0)
        if was != rows:
            yield Change(feed=feed, table=table, column=None, before=was, now=rows)


def _column_changes(before: dict[Column, float], now: dict[Column, float]) -> Iterator[Change]:
    for key in sorted(before.keys() & now.keys()):
        if before[key] != now[key]:
            feed, table, column = key
            yield Change(feed=feed, table=table, column=column, before=before[key], now=now[key])


def _missing(account: RunManifest) -> dict[Column, float]:
    """The share of each column's cells that hold nothing, over all files of its table."""
    missing: defaultdict[Column, int] = defaultdict(int)
    cells: defaultdict[Column, int] = defaultdict(int)
    for each in account.quality:
        if each.missing is not None:
            missing[each.feed, each.table, each.column] += each.missing
            cells[each.feed, each.table, each.column] += each.written + each.missing
    return {key: round(missing[key] / of, 6) for key, of in cells.items() if of}


def worth_a_look(account: RunManifest, last: RunManifest | None) -> list[Finding]:
    """What stands out in a run, or against the last one; the largest share first."""
    found = [
        *_of_changes(account.changes, rows_of(account)),
        *_of_columns(account),
        *_of_files(account),
        *_of_late(account, last),
    ]
    return sorted(found, key=lambda finding: (-finding.share, finding.where, finding.what))


def _of_changes(changes: Iterable[Change], rows: dict[Table, int]) -> Iterator[Finding]:
    for each in changes:
        if each.column is not None:
            by = each.now - each.before
            if by >= LOOK_MISSING:
                where, count = f"{each.feed} {each.table} {each.column}", round(by * rows[each.feed, each.table])
                yield Finding(where, "emptier than in the last run", count, by)
        elif abs(each.now - each.before) >= LOOK_ROWS * max(each.before, 1):
            count = round(abs(each.now - each.before))
            what = "rows more than in the last run" if each.now > each.before else "rows fewer than in the last run"
            yield Finding(f"{each.feed} {each.table}", what, count, count / max(each.before, 1))


def _of_columns(account: RunManifest) -> Iterator[Finding]:
    written: defaultdict[Column, int] = defaultdict(int)
    rows: defaultdict[Column, int] = defaultdict(int)
    faults: defaultdict[tuple[Column, str], int] = defaultdict(int)
    for each in account.quality:
        key = (each.feed, each.table, each.column)
        written[key] += each.written
        rows[key] += each.written + (each.missing or 0)
        for reason, count in each.reasons.items():
            faults[key, reason] += count
    for key, cells in written.items():
        if rows[key] and not cells:
            yield Finding(" ".join(key), "nothing in any row", rows[key], 1.0)
    for (key, reason), count in faults.items():
        if count >= LOOK_INVALID * written[key]:
            yield Finding(" ".join(key), reason, count, count / written[key])


def _of_files(account: RunManifest) -> Iterator[Finding]:
    rows = rows_of(account)
    counts: defaultdict[tuple[Table, str], int] = defaultdict(int)
    for each in account.files:
        told = {"after the delivery": each.future, "cut short or too long": each.malformed}
        for what, count in (told | {reason: each.people.get(reason, 0) for reason in _PERSONS}).items():
            counts[(each.feed, each.table), what] += count
    for (key, what), count in counts.items():
        least = LOOK_PEOPLE if what in _PERSONS else LOOK_FUTURE if what == "after the delivery" else 0
        if count and count >= least * rows[key]:
            yield Finding(" ".join(key), what, count, count / rows[key])


def _of_late(account: RunManifest, last: RunManifest | None) -> Iterator[Finding]:
    """Late rows only where they have become more: an extract of many years is no surprise, a growing backlog is."""
    before, now = (_late(each) if each else {} for each in (last, account))
    for key, (count, share) in now.items():
        if key in before and share - before[key][1] >= LOOK_LATE:
            yield Finding(" ".join(key), "late, and more of them than in the last run", count, share)


def _late(account: RunManifest) -> dict[Table, tuple[int, float]]:
    late: defaultdict[Table, int] = defaultdict(int)
    rows: defaultdict[Table, int] = defaultdict(int)
    for each in account.files:
        late[each.feed, each.table] += each.late
        rows[each.feed, each.table] += each.rows
    return {key: (late[key], late[key] / of) for key, of in rows.items() if of}
