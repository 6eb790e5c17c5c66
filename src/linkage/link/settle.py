"""Which delivery of a record counts: the latest one, and none when the latest one deletes it.

Extracts overlap and are sent again. For every primary key the latest row that stands wins; the others are counted as
`duplicate` (the same in every kept column), `superseded`, or `deleted` when the latest one is a deletion. Rows that do
not stand, since their record was deleted or their submission replaced (`standing`), never win.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from linkage import contract
from linkage.bundle import TableParts
from linkage.errors import IntegrityError
from linkage.link import tables
from linkage.link.engine import name, run
from linkage.link.increment import Made, table_made
from linkage.link.standing import Fall
from linkage.reasons import Reason

__all__ = [
    "Settled",
    "attributes_table",
    "check",
    "judge",
    "needs_delivery_order",
    "order_of",
    "settle",
]

LATEST = "_delivered DESC NULLS LAST, _file DESC, _row DESC"


@dataclass(frozen=True)
class Settled:
    """The account of one settled table.

    Attributes:
        name: The published table, `<feed>_<table>`.
        month: Its date column whose month decides the partition, or None.
        kept: Rows in it.
        removed: Rows taken out, by reason of `reasons.HUB`; reasons without rows are left out.
        made: Its rows, and the files of the last snapshot that stay.
        why: Why it was settled from everything although there was a last run; None where it was not, or there was none.
    """

    name: str
    month: str | None
    kept: int
    removed: Mapping[Reason, int]
    made: Made
    why: str | None = None


def settle(
    connection: duckdb.DuckDBPyConnection,
    folder: Path,
    parts: TableParts,
    table: contract.Table,
    falls: Sequence[Fall] = (),
) -> Settled:
    """Create the published table of one feed table from its parts.

    The table has `token` first and then the kept columns, and is sorted by the month of the contract's month
    column (rows without a date first), then token, then primary key. Rows whose key has a null part cannot be
    told to be the same record, so they all stay, but for deletions, which say nothing and delete nothing.

    Args:
        connection: From `engine.connect`; the same one for all steps, since steps share temporary tables.
        folder: The bundle.
        parts: The table in the bundle; `check_tokens` has passed.
        table: Its contract.
        falls: Why rows of it no longer stand, from `find_falls`.

    Raises:
        IntegrityError: A column cannot be read as its type, or kept and removed rows do not add up to the parts'.
        TemporaryError: Memory or disk ran out.
    """
    step = f"settling {parts.name}"
    month, keys = tables.month_column(parts, table), tables.key_columns(parts, table)
    chosen, removed = judge(connection, tables.rows(folder, parts), parts, table, falls)
    _create(connection, chosen, parts, keys, month, step)
    if needs_delivery_order(table, month):
        _keep_attributes(connection, chosen, parts, step)
    run(connection, "DROP TABLE IF EXISTS temp._winners", step)
    made = table_made(connection, name(parts.name))
    check(parts, made.rows, removed)
    return Settled(parts.name, month, made.rows, dict(sorted(removed.items())), made)


def judge(
    connection: duckdb.DuckDBPyConnection,
    rows: str,
    parts: TableParts,
    table: contract.Table,
    falls: Sequence[Fall],
) -> tuple[str, Counter[Reason]]:
    """Find which rows count.

    Args:
        connection: As in `settle`.
        rows: A query for all rows of some records of the table, as `tables.rows` gives them.
        parts: The table in the bundle.
        table: Its contract.
        falls: Why rows no longer stand.

    Returns:
        A query for the rows that are published, which is good until this is called again, and the others by reason.
    """
    step, keys = f"settling {parts.name}", tables.key_columns(parts, table)
    source = _standing(rows, falls)
    winners = _winners(connection, source, keys, _order(parts, table), step)
    removed = _removed(connection, source, parts, keys, step) if winners else Counter[Reason]()
    removed += _lost_deletions(connection, source, keys, step)
    removed += _fallen(connection, source, keys, step) if falls else Counter[Reason]()
    return _chosen(source, keys, winners), removed


def attributes_table(published: str) -> str:
    """The temporary table that keeps the delivery order of a person table, for choosing among its rows."""
    return f"_attributes_{published}"


def _standing(rows: str, falls: Sequence[Fall]) -> str:
    """The rows, with `_gone`: the reason for which a row no longer stands, or null."""
    if not falls:
        return f"(SELECT *, CAST(NULL AS VARCHAR) AS _gone FROM {rows})"
    reasons = " ".join(f"WHEN {fall.condition} THEN '{fall.reason}'" for fall in falls)
    return f"(SELECT r.*, CASE {reasons} END AS _gone FROM {rows} r {' '.join(fall.join for fall in falls)})"


def _order(parts: TableParts, table: contract.Table) -> str:
    """Which row of a record is the latest: what the contract says, then the order of delivery."""
    told = table.submission.latest if table.submission else None
    field = tables.field_of(parts, table, told) if told else None
    return f"{name(field.name)} DESC NULLS LAST, {LATEST}" if field else LATEST


def _winners(connection: duckdb.DuckDBPyConnection, source: str, keys: tuple[str, ...], order: str, step: str) -> bool:
    """Find the latest row of every key that has several rows or a deletion; False when there is no such key.

    Most keys have one row, and those need no window: only narrow columns of contested keys are ever sorted here.
    """
    listed = ", ".join(name(key) for key in keys)
    whole = " AND ".join(f"{name(key)} IS NOT NULL" for key in keys)
    run(
        connection,
        f"CREATE OR REPLACE TEMP TABLE _contested AS SELECT {listed} FROM {source} WHERE {whole}"
        f" GROUP BY {listed} HAVING count(*) > 1 OR bool_or(_deleted)",
        step,
    )
    run(
        connection,
        f"CREATE OR REPLACE TEMP TABLE _winners AS SELECT {listed}, _file, _row, _deleted, TRUE AS _contested"
        f" FROM {source} SEMI JOIN _contested USING ({listed}) WHERE _gone IS NULL"
        f" QUALIFY row_number() OVER (PARTITION BY {listed} ORDER BY {order}) = 1",
        step,
    )
    run(connection, "DROP TABLE temp._contested", step)
    return bool(run(connection, "SELECT count(*) > 0 FROM _winners", step)[0][0])


def _chosen(source: str, keys: tuple[str, ...], contested: bool) -> str:
    if not contested:
        return f"(SELECT * FROM {source} WHERE NOT _deleted AND _gone IS NULL)"
    same = " AND ".join(f"r.{name(key)} = w.{name(key)}" for key in keys)
    return (
        f"(SELECT r.* FROM {source} r LEFT JOIN _winners w ON {same}"
        " WHERE NOT r._deleted AND r._gone IS NULL AND (w._contested IS NULL OR (w._file = r._file AND w._row = r._row)))"
    )


def _create(
    connection: duckdb.DuckDBPyConnection,
    chosen: str,
    parts: TableParts,
    keys: tuple[str, ...],
    month: str | None,
    step: str,
) -> None:
    fields = tables.kept_fields(parts)
    columns = ", ".join(["token", *(name(field.name) for field in fields)])
    typed = ", ".join(["token UUID", *(f"{name(field.name)} {field.type}" for field in fields)])
    run(connection, f"CREATE TABLE {name(parts.name)} ({typed})", step)
    # The file and row come last, so that even rows without a key have one order.
    ordered = order_of(keys, month, "_file", "_row")
    run(connection, f"INSERT INTO {name(parts.name)} SELECT {columns} FROM {chosen} ORDER BY {ordered}", step)


def order_of(keys: Sequence[str], month: str | None, *last: str) -> str:
    """The order of a settled table: by month, token and key, then by what is given."""
    order = [f"date_trunc('month', {name(month)})"] if month else []
    order += [*map(name, ("token", *(key for key in keys if key != "token"))), *last]
    return ", ".join(f"{part} NULLS FIRST" for part in order)


def _broken(keys: Sequence[str]) -> str:
    """A condition that is true for a row whose key has a null part: it has no order but that of delivery."""
    return "(" + " OR ".join(f"{name(key)} IS NULL" for key in keys) + ")"


def needs_delivery_order(table: contract.Table, month: str | None) -> bool:
    """Whether only the order of delivery tells which of a person's rows of the table is the latest."""
    return month is None and table.event is None and any(column.attribute for column in table.columns.values())


