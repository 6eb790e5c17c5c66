"""The person spine: one row for each token, the sources that know it, and the attributes they agree on.

Nobody is in it who is not in some table, and no row without a token makes a person.
"""

from __future__ import annotations

from collections.abc import Sequence

import duckdb

from linkage.anew import Anew
from linkage.link.attributes import ATTRIBUTES, EVERYBODY, Asked, choose, is_dated, person_columns, telling_columns
from linkage.link.carried_on import carry_on_seen, carry_on_sources
from linkage.link.doubted import Doubted
from linkage.link.engine import during, name, run, text
from linkage.link.events import by_feed, create, moment
from linkage.link.increment import Increment, Made, Source, changed_table, published, put_together, read, table_made
from linkage.link.settle import attributes_table
from linkage.link.tables import FeedTable
from linkage.link.touched import TOUCHED, Touched, newest_of, rows_of, side_of

__all__ = ["make_persons", "make_registrations"]

REGISTRATION = (("token", "UUID"), ("practice", "VARCHAR"), ("from", "DATE"), ("to", "DATE"))


def make_persons(
    connection: duckdb.DuckDBPyConnection,
    tables: Sequence[FeedTable],
    increment: Increment | None = None,
    touched: Touched | None = None,
    doubted: Doubted | None = None,
) -> Made:
    """Create `person` from the settled tables and `event`.

    Columns: token, sources (feeds that know the person, sorted), birth_year [birth_month], death_month, sex
    (male, female, indeterminate), ethnicity, practice, [lsoa_2011] lsoa_2021, imd_decile [postcode_district], first_seen and
    last_seen (dates of event starts, none after the feed's newest delivery). Sorted by token.

    Args:
        connection: With the settled tables, and the rows of those that only their order of delivery dates.
        tables: All settled tables.
        increment: What is known of the last run, or None.
        touched: From `touched.find_touched`: all others are as they were. None makes everybody.
        doubted: From `doubted.find_doubted`, with `touched`.

    Raises:
        IntegrityError: A settled table, or `event`, is missing.
        TemporaryError: Memory or disk ran out.
    """
    columns = person_columns(tables)
    if increment is None or touched is None or doubted is None:
        persons = _everybody(connection, tables, columns)
        run(connection, f"CREATE TABLE person AS SELECT * FROM ({persons}) ORDER BY token", "creating person")
        made = table_made(connection, "person")
    elif not _rows(connection, TOUCHED):
        return put_together(connection, "person", columns, None, increment.files["person"])
    else:
        persons = _touched(connection, tables, columns, touched, doubted)
        others = read(increment.files["person"], columns)
        persons += f" UNION ALL SELECT * FROM ({others}) ANTI JOIN {TOUCHED} USING (token)"
        made = _write(connection, "person", columns, persons, "token", increment)
    chosen = [f"_{kind}_{attribute.name}" for attribute in ATTRIBUTES for kind in ("person", "doubted")]
    chosen += [of(table) for table in tables for of in (_asked, lambda each: attributes_table(each.name))]
    for each in ["_sources", "_seen", "_known", "_new", *chosen]:
        run(connection, f"DROP TABLE IF EXISTS temp.{name(each)}", "creating person")
    return made


def _write(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    columns: Sequence[tuple[str, str]],
    rows: str,
    order: str,
    increment: Increment,
) -> Made:
    """Write a table that is one file."""
    with during(f"creating {table}"):
        anew = Anew(table, [column for column, _ in columns], None, {None: 0}, lambda _: rows, order)
        return put_together(connection, table, columns, None, (), increment.write(anew))


def _everybody(
    connection: duckdb.DuckDBPyConnection, tables: Sequence[FeedTable], columns: Sequence[tuple[str, str]]
) -> str:
    """A query for all persons, from all rows."""
    _sources(connection, tables)
    run(connection, f"CREATE OR REPLACE TEMP TABLE _seen AS {_seen(tables)}", "finding first and last events")
    chosen = ["_seen", *(choose(connection, attribute, tables) for attribute in ATTRIBUTES)]
    joins = " ".join(f"LEFT JOIN temp.{each} USING (token)" for each in chosen)
    return f"SELECT {', '.join(name(column) for column, _ in columns)} FROM temp._sources {joins}"


def _touched(
    connection: duckdb.DuckDBPyConnection,
    tables: Sequence[FeedTable],
    columns: Sequence[tuple[str, str]],
    touched: Touched,
    doubted: Doubted,
) -> str:
    """A query for the touched persons: as they were, with what came and went, and what is in doubt chosen anew."""
    carry_on_sources(connection, tables, touched)
    carry_on_seen(connection, tables, touched, _seen(tables, "temp._unsure"))
    _read_once(connection, tables, doubted)
    came = side_of("after", touched.new)
    new = Asked(came, lambda table: came(table, None))
    values, joins = (
        {},
        [f"LEFT JOIN {touched.known} k ON k.token = s.token", "LEFT JOIN temp._seen e ON e.token = s.token"],
    )
    for attribute in ATTRIBUTES:
        of, alias = doubted.attributes.get(attribute.name), name(f"chosen {attribute.name}")
        asked = [new, *([_about(of)] if of else [])]
        joins.append(
            f"LEFT JOIN temp.{choose(connection, attribute, tables, asked)} {alias} ON {alias}.token = s.token"
        )
        again = f"k.token IS NULL OR s.token IN (FROM {of})" if of else "k.token IS NULL"
        for column, _ in attribute.columns:
            values[column] = f"CASE WHEN {again} THEN {alias}.{name(column)} ELSE k.{name(column)} END"
    values |= {"token": "s.token", "sources": "s.sources", "first_seen": "e.first_seen", "last_seen": "e.last_seen"}
    listed = ", ".join(f"{values[column]} AS {name(column)}" for column, _ in columns)
    return f"SELECT {listed} FROM temp._sources s {' '.join(joins)}"


