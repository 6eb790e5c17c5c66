"""TPP SystmOne: the patients of the practices that use it, their registrations, addresses, coded entries and medication."""

from __future__ import annotations

import numpy as np
import polars as pl

from linkage.synthetic import codes, marks
from linkage.synthetic.columns import labels, prefixed, where
from linkage.synthetic.draws import Draws, Flags, Ints
from linkage.synthetic.entries import Entries, recorded
from linkage.synthetic.marks import GONE, NOBODY, Marks, code
from linkage.synthetic.names import COUNTY, GIVEN_NAMES, STREETS, SURNAMES, TOWNS
from linkage.synthetic.observations import finding, values
from linkage.synthetic.people import NEVER, SEXES
from linkage.synthetic.prescribing import DOSAGES, Prescriptions
from linkage.synthetic.primary_care import (
    Registrations,
    key_reason,
    make_registrations,
    number_texts,
    registration_days,
)
from linkage.synthetic.roles import PatientRow, Resent
from linkage.synthetic.tables import Delivery
from linkage.synthetic.world import BULK_AGE, Chunk

Columns = dict[str, "pl.Series | Ints | str | None"]
_FIRST_PATIENT = 20_000_001
_NO, _KEPT, _REMOVED = "FALSE", "0", "1"
_UNITS = [None if one.unit is None else one.unit.replace("umol", "\u00b5mol") for one in codes.FINDINGS]


def dates(days: Ints, keep: Flags | None = None) -> pl.Series:
    """Days as TPP writes them, such as ``04 Mar 2026``."""
    column = pl.Series(days).cast(pl.Int32).cast(pl.Date).dt.to_string("%d %b %Y")
    return column if keep is None else where(keep, column)


def patients(chunk: Chunk) -> pl.DataFrame:
    """The rows of SRPatient in both deliveries; one that is sent again is the same, since it holds no address."""
    rows = _here(chunk)
    people, owner = chunk.world.population, rows.owner
    kind = people.roles.patient_row[owner]
    before_move = (people.roles.resent[owner] == Resent.MOVED) & (rows.version == 0) & ~rows.older
    frame = Marks(
        owner=np.where(kind == PatientRow.AMBIGUOUS, NOBODY, owner),
        reason=key_reason(people, owner),
        not_sharing=chunk.world.places.shares(rows.practice) == 0,
        later=rows.later,
        plain=(kind == PatientRow.NORMAL) & (people.roles.resent[owner] == Resent.NO) & ~rows.older,
    ).on(
        {
            "RowIdentifier": _keys(owner, rows.older),
            "IDOrganisationVisibleTo": _ods(chunk, rows.practice),
            "Title": labels(people.sex[owner], ("Mr", "Ms", "Mx", None)),
            "FirstName": labels(people.given[owner], GIVEN_NAMES),
            "MiddleNames": None,
            "Surname": labels(people.surname[owner], SURNAMES),
            "PreviousSurname": None,
            "NHSNumber": number_texts(people, rows, before_move),
            "DateBirth": dates(people.birth_day[owner]),
            "DateDeath": dates(people.death_day[owner], people.death_day[owner] < NEVER),
            "BirthPlace": labels(owner % len(TOWNS), TOWNS),
            "Gender": labels(people.sex[owner], SEXES),
            "SpeaksEnglish": "Yes",
            "EmailAddress": None,
            "TestPatient": labels((kind == PatientRow.TEST).astype(np.int64), (_NO, "TRUE")),
            "SSRef": None,
            "SpineMatched": "TRUE",
            "RemovedData": _KEPT,
        }
    )
    return marks.with_copies(frame, chunk.draws("tpp_patients"), 0.001, chunk.floor)


def registrations(chunk: Chunk) -> pl.DataFrame:
    """The rows of SRPatientRegistration: one for each patient, in the delivery that first holds them."""
    rows = _first_sent(chunk)
    people, owner = chunk.world.population, rows.owner
    joined = registration_days(chunk)[owner - chunk.start]
    began = np.where(rows.older, np.maximum(people.birth_day[owner], joined - 3_000), joined)
    left = np.where(rows.older, joined, people.death_day[owner])
    return _by_key(chunk, rows).on(
        {
            **_event(chunk, owner * 2 + rows.older + 1, rows.practice, owner, rows.older),
            "DateRegistration": dates(began),
            "DateDeRegistration": dates(left, left < NEVER),
            "RegistrationStatus": "GMS",
            "PreferredPharmacy": labels(owner % len(TOWNS), [f"Pharmacy of {town}" for town in TOWNS]),
            "RemovedData": _KEPT,
        }
    )


