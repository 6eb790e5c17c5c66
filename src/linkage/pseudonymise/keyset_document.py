"""What is inside a keyset file: JSON with the key versions, which of them each domain uses, and the keyset's own secrets.

Every function that meets key bytes returns a `Problem` instead of raising, so that no traceback can reach them.
"""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

import pyrage

from linkage.handles import SecretHandle
from linkage.pseudonymise.age_files import Problem
from linkage.pseudonymise.token import ROOT_BYTES, Subkeys, derive, key_id
from linkage.signed import SEED_BYTES

__all__ = ["KeyState", "KeyVersion", "Material", "chosen", "new_material", "new_version", "parse", "site_material"]

_FORMAT, _SITE_FORMAT = "linkage-keyset/1", "linkage-site-keyset/1"
_SUBKEYS = ("person_mac", "person_enc", "record_mac")
HOLDER = "key-holder"


class KeyState(StrEnum):
    """What a key version may still do."""

    PRIMARY = "primary"  # makes the tokens of every domain that has chosen no other; at most one
    ACTIVE = "active"  # may be chosen, and its tokens can be reversed
    DISABLED = "disabled"  # kept, and used for nothing but to leave it: `linkage keys rekey`
    DESTROYED = "destroyed"  # only its id is left


@dataclass(frozen=True, slots=True)
class KeyVersion:
    """The public part of a key version: its id (16 hexadecimal digits), when it was made (UTC), its state."""

    id: str
    created: datetime
    state: KeyState


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Material(SecretHandle):
    """What a keyset file holds: roots by id, without destroyed versions; or, in a site's, the subkeys of one domain."""

    versions: tuple[KeyVersion, ...]
    roots: dict[str, bytes]
    storage: pyrage.x25519.Identity
    subkeys: Subkeys | None = None
    signing: bytes | None = None
    holder: str = HOLDER
    domains: Mapping[str, str] = field(default_factory=dict)


def chosen(material: Material, domain: str) -> KeyVersion | Problem:
    """The version that makes a domain's tokens: the one it has chosen, else the primary."""
    versions = {each.id: each for each in material.versions}
    primary = next((each for each in material.versions if each.state is KeyState.PRIMARY), None)
    found = versions[material.domains[domain]] if domain in material.domains else primary
    if found is None:
        return Problem(
            "no key version is in use: the primary one was disabled",
            "`linkage keys rotate`, then `linkage keys rekey` for each purpose",
        )
    if found.state not in (KeyState.PRIMARY, KeyState.ACTIVE):
        return Problem(
            f"key {found.id}, which domain {domain} uses, is {found.state.value}",
            "`linkage keys rotate`, then `linkage keys rekey` for the purpose of this domain",
        )
    return found


def new_material(recipients: Sequence[str] = (), second_recipients: Sequence[str] = ()) -> tuple[str, bytes]:
    """A new keyset's key id and JSON, with the public keys that it has to be sealed to again when it is changed."""
    entry = new_version(KeyState.PRIMARY)
    known = {"recipients": list(recipients), "second_recipients": list(second_recipients)}
    return entry["id"], json.dumps({"format": _FORMAT, "versions": [entry], **known, **_own_secrets()}).encode()


def new_version(state: KeyState) -> dict[str, str]:
    """A new random root secret as an entry of a keyset."""
    root = secrets.token_bytes(ROOT_BYTES)
    created = datetime.now(UTC).isoformat(timespec="seconds")
    return {
        "id": key_id(root), "created": created, "state": state.value, "root": base64.b64encode(root).decode(),
    }  # fmt: skip


def site_material(
    material: Material, version_: KeyVersion, site: str, domain: str, recipients: Sequence[str] = ()
) -> tuple[str, bytes]:
    """A site keyset's key id and JSON: one version's subkeys of one domain, and never a root."""
    keys = derive(material.roots[version_.id], domain)
    version = {"id": version_.id, "created": version_.created.isoformat(), "state": KeyState.PRIMARY.value}
    subkeys = {name: base64.b64encode(getattr(keys, name)).decode() for name in _SUBKEYS}
    document: dict[str, object] = {
        "format": _SITE_FORMAT,
        "site": site,
        "domain": domain,
        "versions": [version],
        "subkeys": subkeys,
    }
    document["recipients"] = list(recipients)
    return version_.id, json.dumps({**document, **_own_secrets()}).encode()


def _own_secrets() -> dict[str, str]:
    """What every keyset has for itself: where its working files are sealed to, and what it signs with."""
    signing = base64.b64encode(secrets.token_bytes(SEED_BYTES)).decode()
    return {"storage_identity": str(pyrage.x25519.Identity.generate()), "signing": signing}


def parse(plain: bytes | Problem) -> Material | Problem:
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
            return Material((version,), {}, storage, own, signing, site)
        roots = {each.id: base64.b64decode(root, validate=True) for each, root in kept}
        domains = dict(document.get("domains", {}))
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError, pyrage.IdentityError):
        return Problem("holds no keyset", "restore it from a backup")
    versions = tuple(each for each, _ in entries)
    if any(len(root) != ROOT_BYTES or key_id(root) != identifier for identifier, root in roots.items()):
        return Problem("holds a root secret that does not fit its id", "restore it from a backup")
    primary = [each for each in versions if each.state is KeyState.PRIMARY]
    known = {each.id for each in versions}
    if len(primary) > 1 or not versions or len(known) != len(versions):
        return Problem("does not have one primary version and each id once", "restore it from a backup")
    if not known.issuperset(domains.values()):
        return Problem("names a version for a domain that it does not have", "restore it from a backup")
    return Material(versions, roots, storage, signing=signing, domains=domains)


def _version(entry: dict[str, str]) -> KeyVersion:
    created = datetime.fromisoformat(entry["created"])
    if created.tzinfo is None or not isinstance(entry["id"], str):
        raise ValueError
    return KeyVersion(entry["id"], created.astimezone(UTC), KeyState(entry["state"]))
