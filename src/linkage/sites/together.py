"""One bundle of all sites: the translated parts of each that is not revoked, side by side, and what the account tells of each."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath

import polars as pl

from linkage.bundle import BundleManifest, Part, TableParts
from linkage.config import Configuration, RegisteredSite
from linkage.errors import ConfigurationError, IntegrityError, PolicyError
from linkage.federate import Accepts
from linkage.federate.packet import read_packet
from linkage.federate.receive import Inbox
from linkage.sites import register
from linkage.sites import translated as kept
from linkage.sites.translated import Translated
from linkage.store.manifest import SiteTable, SiteTaken

__all__ = ["Gathered", "gather", "with_people"]


@dataclass(frozen=True, slots=True)
class Gathered:
    """What all sites together hand over.

    Attributes:
        manifest: Their bundle.
        sites: What is told of each in the account, in the order of the register.
        counted: What was translated of those that count.
    """

    manifest: BundleManifest
    sites: tuple[SiteTaken, ...]
    counted: tuple[Translated, ...]


def gather(configuration: Configuration, now: datetime, folder: Path) -> Gathered:
    """Put the translated parts of all sites that count into one bundle's folder; the manifest is not written yet.

    Args:
        configuration: The hub's.
        now: The moment that ages and revocations are judged by, UTC.
        folder: The bundle's folder, which is made.

    Raises:
        PolicyError: A site's packet or its opt-outs are too old, or a newer packet is not translated.
        ConfigurationError: Nothing is there of any site, a site may not send a feed any more, or two sites' tables do not
            have the same columns.
        IntegrityError: What was translated is damaged, or of another domain.
        TemporaryError: Another command works on what was translated.
    """
    hub, place = register.hub_of(configuration), register.translated(configuration)
    accepts, box = register.accepts(configuration, now.date()), register.inbox(configuration)
    told, counted = [], []
    folder.mkdir(mode=0o700)
    with kept.hold(place):
        for site in hub.sites:
            found = None if site.is_revoked(now.date()) else kept.load(place, site.name)
            if found is not None:
                _check(configuration, accepts, box, found, now)
                counted.append(found)
            told.append(_told(site, found, now))
        if not counted:
            raise ConfigurationError(
                "no site has handed over anything that counts",
                hint="`linkage hub receive`, then `linkage hub translate`; `linkage hub sites` says what is there",
            )
        manifest = _one_bundle(counted)
        for each in counted:
            _put(place, each, folder)
    return Gathered(manifest, tuple(told), tuple(counted))


def _check(configuration: Configuration, accepts: Accepts, box: Inbox, found: Translated, now: datetime) -> None:
    """Refuse what is too old to publish: who said no since then would be in it."""
    hint = "receive and translate a newer packet of it, or revoke the site: its data leaves with that"
    title = f"packet {found.sequence} of {found.site}"
    if found.bundle.domain != configuration.keys.domain:
        raise IntegrityError(f"{title}: it was translated to another domain", hint="run `linkage hub translate`")
    accepts.check_contracts(title, found.site, found.bundle)
    if now - found.made > accepts.max_age:
        raise PolicyError(f"{title}: it was made {(now - found.made).days} days ago", hint=hint)
    if found.good_until is not None and now > found.good_until:
        raise PolicyError(f"{title}: an opt-out register that it was made by is too old now", hint=hint)
    packets = box.taken(found.site)
    if packets and read_packet(packets[-1], accepts.verifiers)[2] != found.packet:
        raise PolicyError(
            f"{title}: packet {len(packets)} of the site was taken and is not translated",
            hint="run `linkage hub translate`: somebody may have opted out since",
        )


def _told(site: RegisteredSite, found: Translated | None, now: datetime) -> SiteTaken:
    if found is None:
        revoked = site.revoked if site.is_revoked(now.date()) else None
        return SiteTaken(site=site.name, revoked=revoked, why=site.why if revoked else "")
    tables = tuple(
        SiteTable(
            feed=table.feed,
            table=table.table,
            read=sum(part.read for part in table.parts),
            handed_over=sum(part.kept for part in table.parts),
        )
        for table in found.bundle.tables
        if table.parts
    )
    return SiteTaken(
        site=site.name,
        sequence=found.sequence,
        packet=found.packet,
        made=found.made,
        good_until=found.good_until,
        tables=tables,
        exemptions=found.exemptions,
    )


def with_people(gathered: Gathered, folder: Path) -> tuple[SiteTaken, ...]:
    """What is told of each site, with how many persons are in its rows.

    Args:
        gathered: What all hand over.
        folder: The bundle's folder, whose parts were checked by their digests.
    """
    parts = {each.site: each.bundle.tables for each in gathered.counted}

    def people(site: str) -> int:
        tokens = [pl.LazyFrame(schema={"token": pl.Binary})]
        for table in parts[site]:
            files = [folder / _path(site, part.path) for part in table.parts if part.kept]
            tokens += [pl.scan_parquet(files, hive_partitioning=False).select("token")] if files else []
        known = pl.concat(tokens).drop_nulls().unique().select(pl.len())
        return int(known.collect(engine="streaming").item())

    return tuple(
        each.model_copy(update={"people": people(each.site)}) if each.site in parts else each for each in gathered.sites
    )


def _one_bundle(counted: Sequence[Translated]) -> BundleManifest:
    """The tables of all sites; each table has the parts of all that have it."""
    if len({each.bundle.key_id for each in counted}) > 1:
        raise IntegrityError(
            "what was translated is of several key versions", hint="run `linkage hub translate`: it brings all to one"
        )
    tables: dict[tuple[str, str], TableParts] = {}
    for each in counted:
        for parts in each.bundle.tables:
            mine, key = _of_site(each, parts), (parts.feed, parts.table)
            before = tables.get(key)
            # A table of which a site has no rows says nothing of its columns either.
            if before is None or not before.parts:
                tables[key] = mine
            elif mine.parts:
                tables[key] = _joined(before, mine, each.site)
    ordered = sorted(tables.values(), key=lambda table: (table.feed, table.table))
    return counted[0].bundle.model_copy(update={"tables": tuple(_in_order(table) for table in ordered)})


def _of_site(found: Translated, parts: TableParts) -> TableParts:
    def mine(each: TableParts) -> tuple[Part, ...]:
        return tuple(
            part.model_copy(update={"path": _path(found.site, part.path), "source": f"{found.site}/{part.source}"})
            for part in each.parts
        )

    listing = parts.submissions
    if listing is not None:
        listing = listing.model_copy(update={"parts": mine(listing)})
    return parts.model_copy(update={"parts": mine(parts), "submissions": listing})


def _path(site: str, path: str) -> str:
    """Where a site's part is in the bundle of all; `=` stands in no site's name, so that no two sites meet."""
    whole = PurePosixPath(path)
    return (whole.parent / f"{site}={whole.name}").as_posix()


def _joined(one: TableParts, other: TableParts, site: str) -> TableParts:
    listings = (one.submissions, other.submissions)
    alike = (one.contract_digest, _columns(one)) == (other.contract_digest, _columns(other))
    if not alike or (listings[0] is None) != (listings[1] is None):
        raise ConfigurationError(
            f"site {site}: its columns of {one.feed} {one.table} differ from those of the sites before it",
            hint="agree with all sites on the columns of the flow and on [minimise], and on the contract's version",
        )
    joined = one.model_copy(update={"parts": one.parts + other.parts})
    if listings[0] is None or listings[1] is None:
        return joined
    listing = listings[0].model_copy(update={"parts": listings[0].parts + listings[1].parts})
    return joined.model_copy(update={"submissions": listing})


def _columns(parts: TableParts) -> tuple[tuple[tuple[str, str], ...], ...]:
    listed = parts.submissions.fields if parts.submissions else ()
    return tuple(tuple((field.name, field.type) for field in fields) for fields in (parts.fields, listed))


def _in_order(table: TableParts) -> TableParts:
    return table.model_copy(update={"parts": tuple(sorted(table.parts, key=lambda part: part.place))})


def _put(place: Path, found: Translated, folder: Path) -> None:
    for table in found.bundle.tables:
        for part in table.all_parts:
            target = folder / _path(found.site, part.path)
            target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            _link(found.file(place, part), target)


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise IntegrityError(
            f"{source.name}: a translated part is missing", hint="run `linkage hub translate` again"
        ) from None
    except FileExistsError:
        # Written through it, the file of somebody else's part would be changed.
        raise IntegrityError(
            f"{target.name}: two parts would have one name", hint="find out which site sent parts of such a name"
        ) from None
    except OSError:
        # Another volume, or files of another user.
        shutil.copyfile(source, target)