def addresses(chunk: Chunk) -> pl.DataFrame:
    """The rows of SRPatientAddressHistory: who moved has a second one later, and the first again with its end."""
    rows = _first_sent(chunk)
    rows = rows.where(~rows.older)
    moved = chunk.world.population.roles.resent[rows.owner] == Resent.MOVED
    at_first = _addresses(chunk, rows, moved, again=False)
    if not moved.any():
        return at_first
    movers = rows.where(moved)
    every = np.ones(len(movers.owner), dtype=np.bool_)
    left = _addresses(chunk, movers, every, again=True)
    return pl.concat([at_first, left, _addresses(chunk, movers, ~every, again=True, second=True)])


def _addresses(chunk: Chunk, rows: Registrations, old: Flags, *, again: bool, second: bool = False) -> pl.DataFrame:
    people, owner = chunk.world.population, rows.owner
    postcode = np.where(old, people.old_postcode[owner], people.postcode[owner])
    moved = chunk.world.today - 8
    began = np.full(len(owner), moved) if second else np.maximum(people.birth_day[owner], chunk.world.today - 4_000)
    ended = np.full(len(owner), moved if again and not second else NEVER, dtype=np.int64)
    given = _by_key(chunk, rows)
    later = np.full(len(owner), int(Delivery.LATER), dtype=np.int64) if again else rows.later
    version = np.full(len(owner), int(again and not second), dtype=np.int64)
    return Marks(given.owner, given.reason, not_sharing=given.not_sharing, later=later, version=version).on(
        {
            **_event(chunk, owner * 2 + second + 1, rows.practice, owner, rows.older),
            "DateEvent": dates(began),
            "NameOfBuilding": None,
            "NumberOfBuilding": pl.Series(owner % 180 + 1).cast(pl.String),
            "NameOfRoad": labels(postcode % len(STREETS), STREETS),
            "NameOfTown": labels(postcode % len(TOWNS), TOWNS),
            "NameOfCounty": COUNTY,
            "FullPostCode": chunk.world.places.postcodes.gather(postcode),
            "DateTo": dates(ended, ended < NEVER),
            "AddressType": "Home",
            "RemovedData": _KEPT,
        }
    )


def coded_entries(chunk: Chunk, entries: Entries) -> pl.DataFrame:
    """The rows of SRCode in both deliveries; of the entries those made in this system."""
    draws, people = chunk.draws("tpp_codes"), chunk.world.population
    entries = entries.where(chunk.world.places.uses_tpp(recorded(chunk, entries.owner, entries.day).practice))
    owner, place = entries.owner, finding(entries.position)
    made = recorded(chunk, owner, entries.day)
    late = people.roles.late[owner] | (entries.day >= chunk.world.today - BULK_AGE)
    kind = people.roles.patient_row[owner]
    frame = Marks(
        owner=np.where(kind == PatientRow.AMBIGUOUS, NOBODY, owner),
        reason=key_reason(people, owner),
        not_sharing=chunk.world.places.shares(made.practice) == 0,
        later=late.astype(np.int64),
        deleted=entries.deleted,
        plain=entries.plain & (kind == PatientRow.NORMAL),
    ).on(
        {
            **_event(chunk, chunk.ids(len(owner)), made.practice, owner, made.older),
            "DateEventRecorded": dates(entries.day),
            "DateEvent": dates(entries.day, entries.dated),
            "IDEvent": owner * 100_000 + entries.day,
            "CTV3Code": codes.ctv3_codes(entries.position),
            "CTV3Text": labels(entries.position, codes.TERMS),
            "SNOMEDCode": codes.snomed_codes(entries.position),
            "NumericValue": values(draws, entries.position),
            "NumericUnit": labels(place, _UNITS),
            "EpisodeType": labels(draws.pick(len(owner), (80, 20)), (None, "First")),
            "RemovedData": labels(entries.deleted.astype(np.int64), (_KEPT, _REMOVED)),
        }
    )
    frame = _orphaned(frame, chunk, draws)
    return marks.with_copies(_deleted_later(frame, chunk, draws), draws, 0.001, chunk.floor)


