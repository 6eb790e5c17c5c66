"""What became known after a bundle was made reaches its rows by token, and nobody comes back but through a new extract."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from small import ALLOWED, HEADER, NOW, SmallIcs, make_small_ics, row

from linkage import contract, hub, late, pipeline
from linkage.config import Flow
from linkage.errors import ConfigurationError, IntegrityError, KeyUnavailableError, LinkageError, PolicyError
from linkage.held import RowRules
from linkage.pipeline import RunReport
from linkage.pseudonymise import Keyset
from linkage.relink import relink
from linkage.store.open import open_store
from restored import Restored

OTHER = "4010232137"
THIRD = "4000000632"
REPLACED = "9876543210"


def _token(ics: SmallIcs, number: str) -> bytes:
    keyset = Keyset.open("age://keys.age", base=ics.folder)
    return bytes(keyset.pseudonymiser("ics:test").tokenise(pl.Series([number]))[0][0])


def _answers(ics: SmallIcs, *allowed: str, asked: tuple[str, ...] = (ALLOWED, OTHER, THIRD, REPLACED)) -> None:
    (ics.folder / "optouts" / "r.dat").write_text("".join(f"{number},\n" for number in asked))
    ics.answer.write_text("".join(f"{number},\n" for number in allowed))


def _rows(ics: SmallIcs, table: str = "sus_op_appointment") -> list[tuple[object, ...]]:
    with open_store(ics.store) as connection:
        return connection.execute(f"SELECT * FROM {table} ORDER BY ALL").fetchall()


def _tokens(ics: SmallIcs) -> set[bytes]:
    """Every token that any table of the store names."""
    found: set[bytes] = set()
    with open_store(ics.store) as connection:
        for (table,) in connection.execute("SELECT name FROM (SHOW TABLES)").fetchall():
            for column, kind in connection.execute(
                f"SELECT column_name, data_type FROM duckdb_columns() WHERE table_name = '{table}'"
            ).fetchall():
                if kind == "UUID":
                    found |= {
                        value.bytes
                        for (value,) in connection.execute(f'SELECT DISTINCT "{column}" FROM {table}').fetchall()
                        if value
                    }
    return found


def _held_tokens(ics: SmallIcs) -> set[bytes]:
    parts = list((ics.folder / "private" / "held").rglob("*.parquet"))
    assert parts
    return {token for part in parts for token in pl.read_parquet(part)["token"].to_list()}


def _three_people(folder: Path) -> SmallIcs:
    folder.mkdir()
    ics = make_small_ics(folder)
    lines = [row(1, ALLOWED), row(2, OTHER), row(3, OTHER), row(4, THIRD), row(5, REPLACED)]
    ics.extract.write_text("\n".join([HEADER, *lines]) + "\n")
    _answers(ics, ALLOWED, OTHER, THIRD, REPLACED)
    return ics


@pytest.fixture(scope="module")
def held_once(tmp_path_factory: pytest.TempPathFactory) -> tuple[Restored, RunReport]:
    """An ICS of three people, with a bundle held, which is made once."""
    ics = _three_people(tmp_path_factory.mktemp("held") / "ics")
    report = ics.run()
    return Restored.of(ics.folder), report


@pytest.fixture
def held(held_once: tuple[Restored, RunReport]) -> tuple[SmallIcs, RunReport]:
    """It, for a test to change."""
    restored, report = held_once
    return SmallIcs(restored.again()), report


def _make(ics: SmallIcs) -> late.Made:
    return late.tokens(ics.configuration, NOW)


def _relink(ics: SmallIcs) -> RunReport:
    return relink(ics.configuration, now=NOW)


def test_a_late_opt_out_leaves_every_table_and_the_held_bundle(held: tuple[SmallIcs, RunReport]) -> None:
    """Without the extracts, and every row is accounted for."""
    ics, before = held
    assert before.tables["sus_op_appointment"] == 5
    _answers(ics, ALLOWED, THIRD, REPLACED)
    ics.extract.unlink()
    assert _make(ics).withdrawn == 1
    after = _relink(ics)
    assert (after.read, after.removed) == (5, {"late_opt_out": 2})
    assert ics.current() == after.run_id
    assert _token(ics, OTHER) not in _tokens(ics) | _held_tokens(ics)
    assert _token(ics, ALLOWED) in _tokens(ics) & _held_tokens(ics)
    assert sorted(path.name for path in (ics.folder / "private" / "held").iterdir()) == [after.run_id]
    assert not list((ics.folder / "private" / "late").iterdir())


def test_it_publishes_what_a_run_over_the_extracts_would(held: tuple[SmallIcs, RunReport]) -> None:
    """The same rows of every table."""
    ics, _ = held
    _answers(ics, ALLOWED, THIRD, REPLACED)
    _make(ics)
    _relink(ics)
    tables = ("sus_op_appointment", "person", "event", "event_code", "coverage")
    relinked = {table: _rows(ics, table) for table in tables}
    again = ics.run()
    assert {table: _rows(ics, table) for table in tables} == relinked
    assert again.removed == {"national_opt_out": 2}


def test_the_hub_needs_no_key(held: tuple[SmallIcs, RunReport]) -> None:
    """Only the key holder's step does."""
    ics, _ = held
    _answers(ics, ALLOWED, THIRD, REPLACED)
    _make(ics)
    for path in [*ics.folder.glob("keys.*")]:
        path.unlink()
    assert _relink(ics).removed == {"late_opt_out": 2}


