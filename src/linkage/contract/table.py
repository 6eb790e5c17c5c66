"""One table of a contract: its files, its columns, and what they mean together."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from linkage.contract.column import KEYS, Column, Role
from linkage.contract.meaning import (
    ChildCodes,
    Event,
    Registration,
    Sharing,
    Superseded,
    Type1,
    columns_named,
)
from linkage.contract.part import NAME, Part, Strings
from linkage.layout import Delimiter, Encoding, Quote
from linkage.submission import Submission

RESERVED = frozenset({"token", "feed", "month", "table"})
_SETTLING = frozenset({Role.RECORD, Role.ORGANISATION, Role.CODE, Role.DATE, Role.NUMBER, Role.CATEGORY})


_SeveralCodes = Annotated[
    tuple[ChildCodes, ...], BeforeValidator(lambda value: (value,) if isinstance(value, dict) else value)
]


class Table(Part):
    """One table of a feed.

    Attributes:
        files: Glob patterns, relative to the flow's folder.
        kind: `records` goes on; `deletions` names records that the source deleted; `informs` is read for the roster and
            for type 1 codes; `lookup`, `sharing`, `superseded` and `submissions` only inform the site half too.
        primary_key: Columns that name a record; the latest delivered row of a record wins.
        month: The date column whose month decides the partition.
        roster: True where this table says which number a `person_key` belongs to.
        encoding, delimiter, quote: As the feed's, where this table's files differ.
        header: False where its files do not name their columns, or the names in the order of the file.
        number_status: The column with the NHS number status indicator code, for the counts of data quality.
    """

    title: str = ""
    files: Strings = Field(min_length=1)
    kind: Literal["records", "deletions", "informs", "lookup", "sharing", "superseded", "submissions"] = "records"
    optional: bool = False
    primary_key: Strings = ()
    month: str | None = None
    roster: bool = False
    key: str | None = None
    encoding: Encoding | None = None
    delimiter: Delimiter | None = None
    quote: Quote | None = None
    header: bool | tuple[str, ...] | None = None
    columns: dict[str, Column]
    event: Event | None = None
    codes: _SeveralCodes = ()
    registration: Registration | None = None
    type1: Type1 | None = None
    sharing: Sharing | None = None
    superseded: Superseded | None = None
    number_status: str | None = None
    submission: Submission | None = None

    @field_validator("columns")
    @classmethod
    def _names(cls, columns: dict[str, Column]) -> dict[str, Column]:
        for name in columns:
            if not NAME.fullmatch(name) or name in RESERVED:
                raise ValueError(
                    f"column name {name!r}: lower-case letters, digits and '_', and not one of {sorted(RESERVED)}"
                )
        return columns

    @model_validator(mode="after")
    def _names_its_columns(self) -> Self:
        for name in self.named:
            if name not in self.columns:
                raise ValueError(f"{name!r} is named but is not one of the table's columns")
        for name in self.structure:
            if not self.columns[name].published:
                raise ValueError(f"{name!r} must be published: records are told apart and put in order by it")
        for name, column in self.columns.items():
            if column.within and column.within not in self.columns:
                raise ValueError(f"column {name!r}: within = {column.within!r} is not one of the table's columns")
            if column.whole_person and not self.roster:
                raise ValueError(f"column {name!r}: only in a roster table does a flag reach the whole person")
            hidden = self.columns.get(column.hides or "")
            if column.hides and (hidden is None or hidden.role not in KEYS or hidden.within):
                raise ValueError(f"column {name!r}: hides = {column.hides!r} is not a column with a key of its own")
        if len(self.subjects) + len(self.pseudonyms) > 1:
            raise ValueError("one person is the subject of a row: mark the others with other = true")
        if self.kind == "records" and not self.primary_key:
            raise ValueError("a table of records needs a primary_key")
        if self.kind == "lookup" and not self.key:
            raise ValueError("a lookup table needs a key")
        if self.roster and not (self.subjects and self.person_keys):
            raise ValueError("a roster table needs a person column and a person_key column")
        return self

    @model_validator(mode="after")
    def _settles(self) -> Self:
        if self.kind == "deletions" and len(self.with_role(Role.RECORD)) != 1:
            raise ValueError("a table of deletions needs one column of role record: the key of what was deleted")
        if self.kind == "deletions" and (self.subjects or self.person_keys or self.pseudonyms):
            raise ValueError("a table of deletions names records, not persons")
        if self.submission is None:
            return self
        if self.kind not in ("records", "informs"):
            raise ValueError("only a table of records has a submission")
        if self.submission.active and self.submission.id not in self.required:
            raise ValueError(f"{self.submission.id!r} must be required: a row without it is in no active submission")
        if self.submission.covers and self.event is None:
            raise ValueError("covers needs an event: its dates decide what falls into the period")
        for name in self.submission.columns:
            if self.columns[name].role not in _SETTLING:
                raise ValueError(f"column {name!r}: a submission cannot be told by a column of its role")
        return self

    @property
    def named(self) -> tuple[str, ...]:
        """Every column that the table's keys and parts name."""
        named = [*self.primary_key, self.month, self.key, self.number_status]
        parts = (self.event, *self.codes, self.registration, self.type1, self.sharing, self.superseded, self.submission)
        for part in parts:
            named += columns_named(part) if part else []
        return tuple(filter(None, named))

    @property
    def structure(self) -> tuple[str, ...]:
        """The columns without which the hub cannot tell records, events and codes apart, or settle which count."""
        parts: list[str | None] = [self.event.record, self.event.start] if self.event else []
        parts += [name for codes in self.codes for name in (codes.record, codes.code, codes.scheme)]
        parts += self.submission.columns if self.submission else []
        return tuple(filter(None, dict.fromkeys([*self.primary_key, self.month, *parts])))

    def with_role(self, *roles: Role) -> tuple[str, ...]:
        """Names of the columns that have one of the roles, in the contract's order."""
        return tuple(name for name, column in self.columns.items() if column.role in roles)

    @property
    def subjects(self) -> tuple[str, ...]:
        """The column with the NHS number of the row's subject; empty where the person is found by a key."""
        return tuple(name for name in self.with_role(Role.PERSON) if not self.columns[name].other)

    @property
    def others(self) -> tuple[str, ...]:
        """Columns that name other people in the row, by NHS number or by a key that the roster knows."""
        return tuple(name for name in self.with_role(Role.PERSON, Role.PERSON_KEY) if self.columns[name].other)

    @property
    def person_keys(self) -> tuple[str, ...]:
        """Columns that find the row's subject through the roster; at most one is used."""
        return tuple(name for name in self.with_role(Role.PERSON_KEY) if not self.columns[name].other)

    @property
    def pseudonyms(self) -> tuple[str, ...]:
        """Columns with an upstream pseudonym."""
        return self.with_role(Role.PSEUDONYM)

    @property
    def dated(self) -> str | None:
        """The column by which a row is older or newer: its event's start, or that of its month."""
        return self.event.start if self.event else self.month

    @property
    def optout_flags(self) -> tuple[str, ...]:
        """Columns that tell of an opt-out of the row's person."""
        return tuple(name for name, column in self.columns.items() if column.optout)

    @property
    def required(self) -> tuple[str, ...]:
        """Columns without which a row is removed."""
        return tuple(name for name, column in self.columns.items() if column.required)
