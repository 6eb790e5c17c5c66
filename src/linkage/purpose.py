"""What one use of the data is, in the words of its documents: the `[purpose]` section of `linkage.toml`.

Written to be read by an information-governance lead. `authority.py` decides whether the documents still stand.
"""

from __future__ import annotations

import re
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

__all__ = [
    "Agreement",
    "BasisKind",
    "LegalBasis",
    "Population",
    "Purpose",
    "Reidentification",
    "Retention",
    "Section",
    "Strings",
]


_PLAIN = re.compile(r"[^\W\d]\w*( \w+)*")


def _strings(value: object) -> object:
    return (value,) if isinstance(value, str) else value


Strings = Annotated[tuple[str, ...], BeforeValidator(_strings)]


class Section(BaseModel):
    """A section of the configuration: frozen, and anything unknown in it is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class BasisKind(StrEnum):
    """On what ground confidential patient information is used."""

    SECTION_251 = "section_251"  # support under the Health Service (Control of Patient Information) Regulations 2002
    EXPLICIT_CONSENT = "explicit_consent"
    DIRECT_CARE = "direct_care"
    STATUTORY = "statutory"  # required by law
    COMMUNICABLE_DISEASE = "communicable_disease"  # regulation 3 of the same regulations
    PUBLIC_INTEREST = "public_interest"  # an overriding one, by a documented test
    NOT_PERSONAL = "not_personal"  # made-up data, or data about nobody
    OTHER = "other"

    @property
    def words(self) -> str:
        """The kind in words."""
        return _WORDS[self]


_WORDS = {
    BasisKind.SECTION_251: "section 251 support",
    BasisKind.EXPLICIT_CONSENT: "explicit consent",
    BasisKind.DIRECT_CARE: "direct care",
    BasisKind.STATUTORY: "required by law",
    BasisKind.COMMUNICABLE_DISEASE: "communicable disease and other risks to public health (regulation 3)",
    BasisKind.PUBLIC_INTEREST: "overriding public interest",
    BasisKind.NOT_PERSONAL: "data about nobody",
    BasisKind.OTHER: "other",
}
_NEEDS_NO_REFERENCE = (BasisKind.DIRECT_CARE, BasisKind.NOT_PERSONAL, BasisKind.OTHER)


class LegalBasis(Section):
    """On whose authority; a plain text in its place counts as kind `other`.

    Attributes:
        kind: The ground.
        reference: The document, for example a Confidentiality Advisory Group reference.
        expires: The last day on which it stands.
        description: More words.
    """

    kind: BasisKind
    reference: str = ""
    expires: date | None = None
    description: str = ""

    @model_validator(mode="after")
    def _says_enough(self) -> Self:
        if self.kind not in _NEEDS_NO_REFERENCE and not self.reference:
            raise ValueError(f"a legal basis of kind {self.kind.value} needs the reference of its document")
        if self.kind is BasisKind.SECTION_251 and self.expires is None:
            raise ValueError("section 251 support is given for a time: say when it expires")
        if self.kind is BasisKind.OTHER and not (self.reference or self.description):
            raise ValueError("a legal basis of kind other needs a description or a reference")
        return self

    @property
    def text(self) -> str:
        """One line for people."""
        words = [] if self.kind is BasisKind.OTHER else [self.kind.words]
        return ", ".join([*words, *filter(None, (self.description, self.reference))])


def _basis(value: object) -> object:
    return {"kind": BasisKind.OTHER, "description": value.strip()} if isinstance(value, str) else value


class Agreement(Section):
    """A data-sharing agreement; flows name it by its reference.

    Attributes:
        reference: As in the register of agreements.
        parties: Who signed it.
        starts: The first day on which it stands.
        ends: The last day on which it stands.
    """

    reference: str = Field(min_length=3)
    parties: Strings = ()
    starts: date | None = None
    ends: date


class Retention(Section):
    """How long what was made is kept.

    Attributes:
        days: A run that publishes removes the snapshots that are older, even where `store.keep` would keep them.
        reference: The document that says so.
    """

    days: int = Field(ge=1)
    reference: str = ""


class Reidentification(Section):
    """Whether, and to whom, a person may be named again.

    Attributes:
        allowed: Not unless it is said.
        roles: Who may ask.
        max_people: The most people in one request.
        max_total: The most people in all releases of the last `total_days` days together; `max_people` when not given.
        total_days: Over how many days they are added up.
        approvals: How many people have to approve a request, none of whom made it or holds the key.
        expires_days: How long a request stands.
        columns: What may go with the NHS number, beside the reason: names of letters, digits, `_` and blanks within.
        reference: The document that allows it.
    """

    allowed: bool = False
    roles: Strings = ()
    max_people: int = Field(default=0, ge=0)
    max_total: int | None = Field(default=None, ge=1)
    total_days: int = Field(default=365, ge=1)
    approvals: int = Field(default=1, ge=1)
    expires_days: int = Field(default=7, ge=1, le=90)
    columns: Strings = ()
    reference: str = ""

    @property
    def most(self) -> int:
        """The most people in all releases of the last `total_days` days together."""
        return self.max_people if self.max_total is None else self.max_total

    @model_validator(mode="after")
    def _says_enough(self) -> Self:
        if self.allowed and not (self.roles and self.max_people and self.reference):
            raise ValueError("re-identification is allowed to named roles, up to max_people, by a reference: give all")
        return self

    @field_validator("columns")
    @classmethod
    def _are_plain(cls, columns: tuple[str, ...]) -> tuple[str, ...]:
        """A pattern would let go what it matches, and a spreadsheet would run a formula at the head of a column."""
        for column in columns:
            if not _PLAIN.fullmatch(column):
                raise ValueError(
                    f"{column!r} is no name of a column: letters, digits, _ and blanks within, no digit first"
                )
        return columns


class Population(Section):
    """Whom the purpose may cover. Nobody else is in the output; who cannot be told to be covered is not.

    Attributes:
        practices: ODS codes of the practices where they are registered: a list, or a CSV file with a column `ods_code`.
        min_age: The youngest, in completed years on the day of the run.
        max_age: The oldest.
        max_people: The most people in one snapshot; a run that would publish more is refused.
        reference: The document that says so.
    """

    practices: Path | tuple[str, ...] = ()
    min_age: int | None = Field(default=None, ge=0, le=130)
    max_age: int | None = Field(default=None, ge=0, le=130)
    max_people: int | None = Field(default=None, ge=1)
    reference: str = ""

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.limits_people and self.max_people is None:
            raise ValueError("a population names practices, ages or max_people")
        if self.min_age is not None and self.max_age is not None and self.min_age > self.max_age:
            raise ValueError("min_age is above max_age")
        return self

    @property
    def limits_people(self) -> bool:
        """Whether it says of a person whether they are covered."""
        return bool(self.practices) or self.min_age is not None or self.max_age is not None


class Purpose(Section):
    """What the linked data is for, and on whose authority.

    Attributes:
        name: What the use is called.
        description: What it is for.
        legal_basis: On whose authority.
        controllers: The data controllers.
        ends: The last day of the purpose itself.
        warn_days: A document that ends within so many days is warned of.
        agreements: The agreements behind the flows.
        population: Whom it may cover; everybody in the flows when left out.
        retention: How long results are kept; without it only `store.keep` counts.
        reidentification: Whether a person may be named again.
    """

    name: str = Field(min_length=1)
    description: str = ""
    legal_basis: Annotated[LegalBasis, BeforeValidator(_basis)]
    controllers: Strings = Field(min_length=1)
    ends: date | None = None
    warn_days: int = Field(default=30, ge=0)
    agreements: tuple[Agreement, ...] = ()
    population: Population | None = None
    retention: Retention | None = None
    reidentification: Reidentification = Reidentification()

    @model_validator(mode="after")
    def _agreements_differ(self) -> Self:
        references = [agreement.reference for agreement in self.agreements]
        if len(set(references)) != len(references):
            raise ValueError("two agreements have the same reference")
        return self
