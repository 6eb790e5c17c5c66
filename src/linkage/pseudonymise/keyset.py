"""Keysets: handles on root secrets, and the age files that hold them.

A keyset file is an age file (age-encryption.org/v1), which any age tool opens with the right identity.
Inside is JSON: the key versions with their root secrets, and an age identity under which the site keeps
its own working files. A handle uses keys and never shows them; every function that meets key bytes
returns a `Problem` instead of raising, so that no traceback can reach them.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Self

import pyrage

from linkage.errors import ConfigurationError, IntegrityError, KeyUnavailableError
from linkage.handles import SecretHandle
from linkage.pseudonymise.age_files import Problem, decrypt, occupied, unlock, write_new
from linkage.pseudonymise.token import ROOT_BYTES, Subkeys, check_domain, derive, key_id
from linkage.pseudonymise.tokeniser import Pseudonymiser
from linkage.signed import SEED_BYTES, Signer, check_name

__all__ = ["CreatedKeyset", "KeyState", "KeyVersion", "Keyset"]

_FORMAT, _SITE_FORMAT = "linkage-keyset/1", "linkage-site-keyset/1"
_SUBKEYS = ("person_mac", "person_enc", "record_mac")
HOLDER = "key-holder"


class KeyState(StrEnum):
    """What a key version may still do."""

    PRIMARY = "primary"  # makes tokens; exactly one
    ACTIVE = "active"  # its tokens can still be reversed
    DISABLED = "disabled"  # kept, but not used
    DESTROYED = "destroyed"  # only its id is left


@dataclass(frozen=True, slots=True)
class KeyVersion:
    """The public part of a key version: its id (16 hexadecimal digits), when it was made (UTC), its state."""

    id: str
    created: datetime
    state: KeyState


@dataclass(frozen=True, slots=True)
class CreatedKeyset:
    """Where a new keyset is. `identity` is the file that opens it, if one was made with it."""

    path: Path
    identity: Path | None
    key_id: str


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class _Material(SecretHandle):
    """What a keyset file holds: roots by id, without destroyed versions; or, in a site's, the subkeys of one domain."""

    versions: tuple[KeyVersion, ...]
    roots: dict[str, bytes]
    storage: pyrage.x25519.Identity
    subkeys: Subkeys | None = None
    signing: bytes | None = None
    holder: str = HOLDER


