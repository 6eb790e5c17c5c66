"""From a row to its person: the row's own NHS number, or the number that the roster knows its key by.

A replaced number is followed to the current one here, before anything is decided or tokenised.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from linkage import nhs_number
from linkage.contract import Role, Table
from linkage.reasons import Reason
from linkage.sources.roster import Roster, Told, current_numbers
from linkage.sources.roster_merge import with_rows
from linkage.sources.roster_tables import by_namespace

NUMBER = "_number"
GIVEN = "_given"
PERSON_REASON = "_person_reason"
BIRTH = "_birth_date"
HOME_PRACTICE = "_practice"
KEY_REMOVES = "_key_removes"
KEY = "?key"
INSIDE = "\x1f"
_MANY = 250_000  # keys of one namespace; about as many as there are rows in what is passed over at once

_UNKNOWN = Reason.PERSON_UNKNOWN.value
_AMBIGUOUS = Reason.PERSON_AMBIGUOUS.value


_ENTRY: dict[str, type[pl.DataType]] = {
    "key": pl.String,
    GIVEN: pl.Int64,
    NUMBER: pl.Int64,
    PERSON_REASON: pl.String,
    BIRTH: pl.Date,
    HOME_PRACTICE: pl.String,
    KEY_REMOVES: pl.String,
}


@dataclass(frozen=True, slots=True)
class People:
    """A roster made ready for joining: numbers followed to the current ones.

    Attributes:
        entries: By namespace, in the narrow types of the roster.
        current: Every replaced number and the one that counts now.
        told: What an earlier roster knew of whom something was said since.
    """

    entries: dict[str, pl.DataFrame]
    current: pl.DataFrame
    told: Told | None = None

    @property
    def by_namespace(self) -> dict[str, pl.DataFrame]:
        """What is known of every namespace, words as text: a copy."""
        return {name: self.known(name) for name in self.entries}

    def known(self, namespace: str | None) -> pl.DataFrame:
        """The entries of one namespace, words as text; none where the roster holds none of it."""
        return self.held(namespace).cast(_ENTRY)  # type: ignore[arg-type]

    def held(self, namespace: str | None) -> pl.DataFrame:
        """The same in the narrow types of the roster, and no copy."""
        return self.entries.get(namespace or "", pl.DataFrame(schema=_ENTRY))

    def where(self, namespace: str, condition: pl.Expr) -> pl.DataFrame:
        """The entries of a namespace of which something is true, in the narrow types of the roster."""
        return self.held(namespace).filter(condition)

    def of(self, namespace: str, keys: pl.DataFrame) -> pl.DataFrame:
        """The entries of some keys (`key`) of a namespace, in the narrow types of the roster."""
        return self.held(namespace).join(keys.select("key"), on="key", how="semi", maintain_order="left")

    def since(self, before: People, namespace: str) -> tuple[pl.DataFrame, pl.DataFrame]:
        """What was known of the keys of a namespace, and is known now: of all keys on which that may differ, and of others."""
        if isinstance(before, Earlier) and before.now is self:
            nobody = self.held(namespace).clear()
            keys = before.keys.get(namespace, nobody)
            return before.entries.get(namespace, nobody), self.of(namespace, keys)
        return before.held(namespace), self.held(namespace)

    def earlier(self, *, allow_test: bool) -> Earlier | None:
        """What was known before something was said of somebody; None where that was not kept.

        Args:
            allow_test: As in `people`.
        """
        if self.told is None:
            return None
        current = current_numbers(self.told.superseded)
        pairs = ((current, self.current), (self.current, current))
        differ = [one.join(other, on=one.columns, how="anti", nulls_equal=True) for one, other in pairs]
        replaced = pl.concat(differ)["superseded"].implode()
        keys, entries = {}, {}
        for name in {*self.entries, *self.told.keys}:
            # Where nothing was said of a key, it differs only in the numbers that replaced its own.
            moved = self.where(name, pl.col(GIVEN).is_in(replaced))
            told = self.told.keys.get(name, moved.select("key").clear())
            moved = moved.join(told, on="key", how="anti", maintain_order="left")
            was = [_as_told(moved), *([self.told.entries[name]] if name in self.told.entries else [])]
            keys[name] = pl.concat([told, moved.select("key")])
            entries[name] = pl.concat([_ready(each, current, allow_test=allow_test) for each in was])
        return Earlier(entries, current, now=self, keys=keys)

    def joined(self, rows: pl.LazyFrame, on: str, namespace: str | None) -> pl.LazyFrame:
        """The rows with what the roster knows of the key in column `on`."""
        held = self.held(namespace)
        entries = held.lazy()
        if held.height > _MANY:
            # A join holds what it looks things up in by key: a few rows' keys take less of that than all keys.
            entries = entries.join(rows.select(pl.col(on).alias("key")).unique(), on="key", how="semi")
        joined = rows.join(entries, left_on=on, right_on="key", how="left", maintain_order="left")
        return joined.with_columns(pl.col(PERSON_REASON, HOME_PRACTICE, KEY_REMOVES).cast(pl.String))

    def numbers(self, rows: pl.DataFrame, namespace: str | None) -> pl.DataFrame:
        """Of some rows with a `key` those that the roster knows, with its `_number` and `_given` (Int64)."""
        return rows.join(self.held(namespace).select("key", NUMBER, GIVEN), on="key", how="inner")

    def __repr__(self) -> str:
        return f"People({', '.join(sorted(self.entries))})"


@dataclass(frozen=True, slots=True, repr=False, kw_only=True)
class Earlier(People):
    """What was known before something was said: nearly all of it is what is known now, and not held twice.

    Attributes:
        entries: Of keys of which that may differ.
        now: What is known now.
        keys: By namespace, those keys.
    """

    now: People
    keys: dict[str, pl.DataFrame]

    def held(self, namespace: str | None) -> pl.DataFrame:
        """What was known of a namespace: a copy."""
        return self.where(namespace or "", pl.lit(value=True))

    def where(self, namespace: str, condition: pl.Expr) -> pl.DataFrame:
        """As of any people."""
        if namespace not in self.keys:
            return self.now.where(namespace, condition)
        same = self.now.where(namespace, condition).join(self.keys[namespace], on="key", how="anti")
        return pl.concat([same, self.entries[namespace].filter(condition)])

    def of(self, namespace: str, keys: pl.DataFrame) -> pl.DataFrame:
        """As of any people."""
        if namespace not in self.keys:
            return self.now.of(namespace, keys)
        others = keys.select("key").join(self.keys[namespace], on="key", how="anti")
        own = self.entries[namespace].join(keys.select("key"), on="key", how="semi")
        return pl.concat([self.now.of(namespace, others), own])


def people(roster: Roster, *, allow_test: bool) -> People:
    """Make a roster ready for `resolve`.

    Args:
        roster: What is known.
        allow_test: Whether numbers of the test range are people; where not, they get `number_test`.
    """
    current = roster.current_numbers()
    parts = {name: _ready(part, current, allow_test=allow_test) for name, part in by_namespace(roster.entries)}
    return People(parts, current, roster.told)


def _ready(part: pl.DataFrame, current: pl.DataFrame, *, allow_test: bool) -> pl.DataFrame:
    """The entries of one namespace with their current numbers; whatever stays as it is is not copied."""
    entries = part.select(
        "key",
        pl.col("number").alias(GIVEN),
        pl.col("number").alias(NUMBER),
        pl.col("reason").alias(PERSON_REASON),
        pl.col("birth_date").alias(BIRTH),
        pl.col("practice").alias(HOME_PRACTICE),
        pl.col("removes").alias(KEY_REMOVES),
    )
    test = _test_reason(GIVEN, allow_test=allow_test).is_not_null()
    unlike = pl.col(GIVEN).is_in(current["superseded"].implode()) | pl.col(PERSON_REASON).is_not_null() | test
    at = entries.select(pl.arg_where(unlike & pl.col(GIVEN).is_not_null())).to_series()
    return with_rows(entries, at, _followed(entries[at], current, allow_test=allow_test))


def _followed(entries: pl.DataFrame, current: pl.DataFrame, *, allow_test: bool) -> pl.DataFrame:
    """Entries with the numbers that count now, or why they have none."""
    words = entries.schema[PERSON_REASON]
    found = follow(entries.lazy(), current, GIVEN).with_columns(
        pl.col("_followed").alias(NUMBER),
        pl.coalesce(
            PERSON_REASON, _test_reason("_followed", allow_test=allow_test).cast(words), _circular().cast(words)
        ).alias(PERSON_REASON),
    )
    found = found.with_columns(pl.when(pl.col(PERSON_REASON).is_null()).then(NUMBER).alias(NUMBER))
    return found.select(entries.columns).collect()


def _as_told(known: pl.DataFrame) -> pl.DataFrame:
    """Entries with a number as a roster has them."""
    return known.select(
        "key",
        pl.col(GIVEN).alias("number"),
        pl.lit(None, known.schema[PERSON_REASON]).alias("reason"),
        pl.col(BIRTH).alias("birth_date"),
        pl.col(HOME_PRACTICE).alias("practice"),
        pl.col(KEY_REMOVES).alias("removes"),
    )


def key_of(table: Table, name: str) -> pl.Expr:
    """The key (String) under which the roster knows the person that a column names, with its organisation in front.

    Null without either: keys of organisations that nobody knows would be one another's.
    """
    return key_within(table, name, pl.col(name))


def key_within(table: Table, name: str, key: pl.Expr) -> pl.Expr:
    """The same for a key that stands elsewhere than in its column."""
    within = table.columns[name].within
    return key if within is None else pl.concat_str(within, key, separator=INSIDE)


def follow(frame: pl.LazyFrame, current: pl.DataFrame, column: str) -> pl.LazyFrame:
    """Add `_followed` (the current number for the one in `column`) and `_replaced` (whether there was one)."""
    if not current.height:
        return frame.with_columns(pl.col(column).alias("_followed"), pl.lit(value=False).alias("_replaced"))
    table = current.lazy().with_columns(pl.lit(value=True).alias("_replaced"))
    joined = frame.join(table, left_on=column, right_on="superseded", how="left", maintain_order="left")
    return joined.with_columns(
        pl.when(pl.col("_replaced")).then("current").otherwise(column).alias("_followed"),
        pl.col("_replaced").fill_null(value=False),
    ).drop("current")


def resolve(frame: pl.LazyFrame, table: Table, who: People, *, allow_test: bool) -> pl.LazyFrame:
    """Find the person of each row.

    Args:
        frame: Cleaned rows; numbers and keys are text.
        table: The contract's table.
        who: The roster.
        allow_test: Whether test-range numbers are people.

    Returns:
        The rows with `_number` (Int64, current, null without a usable one), `_given` (Int64, as delivered),
        `_person_reason` (String, why there is none), and from the roster `_birth_date`, `_practice` and
        `_key_removes` (null where the row's person does not come from it). Other persons of the row become `<name>`
        and `<name>_given` (Int64); where a key names them, `<name>?key` (String) is the key as delivered.
    """
    if table.person_keys:
        frame = _by_key(frame, table, who)
    elif table.subjects:
        frame = _by_number(frame, table.subjects[0], table, who, allow_test=allow_test)
    else:
        frame = frame.with_columns(
            pl.lit(None, pl.Int64).alias(NUMBER),
            pl.lit(None, pl.Int64).alias(GIVEN),
            pl.lit(None, pl.String).alias(PERSON_REASON),
        )
    if not table.person_keys:
        nothing = {BIRTH: pl.Date, HOME_PRACTICE: pl.String, KEY_REMOVES: pl.String}
        frame = frame.with_columns(pl.lit(None, dtype).alias(name) for name, dtype in nothing.items())
    for name in table.others:
        if table.columns[name].role is Role.PERSON_KEY:
            frame = _other_by_key(frame, name, table, who)
        else:
            frame = _other_by_number(frame, name, table, who, allow_test=allow_test)
    return frame


def _by_key(frame: pl.LazyFrame, table: Table, who: People) -> pl.LazyFrame:
    key = table.person_keys[0]
    joined = _joined(frame, table, key, who)
    unknown = pl.col(NUMBER).is_null() & pl.col(PERSON_REASON).is_null()
    if not table.roster:
        unknown = unknown | (pl.col(KEY_REMOVES) == Reason.DELETED.value).fill_null(value=False)
    return joined.with_columns(
        pl.when(unknown).then(pl.lit(_UNKNOWN)).otherwise(PERSON_REASON).alias(PERSON_REASON),
        pl.when(~unknown).then(NUMBER).alias(NUMBER),
    )


def _joined(frame: pl.LazyFrame, table: Table, key: str, who: People) -> pl.LazyFrame:
    namespace = table.columns[key].namespace
    if table.columns[key].within is None:
        return who.joined(frame, key, namespace)
    return who.joined(frame.with_columns(key_of(table, key).alias(KEY)), KEY, namespace).drop(KEY)


def _other_by_key(frame: pl.LazyFrame, name: str, table: Table, who: People) -> pl.LazyFrame:
    """Another person by the roster; nobody where the key has no usable number, or where its own row is not published."""
    usable = pl.when(pl.col(KEY_REMOVES).is_null())
    entries = who.known(table.columns[name].namespace).select(
        "key", usable.then(NUMBER).alias("_other"), usable.then(GIVEN).alias(f"{name}{GIVEN}")
    )
    keyed = frame.with_columns(key_of(table, name).alias(KEY), pl.col(name).alias(name + KEY))
    joined = keyed.join(entries.lazy(), left_on=KEY, right_on="key", how="left", maintain_order="left").drop(KEY)
    return joined.with_columns(pl.col("_other").alias(name)).drop("_other")


def _other_by_number(frame: pl.LazyFrame, name: str, table: Table, who: People, *, allow_test: bool) -> pl.LazyFrame:
    parsed = nhs_number.parse_expr(name, integer=table.columns[name].kind == "integer", allow_test=allow_test)
    frame = frame.with_columns(parsed.struct.field("number").alias(name))
    return follow(frame, who.current, name).rename({name: f"{name}{GIVEN}", "_followed": name}).drop("_replaced")


def _by_number(frame: pl.LazyFrame, name: str, table: Table, who: People, *, allow_test: bool) -> pl.LazyFrame:
    integer = table.columns[name].kind == "integer"
    parsed = nhs_number.parse_expr(name, integer=integer, allow_test=allow_test)
    # A step of its own: as part of the next it would be worked out once for each field.
    frame = frame.with_columns(parsed.alias("_parsed"))
    frame = frame.with_columns(
        pl.col("_parsed").struct.field("number").alias(GIVEN),
        pl.col("_parsed").struct.field("reason").cast(pl.String).alias(PERSON_REASON),
    ).drop("_parsed")
    frame = follow(frame, who.current, GIVEN)
    return frame.with_columns(
        pl.coalesce(PERSON_REASON, _circular()).alias(PERSON_REASON), pl.col("_followed").alias(NUMBER)
    ).drop("_followed", "_replaced")


def _circular() -> pl.Expr:
    return pl.when(pl.col("_replaced") & pl.col("_followed").is_null()).then(pl.lit(_AMBIGUOUS))


def _test_reason(column: str, *, allow_test: bool) -> pl.Expr:
    if allow_test:
        return pl.lit(None, pl.String)
    is_test = nhs_number.range_expr(column) == nhs_number.NumberRange.TEST.value
    return pl.when(is_test).then(pl.lit(Reason.NUMBER_TEST.value))