def test_an_opt_out_that_is_withdrawn_brings_nobody_back_without_the_extracts(held: tuple[SmallIcs, RunReport]) -> None:
    """The rows are gone from what is held; a run over the extracts has them again."""
    ics, before = held
    _answers(ics, ALLOWED, THIRD, REPLACED)
    _make(ics)
    _relink(ics)
    _answers(ics, ALLOWED, OTHER, THIRD, REPLACED)
    assert _make(ics).withdrawn == 0
    assert _relink(ics).tables["sus_op_appointment"] == 3
    assert ics.run().tables == before.tables


def test_removed_rows_stay_accounted_for(held: tuple[SmallIcs, RunReport]) -> None:
    """From one re-linking to the next, and the account says which bundle it began with."""
    ics, before = held
    _answers(ics, ALLOWED, THIRD, REPLACED)
    _make(ics)
    first = _relink(ics)
    _answers(ics, ALLOWED, REPLACED)
    _make(ics)
    second = _relink(ics)
    assert (second.read, second.removed) == (5, {"late_opt_out": 3})
    accounts = [
        json.loads((ics.folder / "private" / "runs" / f"{each.run_id}.json").read_text())
        for each in (before, first, second)
    ]
    assert [account["from_held"] for account in accounts] == [None, before.run_id, first.run_id]
    assert [each["name"] for each in accounts[2]["registers"]] == ["national_requests", "national_allowed"]
    assert accounts[2]["inputs"] == accounts[0]["inputs"]


def _replace_numbers(ics: SmallIcs, *pairs: tuple[str, str]) -> None:
    """Deliver replaced numbers: the old one, the current one."""
    with ics.configuration.open("a") as file:
        file.write('[[flows]]\nfeed = "pds"\npath = "extracts"\n')
    _merge(ics, *pairs)


def _merge(ics: SmallIcs, *pairs: tuple[str, str]) -> None:
    lines = ["NHS Number,Superseded NHS Number", *(f"{new},{old}" for old, new in pairs)]
    (ics.folder / "extracts" / "PDS_Person_Merger_20261120.csv").write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="module")
def merging_once(tmp_path_factory: pytest.TempPathFactory) -> Restored:
    """The same, with a feed of replaced numbers that held none of them yet; made once."""
    ics = _three_people(tmp_path_factory.mktemp("merging") / "ics")
    _replace_numbers(ics, ("4010232145", "4010232153"))
    ics.run()
    return Restored.of(ics.folder)


@pytest.fixture
def merging(merging_once: Restored) -> SmallIcs:
    """It, for a test to change."""
    return SmallIcs(merging_once.again())


def test_a_replaced_number_leads_to_the_current_one(merging: SmallIcs) -> None:
    """Two people become one, as in a run over the extracts."""
    _merge(merging, (REPLACED, ALLOWED))
    made = _make(merging)
    assert (made.withdrawn, made.moved) == (0, 1)
    after = _relink(merging)
    assert (after.tables["person"], after.removed) == (3, {})
    assert _token(merging, REPLACED) not in _tokens(merging) | _held_tokens(merging)
    relinked = {table: _rows(merging, table) for table in ("sus_op_appointment", "person", "event")}
    merging.run()
    assert {table: _rows(merging, table) for table in relinked} == relinked


