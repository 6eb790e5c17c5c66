"""The current snapshot as Delta tables, for platforms that read those: only partitions that changed are written.

<delta>/linkage-delta                                      says that this folder is ours
<delta>/<table>/_delta_log/                                versions, by Delta's own rules
<delta>/<table>/[feed=<feed>/][month=<YYYY-MM or undated>/]<digest of the published file>-<run id>.parquet

A data file is named for the published file that it was made from, so the log alone tells which partitions a new snapshot
changed, whatever became of the runs between. Delta has neither UUID nor a time of day: tokens are 16-byte binary, times text.
The log holds no smallest and largest values, only how many rows a file has.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import duckdb
import pyarrow as pa

from linkage.disk import sync
from linkage.errors import ConfigurationError, IntegrityError
from linkage.store.manifest import File, PublishedTable

FORM = "1"  # how rows are written; another one makes every file again
LOG_DAYS = 30
_CASTS = {"UUID": "BLOB", "TIME": "VARCHAR"}
_COMMENTS = {"UUID": "a token: the 16 bytes of a UUID", "TIME": "a time of day, hh:mm:ss"}


@dataclass(frozen=True, slots=True)
class Lake:
    """A folder of Delta tables.

    Attributes:
        path: The folder.
        days: How long old versions may be read at most.
        memory: DuckDB's memory limit, for example `2GiB`.
    """

    path: Path
    days: int = LOG_DAYS
    memory: str = "2GiB"

    def make(self) -> None:
        """Make the folder, or accept the one that is there.

        Raises:
            ConfigurationError: It holds something else, or the package `deltalake` is not installed.
        """
        package()
        marker = self.path / "linkage-delta"
        if self.path.exists() and not marker.is_file() and (not self.path.is_dir() or any(self.path.iterdir())):
            raise ConfigurationError(
                f"{self.path} exists and holds no Delta tables of a store", hint="name a new folder for store.delta"
            )
        self.path.mkdir(parents=True, exist_ok=True, mode=0o750)
        if not marker.is_file():
            marker.touch(mode=0o640)


def package() -> ModuleType:
    """The package `deltalake`.

    Raises:
        ConfigurationError: It is not installed.
    """
    try:
        import deltalake  # noqa: PLC0415
    except ImportError:
        raise ConfigurationError(
            "store.delta needs the package deltalake", hint="install the extra: pip install 'linkage[delta]'"
        ) from None
    module: ModuleType = deltalake
    return module


def write(
    lake: Lake, snapshot: Path, tables: Sequence[PublishedTable], kept: Sequence[Mapping[str, int]]
) -> dict[str, int]:
    """Bring every Delta table to what a snapshot holds; each in one commit, and none where nothing changed.

    Args:
        lake: Where the tables are; `make` has passed.
        snapshot: The published snapshot's folder, named for its run.
        tables: Its tables and files, as in its manifest.
        kept: The versions of each table that belong to snapshots which stay. Data of other versions are removed.

    Returns:
        The version of each table that holds the snapshot.

    Raises:
        IntegrityError: A table does not hold the rows that it should.
    """
    versions: dict[str, int] = {}
    spill = snapshot.parent.parent / f".staging-{snapshot.name}.delta"
    settings: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": lake.memory,
        "temp_directory": str(spill),
    }
    try:
        with duckdb.connect(config=settings) as connection:
            for table in tables:
                made = _Table(connection, lake, snapshot, table)
                versions[table.name] = made.bring_up_to_date()
                made.forget([each[table.name] for each in kept if table.name in each])
    finally:
        shutil.rmtree(spill, ignore_errors=True)
    for other in lake.path.iterdir():
        if (other / "_delta_log").is_dir() and other.name not in versions:
            shutil.rmtree(other)
    return versions


@dataclass(slots=True)
class _Table:
    """One table on its way to a snapshot."""

    connection: duckdb.DuckDBPyConnection
    lake: Lake
    snapshot: Path
    table: PublishedTable

    @property
    def folder(self) -> Path:
        return self.lake.path / self.table.name

    def bring_up_to_date(self) -> int:
        """Write what changed, and commit it; the version that holds the snapshot."""
        files = {self._stem(file): file for file in self.table.files}
        select, schema = self._columns()
        delta = self._open(schema)
        known = self._known(delta)
        widened = not _alike(delta, schema)
        left = [each for each in known.values() if widened or each["stem"] not in files]
        new = [file for stem, file in files.items() if widened or stem not in known]
        if left or new:
            self._commit(delta, schema, [(file, self._write(select, file)) for file in new], left, widened=widened)
        self._check(delta)
        return int(delta.version())

    def _columns(self) -> tuple[str, pa.Schema]:
        """How a published file's columns are written, and the table's schema with the columns of its folders."""
        if not self.table.files:
            return "", pa.schema([])
        source = f"read_parquet('{_text(self.snapshot / self.table.files[0].path)}', hive_partitioning = false)"
        described = self.connection.sql(f"DESCRIBE SELECT * FROM {source}").fetchall()
        parts = {name: type_ for name, type_, *_ in described}
        select = ", ".join(f'CAST("{name}" AS {_CASTS.get(type_, type_)}) AS "{name}"' for name, type_ in parts.items())
        plain = self.connection.sql(f"SELECT {select} FROM {source} LIMIT 0").to_arrow_table().schema
        fields = [
            field.with_metadata({"comment": _COMMENTS[parts[field.name]]}) if parts[field.name] in _COMMENTS else field
            for field in plain
        ]
        folders = [pa.field(name, pa.string()) for name in _folders(self.table.files[0])]
        return select, pa.schema([*fields, *folders])

    def _open(self, schema: pa.Schema) -> Any:
        """The table as it is; a new one, without rows, where there is none or its folders are of other columns."""
        deltalake = package()
        by = list(_folders(self.table.files[0])) if self.table.files else []
        if deltalake.DeltaTable.is_deltatable(str(self.folder)):
            found = deltalake.DeltaTable(str(self.folder))
            if not self.table.files or found.metadata().partition_columns == by:
                return found
        shutil.rmtree(self.folder, ignore_errors=True)
        kept_for = f"interval {self.lake.days} days"
        return deltalake.DeltaTable.create(
            str(self.folder),
            schema if self.table.files else pa.schema([("token", pa.binary())]),
            partition_by=by,
            name=self.table.name,
            description="made by linkage; tokens are 16-byte binary",
            configuration={
                "delta.logRetentionDuration": kept_for,
                "delta.deletedFileRetentionDuration": kept_for,
                "delta.checkpointInterval": "10",
            },
        )

    def _known(self, delta: Any) -> dict[str, dict[str, Any]]:
        """The data files of the newest version, by what they were made from."""
        found = {}
        for file in pa.table(delta.get_add_actions(flatten=False)).to_pylist():
            place = Path(file["path"])
            stem = (place.parent / place.name.partition("-")[0]).as_posix()
            found[stem] = {**file, "stem": stem}
        return found

    def _stem(self, file: File) -> str:
        return (Path(file.path).relative_to(self.table.name).parent / f"{FORM}{file.sha256}").as_posix()

    def _write(self, select: str, file: File) -> str:
        """Write the data file of one partition, in the order of the published one; its path in the table."""
        path = f"{self._stem(file)}-{self.snapshot.name}.parquet"
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
        source = f"read_parquet('{_text(self.snapshot / file.path)}', hive_partitioning = false)"
        told = self.connection.execute(
            f"COPY (SELECT {select} FROM {source}) TO '{_text(target)}' (FORMAT parquet, COMPRESSION zstd)"
        ).fetchone()
        if told is None or told[0] != file.rows:
            raise IntegrityError(f"{self.table.name}: a file of the Delta table does not hold its rows")
        target.chmod(0o640)
        sync(target)
        return path

    def _commit(
        self,
        delta: Any,
        schema: pa.Schema,
        new: Sequence[tuple[File, str]],
        left: Sequence[Mapping[str, Any]],
        *,
        widened: bool,
    ) -> None:
        """One version: new files come, others go, and with other columns all go."""
        deltalake = package()
        from deltalake.transaction import AddAction, RemoveAction  # noqa: PLC0415

        now = int(datetime.now(UTC).timestamp() * 1000)
        coming = [
            AddAction(
                path=path,
                size=(self.folder / path).stat().st_size,
                partition_values=_folders(file),
                modification_time=now,
                data_change=True,
                stats=json.dumps({"numRecords": file.rows}),
            )
            for file, path in new
        ]
        going = [
            RemoveAction(each["path"], True, now, each["size_bytes"], each.get("partition") or {}) for each in left
        ]
        if widened and any(pa.types.is_timestamp(field.type) for field in schema):
            ntz = deltalake.TableFeatures.TimestampWithoutTimezone
            delta.alter.add_feature(ntz, allow_protocol_versions_increase=True)
        delta.create_write_transaction(
            coming if widened else [*coming, *going],
            "overwrite" if widened else "append",
            schema if new else delta.schema(),
            list(delta.metadata().partition_columns),
            commit_properties=deltalake.CommitProperties(custom_metadata={"linkage.run": self.snapshot.name}),
        )

    def _check(self, delta: Any) -> None:
        delta.update_incremental()
        held = sum(each["num_records"] for each in self._known(delta).values())
        if held != self.table.rows:
            raise IntegrityError(f"{self.table.name}: the Delta table does not hold the snapshot's rows")

    def forget(self, versions: Collection[int]) -> None:
        """Remove the data of all versions but the newest and these, and what a broken attempt left."""
        delta = package().DeltaTable(str(self.folder))
        there = {int(path.stem) for path in (self.folder / "_delta_log").glob("*.json")}
        options = {
            "retention_hours": 0,
            "enforce_retention_duration": False,
            "keep_versions": sorted(there & set(versions)),
            "full": True,
        }
        if delta.vacuum(dry_run=True, **options):
            delta.vacuum(dry_run=False, **options)


def _alike(delta: Any, schema: pa.Schema) -> bool:
    """Whether the table has these columns; one without files says nothing about them."""
    if not schema.names:
        return True
    return bool(delta.schema().to_json() == package().Schema.from_arrow(schema).to_json())


def _folders(file: File) -> dict[str, str]:
    """What a published file's folders say: `feed` and `month`."""
    return dict(_pairs(file))


def _pairs(file: File) -> Iterator[tuple[str, str]]:
    for part in Path(file.path).parent.parts:
        name, equals, value = part.partition("=")
        if equals:
            yield name, value


def _text(value: object) -> str:
    return str(value).replace("'", "''")
