"""The log: what is written when, what it refuses, and that every way of changing it is seen."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkage.audit import Entry, Log, prove, verify, witness
from linkage.audit.entries import Detail
from linkage.audit.log import lines_of
from linkage.audit.notes import cosign, open_checkpoint
from linkage.errors import IntegrityError, PolicyError, TemporaryError
from linkage.signed import Signer

NOW = datetime(2026, 11, 24, 6, 0, tzinfo=UTC)
LOG, WITNESS = Signer("QXX.log", bytes(32)), Signer("QYY.lead", bytes([1]) * 32)


def _entry(number: int) -> Entry:
    return Entry(time=NOW, act="run", phase="intent", by="engineer", details={"rows": number})


def _filled(folder: Path, entries: int) -> list[str]:
    """A log of some entries, and its checkpoint after each."""
    notes = []
    for number in range(entries):
        with Log.open(folder, LOG, lambda: NOW) as log:
            log.add([_entry(number)])
        notes.append((folder / "checkpoint").read_text(encoding="utf-8"))
    return notes


@pytest.mark.parametrize(
    "said",
    [
        "9434765919",
        "943 476 5919",
        "id 943-476-5919.",
        "3f2a1c00-1111-8222-9333-444455556666",
        "3F2A1C0011118222A333444455556666",
    ],
)
def test_an_entry_with_an_identifier_is_refused(tmp_path: Path, said: str) -> None:
    """In whatever part; nothing is added."""
    for entry in (
        Entry(time=NOW, act="run", phase="intent", by=said),
        Entry(time=NOW, act=said, phase="intent", by="x"),
        Entry(time=NOW, act="run", phase="intent", by="x", details={"a": said}),
        Entry(time=NOW, act="run", phase="intent", by="x", details={"a": ("b", said)}),
        Entry(time=NOW, act="run", phase="intent", by="x", details={said: 1}),
        Entry(time=NOW, act="run", phase="intent", by="x", details={"a": 9434765919}),
    ):
        with Log.open(tmp_path, LOG) as log, pytest.raises(IntegrityError):
            log.add([_entry(1), entry])
    assert list(lines_of(tmp_path)) == []


def test_digests_and_run_ids_are_no_identifiers(tmp_path: Path) -> None:
    """The log is there to hold them."""
    details: dict[str, str | int | tuple[str, ...]] = {
        "digest": "0123456789" * 6 + "abcd", "run": "20261124T001530Z-3f2a1c", "rows": 999_999_999,
    }  # fmt: skip
    with Log.open(tmp_path, LOG) as log:
        assert log.add([Entry(time=NOW, act="run", phase="done", of=0, by="x", details=details)]) == [0]


def test_no_digest_is_taken_for_a_token(tmp_path: Path) -> None:
    """Of a few thousand digests some hold the form of one."""
    digests = tuple(hashlib.sha256(bytes([one, two])).hexdigest() for one in range(25) for two in range(40))
    with Log.open(tmp_path, LOG) as log:
        for start in range(0, len(digests), 100):
            details: dict[str, Detail] = {"digests": digests[start : start + 100]}
            log.add([Entry(time=NOW, act="run", phase="intent", by="x", details=details)])
    assert any(re.search("8...[89ab]...............", each[12:]) for each in digests)


def test_one_process_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other is told to wait."""
    monkeypatch.setattr("linkage.audit.log.PATIENCE", 0)
    with Log.open(tmp_path, LOG), pytest.raises(TemporaryError), Log.open(tmp_path, LOG):
        pass


@pytest.mark.parametrize("cut", [1, 20, 90])
def test_a_line_that_was_cut_short_is_taken_off(tmp_path: Path, cut: int) -> None:
    """It was never acknowledged; the log goes on after it, and says nothing else."""
    _filled(tmp_path, 3)
    whole = (tmp_path / "entries").read_bytes()
    (tmp_path / "entries").write_bytes(whole + whole.splitlines()[0][:cut])
    with Log.open(tmp_path, LOG) as log:
        assert log.size == 3
    assert (tmp_path / "entries").read_bytes() == whole


def test_entries_that_a_crash_kept_from_being_signed_are_told_of(tmp_path: Path) -> None:
    """They were synced; whoever reads the log sees that their checkpoint came later."""
    notes = _filled(tmp_path, 3)
    (tmp_path / "checkpoint").write_text(notes[1], encoding="utf-8")
    assert verify(tmp_path, LOG.verifier).unsigned == 1
    with Log.open(tmp_path, LOG, lambda: NOW) as log:
        assert log.size == 4
    last = json.loads(list(lines_of(tmp_path))[-1])
    assert (last["act"], last["details"]) == ("log.recover", {"entries": 1})
    assert verify(tmp_path, LOG.verifier, against=notes).unsigned == 0


def _truncated(lines: list[bytes]) -> list[bytes]:
    return lines[:-2]


def _edited(lines: list[bytes]) -> list[bytes]:
    return [lines[0], lines[1].replace(b'"rows":1', b'"rows":7'), *lines[2:]]


def _reordered(lines: list[bytes]) -> list[bytes]:
    return [lines[1], lines[0], *lines[2:]]


