"""From one key version to another: what a rekeyed snapshot holds, and what is left wherever it fails."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest
from small import ALLOWED, NOW, OPTED_OUT, SmallIcs, make_small_ics
from typer.testing import CliRunner

import linkage
from linkage import rekey as moving
from linkage.audit.log import lines_of
from linkage.cli import app
from linkage.config import load
from linkage.errors import ConfigurationError, InputError, IntegrityError, KeyUnavailableError, PolicyError
from linkage.nights import history
from linkage.nights.rollback import rollback
from linkage.pseudonymise.key_versions import KeysetFile
from linkage.pseudonymise.reverser import KeyHolderKeyset
from linkage.pseudonymise.translator import Translator
from linkage.store.manifest import SnapshotManifest
from linkage.store.rewrite import token_columns
from restored import Restored

DOMAIN = "ics:test"


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Restored:
    """A published snapshot of two people's appointments, which is made once."""
    folder = tmp_path_factory.mktemp("rekeyed") / "ics"
    folder.mkdir()
    made = make_small_ics(folder)
    made.answer.write_text(f"{ALLOWED},\n{OPTED_OUT},\n")
    made.run()
    return Restored.of(folder)


@pytest.fixture
def ics(once: Restored) -> SmallIcs:
    """It, for a test to change."""
    return SmallIcs(once.again())


def _file(ics: SmallIcs) -> KeysetFile:
    return KeysetFile("age://keys.age", base=ics.folder)


def _keyset(ics: SmallIcs) -> KeyHolderKeyset:
    return KeyHolderKeyset.open("age://keys.age", base=ics.folder)


def _manifest(ics: SmallIcs, run: str | None = None) -> SnapshotManifest:
    place = ics.store / "snapshots" / (run or ics.current() or "") / "manifest.json"
    return SnapshotManifest.model_validate_json(place.read_bytes())


def _rekey(ics: SmallIcs) -> moving.Done:
    return moving.rekey(ics.configuration, now=NOW)


def _translated(table: pl.DataFrame, names: tuple[str, ...], way: Translator) -> pl.DataFrame:
    for name in names:
        person, reasons = way.person(table[name])
        made = person if reasons.drop_nulls().len() < table[name].len() else way.record(table[name])[0]
        table = table.with_columns(made.alias(name))
    return table


def test_every_row_is_there_with_the_new_tokens(ics: SmallIcs) -> None:
    """In the same files, with the same types, sorted anew; the whole snapshot is of one key, and opens as any."""
    old = _manifest(ics)
    new_key = _file(ics).rotate()
    done = _rekey(ics)
    new = _manifest(ics)
    assert (done.before, done.run, done.old, done.new) == (old.run_id, new.run_id, old.key_id, new_key)
    assert new.key_id == new_key
    assert [table.name for table in new.tables] == [table.name for table in old.tables]
    way = Translator.between(_keyset(ics), DOMAIN, old.key_id, new_key)
    tokens = 0
    for before, after in zip(old.tables, new.tables, strict=True):
        assert [file.path for file in before.files] == [file.path for file in after.files]
        for path in (file.path for file in before.files):
            paths = [ics.store / "snapshots" / run / path for run in (old.run_id, new.run_id)]
            schemas = [pq.read_schema(each) for each in paths]
            assert [(each.name, str(each.type)) for each in schemas[0]] == [(x.name, str(x.type)) for x in schemas[1]]
            assert schemas[1].metadata[b"linkage.key_id"].decode() == new_key
            names = token_columns(schemas[1])
            tables = [pl.read_parquet(each, hive_partitioning=False) for each in paths]
            expected = _translated(tables[0], names, way)
            if names:
                assert tables[1][names[0]].is_sorted()
                tokens += tables[1][names[0]].drop_nulls().len()
                assert not set(tables[0][names[0]].drop_nulls()) & set(tables[1][names[0]].drop_nulls())
            assert tables[1].sort(pl.all()).equals(expected.sort(pl.all()))
    assert tokens
    with linkage.open_store(ics.store) as connection:
        joined = connection.execute("SELECT count(*) FROM event JOIN person USING (token)").fetchone()
        assert joined is not None
        assert joined[0]


