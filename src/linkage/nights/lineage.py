"""Runs as OpenLineage events, for catalogues of data: https://openlineage.io, version 2-0-2 of its object model.

Each purpose of a command gives a START and then a COMPLETE, FAIL or ABORT. Inputs are the extracts, outputs the published tables.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

import pyarrow.parquet as pq

from linkage import config
from linkage.config import Configuration
from linkage.errors import LinkageError
from linkage.nights.events import Lines
from linkage.store.layout import Store
from linkage.store.manifest import PublishedTable, RunManifest

__all__ = ["Lineage"]

SPEC = "https://openlineage.io/spec"
_Json = dict[str, Any]
_Type = Literal["START", "COMPLETE", "FAIL", "ABORT"]


class Lineage:
    """A file of OpenLineage events for some purposes.

    Args:
        path: Where events are appended, one a line.
        purposes: The `linkage.toml` of each.

    Raises:
        ConfigurationError: The file cannot be written.
    """

    def __init__(self, path: Path, purposes: Sequence[Path]) -> None:
        self._file = Lines(path, "lineage")
        self._runs = {purpose: str(uuid4()) for purpose in purposes}
        self._jobs = {purpose: _job(purpose) for purpose in purposes}
        for purpose in purposes:
            self._write("START", purpose)

    def complete(self, purpose: Path, run: str) -> None:
        """One purpose was published, or checked where it has no account: then no dataset is named."""
        configuration = config.load(purpose)
        try:
            path = configuration.at(configuration.private) / "runs" / f"{run}.json"
            account = RunManifest.model_validate_json(path.read_bytes())
        except (OSError, ValueError):
            self._write("COMPLETE", purpose)
            return
        self._write(
            "COMPLETE",
            purpose,
            inputs=list(_inputs(configuration, account)),
            outputs=list(_outputs(configuration, account)),
        )

    def fail(self, purpose: Path, error: LinkageError) -> None:
        """One purpose was refused."""
        self._write("FAIL", purpose, message=f"{type(error).__name__}: {error.message}")

    def abort(self, message: str) -> None:
        """Every purpose that has not ended was stopped, or failed without words of its own."""
        for purpose in list(self._runs):
            self._write("ABORT", purpose, message=message)

    def _write(
        self,
        kind: _Type,
        purpose: Path,
        *,
        inputs: Sequence[_Json] = (),
        outputs: Sequence[_Json] = (),
        message: str | None = None,
    ) -> None:
        if purpose not in self._runs:
            return
        run: _Json = {"runId": self._runs[purpose]}
        if message is not None:
            said = _facet("facets/1-0-0/ErrorMessageRunFacet.json#/$defs/ErrorMessageRunFacet")
            run["facets"] = {"errorMessage": {**said, "message": message, "programmingLanguage": "Python"}}
        event = {
            "eventType": kind,
            "eventTime": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%f}Z",
            "run": run,
            "job": {"namespace": "linkage", "name": self._jobs[purpose]},
            "inputs": list(inputs),
            "outputs": list(outputs),
            "producer": _producer(),
            "schemaURL": f"{SPEC}/2-0-2/OpenLineage.json#/$defs/RunEvent",
        }
        if kind != "START":
            del self._runs[purpose]
        self._file.write(event)
        if not self._runs:
            self._file.close()


def _job(purpose: Path) -> str:
    """The purpose's token domain, which no other has; the file's name where it cannot be read."""
    try:
        return config.load(purpose).keys.domain
    except LinkageError:
        return purpose.name


def _producer() -> str:
    return f"urn:linkage:{version('linkage')}"


def _facet(schema: str) -> _Json:
    return {"_producer": _producer(), "_schemaURL": f"{SPEC}/{schema}"}


def _inputs(configuration: Configuration, account: RunManifest) -> Iterator[_Json]:
    folders = {flow.feed: flow.path for flow in configuration.flows}
    folders |= {Path(flow.feed).stem: flow.path for flow in configuration.flows}
    for each in account.inputs:
        folder = folders.get(each.feed)
        place = configuration.at(folder).resolve().as_posix() if folder is not None else each.feed
        counted = _facet(
            "facets/1-0-2/DataQualityMetricsInputDatasetFacet.json#/$defs/DataQualityMetricsInputDatasetFacet"
        )
        counted |= {"rowCount": each.rows, "bytes": each.bytes, "fileCount": 1, "columnMetrics": {}}
        yield {
            "namespace": "file",
            "name": f"{place}/{each.file}",
            "facets": {"version": _version(each.sha256)},
            "inputFacets": {"dataQualityMetrics": counted},
        }


def _outputs(configuration: Configuration, account: RunManifest) -> Iterator[_Json]:
    store = Store(configuration.at(configuration.store.path).resolve())
    for table in account.snapshot.tables:
        written = _facet(
            "facets/1-0-2/OutputStatisticsOutputDatasetFacet.json#/$defs/OutputStatisticsOutputDatasetFacet"
        )
        written |= {
            "rowCount": table.rows,
            "size": sum(file.bytes for file in table.files),
            "fileCount": len(table.files),
        }
        facets: Mapping[str, _Json] = {
            "version": _version(account.snapshot.run_id),
            "schema": {
                **_facet("facets/1-1-1/SchemaDatasetFacet.json#/$defs/SchemaDatasetFacet"),
                "fields": _fields(store.snapshots / account.snapshot.run_id, table),
            },
        }
        yield {
            "namespace": "file",
            "name": f"{store.path.as_posix()}/{table.name}",
            "facets": facets,
            "outputFacets": {"outputStatistics": written},
        }


def _fields(snapshot: Path, table: PublishedTable) -> list[_Json]:
    if not table.files:
        return []
    schema = pq.read_schema(snapshot / table.files[0].path)
    return [{"name": field.name, "type": str(field.type)} for field in schema]


def _version(value: str) -> _Json:
    said = _facet("facets/1-0-0/DatasetVersionDatasetFacet.json#/$defs/DatasetVersionDatasetFacet")
    return {**said, "datasetVersion": value}
