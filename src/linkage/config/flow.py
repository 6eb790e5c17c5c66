"""Where the extracts of a feed are, and what of them is taken."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from linkage.purpose import Section, Strings


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
