"""`linkage.toml`: one use of the data, on one page.

The file is one purpose: who may do this and why, which extracts flow in, which opt-outs bind, how far columns are
minimised, under which key and domain tokens are made, and where the result goes. Everything unknown is refused,
so that a misspelt rule cannot be a rule that is silently not applied. Keys appear by reference only.
"""

from __future__ import annotations

import hashlib
import tomllib
from datetime import date
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, model_validator

from linkage import numbered
from linkage.errors import ConfigurationError
from linkage.purpose import Purpose, Section, Strings


class Keys(Section):
    """Where the keyset is and what opens it; never a key.

    Attributes:
        keyset: For example `age://keys/ics.age`, relative to the configuration file.
        identity: The age identity file that opens it; else the variable LINKAGE_IDENTITY, else the file beside it.
        domain: The token domain, for example `ics:qxx`.
    """

    keyset: str
    identity: Path | None = None
    domain: str


class Store(Section):
    """Where snapshots are published and how many are kept.

    Attributes:
        path: The folder.
        keep: How many snapshots stay.
        hold: Whether the bundle of the current snapshot is held in the private folder, so that late opt-outs and
            replaced numbers reach its rows without the extracts.
    """

    path: Path
    keep: int = Field(default=3, ge=1)
    hold: bool = False


class National(Section):
    """The national data opt-out: what the service was asked about and what it answered.

    Attributes:
        requests: Files of NHS numbers that were sent.
        answers: Files that came back, each with its `.ctl` file: those who have not opted out.
        max_age_days: An answer older than this refuses the run; never above 21.
        max_not_asked: The largest share of a flow's rows whose number was never asked about; above it the list
            does not cover the flow and the run is refused.
        min_allowed: The smallest believable share of allowed among asked; below it the list is taken for
            something else (a list of those who did opt out, a truncated file) and the run is refused.
        mailbox: The ICS's MESH mailbox, from which requests are sent.
        recipient: The mailbox of the national service.
        workflow: The service's workflow.
        max_file_bytes: The largest request file; more numbers go into several.
    """

    requests: Strings = Field(min_length=1)
    answers: Strings = Field(min_length=1)
    max_age_days: int = Field(default=7, ge=0, le=21)
    max_not_asked: float = Field(default=0.05, ge=0, le=1)
    min_allowed: float = Field(default=0.7, ge=0, le=1)
    mailbox: str = Field(default="", pattern=r"^[A-Z0-9]*$")
    recipient: str = Field(default="X26HC065", pattern=r"^[A-Z0-9]+$")
    workflow: str = Field(default="SPINE_NTT_UPHOLDING", pattern=r"^[A-Z0-9_]+$")
    max_file_bytes: int = Field(default=100_000_000, ge=12)


class Type1(Section):
    """Type 1 opt-outs, found as codes in the GP records of the flows.

    Attributes:
        applies_to: `everything` that is known of the person, or `primary_care` only.
        max_age_days: GP records delivered longer ago than this refuse the run.
        codes: A TOML file of codes that adds to the national ones, or switches some of them off.
    """

    applies_to: Literal["everything", "primary_care"] = "everything"
    max_age_days: int = Field(default=35, ge=0)
    codes: Path | None = None


class Practices(Section):
    """Practices that do not share.

    Attributes:
        list: A list `not_sharing_ods_code,from,to,note` kept by the ICS, on top of the sharing agreements in the extracts.
        max_age_days: Agreements delivered longer ago than this, or a list not known to be complete since, refuse the run.
    """

    list: Path | None = None
    max_age_days: int = Field(default=35, ge=0)


class ListedPeople(Section):
    """People on a list that the ICS keeps, whatever the reason.

    Attributes:
        list: The list, readable by its owner only.
        max_age_days: A list not known to be complete for longer than this refuses the run.
        max_share: The largest believable share of all rows that it removes; above it the list is taken for
            something else (a list of those who may be used) and the run is refused.
    """

    list: Path
    max_age_days: int = Field(default=35, ge=0)
    max_share: float = Field(default=0.1, ge=0, le=1)


