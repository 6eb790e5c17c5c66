"""ECDS: emergency attendances, their diagnoses, investigations and treatments."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from linkage.synthetic import demographics, flat, marks
from linkage.synthetic.columns import dates, labels, ordinals, pounds, prefixed, times, where
from linkage.synthetic.defects import number_column, number_status, required_dates
from linkage.synthetic.draws import Flags, Ints
from linkage.synthetic.flat import Children
from linkage.synthetic.journeys import Journeys, call_numbers
from linkage.synthetic.marks import Marks
from linkage.synthetic.places import COMMISSIONER, HOSPITALS
from linkage.synthetic.world import Chunk

_ACUITY = ("1064891000000107", "1064911000000105", "1064901000000103", "1077241000000103", "1077251000000100")
_COMPLAINTS = ("29857009", "267036007", "21522001", "417746004", "386661006", "25064002", "162397003")
_DIAGNOSES = (
    "195967001", "233604007", "68566005", "22298006", "230690007", "312608009", "125605004", "74400008",
    "396275006", "13645005", "84114007", "386661006", "91302008", "271594007",
)  # fmt: skip
_INVESTIGATIONS = ("399208008", "29303009", "26604007", "252167001", "167252002", "16254007", "165320004")
_TREATMENTS = ("266712008", "243132000", "182833002", "225358003", "274474001", "288185004")
_HRGS = ("VB11Z", "VB09Z", "VB08Z", "VB07Z")
_HOME, _WARD = "306689006", "306706006"


@dataclass(frozen=True)
class EmergencyCare:
    """The four tables, and what is delivered flat instead."""

    attendances: pl.DataFrame
    diagnoses: pl.DataFrame
    investigations: pl.DataFrame
    treatments: pl.DataFrame
    flat: pl.DataFrame


def emergency_care(chunk: Chunk, journeys: Journeys) -> EmergencyCare:
    """The attendances of a chunk; only those without a diagnosis may lack a readable arrival date."""
    world, draws, owner = chunk.world, chunk.draws("emergency"), journeys.owner
    rows, ids = len(owner), chunk.ids(len(owner))
    stay = draws.whole(rows, 40, 420) * 60
    number = number_column(chunk, draws, owner)
    diagnoses = draws.pick(rows, (22, 48, 20, 10))
    arrival = required_dates(chunk, draws, dates(journeys.day), number.plain & (diagnoses == 0))
    by_ambulance = journeys.call >= 0
    reason = np.where(arrival.reason > 0, arrival.reason, number.reason)
    plain = number.plain & arrival.plain
    withheld = demographics.withheld(draws, plain, chunk.floor)
    frame = Marks(owner=owner, reason=reason, sensitive=withheld, plain=plain & ~withheld).on(
        {
            "PRIMARYKEY_ID": ids,
            "attendance.unique_identifier": prefixed("EC", ids, 12),
            "patient.nhs_number.value": number.text,
            "patient.nhs_number.status": number_status(number.reason),
            "patient.birth_date": demographics.birth_date(world, owner),
            "patient.stated_gender": demographics.gender(world, owner),
            "patient.ethnic_category": demographics.ethnicity(world, owner),
            "patient.withheld_identity_reason": demographics.withheld_reason(owner, withheld),
            "patient.gp_registration.general_practice": demographics.practice(world, owner),
            "patient.usual_address.postcode": demographics.postcode(world, owner),
            "attendance.arrival.date": arrival.column,
            "attendance.arrival.time": times(journeys.second),
            "attendance.arrival.arrival_mode.code": labels(
                by_ambulance.astype(np.int64), ("1048071000000103", "1048031000000100")
            ),
            "attendance.arrival.attendance_category": labels(draws.pick(rows, (94, 6)), ("1", "2")),
            "attendance.arrival.ambulance_incident_number": _incidents(journeys, by_ambulance),
            "attendance.arrival.ambulance_care_contact_identifier": where(by_ambulance, prefixed("CC", ids, 10)),
            **_moment("initial_assessment", journeys, stay // 10),
            **_moment("seen_for_treatment", journeys, stay // 3),
            **_moment("decision_to_admit", journeys, stay // 2, journeys.admitted),
            **_moment("conclusion", journeys, stay - 300),
            **_moment("departure", journeys, stay),
            "attendance.discharge.destination.code": labels(journeys.admitted.astype(np.int64), (_HOME, _WARD)),
            "attendance.discharge.status.code": "182992009",
            "clinical.acuity.code": labels(draws.pick(rows, (2, 15, 45, 30, 8)), _ACUITY),
            "clinical.chief_complaint.code": labels(draws.pick(rows, (12, 12, 14, 25, 10, 6, 5)), _COMPLAINTS),
            "commissioning.service_agreement.provider": labels(journeys.hospital, HOSPITALS),
            "commissioning.service_agreement.commissioner": COMMISSIONER,
            "commissioning.national_pricing.final_price": pounds(draws.whole(rows, 8_500, 46_000)),
            "attendance.location.site": labels(journeys.hospital, [f"{hospital}01" for hospital in HOSPITALS]),
            "commissioning.grouping.health_resource_group": labels(draws.pick(rows, (30, 30, 25, 15)), _HRGS),
            "attendance.location.department_type": labels(draws.pick(rows, (78, 4, 18)), ("01", "02", "03")),
            "system.record.confidentiality_category": None,
            "system.record.version": "1",
            "patient.age_at_arrival": demographics.age_on(world, owner, journeys.day),
        }
    )
    coded = diagnoses > 0
    codes = {
        "diagnosis": _diagnoses(chunk, frame, diagnoses),
        "investigation": _done(chunk, frame, "investigations", _INVESTIGATIONS, coded),
        "treatment": _done(chunk, frame, "treatments", _TREATMENTS, coded),
    }
    away = flat.elsewhere(world, journeys.hospital)
    here = ~away
    copied = marks.with_copies(frame.filter(here), draws, 0.002, chunk.floor)
    diagnosed, looked_into, treated = (
        marks.with_copies(each.where(here), draws, 0.002, chunk.floor) for each in codes.values()
    )
    return EmergencyCare(copied, diagnosed, looked_into, treated, flat.attendances(chunk, frame, codes, away))


def _moment(what: str, journeys: Journeys, after: Ints, keep: Flags | None = None) -> dict[str, pl.Series]:
    """Date and time of something that happened some seconds after the arrival."""
    at = journeys.second + after
    day = dates(journeys.day + at // 86_400, keep)
    return {f"attendance.{what}.date": day, f"attendance.{what}.time": times(at % 86_400, keep)}


def _incidents(journeys: Journeys, by_ambulance: Flags) -> pl.Series | None:
    if not len(journeys.call_owner):
        return None
    return where(by_ambulance, call_numbers(journeys, journeys.call))


def _diagnoses(chunk: Chunk, attendances: pl.DataFrame, counts: Ints) -> Children:
    draws = chunk.draws("emergency_diagnoses")
    parent = np.repeat(np.arange(len(counts), dtype=np.int64), counts)
    position = ordinals(counts) + 1
    frame = _inherited(attendances, parent).on(
        {
            "PRIMARYKEY_ID": attendances["PRIMARYKEY_ID"].gather(parent),
            "SNOMED_ID": position,
            "ROWNUMBER_ID": position,
            "code": labels(draws.whole(len(parent), 0, len(_DIAGNOSES) - 1), _DIAGNOSES),
            "sequence_number": position,
            "qualifier": labels(draws.pick(len(parent), (85, 15)), ("410605003", "415684004")),
            "is_primary": labels((position == 1).astype(np.int64), ("false", "true")),
            "dmicImportLogId": "7100",
        }
    )
    return Children(frame, parent)


def _done(chunk: Chunk, attendances: pl.DataFrame, name: str, names: tuple[str, ...], coded: Flags) -> Children:
    """What was looked into or treated: nothing where nothing was diagnosed, up to three things else."""
    draws = chunk.draws(f"emergency_{name}")
    counts = np.where(coded, draws.pick(len(coded), (35, 40, 17, 8)), 0)
    parent = np.repeat(np.arange(len(counts), dtype=np.int64), counts)
    place = ordinals(counts) + 1
    frame = _inherited(attendances, parent).on(
        {
            "PRIMARYKEY_ID": attendances["PRIMARYKEY_ID"].gather(parent),
            "SNOMED_ID": place,
            "ROWNUMBER_ID": place,
            "code": labels(draws.whole(len(parent), 0, len(names) - 1), names),
            "is_code_approved": "true",
            "date": attendances["attendance.departure.date"].gather(parent),
            "time": attendances["attendance.departure.time"].gather(parent),
            "dmicImportLogId": "7100",
        }
    )
    return Children(frame, parent)


def _inherited(attendances: pl.DataFrame, parent: Ints) -> Marks:
    """The children of an attendance that cannot be linked or is withheld share its fate."""
    return Marks(
        owner=attendances[marks.OWNER].to_numpy()[parent],
        reason=attendances[marks.REASON].to_numpy()[parent],
        sensitive=attendances[marks.SENSITIVE].to_numpy()[parent],
    )
