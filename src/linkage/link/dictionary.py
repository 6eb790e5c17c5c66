"""The store's own description: every column of every table, so that an analyst needs no other document to start."""

from __future__ import annotations

from collections.abc import Iterable

import duckdb

from linkage.link.engine import run, text
from linkage.link.tables import FeedTable

__all__ = ["make_dictionary"]

_TOKEN = ("person", "the person's token; the same person has the same token in every table of this store")

# Role and description of the columns that the hub itself makes.
OWN: dict[str, dict[str, tuple[str, str]]] = {
    "person": {
        "token": _TOKEN,
        "sources": ("category", "feeds that know the person, sorted"),
        "birth_year": ("birth_date", "year of birth"),
        "birth_month": ("birth_date", "month of birth, 1 to 12"),
        "death_month": ("death_date", "first day of the month of death; null when not known to have died"),
        "sex": ("category", "male, female or indeterminate; null when not known or not stated"),
        "ethnicity": ("category", "ethnic category as the source codes it; Z and 99 only when no source says more"),
        "practice": ("practice", "ODS code of the general practice, as the most trusted source has it"),
        "lsoa_2011": ("postcode", "lower layer super output area (2011) of the home"),
        "lsoa_2021": ("postcode", "lower layer super output area (2021) of the home"),
        "imd_decile": ("postcode", "deprivation decile of the home, 1 the most deprived"),
        "postcode_district": ("postcode", "postcode district of the home"),
        "first_seen": ("date", "date of the first event"),
        "last_seen": ("date", "date of the last event before the newest delivery"),
    },
    "registration": {
        "token": _TOKEN,
        "practice": ("practice", "ODS code of the general practice"),
        "from": ("date", "first day of the registration"),
        "to": ("date", "last day of the registration; null when open"),
    },
    "event": {
        "token": _TOKEN,
        "feed": ("category", "the feed that the event comes from"),
        "kind": ("category", "what kind of event, for example spell or observation"),
        "start": ("date", "when it began; midnight when the source gives no time"),
        "end": ("date", "when it ended; midnight when the source gives no time"),
        "provider": ("organisation", "ODS code of the provider"),
        "commissioner": ("organisation", "ODS code of the commissioner"),
        "age": ("number", "the person's age at the start, years"),
        "value": ("number", "the measured or prescribed value"),
        "unit": ("category", "the value's unit"),
        "cost": ("number", "cost, pounds"),
        "record": ("record", "the record's token; joins to the feed's own table and to event_code"),
    },
    "event_code": {
        "token": _TOKEN,
        "feed": ("category", "the feed that the code comes from"),
        "month": ("date", "first day of the month of the event's start; null when the event is not there"),
        "record": ("record", "the record token of the event"),
        "position": ("number", "the code's place in the record, 1 the first"),
        "meaning": (
            "category",
            "what the code says, for example diagnosis or procedure; null when the contract does not say",
        ),
        "system": ("category", "code system, for example snomed or icd10"),
        "code": ("code", "the code"),
    },
    "load": {
        "feed": ("category", "the feed"),
        "table": ("category", "the feed's table"),
        "read": (
            "number",
            "rows in the extracts, rounded to 5; null when 1 to 7, or where it would tell such a number",
        ),
        "kept": ("number", "rows in this store, rounded to 5; null when 1 to 7"),
        "suppressed": ("flag", "true where a count is withheld"),
    },
    "removed": {
        "feed": ("category", "the feed"),
        "table": ("category", "the feed's table"),
        "reason": ("category", "why the rows were removed"),
        "rows": ("number", "rows, rounded to 5; null when 1 to 7"),
        "suppressed": ("flag", "true where the count is withheld"),
    },
    "coverage": {
        "feed": ("category", "a feed"),
        "other": ("category", "another feed, or the same"),
        "persons": ("number", "persons whom both feeds know, rounded to 5; null when 1 to 7"),
        "suppressed": ("flag", "true where the count is withheld"),
    },
    "dictionary": {
        "table": ("category", "the table"),
        "column": ("category", "the column"),
        "type": ("category", "its type in DuckDB"),
        "role": ("category", "what kind of content it has"),
        "description": ("category", "what it means"),
    },
}


def make_dictionary(connection: duckdb.DuckDBPyConnection, tables: Iterable[FeedTable]) -> int:
    """Create `dictionary` (table, column, type, role, description), last, and return its rows.

    Columns of feed tables are described by the bundle's fields, which carry the contract's words.
    """
    step = "creating dictionary"
    known = dict(OWN)
    for table in tables:
        known[table.name] = {field.name: (field.role, field.description) for field in table.fields}
        known[table.name]["token"] = _TOKEN
    run(
        connection,
        'CREATE TABLE dictionary ("table" VARCHAR, "column" VARCHAR, type VARCHAR, role VARCHAR, description VARCHAR)',
        step,
    )
    found = run(
        connection,
        "SELECT table_name, column_name, data_type FROM duckdb_columns()"
        " WHERE database_name = current_database() AND schema_name = 'main' AND NOT internal"
        " ORDER BY table_name, column_index",
        step,
    )
    rows = [
        ", ".join(text(value) for value in (table_name, column, type, *known.get(table_name, {}).get(column, ("", ""))))
        for table_name, column, type in found
    ]
    # One statement: a thousand of them, one for each column, take as long as linking does.
    run(connection, f"INSERT INTO dictionary VALUES ({'), ('.join(rows)})", step)
    return len(found)