def _doubled(lines: list[bytes]) -> list[bytes]:
    return [lines[0], *lines]


def _dropped(lines: list[bytes]) -> list[bytes]:
    return [lines[0], *lines[2:]]


HARM = [_truncated, _edited, _reordered, _doubled, _dropped]


@pytest.mark.parametrize("harm", HARM, ids=lambda each: each.__name__)
@pytest.mark.parametrize("resigned", [False, True])
def test_a_changed_log_is_seen(tmp_path: Path, harm: Callable[[list[bytes]], list[bytes]], resigned: bool) -> None:
    """Against its own checkpoint; and where its keeper signs the changed log anew, against one that is held elsewhere."""
    notes = _filled(tmp_path, 5)
    lines = harm(list(lines_of(tmp_path)))
    (tmp_path / "entries").write_bytes(b"".join(each + b"\n" for each in lines))
    if resigned:
        for name in ("checkpoint", "entries"):
            (tmp_path / name).unlink()
        with Log.open(tmp_path, LOG) as log:
            log.add([Entry.model_validate_json(each) for each in lines])
        assert verify(tmp_path, LOG.verifier).checkpoint.size == len(lines)
        with pytest.raises(IntegrityError, match="not what its checkpoint of 5"):
            verify(tmp_path, LOG.verifier, against=[notes[-1]])
    else:
        with pytest.raises(IntegrityError):
            verify(tmp_path, LOG.verifier)
        if harm is not _truncated:
            with pytest.raises(IntegrityError), Log.open(tmp_path, LOG):
                pass


def test_a_log_that_was_rolled_back_is_seen(tmp_path: Path) -> None:
    """An older copy of everything, signature included, verifies by itself, and not against what came after."""
    notes = _filled(tmp_path, 3)
    old = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with Log.open(tmp_path, LOG) as log:
        log.add([_entry(8), _entry(9)])
    newest = (tmp_path / "checkpoint").read_text(encoding="utf-8")
    for name, content in old.items():
        (tmp_path / name).write_bytes(content)
    assert verify(tmp_path, LOG.verifier, against=notes).checkpoint.size == 3
    with pytest.raises(IntegrityError):
        verify(tmp_path, LOG.verifier, against=[newest])
    with pytest.raises(IntegrityError, match="rolled back"):
        prove(tmp_path, 5)


def test_a_fork_is_seen_by_whoever_keeps_a_checkpoint(tmp_path: Path) -> None:
    """Two logs that were one until the third entry: each is whole, and neither continues the other."""
    one, two = tmp_path / "one", tmp_path / "two"
    _filled(one, 3)
    _filled(two, 3)
    for folder, number in ((one, 8), (two, 9)):
        with Log.open(folder, LOG) as log:
            log.add([_entry(number)])
    note = (one / "checkpoint").read_text(encoding="utf-8")
    with pytest.raises(IntegrityError):
        verify(two, LOG.verifier, against=[note])
    last = open_checkpoint(note, LOG.verifier)
    with Log.open(two, LOG) as log:
        log.add([_entry(10)])
    with pytest.raises(IntegrityError, match="no continuation"):
        witness((two / "checkpoint").read_text(encoding="utf-8"), LOG.verifier, WITNESS, last, prove(two, 4), NOW)


@given(st.integers(1, 30), st.integers(0, 30))
def test_a_witness_cosigns_what_continues(tmp_path_factory: pytest.TempPathFactory, first: int, more: int) -> None:
    """Whatever the sizes; and the log then says by whom it was seen."""
    folder = tmp_path_factory.mktemp("log")
    with Log.open(folder, LOG) as log:
        log.add([_entry(each) for each in range(first)])
        last = log.checkpoint
        log.add([_entry(each) for each in range(more)])
    note = (folder / "checkpoint").read_text(encoding="utf-8")
    cosigned = witness(note, LOG.verifier, WITNESS, last, prove(folder, first), NOW)
    (folder / "witnessed").write_text(cosigned, encoding="utf-8")
    found = verify(folder, LOG.verifier, witnesses=[WITNESS.verifier])
    assert found.witnessed is not None
    assert found.witnessed.size == first + more
    assert [each.witness for each in found.by] == [WITNESS.verifier]


def test_a_log_does_not_witness_itself(tmp_path: Path) -> None:
    """Under whatever name."""
    [note] = _filled(tmp_path, 1)
    with pytest.raises(PolicyError):
        witness(note, LOG.verifier, Signer("QYY.lead", bytes(32)), None, [], NOW)


def test_a_cosignature_of_another_log_does_not_count(tmp_path: Path) -> None:
    """A witnessed note must be signed by this log as well."""
    _filled(tmp_path, 1)
    other = Signer("QZZ.log", bytes([9]) * 32)
    with Log.open(tmp_path / "other", other) as log:
        log.add([_entry(1)])
    note = (tmp_path / "other" / "checkpoint").read_text(encoding="utf-8")
    (tmp_path / "witnessed").write_text(cosign(note, other.verifier, WITNESS, NOW), encoding="utf-8")
    with pytest.raises(IntegrityError):
        verify(tmp_path, LOG.verifier, witnesses=[WITNESS.verifier])
