"""Extract files and their truth, written side by side, a chunk of people at a time."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import polars as pl
import pyarrow.parquet as pq

from linkage.synthetic import marks
from linkage.synthetic.stream import Stream, decide
from linkage.synthetic.tables import GP_SYSTEMS, Delivery, Table
from linkage.synthetic.truth import ROWS_SCHEMA, Fates, make_fates, people_truth, truth_of
from linkage.synthetic.world import World


class Extracts:
    """The open files of one made-up ICS below ``directory``."""

    def __init__(self, directory: Path, world: World, stream: Stream | None = None) -> None:
        self._directory, self._world, self._stream = directory, world, stream
        self._files: dict[str, BinaryIO] = {}
        self._typed: dict[str, pq.ParquetWriter] = {}
        self._written: dict[str, int] = {}
        self._counts: list[pl.DataFrame] = []
        if stream:
            self._arrives = pl.Series(decide(world).arrives)
            return
        self._fates: Fates = make_fates(world.population)
        truth = directory / "truth"
        truth.mkdir(parents=True, exist_ok=True)
        schema = pl.DataFrame(schema=ROWS_SCHEMA).to_arrow().schema
        self._truth = pq.ParquetWriter(truth / "rows.parquet", schema, compression="zstd")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for file in self._files.values():
            file.close()
        for writer in (*self._typed.values(), *([] if self._stream else [self._truth])):
            writer.close()

    @property
    def rows(self) -> int:
        """How many data rows are in the extracts so far."""
        return sum(self._written.values())

    def add(self, table: Table, frame: pl.DataFrame) -> None:
        """Append rows to the table's files, by delivery, with their truth."""
        if self._stream:
            self._add_history(table, frame, self._stream)
            return
        parts = [(delivery, frame.filter(pl.col(marks.LATER) == int(delivery))) for delivery in Delivery]
        truth = truth_of(table, pl.concat([part for _, part in parts]), self._fates)
        at = 0
        for delivery, part in parts:
            if len(part):
                path, before = self._append(table, delivery, part.drop(marks.HIDDEN))
                self._add_truth(table, path, before, truth.slice(at, len(part)))
            at += len(part)

    def _add_history(self, table: Table, frame: pl.DataFrame, stream: Stream) -> None:
        """Rows of a history whose nights follow: nothing of people who come later, and no truth."""
        owner = frame[marks.OWNER]
        frame = frame.filter((owner < 0) | (self._arrives.gather(owner.clip(0)) == 0))
        for delivery in Delivery:
            part = frame.filter(pl.col(marks.LATER) == int(delivery)).drop(marks.HIDDEN)
            piece = int(owner.to_numpy().max(initial=0)) // stream.people_a_file if delivery == Delivery.MAIN else 0
            # A re-submission of social care replaces its period as a whole: it stays in one file.
            path = table.path(delivery, self._world.as_of, self._world.seed, 0 if table.feed == "cld" else piece)
            if not len(part):
                continue
            if stream.typed and table.feed in GP_SYSTEMS and delivery == Delivery.MAIN:
                self._append_typed(path.removesuffix(".csv") + ".parquet", part)
            else:
                self._append_to(path, table, part)

    def add_night(self, table: Table, frame: pl.DataFrame, number: int) -> None:
        """Append rows to the file that a table brings so many days after the history."""
        if len(frame):
            day = self._world.as_of + dt.timedelta(days=number)
            hidden = [name for name in marks.HIDDEN if name in frame.columns]
            self._append_to(table.path_on(day, self._world.seed, 0), table, frame.drop(hidden))

    def _append_typed(self, path: str, frame: pl.DataFrame) -> None:
        rows = frame.to_arrow(compat_level=pl.CompatLevel.oldest())
        if path not in self._typed:
            target = self._directory / path
            target.parent.mkdir(parents=True, exist_ok=True)
            self._typed[path] = pq.ParquetWriter(target, rows.schema, compression="zstd")
        self._typed[path].write_table(rows)
        self._written[path] = self._written.get(path, 0) + len(frame)

    def add_reference(self, table: Table, frame: pl.DataFrame, *deliveries: Delivery) -> None:
        """Write rows that describe no person to the table's files; they have no truth."""
        for delivery in deliveries:
            self._append(table, delivery, frame)

    def finish(self) -> None:
        """Write the people and the summary of the truth, where there is one."""
        if self._stream:
            return
        truth = self._directory / "truth"
        people_truth(self._world).write_parquet(truth / "people.parquet", compression="zstd")
        by = ["feed", "table", "removed"]
        summary = pl.concat(self._counts).group_by(by).agg(pl.col("rows").sum()).sort(by, nulls_last=True)
        summary.write_parquet(truth / "summary.parquet", compression="zstd")

    def _append(self, table: Table, delivery: Delivery, frame: pl.DataFrame) -> tuple[str, int]:
        return self._append_to(table.path(delivery, self._world.as_of, self._world.seed), table, frame)

    def _append_to(self, path: str, table: Table, frame: pl.DataFrame) -> tuple[str, int]:
        first = path not in self._files
        if first:
            target = self._directory / path
            target.parent.mkdir(parents=True, exist_ok=True)
            self._files[path] = target.open("wb")
        text = frame.write_csv(
            include_header=first,
            separator=table.delimiter,
            quote_style="always" if table.quoted else "necessary",
            datetime_format="%Y-%m-%d %H:%M:%S",
            time_format="%H:%M:%S",
            line_terminator=table.line_end,
        )
        self._files[path].write(text.encode(table.encoding))
        before = self._written.get(path, 0)
        self._written[path] = before + len(frame)
        return path, before

    def _add_truth(self, table: Table, path: str, before: int, truth: pl.DataFrame) -> None:
        rows = truth.with_columns(
            feed=pl.lit(table.feed),
            table=pl.lit(table.name),
            file=pl.lit(path),
            row=pl.int_range(before + 1, before + 1 + pl.len(), dtype=pl.Int64),
        ).select(*ROWS_SCHEMA)
        self._truth.write_table(rows.to_arrow())
        self._counts.append(rows.group_by("feed", "table", "removed").agg(pl.len().cast(pl.Int64).alias("rows")))
