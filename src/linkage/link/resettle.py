"""Settling what changed: the records that a change reaches, from all their rows, and the partitions that differ by it.

Gives the rows, and the order of rows, that settling everything gives. A partition that is written again is the last
one without the records that differ, and with what those are now, in the order of the table.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from linkage.anew import Anew, Kept
from linkage.errors import IntegrityError
from linkage.link import tables
from linkage.link.engine import during, name, run, text
from linkage.link.increment import DELIVERY, Made, changed_table, plain, put_together
from linkage.link.reached import REACHED, Change, find_reached, matches
from linkage.link.settle import (
    Settled,
    attributes_table,
    check,
    judge,
    needs_delivery_order,
    order_of,
    settle,
)
from linkage.reasons import Reason

__all__ = ["keep_attributes", "resettle"]

# Beyond this share of a table, settling all of it costs less; a table of fewer rows than this costs nothing either way.
SHARE, FEW = 0.25, 50_000


def resettle(change: Change) -> Settled:
    """Settle one table on top of what the last run published, or from everything where that is in doubt.

    Raises:
        IntegrityError: As `settle.settle`; or the last snapshot's files are not what was published.
        TemporaryError: Memory or disk ran out.
    """
    removed = Counter(change.before.removed.get(change.table.name, {}))
    why = change.before.why_not(change.table)
    if not why and change.nothing:
        return _as_it_was(change, removed)
    why = why or _doubt(change)
    if why:
        whole = settle(change.connection, change.folder, change.table.parts, change.table.table, change.falls)
        return replace(whole, why=why)
    if not change.count(REACHED):
        return _as_it_was(change, removed)
    _collect(change)
    removed.subtract(_side(change, -1, "_won_before"))
    removed.update(_side(change, 1, "_won_after"))
    _find_changed(change)
    made = _put_together(change)
    for each in ("_hit", "_won_before", "_won_after", "_differ", "_told", "_reached", "_winners"):
        change.run(f"DROP TABLE IF EXISTS temp.{each}")
    change.run("DROP TABLE shared._coming; DROP TABLE shared._going")
    left = {reason: rows for reason, rows in sorted(removed.items()) if rows}
    check(change.table.parts, made.rows, left)
    return Settled(change.table.name, _month(change), made.rows, left, made)


def _as_it_was(change: Change, removed: Counter[Reason]) -> Settled:
    """A table of which no record is reached: all its files stay, and no row came or went."""
    table = change.table
    typed = ", ".join(f"{name(column)} {type}" for column, type in [*change.columns, *DELIVERY])
    change.run(
        f"CREATE OR REPLACE TEMP TABLE {changed_table(table.name).removeprefix('temp.')} ({typed}, _side VARCHAR)"
    )
    made = put_together(change.connection, name(table.name), change.columns, None, change.before.files[table.name])
    change.run(f"DROP TABLE IF EXISTS {REACHED}")
    left = {reason: rows for reason, rows in sorted(removed.items()) if rows}
    check(table.parts, made.rows, left)
    return Settled(table.name, _month(change), made.rows, left, made)


def keep_attributes(change: Change, tokens: str | None) -> None:
    """Keep the delivery order of a person table that was not settled from everything, for choosing among its rows.

    Args:
        change: The table.
        tokens: A relation with the tokens that are asked about; None for all.
    """
    table = change.table
    if not needs_delivery_order(table.table, _month(change)):
        return
    rows, whose = tables.rows(change.folder, table.parts), "token IS NOT NULL"
    if tokens is not None:
        keys = ", ".join(name(key) for key in change.keys)
        change.run(
            f"CREATE OR REPLACE TEMP TABLE _reached AS SELECT DISTINCT {keys} FROM {rows} SEMI JOIN {tokens} USING (token)"
        )
        rows = _reached_rows(change, rows)
        whose = f"token IN (SELECT token FROM {tokens})"
    chosen, _ = judge(change.connection, rows, table.parts, table.table, change.falls)
    change.run(
        f"CREATE OR REPLACE TEMP TABLE {name(attributes_table(table.name))} AS"
        f" SELECT * EXCLUDE (_deleted, _gone) FROM {chosen} WHERE {whose}"
    )


def _doubt(change: Change) -> str | None:
    """Find what the change reaches, and say why the table is to be settled from everything all the same."""
    if not change.before.check_parts(change.compared.gone):
        return "a held part of it was changed or is missing"
    rows = sum(file.rows for file in change.before.files[change.table.name])
    if find_reached(change) > max(FEW, SHARE * rows):
        return "most of its records changed"
    return None


def _reached_rows(change: Change, rows: str) -> str:
    return f"(SELECT r.* FROM {rows} r SEMI JOIN {REACHED} k ON {matches(change, 'r', 'k')})"


def _collect(change: Change) -> None:
    """All rows of the reached records: of parts that both runs have (0), of those that came (1) and that went (-1)."""
    same, came, gone = change.compared.same, change.compared.came, change.compared.gone
    if not change.count(REACHED):
        same, came, gone = (parts.model_copy(update={"parts": ()}) for parts in (same, came, gone))
    # Their keys are looked for first, so that whole rows are read only of files that hold some.
    hit = f"SELECT DISTINCT _file FROM {_reached_rows(change, tables.rows(change.folder, same))}"
    places = {place for (place,) in change.run(hit)}
    same = same.model_copy(update={"parts": tuple(each for each in same.parts if each.place in places)})
    found = " UNION ALL ".join(
        f"SELECT *, {of} AS _of FROM {_reached_rows(change, tables.rows(folder, parts))}"
        for of, folder, parts in ((0, change.folder, same), (1, change.folder, came), (-1, change.before.folder, gone))
    )
    change.run(f"CREATE OR REPLACE TEMP TABLE _hit AS {found}")


def _side(change: Change, of: int, target: str) -> Counter[Reason]:
    """Settle the collected rows as they were or as they are, and count what was removed of them."""
    rows = f"(SELECT * EXCLUDE (_of) FROM temp._hit WHERE _of IN (0, {of}))"
    falls = change.falls if of > 0 else change.earlier
    chosen, removed = judge(change.connection, rows, change.table.parts, change.table.table, falls)
    columns = ", ".join(name(column) for column, _ in change.columns)
    keys = ", ".join(name(key) for key in change.keys)
    change.run(
        f"CREATE OR REPLACE TEMP TABLE {target} AS SELECT {columns}, _delivered, _file, _row,"
        f" row_number() OVER (PARTITION BY {keys} ORDER BY _file, _row) AS _n FROM {chosen}"
    )
    return removed


def _find_changed(change: Change) -> None:
    """The records that are published otherwise than they were, and their rows before and after.

    Of a register, where the order of delivery says which row is believed, a row that was only delivered again changed too.
    """
    columns = [name(column) for column, _ in change.columns]
    told = [*columns, *(column for column, _ in DELIVERY)]
    _find_differing(change, "_differ", [*columns, "_n"])
    ordered = needs_delivery_order(change.table.table, _month(change))
    if ordered:
        # The same row delivered again is another one here: it may be believed now.
        _find_differing(change, "_told", told)
    same, listed = matches(change, "r", "k"), ", ".join(f"r.{column}" for column in told)
    sides = " UNION ALL ".join(
        f"SELECT {listed}, '{side}' AS _side FROM temp._won_{side} r"
        f" SEMI JOIN temp.{'_told' if ordered else '_differ'} k ON {same}"
        for side in ("before", "after")
    )
    change.run(f"CREATE OR REPLACE TEMP TABLE {changed_table(change.table.name).removeprefix('temp.')} AS {sides}")


def _find_differing(change: Change, target: str, columns: list[str]) -> None:
    keys = ", ".join(name(key) for key in change.keys)
    before, after = (f"SELECT {', '.join(columns)} FROM temp._won_{side}" for side in ("before", "after"))
    change.run(
        f"CREATE OR REPLACE TEMP TABLE {target} AS SELECT DISTINCT {keys} FROM"
        f" (({before} EXCEPT {after}) UNION ALL ({after} EXCEPT {before}))"
    )


def _month(change: Change) -> str | None:
    return tables.month_column(change.table.parts, change.table.table)


def _put_together(change: Change) -> Made:
    """The table of the partitions that stay and of those that are written again."""
    parts = change.table.parts
    came, went = _cut(change)
    months = {*came, *went}
    files = change.before.files[parts.name]
    touched = {file.month: file for file in files if file.month in months}
    kept = [file for file in files if file.month not in months and (file.rows or not months)]
    rows = {
        month: (touched[month].rows if month in touched else 0) - went.get(month, 0) + came.get(month, 0)
        for month in months
    }
    written = (
        _write_anew(change, touched, {month: rows[month] for month in rows if rows[month]}, kept) if months else ()
    )
    if sum(file.rows for file in written) != sum(rows.values()):
        raise IntegrityError(
            f"{parts.feed} {parts.table}: the last snapshot does not hold what its bundle says",
            hint="nothing was published; run `linkage run --full`",
        )
    return put_together(change.connection, name(parts.name), change.columns, None, kept, written)


def _cut(change: Change) -> tuple[dict[str | None, int], dict[str | None, int]]:
    """Make what comes into each month, and whose rows go out of it, month by month, and count the rows of both.

    So a file is written by looking at its month alone, and several are at a time.
    """
    month = _month(change)
    label = f"strftime({name(month)}, '%Y-%m')" if month else "CAST(NULL AS VARCHAR)"
    columns, keys = (", ".join(map(name, each)) for each in ([column for column, _ in change.columns], change.keys))
    differ = f"r SEMI JOIN temp._differ k ON {matches(change, 'r', 'k')}"
    change.run(
        f"CREATE OR REPLACE TABLE shared._coming AS SELECT {columns}, _n, {label} AS _month, 1 AS _rows"
        f" FROM temp._won_after {differ} ORDER BY _month"
    )
    change.run(
        f"CREATE OR REPLACE TABLE shared._going AS SELECT {keys}, {label} AS _month, count(*) AS _rows"
        f" FROM temp._won_before {differ} GROUP BY {keys}, _month ORDER BY _month"
    )
    return _by_month(change, "_coming"), _by_month(change, "_going")


def _by_month(change: Change, table: str) -> dict[str | None, int]:
    counted = f"SELECT _month, CAST(sum(_rows) AS BIGINT) FROM shared.{table} GROUP BY _month"
    return dict(run(change.connection, counted, change.step))


def _write_anew(
    change: Change, touched: Mapping[str | None, Kept], rows: Mapping[str | None, int], kept: Sequence[Kept]
) -> tuple[Kept, ...]:
    """Write the partitions in which something differs; a table without any rows still has a file."""
    change.before.check_files(touched.values())
    if not rows and kept:
        return ()
    month, columns = _month(change), [column for column, _ in change.columns]
    same = matches(change, "r", "k")

    def query(label: str | None) -> str:
        return _rows_anew(columns, touched.get(label), label, same)

    with during(change.step):
        return change.write(
            Anew(change.table.name, columns, month, rows or {None: 0}, query, order_of(change.keys, month, "_n"))
        )


def _rows_anew(columns: Sequence[str], file: Kept | None, month: str | None, same: str) -> str:
    listed, own = ", ".join(map(name, columns)), f"_month = {text(month)}" if month else "_month IS NULL"
    rows = f"SELECT {listed}, _n FROM shared._coming WHERE {own}"
    if file is None:
        return rows
    # Rows that tie but for their delivery have one key, and so are all from the last snapshot or all settled anew.
    last = f"read_parquet([{text(plain(file.path))}], hive_partitioning = false, file_row_number = true)"
    gone = f"(SELECT * FROM shared._going WHERE {own})"
    return f"{rows} UNION ALL SELECT {listed}, file_row_number AS _n FROM {last} r ANTI JOIN {gone} k ON {same}"
