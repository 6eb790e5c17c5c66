"""NHS numbers: check digits, the test range, and the numbers that pass the check but are no person's."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from linkage.synthetic.draws import Draws, Flags, Ints

SCOTTISH = 101011113  # 0101011113, the published example of a CHI number
NORTHERN_IRISH = 3462950622  # the published example of a Health and Care number

REPEATED = np.array([digit * 1_111_111_111 for digit in range(10)], dtype=np.int64)
PALINDROMES = np.array([digit * 1_000_000_001 for digit in range(1, 10)], dtype=np.int64)
BLOCKED: npt.NDArray[np.int64] = np.concatenate([REPEATED, PALINDROMES])

_FIRST_PREFIX = 900_000_000
_PREFIXES = 100_000_000
_STRIDE = 38_196_601  # has no factor in common with the number of prefixes, so no prefix comes twice


def check_digits(prefixes: Ints) -> Ints:
    """The modulus-11 check digit of nine-digit prefixes; 10 where the prefix has none."""
    total = np.zeros(len(prefixes), dtype=np.int64)
    rest = prefixes.copy()
    for weight in range(2, 11):
        total += (rest % 10) * weight
        rest //= 10
    digits = 11 - total % 11
    return np.where(digits == 11, 0, digits)


def is_valid(numbers: Ints) -> Flags:
    """Whether each number has the right check digit and is not blocked."""
    right = check_digits(numbers // 10) == numbers % 10
    return np.asarray(right & ~np.isin(numbers, BLOCKED), dtype=np.bool_)


def unused_numbers(draws: Draws, count: int) -> Ints:
    """``count`` distinct valid numbers of the test range 900 000 0000 to 999 999 9999, in no order."""
    tried = int(count * 1.2) + 100  # one prefix in eleven has no check digit
    if tried > _PREFIXES:
        raise ValueError("the test range of NHS numbers has not so many numbers")
    start = int(draws.whole(1, 0, _PREFIXES - 1)[0])
    prefixes = _FIRST_PREFIX + (start + np.arange(tried, dtype=np.int64) * _STRIDE) % _PREFIXES
    numbers = prefixes * 10 + check_digits(prefixes)
    usable = numbers[(check_digits(prefixes) < 10) & ~np.isin(numbers, BLOCKED)]
    return usable[:count][draws.shuffled(count)]
