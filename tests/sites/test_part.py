"""What a site signs of its lists of submissions, which are of nobody, is looked at as well."""

from __future__ import annotations

import io
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest

from linkage import contract
from linkage.bundle import PLACES, Field, Part, TableParts
from linkage.errors import IntegrityError
from linkage.pseudonymise import Keyset
from linkage.pseudonymise.reverser import KeyHolderKeyset
from linkage.pseudonymise.translator import Translator
from linkage.sites.part import TablePart, rewrite

CLD = contract.load("cld")
FIELDS = (
    Field(name="local_authority", type="VARCHAR", role="organisation"),
    Field(name="reporting_start_date", type="DATE", role="date"),
    Field(name="reporting_end_date", type="DATE", role="date"),
)
DAY = datetime(2026, 11, 20)
ROWS = pl.DataFrame(
    {
        "local_authority": ["201", "201"],
        "reporting_start_date": [date(2026, 4, 1), date(2026, 7, 1)],
        "reporting_end_date": [date(2026, 6, 30), date(2026, 9, 30)],
        "_row": [7, 3],
        "_rows": [2, 5],
        "_delivered": [DAY, DAY],
        "_file": pl.Series([0, 4], dtype=pl.Int32),
    }
)


def _rewritten(folder: Path, rows: pl.DataFrame) -> pl.DataFrame:
    """The list of the hub's second site, translated."""
    opened, target = io.BytesIO(), folder / "made.parquet"
    rows.write_parquet(opened)
    part = Part(
        path="cld/event/submissions.parquet", place=0, source="submissions", source_digest="", read=2, kept=2, removed={},
        delivered=DAY.replace(tzinfo=UTC), digest="",
    )  # fmt: skip
    listing = TableParts(feed="cld", table="event", contract_digest=CLD.digest, fields=FIELDS, parts=(part,))
    whole = listing.model_copy(update={"fields": (), "parts": (), "submissions": listing})
    Keyset.create(folder / "ics.age")
    translator = Translator.open(KeyHolderKeyset.open("age://ics.age", base=folder), "site:rr8", "ics:qxx")
    rewrite(opened.getvalue(), TablePart.of_submissions(whole, CLD.tables["event"], translator), part, PLACES, target)
    return pl.read_parquet(target)


def test_a_list_of_submissions_keeps_to_its_site(tmp_path: Path) -> None:
    """Its files are those of the site, numbered as they are at the hub; and what it says stays as it is."""
    made = _rewritten(tmp_path, ROWS)
    assert made["_file"].to_list() == [PLACES, PLACES + 4]
    assert made["_row"].to_list() == [0, 0]
    assert made.drop("_file", "_row").equals(ROWS.drop("_file", "_row"))


LIES = {
    "a file of the site before": pl.lit(-1, pl.Int32).alias("_file"),
    "a file of the site after": pl.lit(PLACES, pl.Int32).alias("_file"),
    "a file of nobody": pl.lit(None, pl.Int32).alias("_file"),
    "its places as text": pl.col("_file").cast(pl.String),
    "days as text": pl.col("_delivered").cast(pl.String),
}


@pytest.mark.parametrize("lie", LIES.values(), ids=list(LIES))
def test_a_list_that_names_what_is_not_the_sites_is_refused(tmp_path: Path, lie: pl.Expr) -> None:
    """It would replace what another site submitted, or stop the translation of all."""
    with pytest.raises(IntegrityError, match="does not hold what the site says"):
        _rewritten(tmp_path, ROWS.with_columns(lie))
    assert not (tmp_path / "made.parquet").exists()
