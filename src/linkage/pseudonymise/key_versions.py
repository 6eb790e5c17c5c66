"""Changing a keyset: adding a version, letting a domain choose one, disabling and destroying.

Each change rewrites the age file whole, for the recipients that it was made for, under a lock; a change that is cut off
leaves the file as it was. Copies and backups of the file keep what it held: destroying a version does not reach them.

Every function that meets key bytes returns a `Problem` instead of raising, so that no traceback can reach them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import pyrage
from filelock import FileLock

from linkage.errors import ConfigurationError, KeyUnavailableError
from linkage.pseudonymise.age_files import Problem, recipients_in, replace, sealed_to, unseal
from linkage.pseudonymise.custody import AgeFile, back_end
from linkage.pseudonymise.keyset_document import KeyState, Material, new_version, parse
from linkage.pseudonymise.token import check_domain

__all__ = ["KeysetFile"]

_USABLE = (KeyState.PRIMARY.value, KeyState.ACTIVE.value)
_PASSPHRASE = b"age-encryption.org/v1\n-> scrypt "
_Edit = Callable[[dict[str, Any]], str | Problem]


@dataclass(frozen=True, slots=True)
class KeysetFile:
    """A keyset's file, for whoever may change it.

    Attributes:
        reference: `age://path` or `vault://path`.
        identity: As in `Keyset.open`.
        passphrase: As in `Keyset.open`.
        base: As in `Keyset.open`.
        recipients: All age public keys that are to open it from now on; those that it was made for when empty.
    """

    reference: str
    identity: Path | Sequence[Path] | None = None
    passphrase: Callable[[], str] | None = None
    base: Path | None = None
    recipients: tuple[str, ...] = ()

    def rotate(self) -> str:
        """Add a new version that no domain uses yet; its key id.

        Raises: as all changes do:
            ConfigurationError: The change cannot be made, or the file cannot be written.
            KeyUnavailableError: The keyset does not open.
        """
        return self._change(_rotated)

    def choose(self, domain: str, version: str) -> str:
        """Let a domain make its tokens with a version from now on. What was made with another has to be made anew."""
        check_domain(domain)
        return self._change(partial(_chosen, domain, version))

    def promote(self, version: str) -> str:
        """Make a version the primary one: that of every domain that has chosen none."""
        return self._change(partial(_promoted, version))

    def disable(self, version: str) -> str:
        """Take a version out of use. Domains that use it make no token until they have another."""
        return self._change(partial(_state, version, (KeyState.PRIMARY, KeyState.ACTIVE), KeyState.DISABLED))

    def enable(self, version: str) -> str:
        """Take a disabled version into use again, not as the primary one."""
        return self._change(partial(_state, version, (KeyState.DISABLED,), KeyState.ACTIVE))

    def destroy(self, version: str) -> str:
        """Forget the root secret of a disabled version. What is in its tokens cannot be turned back any more."""
        return self._change(partial(_destroyed, version))

    def renew(self, new: KeysetFile) -> str:
        """Take a site's new token keys into its keyset, which keeps its signing key and what its files are sealed to."""
        return self._change(partial(_renewed, new._opened()))

    def _change(self, edit: _Edit) -> str:
        file = self._file()
        with FileLock(file.path.with_name(f".{file.path.name}.lock")):
            done = _rewritten(file, edit, self.recipients)
        if isinstance(done, Problem):
            raise ConfigurationError(f"{file.where}: {done.message}", hint=done.hint)
        return done

    def _opened(self) -> bytes:
        file = self._file()
        plain = file.unlock()
        if isinstance(plain, Problem):
            raise KeyUnavailableError(f"{file.where}: {plain.message}", hint=plain.hint)
        return plain

    def _file(self) -> AgeFile:
        # A passphrase is asked for once: to open the file, and to seal it again.
        ask = cache(self.passphrase) if self.passphrase else None
        file = back_end(self.reference, self.identity, ask, self.base)
        if not isinstance(file, AgeFile):
            raise ConfigurationError(
                "only the keyset in an age file can be changed", hint="name it like age://keys/ics.age"
            )
        opened = parse(file.unlock())
        if isinstance(opened, Problem):
            raise KeyUnavailableError(f"{file.where}: {opened.message}", hint=opened.hint)
        return file