class Keyset(SecretHandle):
    """A handle on one or more versions of a root secret. Comes from `Keyset.open`.

    It shows ids and states only, cannot be pickled or copied, and equals nothing but itself.
    """

    __slots__ = ("_material",)

    _material: _Material

    def __init__(self) -> None:
        raise TypeError("a Keyset comes from Keyset.open(reference)")

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {', '.join(f'{each.id} {each.state}' for each in self.versions)}>"

    @classmethod
    def create(cls, path: Path, *, recipients: Sequence[str] = (), passphrase: str | None = None) -> CreatedKeyset:
        """Make a keyset with one new random root secret and write it to an age file (mode 0600).

        Args:
            path: The file to make; it must not exist.
            recipients: age public keys (`age1…`) whose identities will open it.
            passphrase: Opens it instead. With neither, a new identity is written to `<stem>.identity`.

        Raises:
            ConfigurationError: when a file is in the way or cannot be written, a recipient is not an age
                public key, or both recipients and a passphrase are given. Nothing is left behind.
        """
        beside = None if recipients or passphrase is not None else path.with_suffix(".identity")
        keys = _openers(recipients, passphrase)
        identifier, plain = _new_material()
        problem = _create_files(plain, path, beside, keys, passphrase)
        if problem is not None:
            raise ConfigurationError(problem.message, hint=problem.hint)
        return CreatedKeyset(path, beside, identifier)

    def create_for_site(
        self, path: Path, site: str, domain: str, *, recipients: Sequence[str] = (), passphrase: str | None = None
    ) -> CreatedKeyset:
        """Make a site's own keyset: the subkeys of its domain and a new signing key, never the root.

        Args:
            path: The file to make; it must not exist.
            site: The site's name, for example the ODS code of its organisation.
            domain: Its token domain, which no other site has.
            recipients, passphrase: As in `create`; best the site's own age public key, so that nobody else can open it.

        Raises:
            ConfigurationError: as in `create`, when a name cannot be used, and when this keyset is itself a site's.
        """
        if self._material.subkeys is not None:
            raise ConfigurationError("a site's keyset cannot make others", hint="ask the key holder")
        check_name(site)
        check_domain(domain)
        beside = None if recipients or passphrase is not None else path.with_suffix(".identity")
        keys = _openers(recipients, passphrase)
        identifier, plain = _site_material(self._material, site, domain)
        problem = _create_files(plain, path, beside, keys, passphrase)
        if problem is not None:
            raise ConfigurationError(problem.message, hint=problem.hint)
        return CreatedKeyset(path, beside, identifier)

    @classmethod
    def open(
        cls,
        reference: str,
        *,
        identity: Path | None = None,
        passphrase: Callable[[], str] | None = None,
        base: Path | None = None,
    ) -> Self:
        """Open a keyset by reference.

        Args:
            reference: `age://path`, relative to `base` or absolute; or, for tests only, `env://NAME`, an
                environment variable with the JSON in base64.
            identity: File with the age identity; else the one that the environment variable
                LINKAGE_IDENTITY names; else `<stem>.identity` beside the keyset.
            passphrase: Asks for the passphrase; called only when the file needs one.
            base: Folder that a relative path starts from; the working directory when not given.

        Raises:
            ConfigurationError: when the reference has an unknown scheme.
            KeyUnavailableError: when anything else keeps the keyset shut.
        """
        scheme, _, place = reference.partition("://")
        if scheme == "age":
            path = (base or Path()) / place
            where = f"keyset {path}"
            found = _parse(unlock(path, identity, passphrase))
        elif scheme == "env":
            where = "keyset in an environment variable"
            found = _parse(_from_environment(place))
        else:
            raise ConfigurationError(
                "a keyset reference has an unknown scheme", hint='write it like "age://keys/ics.age"'
            )
        if isinstance(found, Problem):
            raise KeyUnavailableError(f"{where}: {found.message}", hint=found.hint)
        self = object.__new__(cls)
        self._material = found
        return self

    @property
    def key_id(self) -> str:
        """The id of the primary version, 16 hexadecimal digits."""
        return next(each.id for each in self.versions if each.state is KeyState.PRIMARY)

    @property
    def versions(self) -> tuple[KeyVersion, ...]:
        """All versions, in the order of the file."""
        return self._material.versions

    @property
    def domain(self) -> str | None:
        """The one domain that a site's keyset makes tokens of; None where it makes those of every domain."""
        return self._material.subkeys.domain if self._material.subkeys else None

    def pseudonymiser(self, domain: str) -> Pseudonymiser:
        """Return what makes the tokens of a domain, under the primary version.

        Raises:
            ConfigurationError: when the domain's name cannot be used, or a site's keyset is for another one.
        """
        return Pseudonymiser._from_subkeys(self._usable_subkeys(domain)[0], self.key_id)

    def signer(self) -> Signer:
        """Return what signs for the keyset's holder: a site under its name, or the key holder.

        Raises:
            KeyUnavailableError: when the keyset was made before keysets could sign.
        """
        if self._material.signing is None:
            raise KeyUnavailableError(
                "the keyset has no signing key: it was made before keysets had one",
                hint="make a new keyset; tokens of the old one are others",
            )
        return Signer(self._material.holder, self._material.signing)

    def seal(self, data: bytes) -> bytes:
        """Encrypt a working file of this site as an age file that `unseal` of the same keyset opens."""
        return bytes(pyrage.encrypt(data, [self._material.storage.to_public()]))

    def unseal(self, data: bytes) -> bytes:
        """Decrypt what `seal` made.

        Raises:
            IntegrityError: when the data was changed, cut short, or sealed under another keyset.
        """
        opened = decrypt(data, [self._material.storage])
        if opened is None:
            raise IntegrityError(
                "sealed data does not open under this keyset",
                hint="it was changed, or sealed under another keyset: restore it from a backup",
            )
        return opened

    def _usable_subkeys(self, domain: str) -> list[Subkeys]:
        """Return a domain's keys under every version in use, the primary first."""
        own = self._material.subkeys
        if own is not None:
            if own.domain != domain:
                raise ConfigurationError(
                    f"the keyset of site {self._material.holder} makes tokens of domain {own.domain} alone",
                    hint="set that domain under [keys], or ask the key holder for a keyset of another one",
                )
            return [own]
        states = (KeyState.PRIMARY, KeyState.ACTIVE)
        used = [each.id for state in states for each in self.versions if each.state is state]
        return [derive(self._material.roots[identifier], domain) for identifier in used]


def _new_material() -> tuple[str, bytes]:
    """A new keyset's key id and JSON."""
    root = secrets.token_bytes(ROOT_BYTES)
    created = datetime.now(UTC).isoformat(timespec="seconds")
    entry = {"id": key_id(root), "created": created, "state": KeyState.PRIMARY.value}
    entry["root"] = base64.b64encode(root).decode()
    return entry["id"], json.dumps({"format": _FORMAT, "versions": [entry], **_own_secrets()}).encode()


