"""Which source is believed about a person: PDS, then general practice, then whoever said so last.

Each attribute is settled on its own, and the columns of one attribute (birth year and month, area and deprivation)
always come from the same row: half of an address is never joined to half of another.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import duckdb

from linkage.link.engine import name, run, text
from linkage.link.events import moment
from linkage.link.increment import Source, published
from linkage.link.settle import attributes_table
from linkage.link.tables import FeedTable, minimised

__all__ = [
    "ATTRIBUTES",
    "EVERYBODY",
    "Asked",
    "Attribute",
    "candidates",
    "choose",
    "is_dated",
    "newest",
    "person_columns",
    "telling_columns",
    "telling_date",
    "tells",
]

# Always there, so that a query written for one ICS runs for another; the others only where a policy keeps them.
_ALWAYS = frozenset({"birth_year", "death_month", "sex", "ethnicity", "practice", "lsoa_2021", "imd_decile"})

# Person stated gender and the letters of GP systems. Not known and not specified are not a sex.
_SEX = (
    "CASE upper(trim({value})) WHEN 'M' THEN 'male' WHEN '1' THEN 'male' WHEN 'MALE' THEN 'male'"
    " WHEN 'F' THEN 'female' WHEN '2' THEN 'female' WHEN 'FEMALE' THEN 'female'"
    " WHEN 'I' THEN 'indeterminate' WHEN '9' THEN 'indeterminate' END"
)


@dataclass(frozen=True)
class Attribute:
    """Something that tables tell about a person.

    Attributes:
        name: The word contracts use in `attribute`.
        columns: The person table's columns with their types; a source is asked when it has the first that it knows.
        value: SQL that normalises a value, with `{value}` in it.
        unstated: Values that mean "asked, not known": believed only when no source says more.
    """

    name: str
    columns: tuple[tuple[str, str], ...]
    value: str = "{value}"
    unstated: tuple[str, ...] = ()


ATTRIBUTES = (
    Attribute("birth", (("birth_year", "SMALLINT"), ("birth_month", "TINYINT"))),
    Attribute("death", (("death_month", "DATE"),)),
    Attribute("sex", (("sex", "VARCHAR"),), value=_SEX),
    Attribute("ethnicity", (("ethnicity", "VARCHAR"),), unstated=("Z", "99")),
    Attribute("practice", (("practice", "VARCHAR"),)),
    Attribute(
        "home",
        (
            ("lsoa_2011", "VARCHAR"),
            ("lsoa_2021", "VARCHAR"),
            ("imd_decile", "TINYINT"),
            ("postcode_district", "VARCHAR"),
        ),
    ),
)


@dataclass(frozen=True)
class Asked:
    """Whose rows are asked.

    Attributes:
        rows: The rows of a settled table.
        delivered: Those of a table of which only the order of delivery tells what is the latest, with that order.
    """

    rows: Source
    delivered: Callable[[FeedTable], str]


EVERYBODY = Asked(published, lambda table: f"temp.{name(attributes_table(table.name))}")


def person_columns(tables: Sequence[FeedTable]) -> list[tuple[str, str]]:
    """The columns of `person` with their types."""
    told = [
        (column, type)
        for attribute in ATTRIBUTES
        for column, type in attribute.columns
        if column in _ALWAYS or any(column in _told(table, attribute) for table in tables)
    ]
    return [("token", "UUID"), ("sources", "VARCHAR[]"), *told, ("first_seen", "DATE"), ("last_seen", "DATE")]


def is_dated(table: FeedTable) -> bool:
    """Whether the rows of a table say themselves which is the latest; else only their order of delivery does."""
    return table.table.event is not None or table.field(table.table.month) is not None


def telling_columns(table: FeedTable) -> list[str]:
    """The published columns of a table by which it is asked about persons, the token first."""
    event, register = table.table.event, table.table.registration
    dates = [event.start, event.start_time] if event else [table.table.month, register.start if register else None]
    fields = [table.field(date) for date in dates]
    told = [column for attribute in ATTRIBUTES for column in _told(table, attribute).values()]
    return list(dict.fromkeys(["token", *told, *(field.name for field in fields if field)]))


def tells(table: FeedTable, attribute: Attribute) -> bool:
    """Whether a table tells an attribute of persons."""
    return bool(_told(table, attribute))


def telling_date(table: FeedTable) -> str | None:
    """The date on which a row that tells an attribute was true, as SQL; None where there is none, or nothing is told."""
    if not any(_told(table, attribute) for attribute in ATTRIBUTES):
        return None
    contract = table.table
    dated = contract.event.start if contract.event else contract.month
    if dated and (contract.event or table.field(dated)):
        return moment(table, dated)
    started = contract.registration.start if contract.registration else None
    return moment(table, started) if table.field(started) else None


def newest(table: FeedTable) -> str:
    """The newest delivery of a table as SQL: a date after it is a mistake, and is not believed."""
    return f"TIMESTAMP '{table.delivered:%Y-%m-%d %H:%M:%S}'" if table.delivered else "TIMESTAMP '1900-01-01'"


def choose(
    connection: duckdb.DuckDBPyConnection,
    attribute: Attribute,
    tables: Sequence[FeedTable],
    asked: Sequence[Asked] = (EVERYBODY,),
) -> str:
    """Create a temporary table with the believed value for each token, and return its name.

    It has `token` and the attribute's columns, one row for each token about which any source says something.
    """
    step = f"choosing the {attribute.name} of persons"
    result = f"_person_{attribute.name}"
    told = [candidates(table, attribute, each) for each in asked for table in tables if tells(table, attribute)]
    if not told:
        typed = ", ".join(f"{name(column)} {type}" for column, type in attribute.columns)
        run(connection, f"CREATE OR REPLACE TEMP TABLE {result} (token UUID, {typed})", step)
        return result
    values = ", ".join(f"best.{name(column)} AS {name(column)}" for column, _ in attribute.columns)
    run(
        connection,
        f"CREATE OR REPLACE TEMP TABLE {result} AS SELECT token, {values} FROM"
        f" (SELECT token, max(candidate) AS best FROM ({' UNION ALL '.join(told)}) GROUP BY token)",
        step,
    )
    return result


def _told(table: FeedTable, attribute: Attribute) -> dict[str, str]:
    """The published columns that tell the attribute, by the person table's columns; empty where none does."""
    had = {field.name for field in table.fields}
    for column, contract in table.table.columns.items():
        if contract.attribute == attribute.name:
            names = minimised(column, contract.role) or {attribute.columns[0][0]: column}
            told = {target: source for target, source in names.items() if source in had}
            if told:
                return told
    return {}


