"""The person spine: one row for each token, the sources that know it, and the attributes they agree on.

Nobody is in it who is not in some table, and no row without a token makes a person.
"""

from __future__ import annotations

from collections.abc import Sequence

import duckdb

from linkage.link.attributes import ATTRIBUTES, choose, present
from linkage.link.engine import name, run, text
from linkage.link.events import moment
from linkage.link.settle import attributes_table
from linkage.link.tables import FeedTable

__all__ = ["make_persons", "make_registrations"]

# Always there, so that a query written for one ICS runs for another; the others only where a policy keeps them.
_ALWAYS = frozenset({"birth_year", "death_month", "sex", "ethnicity", "practice", "lsoa_2021", "imd_decile"})


def make_persons(connection: duckdb.DuckDBPyConnection, tables: Sequence[FeedTable]) -> int:
    """Create `person` from the settled tables and `event`, and return its rows.

    Columns: token, sources (feeds that know the person, sorted), birth_year [birth_month], death_month, sex
    (male, female, indeterminate), ethnicity, practice, [lsoa_2011] lsoa_2021, imd_decile [postcode_district], first_seen and
    last_seen (dates of event starts, none after the feed's newest delivery). Sorted by token.

    Raises:
        IntegrityError: A settled table, or `event`, is missing.
        TemporaryError: Memory or disk ran out.
    """
    _sources(connection, tables)
    _seen(connection, tables)
    joins, columns = ["LEFT JOIN temp._seen USING (token)"], []
    for attribute in ATTRIBUTES:
        chosen = choose(connection, attribute, tables)
        joins.append(f"LEFT JOIN temp.{chosen} USING (token)")
        had = present(attribute, tables)
        columns += [f"{name(column)}" for column, _ in attribute.columns if column in had or column in _ALWAYS]
    run(
        connection,
        f"CREATE TABLE person AS SELECT token, sources, {', '.join(columns)}, first_seen, last_seen"
        f" FROM temp._sources {' '.join(joins)} ORDER BY token",
        "creating person",
    )
    made = ["_sources", "_seen", *(f"_person_{attribute.name}" for attribute in ATTRIBUTES)]
    for each in [*made, *(attributes_table(table.name) for table in tables)]:
        run(connection, f"DROP TABLE IF EXISTS temp.{name(each)}", "creating person")
    return int(run(connection, "SELECT count(*) FROM person", "counting person")[0][0])


def make_registrations(connection: duckdb.DuckDBPyConnection, tables: Sequence[FeedTable]) -> int:
    """Create `registration` (token, practice, from, to) and return its rows.

    Distinct rows of all tables that know registrations, without those that lack the token or the practice, sorted
    by token, from. A registration with no `to` was open at delivery.
    """
    run(
        connection,
        'CREATE TABLE registration (token UUID, practice VARCHAR, "from" DATE, "to" DATE)',
        "creating registration",
    )
    parts = []
    for table in tables:
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
    return int(run(connection, "SELECT count(*) FROM registration", "counting registration")[0][0])


def _sources(connection: duckdb.DuckDBPyConnection, tables: Sequence[FeedTable]) -> None:
    known = " UNION ALL ".join(
        f"SELECT DISTINCT token, {text(table.feed.name)} AS feed FROM {name(table.name)} WHERE token IS NOT NULL"
        for table in tables
    )
    rows = f"SELECT token, list_sort(list(DISTINCT feed)) AS sources FROM ({known}) GROUP BY token"
    if not known:
        rows = "SELECT CAST(NULL AS UUID) AS token, CAST(NULL AS VARCHAR[]) AS sources WHERE FALSE"
    run(connection, f"CREATE OR REPLACE TEMP TABLE _sources AS {rows}", "finding persons")


def _seen(connection: duckdb.DuckDBPyConnection, tables: Sequence[FeedTable]) -> None:
    """First and last event of each token. A start after the feed's newest delivery is booked or mistaken."""
    newest: dict[str, str] = {}
    for table in tables:
        if table.table.event and table.delivered:
            stamp = f"{table.delivered:%Y-%m-%d %H:%M:%S}"
            newest[table.feed.name] = max(newest.get(table.feed.name, stamp), stamp)
    when = " ".join(f"WHEN {text(feed)} THEN TIMESTAMP {text(stamp)}" for feed, stamp in sorted(newest.items()))
    limit = f"CASE feed {when} END" if when else "CAST(NULL AS TIMESTAMP)"
    run(
        connection,
        "CREATE OR REPLACE TEMP TABLE _seen AS SELECT token, CAST(min(start) AS DATE) AS first_seen,"
        f" CAST(max(start) AS DATE) AS last_seen FROM event WHERE token IS NOT NULL AND start <= {limit} GROUP BY token",
        "finding first and last events",
    )
