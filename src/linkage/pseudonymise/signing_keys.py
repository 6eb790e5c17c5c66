"""Signing keys of people and nodes: a name and a key in an age file of its own, which can make and open no token."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from linkage.errors import ConfigurationError, KeyUnavailableError
from linkage.pseudonymise.age_files import Problem
from linkage.pseudonymise.custody import back_end
from linkage.pseudonymise.keyset import _create_files, _openers
from linkage.signed import SEED_BYTES, Signer, Verifier, check_name

__all__ = ["CreatedSigningKey", "create_signing_key", "open_signing_key"]

_FORMAT = "linkage-signing-key/1"


@dataclass(frozen=True, slots=True)
class CreatedSigningKey:
    """Where a new signing key is, and its public half. `identity` is the file that opens it, if one was made with it."""

    path: Path
    identity: Path | None
    verifier: Verifier


def create_signing_key(
    path: Path, name: str, *, recipients: Sequence[str] = (), passphrase: str | None = None
) -> CreatedSigningKey:
    """Make a signing key and write it to an age file (mode 0600).

    Args:
        path: The file to make; it must not exist.
        name: Who signs with it, for example `QXX.analysts`.
        recipients: age public keys whose identities will open it.
        passphrase: Opens it instead. With neither, a new identity is written to `<stem>.identity`.

    Raises:
        ConfigurationError: A file is in the way, the name cannot be used, or both recipients and a passphrase are given.
    """
    check_name(name)
    beside = None if recipients or passphrase is not None else path.with_suffix(".identity")
    openers = _openers(recipients, passphrase)
    seed = secrets.token_bytes(SEED_BYTES)
    document = {"format": _FORMAT, "name": name, "signing": base64.b64encode(seed).decode()}
    problem = _create_files(json.dumps(document).encode(), path, beside, openers, passphrase)
    if problem is not None:
        raise ConfigurationError(problem.message, hint=problem.hint)
    return CreatedSigningKey(path, beside, Signer(name, seed).verifier)


def open_signing_key(
    reference: str,
    *,
    identity: Path | None = None,
    passphrase: Callable[[], str] | None = None,
    base: Path | None = None,
) -> Signer:
    """Open a signing key by reference.

    Args:
        reference: `age://path` or `vault://path`, relative to `base` or absolute.
        identity: File with the age identity; else LINKAGE_IDENTITY; else `<stem>.identity` beside the key.
        passphrase: Asks for the passphrase; called only when the file needs one.
        base: Folder that a relative path starts from; the working directory when not given.

    Raises:
        ConfigurationError: The reference has an unknown scheme.
        KeyUnavailableError: Anything else keeps the key shut.
    """
    if reference.startswith("env://"):
        raise ConfigurationError(
            "a signing key's reference has an unknown scheme", hint='write it like "age://keys/analyst.age"'
        )
    opened = back_end(reference, identity, passphrase, base)
    found = _parse(opened.unlock())
    if isinstance(found, Problem):
        where = opened.where.replace("keyset", "signing key", 1)
        raise KeyUnavailableError(f"{where}: {found.message}", hint=found.hint)
    return found


def _parse(plain: bytes | Problem) -> Signer | Problem:
    if isinstance(plain, Problem):
        return plain
    try:
        document = json.loads(plain)
        if document["format"] != _FORMAT:
            raise ValueError
        return Signer(document["name"], base64.b64decode(document["signing"], validate=True))
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError, ConfigurationError):
        return Problem("holds no signing key", "make one with `linkage keys signer`")
