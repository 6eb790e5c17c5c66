"""What it means that two snapshots are the same, and that somebody is in neither."""

from __future__ import annotations

import io
import json
import re
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
from evolving import Evolving
from rich.console import Console

from linkage import pipeline
from linkage.errors import LinkageError
from linkage.late import tokens
from linkage.nights.rollback import rollback
from linkage.progress import Progress
from linkage.pseudonymise import Keyset
from linkage.relink import relink
from linkage.store.layout import Store
from linkage.store.open import open_store

# Of a row that more than one of these explains, an increment may say another than a full run.
SPLIT = ("late_opt_out", "withdrawn", "superseded")
Tables = Mapping[str, tuple[list[Any], list[tuple[Any, ...]]]]
TOKENS = ("token", "mother_token", "linked_token", "carer_token")


class Unequal(AssertionError):
    """Two snapshots that should be the same are not; says where."""


def quiet() -> Progress:
    """Progress that nobody sees."""
    return Progress(console=Console(file=io.StringIO()))


def run(ics: Evolving, *, whole: bool) -> str:
    """Run one of the two purposes; what was refused, or nothing."""
    path = ics.configurations[whole]
    return _refusal(path, lambda: pipeline.run(path, now=ics.now, progress=quiet(), full=whole))


def run_both(ics: Evolving) -> str:
    """Run both and hold one against the other; what was refused, or nothing."""
    ics.minutes += 7
    refused, wholly = run(ics, whole=False), run(ics, whole=True)
    if refused != wholly:
        raise Unequal(f"adding: {refused or 'published'!r}; making everything again: {wholly or 'published'!r}")
    if not refused:
        compare(ics)
    return refused


def _refusal(path: Path, step: Callable[[], object]) -> str:
    try:
        step()
    except LinkageError as error:
        return f"{type(error).__name__}: {error.message}".replace(path.stem, "")
    return ""


def go_back(ics: Evolving, *, whole: bool) -> str:
    """Make the snapshot before the current one current; what was refused, or nothing."""
    path = ics.configurations[whole]
    store = Store(ics.folder / path.stem / "store")
    before = max(each.name for each in store.snapshots.iterdir() if each.name < (store.current() or ""))
    said = _refusal(path, lambda: rollback(path, before, reference="DOC-3", now=ics.now))
    return re.sub(r"\w+Z-\w+", "", said)


def relink_held(ics: Evolving, *, whole: bool) -> str:
    """Make token lists of late opt-outs and link the held bundle again; what was refused, or nothing."""
    path = ics.configurations[whole]

    def step() -> None:
        tokens(path, ics.now)
        relink(path, now=ics.now, progress=quiet())

    return re.sub(r"\w+Z-\w+", "", _refusal(path, step))


def compare(ics: Evolving, *, extracts: bool = True) -> None:
    """Hold the current snapshots and exact accounts of both against each other, and look for those who are out."""
    adding, whole = (ics.folder / path.stem for path in ics.configurations)
    found = same(adding, whole)
    if extracts:
        _nobody_who_is_out(ics, adding, found)


def same(adding: Path, whole: Path) -> Tables:
    """Hold the current snapshots and exact accounts in the folders of two purposes against each other; the first's tables."""
    ours = tables(adding)
    _same_tables(ours, tables(whole))
    _same_account(_account(adding), _account(whole))
    return ours


def tables(purpose: Path) -> Tables:
    """Columns and rows of every table as an analyst reads them, in stored order."""
    with open_store(purpose / "store") as connection:
        named = connection.execute(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'main' ORDER BY ALL"
        ).fetchall()
        found = {}
        for (name,) in named:
            relation = connection.execute(f'SELECT * FROM "{name}"')
            found[name] = [(each[0], str(each[1])) for each in relation.description or ()], relation.fetchall()
        return found


def _same_tables(ours: Tables, theirs: Tables) -> None:
    _equal("tables", sorted(ours), sorted(theirs))
    for name, (columns, rows) in theirs.items():
        _equal(f"columns of {name}", ours[name][0], columns)
        if name == "removed":
            continue  # The exact account tells it without suppression.
        mine = ours[name][1]
        for place, (one, other) in enumerate(zip(mine, rows, strict=False)):
            if one != other:
                kind = "order" if Counter(map(repr, mine)) == Counter(map(repr, rows)) else "rows"
                raise Unequal(f"{name}: {kind} differ at row {place}:\n  adding {one}\n  whole  {other}")
        _equal(f"rows of {name}", len(mine), len(rows))


def _account(purpose: Path) -> dict[str, Any]:
    current = (purpose / "store" / "current").read_text().strip()
    found: dict[str, Any] = json.loads((purpose / "private" / "runs" / f"{current}.json").read_text())
    return found


def _same_account(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> None:
    for part in ("inputs", "registers", "exemptions", "quality", "files", "months", "sources", "changes"):
        _equal(part, ours[part], theirs[part])
    for part in ("feeds", "documents", "quality", "limits", "months", "sources", "common", "changes"):
        _equal(f"snapshot {part}", ours["snapshot"][part], theirs["snapshot"][part])
    for one, other in zip(ours["snapshot"]["tables"], theirs["snapshot"]["tables"], strict=True):
        _equal(
            f"files of {other['name']}",
            [(file["path"], file["rows"]) for file in one["files"]],
            [(file["path"], file["rows"]) for file in other["files"]],
        )
    for one, other in zip(ours["balance"], theirs["balance"], strict=True):
        where = f"{other['feed']} {other['table']}"
        for part in ("feed", "table", "read", "published"):
            _equal(f"{part} of {where}", one[part], other[part])
        _equal(f"removed from {where}", _removed(one["removed"]), _removed(other["removed"]))


def _removed(rows: Mapping[str, int]) -> dict[str, int]:
    """Rows by reason, those that may be split otherwise taken together."""
    found: Counter[str] = Counter()
    for reason, count in rows.items():
        found["split" if reason in SPLIT else reason] += count
    return {reason: count for reason, count in sorted(found.items()) if count}


def _nobody_who_is_out(ics: Evolving, purpose: Path, published: Tables) -> None:
    people = sorted(ics.out())
    tokens = Keyset.open("age://keys.age", base=ics.folder).pseudonymiser("ics:test").tokenise(pl.Series(people))[0]
    out = dict(zip(tokens.to_list(), people, strict=True))
    for name, (columns, rows) in published.items():
        for place, (column, _) in enumerate(columns):
            if column in TOKENS:
                found = {row[place].bytes for row in rows if row[place] is not None} & set(out)
                _equal(f"people who are out, in {name}.{column}", found, set())
    for path in (purpose / "private" / "held").rglob("part-*.parquet"):
        frame = pl.read_parquet(path, hive_partitioning=False)
        for column in set(TOKENS) & set(frame.columns):
            found = set(frame[column].to_list()) & set(out)
            _equal(f"people who are out, held in {re.sub(r'.*/bundle/', '', str(path))} {column}", found, set())


def _equal(what: str, ours: object, theirs: object) -> None:
    if ours != theirs:
        raise Unequal(f"{what}:\n  adding {ours}\n  whole  {theirs}")


def later(ics: Evolving, days: float) -> None:
    """Let the clock go on."""
    ics.minutes += int(timedelta(days=days).total_seconds() // 60)
