"""`linkage audit`: every way of changing a log is seen, through the commands, against a checkpoint held elsewhere."""

from __future__ import annotations

import base64
import csv
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from small import make_small_ics
from typer.testing import CliRunner

from linkage.audit import Entry, Journal, Witness
from linkage.audit.log import lines_of
from linkage.cli import app
from linkage.config import load
from linkage.errors import IntegrityError, LinkageError, PolicyError
from linkage.pseudonymise import Keyset
from linkage.pseudonymise.signing_keys import open_signing_key
from linkage.signed import Signer

NOW = datetime(2026, 11, 24, 6, 0, tzinfo=UTC)


def _say(*arguments: object) -> str:
    done = CliRunner().invoke(app, ["audit", *map(str, arguments)])
    if done.exception is not None:
        raise done.exception
    return done.output


def _filled(folder: Path, acts: int = 3) -> Journal:
    journal = Journal(folder, now=lambda: NOW)
    for number in range(acts):
        with journal.act("release", "key-holder", people=number):
            pass
    return journal


def _anew(journal: Journal, lines: list[bytes]) -> None:
    """Its keeper writes the log anew and signs it with its own key."""
    for name in ("entries", "checkpoint"):
        (journal.folder / name).unlink()
    with journal.held() as log:
        log.add([Entry.model_validate_json(each) for each in lines])


def _truncated(lines: list[bytes]) -> list[bytes]:
    return lines[:-2]


def _edited(lines: list[bytes]) -> list[bytes]:
    return [*lines[:2], lines[2].replace(b'"people":1', b'"people":7'), *lines[3:]]


def _reordered(lines: list[bytes]) -> list[bytes]:
    return [*lines[2:4], *lines[:2], *lines[4:]]


def _forked(lines: list[bytes]) -> list[bytes]:
    return [*lines[:4], lines[4].replace(b'"people":2', b'"people":9'), *lines[5:], lines[5], lines[5]]


HARM = [_truncated, _edited, _reordered, _forked]


@pytest.mark.parametrize("harm", HARM, ids=lambda each: each.__name__)
def test_a_log_that_was_written_anew_is_seen(tmp_path: Path, harm: Callable[[list[bytes]], list[bytes]]) -> None:
    """It is whole by itself, since its keeper signed it; the checkpoint that lies elsewhere says what it was."""
    journal, elsewhere = _filled(tmp_path / "audit"), tmp_path / "elsewhere"
    _say("checkpoint", journal.folder, "--out", elsewhere)
    lines = list(lines_of(journal.folder))
    assert harm(lines) != lines
    _anew(journal, harm(lines))
    assert "whole" in _say("verify", journal.folder)
    with pytest.raises(IntegrityError, match="6 entries"):
        _say("verify", journal.folder, "--against", elsewhere)


@pytest.mark.parametrize("harm", HARM, ids=lambda each: each.__name__)
def test_a_log_that_was_changed_and_not_signed_is_seen(
    tmp_path: Path, harm: Callable[[list[bytes]], list[bytes]]
) -> None:
    """By its own checkpoint."""
    journal = _filled(tmp_path)
    lines = harm(list(lines_of(tmp_path)))
    (tmp_path / "entries").write_bytes(b"".join(each + b"\n" for each in lines))
    with pytest.raises(IntegrityError):
        _say("verify", journal.folder)


def test_a_log_that_was_rolled_back_is_seen(tmp_path: Path) -> None:
    """The whole folder as it was before, signatures and all."""
    journal, elsewhere = _filled(tmp_path / "audit"), tmp_path / "elsewhere"
    shutil.copytree(journal.folder, tmp_path / "old")
    with journal.act("release", "key-holder", people=50):
        pass
    _say("checkpoint", journal.folder, "--out", elsewhere)
    shutil.rmtree(journal.folder)
    shutil.copytree(tmp_path / "old", journal.folder)
    assert "6 entries, whole" in _say("verify", journal.folder)
    with pytest.raises(IntegrityError, match="8 entries"):
        _say("verify", journal.folder, "--against", elsewhere)


