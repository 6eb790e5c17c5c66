"""The person spine: one row for each token, the sources that know it, and the attributes they agree on.

Nobody is in it who is not in some table, and no row without a token makes a person.
"""

from __future__ import annotations

from collections.abc import Sequence

import duckdb

from linkage.link.attributes import ATTRIBUTES, choose, present
from linkage.link.engine import name, run, text
from linkage.link.events import by_feed, create, moment
from linkage.link.increment import Increment, Made, Source, changed_table, published, put_together, read, table_made
from linkage.link.settle import attributes_table
from linkage.link.tables import FeedTable
from linkage.link.touched import newest_of, rows_of

__all__ = ["make_persons", "make_registrations"]

# Always there, so that a query written for one ICS runs for another; the others only where a policy keeps them.
_ALWAYS = frozenset({"birth_year", "death_month", "sex", "ethnicity", "practice", "lsoa_2021", "imd_decile"})

REGISTRATION = (("token", "UUID"), ("practice", "VARCHAR"), ("from", "DATE"), ("to", "DATE"))


def make_persons(
    connection: duckdb.DuckDBPyConnection,
    tables: Sequence[FeedTable],
    increment: Increment | None = None,
    touched: str | None = None,
) -> Made:
    """Create `person` from the settled tables and `event`.

    Columns: token, sources (feeds that know the person, sorted), birth_year [birth_month], death_month, sex
    (male, female, indeterminate), ethnicity, practice, [lsoa_2011] lsoa_2021, imd_decile [postcode_district], first_seen and
    last_seen (dates of event starts, none after the feed's newest delivery). Sorted by token.

    Args:
        connection: With the settled tables, and the rows of those that only their order of delivery dates.
        tables: All settled tables.
        increment: What is known of the last run, or None.
        touched: The table of `touched.find_touched`: all others are as they were. None makes everybody.

    Raises:
        IntegrityError: A settled table, or `event`, is missing.
        TemporaryError: Memory or disk ran out.
    """
    columns = _columns(tables)
    if increment is not None and touched and not _rows(connection, touched):
        return put_together(connection, "person", columns, None, increment.files["person"])
    source = rows_of(touched) if touched else published
    _sources(connection, tables, source)
    _seen(connection, tables, touched)
    chosen = ["_seen", *(choose(connection, attribute, tables, source) for attribute in ATTRIBUTES)]
    joins = " ".join(f"LEFT JOIN temp.{each} USING (token)" for each in chosen)
    persons = f"SELECT {', '.join(name(column) for column, _ in columns)} FROM temp._sources {joins}"
    if increment is not None and touched:
        increment.check(increment.files["person"])
        others = read(increment.files["person"], columns)
        persons += f" UNION ALL SELECT * FROM ({others}) ANTI JOIN {touched} USING (token)"
    run(connection, f"CREATE TABLE person AS SELECT * FROM ({persons}) ORDER BY token", "creating person")
    for each in ["_sources", *chosen, *(attributes_table(table.name) for table in tables)]:
        run(connection, f"DROP TABLE IF EXISTS temp.{name(each)}", "creating person")
    return table_made(connection, "person")


def make_registrations(
    connection: duckdb.DuckDBPyConnection, tables: Sequence[FeedTable], increment: Increment | None = None
) -> Made:
    """Create `registration` (token, practice, from, to), or keep the file of it where no registration came or went.

    Distinct rows of all tables that know registrations, without those that lack the token or the practice, sorted
    by token, from. A registration with no `to` was open at delivery.
    """
    telling = [table for table in tables if table.table.registration]
    if (
        increment is not None
        and increment.follows(None, tables, telling)
        and not any(_rows(connection, changed_table(table.name)) for table in telling)
    ):
        return put_together(connection, "registration", REGISTRATION, None, increment.files["registration"])
    create(connection, "registration", REGISTRATION)
    parts = []
    for table in telling:
        told = table.table.registration
        if told:
            start, end = moment(table, told.start), moment(table, told.end)
            parts.append(
                f'SELECT token, {table.sql(told.practice, "VARCHAR")} AS practice, CAST({start} AS DATE) AS "from",'
                f' CAST({end} AS DATE) AS "to" FROM {name(table.name)} WHERE token IS NOT NULL'
            )
    if parts:
        rows = f"SELECT DISTINCT * FROM ({' UNION ALL '.join(parts)}) WHERE practice IS NOT NULL"
        order = 'token, "from" NULLS FIRST, practice, "to" NULLS FIRST'
        run(connection, f"INSERT INTO registration {rows} ORDER BY {order}", "adding registrations")
    return table_made(connection, "registration")


def _columns(tables: Sequence[FeedTable]) -> list[tuple[str, str]]:
    told = [
        (column, type)
        for attribute in ATTRIBUTES
        for column, type in attribute.columns
        if column in _ALWAYS or column in present(attribute, tables)
    ]
    return [("token", "UUID"), ("sources", "VARCHAR[]"), *told, ("first_seen", "DATE"), ("last_seen", "DATE")]


def _rows(connection: duckdb.DuckDBPyConnection, table: str) -> bool:
    return bool(run(connection, f"SELECT 1 FROM {table} LIMIT 1", "looking for what changed"))


def _sources(connection: duckdb.DuckDBPyConnection, tables: Sequence[FeedTable], source: Source) -> None:
    known = " UNION ALL ".join(
        f"SELECT DISTINCT token, {text(table.feed.name)} AS feed FROM {source(table, None)} WHERE token IS NOT NULL"
        for table in tables
    )
    rows = f"SELECT token, list_sort(list(DISTINCT feed)) AS sources FROM ({known}) GROUP BY token"
    if not known:
        rows = "SELECT CAST(NULL AS UUID) AS token, CAST(NULL AS VARCHAR[]) AS sources WHERE FALSE"
    run(connection, f"CREATE OR REPLACE TEMP TABLE _sources AS {rows}", "finding persons")


def _seen(connection: duckdb.DuckDBPyConnection, tables: Sequence[FeedTable], touched: str | None) -> None:
    """First and last event of each token. A start after the feed's newest delivery is booked or mistaken."""
    newest = [(feed, newest_of(members)) for feed, members in by_feed(tables)]
    when = " ".join(f"WHEN {text(feed)} THEN {stamp}" for feed, stamp in newest if stamp)
    limit = f"CASE feed {when} END" if when else "CAST(NULL AS TIMESTAMP)"
    run(
        connection,
        "CREATE OR REPLACE TEMP TABLE _seen AS SELECT token, CAST(min(start) AS DATE) AS first_seen,"
        f" CAST(max(start) AS DATE) AS last_seen FROM event {f'SEMI JOIN {touched} USING (token)' if touched else ''}"
        f" WHERE token IS NOT NULL AND start <= {limit} GROUP BY token",
        "finding first and last events",
    )
