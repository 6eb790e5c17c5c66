"""The counts of a run's extracts over whole tables, against the last run's, and which of them are worth a person's look.

The same for exact counts and for shown ones; a count that is withheld is passed over.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from linkage.config import Quality
from linkage.contract import Feed, Table
from linkage.errors import IntegrityError
from linkage.reasons import Reason
from linkage.store.manifest import (
    Change,
    ColumnCount,
    ColumnCounts,
    ExactBalance,
    FileCount,
    RunManifest,
    ShownBalance,
    TableCounts,
)

__all__ = ["Finding", "compared", "findings_of", "last_account", "rows_of", "summed", "worth_a_look"]

# From where a figure is worth a line on the terminal; the account has all of them.
LOOK_INVALID, LOOK_FUTURE, LOOK_PEOPLE = 0.01, 0.01, 0.02
LOOK_COPIES = 0.05
LOOK_ROWS, LOOK_MISSING, LOOK_LATE, LOOK_NO_PERSON = 0.2, 0.05, 0.05, 0.05  # against the last run
NAMED = 3  # empty columns that a line names

Key = tuple[str, str]
What = Literal["late", "future", "no_person", "missing", "invalid"]

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


def rows_of(account: RunManifest | None) -> dict[Key, int]:
    """Rows that a run read, by feed and table, those of tables that only inform too."""
    rows: defaultdict[Key, int] = defaultdict(int)
    for each in account.inputs if account else ():
        rows[each.feed, each.table] += each.rows
    return rows


def summed(
    files: Iterable[FileCount], columns: Iterable[ColumnCount], contracts: Mapping[str, Feed] | None = None
) -> tuple[TableCounts, ...]:
    """The exact counts of all files added up by table, in the order of their first files; titles and roles by contract."""
    found: dict[Key, list[FileCount]] = defaultdict(list)
    cells: dict[Key, dict[str, list[ColumnCount]]] = defaultdict(lambda: defaultdict(list))
    for file in files:
        found[file.feed, file.table].append(file)
    for column in columns:
        cells[column.feed, column.table][column.column].append(column)
    return tuple(_table(key, each, cells[key], _contract(contracts or {}, key)) for key, each in found.items())


def _contract(contracts: Mapping[str, Feed], key: Key) -> Table | None:
    return contracts[key[0]].tables.get(key[1]) if key[0] in contracts else None


def _table(
    key: Key, files: Sequence[FileCount], columns: Mapping[str, Sequence[ColumnCount]], contract: Table | None
) -> TableCounts:
    return TableCounts(
        feed=key[0],
        table=key[1],
        title=contract.title if contract else "",
        rows=sum(each.rows for each in files),
        malformed=sum(each.malformed for each in files),
        late=sum(each.late for each in files),
        future=sum(each.future for each in files),
        people=_added(each.people for each in files),
        ranges=_added(each.ranges for each in files),
        status=_added(each.status for each in files),
        unread=max(each.unread for each in files),
        absent=_absent_from_all(files),
        columns=tuple(
            ColumnCounts(
                column=name,
                role=contract.columns[name].role.value if contract and name in contract.columns else "",
                missing=sum(each.missing or 0 for each in found),
                invalid=_added(each.reasons for each in found),
            )
            for name, found in columns.items()
        ),
    )


def _absent_from_all(files: Sequence[FileCount]) -> tuple[str, ...]:
    return tuple(name for name in files[0].absent if all(name in each.absent for each in files))


def _added(counts: Iterable[Mapping[str, int]]) -> dict[str, int | None]:
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)
    return {name: total[name] for name in sorted(total) if total[name]}


def compared(
    before: Sequence[TableCounts],
    now: Sequence[TableCounts],
    rows: tuple[Mapping[Key, int], Mapping[Key, int]] | None = None,
) -> tuple[Change, ...]:
    """What differs from the last run: rows of tables, and shares of late, future, missing and invalid ones.

    Args:
        before: The counts of the last run.
        now: The counts of this one.
        rows: Rows of each table, before and now, where more is known than these counts tell.
    """
    was, is_ = rows or (_rows(before), _rows(now))
    return (*_row_changes(was, is_), *_share_changes(dict(_shares(before)), dict(_shares(now))))


def _rows(tables: Iterable[TableCounts]) -> dict[Key, int]:
    return {(each.feed, each.table): each.rows for each in tables if each.rows is not None}


def _row_changes(before: Mapping[Key, int], now: Mapping[Key, int]) -> Iterator[Change]:
    for feed, table in sorted(before.keys() | now.keys()):
        was, rows = before.get((feed, table), 0), now.get((feed, table), 0)
        if was != rows:
            yield Change(feed=feed, table=table, column=None, what="rows", before=was, now=rows)


def _share_changes(
    before: Mapping[tuple[str, str, str, What], float], now: Mapping[tuple[str, str, str, What], float]
) -> Iterator[Change]:
    for key in sorted(before.keys() & now.keys()):
        if before[key] != now[key]:
            feed, table, column, what = key
            yield Change(feed=feed, table=table, column=column or None, what=what, before=before[key], now=now[key])


def _shares(tables: Iterable[TableCounts]) -> Iterator[tuple[tuple[str, str, str, What], float]]:
    """Every share that can be compared, by feed, table, column (empty for a table's own) and what it is of."""
    for table in tables:
        people = None if None in table.people.values() else sum(each or 0 for each in table.people.values())
        counts: tuple[tuple[What, int | None], ...] = (
            ("late", table.late), ("future", table.future), ("no_person", people),
        )  # fmt: skip
        for what, count in counts:
            if table.rows and count is not None:
                yield (table.feed, table.table, "", what), round(count / table.rows, 6)
        for column in table.columns:
            if table.rows and column.missing is not None:
                yield (table.feed, table.table, column.column, "missing"), round(column.missing / table.rows, 6)
                written, invalid = (
                    table.rows - column.missing,
                    [each for each in column.invalid.values() if each is not None],
                )
                if written > 0 and len(invalid) == len(column.invalid):
                    yield (table.feed, table.table, column.column, "invalid"), round(sum(invalid) / written, 6)


def findings_of(account: RunManifest) -> list[Finding]:
    """What stands out in a run, exactly."""
    return worth_a_look(summed(account.files, account.quality), account.changes, account.balance)


def worth_a_look(
    tables: Sequence[TableCounts], changes: Iterable[Change], balance: Iterable[ExactBalance | ShownBalance]
) -> list[Finding]:
    """What stands out in a run, or against the last one; the largest share first, columns that are empty last."""
    counts = {(each.feed, each.table): each for each in tables}
    found = [*_of_changes(changes, counts), *_copies(balance)]
    for table in tables:
        if table.rows:
            found += [*_of_columns(table, table.rows), *_of_rows(table, table.rows)]
    found.sort(key=lambda finding: (-finding.share, finding.where, finding.what))
    return found + [each for table in tables for each in _empty(table)]


def _of_changes(changes: Iterable[Change], tables: Mapping[Key, TableCounts]) -> Iterator[Finding]:
    for each in changes:
        # Rounded, since 0.06 less 0.01 is a little less than 0.05.
        table, by = tables.get((each.feed, each.table)), round(each.now - each.before, 6)
        where, rows = f"{each.feed} {each.table}", (table.rows if table else None) or 0
        if each.what == "rows" and abs(by) >= LOOK_ROWS * max(each.before, 1):
            what = "rows more than in the last run" if by > 0 else "rows fewer than in the last run"
            yield Finding(where, what, round(abs(by)), abs(by) / max(each.before, 1))
        if each.what == "missing" and by >= LOOK_MISSING:
            yield Finding(f"{where} {each.column}", "emptier than in the last run", round(by * rows), by)
        # Late rows only where they have become more: an extract of many years is no surprise, a growing backlog is.
        if each.what == "late" and by >= LOOK_LATE:
            yield Finding(where, "late, and more of them than in the last run", round(each.now * rows), each.now)
        if each.what == "no_person" and by >= LOOK_NO_PERSON:
            yield Finding(
                where, "without a person, and more of them than in the last run", round(each.now * rows), each.now
            )


def _copies(balance: Iterable[ExactBalance | ShownBalance]) -> Iterator[Finding]:
    for each in balance:
        copies = each.removed.get(Reason.DUPLICATE.value)
        if copies and each.read and copies >= LOOK_COPIES * each.read:
            yield Finding(f"{each.feed} {each.table}", "exact copies", copies, min(copies / each.read, 1.0))


def _of_columns(table: TableCounts, rows: int) -> Iterator[Finding]:
    for column in table.columns:
        written = rows - (column.missing or 0)
        for reason, count in column.invalid.items():
            if count and written > 0 and count >= LOOK_INVALID * written:
                where = f"{table.feed} {table.table} {column.column}"
                yield Finding(where, reason, count, min(count / written, 1.0))


def _of_rows(table: TableCounts, rows: int) -> Iterator[Finding]:
    counts = {"after the delivery": table.future, "cut short or too long": table.malformed}
    for what, count in (counts | {reason: table.people.get(reason) for reason in _PERSONS}).items():
        least = LOOK_PEOPLE if what in _PERSONS else LOOK_FUTURE if what == "after the delivery" else 0
        if count and count >= least * rows:
            yield Finding(f"{table.feed} {table.table}", what, count, min(count / rows, 1.0))


def _empty(table: TableCounts) -> Iterator[Finding]:
    """Columns that did not come, and columns with nothing in any row, each in one line: most are never filled."""
    if not table.rows:
        return
    empty = [each.column for each in table.columns if each.missing == table.rows and each.column not in table.absent]
    for names, what in ((empty, "nothing in any row"), (table.absent, "not in any file")):
        where = f"{table.feed} {table.table}"
        if len(names) == 1:
            yield Finding(f"{where} {names[0]}", what, table.rows, 1.0)
        elif names:
            more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
            told = (
                f"{len(names)} columns with nothing in any row"
                if names is empty
                else f"{len(names)} columns not in any file"
            )
            yield Finding(where, f"{told}: {', '.join(names[:NAMED])}{more}", table.rows, 1.0)