def _keep_attributes(connection: duckdb.DuckDBPyConnection, chosen: str, parts: TableParts, step: str) -> None:
    run(
        connection,
        f"CREATE OR REPLACE TEMP TABLE {name(attributes_table(parts.name))} AS"
        f" SELECT * EXCLUDE (_deleted, _gone) FROM {chosen} WHERE token IS NOT NULL",
        step,
    )


def _removed(
    connection: duckdb.DuckDBPyConnection, source: str, parts: TableParts, keys: tuple[str, ...], step: str
) -> Counter[Reason]:
    """Count why rows of contested keys do not go on. A deletion that was itself replaced is `superseded`."""
    columns = ["token", *(field.name for field in tables.kept_fields(parts))]
    equal = " AND ".join(f"r.{name(column)} IS NOT DISTINCT FROM won.{name(column)}" for column in columns)
    same = " AND ".join(f"r.{name(key)} = won.{name(key)}" for key in keys)
    by_key = " AND ".join(f"x.{name(key)} = w.{name(key)}" for key in keys)
    counted = run(
        connection,
        f"SELECT CASE WHEN won._deleted THEN '{Reason.DELETED}'"
        f" WHEN NOT r._deleted AND {equal} THEN '{Reason.DUPLICATE}' ELSE '{Reason.SUPERSEDED}' END AS reason, count(*)"
        f" FROM {source} r JOIN (SELECT x.* FROM {source} x"
        f" JOIN _winners w ON {by_key} AND x._file = w._file AND x._row = w._row) won ON {same}"
        " WHERE won._deleted OR r._file <> won._file OR r._row <> won._row GROUP BY reason ORDER BY reason",
        step,
    )
    return Counter({Reason(reason): int(count) for reason, count in counted})


