"""EMIS CareRecord_Observation: the entries of GP records in that system."""

from __future__ import annotations

import numpy as np
import polars as pl

from linkage.synthetic import codes, marks
from linkage.synthetic.columns import dates, guids, labels, times, where
from linkage.synthetic.draws import Draws, Ints
from linkage.synthetic.entries import Entries, recorded
from linkage.synthetic.marks import DELETED, NOBODY, SENSITIVE, Marks, code
from linkage.synthetic.names import GIVEN_NAMES, SURNAMES
from linkage.synthetic.primary_care import (
    PROCESSING,
    clinician_guids,
    key_reason,
    patient_guids,
    practice_guids,
)
from linkage.synthetic.roles import PatientRow
from linkage.synthetic.tables import Delivery
from linkage.synthetic.world import BULK_AGE, DELTA_AGE, Chunk


def observations(chunk: Chunk, entries: Entries) -> pl.DataFrame:
    """The rows of CareRecord_Observation in both deliveries; of the entries those made in this system."""
    draws = chunk.draws("observations")
    made = recorded(chunk, entries.owner, entries.day)
    entries = entries.where(~chunk.world.places.uses_tpp(made.practice))
    frame = _frame(chunk, draws, entries)
    frame = _orphaned(frame, chunk, draws)
    confidential = draws.some(marks.plain_rows(frame), 0.002, chunk.floor)
    frame = marks.plant(frame, confidential, **{SENSITIVE: pl.lit(True), "IsConfidential": pl.lit("true")})
    frame = _deleted_later(frame, chunk, draws)
    return marks.with_copies(frame, draws, 0.001, chunk.floor)


def _frame(chunk: Chunk, draws: Draws, entries: Entries) -> pl.DataFrame:
    world, people, owner, day = chunk.world, chunk.world.population, entries.owner, entries.day
    made = recorded(chunk, owner, day)
    older, practice = made.older, made.practice
    late = people.roles.late[owner] | (day >= world.today - BULK_AGE)
    ids = chunk.ids(len(owner))
    clinician, value = clinician_guids(chunk, owner, practice), values(draws, entries.position)
    no, yes = "false", "true"
    ambiguous = people.roles.patient_row[owner] == PatientRow.AMBIGUOUS
    entered = np.minimum(day + draws.pick(len(owner), (8, 1, 1)), world.today - DELTA_AGE)
    return Marks(
        owner=np.where(ambiguous, NOBODY, owner),
        reason=key_reason(people, owner),
        not_sharing=world.keeps_out(owner, practice),
        later=late.astype(np.int64),
        deleted=entries.deleted,
        plain=entries.plain & (people.roles.patient_row[owner] == PatientRow.NORMAL),
    ).on(
        {
            "ObservationGuid": guids(ids, world.seed, "observation"),
            "ParentObservationGuid": None,
            "PatientGuid": patient_guids(chunk, owner, older),
            "OrganisationGuid": practice_guids(world, practice),
            "EffectiveDate": dates(day, entries.dated),
            "EffectiveDatePrecision": labels(np.where(entries.dated, 0, 1), ("YMD", "U")),
            "EnteredDate": dates(entered),
            "EnteredTime": times(draws.whole(len(owner), 8 * 3600, 18 * 3600)),
            "ClinicianUserInRoleGuid": clinician,
            "EnteredByUserInRoleGuid": clinician,
            "CodeId": codes.clinical_code_ids(entries.position),
            "ProblemGuid": None,
            "AssociatedText": _remarks(chunk, draws, owner),
            "ConsultationGuid": guids(owner * 100_000 + day, world.seed, "consultation"),
            "Value": value,
            "NumericUnit": labels(finding(entries.position), [one.unit for one in codes.FINDINGS]),
            "ObservationType": labels(finding(entries.position), [one.category for one in codes.FINDINGS]),
            "NumericRangeLow": None,
            "NumericRangeHigh": None,
            "DocumentGuid": None,
            "Deleted": labels(entries.deleted.astype(np.int64), (no, yes)),
            "IsConfidential": no,
            "ProcessingId": PROCESSING,
        }
    )


def finding(position: Ints) -> Ints:
    """The position in ``FINDINGS`` of each position in the clinical code list, -1 for others."""
    return np.where(position < codes.FIRST_CONDITION, position, -1)


def values(draws: Draws, position: Ints) -> pl.Series:
    """Readings to one decimal, null where the code has no unit."""
    place = finding(position)
    low = np.array([round(one.low * 10) for one in codes.FINDINGS] + [0])[place]
    high = np.array([round(one.high * 10) for one in codes.FINDINGS] + [0])[place]
    # The middle of three draws, so that most readings are ordinary.
    three = np.sort(np.stack([draws.between(low, high) for _ in range(3)]), axis=0)
    return where(high > 0, pl.Series(three[1] / 10))


def _remarks(chunk: Chunk, draws: Draws, owner: Ints) -> pl.Series:
    """Free text: mostly none, sometimes harmless, sometimes with a name, a number or a postcode in it."""
    people = chunk.world.population
    kind = draws.pick(len(owner), (0.9, 0.085, 0.005, 0.005, 0.005))
    rows = np.flatnonzero(kind > 0)
    who = owner[rows]
    frame = pl.DataFrame(
        {
            "kind": kind[rows],
            "given": labels(people.given[who], GIVEN_NAMES),
            "surname": labels(people.surname[who], SURNAMES),
            "number": pl.Series(people.number[who]),
            "postcode": chunk.world.places.postcodes.gather(people.postcode[who]),
        }
    )
    written = frame.select(
        pl.when(pl.col("kind") == 1)
        .then(pl.lit('Reviewed, "no change", see plan'))
        .when(pl.col("kind") == 2)
        .then(pl.format("Spoke to {} {} by phone", "given", "surname"))
        .when(pl.col("kind") == 3)
        .then(pl.format("Letter sent, NHS no {}", "number"))
        .otherwise(pl.format("Now living at {}", "postcode"))
    ).to_series()
    return pl.repeat(None, len(owner), dtype=pl.String, eager=True).scatter(rows, written)


def _orphaned(frame: pl.DataFrame, chunk: Chunk, draws: Draws) -> pl.DataFrame:
    """Give some entries the key of a patient who is in no delivery."""
    rows = draws.some(marks.plain_rows(frame), 0.0005, chunk.floor)
    keys = guids(np.arange(len(frame), dtype=np.int64)[rows] + chunk.start * 1_000, chunk.world.seed, "orphan")
    keys = frame["PatientGuid"].scatter(rows, keys)
    return marks.plant(
        frame,
        rows,
        **{
            "PatientGuid": pl.lit(keys),
            marks.OWNER: pl.lit(NOBODY, dtype=pl.Int64),
            marks.REASON: pl.lit(code("person_unknown"), dtype=pl.Int64),
        },
    )


def _deleted_later(frame: pl.DataFrame, chunk: Chunk, draws: Draws) -> pl.DataFrame:
    """Delete some entries of the first delivery in the second, under the same key."""
    first = (frame[marks.LATER] == int(Delivery.MAIN)).to_numpy()
    rows = draws.some(marks.plain_rows(frame) & first, 0.002, chunk.floor)
    frame = marks.plant(frame, rows)
    deletions = marks.sent_again(frame, rows).with_columns(pl.lit("true").alias("Deleted"), pl.lit(True).alias(DELETED))
    return pl.concat([frame, deletions])
