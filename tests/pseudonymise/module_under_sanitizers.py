"""The compiled module itself, with nothing but the standard library around it: arbitrary columns through every function.

Run by test_kernel_memory.py with a module built with the sanitizers: its path and the number of rounds are given. What comes
in has exactly the bytes it may have, and a call either does its work or raises.
"""

from __future__ import annotations

import importlib.util
import random
import struct
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

REFUSALS = (BufferError, ValueError, TypeError)
WIDTHS = (4, 8, 16, 16, 8)


def random_column(chance: random.Random) -> tuple[object, ...]:
    """Mostly nearly right. What is too short lacks more than the byte with which Python ends its own, and
    is not one that Python keeps only once."""
    layout, rows, offset = chance.randrange(-1, 6), chance.randrange(0, 70), chance.randrange(0, 9)
    data = b"".join(chance.choice([b"9434765919", b"943 476 5919", b"\xff", b"   "]) for _ in range(rows))
    ends = sorted(chance.randrange(0, len(data) + 2) for _ in range(rows + offset + chance.choice([1, 1, 1, 0])))
    if layout in {0, 1}:
        index = struct.pack(f"<{len(ends)}{'iq'[layout]}", *ends)
    elif layout == 2:
        views = ((chance.choice([5, 10, 12, 13, 20, -1]), 0, chance.choice([0, 0, 0, 1, -1]), at) for at in ends)
        index = b"".join(struct.pack("<4i", *view) for view in views)
    else:
        index = chance.randbytes((rows + offset - chance.choice([0, 0, 0, 1]) * (rows > 0)) * WIDTHS[layout % 5])
    bitmap = chance.randbytes((rows + offset + 7) // 8)
    validity = chance.choice([None, bitmap, bitmap, bitmap[:2]])
    return layout, validity, index, (data,) * chance.choice([1, 1, 1, 0, 2]), offset, rows


def every_function(native: Any, chance: random.Random) -> list[Callable[[], object]]:
    """One call of each, on one column and on room that is now and then too small."""
    keys, other = (native.keys(*(chance.randbytes(32) for _ in range(3))) for _ in range(2))
    column, path = random_column(chance), chance.choice([0, 0, len(native.paths()) - 1, 7])
    rows = column[-1] - chance.choice([0, 0, 0, 1])  # type: ignore[operator]
    tokens, reasons, numbers = bytearray(max(16 * rows, 0)), bytearray(max(rows, 0)), bytearray(max(8 * rows, 0))
    prefix = chance.randbytes(chance.randrange(0, 80))
    return [
        lambda: native.tokenise(keys, column, chance.randrange(8), tokens, reasons, path),
        lambda: native.reverse(keys, column, numbers, path),
        lambda: native.translate(keys, other, column, tokens, reasons, path),
        lambda: native.record(keys, prefix, column, chance.random() < 0.3, tokens, reasons, path),
        lambda: native.keys(prefix, prefix, prefix),
        lambda: native.tokenise(prefix, column, 0, tokens, reasons, path),
        lambda: native.tokenise(keys, column[1:], 0, tokens, reasons, path),
        lambda: native.tokenise(keys, (*column[:3], (prefix, 5), 0, 1), 0, tokens, reasons, path),
        lambda: native.record(keys, prefix, column, False, bytes(tokens), reasons, path),
    ]


def main(module: str, rounds: int) -> None:
    """Say how many calls ended how."""
    spec = importlib.util.spec_from_file_location("_kernel", module)
    assert spec is not None
    assert spec.loader is not None
    native = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(native)
    chance, ended = random.Random(1), Counter[str]()
    for _ in range(rounds):
        for call in every_function(native, chance):
            try:
                call()
                ended["done"] += 1
            except REFUSALS as error:
                ended[type(error).__name__] += 1
    sys.stdout.write(f"{dict(ended)}\n")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
