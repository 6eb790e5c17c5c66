"""A release on the disk: every package, or none. One rename of a folder publishes it.

<released>/<request>/release.json    counts and digests, signed by the key holder
<released>/<request>/<practice>/     what is sent to that practice
<released>/<request>/passphrases.age what opens encrypted ZIP files, sealed under the key holder's keyset
<released>/.<request>/               while it is written; encrypted already
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Literal

from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict

from linkage.disk import sync
from linkage.errors import ConfigurationError, InputError, IntegrityError, TemporaryError, told_of_the_machine
from linkage.reidentify.packages import SIGNATURE, Package
from linkage.signed import Envelope, Signer, Verifier, canonical, opened, sign

__all__ = ["Release", "check_new", "clear", "hold", "passphrases", "place_of", "publish", "read_release"]

RELEASE, PASSPHRASES = "release.json", "passphrases.age"
_TYPE = "linkage-release/1"
_DIGEST = re.compile(r"[0-9a-f]{64}")


class Release(BaseModel):
    """What was released.

    Attributes:
        request: The request's digest.
        made: When, UTC.
        register_digest: The register of people and practices that it went by.
        optouts: SHA-256 of each register of opt-outs that decided, by its name and file.
        people: How many were asked for.
        released: How many went to each practice.
        withheld: How many did not, by reason.
        packages: SHA-256 of each practice's package, by its path; and of the sealed passphrases, where there are any.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["linkage-release/1"] = "linkage-release/1"
    request: str
    made: datetime
    register_digest: str
    optouts: dict[str, str]
    people: int
    released: dict[str, int]
    withheld: dict[str, int]
    packages: dict[str, str] = {}


@contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Hold the folder of releases: one release at a time.

    Raises:
        TemporaryError: Another release is on its way.
    """
    with told_of_the_machine():
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = FileLock(folder / ".lock", timeout=0, fallback_to_soft=False)
        try:
            lock.acquire()
        except Timeout:
            raise TemporaryError("another release is on its way", hint="wait until it has ended") from None
    try:
        yield
    finally:
        lock.release()


def place_of(folder: Path, request: str) -> Path:
    """Where the release of a request is, or will be.

    Raises:
        IntegrityError: It is no digest, and could name another folder.
    """
    return folder / _name(request)


def check_new(folder: Path, request: str) -> None:
    """Raise where something stands in the place of a release.

    Raises:
        ConfigurationError: It does.
    """
    place = place_of(folder, request)
    if place.exists():
        raise ConfigurationError(f"{place} is there already", hint="find out what put it there; nothing was released")


def publish(
    folder: Path, release: Release, packages: Sequence[Package], signer: Signer, seal: Callable[[bytes], bytes]
) -> str:
    """Write all packages aside and rename their folder.

    Args:
        folder: Where releases are.
        release: What is released; what the packages are is filled in here.
        packages: One for each practice.
        signer: The key holder's.
        seal: Encrypts passphrases under the key holder's keyset.

    Returns:
        The release's digest.

    Raises:
        ConfigurationError: The folder is there already.
    """
    place, aside = place_of(folder, release.request), _aside(folder, release.request)
    check_new(folder, release.request)
    clear(folder, release.request)
    aside.mkdir(mode=0o700)
    written = {package.path: package.digest for package in packages}
    for package in packages:
        (aside / package.practice).mkdir(mode=0o700)
        _write(aside / package.path, package.sealed)
        _write(aside / package.practice / SIGNATURE, package.signature)
        sync(aside / package.practice)
    passphrases = {each.practice: each.passphrase for each in packages if each.passphrase is not None}
    if passphrases:
        sealed = seal(canonical(passphrases))
        _write(aside / PASSPHRASES, sealed)
        written[PASSPHRASES] = hashlib.sha256(sealed).hexdigest()
    envelope = sign(_TYPE, canonical(release.model_copy(update={"packages": written})), [signer])
    _write(aside / RELEASE, envelope.model_dump_json(indent=1).encode())
    sync(aside)
    aside.rename(place)
    sync(folder)
    return envelope.digest


def read_release(folder: Path, request: str, signer: Verifier) -> tuple[Release, str] | None:
    """The release of a request and its digest, if it is there and whole; None where there is none.

    Raises:
        IntegrityError: It is there and not what was signed.
    """
    place = place_of(folder, request)
    if not place.exists():
        return None
    try:
        content = (place / RELEASE).read_bytes()
        found, _ = opened(content, Release, _TYPE, [signer])
        packages = {path: _digest(place / path) for path in found.packages}
    except OSError:
        raise IntegrityError(
            f"{place}: a file of the release is missing", hint="find out why before it is sent"
        ) from None
    if packages != dict(found.packages) or found.request != request:
        raise IntegrityError(f"{place}: the release is not what was signed", hint="find out why before it is sent")
    return found, Envelope.model_validate_json(content).digest


def passphrases(place: Path, unseal: Callable[[bytes], bytes]) -> dict[str, str]:
    """What opens the encrypted ZIP files of a release, by practice.

    Raises:
        InputError: There are none in it.
        IntegrityError: They do not open under this keyset.
    """
    try:
        sealed = (place / PASSPHRASES).read_bytes()
    except OSError:
        raise InputError(f"{place}: no package of it has a passphrase", hint="name the folder of a release") from None
    found: dict[str, str] = json.loads(unseal(sealed))
    return found


def clear(folder: Path, request: str) -> None:
    """Remove what a release left that did not get to its rename."""
    shutil.rmtree(_aside(folder, request), ignore_errors=True)


def _aside(folder: Path, request: str) -> Path:
    return folder / f".{_name(request)}"


def _name(request: str) -> str:
    if not _DIGEST.fullmatch(request):
        raise IntegrityError("a request is named by what is no digest", hint="linkage audit verify")
    return request[:32]


def _write(path: Path, content: bytes) -> None:
    path.touch(mode=0o600)
    path.write_bytes(content)
    sync(path)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