def _site_material(material: _Material, site: str, domain: str) -> tuple[str, bytes]:
    """A site keyset's key id and JSON: the primary version's subkeys of one domain, and never a root."""
    primary = next(each for each in material.versions if each.state is KeyState.PRIMARY)
    keys = derive(material.roots[primary.id], domain)
    version = {"id": primary.id, "created": primary.created.isoformat(), "state": KeyState.PRIMARY.value}
    subkeys = {name: base64.b64encode(getattr(keys, name)).decode() for name in _SUBKEYS}
    document = {"format": _SITE_FORMAT, "site": site, "domain": domain, "versions": [version], "subkeys": subkeys}
    return primary.id, json.dumps({**document, **_own_secrets()}).encode()


def _own_secrets() -> dict[str, str]:
    """What every keyset has for itself: where its working files are sealed to, and what it signs with."""
    signing = base64.b64encode(secrets.token_bytes(SEED_BYTES)).decode()
    return {"storage_identity": str(pyrage.x25519.Identity.generate()), "signing": signing}


def _openers(recipients: Sequence[str], passphrase: str | None) -> list[pyrage.x25519.Recipient]:
    """The age public keys that will open a new keyset.

    Raises:
        ConfigurationError: when one is none, or both recipients and a passphrase are given.
    """
    if passphrase == "" or (passphrase is not None and recipients):
        raise ConfigurationError(
            "a keyset is opened either by recipients or by one passphrase, which is not empty",
            hint="give one of the two",
        )
    try:
        return [pyrage.x25519.Recipient.from_str(each) for each in recipients]
    except pyrage.RecipientError:
        raise ConfigurationError(
            "a recipient is not an age public key", hint="give the line that starts with age1"
        ) from None


def _create_files(
    plain: bytes, path: Path, beside: Path | None, keys: list[pyrage.x25519.Recipient], passphrase: str | None
) -> Problem | None:
    opener = pyrage.x25519.Identity.generate()
    if passphrase is not None:
        sealed = pyrage.passphrase.encrypt(plain, passphrase)
    else:
        sealed = pyrage.encrypt(plain, keys or [opener.to_public()])
    problem = occupied(path) if path.exists() or path == beside else None
    if problem is None and beside is not None:
        problem = write_new(beside, f"# opens {path.name}\n{opener}\n".encode())
    if problem is None:
        problem = write_new(path, sealed)
        if problem is not None and beside is not None:
            beside.unlink()
    return problem


def _from_environment(name: str) -> bytes | Problem:
    try:
        return base64.b64decode(os.environ[name], validate=True)
    except (KeyError, ValueError):
        hint = "set it to the keyset's JSON in base64; for tests only"
        return Problem("it is not set, or not base64", hint)


def _parse(plain: bytes | Problem) -> _Material | Problem:
    """Return what the JSON holds once all of it has been checked."""
    if isinstance(plain, Problem):
        return plain
    try:
        document = json.loads(plain)
        if document["format"] not in (_FORMAT, _SITE_FORMAT):
            return Problem("has a format that this version does not know", "upgrade linkage")
        entries = [(_version(each), each.get("root")) for each in document["versions"]]
        kept = [(each, root) for each, root in entries if each.state is not KeyState.DESTROYED]
        storage = pyrage.x25519.Identity.from_str(document["storage_identity"])
        signing = base64.b64decode(document["signing"], validate=True) if "signing" in document else None
        if document["format"] == _SITE_FORMAT:
            parts = [base64.b64decode(document["subkeys"][name], validate=True) for name in _SUBKEYS]
            own, [(version, _)], site = Subkeys(document["domain"], *parts), entries, document["site"]
            if not isinstance(own.domain, str) or not isinstance(site, str):
                raise TypeError
            if version.state is not KeyState.PRIMARY:
                return Problem("holds a key that is not in use", "ask the key holder for a new one")
            return _Material((version,), {}, storage, own, signing, site)
        roots = {each.id: base64.b64decode(root, validate=True) for each, root in kept}
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError, pyrage.IdentityError):
        return Problem("holds no keyset", "restore it from a backup")
    versions = tuple(each for each, _ in entries)
    if any(len(root) != ROOT_BYTES or key_id(root) != identifier for identifier, root in roots.items()):
        return Problem("holds a root secret that does not fit its id", "restore it from a backup")
    primary = [each for each in versions if each.state is KeyState.PRIMARY]
    if len(primary) != 1 or len({each.id for each in versions}) != len(versions):
        return Problem("does not have one primary version and each id once", "restore it from a backup")
    return _Material(versions, roots, storage, signing=signing)


def _version(entry: dict[str, str]) -> KeyVersion:
    created = datetime.fromisoformat(entry["created"])
    if created.tzinfo is None or not isinstance(entry["id"], str):
        raise ValueError
    return KeyVersion(entry["id"], created.astimezone(UTC), KeyState(entry["state"]))
