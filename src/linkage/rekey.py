"""Moving a store from one key version to another: the key holder's answer to a key that is old or known to others.

    the current snapshot ─▶ every file with new tokens, sorted anew ─▶ published ─▶ the keyset chooses the new version

Nothing of the old key goes into the new snapshot. What the last run left for the next one is in old tokens and is let go, so
that the next run makes everything anew: record tokens that were moved are not those that are made from the extracts.
Only a key holder's program imports this module.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import polars as pl

from linkage import config, held, hub
from linkage import link as linking
from linkage.bundle import digest
from linkage.config import Configuration
from linkage.disk import sync
from linkage.errors import ConfigurationError, InputError, IntegrityError
from linkage.findings import last_account
from linkage.nights import lake, rekeyed, rollback
from linkage.nights.rekeyed import Rekeyed
from linkage.progress import Progress, Stage
from linkage.pseudonymise.key_versions import KeysetFile
from linkage.pseudonymise.keyset import KeyState, KeyVersion
from linkage.pseudonymise.reverser import KeyHolderKeyset
from linkage.pseudonymise.translator import Translator
from linkage.store import publish as switch
from linkage.store import views
from linkage.store.manifest import File, PublishedTable, RunManifest
from linkage.store.open import open_snapshot
from linkage.store.rewrite import SUBJECT, rewrite_all

__all__ = ["Done", "confirm", "rekey"]

PROBE = 100  # tokens by which a column is told to hold people's or records'


@dataclass(frozen=True, slots=True)
class Done:
    """What was done.

    Attributes:
        run: The new snapshot's run.
        before: The one that was rewritten; it stays until it is confirmed.
        old, new: Key ids.
        rows: Rows that were written.
        behind: Why the Delta tables could not follow; None where they did, or there are none.
    """

    run: str
    before: str
    old: str
    new: str
    rows: int
    behind: str | None = None


def rekey(
    path: Path,
    *,
    version: str = "",
    now: datetime | None = None,
    progress: Progress | None = None,
    passphrase: Callable[[], str] | None = None,
) -> Done:
    """Publish the current snapshot with the tokens of another key version, and let the domain choose that one.

    Where it fails or is killed, the old snapshot is the current one and the domain makes its old tokens; only where it is
    killed in the moment between publishing and choosing, the next call ends it, and until then nothing else runs.

    Args:
        path: The `linkage.toml`, of one machine that does everything.
        version: The beginning of the new version's id; the newest that is active when not given.
        now: The clock, UTC.
        progress: Where stages are shown; standard error when not given.
        passphrase: Asks for the keyset's passphrase.

    Raises:
        ConfigurationError: There is no version to move to, or the last change was not confirmed.
        InputError: Nothing has been published.
        IntegrityError: The snapshot is damaged, or holds what is not of the domain and its key.
        KeyUnavailableError: The keyset does not open, or the old version was destroyed.
    """
    now, progress = now or datetime.now(UTC), progress or Progress()
    configuration, keys = _opened(path, passphrase)
    with hub.working(configuration, now, "rekey") as work:
        before = work.store.current()
        account = last_account(work.private, before, configuration.quality)
        if before is None or account is None:
            raise InputError("there is no published snapshot with its account", hint="run the pipeline first")
        said = rekeyed.read(work.private)
        # Told of and never published: it failed or was killed before the switch, and is made again.
        begun = said is not None and said.state == "publishing" and said.run == before
        if said is None or not begun:
            if said is not None and said.state == "published":
                raise ConfigurationError(
                    f"the change to key {said.new} is not confirmed yet",
                    hint="look at the new snapshot, then --confirm",
                )
            said = _published(configuration, account, keys, version, work, progress)
        work.act.details |= {"old": said.old, "new": said.new}
        keys.file.choose(configuration.keys.domain, said.new)
        rekeyed.write(work.private, said.model_copy(update={"state": "published"}))
        behind = lake.follow(lake.of(configuration), work.store, work.private)
    rows = sum(table.rows for table in account.snapshot.tables)
    return Done(said.run, said.before, said.old, said.new, rows, behind.message if behind else None)


def confirm(path: Path, *, now: datetime | None = None) -> tuple[str, ...]:
    """Remove every snapshot of the old key.

    Returns:
        Their runs.

    Raises:
        ConfigurationError: There is no change to confirm, or the current snapshot is of the old key.
    """
    configuration = config.of_kind(path, "machine")
    with hub.working(configuration, now or datetime.now(UTC), "rekey.confirm") as work:
        said = rekeyed.read(work.private)
        if said is None:
            raise ConfigurationError("there is no change of key to confirm", hint="`linkage keys rekey` makes one")
        old, current = tuple(_of_other_keys(work, said.new)), work.store.current()
        if current in old:
            raise ConfigurationError(
                "the current snapshot is of the old key: the store was rolled back since",
                hint="go back to the new one with `linkage runs list` and `linkage rollback`, or run the pipeline; then confirm",
            )
        hub.remove_snapshots(work, old)
        rekeyed.forget(work.private)
        work.act.details |= {"old": said.old, "new": said.new, "removed": len(old)}
    return old


@dataclass(frozen=True, slots=True)
class _Keys:
    keyset: KeyHolderKeyset
    file: KeysetFile


def _opened(path: Path, passphrase: Callable[[], str] | None) -> tuple[Configuration, _Keys]:
    configuration = config.of_kind(path, "machine")
    keys, ask = configuration.keys, cache(passphrase) if passphrase else None
    identity = configuration.at(keys.identity) if keys.identity else None
    keyset = KeyHolderKeyset.open(keys.keyset, identity=identity, passphrase=ask, base=configuration.base)
    return configuration, _Keys(keyset, KeysetFile(keys.keyset, identity, ask, configuration.base))


def _published(
    configuration: Configuration,
    account: RunManifest,
    keys: _Keys,
    version: str,
    work: hub.WorkFolder,
    progress: Progress,
) -> Rekeyed:
    """Rewrite the current snapshot and publish it."""
    before, old = account.snapshot.run_id, account.snapshot.key_id
    new = _target(keys.keyset.versions, old, version)
    if account.snapshot.domain != configuration.keys.domain:
        raise ConfigurationError("the snapshot is of another domain", hint="run the pipeline over the extracts first")
    rollback.verify(work.store, account)
    moving = _Moving(Translator.between(keys.keyset, configuration.keys.domain, old, new))
    with progress.stage("rekeying", sum(table.rows for table in account.snapshot.tables)) as stage:
        tables = _rewritten(configuration, account, moving, new, work, stage)
    with open_snapshot(work.store.snapshots / before) as connection:
        columns = views.columns_of(connection)
    hub.make_database(configuration, work, tables, columns)
    made = _accounted(account, work, tables, new)
    shutil.copytree(work.private / "roster" / before, work.folder / "roster")
    said = Rekeyed(state="publishing", before=before, run=work.run_id, old=old, new=new)
    rekeyed.write(work.private, said)
    holds_nothing = configuration.store.model_copy(update={"hold": False})
    hub.publish(configuration.model_copy(update={"store": holds_nothing}), made, work, held.RowRules())
    return said


def _target(versions: Sequence[KeyVersion], old: str, named: str) -> str:
    able = [each for each in versions if each.state in (KeyState.PRIMARY, KeyState.ACTIVE) and each.id != old]
    if named:
        able = [each for each in able if each.id.startswith(named)]
    # Of two that were made in one second, the one that was added later.
    found = max(enumerate(able), key=lambda item: (item[1].created, item[0]), default=None)
    made = next((each.created for each in versions if each.id == old), None)
    if found is None or (named and len(able) > 1) or (not named and made is not None and found[1].created < made):
        raise ConfigurationError(
            "there is no key version to move to" if len(able) < 2 else "more than one key version begins so",
            hint="add one with `linkage keys rotate`; `linkage keys list` shows all",
        )
    return found[1].id


@dataclass(frozen=True, slots=True)
class _Moving:
    """Translates columns, and remembers which of them hold people's tokens."""

    translator: Translator
    people: dict[tuple[str, str], bool] = field(default_factory=dict)

    def column(self, table: str, name: str, tokens: pl.Series) -> pl.Series:
        """One column of one file."""
        there = tokens.drop_nulls().head(PROBE)
        if there.is_empty():
            return tokens
        person = self.people.get((table, name))
        if person is None:
            person = self._is_person(table, name, there)
        # A person's token that is not of the key leaves a gap, which whoever asked sees.
        made, _ = self.translator.person(tokens) if person else self.translator.record(tokens)
        return made

    def _is_person(self, table: str, name: str, some: pl.Series) -> bool:
        """A person's token proves that it is one; no record's does. A column holds one kind, in all of its files."""
        refused = self.translator.person(some)[0].null_count()
        person = refused == 0
        if refused not in (0, len(some)) or (name == SUBJECT and not person):
            raise IntegrityError(
                f"{table}: column {name!r} holds tokens that are not of this domain and key",
                hint="nothing was published: check the domain and the keyset",
            )
        self.people[table, name] = person
        return person