def test_the_next_run_makes_everything_anew_with_the_new_key(ics: SmallIcs) -> None:
    """People keep the tokens that the rekeyed snapshot gave them; and the run after that stands on it."""
    _file(ics).rotate()
    _rekey(ics)
    people = _people(ics)
    report = ics.run()
    assert report.made_whole
    assert _people(ics) == people
    assert _manifest(ics).key_id == _file_key(ics)
    assert ics.run().made_whole is None


def _people(ics: SmallIcs) -> set[str]:
    with linkage.open_store(ics.store) as connection:
        return {str(token) for (token,) in connection.execute("SELECT token FROM person").fetchall()}


def _file_key(ics: SmallIcs) -> str:
    return _keyset(ics).version_of(DOMAIN).id


def test_the_old_snapshot_stays_until_it_is_confirmed(ics: SmallIcs) -> None:
    """Whatever retention says of their number; then no file of the old key is left."""
    old = _manifest(ics)
    ics.replace('path = "store"', 'path = "store"\nkeep = 1')
    _file(ics).rotate()
    done = _rekey(ics)
    ics.run()
    last = ics.run()
    there = {path.name for path in (ics.store / "snapshots").iterdir()}
    assert there == {old.run_id, last.run_id}
    assert history.of_purpose(load(ics.configuration)).find(old.run_id).goes_in is None
    with pytest.raises(ConfigurationError, match="not confirmed"):
        _rekey(ics)
    assert moving.confirm(ics.configuration, now=NOW) == (old.run_id,)
    assert [path.name for path in (ics.store / "snapshots").iterdir()] == [last.run_id]
    with pytest.raises(ConfigurationError, match="no change of key"):
        moving.confirm(ics.configuration, now=NOW)
    for path in [*ics.store.rglob("*.parquet"), *(ics.folder / "private").rglob("*.parquet")]:
        assert (pq.read_schema(path).metadata or {}).get(b"linkage.key_id", done.new.encode()) == done.new.encode()


def test_going_back_to_the_old_key_takes_a_document(ics: SmallIcs) -> None:
    """And the run after it makes everything anew with the key that the domain uses."""
    old = _manifest(ics)
    _file(ics).rotate()
    done = _rekey(ics)
    with pytest.raises(PolicyError, match="which the store has left"):
        rollback(ics.configuration, old.run_id, now=NOW)
    rollback(ics.configuration, old.run_id, now=NOW, reference="IG/2026/18")
    assert ics.run().made_whole
    assert _manifest(ics).key_id == done.new


class _Stopped(Exception):
    pass


def _stop(*_: object, **__: object) -> None:
    raise _Stopped


