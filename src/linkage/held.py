"""Bundles that are held for linking again, and the token lists that are made for them: owner-only, apart from the store.

    <private>/held/<run id>/held.json           what shaped the bundle
    <private>/held/<run id>/bundle/             the bundle of the current snapshot, tokens and no numbers
    <private>/held/<run id>/site/               what the next run needs besides, to make only what changed (`taken`)
    <private>/late/<run id>/lists.json          what the lists are for, until when they may be used, digests
    <private>/late/<run id>/withdrawn.parquet, practices.parquet, moved.parquet
    <private>/late/<run id>/roster/             the roster with what became known since, encrypted

Only the bundle of the current snapshot is held: the next run holds its own, and the lists that are applied go with it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

import polars as pl
from pydantic import BaseModel, ConfigDict

from linkage import bundle
from linkage.bundle import BundleManifest, digest
from linkage.config import Configuration
from linkage.disk import entries, sync_all
from linkage.errors import ConfigurationError, IntegrityError, LinkageError, PolicyError
from linkage.increments import taken
from linkage.increments.taken import Memory
from linkage.link.withdraw import MOVED, PRACTICES, WITHDRAWN, Lists
from linkage.store.manifest import RegisterFile

__all__ = ["Held", "LateLists", "RowRules", "copy", "find", "forget", "keep", "memory", "read_lists", "write_lists"]

if TYPE_CHECKING:
    from linkage.optouts.policy import Policy

CLOCK_SKEW = timedelta(hours=1)
_FILES = {"withdrawn": WITHDRAWN, "practices": PRACTICES, "moved": MOVED}


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RowRules(_Model):
    """What kept rows out that no list of people can: the practices and codes of the moment a bundle was made.

    Attributes:
        listed: Practices that did not share.
        periods: Earlier periods in which some did not: first day, last day, practices.
        restricted: The digest of the restricted codes.
    """

    listed: tuple[str, ...] = ()
    periods: tuple[tuple[date, date, tuple[str, ...]], ...] = ()
    restricted: str = ""

    @classmethod
    def of(cls, policy: Policy) -> RowRules:
        """Those of a policy."""
        shares = policy.sharing
        return cls(
            listed=tuple(sorted(shares.listed)) if shares else (),
            periods=tuple(
                (each.starts, each.ends, tuple(sorted(each.practices))) for each in (shares.periods if shares else ())
            ),
            restricted=policy.restricted.digest,
        )

    def check(self, now: RowRules) -> None:
        """Refuse where rows of the bundle may have to go that only the extracts can tell.

        Raises:
            PolicyError: A period or restricted codes were added since.
        """
        kept_out = {(starts, ends, each) for starts, ends, practices in self.periods for each in practices}
        asked = {(starts, ends, each) for starts, ends, practices in now.periods for each in practices}
        new = {each for *_, each in asked - kept_out} - {*self.listed}
        if new or (now.restricted and now.restricted != self.restricted):
            raise PolicyError(
                "an earlier period of a practice that did not share, or restricted codes, became known since the bundle "
                "was made, and the rows that they keep out cannot be found in it",
                hint="run over the extracts",
            )


class Held(_Model):
    """A held bundle.

    Attributes:
        run_id: The run that made the snapshot from it.
        shape: The digest of what the configuration says about the rows' shape; another one needs another bundle.
        bundle_digest: SHA-256 of its manifest, hexadecimal; that holds the digests of its parts.
        rules: What kept rows out of it.
    """

    format: Literal["linkage-held/1"] = "linkage-held/1"
    run_id: str
    shape: str
    bundle_digest: str
    rules: RowRules


class LateLists(_Model):
    """What token lists are for.

    Attributes:
        bundle_digest: The held bundle whose tokens they speak of.
        domain, key_id: As the bundle's.
        configuration_digest: The configuration that said what binds.
        made: When, UTC.
        good_until: When the first register that they were made from is too old, UTC.
        files: SHA-256 of each file, hexadecimal.
        registers: The registers' files.
    """

    format: Literal["linkage-late/1"] = "linkage-late/1"
    bundle_digest: str
    domain: str
    key_id: str
    configuration_digest: str
    made: datetime
    good_until: datetime | None
    files: dict[str, str]
    registers: tuple[RegisterFile, ...]


_Found = TypeVar("_Found", Held, LateLists)


def shape(configuration: Configuration) -> str:
    """The digest of everything in a configuration that a bundle's rows were made by; opt-outs are judged anew."""
    said = configuration.model_dump(
        mode="json", include={"flows": True, "minimise": True, "allow_test_numbers": True, "keys": {"domain"}}
    )
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def keep(configuration: Configuration, made: Path, private: Path, run_id: str, rules: RowRules) -> None:
    """Hold a bundle: move it into the private folder, readable by its owner only."""
    place = private / "held" / run_id
    place.parent.mkdir(exist_ok=True, mode=0o700)
    place.mkdir(mode=0o700)
    shutil.move(made, place / "bundle")
    if made.with_name("site").is_dir():
        shutil.move(made.with_name("site"), place / "site")
    found = Held(
        run_id=run_id,
        shape=shape(configuration),
        bundle_digest=digest(place / "bundle" / "manifest.json"),
        rules=rules,
    )
    (place / "held.json").write_text(found.model_dump_json(indent=1), encoding="utf-8")
    _close(place)


def forget(private: Path, run_id: str) -> None:
    """Remove every held bundle but one run's, and all token lists: what they said is in the bundle now."""
    for old in private.glob("held/*"):
        if old.name != run_id:
            shutil.rmtree(old)
    for old in private.glob("late/*"):
        shutil.rmtree(old)


