"""PDS demographics and civil registrations of deaths."""

from __future__ import annotations

import numpy as np
import polars as pl

from linkage.synthetic import marks
from linkage.synthetic.columns import dates, labels
from linkage.synthetic.conditions import CONDITIONS
from linkage.synthetic.defects import number_column
from linkage.synthetic.demographics import birth_date, gender, postcode, practice
from linkage.synthetic.draws import Ints
from linkage.synthetic.marks import DELETED, Marks
from linkage.synthetic.people import NEVER
from linkage.synthetic.places import HOSPITALS
from linkage.synthetic.primary_care import registration_days
from linkage.synthetic.roles import PatientRow, Resent
from linkage.synthetic.tables import Delivery
from linkage.synthetic.world import Chunk

_OLD_AGE = "R54X"


def persons(chunk: Chunk) -> pl.DataFrame:
    """The rows of PDS_Person: everybody with an English number, once."""
    owner, people = _known(chunk), chunk.world.population
    died = people.death_day[owner] < NEVER
    frame = _marks(chunk, owner).on(
        {
            "RowID": owner + 1,
            "NHS Number": _numbers(chunk, owner),
            "Date of Birth": dates(people.birth_day[owner]),
            "Gender": gender(chunk.world, owner),
            "Date of Death": dates(people.death_day[owner], died),
            "Death Status": labels(np.where(died, 0, -1), ("2",)),
            "Person Business Effective From Date": dates(people.birth_day[owner]),
            "Person Business Effective To Date": dates(people.death_day[owner], died),
            "Sensitive Flag": labels(people.roles.sensitive[owner].astype(np.int64), (None, "S")),
        }
    )
    return marks.with_copies(frame, chunk.draws("persons"), 0.001, chunk.floor)


def addresses(chunk: Chunk) -> pl.DataFrame:
    """The rows of PDS_Address: where everybody lives, and where those who moved lived before."""
    known, people, world = _known(chunk), chunk.world.population, chunk.world
    movers = known[people.roles.resent[known] == Resent.MOVED]
    owner = np.concatenate([known, movers])
    before = np.arange(len(owner)) >= len(known)
    has_moved = people.roles.resent[owner] == Resent.MOVED
    moved = np.full(len(owner), world.today - 8, dtype=np.int64)
    began = np.where(has_moved & ~before, moved, np.maximum(people.birth_day[owner], world.today - 4_000))
    place = np.where(before, people.old_postcode[owner], people.postcode[owner])
    return _marks(chunk, owner).on(
        {
            "RowID": owner * 2 + before + 1,
            "NHS Number": _numbers(chunk, owner),
            "Postcode": world.places.postcodes.gather(place),
            "Usual Address Business Effective From Date": dates(began),
            "Usual Address Business Effective To Date": dates(moved, before),
        }
    )


def registrations(chunk: Chunk) -> pl.DataFrame:
    """The rows of PDS_Patient_Care_Practice: with whom everybody is registered, and was before."""
    known, people = _known(chunk), chunk.world.population
    known = known[people.practice[known] >= 0]
    changed = known[people.roles.moved_practice[known]]
    owner = np.concatenate([known, changed])
    older = np.arange(len(owner)) >= len(known)
    joined = registration_days(chunk)[owner - chunk.start]
    began = np.where(older, np.maximum(people.birth_day[owner], joined - 3_000), joined)
    left = np.where(older, joined, people.death_day[owner])
    where = np.where(older, people.old_practice[owner], people.practice[owner])
    return _marks(chunk, owner).on(
        {
            "RowID": owner * 2 + older + 1,
            "NHS Number": _numbers(chunk, owner),
            "Primary Care Provider": labels(where, chunk.world.places.practices),
            "Primary Care Provider Business Effective From Date": dates(began),
            "Primary Care Provider Business Effective To Date": dates(left, left < NEVER),
            "Reason for Removal": labels(np.where(older | (left == NEVER), -1, 0), ("DEA",)),
        }
    )


def deaths(chunk: Chunk) -> pl.DataFrame:
    """The rows of the deaths that were registered; a few registrations are cancelled later."""
    draws, world, people = chunk.draws("deaths"), chunk.world, chunk.world.population
    owner = _known(chunk)
    owner = owner[people.death_day[owner] < NEVER]
    registered = people.death_day[owner] + draws.whole(len(owner), 1, 4)
    number = number_column(chunk, draws, owner)
    cause = _causes(people.conditions[owner])
    hospital = labels(draws.pick(len(owner), (25, 15, 10, 50)), (*HOSPITALS, None))
    frame = Marks(owner=owner, reason=number.reason, plain=number.plain).on(
        {
            "DMIC_ROW_ID": owner + 1,
            "DEC_CONF_NHS_NUMBER": number.text,
            "DEC_DATE_OF_BIRTH": birth_date(world, owner).dt.to_string("%Y%m%d"),
            "DEC_SEX": labels(people.sex[owner], ("1", "2", "9", None)),
            "REG_DATE_OF_DEATH": dates(people.death_day[owner]).dt.to_string("%Y%m%d"),
            "REG_DATE": dates(registered).dt.to_string("%Y%m%d"),
            "GP_PRACTICE_CODE": practice(world, owner),
            "DECAD_POSTCODE": postcode(world, owner),
            "PLACE_OF_DEATH_ORG_CODE": hospital,
            "POD_NHS_ESTABLISHMENT": labels(hospital.is_null().cast(pl.Int64).to_numpy(), ("1", "2")),
            "S_UNDERLYING_COD_ICD10": cause,
            "S_COD_CODE_1": cause,
            "Cancelled_Flag": "N",
            "DMIC_RECORD_VALID_DATE_FROM": dates(registered),
        }
    )
    rows = draws.some(marks.plain_rows(frame), 0.01, chunk.floor)
    frame = marks.plant(frame, rows)
    cancelled = marks.sent_again(frame, rows).with_columns(
        pl.lit("Y").alias("Cancelled_Flag"),
        pl.lit(dates(np.full(len(rows), world.today - 3))).alias("DMIC_RECORD_VALID_DATE_FROM"),
        pl.lit(value=True).alias(DELETED),
    )
    return marks.with_copies(pl.concat([frame, cancelled]), draws, 0.005, chunk.floor)


def _known(chunk: Chunk) -> Ints:
    people, everyone = chunk.world.population, chunk.everyone
    made_up = people.roles.patient_row[everyone] == PatientRow.TEST
    known: Ints = everyone[~people.foreign[everyone] & ~made_up]
    return known


def _marks(chunk: Chunk, owner: Ints) -> Marks:
    late = chunk.world.population.roles.late[owner]
    return Marks(owner=owner, later=np.where(late, int(Delivery.LATER), int(Delivery.MAIN)))


def _numbers(chunk: Chunk, owner: Ints) -> pl.Series:
    return pl.Series(chunk.world.population.number[owner]).cast(pl.String).str.zfill(10)


def _causes(conditions: Ints) -> pl.Series:
    """The ICD-10 code of each person's last condition of the list, or old age."""
    last = np.where(conditions > 0, np.floor(np.log2(np.maximum(conditions, 1))), -1).astype(np.int64)
    return labels(last, [condition.icd for condition in CONDITIONS]).fill_null(_OLD_AGE)
