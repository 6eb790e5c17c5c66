"""Postcodes to areas: the directory's columns, ranks to deciles, and what leaves of a postcode, against a plain referee."""

from __future__ import annotations

import math
import re
from datetime import date
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkage.contract import parse
from linkage.errors import ConfigurationError
from linkage.pseudonymise import Pseudonymiser
from linkage.pseudonymise.areas import read_areas
from linkage.pseudonymise.minimise import Minimiser, outputs, with_areas

FEED = parse(
    """
    name = "t"
    setting = "acute"
    [tables.t]
    files = "t_*.csv"
    primary_key = "key"
    [tables.t.columns]
    key = { source = "Key", role = "record", namespace = "t.key" }
    postcode = { source = "Postcode", role = "postcode" }
    birth_date = { source = "Born", role = "birth_date" }
    death_date = { source = "Died", role = "death_date" }
    sex = { source = "Sex", role = "category", codes = ["1", "2", "9"] }
    gender_identity = { source = "Gender identity", role = "category", codes = ["1", "2", "3", "4", "X", "Z"] }
    """,
    "t.toml",
)
TABLE = FEED.tables["t"]
PSEUDONYMISER = Pseudonymiser.from_root(bytes(range(32)), "ics:demo")


def _write(folder: Path, *lines: str) -> Path:
    path = folder / "ONSPD.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_directory_as_it_is_published(tmp_path: Path) -> None:
    """Ranks of England become deciles; those of other nations, and no rank, give none; terminated postcodes stay."""
    path = _write(
        tmp_path,
        '"pcd","pcds","doterm","lsoa11","lsoa21","imd"',
        '"QX1 1AA","QX1 1AA","","E01000001","E01030001",1',
        '"QX1 1AB","qx1 1ab","200506","E01000002","E01030002",32844',
        '"QX1 1AC","QX1 1AC","","E01000003","E01030003",3284',
        '"QX1 1AD","QX1 1AD","","E01000004","E01030004",3285',
        '"CF1 1AA","CF1 1AA","","W01000001","W01000009",1909',
        '"IM1 1AA","IM1 1AA","","M99999999","M99999999",',
        '"QX1 1AA","QX1 1AA","","E01999999","E01999999",9',
    )
    assert read_areas(path).rows() == [
        ("QX11AA", "E01000001", "E01030001", 1),
        ("QX11AB", "E01000002", "E01030002", 10),
        ("QX11AC", "E01000003", "E01030003", 1),
        ("QX11AD", "E01000004", "E01030004", 2),
        ("CF11AA", "W01000001", "W01000009", None),
        ("IM11AA", "M99999999", "M99999999", None),
    ]


@pytest.mark.parametrize(
    ("header", "row", "expected"),
    [
        ("pcds,lsoa21,imd", "QX1 1AA,E1,7", {"lsoa_2021": "E1", "imd_decile": 7}),
        ("PCDS,LSOA21CD,LSOA11CD,IMD", "QX1 1AA,E1,E2,10", {"lsoa_2011": "E2", "lsoa_2021": "E1", "imd_decile": 10}),
        ("pcds,lsoa21,imd_decile,imd", "QX1 1AA,E1,4,31000", {"lsoa_2021": "E1", "imd_decile": 4}),
        ("pcds,lsoa21,imd", "QX1 1AA,E1,0", {"lsoa_2021": "E1", "imd_decile": None}),
        ("pcds,lsoa21,imd", "QX1 1AA,,x", {"lsoa_2021": None, "imd_decile": None}),
        ("pcds,lsoa21,imd", "QX1 1AA,E1,33755", {"lsoa_2021": "E1", "imd_decile": 10}),
    ],
)
def test_other_columns_and_deciles(tmp_path: Path, header: str, row: str, expected: dict[str, object]) -> None:
    """Newer names, deciles instead of ranks, and what is no value."""
    assert read_areas(_write(tmp_path, header, row)).row(0, named=True) == {"_postcode": "QX11AA", **expected}


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["pcds,lsoa11,imd", "QX1 1AA,E1,1"], "without a needed column"),
        (["pcds,lsoa21", "QX1 1AA,E1"], "without a needed column"),
        (["pcds,lsoa21,imd", "QX1 1AA,E1,20000"], "is not known"),
        ([""], "cannot be read"),
    ],
)
def test_a_lookup_that_does_not_say_enough_is_refused(tmp_path: Path, lines: list[str], said: str) -> None:
    """Rather than giving a decile that may be wrong."""
    with pytest.raises(ConfigurationError, match=said) as refused:
        read_areas(_write(tmp_path, *lines))
    assert refused.value.hint
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_areas(tmp_path / "none.csv")


