"""A part of an earlier run carried over to what is decided now: by token, without its extract.

`reach` says what happens to whom. Here it happens to the rows of one part: people go, under the reason that a run over the
extract would give; tokens of replaced numbers become the current ones; other people are no longer named. The part that was
is never written into.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from linkage.bundle import LEVEL, Part, TableParts, check_part, digest
from linkage.increments.absent import ABSENT
from linkage.increments.reach import Changes, Reach
from linkage.pseudonymise import Pseudonymiser

__all__ = ["Carried", "Holding", "Tokens", "carry", "holding"]

_CHANGES = {"token": pl.Binary, "number": pl.Int64, "goes": pl.Boolean, "reason": pl.String, "current": pl.Binary}


@dataclass(frozen=True, slots=True, repr=False)
class Tokens:
    """What happens to the tokens of one table.

    Attributes:
        subject: The contract's column that names the rows' person; None where there is none.
        changes: By the contract's column: `token` and `current` (Binary), `number` (Int64), `goes` (Boolean) and
            `reason` (String).
        doubtful: By the contract's column, tokens whose files are made again.
        gone: What a part without them lacks, by column (`Changes.gone`).
    """

    subject: str | None
    changes: Mapping[str, pl.DataFrame]
    doubtful: Mapping[str, pl.Series]
    gone: Mapping[str, pl.DataFrame]

    @classmethod
    def of(cls, reach: Reach, parts: TableParts, pseudonymiser: Pseudonymiser, subject: str | None) -> Tokens:
        """For what `reach` says of the table whose parts these are."""
        published = {each.name for each in parts.fields}
        said = {
            name: each
            for name, each in reach.columns.items()
            if not each.nothing and _published(name, subject) in published
        }
        return cls(
            subject,
            {name: _changes(each, pseudonymiser) for name, each in said.items()},
            {name: pseudonymiser.person_tokens(each.doubtful).alias("token") for name, each in said.items()},
            {name: each.gone for name, each in said.items()},
        )

    @property
    def nothing(self) -> bool:
        """Whether nobody is spoken of, so that no part need be looked at."""
        return not self.changes

    def column(self, name: str) -> str:
        """The parts' column with the tokens of the contract's column."""
        return _published(name, self.subject)


def _published(name: str, subject: str | None) -> str:
    return "token" if name == subject else f"{name}_token"


def _changes(said: Changes, pseudonymiser: Pseudonymiser) -> pl.DataFrame:
    out = said.out.select(
        pseudonymiser.person_expr("number").alias("token"),
        "number",
        pl.lit(value=True).alias("goes"),
        "reason",
        pl.lit(None, pl.Binary).alias("current"),
    )
    moved = said.moved.select(
        pseudonymiser.person_expr("number").alias("token"),
        "number",
        pl.lit(value=False).alias("goes"),
        pl.lit(None, pl.String).alias("reason"),
        pseudonymiser.person_expr("current").alias("current"),
    )
    return pl.concat([out, moved]).cast(pl.Schema(_CHANGES))


@dataclass(frozen=True, slots=True)
class Holding:
    """Which files hold tokens that are spoken of.

    Attributes:
        again: By the number in `_file`: those that must be made again.
        changed: Those of which some row changes.
    """

    again: frozenset[int] = frozenset()
    changed: frozenset[int] = frozenset()


def holding(paths: list[Path], tokens: Tokens) -> Holding:
    """Look through the token columns of the parts of a table once; not at all where nobody is spoken of."""
    if tokens.nothing or not paths:
        return Holding()
    rows = pl.scan_parquet(paths)
    asked = [
        rows.filter(pl.col(tokens.column(name)).is_in(said.implode())).select(pl.col("_file").unique())
        for name in tokens.changes
        for said in (tokens.doubtful[name], tokens.changes[name]["token"])
    ]
    found = [frozenset(each["_file"].to_list()) for each in pl.collect_all(asked, engine="streaming")]
    return Holding(frozenset().union(*found[::2]), frozenset().union(*found[1::2]))


@dataclass(frozen=True, slots=True)
class Carried:
    """A part as it is now.

    Attributes:
        part: With the counts and the digest of today.
        removed: What withdraws records, of the rows that went: `keys`, `_version` and `_order`, as in `.removed` files.
        absent: Whose rows it lacks beside those that it lacked before (`ABSENT`).
    """

    part: Part
    removed: pl.DataFrame
    absent: pl.DataFrame


def carry(source: Path, target: Path, part: Part, tokens: Tokens, removed: Iterable[pl.Expr]) -> Carried:
    """Make a part anew from one of an earlier run.

    Args:
        source: The part's file.
        target: Where the new one goes: another path, or the same, which is then replaced and not written into.
        part: What the manifest says of it.
        tokens: What happens to whom.
        removed: What is kept of rows that go, from the columns of a part.

    Returns:
        The part, its rows in the same order.

    Raises:
        IntegrityError: The part's file is missing or was changed.
    """
    check_part(source, part)
    replacement = target.with_suffix(".replacement")
    rows = pl.scan_parquet(source)
    columns = rows.collect_schema().names()
    for name, said in tokens.changes.items():
        own = said.lazy().rename({each: f"?{name}?{each}" for each in said.columns})
        rows = rows.join(own, left_on=tokens.column(name), right_on=f"?{name}?token", how="left", maintain_order="left")
    goes = {name: pl.col(f"?{name}?goes").fill_null(value=False) for name in tokens.changes}
    leaves = goes.pop(tokens.subject or "", pl.lit(value=False))
    left = rows.filter(~leaves)
    now = left.with_columns(
        pl.when(~pl.col(f"?{name}?goes").fill_null(value=False))
        .then(pl.coalesce(f"?{name}?current", tokens.column(name)))
        .alias(tokens.column(name))
        for name in tokens.changes
    )
    nulled = [left.filter(going).select(_person(name)).unique() for name, going in goes.items()]
    went, people, *others = pl.collect_all(
        [rows.filter(leaves).select(*removed), _leavers(rows.filter(leaves), tokens), *nulled], engine="streaming"
    )
    # In a pass of its own: beside others the engine would hold rows back for it.
    now.select(columns).sink_parquet(replacement, compression="zstd", compression_level=LEVEL)
    replacement.replace(target)
    gone = [(tokens.subject or "", people.select("token_of")), *zip(goes, others, strict=True)]
    return Carried(_counted(part, people, digest(target)), went, _lacking(tokens, gone))


def _person(name: str) -> pl.Expr:
    return pl.col(f"?{name}?number").alias("token_of")


def _leavers(rows: pl.LazyFrame, tokens: Tokens) -> pl.LazyFrame:
    """Whose rows go, why, and how many."""
    if tokens.subject is None or tokens.subject not in tokens.changes:
        return pl.LazyFrame(schema={"token_of": pl.Int64, "reason": pl.String, "len": pl.UInt32})
    return rows.group_by(_person(tokens.subject), pl.col(f"?{tokens.subject}?reason").alias("reason")).len()


def _counted(part: Part, people: pl.DataFrame, digest: str) -> Part:
    if not people.height:
        return part.model_copy(update={"digest": digest})
    removed = dict(part.removed)
    for reason, rows in people.group_by("reason").agg(pl.col("len").sum()).sort("reason").iter_rows():
        removed[reason] = removed.get(reason, 0) + rows
    kept = part.kept - int(people["len"].sum())
    return part.model_copy(update={"kept": kept, "removed": removed, "digest": digest})


def _lacking(tokens: Tokens, gone: Iterable[tuple[str, pl.DataFrame]]) -> pl.DataFrame:
    """Whose rows a part lacks now, of those who went."""
    found = [ABSENT.to_frame()]
    for name, people in gone:
        if name in tokens.gone:
            lacks = tokens.gone[name].join(people, on="token_of", how="semi")
            found.append(lacks.select(ABSENT.names()).cast(ABSENT))
    return pl.concat(found)
