"""A site's keyset: the keys of one domain and a signing key, and nothing that leads to another."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path

import polars as pl
import pyrage
import pytest

from linkage.errors import ConfigurationError, KeyUnavailableError
from linkage.pseudonymise import Keyset
from linkage.pseudonymise.reverser import KeyHolderKeyset
from linkage.pseudonymise.translator import Translator

NUMBERS = pl.Series(["9434765919", "9434765870"])


@pytest.fixture
def keyset(keyset_file: Path) -> KeyHolderKeyset:
    """The key holder's."""
    return KeyHolderKeyset.open(f"age://{keyset_file}")


def _site(keyset: Keyset, folder: Path, name: str = "RR8", domain: str = "site:rr8") -> Keyset:
    made = keyset.create_for_site(folder / f"{name}.age", name, domain)
    return Keyset.open(f"age://{made.path}")


def _inside(path: Path) -> dict[str, object]:
    [opener] = [line for line in path.with_suffix(".identity").read_text().splitlines() if line.startswith("AGE")]
    found: dict[str, object] = json.loads(pyrage.decrypt(path.read_bytes(), [pyrage.x25519.Identity.from_str(opener)]))
    return found


def test_its_tokens_are_those_of_its_domain(keyset: KeyHolderKeyset, tmp_path: Path) -> None:
    """The key holder turns them into the tokens of the ICS without a number in between."""
    site = _site(keyset, tmp_path)
    tokens, _ = site.pseudonymiser("site:rr8").tokenise(NUMBERS)
    assert tokens.equals(keyset.pseudonymiser("site:rr8").tokenise(NUMBERS)[0])
    assert (site.key_id, site.domain) == (keyset.key_id, "site:rr8")
    translated, _ = Translator.open(keyset, "site:rr8", "ics:qxx").person(tokens)
    assert translated.equals(keyset.pseudonymiser("ics:qxx").tokenise(NUMBERS)[0])


@pytest.mark.parametrize("domain", ["ics:qxx", "site:rr9", "site:rr8/", "SITE:RR8"])
def test_it_makes_tokens_of_no_other_domain(keyset: KeyHolderKeyset, tmp_path: Path, domain: str) -> None:
    """Nor turns any back."""
    site = _site(keyset, tmp_path)
    with pytest.raises(ConfigurationError, match="domain site:rr8 alone"):
        site.pseudonymiser(domain)
    holder = KeyHolderKeyset.open(f"age://{tmp_path / 'RR8.age'}")
    with pytest.raises(ConfigurationError):
        holder.reverser(domain)
    with pytest.raises(ConfigurationError):
        Translator.open(holder, "site:rr8", domain)


def test_the_root_is_not_in_it(keyset: KeyHolderKeyset, keyset_file: Path, tmp_path: Path) -> None:
    """In no form; nor are the keys of another site, nor the key holder's signing key and working identity."""
    _site(keyset, tmp_path)
    _site(keyset, tmp_path, "RR9", "site:rr9")
    holder, one, two = (_inside(path) for path in (keyset_file, tmp_path / "RR8.age", tmp_path / "RR9.age"))
    [version] = holder["versions"]  # type: ignore[misc]
    root = base64.b64decode(version["root"])  # type: ignore[index]
    for secret in (root, root[:16], root[16:]):
        for form in (base64.b64encode(secret).decode().rstrip("=")[:20], secret.hex()):
            assert form not in json.dumps(one)
    assert not set(map(str, one["subkeys"].values())) & set(map(str, two["subkeys"].values()))  # type: ignore[attr-defined]
    assert len({each[name] for each in (holder, one, two) for name in ("signing", "storage_identity")}) == 6
    assert sorted(one) == [
        "domain",
        "format",
        "recipients",
        "signing",
        "site",
        "storage_identity",
        "subkeys",
        "versions",
    ]


def test_it_signs_under_its_name(keyset: KeyHolderKeyset, tmp_path: Path) -> None:
    """And keeps its own working files."""
    site = _site(keyset, tmp_path)
    signer = site.signer()
    assert signer.name == "RR8"
    signer.verifier.check(b"bundle", signer.sign(b"bundle"))
    assert keyset.signer().name == "key-holder"
    assert site.unseal(site.seal(b"roster")) == b"roster"


def test_it_makes_no_other(keyset: KeyHolderKeyset, tmp_path: Path) -> None:
    """Only the key holder does."""
    with pytest.raises(ConfigurationError, match="cannot make others"):
        _site(keyset, tmp_path).create_for_site(tmp_path / "x.age", "X", "site:rr8")


@pytest.mark.parametrize(("name", "domain"), [("two words", "site:rr8"), ("", "site:rr8"), ("RR8", "Site RR8")])
def test_names_that_cannot_be_used_are_refused(keyset: KeyHolderKeyset, tmp_path: Path, name: str, domain: str) -> None:
    """Before anything is written."""
    with pytest.raises(ConfigurationError):
        keyset.create_for_site(tmp_path / "x.age", name, domain)
    assert not (tmp_path / "x.age").exists()


@pytest.mark.parametrize("part", ["site", "domain", "subkeys", "versions", "storage_identity"])
def test_a_damaged_one_does_not_open(
    keyset: KeyHolderKeyset, tmp_path: Path, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With whatever is missing or is something else."""
    _site(keyset, tmp_path)
    document = _inside(tmp_path / "RR8.age")
    for changed in ({k: v for k, v in document.items() if k != part}, {**document, part: []}):
        plain = base64.b64encode(json.dumps(changed).encode()).decode()
        monkeypatch.setenv("LINKAGE_TEST_KEYSET", plain)
        with pytest.raises(KeyUnavailableError):
            Keyset.open("env://LINKAGE_TEST_KEYSET")


def test_a_keyset_of_before_cannot_sign(opened: object) -> None:
    """It still makes tokens."""
    old = opened((bytes(range(32)), "primary"))  # type: ignore[operator]
    with pytest.raises(KeyUnavailableError, match="no signing key"):
        old.signer()


def test_the_commands(tmp_path: Path) -> None:
    """Made for the site's own identity, listed by the site, and no secret in what is printed."""
    opener = pyrage.x25519.Identity.generate()
    (tmp_path / "rr8.identity").write_text(f"{opener}\n")
    (tmp_path / "rr8.identity").chmod(0o600)

    def linkage(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", "from linkage.cli import main; main()", *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout

    linkage("keys", "create", "keys/ics.age")
    recipient = ["--recipient", str(opener.to_public())]
    said = linkage("keys", "site", "RR8", "keys/rr8.age", "--keyset", "age://keys/ics.age", *recipient)
    assert said.startswith("made keys/rr8.age for RR8: tokens of domain site:rr8, key ")
    assert "--recipient" not in said
    listed = linkage("keys", "list", "age://keys/rr8.age", "--identity", "rr8.identity")
    assert "tokens of domain site:rr8 alone" in listed
    assert "signs as RR8: ed25519:" in listed
    assert "AGE-SECRET" not in said + listed
    assert "signs as key-holder: ed25519:" in linkage("keys", "list", "age://keys/ics.age")
