"""Checkpoints as notes: the published example, and everything that is not one."""

from __future__ import annotations

import base64
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkage.audit import Checkpoint, cosign, open_checkpoint, sign_checkpoint, verifier_key
from linkage.audit.notes import _split, cosignatures
from linkage.errors import IntegrityError
from linkage.signed import Signer, Verifier

NOW = datetime(2026, 11, 24, 6, 0, tzinfo=UTC)
LOG, WITNESS, OTHER = (Signer(name, bytes([n]) * 32) for n, name in enumerate(("QXX.log", "QYY.lead", "QZZ.lead")))
STATE = Checkpoint("QXX.log", 7, bytes(range(32)))
NOTE = sign_checkpoint(STATE, LOG)

# The example of the signed-note specification: a key, and a note that it signed.
KEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
EXAMPLE = (
    "This is an example message.\n\n"
    "\u2014 example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
)


def test_the_published_example() -> None:
    """Our reading of the format is that of its authors."""
    name, _, key = KEY.split("+", 2)
    verifier = Verifier(name, base64.b64decode(key)[1:])
    assert verifier_key(verifier) == KEY
    text, [(signer, signature)] = _split(EXAMPLE)
    assert (text, signer) == ("This is an example message.\n", name)
    assert signature[:4].hex() == "530d903a"
    verifier.check(text.encode(), signature[4:])


def test_a_checkpoint_comes_back() -> None:
    """As it was signed, from a note of three lines and a signature."""
    assert open_checkpoint(NOTE, LOG.verifier) == STATE
    assert NOTE.splitlines()[:3] == ["QXX.log", "7", base64.b64encode(bytes(range(32))).decode()]


def test_a_witness_signs_beside_the_log() -> None:
    """Over the time as well; others' signatures are passed over, and none is anybody else's."""
    note = cosign(NOTE, LOG.verifier, WITNESS, NOW)
    assert open_checkpoint(note, LOG.verifier) == STATE
    [found] = cosignatures(note, [WITNESS.verifier, OTHER.verifier])
    assert (found.witness, found.at) == (WITNESS.verifier, NOW)
    assert cosignatures(note, [OTHER.verifier]) == ()
    assert cosignatures(NOTE, [WITNESS.verifier]) == ()


def test_a_cosignature_does_not_fit_another_checkpoint() -> None:
    """Moved to another note of the same log it is refused, not passed over."""
    line = cosign(NOTE, LOG.verifier, WITNESS, NOW).splitlines()[-1]
    later = sign_checkpoint(Checkpoint("QXX.log", 8, bytes(32)), LOG)
    with pytest.raises(IntegrityError, match="does not fit"):
        cosignatures(f"{later}{line}\n", [WITNESS.verifier])


def test_a_logs_signature_is_no_cosignature() -> None:
    """A key that signs a log's checkpoints does not witness by that."""
    assert cosignatures(NOTE, [LOG.verifier]) == ()
    with pytest.raises(IntegrityError):
        open_checkpoint(cosign(NOTE, LOG.verifier, WITNESS, NOW).replace("QXX.log ", "QXX.old "), LOG.verifier)


@pytest.mark.parametrize(
    "note",
    [
        "",
        "\n\n",
        NOTE.replace("7", "8", 1),
        NOTE.replace("QXX.log\n", "QXX.log\nmore\n"),
        NOTE.replace("\n7\n", "\n07\n"),
        NOTE.replace("\u2014", "-"),
        NOTE[:-1],
        NOTE + "more",
        NOTE.partition("\n\n")[0] + "\n\n",
        sign_checkpoint(STATE, OTHER),
    ],
)
def test_what_is_no_checkpoint_is_refused(note: str) -> None:
    """Changed, cut, or signed by somebody else."""
    with pytest.raises(IntegrityError):
        open_checkpoint(note, LOG.verifier)


@given(st.integers(0, len(NOTE) - 1), st.characters(codec="utf-8"))
def test_no_changed_character_goes_unseen(place: int, character: str) -> None:
    """Anywhere in the note, in its signature too."""
    changed = NOTE[:place] + character + NOTE[place + 1 :]
    if changed != NOTE:
        with pytest.raises(IntegrityError):
            open_checkpoint(changed, LOG.verifier)
