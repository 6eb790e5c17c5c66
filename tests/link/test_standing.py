"""Rows that a log of deletions or a later submission takes out, against the same in plain Python."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
from bundles import Row, feed, feed_table, parts, token, with_submissions
from hypothesis import given, settings
from hypothesis import strategies as st

from linkage.bundle import PLACES
from linkage.errors import IntegrityError
from linkage.link import FeedTable, Settled, check_no_numbers, check_tokens, connect, find_falls, settle
from linkage.reasons import Reason

RULES = """
name = "f"
setting = "community"

[tables.spell]
files = "*"
primary_key = "spell"
event = { kind = "spell", record = "spell", start = "begins", end = "ends" }
[tables.spell.columns]
spell = { source = "a", role = "record", namespace = "f.spell", required = true }
provider = { source = "b", role = "organisation" }
month = { source = "c", role = "category" }
submission = { source = "d", role = "record", namespace = "f.submission" }
effective = { source = "e", role = "date", type = "datetime" }
begins = { source = "f", role = "date" }
ends = { source = "g", role = "date" }
said = { source = "h", role = "category" }
opens = { source = "i", role = "date" }
closes = { source = "j", role = "date" }

[tables.episode]
files = "*"
primary_key = ["episode"]
[tables.episode.columns]
spell = { source = "a", role = "record", namespace = "f.spell" }
episode = { source = "b", role = "record", namespace = "f.episode" }
provider = { source = "c", role = "organisation" }
month = { source = "d", role = "category" }
submission = { source = "e", role = "record", namespace = "f.submission" }
effective = { source = "f", role = "date", type = "datetime" }

[tables.log]
files = "*"
kind = "deletions"
[tables.log.columns]
spell = { source = "a", role = "record", namespace = "f.spell", required = true }
"""
RULES = RULES.replace("month =", "period =")
MONTHLY = 'submission = { id = "submission", latest = "effective", replaces = ["provider", "period"] }'
COVERING = 'submission = { replaces = "provider", covers = { start = "opens", end = "closes" } }'
VERSIONED = 'submission = { latest = "effective" }'
SPELL = {
    "token": "UUID",
    "spell": "UUID",
    "provider": "VARCHAR",
    "period": "VARCHAR",
    "submission": "UUID",
    "effective": "TIMESTAMP",
    "begins": "DATE",
    "ends": "DATE",
    "said": "VARCHAR",
    "opens": "DATE",
    "closes": "DATE",
}
EPISODE = {name: SPELL[name] for name in ("token", "spell", "provider", "period", "submission", "effective")}
EPISODE = {**EPISODE, "episode": "UUID"}
LOG = {"token": "UUID", "spell": "UUID"}
JUNE, JULY = datetime(2026, 6, 1), datetime(2026, 7, 1)


def ruled(rule: str, *tables: str) -> Any:
    """The feed with a submission rule in some of its tables."""
    text = RULES
    for table in tables:
        text = text.replace(f"[tables.{table}.columns]", f"{rule}\n[tables.{table}.columns]")
    return feed(text)


PLAIN = ruled("")


@dataclass
class Hub:
    """The hub half's settling, of a bundle that is written as it is asked for."""

    folder: Path
    connection: duckdb.DuckDBPyConnection

    def settle(self, *tables: FeedTable) -> dict[str, Settled]:
        """Settle the tables of records; the others only tell."""
        check_tokens(self.connection, self.folder, [table.parts for table in tables])
        check_no_numbers(self.connection, self.folder, [table.parts for table in tables])
        falls = find_falls(self.connection, self.folder, tables)
        return {
            table.parts.table: settle(self.connection, self.folder, table.parts, table.table, falls.get(table.name, ()))
            for table in tables
            if table.table.kind == "records"
        }

    def rows(self, table: str, *columns: str) -> list[tuple[Any, ...]]:
        """Columns of the settled table, in its order."""
        return self.connection.execute(f"SELECT {', '.join(columns)} FROM f_{table}").fetchall()

    def spells(
        self, of: Any, files: Sequence[Sequence[Row]], *, told: Sequence[Sequence[Row]] | None = None
    ) -> FeedTable:
        """A table of spells; `told` are the rows that the site saw, where some of them were removed there."""
        return self._ruled(of, "spell", SPELL, files, told)

    def episodes(self, of: Any, files: Sequence[Sequence[Row]]) -> FeedTable:
        """A table of episodes."""
        return self._ruled(of, "episode", EPISODE, files, None)

    def log(self, of: Any, files: Sequence[Sequence[Row]]) -> FeedTable:
        """A log of deletions."""
        return feed_table(self.folder, of, "log", LOG, files)

    def _ruled(
        self,
        of: Any,
        table: str,
        fields: dict[str, str],
        files: Sequence[Sequence[Row]],
        told: Sequence[Sequence[Row]] | None,
    ) -> FeedTable:
        made = parts(self.folder, of.name, table, fields, files)
        rule = of.tables[table].submission
        if rule and rule.replaces:
            made = with_submissions(self.folder, made, rule.columns, files if told is None else told)
        return FeedTable(of, of.tables[table], made)


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    opened = connect(tmp_path / "linked.duckdb", tmp_path / "spill")
    yield Hub(tmp_path, opened)
    opened.close()


