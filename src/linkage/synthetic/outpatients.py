"""SUS outpatients: appointments, their diagnoses and procedures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from linkage.synthetic import demographics, flat, marks
from linkage.synthetic.columns import dates, labels, ordinals, pounds, prefixed, times
from linkage.synthetic.defects import number_column, number_status
from linkage.synthetic.draws import Ints
from linkage.synthetic.flat import Children
from linkage.synthetic.marks import Marks
from linkage.synthetic.places import COMMISSIONER, HOSPITALS
from linkage.synthetic.world import Chunk

_SPECIALTIES = ("100", "101", "110", "120", "130", "300", "301", "320", "330", "340", "410", "501", "502", "800")
_DIAGNOSES = ("L309", "E119", "H269", "M171", "J459", "C509", "N40X", "R69X")
_PROCEDURES = ("X622", "U212", "C871", "G451", "S575", "Q554", "Z942")
_REPLACED_AT_LEAST = 3  # appointments of people with a replaced number: one under each number they ever had


@dataclass(frozen=True)
class Outpatients:
    """The three tables, and what is delivered flat instead."""

    appointments: pl.DataFrame
    diagnoses: pl.DataFrame
    procedures: pl.DataFrame
    flat: pl.DataFrame


def outpatients(chunk: Chunk) -> Outpatients:
    """The appointments of a chunk; few have a code."""
    world, draws = chunk.world, chunk.draws("appointments")
    owner = chunk.owners(_counts(chunk))
    rows, ids = len(owner), chunk.ids(len(owner))
    day = chunk.working_days(draws, owner)
    specialty, attended = draws.whole(rows, 0, len(_SPECIALTIES) - 1), draws.pick(rows, (88, 5, 3, 4))
    hospital = draws.pick(rows, (5, 3, 2))
    number = number_column(chunk, draws, owner)
    withheld = demographics.withheld(draws, number.plain, chunk.floor)
    plain = number.plain & ~withheld
    frame = Marks(owner=owner, reason=number.reason, sensitive=withheld, plain=plain).on(
        {
            "PRIMARYKEY_ID": ids,
            "appointment.identifier": prefixed("OA", ids, 10),
            "appointment.patient.identity.nhs_number.value": number.text,
            "appointment.patient.identity.nhs_number.status": number_status(number.reason),
            "appointment.patient.identity.birth_date": demographics.birth_date(world, owner),
            "appointment.patient.identity.gender": demographics.gender(world, owner),
            "appointment.patient.identity.ethnic_category": demographics.ethnicity(world, owner),
            "appointment.patient.identity.withheld_identity_reason": demographics.withheld_reason(owner, withheld),
            "appointment.patient.registration.general_practice": demographics.practice(world, owner),
            "appointment.patient.residence.postcode": demographics.postcode(world, owner),
            "appointment.date": dates(day),
            "appointment.time": times(draws.whole(rows, 32, 68) * 900),
            "appointment.first_attendance": labels(draws.pick(rows, (30, 55, 5, 10)), ("1", "2", "3", "4")),
            "appointment.attended_or_dna": labels(attended, ("5", "3", "6", "2")),
            "appointment.outcome": labels(draws.pick(rows, (35, 50, 15)), ("1", "2", "3")),
            "appointment.consultation_medium": labels(draws.pick(rows, (78, 18, 4)), ("01", "02", "03")),
            "appointment.care_professional.main_specialty": labels(specialty, _SPECIALTIES),
            "appointment.care_professional.treatment_function": labels(specialty, _SPECIALTIES),
            "appointment.commissioning.service_agreement.provider": labels(hospital, HOSPITALS),
            "appointment.commissioning.service_agreement.commissioner": COMMISSIONER,
            "appointment.commissioning.tariff_calculation.final_price": pounds(draws.whole(rows, 5_500, 26_000)),
            "appointment.referral.priority_type": labels(draws.pick(rows, (80, 14, 6)), ("1", "2", "3")),
            "system.record.confidentiality_category": "0",
            "system.record.version": "1",
        }
    )
    codes = {
        "diagnosis": _codes(chunk, frame, "ICD_ID", _DIAGNOSES, (94, 4, 2)),
        "procedure": _codes(chunk, frame, "OPCS_ID", _PROCEDURES, (86, 10, 4)),
    }
    away = flat.elsewhere(world, hospital)
    here = ~away
    return Outpatients(
        marks.with_copies(frame.filter(here), draws, 0.002, chunk.floor),
        marks.with_copies(codes["diagnosis"].where(here), draws, 0.002, chunk.floor),
        marks.with_copies(codes["procedure"].where(here), draws, 0.002, chunk.floor),
        flat.appointments(chunk, frame, codes, away),
    )


def _codes(
    chunk: Chunk, appointments: pl.DataFrame, key: str, names: tuple[str, ...], weights: tuple[int, ...]
) -> Children:
    """None, one or two codes of each appointment."""
    draws = chunk.draws(f"appointments_{key}")
    counts = draws.pick(len(appointments), weights)
    parent = np.repeat(np.arange(len(counts), dtype=np.int64), counts)
    place = ordinals(counts) + 1
    frame = Marks(
        owner=appointments[marks.OWNER].to_numpy()[parent],
        reason=appointments[marks.REASON].to_numpy()[parent],
        sensitive=appointments[marks.SENSITIVE].to_numpy()[parent],
    ).on(
        {
            "PRIMARYKEY_ID": appointments["PRIMARYKEY_ID"].gather(parent),
            key: place,
            "ROWNUMBER_ID": place,
            "code": labels(draws.whole(len(parent), 0, len(names) - 1), names),
            "dmicImportLogId": "7100",
        }
    )
    return Children(frame, parent)


def _counts(chunk: Chunk) -> Ints:
    rows = slice(chunk.start, chunk.stop)
    counts = chunk.draws("appointment_counts").counts(chunk.world.rates.appointments[rows])
    replaced = chunk.world.population.roles.replaced[rows] > 0
    return np.where(replaced, np.maximum(counts, _REPLACED_AT_LEAST), counts)
