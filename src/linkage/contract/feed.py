"""A feed: the tables that a source delivers, and whether they fit together."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from linkage.contract.column import KEYS, Role
from linkage.contract.part import NAME, Part, Strings
from linkage.contract.table import Table
from linkage.layout import Delimiter, Encoding, Layout, Quote
from linkage.submission import Submission


class Feed(Part):
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
            unplaced = [column for column, rule in table.columns.items() if not rule.position and rule.value is None]
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

    @model_validator(mode="after")
    def _type1_records_differ(self) -> Self:
        searched = [table for table in self.tables.values() if table.type1]
        if any(not table.person_keys for table in searched):
            raise ValueError("a table with type1 finds its person by a person_key")
        if len({table.columns[table.person_keys[0]].namespace for table in searched}) < len(searched):
            raise ValueError(
                "one table with type1 for each kind of person_key: records are told apart by their names alone"
            )
        return self

    def deletable(self, table: Table) -> dict[str, str]:
        """For each table of deletions that reaches a table of records: the column of the latter with the deleted key.

        That is a column of the key's namespace: of the primary key where there is one, else the first.
        """
        found: dict[str, str] = {}
        for name, log in self.deletions().items():
            namespace = log.columns[log.with_role(Role.RECORD)[0]].namespace
            for column in (*table.primary_key, *table.with_role(*KEYS)):
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