def _rewritten(file: AgeFile, edit: _Edit, recipients: Sequence[str]) -> str | Problem:
    sealed = file.path.read_bytes()
    plain = unseal(sealed, file.open, file.passphrase)
    if isinstance(plain, Problem):
        return plain
    document = json.loads(plain)
    if recipients and sealed.startswith(_PASSPHRASE):
        return Problem(
            "it is opened by a passphrase, so that nothing can be made for recipients", "leave --recipient out"
        )
    if recipients:
        document["recipients"] = list(recipients)
    said = edit(document)
    if isinstance(said, Problem):
        return said
    made = json.dumps(document).encode()
    checked = parse(made)
    new = checked if isinstance(checked, Problem) else _sealed_again(file, sealed, document, made)
    if isinstance(new, Problem):
        return new
    return replace(file.path, new) or said


def _sealed_again(file: AgeFile, sealed: bytes, document: dict[str, Any], made: bytes) -> bytes | Problem:
    """The new file for those who could open the old one; whoever changes it must be among them."""
    if sealed.startswith(_PASSPHRASE):
        return bytes(pyrage.passphrase.encrypt(made, file.passphrase() if file.passphrase else ""))
    named = document.get("recipients") or []
    found = file.open()
    if isinstance(found, Problem):
        return found
    if not named and (recipients_in(sealed) != 1 or len(found.identities) != 1):
        return Problem(
            "it was made for several recipients and does not say which, or several identities were named",
            "name the public keys of all who are to open it, with --recipient for each",
        )
    try:
        outer = [pyrage.x25519.Recipient.from_str(each) for each in named] or [found.identities[0].to_public()]
        inner = [pyrage.x25519.Recipient.from_str(each) for each in document.get("second_recipients") or []]
    except pyrage.RecipientError:
        return Problem("a recipient is not an age public key", "give the line that starts with age1")
    new = sealed_to(made, outer, inner)
    if isinstance(unseal(new, file.open, file.passphrase), Problem):
        return Problem("you could not open it any more", "name your own public key as well, with --recipient")
    return new


def _rotated(document: dict[str, Any]) -> str | Problem:
    if "subkeys" in document:
        return Problem("a site's keyset has one version", "the key holder rotates; then `linkage keys renew`")
    made = new_version(KeyState.ACTIVE)
    document["versions"].append(made)
    return made["id"]


def _chosen(domain: str, version: str, document: dict[str, Any]) -> str | Problem:
    found = _find(document, version, _USABLE)
    if isinstance(found, Problem):
        return found
    document.setdefault("domains", {})[domain] = found["id"]
    return str(found["id"])


def _promoted(version: str, document: dict[str, Any]) -> str | Problem:
    found = _find(document, version, _USABLE)
    if isinstance(found, Problem):
        return found
    for each in document["versions"]:
        if each["state"] == KeyState.PRIMARY:
            each["state"] = KeyState.ACTIVE.value
    found["state"] = KeyState.PRIMARY.value
    return str(found["id"])


def _state(version: str, before: Iterable[KeyState], after: KeyState, document: dict[str, Any]) -> str | Problem:
    found = _find(document, version, [each.value for each in before])
    if isinstance(found, Problem):
        return found
    found["state"] = after.value
    return str(found["id"])


def _destroyed(version: str, document: dict[str, Any]) -> str | Problem:
    found = _find(document, version, (KeyState.DISABLED.value,))
    if isinstance(found, Problem):
        return found
    using = [name for name, chosen in document.get("domains", {}).items() if chosen == found["id"]]
    if using:
        return Problem(f"domain {using[0]} uses key {found['id']}", "`linkage keys rekey` for its purpose first")
    del found["root"]
    found["state"] = KeyState.DESTROYED.value
    return str(found["id"])


def _renewed(new: bytes, document: dict[str, Any]) -> str | Problem:
    checked = parse(new)
    if isinstance(checked, Problem):
        return checked
    if not isinstance(checked, Material) or checked.subkeys is None or "subkeys" not in document:
        return Problem("both keysets must be a site's", "the new one is made by the key holder: `linkage keys site`")
    if checked.subkeys.domain != document["domain"]:
        return Problem("the new keyset is of another domain", "ask the key holder for one of this domain")
    told = json.loads(new)
    document["versions"], document["subkeys"] = told["versions"], told["subkeys"]
    return checked.versions[0].id


def _find(document: dict[str, Any], version: str, states: Iterable[str]) -> dict[str, Any] | Problem:
    """The version whose id begins so, in one of some states."""
    if "subkeys" in document:
        return Problem("a site's keyset has one version", "the key holder decides which; then `linkage keys renew`")
    found = [each for each in document["versions"] if each["id"].startswith(version)] if version else []
    if len(found) != 1:
        return Problem("there is no such key version, or more than one", "`linkage keys list` shows their ids")
    if found[0]["state"] not in states:
        return Problem(
            f"key {found[0]['id']} is {found[0]['state']}", f"that is for a version that is {' or '.join(states)}"
        )
    entry: dict[str, Any] = found[0]
    return entry
