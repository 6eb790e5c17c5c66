"""EMIS CareRecord_Observation: readings, symptoms, diagnoses that go back years, and opt-out codes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from linkage.synthetic import codes, marks
from linkage.synthetic.columns import dates, guids, labels, times, where
from linkage.synthetic.conditions import CONDITIONS, has
from linkage.synthetic.draws import Draws, Flags, Ints
from linkage.synthetic.marks import DELETED, NOBODY, SENSITIVE, Marks, code
from linkage.synthetic.names import GIVEN_NAMES, SURNAMES
from linkage.synthetic.primary_care import (
    PROCESSING,
    clinician_guids,
    key_reason,
    patient_guids,
    practice_guids,
    registration_days,
)
from linkage.synthetic.roles import PatientRow, Type1
from linkage.synthetic.tables import Delivery
from linkage.synthetic.world import BULK_AGE, DELTA_AGE, Chunk

_EARLY, _MIDDLE, _RECENT, _UNDATED = range(4)
_OPT_OUT_EVENTS = (  # case, withdrawal, when, deleted
    (Type1.DISSENT, False, _EARLY, False),
    (Type1.WITHDRAWN, False, _EARLY, False),
    (Type1.WITHDRAWN, True, _MIDDLE, False),
    (Type1.RENEWED, True, _EARLY, False),
    (Type1.RENEWED, False, _MIDDLE, False),
    (Type1.SAME_DAY, False, _MIDDLE, False),
    (Type1.SAME_DAY, True, _MIDDLE, False),
    (Type1.UNDATED_THEN_WITHDRAWN, False, _UNDATED, False),
    (Type1.UNDATED_THEN_WITHDRAWN, True, _MIDDLE, False),
    (Type1.UNDATED, False, _UNDATED, False),
    (Type1.LATE_DISSENT, False, _RECENT, False),
    (Type1.LATE_WITHDRAWAL, False, _EARLY, False),
    (Type1.LATE_WITHDRAWAL, True, _RECENT, False),
    (Type1.DELETED, False, _EARLY, True),
)


@dataclass(frozen=True)
class _Entries:
    """Entries of GP records; one element an entry in each array."""

    owner: Ints
    day: Ints
    position: Ints  # in the clinical code list
    dated: Flags
    deleted: Flags
    plain: Flags


def observations(chunk: Chunk) -> pl.DataFrame:
    """The rows of CareRecord_Observation in both deliveries."""
    draws = chunk.draws("observations")
    entries = _joined(_routine(chunk, draws), _diagnoses(chunk, draws), _opt_outs(chunk))
    frame = _frame(chunk, draws, entries)
    frame = _orphaned(frame, chunk, draws)
    confidential = draws.some(marks.plain_rows(frame), 0.002, chunk.floor)
    frame = marks.plant(frame, confidential, **{SENSITIVE: pl.lit(True), "IsConfidential": pl.lit("true")})
    frame = _deleted_later(frame, chunk, draws)
    return marks.with_copies(frame, draws, 0.001, chunk.floor)


def _joined(*parts: _Entries) -> _Entries:
    return _Entries(
        owner=np.concatenate([part.owner for part in parts]),
        day=np.concatenate([part.day for part in parts]),
        position=np.concatenate([part.position for part in parts]),
        dated=np.concatenate([part.dated for part in parts]),
        deleted=np.concatenate([part.deleted for part in parts]),
        plain=np.concatenate([part.plain for part in parts]),
    )


def _ordinary(owner: Ints, day: Ints, position: Ints) -> _Entries:
    true = np.ones(len(owner), dtype=np.bool_)
    return _Entries(owner, day, position, true, ~true, true)


def _routine(chunk: Chunk, draws: Draws) -> _Entries:
    owner = chunk.owners(draws.counts(chunk.world.rates.observations[chunk.start : chunk.stop]))
    day = chunk.working_days(draws, owner, newest=DELTA_AGE + 1)
    well, ill = draws.pick(len(owner), codes.WELL), draws.pick(len(owner), codes.ILL)
    return _ordinary(owner, day, np.where(chunk.world.population.conditions[owner] > 0, ill, well))


def _diagnoses(chunk: Chunk, draws: Draws) -> _Entries:
    people, everyone = chunk.world.population, chunk.everyone
    known = everyone[people.practice[everyone] >= 0]
    found = [known[has(people.conditions[known], bit)] for bit in range(len(CONDITIONS))]
    owner = np.concatenate(found)
    bit = np.repeat(np.arange(len(CONDITIONS), dtype=np.int64), [len(one) for one in found])
    newest = np.minimum(people.death_day[owner], chunk.world.today - BULK_AGE - 1)
    day = draws.between(np.maximum(people.birth_day[owner], newest - 12 * 365), newest)
    return _ordinary(owner, day, codes.FIRST_CONDITION + bit)


def _opt_outs(chunk: Chunk) -> _Entries:
    draws, today = chunk.draws("type1"), chunk.world.today
    case = chunk.world.population.roles.type1[chunk.start : chunk.stop]
    when = (
        draws.whole(chunk.size, today - 700, today - 400),
        draws.whole(chunk.size, today - 300, today - 60),
        draws.whole(chunk.size, today - 25, today - 3),
        np.full(chunk.size, today - 350, dtype=np.int64),
    )
    parts = []
    for one, withdrawal, period, deleted in _OPT_OUT_EVENTS:
        who = np.flatnonzero(case == one)
        position = codes.WITHDRAWAL_POSITION if withdrawal else codes.DISSENT_POSITION
        flags = np.ones(len(who), dtype=np.bool_)
        parts.append(
            _Entries(
                owner=who + chunk.start,
                day=when[period][who],
                position=np.full(len(who), position, dtype=np.int64),
                dated=flags & (period != _UNDATED),
                deleted=flags & deleted,
                plain=~flags,
            )
        )
    return _joined(*parts)


def _frame(chunk: Chunk, draws: Draws, entries: _Entries) -> pl.DataFrame:
    world, people, owner, day = chunk.world, chunk.world.population, entries.owner, entries.day
    joined = registration_days(chunk)[owner - chunk.start]
    older = people.roles.moved_practice[owner] & (day < joined)
    practice = np.where(older, people.old_practice[owner], people.practice[owner])
    late = people.roles.late[owner] | (day >= world.today - BULK_AGE)
    ids = chunk.ids(len(owner))
    clinician, value = clinician_guids(chunk, owner, practice), _values(draws, entries.position)
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
            "NumericUnit": labels(_finding(entries.position), [one.unit for one in codes.FINDINGS]),
            "ObservationType": labels(_finding(entries.position), [one.category for one in codes.FINDINGS]),
            "NumericRangeLow": None,
            "NumericRangeHigh": None,
            "DocumentGuid": None,
            "Deleted": labels(entries.deleted.astype(np.int64), (no, yes)),
            "IsConfidential": no,
            "ProcessingId": PROCESSING,
        }
    )


def _finding(position: Ints) -> Ints:
    return np.where(position < codes.FIRST_CONDITION, position, -1)


def _values(draws: Draws, position: Ints) -> pl.Series:
    """Readings to one decimal, null where the code has no unit."""
    finding = _finding(position)
    low = np.array([round(one.low * 10) for one in codes.FINDINGS] + [0])[finding]
    high = np.array([round(one.high * 10) for one in codes.FINDINGS] + [0])[finding]
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
