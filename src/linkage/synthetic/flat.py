"""Flat extracts: where asked for, the third hospital delivers one wide row for each episode, appointment and attendance.

The rows are those that the dotted-name tables would hold, with the same people and the same marks: columns are called
otherwise, and what would be rows of a child table stands in numbered columns. Admitted and outpatient care are sent
again whole for the newest period, which replaces the first delivery of that period.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import polars as pl

from linkage.synthetic import marks
from linkage.synthetic.columns import ordinals
from linkage.synthetic.draws import Flags, Ints
from linkage.synthetic.world import MAIN_AGE, Chunk, World

_HOSPITAL = 2  # position in places.HOSPITALS
_WITHHELD = "WITHHELD_IDENTITY_REASON"

_SPELL = {
    "NEWNHSNO": "spell.patient.identity.nhs_number.value",
    "NHSNOIND": "spell.patient.identity.nhs_number.status",
    "LOPATID": "spell.patient.identity.local_patient_identifier.value",
    "DOB": "spell.patient.identity.birth_date",
    "SEX": "spell.patient.identity.gender",
    "ETHNOS": "spell.patient.identity.ethnic_category",
    _WITHHELD: "spell.patient.identity.withheld_identity_reason",
    "GPPRAC": "spell.patient.registration.general_practice",
    "HOMEADD": "spell.patient.residence.postcode",
    "ADMIDATE": "spell.admission.date",
    "ADMIMETH": "spell.admission.method",
    "ADMISORC": "spell.admission.source",
    "CLASSPAT": "spell.admission.patient_classification",
    "INTMANIG": "spell.admission.intended_management",
    "DISDATE": "spell.discharge.date",
    "DISMETH": "spell.discharge.method",
    "DISDEST": "spell.discharge.destination",
    "PROCODET": "spell.commissioning.service_agreement.provider",
    "PROVSPNOPS": "spell.hospital_provider_spell_number",
    "SUSCOREHRG": "spell.commissioning.grouping.core_hrg",
    "SUSSPELLID": "PRIMARYKEY_ID",
}
_EPISODE = {
    "EPISTART": "start_date",
    "EPIEND": "end_date",
    "EPIORDER": "number",
    "MAINSPEF": "care_professional.main_specialty",
    "TRETSPEF": "care_professional.treatment_function",
}
_APPOINTMENT = {
    "ATTENDKEY": "PRIMARYKEY_ID",
    "NEWNHSNO": "appointment.patient.identity.nhs_number.value",
    "NHSNOIND": "appointment.patient.identity.nhs_number.status",
    "DOB": "appointment.patient.identity.birth_date",
    "SEX": "appointment.patient.identity.gender",
    "ETHNOS": "appointment.patient.identity.ethnic_category",
    _WITHHELD: "appointment.patient.identity.withheld_identity_reason",
    "GPPRAC": "appointment.patient.registration.general_practice",
    "HOMEADD": "appointment.patient.residence.postcode",
    "APPTDATE": "appointment.date",
    "FIRSTATT": "appointment.first_attendance",
    "ATTENDED": "appointment.attended_or_dna",
    "OUTCOME": "appointment.outcome",
    "PRIORITY": "appointment.referral.priority_type",
    "MAINSPEF": "appointment.care_professional.main_specialty",
    "TRETSPEF": "appointment.care_professional.treatment_function",
    "PROCODET": "appointment.commissioning.service_agreement.provider",
}
_ATTENDANCE = {
    "EPIKEY": "PRIMARYKEY_ID",
    "NHS_NUMBER": "patient.nhs_number.value",
    "NHS_NUMBER_STATUS_INDICATOR_CODE": "patient.nhs_number.status",
    "AMBULANCE_INCIDENT_NUMBER": "attendance.arrival.ambulance_incident_number",
    "DATE_OF_BIRTH": "patient.birth_date",
    "STATED_GENDER": "patient.stated_gender",
    "ETHNIC_CATEGORY": "patient.ethnic_category",
    _WITHHELD: "patient.withheld_identity_reason",
    "PRACTICE_CODE_PATIENT_REGISTRATION": "patient.gp_registration.general_practice",
    "POSTCODE": "patient.usual_address.postcode",
    "ARRIVAL_DATE": "attendance.arrival.date",
    "ARRIVAL_TIME": "attendance.arrival.time",
    "ARRIVAL_MODE": "attendance.arrival.arrival_mode.code",
    "ATTENDANCE_CATEGORY": "attendance.arrival.attendance_category",
    "DEPARTMENT_TYPE": "attendance.location.department_type",
    "ACUITY": "clinical.acuity.code",
    "CHIEF_COMPLAINT": "clinical.chief_complaint.code",
    "ASSESSMENT_DATE": "attendance.initial_assessment.date",
    "ASSESSMENT_TIME": "attendance.initial_assessment.time",
    "SEEN_DATE": "attendance.seen_for_treatment.date",
    "SEEN_TIME": "attendance.seen_for_treatment.time",
    "DECIDED_TO_ADMIT_DATE": "attendance.decision_to_admit.date",
    "DECIDED_TO_ADMIT_TIME": "attendance.decision_to_admit.time",
    "CONCLUSION_DATE": "attendance.conclusion.date",
    "CONCLUSION_TIME": "attendance.conclusion.time",
    "SITE": "attendance.location.site",
    "HEALTH_RESOURCE_GROUP": "commissioning.grouping.health_resource_group",
    "DEPARTURE_DATE": "attendance.departure.date",
    "DEPARTURE_TIME": "attendance.departure.time",
    "DISCHARGE_DESTINATION": "attendance.discharge.destination.code",
    "DISCHARGE_STATUS": "attendance.discharge.status.code",
    "PROVIDER_CODE": "commissioning.service_agreement.provider",
    "COMMISSIONER": "commissioning.service_agreement.commissioner",
    "FINAL_PRICE": "commissioning.national_pricing.final_price",
}


class Children(NamedTuple):
    """Rows of a child table, with the position of the parent of each, ascending."""

    frame: pl.DataFrame
    parent: Ints

    def where(self, keep: Flags) -> pl.DataFrame:
        """The rows whose parents are kept."""
        return self.frame.filter(keep[self.parent])


def elsewhere(world: World, hospital: Ints) -> Flags:
    """Which rows of these hospitals are delivered flat instead."""
    return np.asarray((hospital == _HOSPITAL) & world.flat, dtype=np.bool_)


def episodes(
    chunk: Chunk, spells: pl.DataFrame, episode: Children, diagnoses: Children, procedures: Children, flat: Flags
) -> pl.DataFrame:
    """Admitted care: a row for each episode of the spells that are delivered flat."""
    frame, parent = episode
    of_spell = _renamed(spells, _SPELL)[parent]
    own = _renamed(frame, _EPISODE)
    columns = [
        (frame["PRIMARYKEY_ID"] * 100 + frame["EPISODES_ID"]).alias("EPIKEY"),
        _financial_year(frame["start_date"]).alias("FYEAR"),
        *of_spell,
        *own,
        *_numbered(len(frame), diagnoses, "code", [f"DIAG_{place:02d}" for place in range(1, 21)]),
        *_numbered(len(frame), procedures, "code", [f"OPERTN_{place:02d}" for place in range(1, 25)]),
        *_numbered(len(frame), procedures, "date", [f"OPDATE_{place:02d}" for place in range(1, 25)]),
    ]
    wide = pl.DataFrame([*columns, *frame.select(marks.HIDDEN)]).filter(flat[parent])
    newest = _financial_year(pl.Series([_newest(chunk.world)]).cast(pl.Int32).cast(pl.Date))[0]
    method = pl.when(pl.col("DISMETH") == "1").then(pl.lit("2")).otherwise(pl.lit("1"))
    return _replaced(chunk, "flat_episodes", wide, wide["FYEAR"] == newest, DISMETH=method)


def appointments(chunk: Chunk, frame: pl.DataFrame, codes: Mapping[str, Children], flat: Flags) -> pl.DataFrame:
    """Outpatient care."""
    month = frame["appointment.date"].dt.to_string("%Y%m")
    columns = [
        month.alias("PARTYEAR"),
        *_renamed(frame, _APPOINTMENT),
        *_numbered(len(frame), codes["diagnosis"], "code", [f"DIAG_{place:02d}" for place in range(1, 13)]),
        *_numbered(len(frame), codes["procedure"], "code", [f"OPERTN_{place:02d}" for place in range(1, 25)]),
    ]
    wide = pl.DataFrame([*columns, *frame.select(marks.HIDDEN)]).filter(flat)
    newest = pl.Series([_newest(chunk.world)]).cast(pl.Int32).cast(pl.Date).dt.to_string("%Y%m")[0]
    outcome = pl.when(pl.col("OUTCOME") == "1").then(pl.lit("2")).otherwise(pl.lit("1"))
    return _replaced(chunk, "flat_appointments", wide, wide["PARTYEAR"] == newest, OUTCOME=outcome)


def attendances(chunk: Chunk, frame: pl.DataFrame, codes: Mapping[str, Children], flat: Flags) -> pl.DataFrame:
    """Emergency care: some attendances are sent again, unchanged or corrected."""
    columns = [
        *_renamed(frame, _ATTENDANCE),
        *(
            column
            for kind, children in codes.items()
            for column in _numbered(len(frame), children, "code", [f"{kind.upper()}_CODE_{n}" for n in range(1, 13)])
        ),
    ]
    wide = pl.DataFrame([*columns, *frame.select(marks.HIDDEN)]).filter(flat)
    draws = chunk.draws("flat_attendances")
    wide, same = marks.again(wide, draws, 0.02, chunk.floor)
    wide, wrong = marks.again(wide, draws, 0.01, chunk.floor)
    category = pl.when(pl.col("ATTENDANCE_CATEGORY") == "1").then(pl.lit("3")).otherwise(pl.lit("1"))
    wide = pl.concat([wide, same, marks.corrected(wrong, ATTENDANCE_CATEGORY=category)])
    return marks.with_copies(wide, draws, 0.002, chunk.floor)


def _renamed(frame: pl.DataFrame, names: Mapping[str, str]) -> pl.DataFrame:
    return frame.select(pl.col(theirs).alias(ours) for ours, theirs in names.items())


def _numbered(rows: int, children: Children, column: str, names: Sequence[str]) -> list[pl.Series]:
    """A child table's column as one column for each place among the children of a row."""
    frame, parent = children
    place = ordinals(np.bincount(parent, minlength=rows).astype(np.int64))
    values = frame[column].cast(pl.String)
    empty = pl.repeat(None, rows, dtype=pl.String, eager=True)
    made = []
    for nth, name in enumerate(names):
        chosen = np.flatnonzero(place == nth)
        # A series is scattered into where it lies.
        made.append(
            (empty.clone().scatter(parent[chosen], values.gather(chosen)) if len(chosen) else empty).alias(name)
        )
    return made


