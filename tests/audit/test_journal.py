"""The log as commands use it: each act between its intent and its end, and what a crash left open told later."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from linkage.audit import Journal, cosign
from linkage.audit.log import lines_of
from linkage.audit.signing import public_key, signer
from linkage.config import Audit
from linkage.errors import IntegrityError, PolicyError, TemporaryError
from linkage.signed import Signer

NOW = datetime(2026, 11, 24, 6, 0, tzinfo=UTC)
WITNESS = Signer("QYY.lead", bytes([1]) * 32)


def _said(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines_of(folder)]


def _journal(folder: Path) -> Journal:
    return Journal(folder, (WITNESS.verifier,), now=lambda: NOW)


def test_the_intent_is_on_the_disk_before_the_act(tmp_path: Path) -> None:
    """And its end after it, with what came of it; others may tell of theirs in between."""
    journal = _journal(tmp_path / "audit")
    with journal.act("release", "key-holder 00112233", cohort=50) as act:
        assert [each["phase"] for each in _said(journal.folder)] == ["intent"]
        with journal.act("run", "operator"):
            pass
        act.details["practices"] = 3
    assert _said(journal.folder)[-1] == {
        "act": "release", "by": "key-holder 00112233", "details": {"practices": 3}, "of": 0, "phase": "done",
        "time": "2026-11-24T06:00:00Z",
    }  # fmt: skip


def test_an_act_that_fails_is_told_so(tmp_path: Path) -> None:
    """By the class of the error and none of its words."""
    with pytest.raises(PolicyError), _journal(tmp_path).act("release", "key-holder"):
        raise PolicyError("no approval of practice Y12345")
    assert (_said(tmp_path)[-1]["phase"], _said(tmp_path)[-1]["details"]) == ("failed", {"error": "PolicyError"})


def test_nothing_is_done_that_cannot_be_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A log that is held, or that would have to hold an identifier, stops the act before it begins."""
    journal, done = _journal(tmp_path), []
    with pytest.raises(IntegrityError), journal.act("release", "key-holder", person="9434765919"):
        done.append(1)
    monkeypatch.setattr("linkage.audit.log.PATIENCE", 0)
    with journal.held(), pytest.raises(TemporaryError), journal.act("release", "key-holder"):
        done.append(1)
    assert done == []


def test_what_a_crash_left_open_is_settled(tmp_path: Path) -> None:
    """Only that of the same place; acts of others may be on their way."""
    journal = _journal(tmp_path)
    journal.begin("run", "operator", store="aa")
    journal.begin("run", "operator", store="bb")
    journal.begin("release", "key-holder", store="aa")
    [act] = journal.unfinished(("run", "publish"), {"store": "aa"})
    act.details["published"] = "no"
    journal.settle(act)
    assert journal.unfinished(("run", "publish"), {"store": "aa"}) == []
    assert (_said(tmp_path)[-1]["phase"], _said(tmp_path)[-1]["of"]) == ("settled", act.place)
    assert _journal(tmp_path / "none").unfinished(("run",), {}) == []


def _witnessed(journal: Journal, at: datetime) -> None:
    note = (journal.folder / "checkpoint").read_text(encoding="utf-8")
    cosigned = cosign(note, public_key(journal.folder), WITNESS, at)
    (journal.folder / "witnessed").write_text(cosigned, encoding="utf-8")


def test_a_log_that_no_witness_has_seen_is_refused(tmp_path: Path) -> None:
    """Where the configuration names one; and one that was seen too long ago."""
    journal = _journal(tmp_path)
    with journal.act("run", "operator"):
        pass
    assert replace(journal, witnesses=()).check_witnessed() is None
    with pytest.raises(PolicyError, match="no witness"):
        journal.check_witnessed()
    _witnessed(journal, NOW - timedelta(days=8))
    found = journal.check_witnessed()
    assert found is not None
    assert found.witnessed is not None
    assert found.witnessed.size == 2
    with pytest.raises(PolicyError, match="since 2026-11-16"):
        replace(journal, max_unwitnessed_days=7).check_witnessed()
    with pytest.raises(PolicyError, match="none of the witnesses"):
        replace(journal, witnesses=()).check_witnessed()
    stranger = Signer("QZZ.lead", bytes([2]) * 32)
    with pytest.raises(PolicyError, match="none of the witnesses"):
        replace(journal, witnesses=(stranger.verifier,)).check_witnessed()


def test_a_log_behind_what_its_witness_has_seen_is_refused(tmp_path: Path) -> None:
    """The whole folder was put back to an older state, and the cosigned checkpoint lies elsewhere."""
    folder, elsewhere = tmp_path / "audit", tmp_path / "witnessed"
    journal = replace(_journal(folder), witnessed=elsewhere)
    with journal.act("run", "operator"):
        pass
    old = {path.name: path.read_bytes() for path in folder.iterdir()}
    with journal.act("release", "key-holder"):
        pass
    _witnessed(journal, NOW)
    (folder / "witnessed").rename(elsewhere)
    journal.check_witnessed()
    for name, content in old.items():
        (folder / name).write_bytes(content)
    with pytest.raises(IntegrityError, match="4 entries"):
        journal.check_witnessed()
    with pytest.raises(IntegrityError, match="4 entries"):
        journal.check_whole()


def test_a_log_keeps_its_key(tmp_path: Path) -> None:
    """Made once; a log without it is not begun anew, and others cannot read it."""
    journal = _journal(tmp_path / "audit")
    with journal.act("run", "operator"):
        pass
    assert signer(journal.folder).verifier == public_key(journal.folder)
    key = journal.folder / "signing.key"
    key.chmod(0o640)
    with pytest.raises(PolicyError, match="others may read"):
        journal.begin("run", "operator")
    key.unlink()
    with pytest.raises(IntegrityError, match="missing"):
        journal.begin("run", "operator")
    key.write_text("nothing\n", encoding="ascii")
    key.chmod(0o600)
    with pytest.raises(IntegrityError, match="damaged"):
        journal.begin("run", "operator")


def test_the_configuration_says_where_the_log_is(tmp_path: Path) -> None:
    """Beside the private folder, or where it is told to be."""

    class Said:
        audit, private = Audit(), Path("data/private")

        def at(self, path: Path) -> Path:
            return tmp_path / path

    said: Any = Said()
    assert Journal.of(said).folder == tmp_path / "data" / "audit"
    Said.audit = Audit(path=Path("log"), witnesses={"QYY.lead": WITNESS.verifier.text}, witnessed=Path("share/seen"))
    journal = Journal.of(said)
    assert (journal.folder, journal.witnesses) == (tmp_path / "log", (WITNESS.verifier,))
    assert journal.witnessed == tmp_path / "share" / "seen"
