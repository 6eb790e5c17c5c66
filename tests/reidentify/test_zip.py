"""A practice without an age tool gets an AES-256 ZIP, and its passphrase by another way."""

from __future__ import annotations

from pathlib import Path

import pytest
import pyzipper
from small import NOW

from care import ANN, CAT, P1, P2, Care
from linkage import Keyset
from linkage.errors import ConfigurationError, IntegrityError, KeyUnavailableError
from linkage.reidentify import archives, publish
from linkage.reidentify.opening import open_package
from linkage.reidentify.register import sign_register
from linkage.reidentify.request import read_request


@pytest.fixture
def zipped(care: Care) -> Care:
    """P2 cannot run an age tool."""
    care.zipped = {P2}
    care.register()
    return care


def _passphrase(care: Care, place: Path) -> str:
    unseal = Keyset.open("age://keys.age", base=care.folder).unseal
    return publish.passphrases(place, unseal)[P2]


def test_one_practice_gets_a_zip_and_the_other_an_age_file(zipped: Care) -> None:
    """Any tool for AES-256 ZIP files opens it, with the passphrase that the key holder's keyset keeps."""
    released = zipped.release(zipped.approve(zipped.ask(ANN, CAT)))
    assert sorted(path.name for path in (released.place / P2).iterdir()) == ["cohort.zip", "signature.json"]
    assert zipped.opened(released, P1)[0]["nhs_number"] == ANN
    passphrase = _passphrase(zipped, released.place)
    with pyzipper.AESZipFile(released.place / P2 / "cohort.zip") as archive:
        assert all(each.wz_aes_strength == 3 for each in archive.infolist())  # 3 is AES-256
        archive.setpassword(passphrase.encode())
        assert CAT in archive.read("cohort.csv").decode()
    files = open_package(released.place / P2, None, zipped.key_holder.verifier, lambda: f" {passphrase}\n")
    assert CAT in files["cohort.csv"].decode()


def test_no_file_of_a_release_says_the_passphrase_or_a_number(zipped: Care) -> None:
    """The sealed one opens under the key holder's keyset alone; the log and the request know nothing of it."""
    released = zipped.release(zipped.approve(zipped.ask(ANN, CAT)))
    passphrase = _passphrase(zipped, released.place)
    for folder in (released.place, zipped.folder / "audit", zipped.folder / "request"):
        for path in (path for path in folder.rglob("*") if path.is_file()):
            content = path.read_bytes()
            assert not any(each.encode() in content for each in (passphrase, passphrase.replace("-", ""), ANN, CAT))
    Keyset.create(zipped.folder / "other.age")
    with pytest.raises(IntegrityError, match="does not open under this keyset"):
        publish.passphrases(released.place, Keyset.open("age://other.age", base=zipped.folder).unseal)


def test_what_was_changed_or_has_another_passphrase_does_not_open(zipped: Care) -> None:
    """The signature outside says so before the passphrase is asked for."""
    released = zipped.release(zipped.approve(zipped.ask(CAT)))
    place, holder = released.place / P2, zipped.key_holder.verifier
    with pytest.raises(KeyUnavailableError, match="does not open"):
        open_package(place, None, holder, archives.new_passphrase)
    with pytest.raises(KeyUnavailableError, match="needs a passphrase"):
        open_package(place, None, holder)
    with (place / "cohort.zip").open("ab") as file:
        file.write(b"x")
    with pytest.raises(IntegrityError, match="not what was signed"):
        open_package(place, None, holder, lambda: pytest.fail("asked"))


def test_a_release_without_one_of_its_files_is_not_whole(zipped: Care) -> None:
    """The sealed passphrases are among them."""
    request = zipped.approve(zipped.ask(CAT))
    digest = read_request(request, [zipped.keys["a.patel"].verifier]).digest
    released, folder, holder = zipped.release(request), zipped.folder / "released", zipped.key_holder.verifier
    assert publish.read_release(folder, digest, holder)
    (released.place / "passphrases.age").unlink()
    with pytest.raises(IntegrityError, match="missing"):
        publish.read_release(folder, digest, holder)


def test_where_the_extra_is_missing_nothing_is_spent(zipped: Care, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is found out before the log is told."""
    request = zipped.approve(zipped.ask(ANN, CAT))
    monkeypatch.setattr(archives, "find_spec", lambda _: None)
    with pytest.raises(ConfigurationError, match="cannot be made here"):
        zipped.release(request)
    monkeypatch.undo()
    assert zipped.release(request).practices == {P1: 1, P2: 1}


@pytest.mark.parametrize("lines", ["", 'recipient = "{key}"\nzip = true\n', "zip = false\n"])
def test_a_practice_has_one_way(care: Care, lines: str) -> None:
    """A key, or ZIP files."""
    source = care.folder / "register.toml"
    text = source.read_text()
    key = text.rpartition('recipient = "')[2].partition('"')[0]
    source.write_text(text.replace(f'recipient = "{key}"\n', lines.replace("{key}", key)))
    with pytest.raises(ConfigurationError, match="a practice has a recipient, or zip"):
        sign_register(source, care.keys["QXX.lead"])


def test_passphrases_are_random_and_archives_are_read_with_care() -> None:
    """What is no archive, or is cut short, is refused."""
    found = {archives.new_passphrase() for _ in range(50)}
    assert len(found) == 50
    assert all(len(each) == 29 and not {*each} & {*"lio01"} for each in found)
    for content in (b"", b"PK", archives.plain({"a": b"x"}, NOW)[:-9]):
        with pytest.raises(IntegrityError):
            archives.read(content)
        with pytest.raises(IntegrityError):
            archives.read_encrypted(content, "x")
