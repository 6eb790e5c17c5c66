"""Changing a keyset: what each change does to tokens, who can still open the file, and what is refused."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import polars as pl
import pyrage
import pytest
from typer.testing import CliRunner

from linkage.cli import app
from linkage.errors import ConfigurationError, KeyUnavailableError
from linkage.pseudonymise import Keyset
from linkage.pseudonymise.key_versions import KeysetFile
from linkage.pseudonymise.reverser import KeyHolderKeyset
from linkage.pseudonymise.translator import Translator

NUMBERS = pl.Series("nhs_number", ["9434765919", "4000000632"])
DOMAIN = "ics:demo"


def _made(folder: Path, name: str = "ics") -> tuple[KeysetFile, str]:
    created = Keyset.create(folder / f"{name}.age")
    return KeysetFile(f"age://{created.path}"), created.key_id


def _open(file: KeysetFile) -> KeyHolderKeyset:
    return KeyHolderKeyset.open(file.reference, identity=file.identity, passphrase=file.passphrase)


def _tokens(file: KeysetFile, domain: str = DOMAIN) -> pl.Series:
    return _open(file).pseudonymiser(domain).tokenise(NUMBERS)[0]


def test_a_new_version_changes_nothing_by_itself(tmp_path: Path) -> None:
    """Until a domain chooses it; the old tokens can be turned back all the same."""
    file, first = _made(tmp_path)
    old = _tokens(file)
    second = file.rotate()
    assert _tokens(file).equals(old)
    assert [(each.id, each.state.value) for each in _open(file).versions] == [(first, "primary"), (second, "active")]
    assert file.choose(DOMAIN, second[:6]) == second
    new = _tokens(file)
    assert not set(new) & set(old)
    assert _open(file).pseudonymiser(DOMAIN).key_id == second
    for tokens in (old, new):
        numbers, _ = _open(file).reverser(DOMAIN).reverse(tokens)
        assert list(numbers) == list(NUMBERS)


def test_one_domain_rotates_alone(tmp_path: Path) -> None:
    """Others keep the primary version, until another becomes it."""
    file, _ = _made(tmp_path)
    before = _tokens(file, "site:rr8")
    second = file.rotate()
    file.choose(DOMAIN, second)
    assert _tokens(file, "site:rr8").equals(before)
    site = _open(file).create_for_site(tmp_path / "rr8.age", "RR8", "site:rr8")
    assert site.key_id != second
    file.choose("site:rr8", second)
    again = _open(file).create_for_site(tmp_path / "rr8-new.age", "RR8", "site:rr8")
    assert again.key_id == second
    file.promote(second)
    assert not _tokens(file, "ics:other").equals(before)


def test_a_disabled_version_is_not_used(tmp_path: Path) -> None:
    """Neither to make tokens nor to turn them back; a domain that uses it stops."""
    file, first = _made(tmp_path)
    old = _tokens(file)
    file.disable(first)
    with pytest.raises(KeyUnavailableError, match="no key version is in use"):
        _tokens(file)
    with pytest.raises(KeyUnavailableError):
        _ = _open(file).key_id
    second = file.rotate()
    file.choose(DOMAIN, second)
    assert _open(file).reverser(DOMAIN).reverse(old)[0].null_count() == 2
    file.disable(second)
    with pytest.raises(KeyUnavailableError, match=f"key {second}, which domain {DOMAIN} uses, is disabled"):
        _tokens(file)
    file.enable(first)
    file.choose(DOMAIN, first)
    assert _tokens(file).equals(old)


def test_a_destroyed_version_is_gone(tmp_path: Path) -> None:
    """Its id is left; it is destroyed only once it is disabled and no domain uses it."""
    file, first = _made(tmp_path)
    with pytest.raises(ConfigurationError, match="is primary"):
        file.destroy(first)
    second = file.rotate()
    file.choose(DOMAIN, first)
    file.promote(second)
    file.disable(first)
    with pytest.raises(ConfigurationError, match=f"domain {DOMAIN} uses"):
        file.destroy(first)
    file.choose(DOMAIN, second)
    file.destroy(first)
    for again in (file.enable, file.disable, file.promote, file.destroy):
        with pytest.raises(ConfigurationError, match="is destroyed"):
            again(first)
    identity = pyrage.x25519.Identity.from_str((tmp_path / "ics.identity").read_text().splitlines()[1])
    inside = json.loads(pyrage.decrypt((tmp_path / "ics.age").read_bytes(), [identity]))
    assert "root" not in inside["versions"][0]


def test_from_one_version_to_another_of_a_domain(tmp_path: Path) -> None:
    """Also from a disabled one: people get the tokens that the new version makes of their numbers."""
    file, first = _made(tmp_path)
    old = _tokens(file)
    second = file.rotate()
    file.disable(first)
    made, reasons = Translator.between(_open(file), DOMAIN, first, second).person(old)
    assert reasons.null_count() == 2
    file.choose(DOMAIN, second)
    assert made.equals(_tokens(file).rename(made.name))
    with pytest.raises(KeyUnavailableError, match="no such"):
        Translator.between(_open(file), DOMAIN, "0" * 16, second)


def test_whoever_could_open_it_still_can(tmp_path: Path) -> None:
    """Each recipient alone, also where the keyset was made before it remembered them."""
    identities = [pyrage.x25519.Identity.generate() for _ in range(2)]
    paths = []
    for number, each in enumerate(identities):
        paths.append(tmp_path / f"{number}.identity")
        paths[-1].write_text(f"{each}\n")
        paths[-1].chmod(0o600)
    recipients = [str(each.to_public()) for each in identities]
    Keyset.create(tmp_path / "ics.age", recipients=recipients)
    reference = f"age://{tmp_path / 'ics.age'}"
    KeysetFile(reference, paths[0]).rotate()
    assert [len(Keyset.open(reference, identity=path).versions) for path in paths] == [2, 2]

    document = json.loads(pyrage.decrypt((tmp_path / "ics.age").read_bytes(), [identities[0]]))
    del document["recipients"]
    sealed = pyrage.encrypt(json.dumps(document).encode(), [each.to_public() for each in identities])
    (tmp_path / "ics.age").write_bytes(sealed)
    with pytest.raises(ConfigurationError, match="several recipients"):
        KeysetFile(reference, paths[0]).rotate()
    with pytest.raises(ConfigurationError, match="could not open it any more"):
        KeysetFile(reference, paths[0], recipients=(recipients[1],)).rotate()
    assert (tmp_path / "ics.age").read_bytes() == sealed
    KeysetFile(reference, paths[0], recipients=tuple(recipients)).rotate()
    assert [len(Keyset.open(reference, identity=path).versions) for path in paths] == [3, 3]


def test_a_passphrase_is_asked_for_once(tmp_path: Path) -> None:
    """And opens the changed file."""
    asked = []

    def ask() -> str:
        asked.append(1)
        return "correct horse"

    Keyset.create(tmp_path / "ics.age", passphrase="correct horse")
    file = KeysetFile(f"age://{tmp_path / 'ics.age'}", passphrase=ask)
    file.rotate()
    assert asked == [1]
    assert len(_open(file).versions) == 2
    recipient = str(pyrage.x25519.Identity.generate().to_public())
    with pytest.raises(ConfigurationError, match="opened by a passphrase"):
        replace(file, recipients=(recipient,)).rotate()
    assert len(_open(file).versions) == 2


def test_two_people_hold_a_keyset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither identity opens it alone, both do, and a change keeps it so; a third is the second one's recovery."""
    people = {name: pyrage.x25519.Identity.generate() for name in ("ann", "bob", "safe")}
    for name, each in people.items():
        (tmp_path / name).write_text(f"{each}\n")
        (tmp_path / name).chmod(0o600)
    public = {name: str(each.to_public()) for name, each in people.items()}
    Keyset.create(tmp_path / "ics.age", recipients=[public["ann"]], second_recipients=[public["bob"], public["safe"]])
    reference = f"age://{tmp_path / 'ics.age'}"

    def opens(*names: str) -> bool:
        try:
            Keyset.open(reference, identity=[tmp_path / name for name in names])
        except KeyUnavailableError:
            return False
        return True

    KeysetFile(reference, [tmp_path / "ann", tmp_path / "bob"]).rotate()
    assert [opens(name) for name in people] == [False] * 3
    assert [opens("ann", "bob"), opens("safe", "ann"), opens("bob", "safe")] == [True, True, False]
    monkeypatch.setenv("LINKAGE_IDENTITY", f"{tmp_path / 'ann'}:{tmp_path / 'bob'}")
    assert len(Keyset.open(reference).versions) == 2
    with pytest.raises(KeyUnavailableError, match="two people, and only one"):
        Keyset.open(reference, identity=tmp_path / "ann")
    with pytest.raises(ConfigurationError, match="recipients of both"):
        Keyset.create(tmp_path / "other.age", second_recipients=[public["bob"]])


