"""The report on one run's data quality: `facts` says what is told, `page` puts the sections together.

The sections: `limits`, `losses`, `completeness`, `people`, `months`, `sources`, `changes`; `pieces`, `numbers` and
`markup` are what they are made of, `style` how they look.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TypeVar

from linkage import config
from linkage.errors import InputError, IntegrityError
from linkage.report import facts
from linkage.report.page import page
from linkage.store.layout import RUN_ID, Store
from linkage.store.manifest import RunManifest, SnapshotManifest

__all__ = ["for_analysts", "for_operators"]

Manifest = TypeVar("Manifest", SnapshotManifest, RunManifest)


def for_analysts(store: Path, run: str | None = None) -> tuple[str, str]:
    """The page that whoever may read the snapshot may read.

    Args:
        store: The store.
        run: The run; the current one when not given.

    Returns:
        The run's id, and the page.

    Raises:
        InputError: Nothing is published, or not that run.
        IntegrityError: The snapshot's manifest cannot be read.
    """
    place = Store(store)
    name = _named(run) or place.current()
    if name is None:
        raise InputError(f"{store}: nothing has been published", hint="run the pipeline, or name its store")
    path = place.snapshots / name / "manifest.json"
    return name, page(facts.shown(_read(path, SnapshotManifest)))


def for_operators(configuration: Path, run: str | None = None) -> Path:
    """Write the page with exact counts beside the exact accounts, for its owner's eyes only.

    Args:
        configuration: The `linkage.toml`.
        run: The run; that of the current snapshot when not given.

    Returns:
        Where it is.

    Raises:
        ConfigurationError: The configuration cannot be read.
        InputError: Nothing is published, or the run has no account.
        IntegrityError: The account cannot be read.
    """
    rules = config.load(configuration)
    name = _named(run) or Store(rules.at(rules.store.path)).current()
    if name is None:
        raise InputError(f"{configuration}: nothing has been published", hint="run the pipeline first")
    private = rules.at(rules.private)
    account = _read(private / "runs" / f"{name}.json", RunManifest)
    folder = private / "reports"
    folder.mkdir(exist_ok=True, mode=0o700)
    folder.chmod(0o700)
    return _write(folder / f"{name}.html", page(facts.exact(account)))


def _write(path: Path, text: str) -> Path:
    aside = path.with_suffix(".new")
    aside.unlink(missing_ok=True)
    # Nobody else may read it for a moment even: it is made for its owner and not changed to be.
    with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    return aside.replace(path)


def _named(run: str | None) -> str | None:
    if run is not None and not RUN_ID.fullmatch(run.encode()):
        raise InputError("the run's name is not one", hint="name a folder of the store's snapshots")
    return run


def _read(path: Path, kind: type[Manifest]) -> Manifest:
    try:
        return kind.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise InputError(f"{path}: not there", hint="name a run whose snapshot is still kept") from None
    except (OSError, ValueError):
        # What is wrong with it may repeat a part of it.
        raise IntegrityError(f"{path}: cannot be read", hint="restore it, or run the pipeline again") from None
