"""Counts and shares as a person reads them; a withheld count is said to be one."""

from __future__ import annotations

from collections.abc import Iterable

from linkage.report.markup import Html, tag

__all__ = ["WITHHELD", "added", "count", "percent", "share", "width"]

WITHHELD = tag("span", "withheld", class_="withheld")


def count(value: float | None) -> Html:
    """A count with separators, or that it is withheld."""
    return WITHHELD if value is None else Html(f"{round(value):,}")


def added(counts: Iterable[int | None]) -> int:
    """The sum of what is shown: a withheld count adds nothing."""
    return sum(each for each in counts if each)


def share(part: int | None, whole: int | None) -> float | None:
    """A part of a whole, at most 1, since rounding can make a part larger; None where either is withheld, or the whole is 0."""
    return min(part / whole, 1.0) if part is not None and whole else None


def percent(value: float | None) -> Html:
    """A share with one decimal, never rounded to none or to all of it."""
    if value is None:
        return WITHHELD
    if 0 < value < 0.0005:
        return Html("&lt;0.1%")
    if 0.9995 <= value < 1:
        return Html("&gt;99.9%")
    return Html(f"{value:.1%}")


def width(value: float) -> str:
    """A length for SVG, as a share of what it is drawn in."""
    return f"{min(max(value, 0.0), 1.0) * 100:.2f}".rstrip("0").rstrip(".") + "%"