def spell(key: int | None, said: str = "x", person: int | None = 1, **more: Any) -> Row:
    """A spell of provider A in June, in submission 1."""
    base = {"provider": "A", "period": "June", "submission": 1, "effective": JUNE}
    return {"token": person, "spell": key, "said": said, **base, **more}


def episode(key: int, of: int | None, **more: Any) -> Row:
    """An episode of a spell."""
    base = {"provider": "A", "period": "June", "submission": 1, "effective": JUNE}
    return {"token": 1, "episode": key, "spell": of, **base, **more}


def line(key: int, *, deleted: bool = True, **more: Any) -> Row:
    """A line of the log."""
    return {"spell": key, "_deleted": deleted, **more}


class TestDeletions:
    """What a log deletes."""

    def test_the_record_and_what_hangs_on_it(self, hub: Hub) -> None:
        result = hub.settle(
            hub.spells(PLAIN, [[spell(1), spell(2)]]),
            hub.episodes(PLAIN, [[episode(11, 1), episode(12, 1), episode(21, 2), episode(31, None)]]),
            hub.log(PLAIN, [[], [line(1), line(9)]]),
        )
        assert result["spell"].removed == {Reason.DELETED: 1}
        assert result["episode"].removed == {Reason.DELETED: 2}
        assert hub.rows("spell", "spell") == [(token(2),)]
        assert hub.rows("episode", "episode") == [(token(21),), (token(31),)]

    def test_a_record_that_comes_again_lives(self, hub: Hub) -> None:
        result = hub.settle(
            hub.spells(PLAIN, [[spell(1, "old"), spell(2)], [], [spell(1, "new")]]),
            hub.episodes(PLAIN, [[episode(11, 1)], [], [episode(12, 1)]]),
            hub.log(PLAIN, [[], [line(1)]]),
        )
        assert result["spell"].removed == {Reason.SUPERSEDED: 1}
        assert hub.rows("spell", "spell", "said") == [(token(1), "new"), (token(2), "x")]
        assert hub.rows("episode", "episode") == [(token(12),)]
        assert result["episode"].removed == {Reason.DELETED: 1}

    def test_a_record_that_comes_again_as_it_was_is_counted_as_a_copy(self, hub: Hub) -> None:
        result = hub.settle(hub.spells(PLAIN, [[spell(1)], [], [spell(1)]]), hub.log(PLAIN, [[], [line(1)]]))
        assert result["spell"].removed == {Reason.DUPLICATE: 1}

    def test_what_is_deleted_twice_stays_deleted(self, hub: Hub) -> None:
        result = hub.settle(
            hub.spells(PLAIN, [[spell(1)], [], [spell(1)]]), hub.log(PLAIN, [[], [line(1)], [], [line(1)]])
        )
        assert result["spell"].removed == {Reason.DELETED: 2}

    def test_in_one_delivery_the_log_has_the_last_word(self, hub: Hub) -> None:
        result = hub.settle(hub.spells(PLAIN, [[spell(1), spell(2)]]), hub.log(PLAIN, [[line(1)]]))
        assert result["spell"].removed == {Reason.DELETED: 1}
        assert hub.rows("spell", "spell") == [(token(2),)]

    def test_in_one_delivery_a_logged_insertion_takes_a_deletion_back(self, hub: Hub) -> None:
        lines = [line(1), line(1, deleted=False), line(2, deleted=False), line(2)]
        hub.settle(hub.spells(PLAIN, [[spell(1), spell(2)]]), hub.log(PLAIN, [lines]))
        assert hub.rows("spell", "spell") == [(token(1),)]

    def test_a_later_insertion_does_not_wake_what_was_deleted_before(self, hub: Hub) -> None:
        log = hub.log(PLAIN, [[], [line(1)], [line(1, deleted=False)]])
        assert hub.settle(hub.spells(PLAIN, [[spell(1)]]), log)["spell"].kept == 0

    def test_another_feeds_log_deletes_nothing(self, hub: Hub) -> None:
        other = feed(RULES.replace('name = "f"', 'name = "g"'))
        log = feed_table(hub.folder, other, "log", LOG, [[], [line(1)]])
        assert hub.settle(hub.spells(PLAIN, [[spell(1)]]), log)["spell"].kept == 1

    def test_a_log_without_lines_and_one_without_files(self, hub: Hub) -> None:
        for files in ([], [[]]):
            assert hub.settle(hub.spells(PLAIN, [[spell(1)]]), hub.log(PLAIN, files))["spell"].kept == 1
            hub.connection.execute("DROP TABLE f_spell")

    def test_a_bundle_without_the_key_is_refused(self, hub: Hub) -> None:
        lacking = {name: type for name, type in EPISODE.items() if name != "spell"}
        table = feed_table(hub.folder, PLAIN, "episode", lacking, [[episode(11, 1)]])
        with pytest.raises(IntegrityError, match="settles rows and is not in the bundle"):
            hub.settle(table, hub.log(PLAIN, [[line(1)]]))


