"""One purpose before its first file is read: what it needs stands, is open and is held, or it is refused here."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Literal

from linkage import authority, config, held, hub, site
from linkage.config import Configuration
from linkage.errors import ConfigurationError
from linkage.findings import last_account
from linkage.increments.taken import Memory
from linkage.nights import lake, telling
from linkage.progress import Progress
from linkage.pseudonymise import Keyset
from linkage.sources.roster import Roster
from linkage.store.delta import Lake
from linkage.store.manifest import RunManifest

__all__ = ["Begun", "begin"]

ASKED = "a full run was asked for"


@dataclass(frozen=True, slots=True)
class Begun:
    """One purpose, ready to read: its documents stand, its keyset is open, its store is held.

    Attributes:
        known: Reads the roster of the last run.
        folder: Where the bundle is made; what stays at the site is made beside it, in `site` and `roster`.
        site: Accounts and lists of this run.
    """

    configuration: Configuration
    warnings: tuple[str, ...]
    keyset: Keyset
    known: Callable[[], Roster]
    folder: Path
    site: Path
    memory: Memory
    work: hub.WorkFolder | None = None
    last: RunManifest | None = None
    lake: Lake | None = None
    path: Path = Path()
    full: bool = False


def begin(
    path: Path,
    now: datetime,
    passphrase: Callable[[], str] | None,
    stack: ExitStack,
    places: set[Path | str],
    progress: Progress,
    *,
    full: bool,
    kind: Literal["machine", "site"] = "machine",
    act: str = "run",
) -> Begun:
    """One purpose, ready to read, until the stack is closed.

    Args:
        path: The `linkage.toml`.
        now: As in `pipeline.run`.
        passphrase: As in `pipeline.run`.
        stack: What holds the store.
        places: The stores, private folders and domains of purposes before it.
        progress: As in `pipeline.run`.
        full: As in `pipeline.run`.
        kind: Of which kind the configuration has to be.
        act: What the log is told of it.
    """
    configuration = config.of_kind(path, kind)
    warnings = authority.check(configuration, now.date())
    _take(configuration, places)
    keyset = site.open_keyset(configuration, passphrase)
    work = stack.enter_context(hub.working(configuration, now, act))
    # The log is told of what is refused here as well: other purposes go on before the act ends.
    with work.act.noted():
        telling.begun(progress, path, work.run_id, configuration.purpose.name, warnings)
        current = work.store.current()
        return Begun(
            configuration,
            warnings,
            keyset,
            known=partial(hub.load_roster, configuration, keyset, work),
            folder=work.folder / "bundle",
            site=work.folder / "site",
            memory=Memory.nothing(ASKED) if full else held.memory(work.private, current, keyset.unseal),
            work=work,
            last=last_account(work.private, current, configuration.quality),
            lake=lake.of(configuration),
            path=path,
            full=full,
        )


def _take(configuration: Configuration, taken: set[Path | str]) -> None:
    """Refuse a purpose that would write where another of the same run does, or give people the same tokens."""
    if configuration.keys.domain in taken:
        raise ConfigurationError(
            "another purpose of this run has the same token domain, so their people could be matched",
            hint="give each purpose a domain of its own under [keys]",
        )
    places = (configuration.store.path, configuration.private, configuration.store.delta)
    own = {configuration.at(path).resolve() for path in places if path is not None}
    if own & taken:
        raise ConfigurationError(
            "another purpose of this run has the same store, private folder or folder of Delta tables",
            hint="give each purpose a store, a private folder and Delta tables of its own",
        )
    taken |= {*own, configuration.keys.domain}