def _rewritten(
    configuration: Configuration,
    account: RunManifest,
    moving: _Moving,
    new: str,
    work: hub.WorkFolder,
    stage: Stage,
) -> tuple[PublishedTable, ...]:
    source, made = work.store.snapshots / account.snapshot.run_id, []
    about = {"linkage.domain": account.snapshot.domain, "linkage.key_id": new, "linkage.format": "linkage-snapshot/1"}
    work.snapshot.mkdir(mode=0o700)
    connection = linking.connect(work.folder / "work.duckdb", work.folder / "spill", configuration.memory)
    try:
        for table in account.snapshot.tables:
            pairs = [(source / file.path, work.snapshot / file.path) for file in table.files]
            with linking.during(f"rewriting {table.name}"):
                for rows in rewrite_all(connection, pairs, _of(moving, table.name), about):
                    stage.advance(rows)
            files = tuple(sorted(hub.written(work.snapshot, table.name), key=lambda file: file.path))
            _check(table, files)
            made.append(PublishedTable(name=table.name, rows=table.rows, files=files))
    finally:
        connection.close()
    (work.folder / "work.duckdb").unlink()
    return tuple(made)


def _of(moving: _Moving, table: str) -> Callable[[str, pl.Series], pl.Series]:
    return lambda name, tokens: moving.column(table, name, tokens)


