"""A history and ten deltas end as one load of their sum does, in whatever order records are corrected and deleted."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small import ALLOWED, NOT_ASKED, OPTED_OUT, SmallIcs, make_small_ics

from linkage import hub
from linkage.pipeline import RunReport
from linkage.pseudonymise import Keyset

CONTRACT = """
name = "f"
setting = "community"
delivered = '_(\\d{8})\\.csv$'

[tables.contact]
files = "contact_*.csv"
primary_key = ["contact"]
month = "day"
event = { kind = "contact", record = "contact", start = "day" }
submission = { id = "submission", latest = "effective", active = "active.submission", replaces = ["provider", "period"] }
[tables.contact.columns]
contact = { source = "Contact", role = "record", namespace = "f.contact", required = true }
number = { source = "NHS", role = "person" }
provider = { source = "Provider", role = "organisation" }
period = { source = "Period", role = "category" }
submission = { source = "Submission", role = "record", namespace = "f.submission", required = true }
effective = { source = "Effective", role = "date" }
day = { source = "Day", role = "date" }
said = { source = "Said", role = "category" }
deleted = { source = "Deleted", role = "flag", removes = "deleted" }

[tables.note]
files = "note_*.csv"
primary_key = ["note"]
[tables.note.columns]
note = { source = "Note", role = "record", namespace = "f.note", required = true }
contact = { source = "Contact", role = "record", namespace = "f.contact" }
number = { source = "NHS", role = "person" }
said = { source = "Said", role = "category" }

[tables.log]
files = "log_*.csv"
kind = "deletions"
optional = true
[tables.log.columns]
contact = { source = "Contact", role = "record", namespace = "f.contact", required = true }
deleted = { source = "Deleted", role = "flag", removes = "deleted" }

