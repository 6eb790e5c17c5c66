"""What a correct run must do with every row: worked out from the marks, never from the extract."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from linkage.synthetic import marks
from linkage.synthetic.draws import Flags, Ints
from linkage.synthetic.marks import REASONS, code
from linkage.synthetic.names import GIVEN_NAMES, SURNAMES
from linkage.synthetic.people import ETHNICITIES, NEVER, SEXES, Population
from linkage.synthetic.roles import PatientRow
from linkage.synthetic.tables import Table
from linkage.synthetic.world import World

ROWS_SCHEMA = {
    "feed": pl.String,
    "table": pl.String,
    "file": pl.String,
    "row": pl.Int64,
    "record": pl.String,
    "person": pl.Int64,
    "number": pl.Int64,
    "removed": pl.String,
    "mother": pl.Int64,
}


@dataclass(frozen=True)
class Fates:
    """For each person the reason that removes all of their linked rows, 0 for none (positions in REASONS)."""

    sensitive: Flags
    opted_out: Ints
    number: Ints
    goes_on: Flags


def make_fates(people: Population) -> Fates:
    """The reasons that hang on the person rather than on the row."""
    opted_out = np.where(
        people.type1_out,
        code("type1_opt_out"),
        np.where(people.national_out, code("national_opt_out"), np.where(people.asked, 0, code("national_not_asked"))),
    )
    sensitive = people.roles.sensitive
    return Fates(sensitive, opted_out, people.number, (opted_out == 0) & ~sensitive)


def truth_of(table: Table, frame: pl.DataFrame, fates: Fates) -> pl.DataFrame:
    """record, person, number, removed and mother of each row, in the order of ``frame``.

    ``frame`` holds every row of its records, in the order in which the hub settles them.
    """
    owner, reason = frame[marks.OWNER].to_numpy(), frame[marks.REASON].to_numpy()
    linked = reason == 0
    if table.keeps_unlinked:
        reason = np.zeros(len(reason), dtype=np.int64)
    reason = _first(reason, linked & frame[marks.SENSITIVE].to_numpy(), code("sensitive"))
    reason = _first(reason, linked & fates.sensitive[owner], code("sensitive"))
    reason = _first(reason, frame[marks.NOT_SHARING].to_numpy(), code("practice_not_sharing"))
    reason = np.where((reason == 0) & linked, fates.opted_out[owner], reason)
    record = frame.select(pl.concat_str(pl.col(table.key).cast(pl.String), separator="|")).to_series()
    reason = _settled(record, frame, reason)
    kept, mother = reason == 0, frame[marks.MOTHER].to_numpy()
    return pl.DataFrame(
        {
            "record": record,
            "person": _or_null(owner + 1, owner >= 0),
            "number": _or_null(fates.number[owner], kept & linked),
            "removed": pl.Series(REASONS, dtype=pl.String).gather(reason),
            "mother": _or_null(fates.number[mother], kept & (mother >= 0) & fates.goes_on[mother]),
        }
    )


def _first(reason: Ints, applies: npt.NDArray[np.bool_], code: int) -> Ints:
    return np.where((reason == 0) & applies, code, reason)


def _or_null(values: Ints, keep: Flags) -> pl.Series:
    return pl.Series(values).set(pl.Series(~keep), None)


def _settled(record: pl.Series, frame: pl.DataFrame, reason: Ints) -> Ints:
    """The reasons, with those of rows that another row of the same record replaces or deletes."""
    deleted = frame[marks.DELETED].to_numpy()
    rows = np.flatnonzero((record.is_duplicated().to_numpy() | deleted) & (reason == 0))
    last = pl.col("row").last().over("record")
    outcome = (
        pl.DataFrame(
            {
                "record": record.gather(rows),
                "row": rows,
                "version": frame[marks.VERSION].gather(rows),
                "deleted": deleted[rows],
            }
        )
        .with_columns(
            last_version=pl.col("version").last().over("record"),
            last_deleted=pl.col("deleted").last().over("record"),
            is_last=pl.col("row") == last,
        )
        .select(
            pl.when("last_deleted")
            .then(code("deleted"))
            .when("is_last")
            .then(0)
            .when(pl.col("version") == pl.col("last_version"))
            .then(code("duplicate"))
            .otherwise(code("superseded"))
            .cast(pl.Int64)
        )
        .to_series()
    )
    settled = reason.copy()
    settled[rows] = outcome.to_numpy()
    return np.where(settled == 0, frame[marks.GONE].to_numpy(), settled)


def people_truth(world: World) -> pl.DataFrame:
    """One row a person: who they are, their numbers and their opt-outs."""
    people, places = world.population, world.places
    area = places.area_of(people.postcode)
    nation = np.where(people.foreign, 1, 0)
    nation[-1] = 2
    died = people.death_day < NEVER
    registered = people.practice >= 0
    superseded = pl.DataFrame(
        {"older": _or_null(people.older, people.older > 0), "oldest": _or_null(people.oldest, people.oldest > 0)}
    ).select(pl.concat_list("older", "oldest").list.drop_nulls())
    return pl.DataFrame(
        {
            "person": np.arange(people.size, dtype=np.int64) + 1,
            "nhs_number": people.number,
            "superseded": superseded.to_series(),
            "nation": pl.Series(["england", "scotland", "northern_ireland"]).gather(nation),
            "given_name": pl.Series(GIVEN_NAMES).gather(people.given),
            "surname": pl.Series(SURNAMES).gather(people.surname),
            "birth_date": pl.Series(people.birth_day).cast(pl.Int32).cast(pl.Date),
            "death_date": _or_null(people.death_day, died).cast(pl.Int32).cast(pl.Date),
            "sex": pl.Series(SEXES).gather(people.sex),
            "ethnicity": pl.Series(ETHNICITIES).gather(people.ethnicity),
            "postcode": places.postcodes.gather(people.postcode),
            "lsoa": places.lsoas.gather(area),
            "imd_decile": people.decile,
            "practice": pl.Series(places.practices).gather(_or_null(people.practice, registered)),
            "practice_shares": places.shares(people.practice) == 1,
            "type1_opt_out": people.type1_out,
            "national_opt_out": people.national_out,
            "national_asked": people.asked,
            "sensitive": people.roles.sensitive,
            "test_patient": people.roles.patient_row == PatientRow.TEST,
            "patient_row": pl.Series([row.name.lower() for row in PatientRow]).gather(people.roles.patient_row),
            "type1_case": people.roles.type1,
            "conditions": np.bitwise_count(people.conditions).astype(np.int64),
            "carer": people.carer,
        }
    )