class Restricted(Section):
    """Codes whose records the law restricts.

    Attributes:
        list: A list `restricted_code,note` kept by the ICS; a code that ends in % stands for all that begin so.
        max_age_days: A list not known to be complete for longer than this refuses the run.
    """

    list: Path
    max_age_days: int = Field(default=366, ge=0)


class OwnRegister(Section):
    """A register that the ICS wrote itself: a class with one method.

    Attributes:
        file: The Python file that the class is in.
        name: The class.
        settings: What it is made with, besides `base`, the folder of the configuration.
        applies_to: `everything` that is known of the person, or `primary_care` only.
    """

    file: Path
    name: str = Field(pattern=r"^[A-Za-z_]\w*$")
    settings: dict[str, str | int | float | bool] = Field(default_factory=dict)
    applies_to: Literal["everything", "primary_care"] = "everything"


class Exemption(Section):
    """A document that lifts an opt-out for this purpose.

    Attributes:
        optout: What is lifted; `national_other_nations` lifts the national opt-out for numbers issued in Scotland and
            Ireland only, about which the service may not know; `practices_moved` lets in what was recorded of people
            before they left a practice that shares for one that does not.
        reference: The document.
        expires: The last day on which it does.
    """

    optout: Literal["national", "national_other_nations", "type1", "practices", "practices_moved"]
    reference: str = Field(min_length=3)
    expires: date | None = None


class Late(Section):
    """Opt-outs and replaced numbers that became known after a bundle was made.

    Attributes:
        max_age_days: Token lists made longer ago than this refuse to be applied; so do lists of which a register has
            grown too old since.
    """

    max_age_days: int = Field(default=7, ge=0, le=21)


class OptOuts(Section):
    """Everything binds unless an exemption with a reference lifts it.

    Attributes:
        objections: People who objected to the ICS itself.
        sensitive: People whose record is sensitive for a reason that no source marks.
        restricted: Codes whose records the law restricts; a row with one of them is removed.
        registers: Registers of the ICS's own.
    """

    national: National | None = None
    type1: Type1 = Type1()
    practices: Practices = Practices()
    late: Late = Late()
    objections: ListedPeople | None = None
    sensitive: ListedPeople | None = None
    restricted: Restricted | None = None
    registers: tuple[OwnRegister, ...] = ()
    exemptions: tuple[Exemption, ...] = ()

    def exempt(self, optout: str) -> bool:
        """Whether a document lifts this opt-out."""
        return any(exemption.optout == optout for exemption in self.exemptions)


class Minimise(Section):
    """How far people are described.

    Attributes:
        birth: Birth date to its year, or to year and month.
        postcodes: A lookup file in the ONS Postcode Directory's columns (pcds, lsoa11, lsoa21, imd); without it a postcode
            becomes its district.
        imd_areas: Among how many English areas its `imd` is a rank, where that cannot be seen.
    """

    birth: Literal["year", "month"] = "year"
    postcodes: Path | None = None
    imd_areas: int | None = Field(default=None, ge=10)


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


class Database(Section):
    """A database that tables of a feed are read from.

    Attributes:
        duckdb: A DuckDB file.
        odbc: Where the connection string of another database is, `env://NAME` or `file://PATH`; never the string itself.
        tables: For each of the feed's tables: a table as `schema.table`, or one SELECT.
        delivered: A SELECT that gives the day or moment at which the tables were delivered. For a DuckDB file the time of
            its last change, when not given.
        longest_text: Characters of the longest text in a column without a limit of its own, over ODBC.
    """

    duckdb: Path | None = None
    odbc: str | None = Field(default=None, pattern=r"^(env|file)://\S+$")
    tables: dict[str, str] = Field(min_length=1)
    delivered: str | None = None
    longest_text: int = Field(default=4000, ge=1)

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if (self.duckdb is None) == (self.odbc is None):
            raise ValueError("a database is either duckdb, a file, or odbc, a reference to a connection string")
        if self.odbc and not self.delivered:
            # The moment of reading would make old opt-outs look fresh.
            raise ValueError("an odbc database needs delivered: a SELECT of when its tables were delivered")
        return self


