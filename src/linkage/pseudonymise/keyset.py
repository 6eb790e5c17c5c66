"""Keysets: handles on root secrets, and the age files that hold them.

A keyset file is an age file (age-encryption.org/v1), which any age tool opens with the right identity.
Inside is JSON: the key versions with their root secrets, and an age identity under which the site keeps
its own working files. A handle uses keys and never shows them; every function that meets key bytes
returns a `_Problem` instead of raising, so that no traceback can reach them.
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
from typing import NamedTuple, Self

import pyrage

from linkage.errors import ConfigurationError, IntegrityError, KeyUnavailableError
from linkage.handles import SecretHandle
from linkage.pseudonymise.token import ROOT_BYTES, derive, key_id
from linkage.pseudonymise.tokeniser import Pseudonymiser

__all__ = ["CreatedKeyset", "KeyState", "KeyVersion", "Keyset"]

IDENTITY_VARIABLE = "LINKAGE_IDENTITY"

_FORMAT = "linkage-keyset/1"
_AGE = b"age-encryption.org/v1\n"
_AGE_SECRET = b"AGE-SECRET-KEY-1"


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


class _Problem(NamedTuple):
    message: str
    hint: str


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class _Material(SecretHandle):
    """What a keyset file holds. `roots` is by id, without destroyed versions."""

    versions: tuple[KeyVersion, ...]
    roots: dict[str, bytes]
    storage: pyrage.x25519.Identity


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
        if passphrase == "" or (passphrase is not None and recipients):
            raise ConfigurationError(
                "a keyset is opened either by recipients or by one passphrase, which is not empty",
                hint="give one of the two",
            )
        try:
            keys = [pyrage.x25519.Recipient.from_str(each) for each in recipients]
        except pyrage.RecipientError:
            keys = []
        if len(keys) != len(recipients):
            raise ConfigurationError("a recipient is not an age public key", hint="give the line that starts with age1")
        identifier, problem = _create_files(path, beside, keys, passphrase)
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
            found = _parse(_unlock(path, identity, passphrase))
        elif scheme == "env":
            where = "keyset in an environment variable"
            found = _parse(_from_environment(place))
        else:
            raise ConfigurationError(
                "a keyset reference has an unknown scheme", hint='write it like "age://keys/ics.age"'
            )
        if isinstance(found, _Problem):
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

    def pseudonymiser(self, domain: str) -> Pseudonymiser:
        """Return what makes the tokens of a domain, under the primary version.

        Raises:
            ConfigurationError: when the domain's name cannot be used.
        """
        return Pseudonymiser._from_subkeys(derive(self._material.roots[self.key_id], domain), self.key_id)

    def seal(self, data: bytes) -> bytes:
        """Encrypt a working file of this site as an age file that `unseal` of the same keyset opens."""
        return bytes(pyrage.encrypt(data, [self._material.storage.to_public()]))

    def unseal(self, data: bytes) -> bytes:
        """Decrypt what `seal` made.

        Raises:
            IntegrityError: when the data was changed, cut short, or sealed under another keyset.
        """
        opened = _decrypt(data, [self._material.storage])
        if opened is None:
            raise IntegrityError(
                "sealed data does not open under this keyset",
                hint="it was changed, or sealed under another keyset: restore it from a backup",
            )
        return opened

    def _usable_roots(self) -> list[bytes]:
        """Return the root secrets in use, the primary first."""
        states = (KeyState.PRIMARY, KeyState.ACTIVE)
        used = [each.id for state in states for each in self.versions if each.state is state]
        return [self._material.roots[identifier] for identifier in used]


def _create_files(
    path: Path, beside: Path | None, keys: list[pyrage.x25519.Recipient], passphrase: str | None
) -> tuple[str, _Problem | None]:
    root = secrets.token_bytes(ROOT_BYTES)
    created = datetime.now(UTC).isoformat(timespec="seconds")
    entry = {"id": key_id(root), "created": created, "state": KeyState.PRIMARY.value}
    entry["root"] = base64.b64encode(root).decode()
    storage = str(pyrage.x25519.Identity.generate())
    plain = json.dumps({"format": _FORMAT, "versions": [entry], "storage_identity": storage}).encode()
    opener = pyrage.x25519.Identity.generate()
    if passphrase is not None:
        sealed = pyrage.passphrase.encrypt(plain, passphrase)
    else:
        sealed = pyrage.encrypt(plain, keys or [opener.to_public()])
    problem = _occupied(path) if path.exists() or path == beside else None
    if problem is None and beside is not None:
        problem = _write_new(beside, f"# opens {path.name}\n{opener}\n".encode())
    if problem is None:
        problem = _write_new(path, sealed)
        if problem is not None and beside is not None:
            beside.unlink()
    return entry["id"], problem


def _write_new(path: Path, content: bytes) -> _Problem | None:
    """Write a file that appears whole or not at all, is on the disk on return, and replaces nothing."""
    aside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        _publish(aside, path)
    except FileExistsError:
        return _occupied(path)
    except OSError as error:
        hint = "check that the folder exists and is yours"
        return _Problem(f"{path} cannot be written: {error.strerror}", hint)
    finally:
        aside.unlink(missing_ok=True)
    return None


def _publish(aside: Path, path: Path) -> None:
    try:
        os.link(aside, path)
    except FileExistsError:
        raise
    except OSError:
        # No hard links on this file system (a memory stick): claim the name first, then replace the claim.
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        try:
            aside.replace(path)
        except OSError:
            path.unlink()
            raise
    if os.name == "posix":
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _occupied(path: Path) -> _Problem:
    return _Problem(f"{path} is taken", "a keyset is never overwritten: choose another name")


def _from_environment(name: str) -> bytes | _Problem:
    try:
        return base64.b64decode(os.environ[name], validate=True)
    except (KeyError, ValueError):
        hint = "set it to the keyset's JSON in base64; for tests only"
        return _Problem("it is not set, or not base64", hint)


def _unlock(path: Path, identity: Path | None, passphrase: Callable[[], str] | None) -> bytes | _Problem:
    """Return the JSON inside an age file."""
    try:
        sealed = path.read_bytes()
    except OSError as error:
        return _Problem(f"cannot be read: {error.strerror}", "check the reference and the file's owner")
    if not sealed.startswith(_AGE):
        return _Problem("is not an age file", "check the reference; create one with `linkage keys create`")
    if sealed.startswith(_AGE + b"-> scrypt "):
        return _unlock_by_passphrase(sealed, passphrase)
    variable = os.environ.get(IDENTITY_VARIABLE)
    chosen = identity or (Path(variable) if variable else path.with_suffix(".identity"))
    identities = _identities(chosen)
    if isinstance(identities, _Problem):
        return identities
    opened = _decrypt(sealed, identities)
    if opened is None:
        hint = "it is another keyset's identity, or the file was changed"
        return _Problem(f"does not open with {chosen}", hint)
    return opened


def _unlock_by_passphrase(sealed: bytes, passphrase: Callable[[], str] | None) -> bytes | _Problem:
    if passphrase is None:
        return _Problem("needs a passphrase", "run where one can be typed, or use an identity")
    try:
        return bytes(pyrage.passphrase.decrypt(sealed, passphrase()))
    except pyrage.DecryptError:
        return _Problem("does not open", "wrong passphrase, or the file was changed")


def _identities(path: Path) -> list[pyrage.x25519.Identity] | _Problem:
    """Return the age identities in a file that only its owner can read."""
    try:
        with path.open("rb") as file:
            shared = os.name == "posix" and os.fstat(file.fileno()).st_mode & 0o077
            lines = [] if shared else file.read().splitlines()
    except OSError as error:
        hint = f"name the identity's file, or set {IDENTITY_VARIABLE} to its path"
        return _Problem(f"its identity {path} cannot be read: {error.strerror}", hint)
    if shared:
        return _Problem(f"its identity {path} can be read by others", f"run: chmod 600 {path}")
    try:
        texts = [line.decode("ascii") for line in lines if line.startswith(_AGE_SECRET)]
        found = [pyrage.x25519.Identity.from_str(text) for text in texts]
    except (pyrage.IdentityError, ValueError):
        found = []
    hint = "its line starts with AGE-SECRET-KEY-1"
    return found or _Problem(f"{path} holds no age identity that can be read", hint)


def _decrypt(sealed: bytes, identities: list[pyrage.x25519.Identity]) -> bytes | None:
    try:
        return bytes(pyrage.decrypt(sealed, identities))
    except pyrage.DecryptError:
        return None


def _parse(plain: bytes | _Problem) -> _Material | _Problem:
    """Return what the JSON holds once all of it has been checked."""
    if isinstance(plain, _Problem):
        return plain
    try:
        document = json.loads(plain)
        if document["format"] != _FORMAT:
            return _Problem("has a format that this version does not know", "upgrade linkage")
        entries = [(_version(each), each.get("root")) for each in document["versions"]]
        kept = [(each, root) for each, root in entries if each.state is not KeyState.DESTROYED]
        roots = {each.id: base64.b64decode(root, validate=True) for each, root in kept}
        storage = pyrage.x25519.Identity.from_str(document["storage_identity"])
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError, pyrage.IdentityError):
        return _Problem("holds no keyset", "restore it from a backup")
    versions = tuple(each for each, _ in entries)
    if any(len(root) != ROOT_BYTES or key_id(root) != identifier for identifier, root in roots.items()):
        return _Problem("holds a root secret that does not fit its id", "restore it from a backup")
    primary = [each for each in versions if each.state is KeyState.PRIMARY]
    if len(primary) != 1 or len({each.id for each in versions}) != len(versions):
        return _Problem("does not have one primary version and each id once", "restore it from a backup")
    return _Material(versions, roots, storage)


def _version(entry: dict[str, str]) -> KeyVersion:
    created = datetime.fromisoformat(entry["created"])
    if created.tzinfo is None or not isinstance(entry["id"], str):
        raise ValueError
    return KeyVersion(entry["id"], created.astimezone(UTC), KeyState(entry["state"]))