def _lost_deletions(
    connection: duckdb.DuckDBPyConnection, source: str, keys: tuple[str, ...], step: str
) -> Counter[Reason]:
    """Count deletions that do not say of which record."""
    lost = f"SELECT count(*) FROM {source} WHERE _deleted AND _gone IS NULL AND {_broken(keys)}"
    return Counter({Reason.DELETED: int(run(connection, lost, step)[0][0])})


def _fallen(connection: duckdb.DuckDBPyConnection, source: str, keys: tuple[str, ...], step: str) -> Counter[Reason]:
    """Count rows that no longer stand and whose record has no row that does; the others lost to that row."""
    listed = ", ".join(name(key) for key in keys)
    counted = run(
        connection,
        f"SELECT _gone, count(*) FROM {source} ANTI JOIN _winners USING ({listed}) WHERE _gone IS NOT NULL"
        " GROUP BY _gone ORDER BY _gone",
        step,
    )
    return Counter({Reason(reason): int(count) for reason, count in counted})


def check(parts: TableParts, kept: int, removed: Mapping[Reason, int]) -> None:
    """Refuse where rows were lost or made up.

    Raises:
        IntegrityError: Kept and removed rows are not those of the bundle.
    """
    delivered = sum(part.kept for part in parts.parts)
    if kept + sum(removed.values()) != delivered:
        raise IntegrityError(
            f"{parts.feed} {parts.table}: {delivered} rows came in the bundle, {kept} were kept and"
            f" {sum(removed.values())} removed",
            hint="nothing was published; make the bundle again, and report this if it stays",
        )
