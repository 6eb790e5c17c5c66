"""Reverse and translate tokens, as a key holder does: ours against the plain referee and the processor's limit.

python benchmarks/reverse.py --rows 5000000 --rounds 5
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import polars as pl
from numbers_made_up import test_range_numbers
from side_by_side import Contender, measure, report

from linkage import Pseudonymiser
from linkage.pseudonymise import kernel, token
from linkage.pseudonymise.reverser import Reverser
from linkage.pseudonymise.translator import Translator

ROOT = bytes(range(32))
SOURCE, TARGET = token.derive(ROOT, "bench:source"), token.derive(ROOT, "bench:target")
SLOW_ROWS = 100_000
COMPRESSIONS = 4  # a token back; another four for the target's


def main() -> None:
    """Measure all contenders that are here."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="a folder for the figures")
    options = parser.parse_args()
    texts = test_range_numbers(options.rows, options.seed)
    tokens = Pseudonymiser.from_root(ROOT, "bench:source").tokenise(texts)[0]
    reverser, translator = Reverser._from_subkeys([SOURCE]), Translator._from_subkeys([SOURCE], TARGET)
    few = tokens.head(SLOW_ROWS).to_list()
    contenders = [
        Contender("ours: reverse to text, all cores", len(tokens), lambda: _whole(reverser.reverse(tokens)[0])),
        Contender("ours: translate, all cores", len(tokens), lambda: _whole(translator.person(tokens)[0])),
        *_one_core(tokens),
        Contender("the plain referee: reverse", len(few), lambda: _each(few)),
    ]
    title = f"reverse and translate {options.rows:,} tokens (kernel: {kernel.NAME})"
    report(title, measure(contenders, options.rounds), ["linkage", "polars", "pyarrow"], options.json)


def _one_core(tokens: pl.Series) -> list[Contender]:
    native = kernel.native
    if not native:
        return []
    column = kernel.arrow_column(tokens.to_arrow(compat_level=pl.CompatLevel.newest()), 0, len(tokens))
    keys, target = kernel.open_keys(SOURCE), kernel.open_keys(TARGET)
    numbers = np.empty(len(tokens), dtype=np.int64)
    made, refused = np.empty(16 * len(tokens), dtype=np.uint8), np.empty(len(tokens), dtype=np.uint8)
    rows = len(tokens)

    def limit(times: int) -> None:
        native.compressions(times * COMPRESSIONS * rows, 0)

    return [
        Contender("ours: reverse to integers, one core", rows, lambda: native.reverse(keys, column, numbers, 0)),
        Contender("ours: translate, one core", rows, lambda: native.translate(keys, target, column, made, refused, 0)),
        Contender("limit of reversing, one core", rows, lambda: limit(1)),
        Contender("limit of translating, one core", rows, lambda: limit(2)),
    ]


def _whole(column: pl.Series) -> None:
    if column.null_count():
        raise ValueError("a token was refused")


def _each(tokens: list[bytes]) -> None:
    for each in tokens:
        token.reverse_person(SOURCE, each)


if __name__ == "__main__":
    main()