@dataclass(frozen=True)
class Merge:
    """Replaced numbers, who said no, and who stays."""

    name: str
    pairs: tuple[tuple[str, str], ...]
    out: tuple[str, ...]
    stay: tuple[str, ...]


MERGES = (
    Merge("the current one said no", ((REPLACED, OTHER),), (OTHER,), (ALLOWED, THIRD)),
    Merge("the replaced one said no", ((REPLACED, OTHER),), (REPLACED,), (ALLOWED, THIRD)),
    Merge("a chain that ends at one who said no", ((REPLACED, OTHER), (OTHER, THIRD)), (THIRD,), (ALLOWED,)),
    Merge("a chain", ((REPLACED, OTHER), (OTHER, THIRD)), (), (ALLOWED, THIRD)),
    Merge("a circle", ((REPLACED, OTHER), (OTHER, REPLACED)), (), (ALLOWED, THIRD)),
    Merge("two answers", ((REPLACED, OTHER), (REPLACED, THIRD)), (), (ALLOWED, OTHER, THIRD)),
    Merge("two answers, and who asked said no", ((REPLACED, OTHER), (REPLACED, THIRD)), (REPLACED,), (ALLOWED,)),
    Merge("two answers, and one of them said no", ((REPLACED, OTHER), (REPLACED, THIRD)), (OTHER,), (ALLOWED, THIRD)),
    Merge("everybody", (), (ALLOWED, OTHER, THIRD, REPLACED), ()),
)


@pytest.mark.parametrize("merge", MERGES, ids=lambda each: each.name)
def test_replaced_numbers_and_opt_outs_together(merging: SmallIcs, merge: Merge) -> None:
    """Who stays, and nobody else."""
    merging.replace("min_allowed = 0.5", "min_allowed = 0.0")
    _merge(merging, *(merge.pairs or (("4010232145", "4010232153"),)))
    _answers(merging, *({ALLOWED, OTHER, THIRD, REPLACED} - {*merge.out}))
    _make(merging)
    _relink(merging)
    assert _tokens(merging) & {_token(merging, each) for each in (ALLOWED, OTHER, THIRD, REPLACED)} == {
        _token(merging, each) for each in merge.stay
    }


def test_a_record_corrected_to_one_who_left_does_not_stand_again(held: tuple[SmallIcs, RunReport]) -> None:
    """Its earlier delivery was published under the wrong person, and goes too."""
    ics, _ = held
    later = ics.extract.with_name("appointment_20261121.csv")
    later.write_text("\n".join([HEADER, row(1, OTHER), row(9, THIRD)]) + "\n")
    assert ics.run().removed == {"superseded": 1}
    _answers(ics, ALLOWED, THIRD, REPLACED)
    _make(ics)
    assert _relink(ics).removed == {"late_opt_out": 3, "withdrawn": 1}
    assert _token(ics, ALLOWED) not in _tokens(ics) | _held_tokens(ics)


def _lists(ics: SmallIcs) -> Path:
    (place,) = (ics.folder / "private" / "late").iterdir()
    return place


def _bundle(ics: SmallIcs) -> Path:
    (place,) = (ics.folder / "private" / "held").iterdir()
    return place


def _said(ics: SmallIcs, **changed: object) -> None:
    path = _lists(ics) / "lists.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))


def _append(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"x")


@dataclass(frozen=True)
class Refusal:
    """What is wrong with what is held or with the lists, the error, and when it is tried."""

    name: str
    spoil: Callable[[SmallIcs], object]
    error: type[LinkageError]
    said: str
    now: datetime = NOW


