"""Of files that are as they were: whose parts do not stand all the same, because something that they hold is judged otherwise now."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from linkage.bundle import Part, TableParts
from linkage.errors import LinkageError
from linkage.handover import lines
from linkage.hide import Hidden
from linkage.increments import absent, translations
from linkage.increments.carried import Tokens, holding
from linkage.increments.compare import unknown_name
from linkage.increments.reach import Reach
from linkage.increments.taken import TakenFile
from linkage.jobs import lacking
from linkage.pseudonymise.minimise import Output, outputs
from linkage.reasons import Reason
from linkage.site import Delivery
from linkage.withdrawn_records import Withdrawals

if TYPE_CHECKING:
    from linkage.parts import Work

__all__ = ["Standing"]

CODES = "codes in it are translated now"
PEOPLE = "somebody in it may be used now, or is somebody else"
SENSITIVE = "records in it were marked sensitive"
NOT_SENSITIVE = "records are no longer marked sensitive"
NOT_KNOWN = "what it was made by is missing or damaged"


@dataclass(frozen=True, slots=True)
class PeopleChange:
    """What a change of people means for the parts of a table.

    Attributes:
        why: By position, why files must be made again.
        mended: By position, why some rows of files must be looked at again.
        tokens: What happens to whom in the others, by token.
        changed: Places of parts of which some rows change.
        recounted: Places of parts of which rows that they lack are counted for another reason.
    """

    why: Mapping[int, str] = field(default_factory=dict)
    mended: Mapping[int, str] = field(default_factory=dict)
    tokens: Tokens | None = None
    changed: frozenset[int] = frozenset()
    recounted: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Standing:
    """The parts of one table that may stand.

    Attributes:
        delivery: The feed's files.
        name: The table.
        work: What rows are held against now.
        kept: By position, the files.
    """

    delivery: Delivery
    name: str
    work: Work
    kept: Mapping[int, TakenFile]

    @property
    def incomplete(self) -> bool:
        """Whether something is missing that a part which stands needs."""
        lookups = any(column.lookup for column in self.delivery.feed.tables[self.name].columns.values())
        memory = self.delivery.memory
        if lookups and (memory is None or memory.frame(unknown_name(self.delivery, self.name)) is None):
            return bool(self.kept)
        site, is_log = self._held("site"), self.delivery.feed.tables[self.name].kind == "deletions"
        needed = [
            path
            for _, part in self._parts()
            for path in (
                lines(site, part.path) if is_log else self._held("bundle") / part.path,
                Withdrawals.beside(site, part.path),
                lacking(site, part.path),
            )
        ]
        return not all(path.is_file() for path in needed)

    def translated(self) -> dict[int, str]:
        """Files that met a code which nothing translated, and something does now."""
        met = translations.met(self.delivery, self.name)
        return {at: CODES for at, before in self.kept.items() if met is None or before.path in met}

    def hidden(self, hidden: Sequence[Hidden]) -> dict[int, str]:
        """Files with a record that is marked sensitive and was not, or with one that was and is not."""
        found: dict[int, str] = {}
        for each in hidden:
            before = each.before if each.before is not None else each.keys.clear()
            added = each.keys.join(before, on=list(each.by), how="anti", nulls_equal=True)
            if each.before is None or before.join(each.keys, on=list(each.by), how="anti", nulls_equal=True).height:
                sensitive = Reason.SENSITIVE.value
                found |= {at: NOT_SENSITIVE for at, part in self._parts() if part.removed.get(sensitive)}
            if added.height:
                places = self._holding(each.by, added)
                found |= {at: SENSITIVE for at, part in self._parts() if places is None or part.place in places}
        return found

    def people(self, reach: Reach) -> PeopleChange:
        """What a change of people means for the parts."""
        memory = self.delivery.memory
        if reach.nothing or memory is None or memory.unseal is None or not self.kept:
            return PeopleChange()
        table = self.delivery.feed.tables[self.name]
        subject = [*table.person_keys, *table.subjects][:1]
        fields = tuple(each.field for each in self._outputs())
        parts = TableParts(feed=self.delivery.feed.name, table=self.name, contract_digest="", fields=fields, parts=())
        tokens = Tokens.of(reach, parts, self.work.pseudonymiser, subject[0] if subject else None)
        held = holding([self._held("bundle") / part.path for _, part in self._parts()], tokens)
        again = held.again | self._taken_out(tokens)
        mended = {at: PEOPLE for at, part in self._parts() if part.place in again}
        why, recounted = {}, set()
        for at, part in self._parts():
            lacks = self._lacks(part)
            if lacks is None:
                why[at] = NOT_KNOWN
                continue
            found = reach.absent(lacks)
            if at in mended or found.again:
                mended[at] = PEOPLE
            elif found.reasons.height:
                recounted.add(part.place)
        return PeopleChange(why, mended, tokens, held.changed, frozenset(recounted))

    def not_known(self, positions: Iterable[int]) -> dict[int, str]:
        """Of some files those of which it cannot be read whose rows their parts lack."""
        parts = dict(self._parts())
        return {at: NOT_KNOWN for at in positions if at in parts and self._lacks(parts[at]) is None}

    def lacked(self, column: str, keys: pl.DataFrame) -> pl.Series | None:
        """Of some keys (`key`) that a column may name those of which the parts lack rows; None where one cannot be read."""
        found = [keys["key"].clear()]
        for _, part in self._parts():
            # One after another: together they may list nearly everybody many times over.
            lacks = self._lacks(part)
            if lacks is None:
                return None
            found.append(lacks.filter(pl.col("column") == column).join(keys, on="key", how="semi")["key"])
        return pl.concat(found).unique()

    def _lacks(self, part: Part) -> pl.DataFrame | None:
        """Whose rows a part lacks (`ABSENT`); None where that is missing or damaged."""
        memory = self.delivery.memory
        if memory is None or memory.unseal is None:
            return None
        try:
            return absent.load(lacking(self._held("site"), part.path), memory.unseal)
        except LinkageError:
            return None

    def _taken_out(self, tokens: Tokens) -> frozenset[int]:
        """Places of parts of which rows of somebody who is spoken of were taken out."""
        subject = tokens.subject
        if subject is None or subject not in tokens.changes:
            return frozenset()
        spoken = pl.concat([tokens.changes[subject]["token"], tokens.doubtful[subject]]).implode()
        return frozenset(self._with(pl.col("token").is_in(spoken)))

    def _with(self, test: pl.Expr) -> Iterator[int]:
        """Places of parts of which such rows were taken out."""
        for _, part in self._parts():
            path = Withdrawals.taken_out(self._held("site"), part.path)
            if path.is_file() and pl.scan_parquet(path).select(test.any()).collect().item():
                yield part.place

    def _holding(self, by: tuple[str, ...], keys: pl.DataFrame) -> set[int] | None:
        """Places of parts that hold some of these keys, or lack a row that does; None where it cannot be told."""
        table, out = self.delivery.feed.tables[self.name], {each.field.name: each for each in self._outputs()}
        told = all(each in out and table.columns[each].within in (None, *by) for each in by)
        if not told:
            return None
        tokens = keys.lazy().select(out[each].value.alias(each) for each in by).collect()
        site, withdrawals = self._held("site"), Withdrawals.of(table, [*out.values()], Path(), Path(), by)
        found: set[int] = set()
        for where in (
            lambda part: self._held("bundle") / part,
            lambda part: withdrawals.beside(site, part),
            lambda part: withdrawals.taken_out(site, part),
        ):
            places = {where(part.path): part.place for _, part in self._parts()}
            found |= {places[path] for path in _files_with(tokens, filter(Path.is_file, places))}
        return found

    def _outputs(self) -> list[Output]:
        feed, work = self.delivery.feed, self.work
        return outputs(feed, feed.tables[self.name], work.minimiser, work.pseudonymiser)

    def _parts(self) -> Iterable[tuple[int, Part]]:
        return [(at, before.part) for at, before in self.kept.items() if before.part is not None]

    def _held(self, what: str) -> Path:
        memory = self.delivery.memory
        if memory is None or memory.folder is None:
            raise ValueError("only what a last run took can stand")
        return memory.folder / what


def _files_with(tokens: pl.DataFrame, paths: Iterable[Path]) -> Iterator[Path]:
    """Of some files of one kind those that hold some of the tokens."""
    sources = list(paths)
    if sources:
        rows = pl.scan_parquet(sources, include_file_paths="?path", extra_columns="ignore", glob=False)
        found = rows.join(tokens.lazy(), on=tokens.columns, how="semi").select(pl.col("?path").unique())
        yield from map(Path, found.collect(engine="streaming")["?path"])
