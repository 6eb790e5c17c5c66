"""Receiving packets: everything about one is checked before it counts, and each refusal says what is wrong.

<inbox>/<site>/000001/      packets in the order in which they follow one another, as they came

Every manifest stays; of the sealed parts those stay that the newest packet has, or builds on.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

from linkage.bundle import BundleManifest, Field, TableParts, digest
from linkage.contract import Role
from linkage.disk import sync
from linkage.errors import ConfigurationError, IntegrityError, PolicyError
from linkage.federate.packet import MANIFEST, SEALED, Packet, read_packet
from linkage.signed import Verifier

__all__ = ["Accepts", "Holds", "Inbox", "Site", "title"]

Holds = Literal[
    "person", "record", "code", "value"
]  # what a column holds: tokens of persons, of records, codes, or else
SKEW = timedelta(hours=1)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")  # it names a folder


@dataclass(frozen=True, slots=True)
class Site:
    """A site as it is registered.

    Attributes:
        verifier: Its name and public signing key.
        domain: Its token domain, which no other site has.
        key_id: The key version that its tokens are of.
        contracts: The digest of the contract of each feed that it may send.
        columns: By feed and table, the columns that the contract lets leave a site, with what each holds.
        revoked: Whether nothing more is taken from it.
    """

    verifier: Verifier
    domain: str
    key_id: str
    contracts: Mapping[str, str]
    columns: Mapping[str, Mapping[str, Holds]]
    revoked: bool = False

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.verifier.name):
            raise ConfigurationError(
                "a site's name is letters, digits, dots, hyphens and underscores", hint="its ODS code, for example RR8"
            )


@dataclass(frozen=True, slots=True)
class Accepts:
    """What a receiver takes.

    Attributes:
        sites: Who is registered.
        max_age: Packets that were made longer ago are not taken.
    """

    sites: Sequence[Site]
    max_age: timedelta

    @property
    def verifiers(self) -> list[Verifier]:
        """Whose signatures count."""
        return [each.verifier for each in self.sites]

    def check(self, packet: Packet, signer: Verifier, now: datetime) -> None:
        """Raise unless a packet may be taken.

        Raises:
            PolicyError: The site is revoked, or the packet or its opt-outs are too old.
            IntegrityError: It is of another domain or key, from the future, or holds what no contract lets leave.
            ConfigurationError: It was made by another contract, or of a feed that is not taken from the site.
        """
        self.check_source(packet, signer)
        self.check_age(packet, now)

    def check_source(self, packet: Packet, signer: Verifier) -> None:
        """Raise unless a packet is what its signer may send; how old it is is not asked.

        Raises: as `check`.
        """
        site = next(each for each in self.sites if each.verifier == signer)
        name = title(packet)
        if site.revoked:
            raise PolicyError(
                f"{name}: the site is revoked", hint="take nothing more from it; its data left with its revocation"
            )
        if packet.bundle.domain != site.domain:
            raise IntegrityError(
                f"{name}: it holds tokens of another domain than the site's", hint="ask the site which keyset it used"
            )
        if packet.bundle.key_id != site.key_id:
            raise IntegrityError(
                f"{name}: it was made with another key version", hint="give the site a keyset of the version in use"
            )
        self.check_contracts(name, packet.site, packet.bundle)
        for table in packet.bundle.tables:
            _check_columns(name, table, site.columns)
            if any(part.delivered > packet.made + SKEW for part in table.parts):
                raise IntegrityError(
                    f"{name}: it holds a file of {table.feed} that was delivered after it was made",
                    hint="check the clock of the site: a file of the future would replace all others",
                )

    def check_contracts(self, name: str, site: str, bundle: BundleManifest) -> None:
        """Raise unless a site may send every feed of a bundle, by the contract that it was made by.

        Raises:
            ConfigurationError: It may not.
        """
        contracts = next(each.contracts for each in self.sites if each.verifier.name == site)
        for table in bundle.tables:
            if contracts.get(table.feed) != table.contract_digest:
                raise ConfigurationError(
                    f"{name}: feed {table.feed} is not taken from the site, or was made by another contract",
                    hint="agree on the contract's version with the site, or add the feed to those that it may send",
                )

    def check_age(self, packet: Packet, now: datetime) -> None:
        """Raise where a packet is too old, or its opt-outs are, or it is dated in the future.

        Raises: as `check`.
        """
        name = title(packet)
        if packet.made > now + SKEW:
            raise IntegrityError(
                f"{name}: it is dated in the future", hint="check the clock of this machine and of the site"
            )
        if now - packet.made > self.max_age:
            raise PolicyError(
                f"{name}: it was made {(now - packet.made).days} days ago", hint="ask the site for a new one"
            )
        if packet.good_until is not None and now > packet.good_until:
            raise PolicyError(
                f"{name}: an opt-out register that it was made by is too old now", hint="ask the site to run again"
            )


def title(packet: Packet) -> str:
    """A packet in words."""
    return f"packet {packet.sequence} of {packet.site}"


def _check_columns(name: str, table: TableParts, columns: Mapping[str, Mapping[str, Holds]]) -> None:
    """Refuse what no contract lets leave: a site's word for its own columns is not enough."""
    known = columns.get(f"{table.feed} {table.table}")
    if known is None:
        raise IntegrityError(
            f"{name}: the contract of {table.feed} hands over no table {table.table}",
            hint="find out how the site made it; nothing was taken",
        )
    for fields in (table.fields, table.submissions.fields if table.submissions else ()):
        for field in fields:
            if known.get(field.name) != _held(field):
                raise IntegrityError(
                    f"{name}: {table.feed} {table.table} has a column {field.name!r} that its contract does not let leave so",
                    hint="find out how the site made it; nothing was taken",
                )


