"""What came of a file that was read some rows at a time, put together: as if it had been read at once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from linkage.bundle import LEVEL

__all__ = ["joined", "of_cells", "piece", "summed"]


def piece(path: Path, place: int) -> Path:
    """Where rows of a file go that are to stand in `path`; the first of them stand there already."""
    return path if place == 0 else path.with_suffix(f".{place}.piece")


def joined(path: Path, pieces: int) -> None:
    """Bring the rows of all pieces into the file of the first, in their order, one after the other."""
    if pieces > 1:
        whole = path.with_suffix(".whole")
        rows = pl.scan_parquet([piece(path, place) for place in range(pieces)])
        rows.sink_parquet(whole, compression="zstd", compression_level=LEVEL)
        whole.replace(path)
    for left in path.parent.glob(f"{path.stem}.*.piece"):
        left.unlink()


def summed(found: Sequence[pl.DataFrame], count: str) -> pl.DataFrame:
    """Rows counted (in the column `count`) by all other columns."""
    if len(found) == 1:
        return found[0]
    by = [name for name in found[0].columns if name != count]
    return pl.concat(found).group_by(by, maintain_order=True).agg(pl.col(count).sum()).select(found[0].columns)


def of_cells(found: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """What `quality.counts` came to: sums, but for the number of the first row with something that cannot be read."""
    if len(found) == 1:
        return found[0]
    first = [name for name in found[0].columns if name.endswith("?first")]
    return pl.concat(found).select(
        pl.col(name).min() if name in first else pl.col(name).sum() for name in found[0].columns
    )
