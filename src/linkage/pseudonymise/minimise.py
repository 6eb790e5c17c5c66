"""What a column becomes: the one place that decides the shape of what leaves the site half.

A birth date becomes a year (a month too, where the policy allows), a death date its month, a postcode its area and
deprivation decile, or its district where no lookup is given. Identifiers become tokens. Names, contacts and free text
have no shape here: they never leave.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import polars as pl

from linkage.bundle import Field, SqlType
from linkage.contract import DROPPED, Column, Feed, Role, Table
from linkage.errors import ConfigurationError
from linkage.pseudonymise.areas import compact
from linkage.pseudonymise.tokeniser import Pseudonymiser

_WHOLE_POSTCODE = r"^[A-Z]{1,2}[0-9][A-Z0-9]?[0-9][A-Z]{2}$"
_SQL: dict[str, SqlType] = {
    "text": "VARCHAR",
    "integer": "BIGINT",
    "number": "DOUBLE",
    "date": "DATE",
    "datetime": "TIMESTAMP",
    "time": "TIME",
    "boolean": "BOOLEAN",
}


_AREAS = {
    "lsoa_2011": Field(name="", type="VARCHAR", role="", description="lower layer super output area of 2011"),
    "lsoa_2021": Field(name="", type="VARCHAR", role="", description="lower layer super output area"),
    "imd_decile": Field(name="", type="TINYINT", role="", description="1 is most deprived"),
}


@dataclass(frozen=True, slots=True)
class Minimiser:
    """How far people are described.

    Attributes:
        birth: `year`, or `month` for year and month.
        areas: Postcode to areas, as `areas.read_areas` gives them; None gives districts.
        digest: Of the file that they were read from, and of how.
    """

    birth: Literal["year", "month"]
    areas: pl.DataFrame | None
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Output:
    """One column that leaves: its description and the expression that makes it."""

    field: Field
    value: pl.Expr


def outputs(feed: Feed, table: Table, minimiser: Minimiser, pseudonymiser: Pseudonymiser) -> list[Output]:
    """Every column of a table that leaves, `token` first, in the contract's order.

    The expressions work on resolved rows: `_number` and other people's columns are Int64 numbers that may be used,
    identifiers are text, everything else is typed.
    """
    made = [
        Output(
            Field(name="token", type="UUID", role="person", description="the person"),
            pseudonymiser.person_expr("_number"),
        )
    ]
    for name, column in table.columns.items():
        if column.role in DROPPED or not column.published:
            continue
        if column.role is Role.FLAG and (column.removes or column.optout):
            continue
        needed = {*table.primary_key, *table.others, *feed.deletable(table).values()}
        if column.role is Role.PERSON_KEY and name not in needed:
            # The token says more, and one key fewer can be matched on.
            continue
        made += _of_role(name, column, minimiser, pseudonymiser)
    if table.event:
        made.append(Output(_field("age", "SMALLINT", "number", "years, at the start"), _age(table.event.start, table)))
    _refuse_clashes([output.field.name for output in made], feed)
    return made


def _refuse_clashes(names: list[str], feed: Feed) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigurationError(
            f"feed {feed.name}: two columns of a table would both be published as {twice[0]!r}",
            hint="rename the contract's column of that name; derived columns end in _token, _year, _month, _lsoa_2011, _lsoa_2021, "
            "_imd_decile, or are age",
        )


def with_areas(frame: pl.LazyFrame, table: Table, minimiser: Minimiser) -> pl.LazyFrame:
    """Join the areas of each postcode column, under `<name>|lsoa_2021`, `<name>|imd_decile` and so on."""
    if minimiser.areas is None:
        return frame
    for name in table.with_role(Role.POSTCODE):
        areas = minimiser.areas.lazy().rename({area: f"{name}|{area}" for area in minimiser.areas.columns[1:]})
        frame = frame.with_columns(compact(name).alias(name)).join(
            areas, left_on=name, right_on="_postcode", how="left", maintain_order="left"
        )
    return frame


def _of_role(name: str, column: Column, minimiser: Minimiser, pseudonymiser: Pseudonymiser) -> Sequence[Output]:
    match column.role:
        case Role.PERSON | Role.PERSON_KEY if column.other:
            field = Field(name=f"{name}_token", type="UUID", role="person", description=column.description)
            return [Output(field, pseudonymiser.person_expr(name))]
        case Role.PERSON:
            return []
        case Role.RECORD | Role.PERSON_KEY | Role.PSEUDONYM:
            namespace = column.scheme if column.role is Role.PSEUDONYM else column.namespace
            value = _within(name, column)
            return [Output(_field(name, "UUID", column), pseudonymiser.record_expr(value, namespace or ""))]
        case Role.BIRTH_DATE:
            return _birth(name, column, minimiser)
        case Role.DEATH_DATE:
            return [
                Output(
                    _field(f"{_stem(name)}_month", "DATE", column, "first day of the month"),
                    pl.col(name).dt.month_start(),
                )
            ]
        case Role.POSTCODE:
            return _home(name, column, minimiser)
        case _:
            return [Output(_field(name, _SQL[column.kind], column), pl.col(name))]


def _field(name: str, type_: SqlType, column: Column | str, description: str = "") -> Field:
    if isinstance(column, str):
        return Field(name=name, type=type_, role=column, description=description)
    return Field(name=name, type=type_, role=column.role.value, description=column.description or description)


def _stem(name: str) -> str:
    return name.removesuffix("_date")


def _within(name: str, column: Column) -> pl.Expr:
    if column.within is None:
        return pl.col(name)
    return pl.concat_str(pl.col(column.within).fill_null(""), pl.col(name), separator="\x1f")


def _birth(name: str, column: Column, minimiser: Minimiser) -> list[Output]:
    year = Output(_field(f"{_stem(name)}_year", "SMALLINT", column), pl.col(name).dt.year().cast(pl.Int16))
    if minimiser.birth == "year":
        return [year]
    return [
        year,
        Output(_field(f"{_stem(name)}_month", "TINYINT", column), pl.col(name).dt.month().cast(pl.Int8)),
    ]


def _home(name: str, column: Column, minimiser: Minimiser) -> list[Output]:
    prefix = "" if name == "postcode" else f"{name.removesuffix('_postcode')}_"
    if minimiser.areas is None:
        # The district is what stands before the last three characters; anything that is no postcode gives nothing.
        whole = compact(name)
        district = pl.when(whole.str.contains(_WHOLE_POSTCODE)).then(whole.str.head(-3))
        return [Output(_field(f"{prefix}postcode_district", "VARCHAR", column), district)]
    return [
        Output(_field(f"{prefix}{area}", _AREAS[area].type, column, _AREAS[area].description), pl.col(f"{name}|{area}"))
        for area in minimiser.areas.columns[1:]
    ]


def _age(start: str, table: Table) -> pl.Expr:
    """Completed years at the event's start (Int16), from the row's birth date or the roster's; null when implausible."""
    own = table.with_role(Role.BIRTH_DATE)[:1]
    birth = pl.coalesce(*own, "_birth_date")
    on = pl.col(start).dt.date() if table.columns[start].kind == "datetime" else pl.col(start)
    before_birthday = _day_of_year(on) < _day_of_year(birth)
    age = on.dt.year() - birth.dt.year() - before_birthday.cast(pl.Int32)
    return pl.when(age.is_between(0, 120)).then(age.cast(pl.Int16))


def _day_of_year(day: pl.Expr) -> pl.Expr:
    # Months are eight-bit numbers, in which 300 is 44.
    return day.dt.month().cast(pl.Int16) * 100 + day.dt.day()