@pytest.mark.parametrize(
    "where",
    [
        "linkage.rekey.rewrite_all", "linkage.hub.make_database", "linkage.rekey.shutil.copytree", "linkage.nights.rekeyed.write",
        "linkage.hub.keep", "linkage.store.publish.switch",
    ],
)  # fmt: skip
def test_what_fails_before_it_is_published_leaves_everything(
    ics: SmallIcs, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """The old snapshot, the old key, and a run that stands on what the last one left."""
    old, old_key = ics.current(), _file_key(ics)
    _file(ics).rotate()
    with monkeypatch.context() as patched:
        patched.setattr(where, _stop)
        with pytest.raises(_Stopped):
            _rekey(ics)
    assert (ics.current(), _file_key(ics)) == (old, old_key)
    assert ics.run().made_whole is None
    assert _manifest(ics).key_id == old_key
    assert _rekey(ics).old == old_key


def test_what_is_killed_between_publishing_and_choosing_is_ended(
    ics: SmallIcs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing else runs until then; the same command ends it, and rewrites nothing again."""
    new = _file(ics).rotate()
    with monkeypatch.context() as patched:
        patched.setattr(KeysetFile, "choose", _stop)
        with pytest.raises(_Stopped):
            _rekey(ics)
    published = ics.current()
    assert _manifest(ics).key_id == new
    with pytest.raises(KeyUnavailableError, match="cut off"):
        ics.run()
    assert _rekey(ics).run == published == ics.current()
    assert _file_key(ics) == new
    ics.run()


@pytest.mark.parametrize("where", ["linkage.hub.keep", "linkage.store.publish.switch"])
def test_what_failed_before_it_was_published_is_made_again(
    ics: SmallIcs, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """By the same command at once: the keyset never follows a snapshot that nobody can see."""
    new = _file(ics).rotate()
    with monkeypatch.context() as patched:
        patched.setattr(where, _stop)
        with pytest.raises(_Stopped):
            _rekey(ics)
    done = _rekey(ics)
    assert (done.run, done.new) == (ics.current(), new)
    assert _manifest(ics).key_id == new == _file_key(ics)


def test_a_store_that_went_back_is_not_confirmed(ics: SmallIcs) -> None:
    """Its readers see the old key's snapshot: nothing is removed, and nobody is told that none is left."""
    old = ics.current()
    _file(ics).rotate()
    done = _rekey(ics)
    rollback(ics.configuration, old or "", reference="DPIA-2", now=NOW)
    with pytest.raises(ConfigurationError, match="rolled back"):
        moving.confirm(ics.configuration, now=NOW)
    assert {path.name for path in (ics.store / "snapshots").iterdir()} == {old, done.run}


KILLED = """
import os, sys
from datetime import datetime
from pathlib import Path
from linkage import rekey
from linkage.{module} import {name}

{name}.{function} = lambda *_, **__: os._exit(9)
rekey.rekey(Path(sys.argv[1]), now=datetime.fromisoformat(sys.argv[2]))
"""


@pytest.mark.parametrize(
    ("module", "name", "function"),
    [
        ("store", "publish", "switch"),
        ("nights", "rekeyed", "write"),
        ("pseudonymise.key_versions", "KeysetFile", "choose"),
    ],
)
def test_a_process_that_is_killed(ics: SmallIcs, module: str, name: str, function: str) -> None:
    """Whatever was published is whole and of one key; the command again ends what was begun, and the log tells of both."""
    new = _file(ics).rotate()
    code = KILLED.format(module=module, name=name, function=function)
    command = [sys.executable, "-c", code, str(ics.configuration), NOW.isoformat()]
    done = subprocess.run(command, capture_output=True, check=False, text=True)
    assert done.returncode == 9, done.stderr
    manifest = _manifest(ics)
    for path in (ics.store / "snapshots" / manifest.run_id).rglob("*.parquet"):
        assert pq.read_schema(path).metadata[b"linkage.key_id"].decode() == manifest.key_id
    if manifest.key_id != new:
        assert ics.run().made_whole is None
    assert _rekey(ics).new == new
    assert _manifest(ics).key_id == new == _file_key(ics)
    told = [json.loads(line) for line in lines_of(ics.folder / "audit")]
    assert ("rekey", "settled") in {(each["act"], each["phase"]) for each in told}
    ics.run()


def test_delta_tables_follow(tmp_path: Path) -> None:
    """Their current version has the new tokens alone."""
    pytest.importorskip("deltalake", reason="an extra")
    ics = make_small_ics(tmp_path)
    ics.replace('path = "store"', 'path = "store"\ndelta = "delta"')
    ics.run()
    before = set(pl.read_delta(str(tmp_path / "delta" / "person"))["token"])
    _file(ics).rotate()
    assert _rekey(ics).behind is None
    assert not before & set(pl.read_delta(str(tmp_path / "delta" / "person"))["token"])


def test_a_disabled_key_is_left(ics: SmallIcs) -> None:
    """The drill: disable, rotate, rekey, destroy. Between them nothing is made with the old key."""
    old = _file_key(ics)
    _file(ics).disable(old)
    with pytest.raises(KeyUnavailableError):
        ics.run()
    new = _file(ics).rotate()
    with pytest.raises(KeyUnavailableError):
        ics.run()
    assert _rekey(ics).new == new
    moving.confirm(ics.configuration, now=NOW)
    _file(ics).destroy(old)
    assert ics.run().tables["person"]


def test_what_cannot_be_moved_is_refused(ics: SmallIcs) -> None:
    """No other version, a destroyed one, a damaged file; and a store where nothing was published."""
    with pytest.raises(ConfigurationError, match="no key version to move to"):
        _rekey(ics)
    old, new = _file_key(ics), _file(ics).rotate()
    with pytest.raises(ConfigurationError, match="no key version"):
        moving.rekey(ics.configuration, version=old, now=NOW)
    person = next((ics.store / "snapshots" / str(ics.current()) / "person").rglob("*.parquet"))
    whole = person.read_bytes()
    person.chmod(0o600)
    person.write_bytes(whole[:100] + bytes([whole[100] ^ 1]) + whole[101:])
    with pytest.raises(IntegrityError, match="was changed"):
        _rekey(ics)
    person.write_bytes(whole)
    _file(ics).choose(DOMAIN, new)
    _file(ics).promote(new)
    _file(ics).disable(old)
    _file(ics).destroy(old)
    with pytest.raises(KeyUnavailableError, match="destroyed"):
        _rekey(ics)


def test_nothing_published_has_nothing_to_move(tmp_path: Path) -> None:
    """It says what to do first."""
    ics = make_small_ics(tmp_path)
    _file(ics).rotate()
    with pytest.raises(InputError, match="no published snapshot"):
        _rekey(ics)


def _say(*arguments: object) -> str:
    done = CliRunner().invoke(app, ["keys", *map(str, arguments)])
    if done.exception is not None:
        raise done.exception
    return done.output


def test_the_commands(ics: SmallIcs) -> None:
    """They say what stays unprotected and what to do next; the log has the keys, and a cohort follows."""
    old = _file_key(ics)
    cohort = ics.folder / "cohort.parquet"
    with linkage.open_store(ics.store) as connection:
        tokens = [token.bytes for (token,) in connection.execute("SELECT token FROM person ORDER BY token").fetchall()]
    pl.DataFrame({"token": tokens, "score": range(len(tokens))}).write_parquet(cohort)
    reference = f"age://{ics.folder / 'keys.age'}"
    _say("rotate", reference)
    said = _say("rekey", ics.configuration)
    assert "copies that anybody took before are as they were" in said
    assert f"linkage keys rekey {ics.configuration} --confirm" in said
    shown = CliRunner().invoke(app, ["runs", "show", str(ics.configuration), str(ics.current())]).output
    assert "with tokens of another key" in shown
    moved = ics.folder / "moved.parquet"
    _say("translate-cohort", cohort, moved, "--keyset", reference, "--domain", DOMAIN, "--old", old)
    frame = pl.read_parquet(moved)
    with linkage.open_store(ics.store) as connection:
        there = {token.bytes for (token,) in connection.execute("SELECT token FROM person").fetchall()}
    assert set(frame["token"]) == there
    assert "no snapshot of the old key is left" in _say("rekey", ics.configuration, "--confirm")
    told = [json.loads(line) for line in lines_of(ics.folder / "audit")]
    rekeyed = next(each for each in told if each["act"] == "rekey" and each["phase"] == "done")
    assert (rekeyed["details"]["old"], rekeyed["details"]["new"]) == (old, _file_key(ics))
    assert "key.translate" in {each["act"] for each in told}
