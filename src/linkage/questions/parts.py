"""What a question can be made of: criteria of what happened to somebody, and dimensions to count by.

Every dimension has a closed list of values that follows from the question alone. So all nodes answer with the same
groups, an empty group is there, and an answer tells nothing by which values are in it.
"""

from __future__ import annotations

from datetime import date
from itertools import pairwise
from typing import Annotated, Literal, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

__all__ = [
    "NOT_KNOWN",
    "Age",
    "Codes",
    "Criterion",
    "Deprivation",
    "Dimension",
    "Ethnicity",
    "Has",
    "Known",
    "Number",
    "Sex",
    "Strict",
]

NOT_KNOWN = "(not known)"
MOST_CODES, MOST_BANDS, OLDEST = 5_000, 25, 130

_Value = TypeVar("_Value")


class Strict(BaseModel):
    """Frozen, and anything unknown in it is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _sorted(values: tuple[_Value, ...]) -> tuple[_Value, ...]:
    """One list has one form, in whatever order and how often it was written."""
    return tuple(sorted(set(values)))  # type: ignore[type-var]


def _rising(values: tuple[int, ...]) -> tuple[int, ...]:
    if any(one >= other for one, other in pairwise(values)):
        raise ValueError("the bands begin at rising numbers")
    return values


def _month(value: str) -> str:
    date.fromisoformat(f"{value}-01")
    return value


Word = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
Words = Annotated[tuple[Word, ...], Field(max_length=40), AfterValidator(_sorted)]
Code = Annotated[str, Field(pattern=r"^[A-Za-z0-9.][A-Za-z0-9.^-]{0,19}$")]
CodeList = Annotated[tuple[Code, ...], Field(max_length=MOST_CODES), AfterValidator(_sorted)]
Month = Annotated[str, Field(pattern=r"^(19|20)\d\d-(0[1-9]|1[0-2])$"), AfterValidator(_month)]
Years = Annotated[int, Field(ge=0, le=OLDEST)]
Edges = Annotated[tuple[Years, ...], Field(min_length=1, max_length=MOST_BANDS), AfterValidator(_rising)]


class Codes(Strict):
    """Codes of one system.

    Attributes:
        system: As `event_code` names it, for example `icd10`.
        codes: Exact codes.
        starting_with: Beginnings of codes, for example `E11`.
    """

    system: Word
    codes: CodeList = ()
    starting_with: CodeList = ()

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.codes and not self.starting_with:
            raise ValueError("a list of codes names at least one")
        return self


class Criterion(Strict):
    """Something that happened to somebody, in whole months.

    Attributes:
        feeds: The feeds in which it is looked for; a node without one of them does not answer.
        kinds: Kinds of events, for example `attendance`; any when left out.
        codes: What was found, done or given, in place of `kinds`.
        first_month: From the beginning of this month, for example `2025-04`.
        last_month: To the end of this month.
        at_least: In at least so many events.
    """

    feeds: Annotated[Words, Field(min_length=1)]
    kinds: Words = ()
    codes: Codes | None = None
    first_month: Month
    last_month: Month
    at_least: int = Field(default=1, ge=1, le=100)

    @model_validator(mode="after")
    def _holds_together(self) -> Self:
        if self.kinds and self.codes is not None:
            raise ValueError("a criterion is of kinds of events or of codes, not both")
        if self.first_month > self.last_month:
            raise ValueError("first_month is after last_month")
        return self


class Sex(Strict):
    """By sex."""

    kind: Literal["sex"]

    @property
    def name(self) -> str:
        """The column's name."""
        return "sex"

    @property
    def values(self) -> tuple[str, ...]:
        """All values, in their natural order."""
        return ("female", "male", "indeterminate", NOT_KNOWN)


class Age(Strict):
    """By age in bands: the year of the question's day less the year of birth, since no more is kept of a birth date.

    Attributes:
        from_ages: Where each band begins, rising, the first at 0; the last is open.
    """

    kind: Literal["age"]
    from_ages: Edges

    @model_validator(mode="after")
    def _begins_at_birth(self) -> Self:
        if self.from_ages[0] != 0:
            raise ValueError("the first age band begins at 0: everybody is in one")
        return self

    @property
    def name(self) -> str:
        """The column's name."""
        return "age"

    @property
    def values(self) -> tuple[str, ...]:
        """All values, in their natural order."""
        return (*_bands(self.from_ages), NOT_KNOWN)


class Deprivation(Strict):
    """By deprivation of where they live: 1 is the most deprived.

    Attributes:
        groups: Tenths or fifths.
    """

    kind: Literal["deprivation"]
    groups: Literal[5, 10] = 5

    @property
    def name(self) -> str:
        """The column's name."""
        return "deprivation"

    @property
    def values(self) -> tuple[str, ...]:
        """All values, in their natural order."""
        return (*(f"{each:02d}" if self.groups == 10 else str(each) for each in range(1, self.groups + 1)), NOT_KNOWN)


class Ethnicity(Strict):
    """By ethnic group, in five groups of the NHS data dictionary's codes."""

    kind: Literal["ethnicity"]

    @property
    def name(self) -> str:
        """The column's name."""
        return "ethnicity"

    @property
    def values(self) -> tuple[str, ...]:
        """All values, in their natural order."""
        return ("white", "mixed", "asian", "black", "other", NOT_KNOWN)


class _Named(Strict):
    name: Annotated[Word, Field(max_length=20)]


class Known(_Named):
    """By whether a feed knows them; `yes` or `no`."""

    kind: Literal["known"]
    feed: Word

    @property
    def values(self) -> tuple[str, ...]:
        """All values, in their natural order."""
        return ("yes", "no")


class Has(_Named):
    """By whether a criterion holds; `yes` or `no`."""

    kind: Literal["has"]
    criterion: Criterion

    @property
    def values(self) -> tuple[str, ...]:
        """All values, in their natural order."""
        return ("yes", "no")


class Number(_Named):
    """By the number of events of a criterion in bands, so that nobody's own number is an answer.

    Attributes:
        from_numbers: Where each band begins, rising, the first at 0; the last is open.
    """

    kind: Literal["number"]
    criterion: Criterion
    from_numbers: Edges

    @model_validator(mode="after")
    def _begins_at_none(self) -> Self:
        if self.from_numbers[0] != 0:
            raise ValueError("the first band begins at 0: everybody is in one")
        if self.criterion.at_least != 1:
            raise ValueError("bands say how many events: leave at_least out")
        return self

    @property
    def values(self) -> tuple[str, ...]:
        """All values, in their natural order."""
        return _bands(self.from_numbers)


Dimension = Annotated[Sex | Age | Deprivation | Ethnicity | Known | Has | Number, Field(discriminator="kind")]


def _bands(edges: tuple[int, ...]) -> tuple[str, ...]:
    ends = [f"{one}-{other - 1}" if other - 1 > one else f"{one}" for one, other in pairwise(edges)]
    return (*ends, f"{edges[-1]}+")