REFUSALS = (
    Refusal("no lists", lambda ics: shutil.rmtree(_lists(ics)), PolicyError, "no token lists"),
    Refusal("of another bundle", lambda ics: _said(ics, bundle_digest="0"), PolicyError, "another bundle"),
    Refusal("of another domain", lambda ics: _said(ics, domain="ics:other"), PolicyError, "another bundle"),
    Refusal("of another key", lambda ics: _said(ics, key_id="0"), PolicyError, "another bundle"),
    Refusal("from the future", lambda ics: _said(ics, made=str(NOW + timedelta(days=1))), PolicyError, "in the future"),
    Refusal(
        "too old", lambda ics: _said(ics, good_until=None), PolicyError, "too old", NOW + timedelta(days=7, hours=1)
    ),
    Refusal("register too old", lambda ics: None, PolicyError, "too old", NOW + timedelta(days=6, hours=1)),
    Refusal(
        "late too old",
        lambda ics: ics.replace("[[flows]]", "[optouts.late]\nmax_age_days = 1\n[[flows]]"),
        PolicyError,
        "too old",
        NOW + timedelta(days=1, hours=1),
    ),
    Refusal(
        "another configuration",
        lambda ics: ics.replace("[[flows]]", '[optouts.objections]\nlist = "objecting.csv"\n[[flows]]'),
        PolicyError,
        "configuration changed",
    ),
    Refusal("no description", lambda ics: (_lists(ics) / "lists.json").unlink(), IntegrityError, "missing or damaged"),
    Refusal("description cut", lambda ics: (_lists(ics) / "lists.json").write_text("{"), IntegrityError, "damaged"),
    Refusal("no list of people", lambda ics: (_lists(ics) / "withdrawn.parquet").unlink(), IntegrityError, "missing"),
    Refusal("no list of moves", lambda ics: (_lists(ics) / "moved.parquet").unlink(), IntegrityError, "missing"),
    Refusal("list changed", lambda ics: _append(_lists(ics) / "withdrawn.parquet"), IntegrityError, "changed since"),
    Refusal("list unlisted", lambda ics: _said(ics, files={}), IntegrityError, "missing from the token lists"),
    Refusal("roster cut", lambda ics: _append(_lists(ics) / "roster" / "entries.arrow.age"), IntegrityError, "changed"),
    Refusal("list readable", lambda ics: (_lists(ics) / "moved.parquet").chmod(0o644), PolicyError, "others may read"),
    Refusal("lists readable", lambda ics: _lists(ics).chmod(0o750), PolicyError, "others may read"),
    Refusal("none held", lambda ics: shutil.rmtree(_bundle(ics)), ConfigurationError, "no bundle"),
    Refusal("held readable", lambda ics: _bundle(ics).chmod(0o755), PolicyError, "others may read"),
    Refusal("held unsaid", lambda ics: (_bundle(ics) / "held.json").unlink(), IntegrityError, "missing or damaged"),
    Refusal("held changed", lambda ics: _append(_bundle(ics) / "bundle" / "manifest.json"), IntegrityError, "changed"),
    Refusal("part changed", lambda ics: _append(next(_bundle(ics).rglob("part-*"))), IntegrityError, "changed since"),
    Refusal(
        "minimised otherwise",
        lambda ics: ics.replace("[[flows]]", '[minimise]\nbirth = "month"\n[[flows]]'),
        ConfigurationError,
        "the minimisation or the domain changed",
    ),
    Refusal(
        "another domain", lambda ics: ics.replace("ics:test", "ics:other"), ConfigurationError, "the domain changed"
    ),
    Refusal(
        "another flow",
        lambda ics: ics.replace('path = "extracts"', 'path = "extracts"\nearliest = 2026-05-02'),
        ConfigurationError,
        "the flows",
    ),
    Refusal(
        "an ended purpose", lambda ics: ics.replace("[keys]", "ends = 2026-11-23\n[keys]"), PolicyError, "ended on"
    ),
    Refusal(
        "no account", lambda ics: next((ics.folder / "private" / "runs").iterdir()).unlink(), IntegrityError, "account"
    ),
)


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda each: each.name)
def test_what_is_held_and_the_lists_are_whole_or_nothing_is_published(
    held: tuple[SmallIcs, RunReport], refusal: Refusal
) -> None:
    """What was published before stays, and so does what is held."""
    ics, before = held
    _answers(ics, ALLOWED, THIRD, REPLACED)
    _make(ics)
    refusal.spoil(ics)
    kept = sorted(path for path in (ics.folder / "private").rglob("*"))
    with pytest.raises(refusal.error, match=refusal.said) as caught:
        relink(ics.configuration, now=refusal.now)
    assert caught.value.hint
    assert ics.current() == before.run_id
    assert sorted(path for path in (ics.folder / "private").rglob("*")) == kept


