"""Bringing the roster up to date with what was delivered: whose keys, which opt-outs, which numbers were replaced."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from linkage import nhs_number
from linkage.contract import Role, Table, Type1
from linkage.optouts.type1_codes import Codes, plain
from linkage.site import INACTIVE, Delivery, cleaned, flagged, narrow, reading, small, whole_person
from linkage.sources import clean
from linkage.sources.inspect import Extract
from linkage.sources.roster import BY_NUMBER, ENTRIES, FLAGS, SEARCHED, SUPERSEDED, TYPE1, Roster


def roster(known: Roster, delivered: Sequence[Delivery], codes: Codes) -> Roster:
    """Bring the roster up to date with what was delivered."""
    entries, replaced, flags, searched = [], [], [], []
    type1_records: list[pl.DataFrame] = []
    for delivery in delivered:
        for name, table in delivery.feed.tables.items():
            for extract in delivery.extracts[name]:
                if table.roster:
                    entries.append(_entries(delivery, table, extract))
                if table.type1:
                    seen = pl.concat([known.type1, *type1_records])
                    type1_records.append(_type1(delivery, table, table.type1, extract, codes))
                    type1_records.append(_taken_back(delivery, table, table.type1, extract, codes, seen))
                    searched.append(_searched(f"{delivery.feed.name} {name}", extract, codes))
                if table.superseded:
                    replaced.append(_superseded(delivery, table, extract))
                if table.optout_flags:
                    flags += _flags(delivery, table, extract)
    known = known.with_entries(entries).with_type1(type1_records).with_superseded(replaced)
    return known.with_flags(flags).with_searched(searched)


def _stamp(extract: Extract) -> pl.Expr:
    return pl.lit(extract.delivered.replace(tzinfo=None), pl.Datetime("us"))


def _entries(delivery: Delivery, table: Table, extract: Extract) -> pl.DataFrame:
    key, number = table.person_keys[0], table.subjects[0]
    flags = [name for name in table.with_role(Role.FLAG) if table.columns[name].removes]
    birth, practice = table.with_role(Role.BIRTH_DATE)[:1], table.with_role(Role.PRACTICE)[:1]
    part = narrow(table, [key, number, *flags, *birth, *practice])
    parsed = nhs_number.parse_expr(number, integer=table.columns[number].kind == "integer")
    with reading(extract, delivery.feed):
        counts = pl.col(key).is_not_null() & ~pl.col("_malformed") & ~pl.col(INACTIVE)
        rows = cleaned(delivery, part, extract).filter(counts)
        return (
            rows.select(
                namespace=pl.lit(table.columns[key].namespace),
                key=pl.col(key),
                number=parsed.struct.field("number"),
                reason=parsed.struct.field("reason").cast(pl.String),
                birth_date=pl.col(birth[0]) if birth else pl.lit(None),
                practice=pl.col(practice[0]) if practice else pl.lit(None),
                removes=flagged(part),
                whole_person=whole_person(part),
                delivered=_stamp(extract),
            )
            .cast(ENTRIES)
            .collect(engine="streaming")
        )


def _type1(delivery: Delivery, table: Table, places: Type1, extract: Extract, codes: Codes) -> pl.DataFrame:
    """Rows with a type 1 code: one for each of the row's code columns that holds one."""
    key = table.person_keys[0]
    names = [places.record, key, *places.code, places.date, *([places.deleted] if places.deleted else [])]
    deleted = pl.col(places.deleted).fill_null(value=False) if places.deleted else pl.lit(value=False)
    found = []
    with reading(extract, delivery.feed):
        rows = cleaned(delivery, narrow(table, names), extract)
        for name in places.code:
            found.append(
                rows.filter(plain(pl.col(name)).is_in(codes.all()))
                .select(
                    namespace=pl.lit(table.columns[key].namespace),
                    key=pl.col(key),
                    record=pl.col(places.record),
                    code=plain(pl.col(name)),
                    date=pl.col(places.date),
                    deleted=deleted,
                    delivered=_stamp(extract),
                )
                .cast(TYPE1)
                .collect(engine="streaming")
            )
    return pl.concat(found)


def _taken_back(
    delivery: Delivery, table: Table, places: Type1, extract: Extract, codes: Codes, seen: pl.DataFrame
) -> pl.DataFrame:
    """Records that held a type 1 code when last seen and hold none here: changed, or deleted by a row that says no more.

    Such a row may even lack the person, so a record is known by its own name.
    """
    seen = seen.filter(pl.col("namespace") == table.columns[table.person_keys[0]].namespace)
    seen = seen.unique(["key", "record"], keep="last", maintain_order=True)
    if seen.is_empty():
        return TYPE1.to_frame()
    names = [places.record, *places.code]
    holds = [plain(pl.col(name)).is_in(codes.all()).fill_null(value=False) for name in places.code]
    with reading(extract, delivery.feed):
        rows = cleaned(delivery, narrow(table, names), extract).filter(~pl.any_horizontal(holds))
        found = (
            rows.select(record=pl.col(places.record))
            .unique()
            .join(seen.lazy(), on="record")
            .collect(engine="streaming")
        )
    return found.with_columns(deleted=pl.lit(value=True), delivered=_stamp(extract)).select(TYPE1.names())


def _searched(table: str, extract: Extract, codes: Codes) -> pl.DataFrame:
    return pl.select(table=pl.lit(table), code=pl.lit(pl.Series(codes.all())), oldest=_stamp(extract)).cast(SEARCHED)


def _flags(delivery: Delivery, table: Table, extract: Extract) -> list[pl.DataFrame]:
    """For each opt-out flag and person: whether some row says that they are out; what cannot be read says so too."""
    who = table.person_keys[0] if table.person_keys else table.subjects[0]
    part = narrow(table, [who, *table.optout_flags])
    if table.person_keys:
        namespace, key = table.columns[who].namespace or "", pl.col(who)
    else:
        parsed = nhs_number.parse_expr(who, integer=table.columns[who].kind == "integer")
        namespace, key = BY_NUMBER, parsed.struct.field("number").cast(pl.String)
    found = []
    with reading(extract, delivery.feed):
        rows = cleaned(delivery, part, extract).filter(~pl.col("_malformed"))
        for name in table.optout_flags:
            column = table.columns[name]
            says = (pl.col(name) == pl.lit(column.out_when)).fill_null(value=False) | pl.col(name + clean.INVALID)
            frame = rows.select(key=key, out=says).filter(pl.col("key").is_not_null())
            people = frame.group_by("key").agg(pl.col("out").any()).collect(engine="streaming")
            found.append(
                people.select(
                    namespace=pl.lit(namespace),
                    key="key",
                    optout=pl.lit(column.optout),
                    out="out",
                    delivered=_stamp(extract),
                ).cast(FLAGS)
            )
    return found


def _superseded(delivery: Delivery, table: Table, extract: Extract) -> pl.DataFrame:
    places = table.superseded
    if places is None:
        return SUPERSEDED.to_frame()
    rows = small(delivery, table, extract)
    number = {
        name: nhs_number.parse(rows[place])["number"]
        for name, place in (("superseded", places.superseded), ("current", places.current))
    }
    frame = pl.DataFrame({**number, "delivered": rows["_delivered"]}).cast(SUPERSEDED)
    return frame.drop_nulls().filter(pl.col("superseded") != pl.col("current"))
