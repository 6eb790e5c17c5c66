"""EMIS: practices, their sharing agreements, and the patient file, the only one that holds NHS numbers."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Self

import numpy as np
import polars as pl

from linkage.synthetic import codes, marks, tables
from linkage.synthetic.columns import dates, guids, labels, ordinals, prefixed, where
from linkage.synthetic.draws import Flags, Ints
from linkage.synthetic.marks import NOBODY, Marks, code
from linkage.synthetic.names import COUNTY, GIVEN_NAMES, STREETS, SURNAMES, TOWNS
from linkage.synthetic.numbers import PALINDROMES, REPEATED
from linkage.synthetic.people import NEVER, SEXES, WINDOW_DAYS, Population
from linkage.synthetic.places import DISABLED_PRACTICE
from linkage.synthetic.roles import PatientRow, Resent
from linkage.synthetic.tables import Delivery
from linkage.synthetic.world import BULK_AGE, Chunk, World
from linkage.synthetic.write import Extracts

_REASON_OF_ROW = np.array(
    [
        0,
        code("test_patient"),
        code("number_missing"),
        code("number_malformed"),
        code("number_check_digit"),
        code("number_blocked"),
        code("person_ambiguous"),
    ]
)
PROCESSING = "4711"


def practice_guids(world: World, practice: Ints) -> pl.Series:
    """The OrganisationGuid of each practice position."""
    every = guids(np.arange(len(world.places.practices), dtype=np.int64), world.seed, "practice")
    return every.gather(practice)


def patient_guids(chunk: Chunk, owner: Ints, older: Flags) -> pl.Series:
    """The PatientGuid of each owner's registration: the present one, or the older one."""
    every = guids(np.arange(2 * chunk.start, 2 * chunk.stop, dtype=np.int64), chunk.world.seed, "patient")
    return every.gather((owner - chunk.start) * 2 + older)


def clinician_guids(chunk: Chunk, owner: Ints, practice: Ints) -> pl.Series:
    """A UserInRoleGuid: one of eight clinicians of the practice, mostly the same one for a person."""
    count = len(chunk.world.places.practices) * 8
    every = guids(np.arange(count, dtype=np.int64), chunk.world.seed, "clinician")
    return every.gather(practice * 8 + owner % 8)


def key_reason(people: Population, owner: Ints) -> Ints:
    """Why the patient row of each owner identifies nobody; 0 where it does."""
    return _REASON_OF_ROW[people.roles.patient_row[owner]]


def registration_days(chunk: Chunk) -> Ints:
    """The day each person of the chunk joined the present practice."""
    people, today = chunk.world.population, chunk.world.today
    draws, rows = chunk.draws("registration"), slice(chunk.start, chunk.stop)
    latest = np.minimum(people.death_day[rows], today - BULK_AGE - 10)
    usual = draws.between(np.minimum(people.birth_day[rows], latest), latest)
    changed = draws.whole(chunk.size, today - WINDOW_DAYS + 30, today - 60)
    recent = draws.whole(chunk.size, today - BULK_AGE + 2, today - 4)
    return np.where(people.roles.late[rows], recent, np.where(people.roles.moved_practice[rows], changed, usual))


def write_practices(world: World, extracts: Extracts) -> None:
    """The tables of an EMIS delivery that describe no patient, in both deliveries."""
    every = np.arange(len(world.places.practices), dtype=np.int64)
    practice = every[~world.places.uses_tpp(every)]
    names = prefixed("Practice ", practice + 1)
    organisations = pl.DataFrame(
        {
            "OrganisationGuid": practice_guids(world, practice),
            "CDB": practice + 29_100,
            "OrganisationName": names,
            "ODSCode": pl.Series(world.places.practices).gather(practice),
            "OrganisationType": "GP Practice",
            "OpenDate": "1998-04-01",
            "CloseDate": None,
            "ProcessingId": PROCESSING,
        }
    )
    agreements = pl.DataFrame(
        {
            "OrganisationGuid": practice_guids(world, practice),
            "IsActivated": "true",
            "LastModifiedDate": "2021-03-15",
            "Disabled": labels((practice == DISABLED_PRACTICE).astype(np.int64), ("false", "true")),
            "Deleted": "false",
        }
    )
    for table, frame in (
        (tables.ORGANISATION, organisations),
        (tables.SHARING, agreements),
        (tables.CLINICAL_CODE, codes.clinical_codes()),
        (tables.DRUG_CODE, codes.drug_codes()),
    ):
        extracts.add_reference(table, frame, *Delivery)


@dataclass(frozen=True)
class Registrations:
    """One entry a patient row in each array."""

    owner: Ints
    later: Ints
    version: Ints
    older: Flags  # of the person's older registration, at another practice
    second: Flags  # the second row of an ambiguous key, with somebody else's number
    practice: Ints

    def where(self, keep: Flags) -> Self:
        """Some of the rows."""
        return type(self)(*(getattr(self, field.name)[keep] for field in fields(self)))


def patients(chunk: Chunk) -> pl.DataFrame:
    """The rows of Admin_Patient in both deliveries."""
    every = make_registrations(chunk)
    rows = every.where(~chunk.world.places.uses_tpp(every.practice))
    people, owner, practice = chunk.world.population, rows.owner, rows.practice
    ambiguous = people.roles.patient_row[owner] == PatientRow.AMBIGUOUS
    special = (people.roles.patient_row[owner] > 0) | (people.roles.resent[owner] > 0) | rows.older
    frame = Marks(
        owner=np.where(ambiguous, NOBODY, owner),
        reason=key_reason(people, owner),
        not_sharing=chunk.world.keeps_out(owner, practice),
        later=rows.later,
        version=rows.version,
        plain=~special,
    ).on(_columns(chunk, rows, practice))
    return marks.with_copies(frame, chunk.draws("patients"), 0.001, chunk.floor)