def _held(field: Field) -> Holds:
    """What a site says that a column holds. Codes are told apart: ten digits may stand among them by chance."""
    if field.type == "UUID":
        return "person" if field.role == Role.PERSON else "record"
    return "code" if field.role == Role.CODE else "value"


@dataclass(frozen=True, slots=True)
class Inbox:
    """The packets that were taken.

    Attributes:
        folder: Where they are kept, owner-only.
    """

    folder: Path

    def taken(self, site: str) -> list[Path]:
        """The packets of a site, in their order.

        Raises:
            IntegrityError: One is missing among them.
        """
        place = self.folder / site
        found = sorted(path for path in place.glob("[0-9]*") if path.is_dir()) if place.is_dir() else []
        if [path.name for path in found] != [f"{number:06d}" for number in range(1, len(found) + 1)]:
            raise IntegrityError(
                f"{place}: a packet is missing among those of the site", hint="restore it from a backup"
            )
        return found

    def receive(self, came: Path, accepts: Accepts, now: datetime) -> Packet:
        """Take a packet, or refuse it and leave everything as it was.

        Args:
            came: The folder as it was carried here; it is copied.
            accepts: What is taken.
            now: The clock.

        Raises:
            IntegrityError: Its signature, digests, domain, key, or place among the site's packets are wrong.
            PolicyError: The site is revoked, or the packet or its opt-outs are too old.
            ConfigurationError: It was made by another contract.
        """
        known = accepts.verifiers
        packet, signer, own = read_packet(came, known)
        accepts.check(packet, signer, now)
        before = self.taken(packet.site)
        brought = self._brought(before, known)
        self._check_place(packet, own, before, known)
        missing = [path for path, part in packet.parts.items() if path not in packet.sealed and part not in brought]
        if missing:
            raise IntegrityError(
                f"packet {packet.sequence} of {packet.site}: {len(missing)} parts are neither in it nor in the packets before",
                hint=f"ask the site for all of it: `linkage site run --everything --number {packet.sequence}`",
            )
        self._keep(came, packet, own, known)
        self._forget(before, packet, known)
        return packet

    def _brought(self, before: Sequence[Path], known: Sequence[Verifier]) -> set[str]:
        """Digests of the parts that packets before have brought."""
        found = set()
        for path in before:
            packet, _, _ = read_packet(path, known)
            found |= {packet.parts[each] for each in packet.sealed if (path / f"{each}{SEALED}").is_file()}
        return found

    def _forget(self, before: Sequence[Path], newest: Packet, known: Sequence[Verifier]) -> None:
        """Remove sealed parts that do not count any more: people are in them who have left the newest ones."""
        wanted = set(newest.parts.values()) - {newest.parts[each] for each in newest.sealed}
        for path in before:
            packet, _, _ = read_packet(path, known)
            for each in packet.sealed:
                if packet.parts[each] not in wanted:
                    (path / f"{each}{SEALED}").unlink(missing_ok=True)

    def _check_place(self, packet: Packet, own: str, before: Sequence[Path], known: Sequence[Verifier]) -> None:
        name, last = f"packet {packet.sequence} of {packet.site}", len(before)
        if packet.sequence <= last:
            _, _, kept = read_packet(before[packet.sequence - 1], known)
            if kept == own:
                raise IntegrityError(f"{name}: it was taken already", hint="nothing is to be done")
            raise IntegrityError(
                f"{name}: another packet of that number was taken",
                hint="find out why the site's packets fork before taking more",
            )
        if packet.sequence > last + 1:
            raise IntegrityError(
                f"{name}: the one before it, {packet.sequence - 1}, has not come; {last + 1} is the next to take",
                hint=f"receive {last + 1} first; where it was lost: `linkage site run --everything --number {last + 1}` there",
            )
        newest = read_packet(before[-1], known)[2] if before else None
        if packet.previous != newest:
            raise IntegrityError(
                f"{name}: it follows another packet than the one taken last", hint="find out why before taking more"
            )

    def _keep(self, came: Path, packet: Packet, own: str, known: Sequence[Verifier]) -> None:
        """Copy a packet and check the copy: what came may change while it is looked at."""
        place = self.folder / packet.site
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
        aside = place / f".{packet.sequence:06d}"
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(mode=0o700)
        try:
            shutil.copyfile(came / MANIFEST, aside / MANIFEST)
            if read_packet(aside, known)[2] != own:
                raise IntegrityError("the packet changed while it was taken", hint="receive it again")
            for path, expected in packet.sealed.items():
                source, target = came / f"{path}{SEALED}", aside / f"{path}{SEALED}"
                target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                if source.is_symlink() or not source.is_file():
                    raise IntegrityError(f"{path}: missing from the packet", hint="ask the site to send it again")
                shutil.copyfile(source, target)
                if digest(target) != expected:
                    raise IntegrityError(f"{path}: not what the site signed", hint="ask the site to send it again")
            for each in [*aside.rglob("*"), aside]:
                each.chmod(0o700 if each.is_dir() else 0o600)
                sync(each)
            aside.rename(place / f"{packet.sequence:06d}")
            sync(place)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
