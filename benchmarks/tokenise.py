"""Tokenise distinct NHS numbers from text: ours against what others would use, and against the processor's limit.

    python benchmarks/tokenise.py --rows 5000000 --rounds 5 --crate .venv-crate/bin/python

Ours validates, gives reasons and can be reversed by the key holder. The rivals that hash neither validate nor reverse. A
rival that is not installed is left out and named. Slow ones get fewer rows; all figures are per row.
"""

from __future__ import annotations

import argparse
import hashlib
import hmac
import subprocess
from pathlib import Path

import duckdb
import polars as pl
from numbers_made_up import test_range_numbers
from side_by_side import Contender, measure, report

from linkage import Pseudonymiser
from linkage.pseudonymise import kernel, token
from linkage.pseudonymise.plain import PlainKernel

ROOT = bytes(range(32))
KEYS = token.derive(ROOT, "bench:tokenise")
SLOW_ROWS = 200_000
COMPRESSIONS = 4  # of SHA-256 a token: two HMACs of two blocks, with the key taken in before


def main() -> None:
    """Measure all contenders that are here."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--crate", type=Path, help="a Python with cardinal-pythonlib, for CRATE's hasher")
    parser.add_argument("--json", type=Path, help="a folder for the figures")
    options = parser.parse_args()
    texts = test_range_numbers(options.rows, options.seed)
    contenders = [*_ours(texts), *_limit(options.rows), *_hashes(texts), *_packages(texts)]
    if options.crate:
        contenders.append(Contender("CRATE hasher (HMAC-SHA-256)", SLOW_ROWS, lambda: _crate(options.crate)))
    packages = ["linkage", "polars", "duckdb", "polars-hash", "tink", "nhs-number"]
    measured = measure(contenders, options.rounds)
    title = f"tokenise {options.rows:,} distinct NHS numbers from text (kernel: {kernel.NAME})"
    report(title, measured, packages, options.json)
    by_name = {each.name: each for each in measured}
    if "limit: the bare compressions, one core" in by_name:
        share = by_name["ours, one core"].rate / by_name["limit: the bare compressions, one core"].rate
        print(f"share of the limit, one core: {share:.1%}")


def _ours(texts: pl.Series) -> list[Contender]:
    pseudonymiser = Pseudonymiser.from_root(ROOT, "bench:tokenise")
    rows = len(texts)
    made = []
    if kernel.native:
        column = texts.to_arrow(compat_level=pl.CompatLevel.newest())
        one, all_ = kernel.CompiledKernel(KEYS, threads=1), kernel.CompiledKernel(KEYS)
        made.append(Contender("ours, one core", rows, lambda: _checked(one.tokenise(column, allow_test=True))))
        made.append(Contender("ours, all cores", rows, lambda: _checked(all_.tokenise(column, allow_test=True))))
    made.append(Contender("ours, Polars in and out, all cores", rows, lambda: _told(pseudonymiser.tokenise(texts))))
    plain = PlainKernel(KEYS)
    short = texts.head(SLOW_ROWS * 4).to_arrow()
    made.append(
        Contender("ours without the kernel", len(short), lambda: _checked(plain.tokenise(short, allow_test=True)))
    )
    return made


def _checked(result: tuple[object, object]) -> None:
    if result[1].any():  # type: ignore[attr-defined]
        raise ValueError("a number was refused")


def _told(result: tuple[pl.Series, pl.Series]) -> None:
    if result[0].null_count():
        raise ValueError("a number was refused")


def _nothing(_: object) -> None:
    """The work is done; what it made is not looked at."""


def _limit(rows: int) -> list[Contender]:
    if not kernel.native:
        return []
    return [
        Contender(
            "limit: the bare compressions, one core",
            rows,
            lambda: _nothing(kernel.native.compressions(COMPRESSIONS * rows, 0)),
        )
    ]


def _hashes(texts: pl.Series) -> list[Contender]:
    few = texts.head(SLOW_ROWS * 2).to_list()

    def digest() -> None:
        made = [hmac.digest(ROOT, each.encode(), "sha256") for each in few]
        _nothing(made)

    inner = hashlib.sha256(bytes(each ^ 0x36 for each in ROOT.ljust(64, b"\0")))
    outer = hashlib.sha256(bytes(each ^ 0x5C for each in ROOT.ljust(64, b"\0")))

    def cached() -> None:
        made = []
        for each in few:
            one = inner.copy()
            one.update(each.encode())
            two = outer.copy()
            two.update(one.digest())
            made.append(two.digest())
        _nothing(made)

    connection = duckdb.connect(config={"threads": 1})
    connection.register("people", texts.to_frame().to_arrow())
    connection.execute("CREATE TABLE numbers AS SELECT nhs_number FROM people")

    def database() -> None:
        connection.execute("CREATE OR REPLACE TABLE hashed AS SELECT sha256(nhs_number || 'salt') AS hash FROM numbers")

    return [
        Contender("hmac.digest in a loop", len(few), digest),
        Contender("hashlib states kept, in a loop", len(few), cached),
        Contender("DuckDB sha256(nhs || salt), one core", len(texts), database),
    ]


def _packages(texts: pl.Series) -> list[Contender]:
    made = []
    few = texts.head(SLOW_ROWS).to_list()
    try:
        import polars_hash

        expression = polars_hash.col("nhs_number").chash.hmac_sha256(key=ROOT.hex())
        frame = texts.to_frame()
        made.append(Contender("polars-hash hmac_sha256", len(texts), lambda: _nothing(frame.select(expression))))
    except ImportError:
        print("polars-hash is not installed")
    try:
        import tink
        from tink import daead

        daead.register()
        handle = tink.new_keyset_handle(daead.deterministic_aead_key_templates.AES256_SIV)
        siv = handle.primitive(daead.DeterministicAead)

        def encrypt() -> None:
            for each in few:
                siv.encrypt_deterministically(each.encode(), b"")

        made.append(Contender("Tink AES-SIV in a loop", len(few), encrypt))
    except ImportError:
        print("tink is not installed")
    try:
        import nhs_number

        def valid() -> None:
            _nothing([nhs_number.is_valid(each) for each in few[:50_000]])

        made.append(Contender("nhs-number is_valid alone, in a loop", 50_000, valid))
    except ImportError:
        print("nhs-number is not installed")
    return made


_CRATE = """
import sys, time
from cardinal_pythonlib.hash import HashMethods, make_hasher
rows = int(sys.argv[1])
hasher = make_hasher(HashMethods.HMAC_SHA256, "key")
numbers = [9000000000 + each for each in range(rows)]
started = time.perf_counter()
for each in numbers:
    hasher.hash(each)
print(time.perf_counter() - started)
"""


def _crate(python: Path) -> float:
    done = subprocess.run([str(python), "-c", _CRATE, str(SLOW_ROWS)], check=True, capture_output=True, text=True)
    return float(done.stdout)


if __name__ == "__main__":
    main()
