"""Codes whose records the law restricts, or that an ICS has agreed not to use: a row with one of them does not go on.

No list of them comes with the package: none was found published in a form that could be checked. An ICS keeps its own.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass

import polars as pl

from linkage.contract import Role, Table
from linkage.optouts.lists import KeptList
from linkage.optouts.type1_codes import plain

HEADER = ("restricted_code", "note")
ANY_END = "%"


@dataclass(frozen=True, slots=True)
class Restricted:
    """Restricted codes, as `bare` writes them.

    Attributes:
        codes: Whole codes.
        beginnings: What restricted codes begin with.
    """

    codes: frozenset[str] = frozenset()
    beginnings: tuple[str, ...] = ()

    @classmethod
    def of(cls, kept: KeptList) -> Restricted:
        """From a list `restricted_code,note`; a code that ends in % stands for all that begin so.

        Raises:
            PolicyError: A line holds no code; says which.
        """
        codes: set[str] = set()
        beginnings: set[str] = set()
        for line, row in kept.rows():
            whole = not row[0].endswith(ANY_END)
            code = str(pl.select(bare(pl.lit(row[0].removesuffix(ANY_END)))).item())
            if not code:
                raise kept.wrong(line, "no code")
            (codes if whole else beginnings).add(code)
        return cls(frozenset(codes), tuple(sorted(beginnings)))

    @property
    def digest(self) -> str:
        """SHA-256 of the codes, hexadecimal; blank where there are none."""
        said = json.dumps([sorted(self.codes), sorted(self.beginnings)])
        return hashlib.sha256(said.encode()).hexdigest() if self.codes or self.beginnings else ""

    def holds(self, table: Table) -> pl.Expr:
        """Whether a row of a table holds one of them in any column of role code; Boolean, never null."""
        return pl.any_horizontal(pl.lit(value=False), *self._found(table.with_role(Role.CODE)))

    def _found(self, columns: Iterable[str]) -> Iterable[pl.Expr]:
        if not self.codes and not self.beginnings:
            return
        for name in columns:
            code = bare(pl.col(name))
            yield code.is_in(sorted(self.codes)).fill_null(value=False)
            yield from (code.str.starts_with(beginning).fill_null(value=False) for beginning in self.beginnings)


def bare(code: pl.Expr) -> pl.Expr:
    """Codes as they are compared: without dots, Read codes without their term code."""
    return plain(code).str.replace_all(".", "", literal=True)