def memory(private: Path, current: str | None, unseal: Callable[[bytes], bytes]) -> Memory:
    """What the last run took, from beside the bundle that is held of it; where it cannot be relied on, why."""
    if current is None:
        return Memory.nothing(taken.FIRST)
    place = private / "held" / current
    if not place.is_dir():
        return Memory.nothing("nothing of the last run is held")
    try:
        _check_closed(place)
        found = _intact(place)
    except LinkageError as error:
        return Memory.nothing(error.message)
    return taken.load(place, found.bundle_digest, unseal)


def find(configuration: Configuration, private: Path, current: str | None) -> Held:
    """The held bundle of the current snapshot.

    Raises:
        ConfigurationError: None is held, or the configuration changed since.
        PolicyError: Others than its owner may read it.
        IntegrityError: It is damaged.
    """
    hint = "run once over the extracts, without hold = false under [store]"
    if current is None or not (private / "held" / current).is_dir():
        raise ConfigurationError("no bundle of the current snapshot is held", hint=hint)
    place = private / "held" / current
    _check_closed(place)
    found = _intact(place)
    if found.shape != shape(configuration):
        raise ConfigurationError(
            "the flows, the minimisation or the domain changed since the bundle was made",
            hint="run over the extracts: a held bundle stays as it was made",
        )
    return found


def _intact(place: Path) -> Held:
    found, manifest = _read(Held, place / "held.json"), place / "bundle" / "manifest.json"
    if not manifest.is_file() or digest(manifest) != found.bundle_digest:
        raise IntegrityError(f"{place.name}: the held bundle was changed", hint="run over the extracts")
    return found


def copy(private: Path, held: Held, folder: Path) -> BundleManifest:
    """A bundle to work on: files are linked where the volume allows, and every part is checked.

    Raises:
        IntegrityError: A part is missing or was changed.
    """
    shutil.copytree(private / "held" / held.run_id / "bundle", folder, copy_function=_link)
    return bundle.read(folder)


def write_lists(folder: Path, lists: Lists, about: LateLists) -> None:
    """Write lists and what they are for into a new owner-only folder; the description comes last."""
    for name, schema in _FILES.items():
        getattr(lists, name).select(schema.names()).write_parquet(folder / f"{name}.parquet")
    files = {path.relative_to(folder).as_posix(): digest(path) for path in folder.rglob("*") if path.is_file()}
    about = about.model_copy(update={"files": files})
    (folder / "lists.json").write_text(about.model_dump_json(indent=1), encoding="utf-8")
    _close(folder)


def read_lists(
    configuration: Configuration, private: Path, held: Held, manifest: BundleManifest, now: datetime
) -> tuple[Lists, LateLists]:
    """The lists for a held bundle.

    Raises:
        PolicyError: They are missing, too old, made for another bundle, or others than their owner may read them.
        IntegrityError: They are damaged.
    """
    again = "make them again: `linkage optouts tokens`"
    place = private / "late" / held.run_id
    if not place.is_dir():
        raise PolicyError("no token lists of late opt-outs were made for the held bundle", hint=again)
    _check_closed(place)
    about = _read(LateLists, place / "lists.json")
    if (about.bundle_digest, about.domain, about.key_id) != (held.bundle_digest, manifest.domain, manifest.key_id):
        raise PolicyError("the token lists were made for another bundle, domain or key", hint=again)
    if about.made > now + CLOCK_SKEW:
        raise PolicyError("the token lists are dated in the future", hint="check the clock of this machine")
    limit = timedelta(days=configuration.optouts.late.max_age_days)
    if now - about.made > limit or (about.good_until is not None and now > about.good_until):
        raise PolicyError(
            f"the token lists were made {(now - about.made).days} days ago: they, or a register that they were made "
            "from, are too old",
            hint=again,
        )
    if about.configuration_digest != configuration.digest:
        raise PolicyError("the configuration changed since the token lists were made", hint=again)
    for name in {*about.files, *(f"{each}.parquet" for each in _FILES)}:
        path = place / name
        if name not in about.files or not path.is_file() or digest(path) != about.files[name]:
            raise IntegrityError(f"{name}: missing from the token lists or changed since", hint=again)
    frames = {name: pl.read_parquet(place / f"{name}.parquet") for name in _FILES}
    if any(frames[name].schema != schema for name, schema in _FILES.items()):
        raise IntegrityError("the token lists are not what was written", hint=again)
    return Lists(**frames), about


def _link(source: str, target: str) -> None:
    # Parts are only ever replaced; a manifest is written into, so it is a copy.
    if not source.endswith(".parquet"):
        shutil.copyfile(source, target)
        return
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _close(folder: Path) -> None:
    folder.chmod(0o700)
    inside = list(entries(folder))
    for each in inside:
        Path(each.path).chmod(0o700 if each.is_dir(follow_symlinks=False) else 0o600)
    sync_all(folder, [*(each.path for each in inside), folder])


def _check_closed(folder: Path) -> None:
    """Refuse what others than its owner may read; Windows has other means, which the folder's owner sets."""
    if os.name == "nt":
        return
    for name, found in [(folder.name, folder.stat()), *((each.name, each.stat()) for each in entries(folder))]:
        if stat.S_IMODE(found.st_mode) & 0o077:
            raise PolicyError(
                f"{name}: held bundles and token lists are for their owner only, and others may read this",
                hint="find out who could, then run over the extracts",
            )


def _read(kind: type[_Found], path: Path) -> _Found:
    try:
        return kind.model_validate_json(path.read_bytes())
    except (OSError, ValueError):
        raise IntegrityError(f"{path.name}: missing or damaged", hint="run over the extracts") from None