def test_a_log_that_was_begun_anew_is_seen(tmp_path: Path) -> None:
    """With another key: neither the checkpoint nor the key that are known elsewhere fit it."""
    journal, elsewhere = _filled(tmp_path / "audit"), tmp_path / "elsewhere"
    _say("checkpoint", journal.folder, "--out", elsewhere)
    key = (journal.folder / "public.key").read_text(encoding="ascii").split()[1]
    assert "whole" in _say("verify", journal.folder, "--key", key)
    shutil.rmtree(journal.folder)
    _filled(journal.folder)
    with pytest.raises(IntegrityError, match="not signed by"):
        _say("verify", journal.folder, "--against", elsewhere)
    with pytest.raises(LinkageError, match="not the one given"):
        _say("verify", journal.folder, "--key", key)


def test_a_log_that_only_grew_is_told_so(tmp_path: Path) -> None:
    """Against every checkpoint that it ever had."""
    journal, notes = Journal(tmp_path / "audit"), []
    for number in range(6):
        with journal.act("release", "key-holder"):
            notes.append(tmp_path / f"{number}")
            _say("checkpoint", journal.folder, "--out", notes[-1])
    options = [part for note in notes for part in ("--against", note)]
    assert "continues the 6 earlier checkpoints" in _say("verify", journal.folder, *options)
    assert "no end yet" not in _say("verify", journal.folder)
    journal.begin("release", "key-holder")
    assert "1 acts have no end yet" in _say("verify", journal.folder)
    assert "13 entries have no witness" in _say("verify", journal.folder)


def test_a_witness_sees_what_continues_and_refuses_what_does_not(tmp_path: Path) -> None:
    """From copies, on another machine: it keeps what it cosigned, and the log's keeper keeps the newest."""
    ics = make_small_ics(tmp_path)
    assert CliRunner().invoke(app, ["keys", "signer", "QYY.lead", str(tmp_path / "lead" / "lead.age")]).exit_code == 0
    key = f"age://{tmp_path / 'lead' / 'lead.age'}"
    state, note = tmp_path / "witness", tmp_path / "cosigned"
    options = ("--key", key, "--state", state, "--out", note)
    ics.run()
    _say("export", ics.configuration, tmp_path / "copy1")
    said = _say("witness", tmp_path / "copy1", *options)
    with pytest.raises(PolicyError, match="none of the witnesses"):
        _say("witnessed", ics.configuration, note)
    _name_witness(ics.configuration, key)
    assert "up to entry 4" in _say("witnessed", ics.configuration, note)
    assert "witnessed by QYY.lead" in _say("verify", ics.configuration)
    assert "compare it" in said
    first = note.read_text(encoding="utf-8")

    ics.run()
    journal = Journal.of(load(ics.configuration))
    assert "4 entries have no witness" in _say("verify", ics.configuration)
    _say("export", ics.configuration, tmp_path / "copy2")
    _say("witness", tmp_path / "copy2", *options)
    assert "up to entry 8" in _say("witnessed", ics.configuration, note)
    journal.check_witnessed()
    (tmp_path / "first").write_text(first, encoding="utf-8")
    with pytest.raises(IntegrityError, match="8 entries is kept"):
        _say("witnessed", ics.configuration, tmp_path / "first")

    # A fork from the fourth entry on, longer than what was seen, whole and signed.
    lines = list(lines_of(journal.folder))
    (journal.folder / "witnessed").unlink()
    _anew(journal, [*lines[:4], *lines[:4], *lines[:4]])
    _say("export", ics.configuration, tmp_path / "copy3")
    with pytest.raises(IntegrityError, match="8 entries"):
        _say("witness", tmp_path / "copy3", *options)
    with pytest.raises(IntegrityError, match="8 entries"):
        _say("witnessed", ics.configuration, note)


def _name_witness(configuration: Path, key: str) -> None:
    text = open_signing_key(key).verifier.text
    with configuration.open("a", encoding="utf-8") as file:
        file.write(f'[audit.witnesses]\n"QYY.lead" = "{text}"\n')


