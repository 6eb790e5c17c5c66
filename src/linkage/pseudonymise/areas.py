"""The postcode lookup: which small area a postcode lies in, and how deprived that is.

The file is the user's, in the columns of the ONS Postcode Directory. There `imd` is not a decile but the area's rank in
its own nation: among 32,844 areas of 2011 in the English indices of deprivation of 2019, among 33,755 areas of 2021 in those
of 2025 (Ministry of Housing, Communities and Local Government). The decile of an English area is made of its rank; ranks of
the other nations cannot be compared with them and give none.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

from linkage.errors import ConfigurationError

# Names in the directory, those of its newer editions after.
NAMES = {
    "_postcode": ("pcds",),
    "lsoa_2011": ("lsoa11", "lsoa11cd"),
    "lsoa_2021": ("lsoa21", "lsoa21cd"),
    "_rank": ("imd",),
    "imd_decile": ("imd_decile",),
}
RANKED = (32_844, 33_755)
HINT = (
    "it needs the columns pcds, lsoa21 and imd, as in the ONS Postcode Directory; lsoa11 and imd_decile are taken too"
)


def read_areas(path: Path, ranked: int | None = None) -> pl.DataFrame:
    """Read a postcode lookup.

    Args:
        path: A CSV file with `pcds`, `lsoa21` and `imd` or `imd_decile`, perhaps `lsoa11`, and any others. Where no value of
            `imd` is above 10 they are deciles, else ranks.
        ranked: How many English areas were ranked; told by the highest rank of a whole directory when not given.

    Returns:
        A frame of `_postcode` (no spaces, upper case), perhaps `lsoa_2011`, `lsoa_2021` (String) and `imd_decile` (Int8, 1
        the most deprived), each postcode once.

    Raises:
        ConfigurationError: The file is missing, lacks a column, or does not say how many areas were ranked.
    """
    try:
        header = pl.read_csv(path, n_rows=0, infer_schema=False).columns
        known = {name.strip().lower(): name for name in header}
        found = {ours: known[each] for ours, names in NAMES.items() for each in names if each in known}
        frame = pl.read_csv(path, columns=list(found.values()), infer_schema=False)
    except (OSError, pl.exceptions.PolarsError):
        raise ConfigurationError(f"{path.name}: cannot be read as a postcode lookup", hint=HINT) from None
    if not {"_postcode", "lsoa_2021"} <= set(found) or not {"_rank", "imd_decile"} & set(found):
        raise ConfigurationError(f"{path.name}: a postcode lookup without a needed column", hint=HINT)
    frame = frame.select(pl.col(theirs).str.strip_chars().alias(ours) for ours, theirs in found.items())
    areas = [name for name in ("lsoa_2011", "lsoa_2021") if name in found]
    return frame.select(
        compact("_postcode"),
        *(pl.when(pl.col(name) != "").then(name).alias(name) for name in areas),
        _decile(frame, path, ranked).cast(pl.Int8).alias("imd_decile"),
    ).unique("_postcode", keep="first", maintain_order=True)


def compact(name: str) -> pl.Expr:
    """A postcode without spaces, in capitals."""
    return pl.col(name).str.replace_all(" ", "", literal=True).str.to_uppercase()


def _decile(frame: pl.DataFrame, path: Path, ranked: int | None) -> pl.Expr:
    if "imd_decile" in frame.columns:
        return _within("imd_decile", 10)
    highest = frame.select(pl.col("_rank").cast(pl.Int64, strict=False).max()).item() or 0
    if highest <= 10 and ranked is None:
        return _within("_rank", 10)
    english = pl.col("lsoa_2021").str.starts_with("E")
    highest = frame.select(pl.col("_rank").cast(pl.Int64, strict=False).filter(english).max()).item() or 0
    areas = ranked or (highest if highest in RANKED else None)
    if areas is None or highest > areas:
        raise ConfigurationError(
            f"{path.name}: among how many areas its imd is ranked is not known",
            hint="say imd_areas = 32844 (indices of 2019) or 33755 (of 2025) under [minimise]",
        )
    return pl.when(english).then((_within("_rank", areas) * 10 + areas - 1) // areas)


def _within(name: str, highest: int) -> pl.Expr:
    """The number (Int64) where it is one from 1 to the highest, else null."""
    number = pl.col(name).cast(pl.Int64, strict=False)
    return pl.when(number.is_between(1, highest)).then(number)