def make_registrations(chunk: Chunk) -> Registrations:
    """The patient rows of a chunk, in whichever system."""
    people = chunk.world.population
    roles = people.roles
    present = chunk.everyone[people.practice[chunk.everyone] >= 0]
    older = present[roles.moved_practice[present]]
    ambiguous = present[roles.patient_row[present] == PatientRow.AMBIGUOUS]
    resent = present[roles.resent[present] > 0]
    groups = (present, older, ambiguous, resent)
    group = np.repeat(np.arange(4), [len(one) for one in groups])
    owner = np.concatenate(groups)
    return Registrations(
        owner=owner,
        later=np.where((group == 3) | roles.late[owner], int(Delivery.LATER), int(Delivery.MAIN)),
        version=((group == 3) & (roles.resent[owner] == Resent.MOVED)).astype(np.int64),
        older=group == 1,
        second=group == 2,
        practice=np.where(group == 1, people.old_practice[owner], people.practice[owner]),
    )


def _columns(chunk: Chunk, rows: Registrations, practice: Ints) -> dict[str, pl.Series | Ints | str | None]:
    world, people, owner = chunk.world, chunk.world.population, rows.owner
    joined = registration_days(chunk)[owner - chunk.start]
    began = np.maximum(people.birth_day[owner], joined - 3_000)
    left = np.where(rows.older, joined, people.death_day[owner])
    before_move = (people.roles.resent[owner] == Resent.MOVED) & (rows.version == 0) & ~rows.older
    postcode = np.where(before_move, people.old_postcode[owner], people.postcode[owner])
    given, surname = labels(people.given[owner], GIVEN_NAMES), labels(people.surname[owner], SURNAMES)
    home = people.postcode[owner]
    return {
        "PatientGuid": patient_guids(chunk, owner, rows.older),
        "OrganisationGuid": practice_guids(world, practice),
        "UsualGpUserInRoleGuid": clinician_guids(chunk, owner, practice),
        "Sex": labels(people.sex[owner], SEXES),
        "DateOfBirth": dates(people.birth_day[owner]),
        "DateOfDeath": dates(people.death_day[owner], people.death_day[owner] < NEVER),
        "Title": labels(people.sex[owner], ("Mr", "Ms", "Mx", None)),
        "GivenName": given,
        "MiddleNames": where(owner % 3 == 0, labels((people.given[owner] + 7) % len(GIVEN_NAMES), GIVEN_NAMES)),
        "Surname": surname,
        "DateOfRegistration": dates(np.where(rows.older, began, joined)),
        "NhsNumber": number_texts(people, rows, before_move),
        "PatientNumber": owner + 1,
        "PatientTypeDescription": "Regular",
        "DummyType": labels((people.roles.patient_row[owner] == PatientRow.TEST).astype(np.int64), ("false", "true")),
        "HouseNameFlatNumber": where(owner % 5 == 0, prefixed("Flat ", owner % 40 + 1)),
        "NumberAndStreet": pl.select(
            pl.format("{} {}", pl.lit(pl.Series(owner % 180 + 1)), pl.lit(labels(home % len(STREETS), STREETS)))
        ).to_series(),
        "Village": None,
        "Town": labels(home % len(TOWNS), TOWNS),
        "County": COUNTY,
        "Postcode": world.places.postcodes.gather(postcode).str.replace(" ", "", literal=True),
        "NHSNumberStatus": None,
        "PersonGuid": guids(owner, world.seed, "person"),
        "DateOfDeactivation": dates(left, left < NEVER),
        "Deleted": "false",
        "SpineSensitive": labels(people.roles.sensitive[owner].astype(np.int64), ("false", "true")),
        "IsConfidential": "false",
        "EmailAddress": pl.select(
            pl.format("{}.{}@post.example", pl.lit(given.str.to_lowercase()), pl.lit(surname.str.to_lowercase()))
        ).to_series(),
        "HomePhone": prefixed("01632 960", owner % 1_000, 3),
        "MobilePhone": prefixed("07700 900", owner * 7 % 1_000, 3),
        "ProcessingId": PROCESSING,
    }  # fmt: skip


def number_texts(people: Population, rows: Registrations, before_move: Flags) -> pl.Series:
    """The NHS number as each patient row has it: replaced where the person had not moved yet, or wrong, or none."""
    owner, kind = rows.owner, people.roles.patient_row[rows.owner]
    older = people.older[owner]
    number = np.where(before_move & (older > 0), older, people.number[owner])
    # The second row of an ambiguous key holds the number of a neighbour, who is a person of England too.
    number = np.where(rows.second, people.number[np.abs(owner - 1)], number)
    number = np.where(kind == PatientRow.CHECK_DIGIT, number // 10 * 10 + (number + 3) % 10, number)
    blocked = np.concatenate([REPEATED[1:], PALINDROMES])[owner % 18]
    number = np.where(kind == PatientRow.BLOCKED, blocked, number)
    text = pl.Series(number).cast(pl.String).str.zfill(10)
    malformed = np.flatnonzero(kind == PatientRow.MALFORMED)
    turn = ordinals(np.array([len(malformed)]))
    broken = pl.Series(["12345", "-", "NOT GIVEN"], dtype=pl.String).gather(turn % 3)
    return where(kind != PatientRow.BLANK, text.scatter(malformed, broken))
