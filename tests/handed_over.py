"""What an incremental run hands over, beside what a run hands over that makes everything anew."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from small import NOW

from linkage import pipeline
from linkage.bundle import BundleManifest, Part
from linkage.pipeline import RunReport
from linkage.sources import seen

# Only how rows that are out anyway are split between these may differ.
OUT_ANYWAY = ("late_opt_out", "withdrawn", "superseded")
Rows = list[tuple[Any, ...]]


@contextmanager
def known_at_once() -> Iterator[None]:
    """Files are known again however young they are: tests write them just before a run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(seen, "SETTLED", -(10**18))
        yield


@dataclass
class HandedOver:
    """The bundle that a run left, read whole.

    Attributes:
        rows: By feed, table and extract, the rows of its part in their order, without the number of the file.
        removed: By feed, table and extract, rows by reason, those that are out anyway added up.
        submissions: By feed and table, what came, without the number of the file.
    """

    rows: dict[tuple[str, str, str], Rows] = field(default_factory=dict)
    removed: dict[tuple[str, str, str], dict[str, int]] = field(default_factory=dict)
    submissions: dict[tuple[str, str], Rows] = field(default_factory=dict)

    @classmethod
    def of(cls, private: Path) -> HandedOver:
        """That of the current snapshot's run."""
        (held,) = (private / "held").iterdir()
        made = cls()
        manifest = BundleManifest.model_validate_json((held / "bundle" / "manifest.json").read_bytes())
        for table in manifest.tables:
            assert [part.place for part in table.parts] == sorted({part.place for part in table.parts})
            for part in table.parts:
                key = (table.feed, table.table, part.source)
                made.rows[key] = cls._rows(held / "bundle", part)
                made.removed[key] = _added_up(part.removed)
                assert part.read == part.kept + sum(part.removed.values())
                assert part.kept == len(made.rows[key])
            for part in table.submissions.parts if table.submissions else ():
                made.submissions[table.feed, table.table] = sorted(cls._rows(held / "bundle", part), key=repr)
        return made

    @staticmethod
    def _rows(folder: Path, part: Part) -> Rows:
        return pl.read_parquet(folder / part.path).drop("_file").rows()


def _added_up(removed: dict[str, int]) -> dict[str, int]:
    made = {reason: rows for reason, rows in removed.items() if reason not in OUT_ANYWAY}
    out = sum(removed.get(reason, 0) for reason in OUT_ANYWAY)
    return made | ({"out anyway": out} if out else {})


def quality(private: Path, run_id: str) -> Any:
    """What the exact account says was read and counted."""
    import json

    account = json.loads((private / "runs" / f"{run_id}.json").read_text())
    return {name: account[name] for name in ("inputs", "quality", "files", "registers")}


def both(configuration: Path, private: str = "private") -> tuple[RunReport, RunReport]:
    """Run as the night does and, from the same state, in full; whatever they hand over must be the same.

    Returns:
        What each said. The state that is left is that of the incremental run.
    """
    folder = configuration.parent
    with known_at_once():
        aside = folder.with_name(folder.name + "-full")
        if aside.exists():
            shutil.rmtree(aside)
        shutil.copytree(folder, aside, copy_function=shutil.copy2)
        full = pipeline.run(aside / configuration.name, now=NOW, full=True)
        quick = pipeline.run(configuration, now=NOW)
    expected, found = HandedOver.of(aside / private), HandedOver.of(folder / private)
    assert found.rows == expected.rows
    assert found.removed == expected.removed
    assert found.submissions == expected.submissions
    assert quality(folder / private, quick.run_id) == quality(aside / private, full.run_id)
    assert quick.tables == full.tables
    assert quick.read == full.read
    return quick, full
