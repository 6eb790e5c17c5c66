"""One column of a contract: its names, its role, its type and what is done with it."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal, Self

from pydantic import Field, model_validator

from linkage.contract.part import NAMESPACE, Part, Strings


class Role(StrEnum):
    """What happens to a column on its way from the extract to the linked data."""

    PERSON = "person"
    PSEUDONYM = "pseudonym"
    RECORD = "record"
    PERSON_KEY = "person_key"
    BIRTH_DATE = "birth_date"
    DEATH_DATE = "death_date"
    POSTCODE = "postcode"
    PRACTICE = "practice"
    ORGANISATION = "organisation"
    CODE = "code"
    DATE = "date"
    NUMBER = "number"
    CATEGORY = "category"
    FLAG = "flag"
    FREE_TEXT = "free_text"
    NAME = "name"
    CONTACT = "contact"


DROPPED = frozenset({Role.FREE_TEXT, Role.NAME, Role.CONTACT})
DATED = frozenset({Role.DATE, Role.BIRTH_DATE, Role.DEATH_DATE})
KEYS = (Role.RECORD, Role.PERSON_KEY)
_SAID = frozenset({Role.ORGANISATION, Role.PRACTICE, Role.CODE, Role.CATEGORY})


class Column(Part):
    """One column that the contract knows.

    Attributes:
        source: Names under which it is delivered, the specification's first, then aliases.
        value: What every row says, where an extract is of one organisation and does not name it.
        position: Where it stands (from 1) in a file without a header whose columns the contract does not name.
        role: What happens to it.
        type: Python-side type after cleaning; only dates, numbers and person numbers have a choice.
        namespace: For identifiers: the name shared by every column that holds the same thing.
        scheme: For pseudonyms: the upstream scheme; a reference for its opt-outs is asked for in the flow.
        within: For identifiers that are unique only inside an organisation: the column with its ODS code.
        other: For another person in the row (a mother, the adult that a carer cares for), named by NHS number or by a
            key that the roster knows: true.
        required: A row without it, or with a value that cannot be read, is removed and counted.
        formats: Date formats, tried in order; the feed's when empty.
        sentinels: Values that mean "nothing here"; added to the feed's.
        codes: The only values allowed; others are emptied and counted as unknown.
        map: Words as delivered and the code that each stands for, without regard to case and spacing; a code
            stays as it is, a word that stands for "" is emptied, any other is emptied and counted as unknown.
        lookup: `table.column` of a lookup table of this feed that the value is translated through.
        attribute: What it tells about the person, for the person table.
        removes: For flags: the reason under which a row with a true flag is removed; in a roster table so
            are the rows of other tables that find their person through it. A flag of type text is true when
            anything is written in it.
        whole_person: For flags of a roster table: removes every row of the person, in every feed.
        published: False for a column that something is decided by and that does not leave the site half.
        hides: For flags that mark sensitive: the column whose record the flag hides, in all its versions, with every
            row of the feed that holds the same key; the row's own record when left out.
        optout: For flags: the opt-out that it tells of; the person is out while the latest delivery says so. Never published.
        out_when: For those: which of true and false says that the person opted out; an empty cell never does.
    """

    source: Strings = Field(min_length=1)
    value: str | None = None
    position: int | None = Field(default=None, ge=1)
    role: Role
    type: Literal["text", "integer", "number", "date", "datetime", "time", "boolean"] | None = None
    namespace: str | None = None
    scheme: str | None = None
    within: str | None = None
    other: bool = False
    required: bool = False
    formats: Strings = ()
    sentinels: Strings = ()
    codes: Strings = ()
    map: dict[str, str] = Field(default_factory=dict)
    lookup: str | None = None
    attribute: Literal["sex", "ethnicity", "practice", "birth", "death", "home"] | None = None
    removes: Literal["sensitive", "test_patient", "deleted"] | None = None
    whole_person: bool = False
    published: bool = True
    hides: str | None = None
    optout: Literal["type1", "national", "objection"] | None = None
    out_when: bool | None = None
    description: str = ""

    @model_validator(mode="before")
    @classmethod
    def _named_without_a_source(cls, content: object) -> object:
        if isinstance(content, dict) and "source" not in content:
            if "position" in content:
                return {**content, "source": f"column {content['position']}"}
            if "value" in content:
                return {**content, "source": f"always {content['value']}"}
        return content

    @model_validator(mode="after")
    def _fits_role(self) -> Self:
        if self.role in (Role.RECORD, Role.PERSON_KEY) and not self.namespace:
            raise ValueError(f"a column of role {self.role} needs a namespace")
        if self.role is Role.PSEUDONYM and not self.scheme:
            raise ValueError("a column of role pseudonym needs a scheme")
        for name in (self.namespace, self.scheme):
            if name is not None and not NAMESPACE.fullmatch(name):
                raise ValueError("a namespace or scheme is lower-case letters, digits, '_' and '.'")
        if self.other and self.role not in (Role.PERSON, Role.PERSON_KEY):
            raise ValueError("another person has the role person, or person_key where the roster knows the key")
        if self.value is not None and (self.role not in _SAID or self.kind != "text"):
            raise ValueError("a value is for text that names an organisation, a practice, a code or a category")
        if self.required and self.role in DROPPED:
            raise ValueError(f"a column of role {self.role} is not read, so it cannot be required")
        if self.removes and self.role is not Role.FLAG:
            raise ValueError("only a column of role flag can remove a row")
        if self.whole_person and not self.removes:
            raise ValueError("a flag with whole_person says with removes why")
        if self.map and (self.kind != "text" or self.codes or self.lookup):
            raise ValueError("a map is for text, and stands instead of codes and lookup")
        if self.hides and self.removes != "sensitive":
            raise ValueError('only a flag with removes = "sensitive" hides another record')
        return self

    @model_validator(mode="after")
    def _tells_which_value_means_out(self) -> Self:
        if self.optout and (self.role is not Role.FLAG or self.removes or self.kind != "boolean"):
            raise ValueError(
                "only a column of role flag and type boolean, which removes nothing else, can be an optout"
            )
        if (self.optout is None) != (self.out_when is None):
            raise ValueError(
                "a flag with optout says with out_when = true or false which value means out; no other does"
            )
        return self

    @property
    def kind(self) -> str:
        """The type after cleaning: text, integer, number, date, datetime, time or boolean."""
        if self.type:
            return self.type
        if self.role in DATED:
            return "date"
        return {Role.NUMBER: "number", Role.FLAG: "boolean"}.get(self.role, "text")
