"""Keyset files: made once, whole and private; opened by the right identity and nothing else."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pyrage
import pytest
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from linkage.errors import ConfigurationError, IntegrityError, KeyUnavailableError
from linkage.pseudonymise import Keyset, Pseudonymiser
from linkage.pseudonymise.keyset import KeyState
from linkage.pseudonymise.reverser import KeyHolderKeyset

ROOT = bytes(range(32))
Opener = Callable[..., KeyHolderKeyset]


def mode(path: Path) -> int:
    """The permission bits of a file."""
    return stat.S_IMODE(path.stat().st_mode)


def unavailable(reference: str, **arguments: Any) -> KeyUnavailableError:
    """Open and expect exit code 5 with a hint."""
    with pytest.raises(KeyUnavailableError) as caught:
        Keyset.open(reference, **arguments)
    assert caught.value.exit_code == 5
    assert caught.value.hint
    return caught.value


def test_a_new_keyset_opens_with_the_identity_beside_it(tmp_path: Path) -> None:
    """Two private files and nothing else; one primary version, made just now, in UTC."""
    created = Keyset.create(tmp_path / "ics.age")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["ics.age", "ics.identity"]
    assert created.identity == tmp_path / "ics.identity"
    assert mode(created.path) == mode(created.identity) == 0o600
    keyset = Keyset.open("age://ics.age", base=tmp_path)
    (version,) = keyset.versions
    assert version.id == keyset.key_id == created.key_id
    assert version.state is KeyState.PRIMARY
    assert version.created.utcoffset() is not None
    again = Keyset.open(f"age://{created.path}")
    column = pl.Series(["9434765919"])
    assert (
        keyset.pseudonymiser("ics:demo").tokenise(column)[0].equals(again.pseudonymiser("ics:demo").tokenise(column)[0])
    )


def test_the_reference_is_relative_to_the_working_directory(keyset_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless a base is given."""
    monkeypatch.chdir(keyset_file.parent)
    assert Keyset.open("age://ics.age").key_id
    unavailable("age://ics.age", base=keyset_file.parent / "elsewhere")


def test_recipients_open_it_and_no_identity_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each recipient alone; the identity is named by argument or by the environment."""
    identities = [pyrage.x25519.Identity.generate() for _ in range(2)]
    path = tmp_path / "ics.age"
    created = Keyset.create(path, recipients=[str(each.to_public()) for each in identities])
    assert created.identity is None
    assert [each.name for each in tmp_path.iterdir()] == ["ics.age"]
    unavailable(f"age://{path}")
    for number, identity in enumerate(identities):
        file = tmp_path / f"{number}.txt"
        file.write_text(f"# mine\n{identity}\n")
        file.chmod(0o600)
        assert Keyset.open(f"age://{path}", identity=file).key_id == created.key_id
        monkeypatch.setenv("LINKAGE_IDENTITY", str(file))
        assert Keyset.open(f"age://{path}").key_id == created.key_id
        monkeypatch.delenv("LINKAGE_IDENTITY")


def scrypt_file(plain: bytes, passphrase: str) -> bytes:
    """An age file with a cheap passphrase stanza, written from the format's description (C2SP age)."""

    def encode(data: bytes) -> bytes:
        return base64.b64encode(data).rstrip(b"=")

    def expand(key: bytes, salt: bytes, info: bytes) -> bytes:
        return HKDF(algorithm=SHA256(), length=32, salt=salt, info=info).derive(key)

    salt, file_key, nonce = os.urandom(16), os.urandom(16), os.urandom(16)
    wrap = hashlib.scrypt(passphrase.encode(), salt=b"age-encryption.org/v1/scrypt" + salt, n=4, r=8, p=1, dklen=32)
    body = encode(ChaCha20Poly1305(wrap).encrypt(bytes(12), file_key, None))
    header = b"age-encryption.org/v1\n-> scrypt " + encode(salt) + b" 2\n" + body + b"\n---"
    mac = encode(hmac.digest(expand(file_key, b"", b"header"), header, "sha256"))
    sealed = ChaCha20Poly1305(expand(file_key, nonce, b"payload")).encrypt(bytes(11) + b"\1", plain, None)
    return header + b" " + mac + b"\n" + nonce + sealed