def _read_once(connection: duckdb.DuckDBPyConnection, tables: Sequence[FeedTable], doubted: Doubted) -> None:
    """Make a temporary table of what each table says of those about whom it is asked for any attribute."""
    for table in tables:
        asked = doubted.about(table)
        if asked and is_dated(table):
            columns = ", ".join(name(column) for column in telling_columns(table))
            rows = f"SELECT {columns} FROM {name(table.name)} SEMI JOIN {asked} USING (token)"
            step = f"asking {table.name} about persons that changed"
            run(connection, f"CREATE OR REPLACE TEMP TABLE {name(_asked(table))} AS {rows}", step)


def _asked(table: FeedTable) -> str:
    return f"_asked_{table.name}"


def _about(tokens: str) -> Asked:
    """All rows of some persons."""

    def about(rows: str) -> str:
        return f"(SELECT * FROM {rows} SEMI JOIN {tokens} USING (token))"

    return Asked(lambda table, _: about(f"temp.{name(_asked(table))}"), lambda table: about(EVERYBODY.delivered(table)))


def make_registrations(
    connection: duckdb.DuckDBPyConnection, tables: Sequence[FeedTable], increment: Increment | None = None
) -> Made:
    """Create `registration` (token, practice, from, to), or keep the file of it where no registration came or went.

    Distinct rows of all tables that know registrations, without those that lack the token or the practice, sorted
    by token, from. A registration with no `to` was open at delivery.
    """
    telling = [table for table in tables if table.table.registration]
    follows = increment is not None and increment.follows(None, tables, telling)
    if increment is not None and follows and not any(_rows(connection, changed_table(table.name)) for table in telling):
        return put_together(connection, "registration", REGISTRATION, None, increment.files["registration"])
    order = 'token, "from" NULLS FIRST, practice, "to" NULLS FIRST'
    if increment is not None and follows:
        tokens = " UNION ".join(f"SELECT token FROM {changed_table(table.name)}" for table in telling)
        run(connection, f"CREATE OR REPLACE TEMP TABLE _moved AS {tokens}", "finding registrations that changed")
        increment.check(increment.files["registration"])
        others = read(increment.files["registration"], REGISTRATION)
        rows = f"{_registrations(telling, rows_of('temp._moved'))} UNION ALL"
        rows += f" SELECT * FROM ({others}) ANTI JOIN temp._moved USING (token)"
        return _write(connection, "registration", REGISTRATION, rows, order, increment)
    create(connection, "registration", REGISTRATION)
    if telling:
        rows = _registrations(telling, published)
        run(connection, f"INSERT INTO registration {rows} ORDER BY {order}", "adding registrations")
    return table_made(connection, "registration")


def _registrations(telling: Sequence[FeedTable], source: Source) -> str:
    """A query for the distinct registrations in rows of the tables."""
    parts = []
    for table in telling:
        told = table.table.registration
        if told:
            start, end = moment(table, told.start), moment(table, told.end)
            parts.append(
                f'SELECT token, {table.sql(told.practice, "VARCHAR")} AS practice, CAST({start} AS DATE) AS "from",'
                f' CAST({end} AS DATE) AS "to" FROM {source(table, None)} WHERE token IS NOT NULL'
            )
    return f"SELECT DISTINCT * FROM ({' UNION ALL '.join(parts)}) WHERE practice IS NOT NULL"


def _rows(connection: duckdb.DuckDBPyConnection, table: str) -> bool:
    return bool(run(connection, f"SELECT 1 FROM {table} LIMIT 1", "looking for what changed"))


def _sources(connection: duckdb.DuckDBPyConnection, tables: Sequence[FeedTable]) -> None:
    known = " UNION ALL ".join(
        f"SELECT DISTINCT token, {text(table.feed.name)} AS feed FROM {name(table.name)} WHERE token IS NOT NULL"
        for table in tables
    )
    rows = f"SELECT token, list_sort(list(DISTINCT feed)) AS sources FROM ({known}) GROUP BY token"
    if not known:
        rows = "SELECT CAST(NULL AS UUID) AS token, CAST(NULL AS VARCHAR[]) AS sources WHERE FALSE"
    run(connection, f"CREATE OR REPLACE TEMP TABLE _sources AS {rows}", "finding persons")


def _seen(tables: Sequence[FeedTable], tokens: str | None = None) -> str:
    """A query for the first and last event of each token. A start after the feed's newest delivery is booked or mistaken."""
    newest = [(feed, newest_of(members)) for feed, members in by_feed(tables)]
    when = " ".join(f"WHEN {text(feed)} THEN {stamp}" for feed, stamp in newest if stamp)
    limit = f"CASE feed {when} END" if when else "CAST(NULL AS TIMESTAMP)"
    return (
        "SELECT token, CAST(min(start) AS DATE) AS first_seen, CAST(max(start) AS DATE) AS last_seen"
        f" FROM event {f'SEMI JOIN {tokens} USING (token)' if tokens else ''}"
        f" WHERE token IS NOT NULL AND start <= {limit} GROUP BY token"
    )
