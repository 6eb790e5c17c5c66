"""The site half in steps: from the files of every flow to the parts of a bundle.

`pipeline.py` tells the story; this is how each of its sentences is done.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

import polars as pl

from linkage import contract
from linkage.config import Configuration, Flow
from linkage.contract import Feed, Role, Table
from linkage.errors import ConfigurationError, InputError, LinkageError, TemporaryError
from linkage.pseudonymise import Keyset
from linkage.pseudonymise.areas import read_areas
from linkage.pseudonymise.minimise import Minimiser
from linkage.reasons import Reason
from linkage.sources import clean, read, select, tables
from linkage.sources.inspect import Extract, inspect
from linkage.sources.select import Selection

INACTIVE, HIDDEN = "_inactive", "_hidden"
STAMP_AHEAD = timedelta(days=1)  # a stamp without a time zone may be some hours ahead


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
    """

    feed: Feed
    flow: Flow
    extracts: Mapping[str, tuple[Extract, ...]]
    lookups: Mapping[str, pl.DataFrame]
    active: Mapping[str, pl.Series] = field(default_factory=dict)
    selection: Selection = field(default_factory=Selection)
    shared: Shared | None = field(default=None, repr=False, compare=False)

    @property
    def rows(self) -> int:
        """Rows of the tables that are handed over."""
        return sum(extract.rows for name in self.feed.handed_over() for extract in self.extracts[name])


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
) -> Iterator[Delivery]:
    """Find and inspect the files of every flow.

    Args:
        configuration: The purpose.
        now: Nothing can have been delivered after it, UTC.
        narrowed: What is read of a flow's feed, as `select.narrowed`.
        shared: By folder and contract, what several purposes read once; None where one purpose runs alone.

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
        _check_flow(flow, feed)
        _check_tables(flow, feed)
        mine = None
        if shared is not None and flow.path is not None and flow.database is None:
            place = (configuration.at(flow.path).resolve(), feed.digest)
            mine = shared.setdefault(place, {TABLES: tuple(feed.tables)})
        feed = narrowed(feed, flow, by_codes=configuration.optouts.restricted is not None)
        stamp = tables.delivered(flow.database, configuration.base) if flow.database else None
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            found = pool.map(partial(_inspected, configuration, flow, stamp, feed, mine), feed.tables)
            extracts = dict(zip(feed.tables, found, strict=True))
        for extract in chain.from_iterable(extracts.values()):
            _check_stamp(extract, feed, now)
        asked = {key for other in feeds if other.name != feed.name for key in select.asked_for(other)}
        # Where and how old people are is read from every roster.
        if configuration.purpose.population is None or not configuration.purpose.population.limits_people:
            feed = select.without_idle_rosters(feed, extracts, asked)
        selection = select.Selection.of(flow, configuration.base)
        yield Delivery(
            feed, flow, extracts, _lookups(feed, extracts, mine), _active(feed, extracts, mine), selection, mine
        )


def _check_stamp(extract: Extract, feed: Feed, now: datetime) -> None:
    """Refuse a stamp in the future: the latest delivery of a record decides, so it would decide for good."""
    if extract.delivered > now + STAMP_AHEAD:
        raise InputError(
            f"{extract.path.name}: the {'delivery stamp in its name' if feed.delivered else 'time of its modification'}"
            " lies in the future",
            hint="check the clock of this machine and of the sender; rename or remove the file",
        )


def _check_flow(flow: Flow, feed: Feed) -> None:
    """A feed of pseudonyms says where opt-outs were applied; no other feed can get round them by saying so."""
    tables = feed.records().values()
    numbers = any(table.subjects or table.person_keys or table.others for table in tables)
    if not is_pseudonymised(feed):
        if flow.optouts_applied_upstream:
            raise ConfigurationError(
                f"flow {feed.name}: people arrive by NHS number, so opt-outs are applied here",
                hint="remove optouts_applied_upstream; to lift an opt-out, add an exemption with its reference",
            )
        return
    if numbers:
        raise ConfigurationError(
            f"feed {feed.name}: some tables hold pseudonyms and others NHS numbers",
            hint="make two contracts of it, so that opt-outs bind where there are numbers",
        )
    if not flow.optouts_applied_upstream:
        raise ConfigurationError(
            f"flow {feed.name}: people arrive as pseudonyms, so opt-outs cannot be applied here",
            hint='name the document that says they were: optouts_applied_upstream = "…"',
        )


def is_pseudonymised(feed: Feed) -> bool:
    """Whether people arrive as an upstream scheme's pseudonyms."""
    return any(table.pseudonyms for table in feed.tables.values())


