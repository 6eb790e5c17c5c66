"""Names and addresses that nobody has, spelled so that a search for one finds nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

_GIVEN_STARTS = (
    "Zelq", "Quov", "Brix", "Wyxh", "Jorzh", "Vashq", "Thryx", "Kelvz", "Dwezm", "Fenqu",
    "Gryzh", "Hulvex", "Ixmor", "Lurqu", "Mavzh", "Nyxol", "Pelzw", "Razhk", "Sylqw", "Tovzh",
)  # fmt: skip
_GIVEN_ENDS = (
    "abry", "edwyn", "ilda", "ombra", "undry", "aveth", "elfyn", "irwen", "othea", "uskin",
    "anwy", "ebrin", "isolf", "ovra", "ustrel",
)  # fmt: skip
_SURNAME_STARTS = (
    "Quarz", "Vexl", "Brozh", "Wrizq", "Jexm", "Zunth", "Klavq", "Drizh", "Fluxw", "Gwezd",
    "Hezqu", "Krovz", "Luzhn", "Moxth", "Nezqu", "Pruvz", "Skezh", "Trovx", "Uzhm", "Yovqu",
    "Chezv", "Blezq", "Plixh", "Shuzv", "Thezx",
)  # fmt: skip
_SURNAME_ENDS = (
    "abble", "ebourn", "ickett", "odwell", "undale", "amoor", "escombe", "ingrave", "oxley", "utterby",
    "antree", "ewistle", "ipstow", "omarsh", "ughill", "aforth", "egrip", "ilthwart", "onstay", "uckham",
)  # fmt: skip
_STREET_STARTS = ("Quenzh", "Wexvol", "Jazmorq", "Vruxal", "Zobbleq", "Kyvern", "Thwizel", "Oxquar")
_STREET_ENDS = ("ith Row", "ander Close", "ew Lane", "ole Gardens", "ish Terrace", "unt Way")

TOWNS = ("Quoxborne", "Vezhampton", "Zwelby Magna", "Jaxmouth", "Wyzzlecombe")
COUNTY = "Quxfordshire"


def _joined(starts: Sequence[str], ends: Sequence[str]) -> tuple[str, ...]:
    return tuple(start + end for start, end in product(starts, ends))


GIVEN_NAMES = _joined(_GIVEN_STARTS, _GIVEN_ENDS)
SURNAMES = _joined(_SURNAME_STARTS, _SURNAME_ENDS)
STREETS = _joined(_STREET_STARTS, _STREET_ENDS)