def test_a_changed_contract_is_refused(tmp_path: Path) -> None:
    """What a column means may be another."""
    ics = make_small_ics(tmp_path)
    contract = tmp_path / "mine.toml"
    contract.write_text('extends = "sus_op"\nname = "mine"\nversion = 1\n')
    ics.replace('feed = "sus_op"', 'feed = "mine.toml"')
    ics.run()
    _make(ics)
    contract.write_text('extends = "sus_op"\nname = "mine"\nversion = 2\n')
    with pytest.raises(ConfigurationError, match="the contract of mine changed"):
        _relink(ics)


def _swap(ics: SmallIcs) -> None:
    """A list of those who did opt out, where those who did not belong."""
    _answers(ics, OTHER)


def _stop(ics: SmallIcs) -> None:
    (ics.folder / "optouts" / "r.dat").write_text(f"{ALLOWED},\n{REPLACED},\n")
    ics.answer.write_text(f"{ALLOWED},\n{REPLACED},\n")


REGISTERS = (
    ("missing", lambda ics: ics.answer.unlink(), PolicyError, "no national opt-out answer"),
    ("truncated", lambda ics: ics.answer.write_text("94347"), PolicyError, "r.dat"),
    ("swapped", _swap, PolicyError, "too few of those asked"),
    ("not about them", _stop, PolicyError, "does not cover sus_op appointment: 2 of 4 people"),
    ("no key", lambda ics: (ics.folder / "keys.identity").unlink(), KeyUnavailableError, "keys"),
    ("ended", lambda ics: ics.replace("[keys]", "ends = 2026-11-23\n[keys]"), PolicyError, "ended on"),
)


@pytest.mark.parametrize(
    ("spoil", "error", "said"), [each[1:] for each in REGISTERS], ids=[each[0] for each in REGISTERS]
)
def test_no_lists_are_made_from_a_register_that_a_run_would_refuse(
    held: tuple[SmallIcs, RunReport], spoil: Callable[[SmallIcs], object], error: type[LinkageError], said: str
) -> None:
    """And older lists are not replaced."""
    ics, _ = held
    spoil(ics)
    with pytest.raises(error, match=said):
        _make(ics)
    assert not list((ics.folder / "private").glob("late/*"))


def test_a_stale_register_makes_no_lists(held: tuple[SmallIcs, RunReport]) -> None:
    """The age is the answer's."""
    ics, _ = held
    with pytest.raises(PolicyError, match="days old"):
        late.tokens(ics.configuration, NOW + timedelta(days=7))


@pytest.mark.parametrize(
    ("key", "header"),
    [("objections", "objecting_nhs_number"), ("practices", "not_sharing_ods_code,from,to"), ("restricted", "restricted_code")],
)  # fmt: skip
def test_lists_are_good_until_the_first_register_is_too_old(
    held: tuple[SmallIcs, RunReport], key: str, header: str
) -> None:
    """To the day on which a run would refuse it."""
    ics, _ = held
    ics.replace("[[flows]]", f'[optouts.{key}]\nlist = "kept.csv"\nmax_age_days = 3\n[[flows]]')
    kept = ics.folder / "kept.csv"
    kept.write_text(f"{header},note\nend,0,{NOW:%Y-%m-%d}\n")
    kept.chmod(0o600)
    assert _make(ics).good_until == datetime(2026, 11, 28, tzinfo=UTC)
    with pytest.raises(PolicyError, match="too old"):
        relink(ics.configuration, now=datetime(2026, 11, 28, 0, 1, tzinfo=UTC))
    relink(ics.configuration, now=datetime(2026, 11, 27, 23, 59, tzinfo=UTC))


def test_lists_are_good_until_the_next_practice_stops_sharing(held: tuple[SmallIcs, RunReport]) -> None:
    """A run on that day would keep its rows out, and these lists do not speak of it."""
    ics, _ = held
    ics.replace("[[flows]]", '[optouts.practices]\nlist = "kept.csv"\n[[flows]]')
    lines = ["not_sharing_ods_code,from,to,note", "Z99001,2026-11-26,,", f"end,1,{NOW:%Y-%m-%d}"]
    (ics.folder / "kept.csv").write_text("\n".join(lines) + "\n")
    # That configuration is not the one that the bundle was made by, but opt-outs are judged anew.
    day = datetime(2026, 11, 26, tzinfo=UTC)
    assert _make(ics).good_until == day - timedelta(microseconds=1)
    with pytest.raises(PolicyError, match="too old"):
        relink(ics.configuration, now=day)
    relink(ics.configuration, now=day - timedelta(minutes=1))


