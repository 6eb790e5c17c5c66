"""The part of a contract that says how rows come in submissions, and which submission counts.

    submission = { id = "submission", latest = "effective_from", replaces = ["provider", "month_id"] }

A source that corrects its data sends a reporting period again, whole. What it no longer holds then no longer holds.
"""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, model_validator

__all__ = ["Period", "Submission"]

_Columns = Annotated[tuple[str, ...], BeforeValidator(lambda value: (value,) if isinstance(value, str) else value)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Period(_Part):
    """Columns with the first and the last day that a submission covers."""

    start: str
    end: str


class Submission(_Part):
    """How rows of a table come in submissions, and which of them count; every name is a column of the table.

    Attributes:
        id: The column that names the submission; when left out, what has one delivery stamp is one submission.
        latest: The column whose highest value says which version of a record, and which submission, is the latest;
            what it leaves open, and everything when it is left out, the order of delivery decides.
        active: `table.column` of a table of kind `submissions`: rows of a submission not listed there are removed.
        replaces: A later submission replaces every row of an earlier one that has the same values in these columns,
            in every table of the feed with the same rule, whether it holds the record again or not.
        covers: Narrows `replaces` to rows whose event falls into the period that the later submission covers.
    """

    id: str | None = None
    latest: str | None = None
    active: str | None = None
    replaces: _Columns = ()
    covers: Period | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not (self.latest or self.active or self.replaces):
            raise ValueError("say which submission counts: latest, active or replaces")
        if self.active and not self.id:
            raise ValueError("active needs id: the column that names the submission")
        if self.covers and not self.replaces:
            raise ValueError("covers needs replaces: the columns that name who submits")
        return self

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that it names."""
        period = (self.covers.start, self.covers.end) if self.covers else ()
        return tuple(name for name in (self.id, self.latest, *self.replaces, *period) if name)