class TestLatestVersion:
    """What the contract calls the latest."""

    OF = ruled(VERSIONED, "spell")

    def test_it_wins_over_the_order_of_delivery(self, hub: Hub) -> None:
        result = hub.settle(hub.spells(self.OF, [[spell(1, "new", effective=JULY)], [spell(1, "old")]]))
        assert hub.rows("spell", "said") == [("new",)]
        assert result["spell"].removed == {Reason.SUPERSEDED: 1}

    def test_delivery_decides_among_equals_and_the_unknown_is_earliest(self, hub: Hub) -> None:
        files = [[spell(1, "a"), spell(2, "c")], [spell(1, "b"), spell(2, "d", effective=None)]]
        hub.settle(hub.spells(self.OF, files))
        assert hub.rows("spell", "said") == [("b",), ("c",)]

    def test_a_flagged_deletion_of_an_old_version_deletes_nothing(self, hub: Hub) -> None:
        files = [[spell(1, "new", effective=JULY)], [spell(1, _deleted=True)]]
        assert hub.settle(hub.spells(self.OF, files))["spell"].removed == {Reason.SUPERSEDED: 1}


class TestReplacedSubmissions:
    """The last good file of a provider and period."""

    OF = ruled(MONTHLY, "spell", "episode")

    def test_what_a_newer_submission_no_longer_holds_goes(self, hub: Hub) -> None:
        second = {"submission": 2, "effective": JULY}
        result = hub.settle(
            hub.spells(self.OF, [[spell(1), spell(2), spell(3, period="May")], [spell(1, **second)]]),
            hub.episodes(self.OF, [[episode(11, 1), episode(31, 3, period="May")]]),
        )
        assert hub.rows("spell", "spell", "submission") == [(token(1), token(2)), (token(3), token(1))]
        assert result["spell"].removed == {Reason.SUPERSEDED: 2}
        # The second submission has no episode at all: the first one's do not stay for that.
        assert result["episode"].removed == {Reason.SUPERSEDED: 1}
        assert hub.rows("episode", "episode") == [(token(31),)]

    def test_the_newer_one_is_told_by_its_date_not_by_its_delivery(self, hub: Hub) -> None:
        newer = spell(1, "newer", submission=2, effective=JULY)
        hub.settle(hub.spells(self.OF, [[newer], [spell(1, "older"), spell(2, "older")]]))
        assert hub.rows("spell", "said") == [("newer",)]

    def test_a_submission_of_which_every_row_was_removed_replaces_too(self, hub: Hub) -> None:
        told = [[spell(1)], [spell(2, submission=2, effective=JULY)]]
        assert hub.settle(hub.spells(self.OF, [[spell(1)], []], told=told))["spell"].removed == {Reason.SUPERSEDED: 1}

    def test_an_older_submission_sent_again_does_not_become_the_newer(self, hub: Hub) -> None:
        of = ruled(MONTHLY.replace('latest = "effective", ', ""), "spell")
        files = [[spell(1, "old")], [spell(1, "new", submission=2)], [spell(1, "old"), spell(2, "old")]]
        hub.settle(hub.spells(of, files))
        assert hub.rows("spell", "said") == [("new",)]

    def test_without_a_name_a_delivery_is_a_submission(self, hub: Hub) -> None:
        of = ruled('submission = { replaces = ["provider", "period"] }', "spell")
        # Two files of one delivery are one submission.
        files = [[spell(1)], [spell(2, _delivered=1)], [spell(3, _delivered=1)]]
        hub.settle(hub.spells(of, files))
        assert hub.rows("spell", "spell") == [(token(2),), (token(3),)]

    @pytest.mark.parametrize("rule", [MONTHLY, COVERING])
    def test_what_another_sender_submits_for_the_provider_takes_nothing_away(self, hub: Hub, rule: str) -> None:
        """A site could name any provider; files of sites are numbered far apart."""
        of, period = (
            ruled(rule, "spell"),
            {"opens": date(2026, 6, 1), "closes": date(2026, 6, 30), "begins": date(2026, 6, 2)},
        )
        other = spell(2, submission=2, effective=JULY, _file=PLACES, **period)
        result = hub.settle(hub.spells(of, [[spell(1, **period)], [other]]))
        assert (result["spell"].kept, result["spell"].removed) == (2, {})

    @pytest.mark.parametrize("mine", [0, PLACES])
    def test_deliveries_of_two_senders_at_one_moment_stay_apart(self, hub: Hub, mine: int) -> None:
        """Whichever of them has the lower numbers: a later delivery of one takes nothing of the other's away."""
        of, other = ruled('submission = { replaces = ["provider", "period"] }', "spell"), PLACES - mine
        rows = [spell(1, _delivered=0, _file=mine), spell(2, _delivered=0, _file=other)]
        later = [spell(3, _delivered=1, _file=other + 1)]
        result = hub.settle(hub.spells(of, [rows, later]))
        assert hub.rows("spell", "spell") == [(token(1),), (token(3),)]
        assert result["spell"].removed == {Reason.SUPERSEDED: 1}

    def test_other_providers_and_rows_that_do_not_say_stay(self, hub: Hub) -> None:
        rows = [spell(1, provider="B"), spell(2, provider=None), spell(3, submission=None)]
        result = hub.settle(hub.spells(self.OF, [rows, [spell(4, submission=2, effective=JULY)]]))
        assert (result["spell"].kept, result["spell"].removed) == (4, {})

    def test_rows_without_a_key_go_with_their_submission(self, hub: Hub) -> None:
        files = [[spell(None), spell(None, _deleted=True)], [spell(4, submission=2, effective=JULY)]]
        assert hub.settle(hub.spells(self.OF, files))["spell"].removed == {Reason.SUPERSEDED: 2}

    def test_a_list_of_submissions_that_holds_numbers_is_refused(self, hub: Hub) -> None:
        table = hub.spells(self.OF, [[spell(1)]], told=[[spell(1, provider="9434765919")]])
        with pytest.raises(IntegrityError, match="spell submissions: column 'provider' holds what looks like"):
            hub.settle(table)

    def test_a_list_of_submissions_with_bad_tokens_is_refused(self, hub: Hub) -> None:
        table = hub.spells(self.OF, [[spell(1)]], told=[[spell(1, submission=b"0123456789abcdef")]])
        with pytest.raises(IntegrityError, match="spell submissions: column 'submission' holds 1 values"):
            hub.settle(table)