def _check_tables(flow: Flow, feed: Feed) -> None:
    """A misspelt table of a database must not be one that is silently looked for in the folder."""
    for name in flow.database.tables if flow.database else ():
        if name not in feed.tables:
            raise ConfigurationError(
                f"flow {feed.name}: database.tables: the feed has no table {name!r}",
                hint=f"one of {', '.join(feed.tables)}",
            )


def _inspected(
    configuration: Configuration, flow: Flow, stamp: datetime | None, feed: Feed, shared: Shared | None, name: str
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
    for path in read.find(configuration.at(flow.path), table, f"{feed.name} {name}"):
        extract = once(shared, partial(inspect, path, feed, table), "inspect", name, path.name)
        read.columns(extract, table)
        found.append(_with_rows(extract, table))
    return tuple(sorted(found, key=lambda extract: (extract.delivered, extract.path.name)))


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
        if "No space left" in str(error):
            raise TemporaryError("the disk is full", hint="free some space and run again") from None
        # A panic of the reader is not an Exception; anything else that is not one (Ctrl-C) must pass.
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise InputError(
            f"{extract.path.name}: cannot be read as feed {feed.name} ({type(error).__name__})",
            hint="the file's quoting or layout is broken, or it changed while it was read",
        ) from None


def narrow(table: Table, names: list[str]) -> Table:
    """A table with some of its columns, for reading no more than is needed."""
    if table.submission and table.submission.id:
        names = [*names, table.submission.id]
    names = [*names, *filter(None, (table.columns[name].within for name in names))]
    return table.model_copy(update={"columns": {name: table.columns[name] for name in dict.fromkeys(names)}})


def cleaned(delivery: Delivery, table: Table, extract: Extract) -> pl.LazyFrame:
    """The clean rows of one file, with two Booleans: `_inactive`, whether the row's submission is not active, and
    `_hidden`, false until `hide` says otherwise.
    """
    rows = clean.clean(read.scan(extract, table), delivery.feed, table, delivery.lookups)
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


def _lookups(feed: Feed, extracts: Mapping[str, tuple[Extract, ...]], shared: Shared | None) -> dict[str, pl.DataFrame]:
    """Translations that columns of the feed name: the latest delivery of a key counts."""
    wanted = {column.lookup for table in feed.tables.values() for column in table.columns.values() if column.lookup}
    made = {}
    for reference in sorted(wanted):
        name, _, value = reference.partition(".")
        table = _opaque_key(narrow(feed.tables[name], [feed.tables[name].key or "", value]))
        bare = Delivery(feed, Flow(feed=feed.name, path=Path()), extracts, {}, shared=shared)
        rows = pl.concat([small(bare, table, extract) for extract in extracts[name]])
        made[reference] = (
            rows.select(pl.col(table.key or "").alias("key"), pl.col(value).alias("value"))
            .filter(pl.col("key").is_not_null())
            .unique("key", keep="last", maintain_order=True)
        )
    return made


def _active(feed: Feed, extracts: Mapping[str, tuple[Extract, ...]], shared: Shared | None) -> dict[str, pl.Series]:
    """The active submissions that tables of the feed name, where a list of them was delivered.

    The latest delivered row of each primary key counts; without one the newest delivery is the whole list.
    """
    wanted = {table.submission.active for table in feed.tables.values() if table.submission}
    made = {}
    for reference in sorted(filter(None, wanted)):
        name, _, column = reference.partition(".")
        table = feed.tables[name]
        bare = Delivery(feed, Flow(feed=feed.name, path=Path()), extracts, {}, shared=shared)
        if extracts[name]:
            rows = pl.concat([small(bare, table, extract) for extract in extracts[name]]).filter(~pl.col("_malformed"))
            if table.primary_key:
                rows = rows.unique(table.primary_key, keep="last", maintain_order=True)
            else:
                rows = rows.filter(pl.col("_delivered") == pl.col("_delivered").max())
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
    areas = read_areas(configuration.at(rules.postcodes), rules.imd_areas) if rules.postcodes else None
    return Minimiser(rules.birth, areas)


def open_keyset(configuration: Configuration, passphrase: Callable[[], str] | None = None) -> Keyset:
    """Open the keyset that the configuration names; `passphrase` is asked only where the file needs one."""
    keys = configuration.keys
    identity = configuration.at(keys.identity) if keys.identity else None
    return Keyset.open(keys.keyset, identity=identity, passphrase=passphrase, base=configuration.base)
