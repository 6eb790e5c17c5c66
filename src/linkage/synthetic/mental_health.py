"""MHSDS: people known to mental health services, their referrals, contacts and hospital spells."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from linkage.synthetic import demographics, marks
from linkage.synthetic.columns import dates, hex_ids, labels, prefixed, times
from linkage.synthetic.community import month_id
from linkage.synthetic.defects import number_column, number_status, stand_ins
from linkage.synthetic.draws import Draws, Flags, Ints
from linkage.synthetic.marks import Marks
from linkage.synthetic.places import COMMISSIONER, MENTAL_HEALTH
from linkage.synthetic.referrals import Caseload, inherited, make_caseload, seconds_of_day
from linkage.synthetic.world import MAIN_AGE, Chunk

_SUBMISSION = "990001"
_CONTACTS_OF_FOREIGNERS = 3
# Depression, anxiety, dementia, schizophrenia: in ICD-10, then in SNOMED CT.
_DIAGNOSES = ("F329", "F419", "F03X", "F209", "35489007", "197480006", "52448006", "58214004")


@dataclass(frozen=True)
class MentalHealth:
    """The six tables."""

    people: pl.DataFrame
    referrals: pl.DataFrame
    contacts: pl.DataFrame
    spells: pl.DataFrame
    stays: pl.DataFrame
    diagnoses: pl.DataFrame


def mental_health(chunk: Chunk) -> MentalHealth:
    """The rows of a chunk; the NHS number is written as an integer, so a leading zero is lost."""
    draws, everyone = chunk.draws("mental_health"), chunk.everyone
    foreign = chunk.world.population.foreign[everyone]
    known = foreign | draws.chance(chunk.size, chunk.world.rates.mental_health[chunk.start : chunk.stop])
    case = make_caseload(chunk, draws, known, 5.9, foreign * _CONTACTS_OF_FOREIGNERS)
    people = _people(chunk, draws, case)
    tables = (
        _referrals(chunk, draws, case, people),
        _contacts(chunk, draws, case, people),
        _spells(chunk, draws, case, people),
    )
    rates = (0.002, 0.001, 0.01)
    referrals, contacts, spells = (
        marks.with_copies(one, draws, rate, chunk.floor) for one, rate in zip(tables, rates, strict=True)
    )
    told = marks.with_copies(people, draws, 0.002, chunk.floor)
    return MentalHealth(told, referrals, contacts, spells, _stays(chunk, tables[-1]), _diagnoses(chunk, case, people))


def _common(chunk: Chunk, owner: Ints) -> dict[str, pl.Series | Ints | str | None]:
    return {
        "OrgIDProv": MENTAL_HEALTH,
        "Person_ID": hex_ids(owner, chunk.world.seed, "mhsds"),
        "UniqSubmissionID": _SUBMISSION,
    }


def _sent(chunk: Chunk) -> dict[str, pl.Series | Ints | str | None]:
    delivered = chunk.world.as_of - np.timedelta64(MAIN_AGE, "D").astype(object)
    return {"UniqMonthID": month_id(chunk.world), "EFFECTIVE_FROM": str(delivered)}


def _people(chunk: Chunk, draws: Draws, case: Caseload) -> pl.DataFrame:
    world, owner = chunk.world, case.person
    number = number_column(chunk, draws, owner, integer=True)
    return Marks(owner=owner, reason=number.reason, plain=number.plain).on(
        {
            "LocalPatientID": prefixed("M", owner + 1, 8),
            "OrgIDLocalPatientID": MENTAL_HEALTH,
            "NHSNumber": number.text,
            "NHSNumberStatus": number_status(number.reason),
            "PersonBirthDate": demographics.birth_date(world, owner),
            "Postcode": demographics.postcode(world, owner),
            "Gender": demographics.gender(world, owner),
            "EthnicCategory": demographics.ethnicity(world, owner),
            "PersDeathDate": demographics.death_date(world, owner),
            **_common(chunk, owner),
            **_sent(chunk),
            "RecordNumber": owner + 1,
        }
    )


def _identified(local: pl.Series) -> pl.Series:
    return pl.select(pl.lit(MENTAL_HEALTH) + pl.lit(local)).to_series()


def _ending(chunk: Chunk, draws: Draws, day: Ints) -> tuple[pl.Series, Flags]:
    """An end date, empty while open, sometimes a stand-in; and the rows without a stand-in."""
    ends = dates(day, day < chunk.world.today - MAIN_AGE)
    still_open = ends.is_null().to_numpy()
    filled = stand_ins(draws, ends, still_open, 0.05, chunk.floor)
    return filled, ~(still_open & filled.is_not_null().to_numpy())


def _referrals(chunk: Chunk, draws: Draws, case: Caseload, people: pl.DataFrame) -> pl.DataFrame:
    owner = case.person[case.referral_of]
    rows = len(owner)
    local = prefixed("R", chunk.ids(rows), 9)
    closed, plain = _ending(chunk, draws, case.closed)
    return inherited(people, case.referral_of, plain).on(
        {
            "ServiceRequestID": local,
            "LocalPatientID": prefixed("M", owner + 1, 8),
            "OrgIDComm": COMMISSIONER,
            "ReferralRequestReceivedDate": dates(case.received),
            "SourceOfReferralMH": labels(draws.pick(rows, (50, 25, 15, 10)), ("A1", "B1", "H1", "F1")),
            "PrimReasonReferralMH": labels(draws.whole(rows, 0, 5), ("01", "04", "10", "15", "18", "24")),
            "ServDischDate": closed,
            **_common(chunk, owner),
            "UniqServReqID": _identified(local),
            **_sent(chunk),
            "RecordNumber": chunk.ids(rows),
        }
    )


def _contacts(chunk: Chunk, draws: Draws, case: Caseload, people: pl.DataFrame) -> pl.DataFrame:
    referral = case.contact_of
    parent = case.referral_of[referral]
    owner, rows = case.person[parent], len(referral)
    request = prefixed("R", chunk.ids(len(case.referral_of)), 9).gather(referral)
    local = prefixed("C", chunk.ids(rows), 9)
    return inherited(people, parent).on(
        {
            "CareContactID": local,
            "ServiceRequestID": request,
            "CareContDate": dates(case.contact_day),
            "CareContTime": times(seconds_of_day(draws, rows)),
            "OrgIDComm": COMMISSIONER,
            "ClinContDurOfCareCont": draws.whole(rows, 2, 18) * 5,
            "ConsMechanismMH": labels(draws.pick(rows, (60, 25, 15)), ("01", "02", "11")),
            "AttendStatus": labels(draws.pick(rows, (84, 9, 7)), ("5", "7", "3")),
            **_common(chunk, owner),
            "UniqServReqID": _identified(request),
            "UniqCareContID": _identified(local),
            **_sent(chunk),
            "RecordNumber": chunk.ids(rows),
        }
    )


def _spells(chunk: Chunk, draws: Draws, case: Caseload, people: pl.DataFrame) -> pl.DataFrame:
    all_rows = case.person[case.referral_of]
    foreign = chunk.world.population.foreign[all_rows]
    referral = np.flatnonzero(foreign | draws.chance(len(all_rows), 0.05))
    owner, rows = all_rows[referral], len(referral)
    local = prefixed("S", chunk.ids(rows), 9)
    request = prefixed("R", chunk.ids(len(all_rows)), 9).gather(referral)
    death = chunk.world.population.death_day[owner]
    ends, plain = _ending(chunk, draws, np.minimum(case.received[referral] + draws.whole(rows, 3, 120), death))
    return inherited(people, case.referral_of[referral], plain).on(
        {
            "HospProvSpellID": local,
            "ServiceRequestID": request,
            "StartDateHospProvSpell": dates(case.received[referral]),
            "DischDateHospProvSpell": ends,
            "MethAdmMHHospProvSpell": labels(draws.pick(rows, (40, 40, 20)), ("11", "2A", "21")),
            "DestOfDischHospProvSpell": labels(draws.pick(rows, (85, 15)), ("19", "54")),
            **_common(chunk, owner),
            "UniqServReqID": _identified(request),
            "UniqHospProvSpellID": _identified(local),
            **_sent(chunk),
            "RecordNumber": chunk.ids(rows),
        }
    )


def _stays(chunk: Chunk, spells: pl.DataFrame) -> pl.DataFrame:
    """One stay on a ward for each hospital spell, as long as the spell."""
    draws, rows = chunk.draws("mental_health_stays"), len(spells)
    local = prefixed("W", chunk.ids(rows), 9)
    return inherited(spells, np.arange(rows, dtype=np.int64)).on(
        {
            "WardStayID": local,
            "HospProvSpellID": spells["HospProvSpellID"],
            "StartDateWardStay": spells["StartDateHospProvSpell"],
            "EndDateWardStay": spells["DischDateHospProvSpell"],
            "WardType": labels(draws.pick(rows, (80, 20)), ("03", "06")),
            "HospitalBedTypeName": labels(
                draws.pick(rows, (70, 20, 10)), ("Adult acute", "Older adult", "Intensive care")
            ),
            "OrgIDProv": MENTAL_HEALTH,
            "Person_ID": spells["Person_ID"],
            "UniqSubmissionID": _SUBMISSION,
            "UniqServReqID": spells["UniqServReqID"],
            "UniqHospProvSpellID": spells["UniqHospProvSpellID"],
            "UniqWardStayID": _identified(local),
            **_sent(chunk),
            "RecordNumber": chunk.ids(rows),
        }
    )


def _diagnoses(chunk: Chunk, case: Caseload, people: pl.DataFrame) -> pl.DataFrame:
    """A primary diagnosis of every second referral, in one of two code systems."""
    draws = chunk.draws("mental_health_diagnoses")
    referral = np.flatnonzero(draws.chance(len(case.referral_of), 0.5))
    parent = case.referral_of[referral]
    owner, rows = case.person[parent], len(referral)
    request = prefixed("R", chunk.ids(len(case.referral_of)), 9).gather(referral)
    which = draws.pick(rows, (40, 30, 15, 15))
    snomed = draws.chance(rows, 0.5)
    return inherited(people, parent).on(
        {
            "ServiceRequestID": request,
            "DiagSchemeInUse": labels(snomed.astype(np.int64), ("02", "06")),
            "PrimDiag": labels(which + 4 * snomed, _DIAGNOSES),
            "CodedDiagTimestamp": dates(case.received[referral]),
            **_common(chunk, owner),
            "UniqServReqID": _identified(request),
            **_sent(chunk),
            "RecordNumber": chunk.ids(rows),
        }
    )