MARCH, APRIL, MAY, YEAR = date(2026, 3, 31), date(2026, 4, 1), date(2026, 5, 1), date(2027, 3, 31)
OLD = {"opens": date(2025, 4, 1), "closes": MARCH}
NEW = {"opens": date(2025, 7, 1), "closes": date(2026, 6, 30)}


class TestCoveredPeriods:
    """Submissions whose periods overlap."""

    OF = ruled(COVERING, "spell")

    @pytest.mark.parametrize(
        ("begins", "ends", "stays"),
        [
            (date(2025, 4, 1), date(2025, 6, 30), True),  # over before the later period begins
            (date(2025, 4, 1), date(2025, 7, 1), False),  # reaches into it
            (date(2025, 9, 1), date(2025, 9, 1), False),
            (date(2026, 6, 30), date(2027, 1, 1), False),
            (date(2026, 7, 1), date(2027, 1, 1), True),
            (date(2020, 1, 1), None, False),  # goes on
            (date(2026, 7, 1), None, True),
            (None, date(2025, 5, 1), True),  # began when its own submission's period did
            (None, None, False),
        ],
    )
    def test_an_event_in_the_later_period_goes(
        self, hub: Hub, begins: date | None, ends: date | None, stays: bool
    ) -> None:
        row = spell(1, begins=begins, ends=ends, **OLD)
        result = hub.settle(hub.spells(self.OF, [[row], [spell(2, begins=MAY, ends=MAY, **NEW)]]))
        assert result["spell"].kept == 1 + stays

    def test_a_record_that_comes_again_replaces_as_ever(self, hub: Hub) -> None:
        rows = [spell(1, "old", begins=date(2025, 4, 1), ends=date(2025, 5, 1), **OLD)]
        hub.settle(hub.spells(self.OF, [rows, [spell(1, "new", begins=MAY, ends=MAY, **NEW)]]))
        assert hub.rows("spell", "said") == [("new",)]

    def test_one_mistyped_period_replaces_nothing(self, hub: Hub) -> None:
        new = [spell(2, begins=MAY, ends=MAY, **NEW), spell(3, begins=MAY, ends=MAY, **NEW)]
        slip = spell(4, begins=MAY, ends=MAY, opens=date(1925, 7, 1), closes=date(2026, 6, 30))
        early = spell(1, begins=date(2025, 4, 1), ends=date(2025, 5, 1), **OLD)
        assert hub.settle(hub.spells(self.OF, [[early], [*new, slip]]))["spell"].kept == 4

    def test_a_period_that_ends_before_it_begins_covers_nothing(self, hub: Hub) -> None:
        backwards = spell(2, begins=MAY, ends=MAY, opens=YEAR, closes=date(2020, 1, 1))
        assert hub.settle(hub.spells(self.OF, [[spell(1, begins=MAY, **OLD)], [backwards]]))["spell"].kept == 2


