"""Keysets: handles on root secrets, and the age files that hold them.

A keyset file is an age file (age-encryption.org/v1), which any age tool opens with the right identity.
Inside is JSON: the key versions with their root secrets, and an age identity under which the site keeps
its own working files. A handle uses keys and never shows them; every function that meets key bytes
returns a `Problem` instead of raising, so that no traceback can reach them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import pyrage

from linkage.errors import ConfigurationError, IntegrityError, KeyUnavailableError
from linkage.handles import SecretHandle
from linkage.pseudonymise.age_files import Problem, decrypt, occupied, sealed_to, write_new
from linkage.pseudonymise.custody import back_end
from linkage.pseudonymise.keyset_document import (
    KeyState,
    KeyVersion,
    Material,
    chosen,
    new_material,
    parse,
    site_material,
)
from linkage.pseudonymise.token import Subkeys, check_domain, derive
from linkage.pseudonymise.tokeniser import Pseudonymiser
from linkage.signed import Signer, check_name

__all__ = ["CreatedKeyset", "KeyState", "KeyVersion", "Keyset"]


@dataclass(frozen=True, slots=True)
class CreatedKeyset:
    """Where a new keyset is. `identity` is the file that opens it, if one was made with it."""

    path: Path
    identity: Path | None
    key_id: str


class Keyset(SecretHandle):
    """A handle on one or more versions of a root secret. Comes from `Keyset.open`.

    It shows ids and states only, cannot be pickled or copied, and equals nothing but itself.
    """

    __slots__ = ("_material",)

    _material: Material

    def __init__(self) -> None:
        raise TypeError("a Keyset comes from Keyset.open(reference)")

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {', '.join(f'{each.id} {each.state}' for each in self.versions)}>"

    @classmethod
    def create(
        cls,
        path: Path,
        *,
        recipients: Sequence[str] = (),
        passphrase: str | None = None,
        second_recipients: Sequence[str] = (),
    ) -> CreatedKeyset:
        """Make a keyset with one new random root secret and write it to an age file (mode 0600).

        Args:
            path: The file to make; it must not exist.
            recipients: age public keys (`age1…`) whose identities will open it.
            passphrase: Opens it instead. With neither, a new identity is written to `<stem>.identity`.
            second_recipients: age public keys of which one is needed besides: two people open it together.

        Raises:
            ConfigurationError: when a file is in the way or cannot be written, a recipient is not an age
                public key, or both recipients and a passphrase are given. Nothing is left behind.
        """
        beside = None if recipients or passphrase is not None else path.with_suffix(".identity")
        keys, inner = _openers(recipients, passphrase), _openers(second_recipients, None)
        if inner and not keys:
            raise ConfigurationError(
                "a keyset for two people is made for recipients of both", hint="give --recipient and --second-recipient"
            )
        identifier, plain = new_material(recipients, second_recipients)
        problem = _create_files(plain, path, beside, keys, passphrase, inner)
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
        identifier, plain = site_material(self._material, self.version_of(domain), site, domain, recipients)
        problem = _create_files(plain, path, beside, keys, passphrase)
        if problem is not None:
            raise ConfigurationError(problem.message, hint=problem.hint)
        return CreatedKeyset(path, beside, identifier)

    @classmethod
    def open(
        cls,
        reference: str,
        *,
        identity: Path | Sequence[Path] | None = None,
        passphrase: Callable[[], str] | None = None,
        base: Path | None = None,
    ) -> Self:
        """Open a keyset by reference.

        Args:
            reference: `age://path` or `vault://path`, relative to `base` or absolute; or, for tests only, `env://NAME`,
                an environment variable with the JSON in base64.
            identity: File with the age identity, or both files where two people hold the keyset; else those that the
                environment variable LINKAGE_IDENTITY names; else `<stem>.identity` beside the keyset.
            passphrase: Asks for the passphrase; called only when the file needs one.
            base: Folder that a relative path starts from; the working directory when not given.

        Raises:
            ConfigurationError: when the reference has an unknown scheme.
            KeyUnavailableError: when anything else keeps the keyset shut.
        """
        opened = back_end(reference, identity, passphrase, base)
        found = parse(opened.unlock())
        if isinstance(found, Problem):
            raise KeyUnavailableError(f"{opened.where}: {found.message}", hint=found.hint)
        self = object.__new__(cls)
        self._material = found
        return self

    @property
    def key_id(self) -> str:
        """The id of the primary version, 16 hexadecimal digits; a domain may have chosen another (`version_of`).

        Raises:
            KeyUnavailableError: The primary version was disabled.
        """
        found = next((each.id for each in self.versions if each.state is KeyState.PRIMARY), None)
        if found is None:
            raise KeyUnavailableError(
                "no key version of the keyset is in use: the primary one was disabled",
                hint="`linkage keys rotate`, then `linkage keys rekey` for each purpose",
            )
        return found

    @property
    def versions(self) -> tuple[KeyVersion, ...]:
        """All versions, in the order of the file."""
        return self._material.versions

    @property
    def domains(self) -> dict[str, str]:
        """The domains that have chosen a version of their own, and its id."""
        return dict(self._material.domains)

    def version_of(self, domain: str) -> KeyVersion:
        """The version that makes a domain's tokens: the one it has chosen, else the primary.

        Raises:
            KeyUnavailableError: It is disabled or destroyed.
        """
        found = chosen(self._material, domain)
        if isinstance(found, Problem):
            raise KeyUnavailableError(found.message, hint=found.hint)
        return found

    @property
    def domain(self) -> str | None:
        """The one domain that a site's keyset makes tokens of; None where it makes those of every domain."""
        return self._material.subkeys.domain if self._material.subkeys else None

    def pseudonymiser(self, domain: str) -> Pseudonymiser:
        """Return what makes the tokens of a domain, under the version that it has chosen, else the primary.

        Raises:
            ConfigurationError: when the domain's name cannot be used, or a site's keyset is for another one.
            KeyUnavailableError: when the version is disabled.
        """
        return Pseudonymiser._from_subkeys(self._usable_subkeys(domain)[0], self.version_of(domain).id)

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

    def _version_subkeys(self, domain: str, version: str) -> Subkeys:
        """A domain's keys under one version, also a disabled one."""
        root = self._material.roots.get(version)
        if root is None:
            raise KeyUnavailableError(
                f"the keyset has no such key version as {version}, or it was destroyed",
                hint="`linkage keys list` shows the versions; a backup of the keyset may hold it",
            )
        return derive(root, domain)

    def _usable_subkeys(self, domain: str) -> list[Subkeys]:
        """Return a domain's keys under every version in use, the one that it makes tokens with first."""
        own = self._material.subkeys
        if own is not None:
            if own.domain != domain:
                raise ConfigurationError(
                    f"the keyset of site {self._material.holder} makes tokens of domain {own.domain} alone",
                    hint="set that domain under [keys], or ask the key holder for a keyset of another one",
                )
            return [own]
        states, first = (KeyState.PRIMARY, KeyState.ACTIVE), self.version_of(domain).id
        used = [each.id for state in states for each in self.versions if each.state is state]
        used.sort(key=lambda identifier: identifier != first)
        return [derive(self._material.roots[identifier], domain) for identifier in used]


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
    plain: bytes,
    path: Path,
    beside: Path | None,
    keys: list[pyrage.x25519.Recipient],
    passphrase: str | None,
    inner: Sequence[pyrage.x25519.Recipient] = (),
) -> Problem | None:
    opener = pyrage.x25519.Identity.generate()
    if passphrase is not None:
        sealed = pyrage.passphrase.encrypt(plain, passphrase)
    else:
        sealed = sealed_to(plain, keys or [opener.to_public()], inner)
    problem = occupied(path) if path.exists() or path == beside else None
    if problem is None and beside is not None:
        problem = write_new(beside, f"# opens {path.name}\n{opener}\n".encode())
    if problem is None:
        problem = write_new(path, sealed)
        if problem is not None and beside is not None:
            beside.unlink()
    return problem
