"""Small numbers: what may be shown of a count, and of the total of several.

The rule of NHS England's HES and ECDS method: 1 to 7 is not shown, anything else is rounded to the nearest 5, zero
stays. Rounding keeps a withheld count from being found by subtraction, almost always: where the other counts happen to
lie at the edges of their rounding, only one value is left. `total` finds that and withholds the total as well.
"""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["suppress", "total"]

SMALLEST_SHOWN, ROUNDED_TO = 8, 5


def suppress(count: int) -> tuple[int | None, bool]:
    """The count as it may be shown, and whether it is withheld: 1 to 7 is, others are rounded half up to 5."""
    if 0 < count < SMALLEST_SHOWN:
        return None, True
    return (2 * count + ROUNDED_TO) // (2 * ROUNDED_TO) * ROUNDED_TO, False


def bounds(shown: int | None) -> tuple[int, int]:
    """The least and the most that a count can be, by what is shown of it."""
    if shown is None:
        return 1, SMALLEST_SHOWN - 1
    half = ROUNDED_TO // 2
    return (max(shown - half, SMALLEST_SHOWN), shown + half) if shown else (0, 0)


def total(parts: Iterable[int], exactly: int = 0) -> int | None:
    """What may be shown of the sum of counts that are themselves shown by `suppress`.

    Args:
        parts: The exact counts.
        exactly: A further part that the reader knows exactly.

    Returns:
        The sum as `suppress` shows it; None where it would leave but one value for a part that is withheld.
    """
    counts = tuple(parts)
    shown = suppress(sum(counts) + exactly)[0]
    if shown is None:
        return None
    least, most = (bound - exactly for bound in bounds(shown))
    each = [bounds(suppress(count)[0]) for count in counts]
    lows, highs = sum(low for low, _ in each), sum(high for _, high in each)
    for count, (low, high) in zip(counts, each, strict=True):
        if suppress(count)[1] and max(low, least - (highs - high)) >= min(high, most - (lows - low)):
            return None
    return shown