def medication(chunk: Chunk, prescriptions: Prescriptions) -> pl.DataFrame:
    """The rows of SRPrimaryCareMedication in both deliveries; of the prescriptions those made in this system."""
    draws, people = chunk.draws("tpp_medication"), chunk.world.population
    made = recorded(chunk, prescriptions.owner, prescriptions.day)
    here = prescriptions.where(chunk.world.places.uses_tpp(made.practice))
    owner, day = here.owner, here.day
    made = recorded(chunk, owner, day)
    kind = people.roles.patient_row[owner]
    frame = Marks(
        owner=np.where(kind == PatientRow.AMBIGUOUS, NOBODY, owner),
        reason=key_reason(people, owner),
        not_sharing=chunk.world.places.shares(made.practice) == 0,
        later=(people.roles.late[owner] | (day >= chunk.world.today - BULK_AGE)).astype(np.int64),
        plain=kind == PatientRow.NORMAL,
    ).on(
        {
            **_event(chunk, chunk.ids(len(owner)), made.practice, owner, made.older),
            "DateEventRecorded": dates(day),
            "IDEvent": owner * 100_000 + day,
            "IDMultiLexProduct": here.drug + 4_001,
            "IDMultiLexDMD": codes.dmd_codes(here.drug),
            "NameOfMedication": labels(here.drug, codes.DRUGS),
            "DateMedicationStart": dates(day),
            "DateMedicationEnd": dates(day + 28),
            "MedicationDosage": labels(here.drug % len(DOSAGES), DOSAGES),
            "MedicationQuantity": pl.select(pl.format("{} tablet", pl.lit(pl.Series(here.quantity)))).to_series(),
            "IsRepeatMedication": labels(draws.pick(len(owner), (30, 70)), (_NO, "TRUE")),
            "IsOtherMedication": _NO,
            "IsDentalMedication": _NO,
            "IsHospitalMedication": _NO,
            "RemovedData": _KEPT,
        }
    )
    return marks.with_copies(_deleted_later(frame, chunk, draws), draws, 0.001, chunk.floor)


def _here(chunk: Chunk) -> Registrations:
    """The patient rows of the practices that use TPP."""
    rows = make_registrations(chunk)
    return rows.where(chunk.world.places.uses_tpp(rows.practice))


def _first_sent(chunk: Chunk) -> Registrations:
    """One row for each patient of those practices."""
    rows = _here(chunk)
    again = (rows.later == int(Delivery.LATER)) & ~chunk.world.population.roles.late[rows.owner]
    return rows.where(~rows.second & ~again)


def _by_key(chunk: Chunk, rows: Registrations) -> Marks:
    """Marks of rows that find their person by the patient's key."""
    people, owner = chunk.world.population, rows.owner
    ambiguous = people.roles.patient_row[owner] == PatientRow.AMBIGUOUS
    return Marks(
        owner=np.where(ambiguous, NOBODY, owner),
        reason=key_reason(people, owner),
        not_sharing=chunk.world.places.shares(rows.practice) == 0,
        later=rows.later,
    )


def _event(chunk: Chunk, row: Ints, practice: Ints, owner: Ints, older: Flags) -> Columns:
    """The columns that every table but SRPatient has."""
    ods = _ods(chunk, practice)
    return {
        "RowIdentifier": pl.Series(row).cast(pl.String),
        "IDOrganisationVisibleTo": ods,
        "IDPatient": _keys(owner, older),
        "IDOrganisation": ods,
        "IDOrganisationRegisteredAt": ods,
    }


def _ods(chunk: Chunk, practice: Ints) -> pl.Series:
    return labels(practice, chunk.world.places.practices)


def _keys(owner: Ints, older: Flags) -> pl.Series:
    return pl.Series(owner * 2 + older + _FIRST_PATIENT).cast(pl.String)


def _orphaned(frame: pl.DataFrame, chunk: Chunk, draws: Draws) -> pl.DataFrame:
    """Give some entries the key of a patient who is in no delivery."""
    rows = draws.some(marks.plain_rows(frame), 0.0005, chunk.floor)
    keys = frame["IDPatient"].scatter(rows, prefixed("9", rows + chunk.start, 8))
    changes = {
        "IDPatient": pl.lit(keys),
        marks.OWNER: pl.lit(NOBODY, dtype=pl.Int64),
        marks.REASON: pl.lit(code("person_unknown"), dtype=pl.Int64),
    }
    return marks.plant(frame, rows, **changes)


def _deleted_later(frame: pl.DataFrame, chunk: Chunk, draws: Draws) -> pl.DataFrame:
    """Delete some rows of the first delivery in the second, by rows that hold their identifier and nothing else.

    Such a row lacks the patient, so it is removed for that, and withdraws the one that it deletes.
    """
    first = (frame[marks.LATER] == int(Delivery.MAIN)).to_numpy()
    rows = draws.some(marks.plain_rows(frame) & first, 0.002, chunk.floor)
    frame = marks.plant(frame, rows, **{GONE: pl.lit(code("withdrawn"), dtype=pl.Int64)})
    kept = {"RowIdentifier", "IDOrganisationVisibleTo", "RemovedData", *marks.HIDDEN}
    bare = marks.sent_again(frame, rows).with_columns(
        *(pl.lit(None, dtype).alias(name) for name, dtype in frame.schema.items() if name not in kept),
        pl.lit(_REMOVED).alias("RemovedData"),
        pl.lit(NOBODY, dtype=pl.Int64).alias(marks.OWNER),
        pl.lit(code("required_missing"), dtype=pl.Int64).alias(marks.REASON),
        pl.lit(0, dtype=pl.Int64).alias(GONE),
    )
    return pl.concat([frame, bare])