def _replaced(chunk: Chunk, name: str, frame: pl.DataFrame, newest: pl.Series, **change: pl.Expr) -> pl.DataFrame:
    """The rows, with those of the newest period sent again: most unchanged, some corrected, some no longer there."""
    draws = chunk.draws(name)
    again = newest.to_numpy() & marks.plain_rows(frame)
    rest = newest.to_numpy()
    if again.sum() > 1:
        gone = draws.some(again, 0.02, 1)
        frame = marks.plant(frame, gone, **{marks.GONE: pl.lit(marks.code("superseded"), pl.Int64)})
        again[gone], rest[gone] = False, False
    wrong = draws.some(again, 0.02, chunk.floor)
    rest[wrong] = False
    frame = marks.plant(frame, np.flatnonzero(newest.to_numpy()))
    same, second = marks.sent_again(frame, np.flatnonzero(rest)), marks.sent_again(frame, wrong)
    frame = pl.concat([frame, same, marks.corrected(second, **change)])
    return marks.with_copies(frame, draws, 0.002, chunk.floor)


def _newest(world: World) -> int:
    return world.today - MAIN_AGE - 1


def _financial_year(days: pl.Series) -> pl.Series:
    """Two digits of the year in which it begins, in April, and two of the next: `2526`."""
    begins = days.dt.offset_by("-3mo").dt.year()
    return (begins % 100 * 100 + (begins + 1) % 100).cast(pl.String).str.zfill(4)