# ------------------------------------------------------------------------------------------- against plain Python

DAYS = st.sampled_from([None, date(2026, 1, 1), date(2026, 2, 1), date(2026, 3, 1), date(2026, 4, 1)])
ROW = st.builds(
    spell,
    key=st.sampled_from([None, 1, 2, 3, 4]),
    said=st.sampled_from(["a", "b"]),
    person=st.integers(1, 2),
    provider=st.sampled_from([None, "A", "A", "B"]),
    period=st.sampled_from(["June", "May"]),
    submission=st.sampled_from([None, 1, 2, 3]),
    effective=st.sampled_from([None, JUNE, JULY]),
    begins=DAYS,
    ends=DAYS,
    opens=DAYS,
    closes=DAYS,
    _deleted=st.booleans(),
    _kept=st.sampled_from([True, True, False]),
)
FILES = st.lists(st.lists(ROW, max_size=8), min_size=1, max_size=4)
LINES = st.lists(st.lists(st.builds(line, key=st.integers(1, 3), deleted=st.booleans()), max_size=3), max_size=4)
CASES = st.sampled_from([MONTHLY, MONTHLY.replace('latest = "effective", ', ""), COVERING, VERSIONED, ""])


def lowest(value: Any) -> tuple[bool, Any]:
    """Sorts an unknown value before any other."""
    return (value is not None, value if value is not None else 0)