def test_a_passphrase_opens_it(
    tmp_path: Path, as_document: Callable[..., dict[str, object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is asked for once, and only when the file needs one; a wrong one opens nothing."""
    content = json.dumps(as_document((ROOT, "primary"))).encode()
    monkeypatch.setattr(pyrage.passphrase, "encrypt", scrypt_file)  # the real one takes seconds, on purpose
    made = Keyset.create(tmp_path / "made.age", passphrase="horse battery")
    assert made.identity is None
    assert Keyset.open(f"age://{made.path}", passphrase=lambda: "horse battery").key_id == made.key_id
    path = tmp_path / "ics.age"
    path.write_bytes(scrypt_file(content, "horse battery"))
    assert Keyset.open(f"age://{path}", passphrase=lambda: "horse battery").key_id == "f9406c43e5b8e268"
    unavailable(f"age://{path}")
    assert "horse" not in str(unavailable(f"age://{path}", passphrase=lambda: "wrong horse"))


@pytest.mark.slow
def test_a_passphrase_is_stretched(tmp_path: Path) -> None:
    """Without the stand-in of the test above: making and opening each take about a second or more."""
    made = Keyset.create(tmp_path / "ics.age", passphrase="horse battery")
    assert mode(made.path) == 0o600
    assert Keyset.open(f"age://{made.path}", passphrase=lambda: "horse battery").key_id == made.key_id


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    """Neither the keyset nor the identity, and a refusal leaves nothing new."""
    (tmp_path / "a.age").write_bytes(b"mine")
    (tmp_path / "b.identity").write_bytes(b"mine")
    for name in ("a.age", "b.age", "c.identity", "missing/d.age"):
        with pytest.raises(ConfigurationError) as caught:
            Keyset.create(tmp_path / name)
        assert caught.value.hint
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a.age", "b.identity"]
    assert {each.read_bytes() for each in tmp_path.iterdir()} == {b"mine"}


@pytest.mark.parametrize("broken", ["write", "link", "fsync"])
def test_a_failure_leaves_no_half_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str) -> None:
    """A full disk ends with an empty folder; a file system without links still gets a whole keyset."""

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    if broken == "write":
        monkeypatch.setattr("linkage.pseudonymise.age_files.os.open", fail)
    else:
        monkeypatch.setattr(f"linkage.pseudonymise.age_files.os.{broken}", fail)
    if broken == "link":
        created = Keyset.create(tmp_path / "ics.age")
        assert Keyset.open(f"age://{created.path}").key_id == created.key_id
        assert mode(created.path) == 0o600
    else:
        with pytest.raises(ConfigurationError, match="No space left"):
            Keyset.create(tmp_path / "ics.age")
        assert list(tmp_path.iterdir()) == []


def test_ways_to_open_are_checked_before_anything_is_written(tmp_path: Path) -> None:
    """A bad recipient, an empty passphrase, or both ways at once."""
    good = str(pyrage.x25519.Identity.generate().to_public())
    for recipients, passphrase in ((["age1no"], None), ([good, "x"], None), ([], ""), ([good], "p")):
        with pytest.raises(ConfigurationError):
            Keyset.create(tmp_path / "ics.age", recipients=recipients, passphrase=passphrase)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_scheme_is_a_configuration_error() -> None:
    """What was written instead of a reference is not repeated: it might be a key."""
    for reference in ("keys/ics.age", "file://x", "", "AGE-SECRET-KEY-1QQ"):
        with pytest.raises(ConfigurationError) as caught:
            Keyset.open(reference)
        assert caught.value.exit_code == 2
        assert "QQ" not in str(caught.value)


def test_a_keyset_that_cannot_be_read_is_unavailable(keyset_file: Path, tmp_path: Path) -> None:
    """Missing, a folder, not age, cut short, changed, or the wrong identity."""
    reference, sealed = f"age://{keyset_file}", keyset_file.read_bytes()
    unavailable("age://missing.age", base=tmp_path)
    unavailable(f"age://{tmp_path}")
    other = Keyset.create(tmp_path / "other.age").identity
    unavailable(reference, identity=other)
    unavailable(reference, identity=tmp_path / "missing")
    damaged = [b"", b"{}", sealed[:40], sealed[:-1], sealed + b"x", sealed[:-1] + bytes([sealed[-1] ^ 1])]
    for content in damaged:
        keyset_file.write_bytes(content)
        unavailable(reference)
    for place in range(0, len(sealed), 11):
        keyset_file.write_bytes(sealed[:place] + bytes([sealed[place] ^ 1]) + sealed[place + 1 :])
        unavailable(reference)


def test_an_identity_that_others_can_read_is_refused(keyset_file: Path) -> None:
    """The hint is the command that mends it."""
    identity = keyset_file.with_suffix(".identity")
    for bits in (0o640, 0o604, 0o620):
        identity.chmod(bits)
        assert unavailable(f"age://{keyset_file}").hint == f"run: chmod 600 {identity}"
    identity.chmod(0o400)
    assert Keyset.open(f"age://{keyset_file}").key_id


@pytest.mark.parametrize("content", [b"", b"# nothing\n", b"AGE-SECRET-KEY-1QQ\n", b"AGE-SECRET-KEY-1\xff\n"])
def test_an_identity_file_without_identity_is_refused(keyset_file: Path, content: bytes) -> None:
    """Empty, damaged or not text."""
    keyset_file.with_suffix(".identity").write_bytes(content)
    assert "QQ" not in str(unavailable(f"age://{keyset_file}"))


def test_the_environment_can_hold_a_keyset_for_tests(opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unset and damaged ones are unavailable."""
    keyset = opened((ROOT, "primary"), (b"\1" * 32, "destroyed"))
    assert keyset.key_id == "f9406c43e5b8e268"
    assert [each.state for each in keyset.versions] == ["primary", "destroyed"]
    unavailable("env://LINKAGE_TEST_UNSET")
    for value in ("!", base64.b64encode(b"\xff{").decode(), base64.b64encode(b"[" * 100_000).decode()):
        monkeypatch.setenv("LINKAGE_TEST_KEYSET", value)
        unavailable("env://LINKAGE_TEST_KEYSET")


def damages() -> dict[str, Callable[[dict[str, Any]], object]]:
    """Ways in which the JSON can be wrong."""
    return {
        "format": lambda d: d.update(format="linkage-keyset/2"),
        "no format": lambda d: d.pop("format"),
        "no versions": lambda d: d.update(versions=[]),
        "versions not a list": lambda d: d.update(versions=7),
        "version not an object": lambda d: d.update(versions=["x"]),
        "short root": lambda d: d["versions"][0].update(root="AAAA"),
        "root not base64": lambda d: d["versions"][0].update(root="@@"),
        "no root": lambda d: d["versions"][0].pop("root"),
        "root of another id": lambda d: d["versions"][0].update(root=base64.b64encode(b"\1" * 32).decode()),
        "unknown state": lambda d: d["versions"][0].update(state="retired"),
        "same version twice": lambda d: d["versions"].append(d["versions"][0] | {"state": "active"}),
        "two primaries": lambda d: d["versions"].append(d["versions"][0] | {"id": "0"}),
        "no time zone": lambda d: d["versions"][0].update(created="2026-01-02T03:04:05"),
        "id not text": lambda d: d["versions"][0].update(id=1),
        "no storage identity": lambda d: d.pop("storage_identity"),
        "storage identity damaged": lambda d: d.update(storage_identity="AGE-SECRET-KEY-1QQ"),
    }


@pytest.mark.parametrize("damage", damages())
def test_json_that_is_not_a_keyset_is_unavailable(
    opened: Opener, as_document: Callable[..., dict[str, object]], damage: str
) -> None:
    """Every field is checked."""
    content = as_document((ROOT, "primary"))
    damages()[damage](content)
    with pytest.raises(KeyUnavailableError) as caught:
        opened(content=content)
    assert caught.value.hint


def test_seal_is_opened_only_by_the_same_keyset(keyset_file: Path, tmp_path: Path) -> None:
    """Anything else is an integrity failure, exit code 6."""
    keyset = Keyset.open(f"age://{keyset_file}")
    other = Keyset.open(f"age://{Keyset.create(tmp_path / 'other.age').path}")
    sealed = keyset.seal(b"roster 9434765919")
    assert b"9434765919" not in sealed
    assert sealed != keyset.seal(b"roster 9434765919")
    assert Keyset.open(f"age://{keyset_file}").unseal(sealed) == b"roster 9434765919"
    for wrong in (b"", sealed[:-1], sealed[:-1] + bytes([sealed[-1] ^ 1]), other.seal(b"x"), b"roster"):
        with pytest.raises(IntegrityError) as caught:
            keyset.unseal(wrong)
        assert caught.value.exit_code == 6


def test_handles_are_not_built_by_hand() -> None:
    """The message names the way to get one."""
    with pytest.raises(TypeError, match=r"Keyset\.open"):
        Keyset()
    with pytest.raises(TypeError, match=r"Keyset\.pseudonymiser"):
        Pseudonymiser()
