"""A packet: a site's bundle on its way to the key holder.

<packet>/packet.json        what is handed over, signed by the site
<packet>/<part>.age         each part that is new since the last packet, encrypted to the key holder

The manifest is signed and not encrypted: whoever receives a packet has to check it without the key holder's identity. It
holds digests, counts of rows and dates, and no row. Any mover of files can carry the folder.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Collection, Sequence
from datetime import datetime
from pathlib import Path
from typing import Literal

import pyrage
from pydantic import BaseModel, ConfigDict, Field

from linkage.bundle import BundleManifest, balance, digest
from linkage.disk import sync
from linkage.errors import ConfigurationError, IntegrityError
from linkage.reasons import Reason
from linkage.signed import Signer, Verifier, canonical, opened, sign

__all__ = ["MANIFEST", "PAYLOAD_TYPE", "Evidence", "Packet", "digest_of", "pack", "read_packet", "safe"]

MANIFEST, SEALED = "packet.json", ".age"
PAYLOAD_TYPE = "linkage-packet/1"
LONGEST = 1 << 26  # bytes of a manifest
_MADE = "find out how the site made it; nothing was taken"


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Evidence(_Model):
    """A register that the site applied: its name, the digest of its file and the moment that it is of."""

    name: str
    sha256: str
    as_of: datetime


class Packet(_Model):
    """What a site says of what it hands over.

    Attributes:
        site: Who hands it over.
        sequence: 1 for the first packet, one more for each.
        previous: The digest of the packet before, as signed; None for the first.
        made: When, UTC.
        good_until: When the first register that was applied is too old; None where the site applies none.
        tool_version: The version of linkage that made it.
        registers: What the site applied.
        exemptions: What it was lifted by: the opt-out and the document's reference.
        bundle: Everything that counts now: tokens of the site's domain, with digests and the balance of rows.
        sealed: SHA-256 of each encrypted part in this packet, by the part's path. The others came in packets before.
    """

    format: Literal["linkage-packet/1"] = "linkage-packet/1"
    site: str
    sequence: int = Field(ge=1)
    previous: str | None
    made: datetime
    good_until: datetime | None
    tool_version: str
    registers: tuple[Evidence, ...]
    exemptions: tuple[str, ...]
    bundle: BundleManifest
    sealed: dict[str, str]

    @property
    def parts(self) -> dict[str, str]:
        """The digest of every part by its path."""
        return {part.path: part.digest for table in self.bundle.tables for part in table.all_parts}


def pack(
    bundle: Path, packet: Packet, target: Path, signer: Signer, recipients: Sequence[str], known: Collection[str] = ()
) -> Packet:
    """Write a packet: all of it, or nothing.

    Args:
        bundle: The folder with the parts.
        packet: What is handed over; `sealed` is filled in here.
        target: The folder to make.
        signer: The site's.
        recipients: age public keys of the key holder, and of nobody else.
        known: Digests of parts that the packets before have brought.

    Returns:
        The packet as it was signed.

    Raises:
        ConfigurationError: There is no recipient, one is no age public key, or the target exists.
        IntegrityError: The bundle does not balance, or a part is not what its manifest says.
    """
    keys = _recipients(recipients)
    if target.exists():
        raise ConfigurationError(f"{target} exists", hint="name a new folder: a packet is never overwritten")
    balance(packet.bundle)
    aside = target.with_name(f".{target.name}.part")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True, mode=0o700)
    try:
        sealed = {}
        for path, expected in packet.parts.items():
            if digest(bundle / safe(path)) != expected:
                raise IntegrityError(f"{path}: the part is not what its manifest says", hint="make the bundle again")
            if expected not in known:
                place = aside / f"{path}{SEALED}"
                place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                pyrage.encrypt_file(str(bundle / path), str(place), keys)
                sealed[path] = digest(place)
                sync(place)
        packet = packet.model_copy(update={"sealed": sealed})
        envelope = sign(PAYLOAD_TYPE, canonical(packet), [signer])
        (aside / MANIFEST).write_text(envelope.model_dump_json(indent=1), encoding="utf-8")
        sync(aside / MANIFEST)
        aside.rename(target)
        sync(target.parent)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return packet


def read_packet(folder: Path, known: Sequence[Verifier]) -> tuple[Packet, Verifier, str]:
    """A packet's manifest, who signed it, and its digest; its files are not looked at.

    Raises:
        IntegrityError: It is missing, damaged, signed by nobody who is known, or does not balance.
    """
    try:
        with (folder / MANIFEST).open("rb") as file:
            envelope = file.read(LONGEST + 1)
    except OSError:
        envelope = b""
    if not envelope or len(envelope) > LONGEST:
        raise IntegrityError(f"{folder.name}: the packet has no manifest", hint="ask the site to send it again")
    packet, signers = opened(envelope, Packet, PAYLOAD_TYPE, known)
    signer = next((each for each in signers if each.name == packet.site), None)
    if signer is None:
        raise IntegrityError(
            f"{folder.name}: the packet says it is from {packet.site}, who did not sign it",
            hint="ask the site to send it again; somebody else signed in its name",
        )
    _check_account(packet, folder.name)
    for path in (*packet.parts, *packet.sealed):
        safe(path)
    if not packet.sealed.keys() <= packet.parts.keys():
        raise IntegrityError(
            f"{folder.name}: the packet brings parts that its bundle does not have", hint="ask for it again"
        )
    return packet, signer, digest_of(packet)


def _check_account(packet: Packet, name: str) -> None:
    """Refuse what no site's program writes, and what those who read the bundle rely on."""
    balance(packet.bundle)
    tables = packet.bundle.tables
    parts = [part for table in tables for part in table.all_parts]
    moments = (packet.made, packet.good_until, *(part.delivered for part in parts))
    if any(each is not None and each.tzinfo is None for each in moments):
        raise IntegrityError(f"{name}: a moment in the packet has no time zone", hint=_MADE)
    if len({part.path for part in parts}) < len(parts) or len({table.name for table in tables}) < len(tables):
        raise IntegrityError(f"{name}: the packet names a part or a table twice", hint=_MADE)
    if any(min(part.read, part.kept, *part.removed.values()) < 0 for part in parts):
        raise IntegrityError(f"{name}: the packet counts fewer rows than none", hint=_MADE)
    # A reason is published as it is said: whatever else stood there would be too.
    if not {reason for part in parts for reason in part.removed} <= set(Reason):
        raise IntegrityError(
            f"{name}: the packet leaves rows out for a reason that is unknown here",
            hint="use the version of linkage here that the site uses, or find out how the site made it",
        )


def digest_of(packet: Packet) -> str:
    """The digest of a packet as it was signed, hexadecimal: the next one names it."""
    return hashlib.sha256(canonical(packet)).hexdigest()


def safe(path: str) -> str:
    """A part's path that stays in its folder, whatever the system.

    Raises:
        IntegrityError: It does not.
    """
    steps = path.split("/")
    plain = all(step and set(step) <= _PLAIN and step not in (".", "..") for step in steps)
    if not plain or len(steps) > 8 or len(path) > 400:
        raise IntegrityError("a part's path leads out of its folder", hint="ask the site to send the packet again")
    return path


_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")


def _recipients(texts: Sequence[str]) -> list[pyrage.x25519.Recipient]:
    try:
        keys = [pyrage.x25519.Recipient.from_str(each) for each in texts]
    except pyrage.RecipientError:
        keys = []
    if not keys or len(keys) != len(texts):
        raise ConfigurationError(
            "a packet is encrypted to the key holder's age public key, and none or a wrong one is given",
            hint="ask the key holder for the line that starts with age1",
        )
    return keys