def replaced_by(rule: Any, seen: list[tuple[int, int, Row]], row: tuple[int, int, Row]) -> bool:
    """Whether a later submission than the row's own replaces it."""
    if rule is None or not rule.replaces:
        return False

    def of(each: tuple[int, int, Row]) -> tuple[Any, Any]:
        return tuple(each[2][name] for name in rule.replaces), each[2][rule.id] if rule.id else each[0]

    def age(name: Any) -> tuple[Any, ...]:
        own = [each for each in seen if of(each) == name]
        latest = max((lowest(each[2][rule.latest]) for each in own), default=()) if rule.latest else ()
        return (latest, min(each[:2] for each in own), name[1])

    def period(name: Any) -> tuple[date, date] | None:
        counted = Counter((each[2]["opens"], each[2]["closes"]) for each in seen if of(each) == name)
        whole = {days: rows for days, rows in counted.items() if None not in days and days[0] <= days[1]}
        return max(whole, key=lambda days: (whole[days], days)) if whole else None

    own = of(row)
    if None in (*own[0], own[1]):
        return False
    later = [
        name
        for name in {of(each) for each in seen}
        if name[0] == own[0] and name[1] is not None and age(name) > age(own)
    ]
    if rule.covers is None:
        return bool(later)
    begins, ends = row[2]["begins"] or row[2]["opens"], row[2]["ends"] or date.max
    return begins is not None and any(
        (days := period(name)) and days[0] <= ends and days[1] >= begins for name in later
    )


def deleted_by(lines: Sequence[Sequence[Row]], place: int, key: int | None) -> bool:
    """Whether a delivery from the row's own on deletes its key, by the last word of the log of that delivery."""
    for each in range(place, len(lines)):
        said = [row["_deleted"] for row in lines[each] if row["spell"] == key]
        if said and said[-1]:
            return True
    return False


def content(row: Row) -> tuple[Any, ...]:
    return tuple(
        token(row[name]) if type == "UUID" and row[name] is not None else row[name] for name, type in SPELL.items()
    )


def referee(
    rule: Any, files: Sequence[Sequence[Row]], lines: Sequence[Sequence[Row]]
) -> tuple[Counter[str], Counter[Any]]:
    """What goes, by reason, and what stays, in plain Python; rows that the site removed only tell of submissions."""
    seen = [(place, number, row) for place, rows in enumerate(files) for number, row in enumerate(rows)]
    removed: Counter[str] = Counter()
    kept: Counter[Any] = Counter()
    records: dict[Any, list[tuple[Any, ...]]] = {}
    for at in seen:
        place, number, row = at
        if not row["_kept"]:
            continue
        gone = (
            "deleted"
            if deleted_by(lines, place, row["spell"])
            else "superseded"
            if replaced_by(rule, seen, at)
            else None
        )
        version = lowest(row[rule.latest]) if rule and rule.latest else ()
        key = ("alone", place, number) if row["spell"] is None else row["spell"]
        records.setdefault(key, []).append(((version, place, number), gone, row))
    for versions in records.values():
        standing = sorted((each for each in versions if each[1] is None), key=lambda each: each[0])
        if not standing:
            removed.update(gone for _, gone, _ in versions)
            continue
        winner = standing[-1]
        if winner[2]["_deleted"]:
            removed["deleted"] += len(versions)
            continue
        kept[content(winner[2])] += 1
        for each in versions:
            if each is not winner:
                same = content(each[2]) == content(winner[2]) and not each[2]["_deleted"]
                removed["duplicate" if same else "superseded"] += 1
    return removed, kept


@settings(max_examples=150)
@given(CASES, FILES, LINES)
def test_agrees_with_plain_python(rule: str, files: list[list[Row]], lines: list[list[Row]]) -> None:
    of = ruled(rule, "spell")
    kept = [[row for row in rows if row["_kept"]] for rows in files]
    with tempfile.TemporaryDirectory() as folder:
        connection = connect(Path(folder) / "linked.duckdb", Path(folder) / "spill", threads=2)
        hub = Hub(Path(folder), connection)
        result = hub.settle(hub.spells(of, kept, told=files), hub.log(of, lines))["spell"]
        rows = hub.rows("spell", *SPELL)
        connection.close()
    removed, stays = referee(of.tables["spell"].submission, files, lines)
    assert {reason.value: count for reason, count in result.removed.items()} == removed
    assert Counter(rows) == stays