class Flow(Section):
    """One feed's extracts from one place.

    Attributes:
        feed: A shipped feed's name or the path of a local contract.
        path: The folder with the extracts.
        database: A database that some or all tables are read from; the others' files are in the folder.
        agreement: The reference of the data-sharing agreement behind the flow; one of the purpose's, where it lists any.
        optouts_applied_upstream: For feeds that arrive pseudonymised: the document that says so.
        tables: The tables that are published; all when empty. Others are read only where they inform.
        columns: For a table: the columns that are published, besides those that name and date its records.
        earliest: Records before this day, or without a date where their table has one, are removed.
        keep: For a column, or `table.column`: the codes that are kept, as a list or a CSV file with a column `code`.
    """

    feed: str
    path: Path | None = None
    database: Database | None = None
    agreement: str = ""
    optouts_applied_upstream: str | None = None
    tables: Strings = ()
    columns: dict[str, Strings] = Field(default_factory=dict)
    earliest: date | None = None
    keep: dict[str, Path | tuple[str, ...]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _comes_from_somewhere(self) -> Self:
        if self.path is None and self.database is None:
            raise ValueError("a flow needs a path, the folder of its extracts, or a database")
        return self


class Configuration(Section):
    """A whole `linkage.toml`."""

    purpose: Purpose
    keys: Keys
    store: Store
    private: Path = Path("private")
    allow_test_numbers: bool = False
    memory: str = Field(default="2GiB", pattern=r"^\d+(\.\d+)?[MG]i?B$")
    optouts: OptOuts = OptOuts()
    minimise: Minimise = Minimise()
    quality: Quality = Quality()
    flows: tuple[Flow, ...] = Field(min_length=1)
    base: Path = Field(default=Path(), exclude=True)
    digest: str = Field(default="", exclude=True)

    @model_validator(mode="after")
    def _flows_differ(self) -> Self:
        places = [(flow.feed, str(flow.path), repr(flow.database)) for flow in self.flows]
        if len(set(places)) != len(places):
            raise ValueError("two flows read the same feed from the same folder")
        return self

    @model_validator(mode="after")
    def _flows_have_agreements(self) -> Self:
        known = {agreement.reference for agreement in self.purpose.agreements}
        for flow in self.flows:
            if known and flow.agreement not in known:
                raise ValueError(f"flow {flow.feed}: its agreement is not one of the purpose's agreements")
        return self

    @model_validator(mode="after")
    def _population_can_be_told(self) -> Self:
        limits = self.purpose.population is not None and self.purpose.population.limits_people
        for flow in self.flows:
            if limits and flow.optouts_applied_upstream:
                raise ValueError(f"flow {flow.feed}: people arrive as pseudonyms, so the population cannot be told")
        return self

    def at(self, path: Path) -> Path:
        """A path of the configuration, from the folder that the file stands in."""
        return self.base / path


def load(path: Path) -> Configuration:
    """Read a configuration file.

    Raises:
        ConfigurationError: The file is missing, is not TOML, or has a key that is unknown or wrong; says which.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise ConfigurationError(f"{path}: cannot be read", hint="name an existing linkage.toml") from None
    try:
        content = numbered.written_out(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{path}: not a TOML file: {error}", hint="correct the line it names") from None
    except ValueError as error:
        raise ConfigurationError(f"{path}: {error}", hint="see docs/reference/contracts.md for ranges") from None
    try:
        configuration = Configuration.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        key = ".".join(str(part) for part in first["loc"]) or "the file"
        message = f"{path}: {key}: {first['msg'].removeprefix('Value error, ')}"
        raise ConfigurationError(message, hint="see docs/reference/configuration.md for every key") from None
    update = {"base": path.resolve().parent, "digest": hashlib.sha256(text.encode()).hexdigest()}
    return configuration.model_copy(update=update)
