"""Bringing the roster up to date with what was delivered: whose keys, which opt-outs, which numbers were replaced."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TypeVar

import polars as pl

from linkage import nhs_number
from linkage.contract import Registration, Role, Table
from linkage.increments.untold import Untold
from linkage.optouts.type1_codes import Codes
from linkage.reasons import Reason
from linkage.site import INACTIVE, Delivery, cleaned, flagged, narrow, once, reading, small, stamp, whole_person
from linkage.sources import clean
from linkage.sources.inspect import Extract
from linkage.sources.resolve import key_of
from linkage.sources.roster import Roster
from linkage.sources.roster_tables import BY_NUMBER, ENTRIES, FLAGS, REGISTRATIONS, SEARCHED, SUPERSEDED, kept
from linkage.type1_search import Type1Search

_Read = TypeVar("_Read")


def roster(known: Roster, delivered: Sequence[Delivery], codes: Codes) -> Roster:
    """Bring the roster up to date with what was delivered; what it knows of already is not read again."""
    entries, type1_records, replaced, flags, searched, registered = [], [known.type1], [], [], [], []
    said = Untold(delivered, codes)
    for delivery in delivered:
        for name, table in delivery.feed.tables.items():
            for extract in delivery.extracts[name]:
                if said.tells("entries", delivery, name, extract):
                    entries.append(_once(delivery, name, extract, partial(_entries, delivery, table, extract)))
                if table.type1 and said.tells("type1", delivery, name, extract):
                    search = Type1Search(delivery, table, table.type1, extract, codes)
                    before = pl.concat(type1_records)
                    read = partial(search.find, before)
                    by = (codes.dissent, codes.withdrawal, codes.max_untranslated, _digest(delivery, before))
                    type1_records.append(_once(delivery, name, extract, read, *by))
                    searched.append(_searched(f"{delivery.feed.name} {name}", extract, codes))
                if said.tells("superseded", delivery, name, extract):
                    replaced.append(_superseded(delivery, table, extract))
                if said.tells("flags", delivery, name, extract):
                    told: list[pl.DataFrame] = _once(delivery, name, extract, partial(_flags, delivery, table, extract))
                    flags += told
                if table.registration and said.tells("registrations", delivery, name, extract):
                    places = partial(_registrations, delivery, table, table.registration, extract)
                    registered.append(_once(delivery, name, extract, places))
    known = known.with_entries(_let_go(entries)).with_type1(type1_records).with_superseded(replaced)
    return known.with_flags(flags).with_searched(searched).with_registrations(registered)


def _let_go(frames: list[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """Each frame once: whoever takes it is the only one that holds it."""
    while frames:
        yield frames.pop(0)


def _once(delivery: Delivery, name: str, extract: Extract, read: partial[_Read], *more: object) -> _Read:
    """What is read of one file; once where several purposes share it."""
    return once(delivery.shared, read, read.func.__name__, name, extract.path, *more)


def _digest(delivery: Delivery, rows: pl.DataFrame) -> str:
    """What tells rows from other rows, where several purposes may have the same."""
    return "" if delivery.shared is None else hashlib.sha256(rows.write_ipc(None).getbuffer()).hexdigest()


def _entries(delivery: Delivery, table: Table, extract: Extract) -> pl.DataFrame:
    key, number = table.person_keys[0], table.subjects[0]
    flags = [name for name in table.with_role(Role.FLAG) if table.columns[name].removes]
    birth, practice = table.with_role(Role.BIRTH_DATE)[:1], table.with_role(Role.PRACTICE)[:1]
    part = narrow(table, [key, number, *flags, *birth, *practice])
    parsed = nhs_number.parse_expr(number, integer=table.columns[number].kind == "integer")
    with reading(extract, delivery.feed):
        counts = key_of(table, key).is_not_null() & ~pl.col("_malformed") & ~pl.col(INACTIVE)
        rows = cleaned(delivery, part, extract).filter(counts)
        return (
            rows.select(
                namespace=pl.lit(table.columns[key].namespace),
                key=key_of(table, key),
                number=parsed.struct.field("number"),
                reason=parsed.struct.field("reason").cast(pl.String),
                birth_date=pl.col(birth[0]) if birth else pl.lit(None),
                practice=pl.col(practice[0]) if practice else pl.lit(None),
                removes=flagged(part),
                whole_person=whole_person(part),
                delivered=stamp(extract),
            )
            .cast(ENTRIES)
            .collect(engine="streaming")
            .pipe(kept, ENTRIES)
        )


def _searched(table: str, extract: Extract, codes: Codes) -> pl.DataFrame:
    return pl.select(table=pl.lit(table), code=pl.lit(pl.Series(codes.all())), oldest=stamp(extract)).cast(SEARCHED)


def _person(table: Table) -> tuple[str, str, pl.Expr]:
    """How a table's rows name their person: the column, the namespace, and the key (String) as the roster has it."""
    if table.person_keys:
        name = table.person_keys[0]
        return name, table.columns[name].namespace or "", key_of(table, name)
    name = table.subjects[0]
    parsed = nhs_number.parse_expr(name, integer=table.columns[name].kind == "integer")
    return name, BY_NUMBER, parsed.struct.field("number").cast(pl.String)


