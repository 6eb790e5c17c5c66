"""A feed is data, not code: the contract that says what an extract holds and what happens to each column.

A contract is one TOML file. It names the tables of a feed, the files that carry them, and for every column
that may go on its name as delivered, its type and its *role*. A column that no contract names is dropped and counted.

    [tables.spell.columns]
    admission_date = { source = "spell.admission.date", role = "date", required = true }

The order of the keys in a contract is the order of the columns in the published table.
"""

from __future__ import annotations

import re
from enum import StrEnum
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from linkage import extend
from linkage.errors import ConfigurationError
from linkage.extend import Text
from linkage.layout import Delimiter, Encoding, Layout, Quote
from linkage.submission import Submission

NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
NAMESPACE = re.compile(r"[a-z0-9_.]+")
RESERVED = frozenset({"token", "feed", "month", "table"})


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
_KEYS = (Role.RECORD, Role.PERSON_KEY)
_SETTLING = frozenset({Role.RECORD, Role.ORGANISATION, Role.CODE, Role.DATE, Role.NUMBER, Role.CATEGORY})


def _strings(value: object) -> object:
    return (value,) if isinstance(value, str) else value


Strings = Annotated[tuple[str, ...], BeforeValidator(_strings)]


class _Contract(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Column(_Contract):
    """One column that the contract knows.

    Attributes:
        source: Names under which it is delivered, the specification's first, then aliases.
        position: Where it stands (from 1) in a file without a header whose columns the contract does not name.
        role: What happens to it.
        type: Python-side type after cleaning; only dates, numbers and person numbers have a choice.
        namespace: For identifiers: the name shared by every column that holds the same thing.
        scheme: For pseudonyms: the upstream scheme; a reference for its opt-outs is asked for in the flow.
        within: For identifiers that are unique only inside an organisation: the column with its ODS code.
        other: For a second person in the row (a mother, a carer): true.
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
        whole_person: For flags: removes every row of the person, in every feed.
        published: False for a column that something is decided by and that does not leave the site half.
        hides: For flags that mark sensitive: the column whose record the flag hides, in all its versions, with every
            row of the feed that holds the same key; the row's own record when left out.
    """

    source: Strings = Field(min_length=1)
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
    map: dict[str, str] = {}
    lookup: str | None = None
    attribute: Literal["sex", "ethnicity", "practice", "birth", "death", "home"] | None = None
    removes: Literal["sensitive", "test_patient", "deleted"] | None = None
    whole_person: bool = False
    published: bool = True
    hides: str | None = None
    description: str = ""

    @model_validator(mode="before")
    @classmethod
    def _named_by_its_place(cls, content: object) -> object:
        if isinstance(content, dict) and "position" in content and "source" not in content:
            return {**content, "source": f"column {content['position']}"}
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
        if self.removes and self.role is not Role.FLAG:
            raise ValueError("only a column of role flag can remove a row")
        if self.map and (self.kind != "text" or self.codes or self.lookup):
            raise ValueError("a map is for text, and stands instead of codes and lookup")
        if self.hides and self.removes != "sensitive":
            raise ValueError('only a flag with removes = "sensitive" hides another record')
        return self

    @property
    def kind(self) -> str:
        """The type after cleaning: text, integer, number, date, datetime, time or boolean."""
        if self.type:
            return self.type
        if self.role in DATED:
            return "date"
        return {Role.NUMBER: "number", Role.FLAG: "boolean"}.get(self.role, "text")


class Codes(_Contract):
    """Columns of an event that carry a clinical code."""

    system: str
    column: Strings


class Event(_Contract):
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


class ChildCodes(_Contract):
    """A table whose rows are codes of another table's event: `record` holds the event's record token."""

    record: str
    kind: str
    system: str
    code: str
    position: str | None = None


class Registration(_Contract):
    """Columns that say when the person was registered with which practice."""

    practice: str
    start: str
    end: str | None = None


class Type1(_Contract):
    """Columns of a GP record table in which type 1 dissents and withdrawals are found."""

    record: str
    code: str
    date: str
    deleted: str | None = None


class Sharing(_Contract):
    """A table of practices and whether they share; a practice shares when every flag has the value given."""

    practice: str
    flags: dict[str, bool]


class Superseded(_Contract):
    """A table of NHS numbers that were replaced by another."""

    current: str
    superseded: str


class Table(_Contract):
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
    codes: ChildCodes | None = None
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
            hidden = self.columns.get(column.hides or "")
            if column.hides and (hidden is None or hidden.role not in _KEYS or hidden.within):
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
        parts = (self.event, self.codes, self.registration, self.type1, self.sharing, self.superseded, self.submission)
        for part in parts:
            named += _columns_named(part) if part else []
        return tuple(filter(None, named))

    @property
    def structure(self) -> tuple[str, ...]:
        """The columns without which the hub cannot tell records, events and codes apart, or settle which count."""
        parts = [self.event.record, self.event.start] if self.event else []
        parts += [self.codes.record, self.codes.code] if self.codes else []
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
        """Columns with the NHS numbers of other people in the row."""
        return tuple(name for name in self.with_role(Role.PERSON) if self.columns[name].other)

    @property
    def person_keys(self) -> tuple[str, ...]:
        """Columns that find the person through the roster; at most one is used."""
        return self.with_role(Role.PERSON_KEY)

    @property
    def pseudonyms(self) -> tuple[str, ...]:
        """Columns with an upstream pseudonym."""
        return self.with_role(Role.PSEUDONYM)

    @property
    def required(self) -> tuple[str, ...]:
        """Columns without which a row is removed."""
        return tuple(name for name, column in self.columns.items() if column.required)


class Feed(_Contract):
    """A national or local feed: what is delivered and what goes on.

    Attributes:
        extends: The contract that this one changes; its content is in here.
        name: The feed's name in every output.
        version: Raised with every change of meaning; recorded in the manifest.
        setting: The care setting.
        delivered: A pattern with one group that finds the delivery stamp in a file's name.
        encoding, delimiter, quote, header: How text files are written; a table may differ. An empty quote means
            that quotes are characters like any other.
        unlinked: What happens to rows with no usable NHS number: `drop`, or `keep` with a null token.
        verified: False where the column names could not be checked against a published specification.
    """

    extends: str | None = None
    name: str
    version: int = 1
    title: str = ""
    setting: Literal["primary_care", "acute", "community", "mental_health", "social_care", "urgent", "registry"]
    description: str = ""
    source: str = ""
    verified: bool = False
    delivered: str | None = None
    delivered_format: str = "%Y%m%d"
    encoding: Encoding = "utf-8"
    delimiter: Delimiter = ","
    quote: Quote = '"'
    header: bool = True
    unlinked: Literal["drop", "keep"] = "drop"
    formats: Strings = ("%Y-%m-%d",)
    sentinels: Strings = ()
    tables: dict[str, Table] = Field(min_length=1)
    digest: str = Field(default="", exclude=True)

    @field_validator("name")
    @classmethod
    def _name(cls, name: str) -> str:
        if not NAME.fullmatch(name):
            raise ValueError("a feed's name is lower-case letters, digits and '_'")
        return name

    @model_validator(mode="after")
    def _columns_can_be_found(self) -> Self:
        for name, table in self.tables.items():
            layout = self.layout(table)
            if layout.delimiter == layout.quote:
                raise ValueError(f"table {name!r}: the delimiter and the quote are the same")
            placed = [column for column, rule in table.columns.items() if rule.position]
            unplaced = [column for column, rule in table.columns.items() if not rule.position]
            if placed and (layout.header or layout.names):
                raise ValueError(
                    f"table {name!r}: column {placed[0]!r} has a position, but its files' columns have names"
                )
            if unplaced and not layout.header and not layout.names:
                raise ValueError(f"table {name!r}: no header, so column {unplaced[0]!r} needs a position")
        return self

    @model_validator(mode="after")
    def _lookups_exist(self) -> Self:
        for table in self.tables.values():
            for name, column in table.columns.items():
                if column.lookup and self.lookup(column.lookup) is None:
                    raise ValueError(
                        f"column {name!r}: lookup = {column.lookup!r} is not table.column of a lookup table"
                    )
            active = table.submission.active if table.submission else None
            if active and self._reference(active, "submissions") is None:
                raise ValueError(f"active = {active!r} is not table.column of a table of kind submissions")
        reached = {name for table in self.records().values() for name in self.deletable(table)}
        for name in self.deletions():
            if name not in reached:
                raise ValueError(f"table {name!r}: its key has the namespace of no column of a table of records")
        return self

    @model_validator(mode="after")
    def _submissions_agree(self) -> Self:
        said: dict[Submission, list[tuple[Role, str, str | None]]] = {}
        for table in self.records().values():
            rule = table.submission
            if rule is not None and rule.replaces:
                columns = [table.columns[name] for name in rule.columns]
                meant = [(column.role, column.kind, column.namespace) for column in columns]
                if said.setdefault(rule, meant) != meant:
                    raise ValueError("tables with one submission rule must mean the same by the columns that it names")
        return self

    def deletable(self, table: Table) -> dict[str, str]:
        """For each table of deletions that reaches a table of records: the column of the latter with the deleted key.

        That is a column of the key's namespace: of the primary key where there is one, else the first.
        """
        found: dict[str, str] = {}
        for name, log in self.deletions().items():
            namespace = log.columns[log.with_role(Role.RECORD)[0]].namespace
            for column in (*table.primary_key, *table.with_role(*_KEYS)):
                if table.columns[column].namespace == namespace:
                    found.setdefault(name, column)
        return found

    def _reference(self, reference: str, kind: str) -> tuple[Table, str] | None:
        table, _, column = reference.partition(".")
        found = self.tables.get(table)
        if found is None or found.kind != kind or column not in found.columns:
            return None
        return found, column

    def lookup(self, reference: str) -> tuple[Table, str] | None:
        """The lookup table and column that `table.column` names, or None."""
        return self._reference(reference, "lookup")

    def layout(self, table: Table) -> Layout:
        """How the text files of one of its tables are written."""
        header = self.header if table.header is None else table.header
        names = () if isinstance(header, bool) else header
        return Layout(
            encoding=table.encoding or self.encoding,
            delimiter=table.delimiter or self.delimiter,
            quote=self.quote if table.quote is None else table.quote,
            header=header is True,
            names=names,
        )

    def records(self) -> dict[str, Table]:
        """The tables that go on, by name."""
        return {name: table for name, table in self.tables.items() if table.kind == "records"}

    def deletions(self) -> dict[str, Table]:
        """The tables that name deleted records, by name."""
        return {name: table for name, table in self.tables.items() if table.kind == "deletions"}

    def handed_over(self) -> dict[str, Table]:
        """The tables that the site half hands to the hub half, by name; deletions after what they delete."""
        return {**self.records(), **self.deletions()}


def _columns_named(part: BaseModel) -> list[str | None]:
    if isinstance(part, Submission):
        return list(part.columns)
    words = {"kind", "system", "flags", "codes"}
    named = [value for field, value in part if field not in words]
    if isinstance(part, Event):
        named += [column for codes in part.codes for column in codes.column]
    if isinstance(part, Sharing):
        named += list(part.flags)
    return named


def parse(text: str, where: str, base: Path | None = None) -> Feed:
    """Read one contract.

    Args:
        text: The TOML text.
        where: What to call it in an error, for example its path.
        base: The folder that a relative path in `extends` starts from; the current one when not given.

    Raises:
        ConfigurationError: The text is not TOML or not a contract; says which key.
    """
    whole = extend.resolve(Text(text, where, base), _text, _checked)
    return _checked(whole.content, where).model_copy(update={"digest": whole.digest})


def _checked(content: dict[str, object], where: str) -> Feed:
    try:
        return Feed.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        key = ".".join(str(part) for part in first["loc"]) or "the contract"
        raise ConfigurationError(f"{where}: {key}: {first['msg']}", hint="see docs/reference/contracts.md") from None


def shipped() -> tuple[str, ...]:
    """Names of the contracts that come with the package, sorted."""
    folder = resources.files("linkage.sources") / "feeds"
    return tuple(sorted(item.name.removesuffix(".toml") for item in folder.iterdir() if item.name.endswith(".toml")))


def load(name: str, base: Path | None = None) -> Feed:
    """Read a contract: a shipped one by its name, a local one by the path of its TOML file.

    Args:
        name: For example `sus_apc`, or `feeds/our_virtual_ward.toml`.
        base: The folder that a relative path starts from; the current one when not given.

    Raises:
        ConfigurationError: There is no such contract, or it is not one.
    """
    text = _text(name, base)
    return parse(text.content, text.where, text.base)


def _text(name: str, base: Path | None) -> Text:
    if name.endswith(".toml"):
        path = (base or Path()) / name
        try:
            return Text(path.read_text(encoding="utf-8"), str(path), path.parent)
        except (OSError, UnicodeDecodeError):
            raise ConfigurationError(f"{path}: cannot be read", hint="name an existing contract file") from None
    if name not in shipped():
        raise ConfigurationError(f"no feed is called {name!r}", hint=_known_feeds())
    file = resources.files("linkage.sources") / "feeds" / f"{name}.toml"
    return Text(file.read_text(encoding="utf-8"), name, base)


def _known_feeds() -> str:
    return f"one of {', '.join(shipped())}; or the path of a contract, which ends in .toml"