def _check(table: PublishedTable, files: Sequence[File]) -> None:
    rows: Mapping[str, int] = {file.path: file.rows for file in files}
    if rows != {file.path: file.rows for file in table.files}:
        raise IntegrityError(
            f"{table.name}: the new files do not hold the old ones' rows", hint="nothing was published"
        )


def _accounted(account: RunManifest, work: hub.WorkFolder, tables: tuple[PublishedTable, ...], new: str) -> RunManifest:
    """The old account with what is new: people are in it as of when they were judged, so that its age stays theirs."""
    update = {"run_id": work.run_id, "key_id": new, "tables": tables, "last_run": account.snapshot.run_id}
    snapshot = account.snapshot.model_copy(update=update)
    path = work.snapshot / "manifest.json"
    path.write_text(snapshot.model_dump_json(indent=1), encoding="utf-8")
    sync(path)
    return account.model_copy(
        update={
            "snapshot": snapshot,
            "snapshot_digest": digest(path),
            "database_digest": digest(work.snapshot / "linked.duckdb"),
            "rekeyed_from": account.snapshot.run_id,
            "full": None,
            "made_whole": None,
            "from_held": None,
            "delta": (),
        }
    )


def _of_other_keys(work: hub.WorkFolder, new: str) -> list[str]:
    """Snapshots whose tokens are of another key, as their own manifests say."""
    found = []
    for place in sorted(work.store.snapshots.iterdir()):
        said = switch.manifest_of(place)
        if said is None or said.key_id != new:
            found.append(place.name)
    return found
