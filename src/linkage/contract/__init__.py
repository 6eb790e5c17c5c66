"""A feed is data, not code: the contract that says what an extract holds and what happens to each column.

A contract is one TOML file. It names the tables of a feed, the files that carry them, and for every column
that may go on its name as delivered, its type and its *role*. A column that no contract names is dropped and counted.

    [tables.spell.columns]
    admission_date = { source = "spell.admission.date", role = "date", required = true }

The order of the keys in a contract is the order of the columns in the published table.
"""

from __future__ import annotations

from linkage.contract.column import DATED, DROPPED, Column, Role
from linkage.contract.feed import Feed
from linkage.contract.files import load, parse, shipped
from linkage.contract.meaning import ChildCodes, Codes, Event, Registration, Sharing, Superseded, Type1
from linkage.contract.part import NAME
from linkage.contract.table import RESERVED, Table

__all__ = [
    "DATED",
    "DROPPED",
    "NAME",
    "RESERVED",
    "ChildCodes",
    "Codes",
    "Column",
    "Event",
    "Feed",
    "Registration",
    "Role",
    "Sharing",
    "Superseded",
    "Table",
    "Type1",
    "load",
    "parse",
    "shipped",
]
