"""The quality gate: an extract that is too bad stops the run before anything is published.

Every refusal names the file, the column, the figure and the limit, and repeats no value.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from linkage.config import Quality
from linkage.contract import Feed, Role, Table
from linkage.errors import ConfigurationError, InputError
from linkage.sources.inspect import Extract
from linkage.sources.quality import ColumnQuality, Fault, FileQuality

__all__ = ["check_file", "check_names", "check_rows"]

_CORRECT = "correct the extract, or the column's formats, codes or map in the contract"
_LIKE_NUMBERS = "ask the sender what the column holds; identifiers have the role record, NHS numbers the role person"


def check_names(rules: Quality, feeds: Iterable[Feed]) -> None:
    """Check that every rule is for something that flows in: a misspelt rule must not be one that is never applied.

    Raises:
        ConfigurationError: A rule names a feed, table or column that no flow has.
    """
    known = {feed.name: feed.tables for feed in feeds}
    for rule in rules.rules:
        tables = known.get(rule.feed)
        if tables is None:
            raise ConfigurationError(
                f"quality.rules: no flow has a feed {rule.feed!r}", hint=f"one of {', '.join(sorted(known))}"
            )
        if rule.table is not None and rule.table not in tables:
            raise ConfigurationError(
                f"quality.rules: feed {rule.feed} has no table {rule.table!r}",
                hint=f"one of {', '.join(sorted(tables))}",
            )
        if rule.column is not None and rule.column not in tables[rule.table or ""].columns:
            raise ConfigurationError(
                f"quality.rules: {rule.feed} {rule.table} has no column {rule.column!r}",
                hint=f"`linkage feeds show {rule.feed}` lists them",
            )


def check_rows(
    rules: Quality, feed: Feed, extracts: Mapping[str, Sequence[Extract]], before: Mapping[tuple[str, str], int]
) -> None:
    """Check how many rows came, before they are read.

    Args:
        rules: The limits.
        feed: The contract.
        extracts: The inspected files of each table.
        before: Rows of each feed and table in the last run.

    Raises:
        InputError: A file has too few rows, or a table too many or too few against the last run.
    """
    for name, found in extracts.items():
        least = rules.limit("min_rows", feed.name, name)
        for extract in found:
            if extract.rows < (least or 0):
                raise InputError(
                    f"{extract.path.name}: {extract.rows} rows; the limit is {least} (min_rows)",
                    hint="ask the sender whether the extract is complete",
                )
        limit, last = rules.limit("max_change", feed.name, name), before.get((feed.name, name), 0)
        rows = sum(extract.rows for extract in found)
        if limit is not None and last and abs(rows - last) > limit * last:
            newest = f"{found[-1].path.name}: " if found else ""
            raise InputError(
                f"{newest}{feed.name} {name} has {rows} rows and had {last} in the last run: a change of "
                f"{abs(rows - last) / last:.1%}; the limit is {limit:.1%} (max_change)",
                hint="ask the sender what changed; if it is right, raise max_change for this table until the next run",
            )


def check_file(rules: Quality, table: Table, extract: Extract, quality: FileQuality) -> None:
    """Check what was counted in a file.

    Raises:
        InputError: A share is above its limit; names the file, the column, the figure and the limit.
    """
    limit = rules.limit("max_malformed", quality.feed, quality.table)
    if quality.malformed > _share(limit) * quality.rows:
        raise InputError(
            f"{quality.file}: {quality.malformed} of {quality.rows} rows have too few or too many fields, "
            f"the first is row {extract.malformed[0]}; the limit is {limit:.1%} (max_malformed)",
            hint="the file is cut short, or its delimiter or quoting is not what the contract says",
        )
    _check_rows_of(rules, quality)
    for column in quality.columns:
        _check_column(rules, table, column, quality.rows)


def _check_rows_of(rules: Quality, quality: FileQuality) -> None:
    keys = "check the column that names the person, and that the file with everybody's numbers was delivered"
    dates = "check the dates' format in the contract, and the stamp in the file's name"
    checks = (
        ("max_no_person", sum(quality.people.values()), "have no person", keys),
        ("max_late", quality.late, f"are of more than {rules.late_after_days} days before the delivery", dates),
        ("max_future", quality.future, "are of more than a day after the delivery", dates),
    )
    for name, count, what, hint in checks:
        limit = rules.limit(name, quality.feed, quality.table)
        if count > _share(limit) * quality.rows:
            raise InputError(
                f"{quality.file}: {count} of {quality.rows} rows {what}; the limit is {limit:.1%} ({name})", hint=hint
            )


def _check_column(rules: Quality, table: Table, column: ColumnQuality, rows: int) -> None:
    unknown = column.reasons.get(Fault.UNKNOWN_CODE.value, 0)
    contract = table.columns[column.column]
    where = f"{column.file}: column {contract.source[0]!r}"
    first = f", the first in row {column.first_invalid}" if column.first_invalid else ""
    like_numbers = column.reasons.get(Fault.LIKE_NHS_NUMBER.value, 0)
    cannot, correct = "cannot be read", _CORRECT
    if 2 * like_numbers > column.invalid:
        cannot, correct = "hold digits that could be an NHS number, where none belongs", _LIKE_NUMBERS
    checks = [
        ("max_invalid", column.invalid, column.written, f"values {cannot}{first}", correct),
        ("max_unknown", unknown, column.written, f"values are none of the column's codes{first}", _CORRECT),
        (
            "max_missing",
            column.missing,
            rows,
            "rows have nothing in it",
            "ask the sender whether the column was left out",
        ),
    ]
    for name, count, of, what, hint in checks:
        limit = _limit(rules, name, column, contract.role)
        if count > limit * of:
            raise InputError(f"{where}: {count} of {of} {what}; the limit is {limit:.1%} ({name})", hint=hint)


def _limit(rules: Quality, name: str, column: ColumnQuality, role: Role) -> float:
    """The limit for one column; rows without a usable NHS number are left out, so only a rule of its own limits those."""
    if role is Role.PERSON and name == "max_invalid":
        own = {rule.target: rule.max_invalid for rule in rules.rules}
        return _share(own.get((column.feed, column.table, column.column)))
    return _share(rules.limit(name, column.feed, column.table, column.column))


def _share(limit: float | None) -> float:
    return 1.0 if limit is None else limit