def _restrict(ics: SmallIcs, *codes: str) -> None:
    lines = ["restricted_code,note", *codes, f"end,{len(codes)},{NOW:%Y-%m-%d}"]
    (ics.folder / "codes.csv").write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize(("setting", "read"), [("primary_care", {"patient"}), ("acute", set())])
def test_the_patients_of_a_gp_feed_are_read_for_what_another_feed_tells(setting: str, read: set[str]) -> None:
    """Dissents may come in one feed, by keys whose numbers come in another."""
    text = f"""
name = "patients"
setting = "{setting}"
[tables.patient]
files = "patient.csv"
primary_key = "patient"
roster = true
[tables.patient.columns]
patient = {{ source = "Patient", role = "person_key", namespace = "gp.patient" }}
nhs_number = {{ source = "NHS", role = "person" }}
[tables.visit]
files = "visit.csv"
primary_key = "visit"
[tables.visit.columns]
visit = {{ source = "Visit", role = "record", namespace = "gp.visit" }}
patient = {{ source = "Patient", role = "person_key", namespace = "gp.patient" }}
"""
    flow = Flow(feed="patients", path=Path())
    assert late.informing(contract.parse(text, "a test"), flow).tables.keys() == read


def test_another_key_makes_no_lists(held: tuple[SmallIcs, RunReport]) -> None:
    """Its tokens are others."""
    ics, _ = held
    for path in ics.folder.glob("keys.*"):
        path.unlink()
    Keyset.create(ics.folder / "keys.age")
    with pytest.raises(ConfigurationError, match="another domain or key version"):
        _make(ics)


def test_nothing_to_hold_nothing_to_make(small_ics: SmallIcs) -> None:
    """With hold = false, or before the first run."""
    small_ics.replace('path = "store"', 'path = "store"\nhold = false')
    for _ in range(2):
        with pytest.raises(ConfigurationError, match="no bundle of the current snapshot is held"):
            _make(small_ics)
        small_ics.run()