def test_a_witness_knows_the_key_of_a_log(tmp_path: Path) -> None:
    """Told by the log's keeper, or from the first time."""
    journal, other = _filled(tmp_path / "audit"), _filled(tmp_path / "other")
    CliRunner().invoke(app, ["keys", "signer", "QYY.lead", str(tmp_path / "lead" / "lead.age")])
    options = (
        "--key",
        f"age://{tmp_path / 'lead' / 'lead.age'}",
        "--state",
        tmp_path / "witness",
        "--out",
        tmp_path / "note",
    )
    key = (other.folder / "public.key").read_text(encoding="ascii").split()[1]
    with pytest.raises(PolicyError, match="not the one that is known"):
        _say("witness", journal.folder, *options, "--log-key", key)
    _say("witness", journal.folder, *options)
    name = (journal.folder / "public.key").read_text(encoding="ascii").split()[0]
    shutil.rmtree(journal.folder)
    shutil.copytree(other.folder, journal.folder)
    (journal.folder / "public.key").write_text(f"{name} {key}\n", encoding="ascii")
    with pytest.raises(PolicyError, match="not the one that is known"):
        _say("witness", journal.folder, *options)


def test_the_name_in_a_copy_names_no_file_elsewhere(tmp_path: Path) -> None:
    """A witness gets copies from others: what they say of themselves is written nowhere but in the witness's folder."""
    seed = Signer("../beside", bytes([3]) * 32)
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / "signing.key").touch(mode=0o600)
    (copy / "signing.key").write_text(f"../beside {base64.b64encode(bytes([3]) * 32).decode()}\n", encoding="ascii")
    _filled(copy)
    assert (copy / "public.key").read_text(encoding="ascii").split() == ["../beside", seed.verifier.text]
    with pytest.raises(IntegrityError, match="none that a file can have"):
        Witness(tmp_path / "witness", Signer("QYY.lead", bytes([4]) * 32)).see(copy, NOW)
    assert [path.name for path in tmp_path.iterdir()] == ["copy"]


def test_a_copy_has_no_signing_key_and_a_table(tmp_path: Path) -> None:
    """For the lead: who did what when, with the counts."""
    journal = _filled(tmp_path / "audit")
    assert "6 entries" in _say("export", journal.folder, tmp_path / "copy")
    assert sorted(path.name for path in (tmp_path / "copy").iterdir()) == [
        "acts.csv", "checkpoint", "entries", "public.key",
    ]  # fmt: skip
    with (tmp_path / "copy" / "acts.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[2] == {
        "entry": "2", "time": "2026-11-24T06:00:00Z", "act": "release", "phase": "intent", "of": "",
        "by": "key-holder", "details": "people 1",
    }  # fmt: skip
    with pytest.raises(LinkageError, match="exists"):
        _say("export", journal.folder, tmp_path / "copy")
    with pytest.raises(LinkageError, match="no log"):
        _say("verify", tmp_path)


def test_key_commands_are_told(tmp_path: Path) -> None:
    """Beside the key file, or where they are told to; what fails as well."""
    keyset, runner = tmp_path / "keys" / "ics.age", CliRunner()
    assert runner.invoke(app, ["keys", "create", str(keyset)]).exit_code == 0
    assert runner.invoke(app, ["keys", "create", str(keyset)]).exception is not None
    site = ["keys", "site", "RR8", str(tmp_path / "rr8.age"), "--keyset", f"age://{keyset}"]
    assert runner.invoke(app, [*site, "--audit", str(tmp_path / "log")]).exit_code == 0
    told = [Entry.model_validate_json(line) for line in lines_of(keyset.parent / "audit")]
    assert [(each.act, each.phase) for each in told] == [
        ("key.create", "intent"), ("key.create", "done"), ("key.create", "intent"), ("key.create", "failed"),
    ]  # fmt: skip
    assert told[1].details == {"key": Keyset.open(f"age://{keyset}").key_id}
    assert [Entry.model_validate_json(line).act for line in lines_of(tmp_path / "log")] == ["key.site"] * 2