def test_a_part_of_a_directory_is_told_how_many_were_ranked(tmp_path: Path) -> None:
    """A rank above them is a contradiction."""
    path = _write(tmp_path, "pcds,lsoa21,imd", "QX1 1AA,E1,20000", "QX1 1AB,E2,5")
    assert read_areas(path, 32_844)["imd_decile"].to_list() == [7, 1]
    with pytest.raises(ConfigurationError, match="is not known"):
        read_areas(path, 10_000)


@given(st.integers(1, 33_755), st.sampled_from([32_844, 33_755]))
def test_a_decile_is_a_tenth_of_the_areas(tmp_path_factory: pytest.TempPathFactory, rank: int, ranked: int) -> None:
    """Rounded up, so that the first tenth is 1 and the last area 10."""
    path = _write(tmp_path_factory.mktemp("areas"), "pcds,lsoa21,imd", f"QX1 1AA,E1,{min(rank, ranked)}")
    assert read_areas(path, ranked)["imd_decile"].item() == math.ceil(min(rank, ranked) / ranked * 10)


POSTCODES = st.none() | st.sampled_from(
    ["QX1 1AA", "qx11aa", " QX1  1AB ", "ZZ99 3VZ", "QX1", "", "EC1A 1BB", "nonsense"]
)
AREAS = pl.DataFrame({
    "_postcode": ["QX11AA", "QX11AB"], "lsoa_2011": ["E1", "E2"], "lsoa_2021": ["E3", None],
    "imd_decile": pl.Series([4, None], dtype=pl.Int8),
})  # fmt: skip


def _made(postcodes: list[str | None], areas: pl.DataFrame | None) -> pl.DataFrame:
    minimiser = Minimiser("year", areas)
    rows = pl.LazyFrame({"postcode": postcodes}, schema={"postcode": pl.String})
    made = [each for each in outputs(FEED, TABLE, minimiser, PSEUDONYMISER) if each.field.role == "postcode"]
    return with_areas(rows, TABLE, minimiser).select(each.value.alias(each.field.name) for each in made).collect()


@given(st.lists(POSTCODES, max_size=8))
def test_a_postcode_becomes_its_areas_or_its_district(postcodes: list[str | None]) -> None:
    """Never itself; an unknown one gives nothing, and the rows stay in order."""
    known = {"QX11AA": ("E1", "E3", 4), "QX11AB": ("E2", None, None)}
    whole = [None if each is None else each.replace(" ", "").upper() for each in postcodes]
    made = _made(postcodes, AREAS)
    assert made.columns == ["lsoa_2011", "lsoa_2021", "imd_decile"]
    assert made.rows() == [known.get(each or "", (None, None, None)) for each in whole]
    assert _made(postcodes, AREAS.drop("lsoa_2011")).columns == ["lsoa_2021", "imd_decile"]
    shape = re.compile(r"[A-Z]{1,2}[0-9][A-Z0-9]?[0-9][A-Z]{2}")
    districts = [each[:-3] if each and shape.fullmatch(each) else None for each in whole]
    assert _made(postcodes, None).rows() == [(each,) for each in districts]


@pytest.mark.parametrize("birth", ["year", "month"])
def test_dates_of_birth_and_death_never_leave_whole(birth: str) -> None:
    """And sex and gender identity are two columns, each with its own code, unknown staying unknown."""
    minimiser = Minimiser(birth, None)  # type: ignore[arg-type]
    made = outputs(FEED, TABLE, minimiser, PSEUDONYMISER)
    names = [each.field.name for each in made]
    assert names == [
        "token", "key", "postcode_district", "birth_year", *(["birth_month"] if birth == "month" else []), "death_month",
        "sex", "gender_identity",
    ]  # fmt: skip
    rows = pl.DataFrame(
        {
            "birth_date": [date(1950, 5, 17), None],
            "death_date": [date(2026, 2, 28), None],
            "sex": ["1", None],
            "gender_identity": ["3", None],
        }
    )
    told = rows.select(each.value.alias(each.field.name) for each in made if each.field.name in names[3:])
    first = told.row(0, named=True)
    assert first["birth_year"] == 1950
    assert str(first["death_month"]) == "2026-02-01"
    assert (first["sex"], first["gender_identity"]) == ("1", "3")
    assert set(told.row(1)) == {None}
    assert not any("1950-05-17" in str(value) or "2026-02-28" in str(value) for row in told.rows() for value in row)
