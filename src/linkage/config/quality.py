"""When an extract is too bad to use."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from linkage.purpose import Section

Share = Annotated[float, Field(ge=0, le=1)]
_OF_COLUMNS = ("max_missing", "max_invalid", "max_unknown")


class QualityRule(Section):
    """Other limits for one feed, one table or one column.

    Attributes:
        feed: The feed's name.
        table: One of its tables; all of them when not given.
        column: One column of the table, by the contract's name; all of them when not given.
    """

    feed: str
    table: str | None = None
    column: str | None = None
    max_missing: Share | None = None
    max_invalid: Share | None = None
    max_unknown: Share | None = None
    max_malformed: Share | None = None
    max_no_person: Share | None = None
    max_late: Share | None = None
    max_future: Share | None = None
    min_rows: int | None = Field(default=None, ge=0)
    max_change: float | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _limits_something(self) -> Self:
        limits = self.model_fields_set - {"feed", "table", "column"}
        if not limits:
            raise ValueError("a rule needs a limit, for example max_missing")
        if self.column and not self.table:
            raise ValueError("a rule for a column names its table too")
        if self.column and not limits <= set(_OF_COLUMNS):
            raise ValueError(f"a rule for a column can set {', '.join(_OF_COLUMNS)}")
        return self

    @property
    def target(self) -> tuple[str, str | None, str | None]:
        """What the rule is for."""
        return self.feed, self.table, self.column


class Quality(Section):
    """When an extract is too bad to use.

    Attributes:
        max_missing: The largest share of a file's rows that may have nothing in a column.
        max_invalid: The largest share of a column's written values that may be unreadable or unknown. NHS numbers
            have a limit only where a rule names their column, since rows without a usable one are left out anyway.
        max_unknown: The largest share of a column's written values that may be none of its codes.
        max_malformed: The largest share of a file's rows that may have too few or too many fields.
        max_no_person: The largest share of a file's rows that may have no person: no usable number, no known key.
        max_late: The largest share of a file's rows that may be late.
        max_future: The largest share of a file's rows that may be of more than a day after the delivery.
        min_rows: The fewest rows that a file may have.
        max_change: How far a table's rows may be from those of the last run, as a share of them; None for no limit.
        late_after_days: An event longer before the delivery than this is counted as late.
        rules: Other limits for single feeds, tables and columns.
    """

    max_missing: Share = 1.0
    max_invalid: Share = 0.1
    max_unknown: Share = 1.0
    max_malformed: Share = 0.01
    max_no_person: Share = 1.0
    max_late: Share = 1.0
    max_future: Share = 1.0
    min_rows: int = Field(default=0, ge=0)
    max_change: float | None = Field(default=None, ge=0)
    late_after_days: int = Field(default=365, ge=1)
    rules: tuple[QualityRule, ...] = ()

    @model_validator(mode="after")
    def _rules_differ(self) -> Self:
        targets = [rule.target for rule in self.rules]
        if len(set(targets)) != len(targets):
            raise ValueError("two quality rules are for the same feed, table and column")
        return self

    def limit(self, name: str, feed: str, table: str, column: str | None = None) -> float | None:
        """The limit of one name that holds here: the rule for the column, for the table, for the feed, or the general one."""
        rules = {rule.target: rule for rule in self.rules}
        for target in ((feed, table, column), (feed, table, None), (feed, None, None)):
            set_here: float | None = getattr(rules.get(target), name, None)
            if set_here is not None:
                return set_here
        general: float | None = getattr(self, name)
        return general