[tables.active]
files = "active_*.csv"
kind = "submissions"
optional = true
[tables.active.columns]
submission = { source = "Submission", role = "record", namespace = "f.submission", required = true }
"""
HEADERS = {
    "contact": "Contact,NHS,Provider,Period,Submission,Effective,Day,Said,Deleted",
    "note": "Note,Contact,NHS,Said",
    "log": "Contact,Deleted",
    "active": "Submission",
}
NUMBERS = {ALLOWED: None, OPTED_OUT: "national_opt_out", NOT_ASKED: "national_not_asked", "": "number_missing"}
FIRST = date(2026, 10, 1)
# One good record in each file of each delivery, outside everything that is settled, so that no file is wholly bad.
CONTACTS = ["c{0}", ALLOWED, "Z", "p{0}", "always", "2026-01-01", "2026-05-01", "x", "0"]
NOTES = ["n{0}", "c{0}", ALLOWED, "x"]


@dataclass(frozen=True)
class Delivery:
    """What comes on one day; `active` is the list of active submissions, or None where no list comes."""

    contacts: tuple[tuple[str, ...], ...]
    notes: tuple[tuple[str, ...], ...]
    log: tuple[tuple[str, ...], ...]
    active: frozenset[str] | None


CONTACT = st.tuples(
    st.sampled_from("1234"),
    st.sampled_from([ALLOWED, ALLOWED, ALLOWED, *NUMBERS]),
    st.sampled_from("AAB"),
    st.sampled_from(["May", "June", ""]),
    st.sampled_from("123"),
    st.sampled_from(["2026-06-01", "2026-07-01", ""]),
    st.just("2026-05-09"),
    st.sampled_from("ab"),
    st.sampled_from("0001"),
)
NOTE = st.tuples(
    st.sampled_from("123"),
    st.sampled_from(["1", "2", "3", ""]),
    st.sampled_from([ALLOWED, ALLOWED, OPTED_OUT]),
    st.sampled_from("ab"),
)
LINE = st.tuples(st.sampled_from("12345"), st.sampled_from("110"))
DELIVERY = st.builds(
    Delivery,
    contacts=st.lists(CONTACT, max_size=5).map(tuple),
    notes=st.lists(NOTE, max_size=3).map(tuple),
    log=st.lists(LINE, max_size=3).map(tuple),
    active=st.one_of(st.none(), st.none(), st.frozensets(st.sampled_from("123"), min_size=1)),
)
DELIVERIES = st.lists(DELIVERY, min_size=11, max_size=11)


@contextmanager
def local_ics() -> Iterator[SmallIcs]:
    """A small ICS of the feed above, with a good many bad rows allowed and nothing delivered yet."""
    with tempfile.TemporaryDirectory() as name:
        ics = make_small_ics(Path(name))
        (ics.folder / "f.toml").write_text(CONTRACT)
        ics.replace('feed = "sus_op"', 'feed = "f.toml"')
        ics.replace("max_not_asked = 0.2", "max_not_asked = 1.0")
        ics.extract.unlink()
        yield ics


def deliver(ics: SmallIcs, place: int, delivery: Delivery) -> None:
    """Write the files of one day."""
    rows = {
        "contact": [[each.format(place) for each in CONTACTS], *delivery.contacts],
        "note": [[each.format(place) for each in NOTES], *delivery.notes],
        "log": delivery.log,
        "active": [("always",), *((each,) for each in sorted(delivery.active))] if delivery.active is not None else (),
    }
    for table, lines in rows.items():
        if lines:
            path = ics.folder / "extracts" / f"{table}_{FIRST + timedelta(days=place):%Y%m%d}.csv"
            path.write_text("\n".join([HEADERS[table], *(",".join(line) for line in lines)]) + "\n")


def published(ics: SmallIcs, report: RunReport) -> dict[str, list[tuple[Any, ...]]]:
    """Every table that holds records, row by row in the order in which it is stored."""
    assert report.database is not None
    with duckdb.connect(str(report.database), read_only=True) as connection:
        return {
            table: connection.execute(f"SELECT * FROM {table}").fetchall()
            for table in ("f_contact", "f_note", "event", "event_code", "person", "load", "removed")
        }


# ------------------------------------------------------------------------------------------- against plain Python


def known(text: str) -> tuple[bool, str]:
    """Sorts what is not known before what is."""
    return (text != "", text)


def gone_by_log(deliveries: Sequence[Delivery], place: int, contact: str) -> bool:
    """Whether the log of this delivery or a later one deletes the contact, by its last word in that delivery."""
    for delivery in deliveries[place:]:
        said = [deleted for key, deleted in delivery.log if key == contact]
        if said and said[-1] == "1":
            return True
    return False


def withdrawn(versions: Sequence[tuple[Any, str | None]], version: Any) -> bool:
    """Whether a later version of the record was removed for what is known of its person."""
    return any(other > version and reason not in (None, "inactive_submission") for other, reason in versions)


@dataclass
class Referee:
    """Who is published and what every other row is counted under, worked out row by row."""

    deliveries: Sequence[Delivery]

    def contacts(self) -> tuple[Counter[str], dict[str, str]]:
        lists = [delivery.active for delivery in self.deliveries if delivery.active is not None]
        rows = [(place, at, row) for place, each in enumerate(self.deliveries) for at, row in enumerate(each.contacts)]
        reasons = {}
        for place, at, row in rows:
            inactive = lists and row[4] not in lists[-1]
            reasons[place, at] = "inactive_submission" if inactive else NUMBERS[row[1]]
        standing = [each for each in rows if reasons[each[:2]] != "inactive_submission"]
        versions = {
            contact: [((known(row[5]), place, at), reasons[place, at]) for place, at, row in rows if row[0] == contact]
            for contact in {row[0] for _, _, row in rows}
        }
        left: dict[str, list[tuple[Any, str | None, tuple[str, ...]]]] = {}
        removed: Counter[str] = Counter()
        for place, at, row in rows:
            version = (known(row[5]), place, at)
            if reasons[place, at]:
                removed[reasons[place, at] or ""] += 1
            elif withdrawn(versions[row[0]], version):
                removed["withdrawn"] += 1
            else:
                fell = "deleted" if gone_by_log(self.deliveries, place, row[0]) else None
                fell = fell or ("superseded" if self._replaced(standing, row) else None)
                left.setdefault(row[0], []).append((version, fell, row))
        return self._settled(left, removed)

    def notes(self) -> tuple[Counter[str], dict[str, str]]:
        rows = [(place, at, row) for place, each in enumerate(self.deliveries) for at, row in enumerate(each.notes)]
        left: dict[str, list[tuple[Any, str | None, tuple[str, ...]]]] = {}
        removed: Counter[str] = Counter()
        for place, at, row in rows:
            versions = [((p, a), NUMBERS[other[2]]) for p, a, other in rows if other[0] == row[0]]
            if NUMBERS[row[2]]:
                removed[NUMBERS[row[2]] or ""] += 1
            elif withdrawn(versions, (place, at)):
                removed["withdrawn"] += 1
            else:
                fell = "deleted" if row[1] and gone_by_log(self.deliveries, place, row[1]) else None
                left.setdefault(row[0], []).append(((place, at), fell, (*row, "0")))
        return self._settled(left, removed)

    def _replaced(self, standing: Sequence[tuple[int, int, tuple[str, ...]]], row: tuple[str, ...]) -> bool:
        def age(submission: str) -> tuple[Any, ...]:
            own = [each for each in standing if each[2][2:5] == (*row[2:4], submission)]
            return (max(known(each[2][5]) for each in own), min(each[:2] for each in own))

        if row[3] == "":
            return False
        rivals = {each[2][4] for each in standing if each[2][2:4] == row[2:4]}
        return any(age(rival) > age(row[4]) for rival in rivals - {row[4]})

    @staticmethod
    def _settled(
        left: dict[str, list[tuple[Any, str | None, tuple[str, ...]]]], removed: Counter[str]
    ) -> tuple[Counter[str], dict[str, str]]:
        kept = {}
        for record, versions in left.items():
            alive = sorted(each for each in versions if each[1] is None)
            if not alive:
                removed.update(reason or "" for _, reason, _ in versions)
                continue
            winner = alive[-1]
            if winner[2][-1] == "1":
                removed["deleted"] += len(versions)
                continue
            kept[record] = winner[2][-2]
            for each in versions:
                if each is not winner:
                    removed["duplicate" if each[2] == winner[2] else "superseded"] += 1
        return removed, kept


def check(ics: SmallIcs, report: RunReport, deliveries: Sequence[Delivery]) -> None:
    """Hold a run against the referee: what is published, and every removed row under its reason."""
    account = {table: (removed, kept) for table, removed, kept in _account(deliveries)}
    exact = pl.read_json(ics.folder / "private" / "runs" / f"{report.run_id}.json")["balance"][0]
    balance = {each["table"]: each for each in exact}
    tokens = Keyset.open("age://keys.age", base=ics.folder).pseudonymiser("ics:test")
    assert report.database is not None
    with duckdb.connect(str(report.database), read_only=True) as connection:
        for table, (removed, kept) in account.items():
            always = {f"{table[0]}{place}": "x" for place in range(len(deliveries))}
            expected = {**kept, **always}
            names = tokens.record_tokens(pl.Series(list(expected)), f"f.{table}")
            said = dict(zip(names, expected.values(), strict=True))
            found = connection.execute(f"SELECT {table}, said FROM f_{table}").fetchall()
            assert {key.bytes: value for key, value in found} == said
            assert {reason: rows for reason, rows in balance[table]["removed"].items() if rows} == removed
            assert balance[table]["read"] == len(expected) + removed.total()
    lines = sum(len(delivery.log) for delivery in deliveries)
    assert balance["log"]["removed"]["notice"] == balance["log"]["read"] == lines if lines else True


def _account(deliveries: Sequence[Delivery]) -> Iterator[tuple[str, Counter[str], dict[str, str]]]:
    referee = Referee(deliveries)
    yield ("contact", *referee.contacts())
    yield ("note", *referee.notes())


@settings(max_examples=10)
@given(DELIVERIES)
def test_history_then_deltas_are_one_load_of_the_sum(deliveries: list[Delivery]) -> None:
    """Row for row, in the same order, with the same account; and as the referee says."""
    with local_ics() as ics:
        for place, delivery in enumerate(deliveries):
            deliver(ics, place, delivery)
            if place in (0, 4):
                ics.run()
        last = ics.run()
        grown = published(ics, last)
        check(ics, last, deliveries)
        shutil.rmtree(ics.store)
        shutil.rmtree(ics.folder / "private")
        assert published(ics, ics.run()) == grown


@pytest.mark.slow
@settings(max_examples=6)
@given(DELIVERIES)
def test_every_step_of_the_way_is_as_the_referee_says(deliveries: list[Delivery]) -> None:
    """After the history and after each of the ten deltas."""
    with local_ics() as ics:
        for place, delivery in enumerate(deliveries):
            deliver(ics, place, delivery)
            check(ics, ics.run(), deliveries[: place + 1])


@settings(max_examples=6)
@given(DELIVERIES)
def test_nothing_of_removed_people_is_handed_over(deliveries: list[Delivery]) -> None:
    """The bundle holds no token of a record that only ever belonged to people who may not be used."""
    seen: list[bytes] = []
    link = hub.link

    def looking(configuration: Any, manifest: Any, feeds: Any, work: Any, *more: Any) -> Any:
        files = [path for path in (work.folder / "bundle").rglob("*") if path.is_file()]
        assert {path.suffix for path in files} <= {".json", ".parquet"}
        seen.extend(_tokens(files))
        return link(configuration, manifest, feeds, work, *more)

    with local_ics() as ics, pytest.MonkeyPatch.context() as patch:
        for place, delivery in enumerate(deliveries):
            deliver(ics, place, delivery)
        patch.setattr(hub, "link", looking)
        ics.run()
        tokens = Keyset.open("age://keys.age", base=ics.folder).pseudonymiser("ics:test")
        used = {row[0] for each in deliveries for row in each.contacts if NUMBERS[row[1]] is None}
        used |= {row[1] for each in deliveries for row in each.notes if NUMBERS[row[2]] is None}
        unused = sorted(set("12345") - used)
        assert not set(tokens.record_tokens(pl.Series(unused, dtype=pl.String), "f.contact")) & set(seen)


def _tokens(files: Sequence[Path]) -> Iterator[bytes]:
    for path in files:
        if path.suffix == ".parquet":
            for column in pl.read_parquet(path, hive_partitioning=False):
                if column.dtype == pl.Binary:
                    yield from column.drop_nulls()
