"""How long rewriting a store's files from one key version to another takes, beside rewriting them as they are.

    python benchmarks/rekey.py --people 80000 --events 2000000 --files 120

Made up: one table of events, tokens of people and of records, a time, a code and a number, sorted by person within each file.
The floor writes the same files again with the same writer, the same threads and no change. Verifying, publishing and the
database of views come on top in `linkage keys rekey`; they do not depend on the key.
"""

from __future__ import annotations

import argparse
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
from numbers_made_up import test_range_numbers

from linkage.pseudonymise import kernel
from linkage.pseudonymise.token import Subkeys, derive
from linkage.pseudonymise.tokeniser import Pseudonymiser
from linkage.pseudonymise.translator import Translator
from linkage.store.rewrite import rewrite_all

DOMAIN = "ics:bench"
ABOUT = {"linkage.domain": DOMAIN, "linkage.key_id": "0" * 16, "linkage.format": "linkage-snapshot/1"}


def make(folder: Path, subkeys: Subkeys, people: int, events: int, files: int) -> list[Path]:
    """The files of a table."""
    random = np.random.default_rng(1)
    maker = Pseudonymiser._from_subkeys(subkeys, "0" * 16)
    tokens = maker.tokenise(test_range_numbers(people, 1))[0]
    connection, made = duckdb.connect(), []
    for place in range(files):
        rows = events // files
        who = random.integers(0, len(tokens), rows)
        record = maker.record_tokens(pl.Series([f"{place}/{row}" for row in range(rows)]), "bench.event")
        columns = {
            "token": tokens.gather(who),
            "record": record,
            "start": random.integers(1_500_000_000, 1_750_000_000, rows) * 1_000_000,
            "code": random.integers(0, 5_000, rows),
            "amount": random.integers(0, 100_000, rows) / 100,
        }
        typed = (pl.col("start").cast(pl.Datetime("us")), pl.format("C{}", pl.col("code")).alias("code"))
        table = pl.DataFrame(columns).with_columns(typed).sort("token")
        arrow = table.to_arrow()
        for column in ("token", "record"):
            uuid = pa.ExtensionArray.from_storage(pa.uuid(), table[column].to_arrow().cast(pa.binary(16)))
            arrow = arrow.set_column(arrow.schema.get_field_index(column), column, uuid)
        connection.register("made", arrow)
        made.append(folder / f"part-{place:05d}.parquet")
        connection.execute(f"COPY (FROM made) TO '{made[-1]}' (FORMAT parquet, COMPRESSION zstd)")
    return made


@contextmanager
def timed(what: str, rows: int, seconds: dict[str, float]) -> Iterator[None]:
    """Print how long it took."""
    start = time.perf_counter()
    yield
    seconds[what] = time.perf_counter() - start
    print(f"{what:<10} {seconds[what]:8.2f} s  {rows / seconds[what]:>12,.0f} rows/s")


def copy_all(connection: duckdb.DuckDBPyConnection, pairs: list[tuple[Path, Path]]) -> None:
    """The floor: the same files again, with the same writer."""

    def one(pair: tuple[Path, Path]) -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                f"COPY (SELECT * FROM read_parquet('{pair[0]}')) TO '{pair[1]}' (FORMAT parquet, COMPRESSION zstd)"
            )

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(one, pairs))


def main() -> None:
    """Make, rewrite as it is, rewrite with other tokens."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, value in (("people", 80_000), ("events", 2_000_000), ("files", 120)):
        parser.add_argument(f"--{name}", type=int, default=value)
    asked = parser.parse_args()
    folder, seconds = Path(tempfile.mkdtemp(dir=Path.cwd())), dict[str, float]()
    try:
        for name in ("old", "floor", "new"):
            (folder / name).mkdir()
        old, new = (derive(secrets.token_bytes(32), DOMAIN) for _ in range(2))
        files = make(folder / "old", old, asked.people, asked.events, asked.files)
        print(f"kernel {kernel.NAME}; {asked.events:,} events of {asked.people:,} people in {asked.files} files")
        connection = duckdb.connect(config={"memory_limit": "2GiB"})
        way = Translator._from_subkeys([old], new)

        def translate(name: str, tokens: pl.Series) -> pl.Series:
            return (way.person(tokens) if name == "token" else way.record(tokens))[0]

        with timed("floor", asked.events, seconds):
            copy_all(connection, [(path, folder / "floor" / path.name) for path in files])
        with timed("rekey", asked.events, seconds):
            for _ in rewrite_all(connection, [(p, folder / "new" / p.name) for p in files], translate, ABOUT):
                pass
        print(f"rekey takes {seconds['rekey'] / seconds['floor']:.2f} times the floor")
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