def test_a_site_takes_new_token_keys_and_keeps_the_rest(tmp_path: Path) -> None:
    """Its files still open and it signs as before; another domain's keys are refused, and it rotates nothing itself."""
    file, _ = _made(tmp_path)
    _open(file).create_for_site(tmp_path / "rr8.age", "RR8", "site:rr8")
    site = KeysetFile(f"age://{tmp_path / 'rr8.age'}")
    sealed, signs = Keyset.open(site.reference).seal(b"roster"), Keyset.open(site.reference).signer().verifier
    file.choose("site:rr8", file.rotate())
    _open(file).create_for_site(tmp_path / "new.age", "RR8", "site:rr8")
    _open(file).create_for_site(tmp_path / "other.age", "RXX", "site:rxx")
    new = site.renew(KeysetFile(f"age://{tmp_path / 'new.age'}"))
    after = Keyset.open(site.reference)
    assert (after.key_id, after.unseal(sealed), after.signer().verifier) == (new, b"roster", signs)
    assert after.pseudonymiser("site:rr8").tokenise(NUMBERS)[0].equals(_tokens(file, "site:rr8"))
    with pytest.raises(ConfigurationError, match="another domain"):
        site.renew(KeysetFile(f"age://{tmp_path / 'other.age'}"))
    with pytest.raises(ConfigurationError, match="must be a site's"):
        site.renew(file)
    for change in (site.rotate, lambda: site.disable(new)):
        with pytest.raises(ConfigurationError, match="has one version"):
            change()


