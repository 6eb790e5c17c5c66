"""What a table's columns mean together: an event, codes, registrations, type 1, sharing, superseded numbers."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, model_validator

from linkage.contract.part import Part, Strings
from linkage.submission import Submission


class _Coded(Part):
    """What codes are.

    Attributes:
        system: The code system, for example `icd10`.
        scheme: Instead of it, the column that names the system of each row.
        meaning: What the code says, where the system leaves it open: `diagnosis`, `procedure`, `investigation`.
    """

    system: str | None = None
    scheme: str | None = None
    meaning: str | None = None

    @model_validator(mode="after")
    def _of_one_system(self) -> Self:
        if (self.system is None) == (self.scheme is None):
            raise ValueError("codes need a system, or a scheme: the column that names the system of each row")
        return self


class Codes(_Coded):
    """Columns of an event that carry a clinical code, in the order of the codes' positions."""

    column: Strings


class Event(Part):
    """How a row of the table becomes one row of the `event` table; every name is a column of the table."""

    kind: str
    record: str
    start: str
    start_time: str | None = None
    end: str | None = None
    end_time: str | None = None
    provider: str | None = None
    commissioner: str | None = None
    value: str | None = None
    unit: str | None = None
    cost: str | None = None
    codes: tuple[Codes, ...] = ()


class ChildCodes(_Coded):
    """A column of codes of another table's event: `record` holds the event's record token."""

    record: str
    kind: str
    code: str
    position: str | None = None


class Registration(Part):
    """Columns that say when the person was registered with which practice."""

    practice: str
    start: str
    end: str | None = None


class Type1(Part):
    """Columns of a GP record table in which type 1 dissents and withdrawals are found."""

    record: str
    code: Strings
    date: str
    deleted: str | None = None


class Sharing(Part):
    """A table of practices and whether they share; a practice shares when every flag has the value given."""

    practice: str
    flags: dict[str, bool]


class Superseded(Part):
    """A table of NHS numbers that were replaced by another."""

    current: str
    superseded: str


def columns_named(part: BaseModel) -> list[str | None]:
    """The columns that one of a table's parts names; None for those it could name and does not."""
    if isinstance(part, Submission):
        return list(part.columns)
    words = {"kind", "system", "meaning", "flags", "codes"}
    named = [value for field, value in part if field not in words]
    if isinstance(part, Event):
        named += [column for codes in part.codes for column in (*codes.column, codes.scheme)]
    if isinstance(part, Sharing):
        named += list(part.flags)
    if isinstance(part, Type1):
        named = [part.record, *part.code, part.date, part.deleted]
    return named