def candidates(table: FeedTable, attribute: Attribute, asked: Asked) -> str:
    """A query for `token` and `candidate`, one row for each token and value of a table, as a struct that sorts by belief."""
    values = _values(table, attribute)
    first = next(values[column] for column, _ in attribute.columns if column in _told(table, attribute))
    listed = ", ".join(text(value) for value in attribute.unstated)
    stated = f"{first} NOT IN ({listed})" if listed else "TRUE"
    rows, latest = _when(table, asked)
    columns = ", ".join(f"{value} AS {name('v_' + column)}" for column, value in values.items())
    # Grouping first leaves a few rows for each person, however many events told the same.
    inner = (
        f"SELECT token, {stated} AS stated, {latest} AS latest, {columns}"
        f" FROM {rows} WHERE token IS NOT NULL AND {first} IS NOT NULL GROUP BY ALL"
    )
    names = ", ".join(f"'{column}': {name('v_' + column)}" for column in values)
    return (
        f"SELECT token, {{'stated': stated, 'rank': {_rank(table)}, 'latest': latest,"
        f" 'feed': {text(table.name)}, {names}}} AS candidate FROM ({inner})"
    )


def _values(table: FeedTable, attribute: Attribute) -> dict[str, str]:
    """SQL of each of the attribute's columns, normalised; a null where the table lacks one."""
    told = _told(table, attribute)
    cast = {
        column: f"CAST({name(told[column]) if column in told else 'NULL'} AS {type})"
        for column, type in attribute.columns
    }
    return {column: attribute.value.format(value=value) for column, value in cast.items()}


def _when(table: FeedTable, asked: Asked) -> tuple[str, str]:
    """The rows to read, and the latest of a group of them: the date on which it was true, then what breaks ties, as SQL.

    The date is that of the event, else that of the month, else that on which a registration began, else that of the
    delivery. A date after the delivery is a mistake and never wins.
    """
    date = telling_date(table)
    at = "CAST(_delivered AS DATE)"
    if date is not None:
        at = f"CASE WHEN {date} <= {newest(table)} THEN CAST({date} AS DATE) ELSE DATE '1900-01-01' END"
    # The settled table's month column, or the event's start, says when; a register has only its order of delivery.
    if is_dated(table):
        untied = "'delivered': TIMESTAMP '1900-01-01', 'file': 0, 'row': CAST(0 AS BIGINT)"
        return asked.rows(table, None), f"{{'at': max({at}), {untied}}}"
    latest = f"max({{'at': {at}, 'delivered': _delivered, 'file': _file, 'row': _row}})"
    return asked.delivered(table), latest


def _rank(table: FeedTable) -> int:
    if table.feed.name == "pds":
        return 2
    return 1 if table.feed.setting == "primary_care" else 0