@pytest.mark.parametrize("where", ["replace", "fsync"])
def test_a_change_that_fails_leaves_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    """And nothing beside it."""
    file, _ = _made(tmp_path)
    before = (tmp_path / "ics.age").read_bytes()

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(*(Path, "replace") if where == "replace" else ("os.fsync",), fail)
    with pytest.raises(ConfigurationError, match="No space"):
        file.rotate()
    assert (tmp_path / "ics.age").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir() if not path.name.endswith(".lock")) == [
        "ics.age",
        "ics.identity",
    ]


def test_what_is_not_there_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By name, and nothing is changed."""
    file, first = _made(tmp_path)
    before = (tmp_path / "ics.age").read_bytes()
    refused: list[Callable[[], str]] = [
        lambda: file.choose(DOMAIN, "ffff" + first), lambda: file.choose(DOMAIN, ""), lambda: file.enable(first),
        lambda: file.choose("Not a domain", first), KeysetFile("env://KEYSET").rotate,
    ]  # fmt: skip
    monkeypatch.setenv("KEYSET", "e30=")
    for each in refused:
        with pytest.raises(ConfigurationError):
            each()
    assert (tmp_path / "ics.age").read_bytes() == before


def test_the_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The life of a version, each step told in the log, and no secret in what is printed."""
    monkeypatch.chdir(tmp_path)

    def say(*arguments: str) -> str:
        done = CliRunner().invoke(app, ["keys", *arguments])
        if done.exception is not None:
            raise done.exception
        return done.output

    said = say("create", "ics.age") + say("rotate", "age://ics.age")
    first, second = re.findall(r"key ([0-9a-f]{16})", said)
    said += say("choose", "age://ics.age", "site:rr8", second) + say("promote", "age://ics.age", second)
    said += say("disable", "age://ics.age", first) + say("enable", "age://ics.age", first)
    say("disable", "age://ics.age", first)
    with pytest.raises(ConfigurationError, match="does not come back"):
        say("destroy", "age://ics.age", first)
    said += say("destroy", "age://ics.age", first, "--sure") + say("list", "age://ics.age")
    assert f"{first}  destroyed" in said
    assert f"domain site:rr8 uses {second}" in said
    assert "AGE-SECRET" not in said
    log = (tmp_path / "audit" / "entries").read_text(encoding="utf-8")
    for name in ("create", "rotate", "choose", "promote", "disable", "enable", "destroy", "list"):
        assert f'"act":"key.{name}"' in log
