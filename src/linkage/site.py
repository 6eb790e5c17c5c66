"""The site half in steps: from the files of every flow to the parts of a bundle.

`pipeline.py` tells the story; this is how each of its sentences is done.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

import polars as pl

from linkage import contract
from linkage.bundle import digest
from linkage.config import Configuration, Flow
from linkage.contract import Feed, Role, Table
from linkage.errors import ConfigurationError, InputError, LinkageError, of_the_machine
from linkage.flow_checks import check_flow, check_stamp, check_tables, is_pseudonymised
from linkage.increments import compare
from linkage.increments.taken import Memory
from linkage.pseudonymise import Keyset
from linkage.pseudonymise.areas import read_areas
from linkage.pseudonymise.minimise import Minimiser
from linkage.reasons import Reason
from linkage.sources import clean, read, select, tables
from linkage.sources.inspect import Extract, inspect
from linkage.sources.select import Selection

__all__ = [
    "HIDDEN", "INACTIVE", "TABLES", "Delivery", "Shared", "cleaned", "deliveries", "flagged", "gathered", "is_pseudonymised",
    "minimiser", "narrow", "once", "open_keyset", "raised", "reading", "small", "stamp", "whole_person", "windows",
]  # fmt: skip

INACTIVE, HIDDEN = "_inactive", "_hidden"


Shared = dict[tuple[object, ...], Any]
_Made = TypeVar("_Made")
TABLES = ("tables",)  # under which the names of the contract's tables are shared, in its order


@dataclass(frozen=True, slots=True)
class Delivery:
    """What one flow delivered.

    Attributes:
        feed: The contract.
        flow: The flow of the configuration.
        extracts: Inspected files by table, in the order of delivery.
        lookups: Translations by `table.column`.
        active: Active submissions (String) by `table.column`; none where their list was not delivered.
        selection: Which records the flow takes.
        shared: What was read of these files already, where several purposes read them by one contract; else None.
        folder: The flow's folder.
        memory: What the last run took; None where every file is looked at.
    """

    feed: Feed
    flow: Flow
    extracts: Mapping[str, tuple[Extract, ...]]
    lookups: Mapping[str, pl.DataFrame]
    active: Mapping[str, pl.Series] = field(default_factory=dict)
    selection: Selection = field(default_factory=Selection)
    shared: Shared | None = field(default=None, repr=False, compare=False)
    folder: Path | None = None
    memory: Memory | None = field(default=None, repr=False, compare=False)


def once(shared: Shared | None, make: Callable[[], _Made], *key: object) -> _Made:
    """What `make` makes; where purposes share their reading, only the first time that this key is asked for."""
    if shared is None:
        return make()
    if key not in shared:
        shared[key] = make()
    found: _Made = shared[key]
    return found


def deliveries(
    configuration: Configuration,
    now: datetime,
    narrowed: Callable[..., Feed] = select.narrowed,
    shared: dict[tuple[Path, str], Shared] | None = None,
    memory: Memory | None = None,
) -> Iterator[Delivery]:
    """Find and inspect the files of every flow.

    Args:
        configuration: The purpose.
        now: Nothing can have been delivered after it, UTC.
        narrowed: What is read of a flow's feed, as `select.narrowed`.
        shared: By folder and contract, what several purposes read once; None where one purpose runs alone.
        memory: What the last run took: files that are as they were are not looked at again.

    Raises:
        ConfigurationError: A feed is unknown, or a pseudonymised flow does not say where opt-outs were applied.
        InputError: A file is missing, unreadable, lacks a required column or is stamped in the future.
    """
    names: set[str] = set()
    feeds = [contract.load(flow.feed, configuration.base) for flow in configuration.flows]
    for flow, feed in zip(configuration.flows, feeds, strict=True):
        if feed.name in names:
            raise ConfigurationError(
                f"two flows deliver feed {feed.name}: their tables would have one name",
                hint="give one a contract with a name of its own, or both one flow whose patterns reach both folders",
            )
        names.add(feed.name)
        check_flow(flow, feed)
        check_tables(flow, feed)
        mine = None
        if shared is not None and flow.path is not None and flow.database is None:
            place = (configuration.at(flow.path).resolve(), feed.digest)
            mine = shared.setdefault(place, {TABLES: tuple(feed.tables)})
        feed = narrowed(feed, flow, by_codes=configuration.optouts.restricted is not None)
        stamp = tables.delivered(flow.database, configuration.base) if flow.database else None
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            found = pool.map(partial(_inspected, configuration, flow, stamp, feed, mine, memory), feed.tables)
            extracts = dict(zip(feed.tables, found, strict=True))
        for extract in chain.from_iterable(extracts.values()):
            check_stamp(extract, feed, now)
        asked = {key for other in feeds if other.name != feed.name for key in select.asked_for(other)}
        # Where and how old people are is read from every roster.
        if configuration.purpose.population is None or not configuration.purpose.population.limits_people:
            feed = select.without_idle_rosters(feed, extracts, asked)
        selection = select.Selection.of(flow, configuration.base)
        folder = configuration.at(flow.path) if flow.path else None
        bare = Delivery(feed, flow, extracts, {}, selection=selection, shared=mine, folder=folder, memory=memory)
        yield replace(bare, lookups=_lookups(bare), active=_active(bare))


def _inspected(
    configuration: Configuration,
    flow: Flow,
    stamp: datetime | None,
    feed: Feed,
    shared: Shared | None,
    memory: Memory | None,
    name: str,
) -> tuple[Extract, ...]:
    table, source = feed.tables[name], flow.database
    if source and stamp and name in source.tables:
        return (_with_rows(tables.inspect(name, source, configuration.base, table, stamp), table),)
    if flow.path is None:
        if not table.optional:
            raise ConfigurationError(
                f"flow {feed.name}: no table of the database is named for {name}",
                hint="name it under database.tables, or give the flow the path of a folder with its files",
            )
        return ()
    found = []
    folder = configuration.at(flow.path)
    taken = memory.extracts(feed, name) if memory else {}
    for path in read.find(folder, table, f"{feed.name} {name}"):
        before = taken.get(path.relative_to(folder).as_posix())
        if before and before.seen.still(path):
            extract = before.extract(path)
        else:
            extract = once(shared, partial(inspect, path, feed, table), "inspect", name, path)
        read.columns(extract, table)
        found.append(_with_rows(extract, table))
    return tuple(sorted(found, key=lambda extract: (extract.delivered, extract.path.name)))


def check_unchanged(delivered: Iterable[Delivery]) -> None:
    """Refuse extracts that changed while they were read: some passes would have seen the old rows and some the new.

    Raises:
        InputError: One changed or is gone; names it.
    """
    for extract in chain.from_iterable(chain.from_iterable(each.extracts.values()) for each in delivered):
        if extract.seen is not None and extract.seen.changes(extract.path):
            raise InputError(
                f"{extract.path.name}: the file changed while it was read",
                hint="nothing was published: let its delivery end, and run again",
            )


def _with_rows(extract: Extract, table: Table) -> Extract:
    if not extract.rows and not table.optional:
        raise InputError(
            f"{extract.path.name}: a header and no rows", hint="ask the sender whether the extract is complete"
        )
    return extract


@contextmanager
def reading(extract: Extract, feed: Feed) -> Iterator[None]:
    """Turn whatever the reader raises into an error that names the file and repeats nothing of it."""
    try:
        yield
    except LinkageError:
        raise
    except BaseException as error:
        # Where the file itself can be read, the trouble is with what is written, or with the machine.
        if (said := of_the_machine(error)) and _readable(extract.path):
            raise said from None
        # A panic of the reader is not an Exception; anything else that is not one (Ctrl-C) must pass.
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise InputError(
            f"{extract.path.name}: cannot be read as feed {feed.name} ({type(error).__name__})",
            hint="the file's quoting or layout is broken, or it changed while it was read",
        ) from None


def _readable(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            while file.read(1 << 20):
                pass
    except OSError:
        # A table of a database has no file.
        return not path.exists()
    return True


def narrow(table: Table, names: list[str]) -> Table:
    """A table with some of its columns, for reading no more than is needed."""
    if table.submission and table.submission.id:
        names = [*names, table.submission.id]
    names = [*names, *filter(None, (table.columns[name].within for name in names))]
    return table.model_copy(update={"columns": {name: table.columns[name] for name in dict.fromkeys(names)}})


def cleaned(delivery: Delivery, table: Table, extract: Extract, numbers: pl.Series | None = None) -> pl.LazyFrame:
    """The clean rows of one file, with two Booleans: `_inactive`, whether the row's submission is not active, and
    `_hidden`, false until `hide` says otherwise. With `numbers` (UInt32) only the rows that have these.
    """
    found = read.scan(extract, table)
    if numbers is not None:
        found = found.filter(pl.col("_row").is_in(numbers.implode()))
    return _clean(found, delivery, table)


def windows(delivery: Delivery, table: Table, extract: Extract, rows: int) -> Iterator[pl.LazyFrame]:
    """The same, some `rows` at a time."""
    for each in read.windows(extract, table, rows):
        yield _clean(each, delivery, table)


def _clean(found: pl.LazyFrame, delivery: Delivery, table: Table) -> pl.LazyFrame:
    rows = clean.clean(found, delivery.feed, table, delivery.lookups)
    rows = rows.with_columns(pl.lit(value=False).alias(HIDDEN))
    told = table.submission
    active = delivery.active.get(told.active or "") if told else None
    if told is None or told.id is None or active is None:
        return rows.with_columns(pl.lit(value=False).alias(INACTIVE))
    # Without its submission's name a row is removed as incomplete, which says more.
    listed = pl.col(told.id).cast(pl.String).is_in(active.implode())
    return rows.with_columns((~listed).fill_null(value=False).alias(INACTIVE))


def small(delivery: Delivery, table: Table, extract: Extract) -> pl.DataFrame:
    """The clean rows of one file in memory, with `_delivered`: for tables that only inform, such as lookups."""

    def collect() -> pl.DataFrame:
        with reading(extract, delivery.feed):
            rows = cleaned(delivery, table, extract).with_columns(stamp(extract).alias("_delivered"))
            return rows.collect(engine="streaming")

    return once(delivery.shared, collect, "small", extract.path, tuple(table.columns))


def stamp(extract: Extract) -> pl.Expr:
    """When a file was delivered (Datetime[us], UTC)."""
    return pl.lit(extract.delivered.replace(tzinfo=None), pl.Datetime("us"))


def gathered(
    delivery: Delivery, name: str, what: str, table: Table, counts: Callable[[pl.DataFrame], pl.DataFrame]
) -> pl.DataFrame:
    """What counts of the rows of all files of a small table.

    Args:
        delivery: Whose table it is.
        name: The table's name.
        what: What is gathered, as the next run asks for it.
        table: Its columns.
        counts: From rows of several files to those that count: the same whether it is asked once, or first about the
            earlier files and then about what counted of them and the later ones.
    """
    found, memory, key = compare.files(delivery, name), delivery.memory, f"{delivery.feed.name} {what}"
    # A table of a database is read whole each time: what it no longer says does not count any more.
    before = memory.frame(key) if memory and found.only_added and found.known else None
    extracts = found.extracts if before is None else found.new
    rows = [counts(small(delivery, table, extract)) for extract in extracts]
    made = counts(pl.concat(rows if before is None else [before, *rows]))
    if memory:
        memory.frames[key] = made
    return made


def _lookups(delivery: Delivery) -> dict[str, pl.DataFrame]:
    """Translations that columns of the feed name: the latest delivery of a key counts."""
    feed = delivery.feed
    wanted = {column.lookup for table in feed.tables.values() for column in table.columns.values() if column.lookup}
    made = {}
    for reference in sorted(wanted):
        name, _, value = reference.partition(".")
        key = feed.tables[name].key or ""
        table = _opaque_key(narrow(feed.tables[name], [key, value]))

        def latest(rows: pl.DataFrame, key: str = key) -> pl.DataFrame:
            return rows.filter(pl.col(key).is_not_null()).unique(key, keep="last", maintain_order=True)

        rows = gathered(delivery, name, f"translations {reference}", table, latest)
        made[reference] = rows.select(pl.col(key).alias("key"), pl.col(value).alias("value"))
    return made


def _active(delivery: Delivery) -> dict[str, pl.Series]:
    """The active submissions that tables of the feed name, where a list of them was delivered.

    The latest delivered row of each primary key counts; without one the newest delivery is the whole list.
    """
    wanted = {table.submission.active for table in delivery.feed.tables.values() if table.submission}
    made = {}
    for reference in sorted(filter(None, wanted)):
        name, _, column = reference.partition(".")
        table = delivery.feed.tables[name]

        def latest(rows: pl.DataFrame, table: Table = table) -> pl.DataFrame:
            rows = rows.filter(~pl.col("_malformed"))
            if table.primary_key:
                return rows.unique(table.primary_key, keep="last", maintain_order=True)
            return rows.filter(pl.col("_delivered") == pl.col("_delivered").max())

        if delivery.extracts[name]:
            rows = gathered(delivery, name, f"active {reference}", table, latest)
            made[reference] = rows[column].cast(pl.String).drop_nulls()
    return made


def _opaque_key(table: Table) -> Table:
    """A key is only compared, never published: one GUID in some dozens holds ten digits in a row as NHS numbers do."""
    key = table.key or ""
    code = table.columns[key].model_copy(update={"role": Role.CODE})
    return table.model_copy(update={"columns": {**table.columns, key: code}})


def flagged(table: Table) -> pl.Expr:
    """The first reason (String) for which a flag removes the row, or null; an unreadable flag removes too."""
    order = [Reason.TEST_PATIENT, Reason.SENSITIVE, Reason.DELETED]
    names = [name for name in table.with_role(Role.FLAG) if table.columns[name].removes]
    names.sort(key=lambda name: order.index(Reason(table.columns[name].removes or "")))
    return pl.coalesce(
        *(pl.when(raised(name)).then(pl.lit(table.columns[name].removes)) for name in names),
        pl.lit(None, pl.String),
    )


def raised(name: str) -> pl.Expr:
    """Whether a flag (Boolean) is true, or is written and cannot be read."""
    return pl.col(name).fill_null(value=False) | pl.col(name + clean.INVALID)


def whole_person(table: Table) -> pl.Expr:
    """Whether (Boolean) a flag of the row removes all rows of its person."""
    names = [name for name in table.with_role(Role.FLAG) if table.columns[name].whole_person]
    return pl.any_horizontal([raised(name) for name in names] or [pl.lit(value=False)])


def minimiser(configuration: Configuration) -> Minimiser:
    """How far people are described, with the postcode lookup read."""
    rules = configuration.minimise
    if rules.postcodes is None:
        return Minimiser(rules.birth, None)
    path = configuration.at(rules.postcodes)
    areas = read_areas(path, rules.imd_areas)
    return Minimiser(rules.birth, areas, f"{digest(path)} {rules.imd_areas}")


def open_keyset(configuration: Configuration, passphrase: Callable[[], str] | None = None) -> Keyset:
    """Open the keyset that the configuration names; `passphrase` is asked only where the file needs one."""
    keys = configuration.keys
    identity = configuration.at(keys.identity) if keys.identity else None
    return Keyset.open(keys.keyset, identity=identity, passphrase=passphrase, base=configuration.base)
