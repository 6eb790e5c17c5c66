"""Signing keys of people and nodes."""

from __future__ import annotations

from pathlib import Path

import pytest

from linkage.errors import ConfigurationError, KeyUnavailableError
from linkage.pseudonymise import Keyset
from linkage.pseudonymise.signing_keys import create_signing_key, open_signing_key
from linkage.signed import Verifier


def test_a_key_signs_as_whom_it_was_made_for(tmp_path: Path) -> None:
    """And its file shows nothing of it."""
    made = create_signing_key(tmp_path / "a.age", "QXX.analysts")
    signer = open_signing_key("age://a.age", base=tmp_path)
    assert signer.verifier == made.verifier == Verifier.parse("QXX.analysts", made.verifier.text)
    made.verifier.check(b"said", signer.sign(b"said"))
    assert (tmp_path / "a.age").stat().st_mode & 0o777 == 0o600
    assert made.verifier.text not in repr(signer)


def test_a_passphrase_opens_it(tmp_path: Path) -> None:
    """Instead of an identity."""
    made = create_signing_key(tmp_path / "a.age", "anna", passphrase="long enough")
    assert made.identity is None
    assert open_signing_key(f"age://{tmp_path}/a.age", passphrase=lambda: "long enough").name == "anna"
    with pytest.raises(KeyUnavailableError):
        open_signing_key(f"age://{tmp_path}/a.age", passphrase=lambda: "another")


def test_what_is_no_signing_key_is_refused(tmp_path: Path) -> None:
    """A keyset is none, a name is one word, and nothing is overwritten."""
    Keyset.create(tmp_path / "k.age")
    with pytest.raises(KeyUnavailableError, match="no signing key"):
        open_signing_key("age://k.age", base=tmp_path)
    with pytest.raises(ConfigurationError, match="one word"):
        create_signing_key(tmp_path / "b.age", "two words")
    with pytest.raises(ConfigurationError, match="taken"):
        create_signing_key(tmp_path / "k.age", "anna")
    with pytest.raises(ConfigurationError, match="scheme"):
        open_signing_key("env://KEY")
