"""What a question says of what happened to somebody: codes, kinds and months, strictly typed."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

__all__ = ["Codes", "Criterion", "Strict", "Word", "Words", "Years"]

MOST_CODES, OLDEST = 5_000, 130

_Value = TypeVar("_Value")


class Strict(BaseModel):
    """Frozen, and anything unknown in it is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _sorted(values: tuple[_Value, ...]) -> tuple[_Value, ...]:
    """One list has one form, in whatever order and how often it was written."""
    return tuple(sorted(set(values)))  # type: ignore[type-var]


def _month(value: str) -> str:
    date.fromisoformat(f"{value}-01")
    return value


Word = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
Words = Annotated[tuple[Word, ...], Field(max_length=40), AfterValidator(_sorted)]
Code = Annotated[str, Field(pattern=r"^[A-Za-z0-9.][A-Za-z0-9.^-]{0,19}$")]
CodeList = Annotated[tuple[Code, ...], Field(max_length=MOST_CODES), AfterValidator(_sorted)]
Month = Annotated[str, Field(pattern=r"^(19|20)\d\d-(0[1-9]|1[0-2])$"), AfterValidator(_month)]
Years = Annotated[int, Field(ge=0, le=OLDEST)]


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
