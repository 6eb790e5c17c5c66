"""A question: a signed, expiring request that names a template and its parameters, and never SQL."""

from __future__ import annotations

import secrets
import tomllib
from datetime import UTC, date, datetime, timedelta
from math import prod
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, AwareDatetime, Field, ValidationError, field_serializer, model_validator

from linkage.errors import ConfigurationError
from linkage.questions.dimensions import Dimension, Has, Known, Number
from linkage.questions.parts import Criterion, Strict, Words, Years
from linkage.signed import Envelope, Signer, canonical, sign

__all__ = ["MEASURE", "QUESTION", "Asked", "Cohort", "Question", "Template", "draft", "put"]

QUESTION = "linkage-question/1"
MEASURE = "measure"
MOST_DIMENSIONS, MOST_GROUPS, MOST_CRITERIA, LONGEST_DAYS = 4, 1_200, 5, 90

Template = Literal["people", "share"]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Text = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]{1,200}$")]


def _nodes(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted(set(names)))


class Cohort(Strict):
    """Whom a question is about.

    Attributes:
        registered_on: The day on which they are registered with a practice and alive. It also decides which node's they are.
        min_age: The youngest, by the year of birth.
        max_age: The oldest.
        sexes: Everybody when left out.
        having: Criteria that all hold.
        lacking: Criteria of which none holds.
    """

    registered_on: date
    min_age: Years | None = None
    max_age: Years | None = None
    sexes: Annotated[tuple[Literal["female", "indeterminate", "male"], ...], AfterValidator(_nodes)] = ()
    having: Annotated[tuple[Criterion, ...], Field(max_length=MOST_CRITERIA)] = ()
    lacking: Annotated[tuple[Criterion, ...], Field(max_length=MOST_CRITERIA)] = ()

    @model_validator(mode="after")
    def _holds_together(self) -> Self:
        if self.min_age is not None and self.max_age is not None and self.min_age > self.max_age:
            raise ValueError("min_age is above max_age")
        return self


class Asked(Strict):
    """What is asked, as its asker writes it.

    Attributes:
        purpose: For which of the purposes that the nodes know.
        nodes: Who is asked; a node that is not named does not answer.
        template: `people` counts them; `share` also says of how many a measure is true.
        cohort: Whom it is about.
        dimensions: What they are counted by, at most four.
        measure: Of a share: what must be true.
        policy: The disclosure policy.
        snapshots_from: Answers from an older snapshot are not wanted.
    """

    purpose: Text
    nodes: Annotated[tuple[Name, ...], Field(min_length=1, max_length=50), AfterValidator(_nodes)]
    template: Template
    cohort: Cohort
    dimensions: Annotated[tuple[Dimension, ...], Field(max_length=MOST_DIMENSIONS)] = ()
    measure: Criterion | None = None
    policy: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,31}$")]
    snapshots_from: date

    @model_validator(mode="after")
    def _holds_together(self) -> Self:
        names = [each.name for each in self.dimensions]
        if len(set(names)) != len(names) or MEASURE in names:
            raise ValueError(f"two dimensions have the same name, or one is named {MEASURE}")
        if (self.template == "share") != (self.measure is not None):
            raise ValueError("a share has a measure, and nothing else has one")
        if prod(len(values) for values in self.groups.values()) > MOST_GROUPS:
            raise ValueError(f"more than {MOST_GROUPS:,} groups: count by fewer or coarser ones")
        return self

    @property
    def groups(self) -> dict[str, tuple[str, ...]]:
        """Every dimension with all its values; of a share the measure is the last."""
        found = {each.name: each.values for each in self.dimensions}
        return found | ({MEASURE: ("yes", "no")} if self.measure is not None else {})

    @property
    def criteria(self) -> tuple[Criterion, ...]:
        """Every criterion in it."""
        within = [each.criterion for each in self.dimensions if isinstance(each, Has | Number)]
        measure = () if self.measure is None else (self.measure,)
        return (*self.cohort.having, *self.cohort.lacking, *within, *measure)

    @property
    def feeds(self) -> Words:
        """Every feed that it needs, sorted."""
        known = {each.feed for each in self.dimensions if isinstance(each, Known)}
        return tuple(sorted(known.union(*(each.feeds for each in self.criteria))))


class Question(Asked):
    """What is asked, by whom and until when.

    Attributes:
        asker: Who asks and signs.
        asked: When (UTC, whole seconds).
        expires: After this nobody answers.
        nonce: 32 random hexadecimal digits, so that no two questions are the same.
    """

    format: Literal["linkage-question/1"] = "linkage-question/1"
    asker: Name
    asked: AwareDatetime
    expires: AwareDatetime
    nonce: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]

    @model_validator(mode="after")
    def _ends(self) -> Self:
        if not timedelta() < self.expires - self.asked <= timedelta(days=LONGEST_DAYS):
            raise ValueError(f"a question ends after it was asked, and within {LONGEST_DAYS} days")
        return self

    @field_serializer("asked", "expires")
    def _seconds(self, moment: datetime) -> str:
        return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def draft(path: Path) -> Asked:
    """Read what is asked from a TOML file.

    Raises:
        ConfigurationError: It cannot be read, or a key is unknown or wrong; says which.
    """
    hint = "see docs/how-to/ask-several-icss.md"
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise ConfigurationError(f"{path}: not a TOML file that can be read", hint=hint) from None
    try:
        return Asked.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        key = ".".join(str(part) for part in first["loc"]) or "the question"
        message = f"{path}: {key}: {first['msg'].removeprefix('Value error, ')}"
        raise ConfigurationError(message, hint=hint) from None


def put(asked: Asked, signer: Signer, now: datetime, days: int) -> Envelope:
    """Sign a question.

    Args:
        asked: What is asked.
        signer: The asker's key.
        now: The moment, UTC.
        days: How long it stands.

    Raises:
        ConfigurationError: It would stand too long.
    """
    if not 1 <= days <= LONGEST_DAYS:
        raise ConfigurationError(f"a question stands for 1 to {LONGEST_DAYS} days", hint="ask again later")
    asked_at = now.replace(microsecond=0)
    question = Question(
        **asked.model_dump(), asker=signer.name, asked=asked_at, expires=asked_at + timedelta(days=days),
        nonce=secrets.token_hex(16),
    )  # fmt: skip
    return sign(QUESTION, canonical(question), [signer])