def test_a_failed_publishing_can_be_tried_again(
    held: tuple[SmallIcs, RunReport], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The held bundle and the lists are as they were, and what the failed run kept is cleared away."""
    ics, before = held
    _answers(ics, ALLOWED, THIRD, REPLACED)
    _make(ics)

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(hub.switch, "publish", fail)
        with pytest.raises(LinkageError, match="the disk is full"):
            _relink(ics)
    assert ics.current() == before.run_id
    after = _relink(ics)
    assert after.removed == {"late_opt_out": 2}
    assert [path.name for path in (ics.folder / "private" / "held").iterdir()] == [after.run_id]


def test_what_is_held_is_its_owners_alone(held: tuple[SmallIcs, RunReport]) -> None:
    """And outside the analysts' store; no list, name or file of it tells a number."""
    ics, _ = held
    _answers(ics, ALLOWED, THIRD, REPLACED)
    _make(ics)
    found = [path for kind in ("held", "late") for path in (ics.folder / "private" / kind).rglob("*")]
    if os.name != "nt":
        assert {path.stat().st_mode & 0o077 for path in found} == {0}
    for path in found:
        if path.is_file() and path.read_bytes()[:4] == b"PAR1":
            frame = pl.read_parquet(path)
            assert set(frame.schema.values()) <= {
                pl.Binary,
                pl.String,
                pl.Date,
                pl.Datetime("us"),
                pl.Time,
                pl.Boolean,
                pl.Float64,
                pl.Int64,
                pl.Int32,
                pl.Int16,
                pl.Int8,
            }
            text = frame.select(pl.exclude(pl.Binary)).write_csv()
        else:
            text = "" if path.is_dir() or path.suffix == ".age" else path.read_text()
        assert not [number for number in (ALLOWED, OTHER, THIRD, REPLACED) if number in text]
    assert not [path for path in ics.store.rglob("*") if path.name in ("withdrawn.parquet", "moved.parquet")]


def test_a_run_that_holds_nothing_clears_what_was_held(held: tuple[SmallIcs, RunReport]) -> None:
    """An old bundle is not linked again by mistake."""
    ics, _ = held
    _make(ics)
    ics.replace('path = "store"', 'path = "store"\nhold = false')
    ics.run()
    assert not [path for kind in ("held", "late") for path in (ics.folder / "private").glob(f"{kind}/*")]


def test_a_new_run_makes_lists_of_the_old_bundle_useless(held: tuple[SmallIcs, RunReport]) -> None:
    """They speak of other rows."""
    ics, _ = held
    _make(ics)
    after = ics.run()
    with pytest.raises(PolicyError, match="no token lists"):
        _relink(ics)
    assert ics.current() == after.run_id


def test_the_roster_of_the_key_holder_is_the_next_runs(merging: SmallIcs) -> None:
    """What became known is not forgotten where its extract is gone."""
    _merge(merging, (REPLACED, ALLOWED))
    _make(merging)
    _relink(merging)
    _merge(merging, ("4010232145", "4010232153"))
    assert merging.run().tables["person"] == 3


def test_the_command_line(held: tuple[SmallIcs, RunReport], capsys: pytest.CaptureFixture[str]) -> None:
    """The key holder's step, then the hub's."""
    from typer.testing import CliRunner

    from linkage.cli import app

    ics, _ = held
    now = f"{datetime.now(UTC) - timedelta(hours=1):%Y%m%d%H%M%S}"
    ics.answer.with_suffix(".ctl").write_text(
        f"<DTSControl><StatusRecord><DateTime>{now}</DateTime></StatusRecord></DTSControl>"
    )
    _answers(ics, ALLOWED, THIRD, REPLACED)
    said = CliRunner().invoke(app, ["optouts", "tokens", str(ics.configuration)])
    assert "1 people leave, 0 tokens move, good until" in said.output
    said = CliRunner().invoke(app, ["run", "--from-held", str(ics.configuration)])
    assert "2 late_opt_out" in said.output
    assert "published" in said.output
    again = CliRunner().invoke(app, ["run", "--from-held", str(ics.configuration)])
    assert isinstance(again.exception, PolicyError)
    assert pipeline.run(ics.configuration).removed == {"national_opt_out": 2}


JUNE, JULY = (date(2026, 6, 1), date(2026, 6, 30)), (date(2026, 7, 1), date(2026, 7, 31))
# What kept rows out when the bundle was made, what does now, and whether only the extracts can tell the rest.
ROW_RULES = (
    (RowRules(), RowRules(), False),
    (RowRules(), RowRules(listed=("A",)), False),  # a practice that left is told by its code
    (RowRules(periods=((*JUNE, ("A", "B")),)), RowRules(periods=((*JUNE, ("B",)),)), False),
    (RowRules(periods=((*JUNE, ("A",)),)), RowRules(periods=((*JULY, ("A",)),)), True),
    (RowRules(), RowRules(periods=((*JUNE, ("A",)),)), True),
    (RowRules(listed=("A",)), RowRules(periods=((*JUNE, ("A",)),)), False),  # no row of it is in the bundle
    (RowRules(), RowRules(restricted="x"), True),
    (RowRules(restricted="x"), RowRules(restricted="x"), False),
    (RowRules(restricted="x"), RowRules(restricted="y"), True),
    (RowRules(restricted="x"), RowRules(), False),
)


@pytest.mark.parametrize(("before", "now", "refused"), ROW_RULES)
def test_rules_about_rows_that_are_new_need_the_extracts(before: RowRules, now: RowRules, refused: bool) -> None:
    """Lists of people cannot tell of rows."""
    if refused:
        with pytest.raises(PolicyError, match="became known since the bundle"):
            before.check(now)
    else:
        before.check(now)


def test_new_restricted_codes_make_no_lists(held: tuple[SmallIcs, RunReport]) -> None:
    """They keep rows out, whoever's they are."""
    ics, _ = held
    (ics.folder / "restricted.csv").write_text("restricted_code,note\n123,\nend,1,2026-11-24\n")
    ics.replace("[[flows]]", '[optouts.restricted]\nlist = "restricted.csv"\n[[flows]]')
    with pytest.raises(PolicyError, match="restricted codes"):
        _make(ics)
