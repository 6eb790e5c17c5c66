"""CSDS: people known to community services, their referrals and their contacts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from linkage.synthetic import demographics, marks
from linkage.synthetic.columns import dates, hex_ids, labels, prefixed, times, where
from linkage.synthetic.defects import PersonColumn, number_column, number_status, required_dates, stand_ins
from linkage.synthetic.draws import Draws, Flags, Ints
from linkage.synthetic.marks import NOBODY, Marks
from linkage.synthetic.places import COMMISSIONER, COMMUNITY
from linkage.synthetic.referrals import Caseload, inherited, make_caseload, seconds_of_day
from linkage.synthetic.world import MAIN_AGE, Chunk, World

_PROCEDURES = ("225358003", "182531007", "385763009", "229065009")  # wound care, dressing, hospice care, exercise


@dataclass(frozen=True)
class CommunityCare:
    """The four tables."""

    people: pl.DataFrame
    referrals: pl.DataFrame
    contacts: pl.DataFrame
    activities: pl.DataFrame


def community_care(chunk: Chunk) -> CommunityCare:
    """The rows of a chunk; some people and contacts are sent again, some of them corrected."""
    draws = chunk.draws("community")
    known = draws.chance(chunk.size, chunk.world.rates.community[chunk.start : chunk.stop])
    case = make_caseload(chunk, draws, known, 4.3, np.zeros(chunk.size, dtype=np.int64))
    people = _people(chunk, draws, case)
    referrals, contacts = _referrals(chunk, draws, case, people), _contacts(chunk, draws, case, people)
    activities = _activities(chunk, case, people)
    floor = chunk.floor

    people, same = marks.again(people, draws, 0.02, floor)
    moved = draws.some(marks.plain_rows(people), 0.01, floor)
    people = marks.plant(people, moved)
    elsewhere = demographics.old_postcode(chunk.world, case.person[moved])
    second = marks.corrected(marks.sent_again(people, moved), Postcode=pl.lit(elsewhere))
    people = pl.concat([people, same, second])

    contacts, repeated = marks.again(contacts, draws, 0.015, floor)
    contacts, wrong = marks.again(contacts, draws, 0.01, floor)
    status = pl.when(pl.col("AttendanceStatus") == "5").then(pl.lit("7")).otherwise(pl.lit("5"))
    contacts = pl.concat([contacts, repeated, marks.corrected(wrong, AttendanceStatus=status)])
    return CommunityCare(
        marks.with_copies(people, draws, 0.002, floor),
        marks.with_copies(referrals, draws, 0.002, floor),
        marks.with_copies(contacts, draws, 0.001, floor),
        marks.with_copies(activities, chunk.draws("community_activities_again"), 0.001, floor),
    )


def month_id(world: World) -> str:
    """Months since April 1900, counted from one, of the main delivery."""
    delivered = np.datetime64(world.as_of) - np.timedelta64(MAIN_AGE, "D")
    return str(int(delivered.astype("datetime64[M]").astype(np.int64)) + 70 * 12 - 2)


def _provider(person: Ints) -> Ints:
    return person // 7 % len(COMMUNITY)


def _identified(provider: pl.Series, local: pl.Series) -> pl.Series:
    return provider + local


def _sent(world: World) -> str:
    return str(world.as_of - np.timedelta64(MAIN_AGE, "D").astype(object))


def _people(chunk: Chunk, draws: Draws, case: Caseload) -> pl.DataFrame:
    world, owner = chunk.world, case.person
    number = number_column(chunk, draws, owner)
    provider = labels(_provider(owner), COMMUNITY)
    mother: Ints = np.where(draws.chance(len(owner), 0.7), world.population.mother[owner], NOBODY)
    died = stand_ins(draws, demographics.death_date(world, owner), number.plain, 0.005, chunk.floor)
    return Marks(owner=owner, reason=number.reason, mother=mother, plain=_undated(world, owner, died, number)).on(
        {
            "LocalPatientID": prefixed("P", owner + 1, 8),
            "OrgID_LocalPatientID": provider,
            "NHSNumber": number.text,
            "NHSNumber_Status": number_status(number.reason),
            "DateOfBirth": demographics.birth_date(world, owner),
            "Postcode": demographics.postcode(world, owner),
            "Gender": demographics.gender(world, owner),
            "EthnicCategory": demographics.ethnicity(world, owner),
            "DateOfDeath": died,
            "NHSNumber_Mother": where(
                np.asarray(mother >= 0, dtype=np.bool_),
                pl.Series(world.population.number[mother]).cast(pl.String).str.zfill(10),
            ),
            "EFFECTIVE_FROM": _sent(world),
            "OrgID_Provider": provider,
            "Person_ID": hex_ids(owner, world.seed, "csds"),
            "UniqueSubmissionID": labels(_provider(owner), ("880001", "880002")),
            "Unique_MonthID": month_id(world),
            "RecordNumber": owner + 1,
        }
    )


def _undated(world: World, owner: Ints, died: pl.Series, number: PersonColumn) -> Flags:
    planted = died.is_not_null() & demographics.death_date(world, owner).is_null()
    return np.asarray(number.plain & ~planted.to_numpy(), dtype=np.bool_)


def _referrals(chunk: Chunk, draws: Draws, case: Caseload, people: pl.DataFrame) -> pl.DataFrame:
    world, owner = chunk.world, case.person[case.referral_of]
    rows = len(owner)
    local, provider = prefixed("R", chunk.ids(rows), 9), labels(_provider(owner), COMMUNITY)
    closed = dates(case.closed, case.closed < world.today - MAIN_AGE)
    empty = closed.is_null().to_numpy()
    closed = stand_ins(draws, closed, people[marks.PLAIN].to_numpy()[case.referral_of], 0.02, chunk.floor)
    untouched = ~(empty & closed.is_not_null().to_numpy())
    return inherited(people, case.referral_of, untouched).on(
        {
            "ServiceRequestID": local,
            "LocalPatientID": prefixed("P", owner + 1, 8),
            "OrgID_Commissioner": COMMISSIONER,
            "ReferralRequest_ReceivedDate": dates(case.received),
            "SourceOfReferral": labels(draws.pick(rows, (60, 20, 15, 5)), ("01", "05", "11", "03")),
            "PrimaryReferralReason": labels(draws.whole(rows, 0, 5), ("01", "04", "09", "15", "22", "35")),
            "Discharge_Date": closed,
            "EFFECTIVE_FROM": _sent(world),
            "OrgID_Provider": provider,
            "Person_ID": hex_ids(owner, world.seed, "csds"),
            "UniqueSubmissionID": labels(_provider(owner), ("880001", "880002")),
            "Unique_ServiceRequestID": _identified(provider, local),
            "Unique_MonthID": month_id(world),
            "RecordNumber": chunk.ids(rows),
        }
    )


def _contacts(chunk: Chunk, draws: Draws, case: Caseload, people: pl.DataFrame) -> pl.DataFrame:
    world, referral = chunk.world, case.contact_of
    parent = case.referral_of[referral]
    owner, rows = case.person[parent], len(referral)
    request = prefixed("R", chunk.ids(len(case.referral_of)), 9).gather(referral)
    local, provider = prefixed("C", chunk.ids(rows), 9), labels(_provider(owner), COMMUNITY)
    when = required_dates(chunk, draws, dates(case.contact_day), people[marks.PLAIN].to_numpy()[parent])
    reason = np.where(when.reason > 0, when.reason, people[marks.REASON].to_numpy()[parent])
    return Marks(owner=owner, reason=reason, plain=when.plain & (reason == 0)).on(
        {
            "CareContactID": local,
            "ServiceRequestID": request,
            "Contact_Date": when.column,
            "Contact_Time": times(seconds_of_day(draws, rows)),
            "OrgID_Commissioner": COMMISSIONER,
            "CareContact_Duration": draws.whole(rows, 2, 18) * 5,
            "ConsMechanism": labels(draws.pick(rows, (75, 20, 5)), ("01", "02", "11")),
            "AttendanceStatus": labels(draws.pick(rows, (90, 5, 5)), ("5", "7", "3")),
            "EFFECTIVE_FROM": _sent(world),
            "OrgID_Provider": provider,
            "Person_ID": hex_ids(owner, world.seed, "csds"),
            "UniqueSubmissionID": labels(_provider(owner), ("880001", "880002")),
            "Unique_ServiceRequestID": _identified(provider, request),
            "Unique_CareContactID": _identified(provider, local),
            "Unique_MonthID": month_id(world),
            "RecordNumber": chunk.ids(rows),
        }
    )


def _activities(chunk: Chunk, case: Caseload, people: pl.DataFrame) -> pl.DataFrame:
    """What was done in three of five contacts; an activity finds its person by itself, whatever is wrong with its contact."""
    world, draws = chunk.world, chunk.draws("community_activities")
    contact = np.flatnonzero(draws.chance(len(case.contact_of), 0.6))
    parent = case.referral_of[case.contact_of[contact]]
    owner, rows = case.person[parent], len(contact)
    provider, local = labels(_provider(owner), COMMUNITY), prefixed("A", chunk.ids(rows), 9)
    within = prefixed("C", chunk.ids(len(case.contact_of)), 9).gather(contact)
    weighed = draws.chance(rows, 0.3)
    return inherited(people, parent).on(
        {
            "CareActivityID": local,
            "CareContactID": within,
            "Activity_Type": labels(draws.pick(rows, (50, 30, 20)), ("06", "11", "20")),
            "CareActivity_Duration": draws.whole(rows, 1, 9) * 5,
            "Procedure_Scheme": where(~weighed, pl.Series(["06"]).new_from_index(0, rows)),
            "CodedProcedure": where(~weighed, labels(draws.whole(rows, 0, len(_PROCEDURES) - 1), _PROCEDURES)),
            "Observation_Scheme": where(weighed, pl.Series(["03"]).new_from_index(0, rows)),
            "CodedObservation": where(weighed, pl.Series(["27113001"]).new_from_index(0, rows)),
            "ObservationValue": where(weighed, pl.Series(draws.whole(rows, 40, 120)).cast(pl.String)),
            "UC_UnitOfMeasurement": where(weighed, pl.Series(["kg"]).new_from_index(0, rows)),
            "EFFECTIVE_FROM": _sent(world),
            "OrgID_Provider": provider,
            "Person_ID": hex_ids(owner, world.seed, "csds"),
            "UniqueSubmissionID": labels(_provider(owner), ("880001", "880002")),
            "Unique_CareContactID": _identified(provider, within),
            "Unique_CareActivityID": _identified(provider, local),
            "Unique_MonthID": month_id(world),
            "RecordNumber": chunk.ids(rows),
        }
    )