def _flags(delivery: Delivery, table: Table, extract: Extract) -> list[pl.DataFrame]:
    """For each opt-out flag and person: whether some row says that they are out; what cannot be read says so too."""
    who, namespace, key = _person(table)
    part = narrow(table, [who, *table.optout_flags])
    found = []
    with reading(extract, delivery.feed):
        rows = cleaned(delivery, part, extract)
        for name in table.optout_flags:
            column = table.columns[name]
            says = (pl.col(name) == pl.lit(column.out_when)).fill_null(value=False) | pl.col(name + clean.INVALID)
            # A broken row cannot take a no back.
            frame = rows.filter(~pl.col("_malformed")).select(key=key, out=says).filter(pl.col("key").is_not_null())
            people = frame.group_by("key").agg(pl.col("out").any()).collect(engine="streaming")
            found.append(
                people.select(
                    namespace=pl.lit(namespace),
                    key="key",
                    optout=pl.lit(column.optout),
                    out="out",
                    delivered=stamp(extract),
                ).cast(FLAGS)
            )
    return found


def _registrations(delivery: Delivery, table: Table, places: Registration, extract: Extract) -> pl.DataFrame:
    who, namespace, key = _person(table)
    dates = [places.start, *filter(None, [places.end])]
    flags = [name for name in table.with_role(Role.FLAG) if table.columns[name].removes]
    part = narrow(table, [who, places.practice, *dates, *flags])
    with reading(extract, delivery.feed):
        rows = cleaned(delivery, part, extract).filter(~pl.col("_malformed") & ~pl.col(INACTIVE))
        return (
            rows.select(
                feed=pl.lit(delivery.feed.name),
                namespace=pl.lit(namespace),
                key=key,
                practice=pl.col(places.practice),
                start=pl.col(places.start),
                end=pl.col(places.end) if places.end else pl.lit(None, pl.Date),
                deleted=(flagged(part) == Reason.DELETED.value).fill_null(value=False),
                delivered=stamp(extract),
            )
            .filter(pl.col("key").is_not_null())
            .cast(REGISTRATIONS)
            .collect(engine="streaming")
            .pipe(kept, REGISTRATIONS)
        )


def _superseded(delivery: Delivery, table: Table, extract: Extract) -> pl.DataFrame:
    places = table.superseded
    if places is None:
        return SUPERSEDED.to_frame()
    # A row with shifted fields could join two people.
    rows = small(delivery, table, extract).filter(~pl.col("_malformed"))
    number = {
        name: nhs_number.parse(rows[place])["number"]
        for name, place in (("superseded", places.superseded), ("current", places.current))
    }
    frame = pl.DataFrame({**number, "delivered": rows["_delivered"]}).cast(SUPERSEDED)
    return frame.drop_nulls().filter(pl.col("superseded") != pl.col("current"))
