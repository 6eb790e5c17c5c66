"""The person spine: one row a token, the feeds that know the person, and the attributes that the best of them gives."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import duckdb

from linkage.bundle import TableParts
from linkage.contract import Feed, Role, Table
from linkage.link.engine import name as quoted
from linkage.link.engine import text

Connection = duckdb.DuckDBPyConnection

# Published column and type, by what a contract's column tells about the person.
_ATTRIBUTES = {
    "birth_year": "SMALLINT",
    "birth_month": "TINYINT",
    "death_month": "DATE",
    "sex": "VARCHAR",
    "ethnicity": "VARCHAR",
    "practice": "VARCHAR",
    "lsoa_2021": "VARCHAR",
    "imd_decile": "TINYINT",
    "postcode_district": "VARCHAR",
}
# Sources write sex as letters or as the data dictionary's digits; what is neither stays unknown.
_SEX = {"M": "male", "1": "male", "F": "female", "2": "female", "I": "indeterminate", "9": "indeterminate"}


def make_persons(connection: Connection, feeds: Mapping[str, Feed], tables: Iterable[TableParts]) -> None:
    """Make `person` and `registration`, sorted by token.

    Where sources differ: PDS, then the GP record, then whoever saw the person last.

    Args:
        connection: With the settled tables.
        feeds: The contracts by name.
        tables: What was settled.
    """
    settled = list(tables)
    known = [sql for parts in settled for sql in _knowledge(parts, feeds[parts.feed])]
    present = [name for name in _ATTRIBUTES if any(name in each for _, each in known)]
    columns = ", ".join(f"{name} {_ATTRIBUTES[name]}" for name in present)
    connection.execute(f"CREATE TEMP TABLE known (token UUID, feed VARCHAR, rank TINYINT, seen DATE, first_seen DATE{', ' + columns if columns else ''})")
    for sql, given in known:
        values = ", ".join(["token", "feed", "rank", "seen", "first_seen", *(name for name in present if name in given)])
        connection.execute(f"INSERT INTO known ({values}) {sql}")
    best = "".join(f", arg_max({name}, (-rank, coalesce(seen, DATE '0001-01-01'), feed)) AS {name}" for name in present)
    connection.execute(
        f"CREATE TABLE person AS SELECT token, list_sort(list(DISTINCT feed)) AS sources{best},"
        " min(first_seen) AS first_seen, max(seen) AS last_seen FROM known GROUP BY token ORDER BY token"
    )
    connection.execute("DROP TABLE known")
    _registrations(connection, feeds, settled)


def _knowledge(parts: TableParts, feed: Feed) -> Iterator[tuple[str, dict[str, str]]]:
    """SQL that reduces a table to one row a person, and the attributes it gives."""
    table = feed.tables[parts.table]
    given = _given(parts, table)
    rank = 0 if feed.name == "pds" else 1 if feed.setting == "primary_care" else 2
    start = table.event.start if table.event else table.registration.start if table.registration else None
    seen = f"CAST({quoted(start)} AS DATE)" if start else "CAST(NULL AS DATE)"
    order = f"coalesce({seen}, DATE '0001-01-01')"
    values = "".join(f", arg_max({sql}, {order}) AS {name}" for name, sql in given.items())
    yield (
        f"SELECT token, {text(parts.feed)} AS feed, {rank} AS rank, max({seen}) AS seen, min({seen}) AS first_seen{values}"
        f" FROM {quoted(parts.name)} WHERE token IS NOT NULL GROUP BY token",
        given,
    )


def _given(parts: TableParts, table: Table) -> dict[str, str]:
    fields = {field.name for field in parts.fields}
    given = {}
    for name, column in table.columns.items():
        if column.attribute is None:
            continue
        if column.role is Role.BIRTH_DATE:
            stem = name.removesuffix("_date")
            wanted = {"birth_year": f"{stem}_year", "birth_month": f"{stem}_month"}
        elif column.role is Role.DEATH_DATE:
            wanted = {"death_month": f"{name.removesuffix('_date')}_month"}
        elif column.role is Role.POSTCODE:
            prefix = "" if name == "postcode" else f"{name.removesuffix('_postcode')}_"
            wanted = {area: prefix + area for area in ("lsoa_2021", "imd_decile", "postcode_district")}
        else:
            wanted = {column.attribute: name}
        given |= {target: quoted(source) for target, source in wanted.items() if source in fields}
    if "sex" in given:
        cases = " ".join(f"WHEN {text(code)} THEN {text(word)}" for code, word in _SEX.items())
        given["sex"] = f"(CASE {given['sex']} {cases} END)"
    return given


def _registrations(connection: Connection, feeds: Mapping[str, Feed], settled: list[TableParts]) -> None:
    selects = []
    for parts in settled:
        places = feeds[parts.feed].tables[parts.table].registration
        if places:
            end = quoted(places.end) if places.end else "CAST(NULL AS DATE)"
            selects.append(
                f'SELECT DISTINCT token, {quoted(places.practice)} AS practice, {quoted(places.start)} AS "from", {end} AS "to"'
                f" FROM {quoted(parts.name)} WHERE token IS NOT NULL"
            )
    none = 'SELECT CAST(NULL AS UUID) AS token, CAST(NULL AS VARCHAR) AS practice, CAST(NULL AS DATE) AS "from", CAST(NULL AS DATE) AS "to" WHERE false'
    union = " UNION ".join(selects or [none])
    connection.execute(f'CREATE TABLE registration AS SELECT * FROM ({union}) ORDER BY token, "from", practice, "to"')
