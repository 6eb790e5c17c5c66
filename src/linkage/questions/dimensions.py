"""What a question can count by.

Every dimension has a closed list of values that follows from the question alone. So all nodes answer with the same
groups, an empty group is there, and an answer tells nothing by which values are in it.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from linkage.questions.parts import Criterion, Strict, Word, Years

__all__ = [
    "NOT_KNOWN",
    "Age",
    "Deprivation",
    "Dimension",
    "Ethnicity",
    "Has",
    "Known",
    "Number",
    "Sex",
]

NOT_KNOWN = "(not known)"
MOST_BANDS = 25


def _rising(values: tuple[int, ...]) -> tuple[int, ...]:
    if any(one >= other for one, other in pairwise(values)):
        raise ValueError("the bands begin at rising numbers")
    return values


Edges = Annotated[tuple[Years, ...], Field(min_length=1, max_length=MOST_BANDS), AfterValidator(_rising)]


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
