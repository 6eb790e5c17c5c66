"""Make a whole Integrated Care System: extracts, opt-outs, reference data, and the truth about them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from linkage.synthetic import registers, tables, tpp
from linkage.synthetic.acute import admitted_care
from linkage.synthetic.admissions import make_admissions
from linkage.synthetic.community import community_care
from linkage.synthetic.emergency import emergency_care
from linkage.synthetic.entries import make_entries
from linkage.synthetic.journeys import make_journeys
from linkage.synthetic.mental_health import mental_health
from linkage.synthetic.mergers import mergers
from linkage.synthetic.observations import observations
from linkage.synthetic.optouts import Answer, write_optouts
from linkage.synthetic.outpatients import outpatients
from linkage.synthetic.people import WINDOW_DAYS
from linkage.synthetic.prescribing import issues, make_prescriptions
from linkage.synthetic.primary_care import patients, write_practices
from linkage.synthetic.social_care import social_care
from linkage.synthetic.stream import Stream, decide
from linkage.synthetic.tables import Delivery
from linkage.synthetic.urgent import ambulances, crews, helpline
from linkage.synthetic.world import Chunk, World, make_world
from linkage.synthetic.write import Extracts

MINIMUM_PEOPLE = 100
_FOLDERS = ("extracts", "optouts", "reference", "truth")


class MadeUpIcs(BaseModel):
    """Where a made-up ICS was written, and from what: the same people, seed and date make the same bytes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    directory: Path
    people: int
    seed: int
    as_of: dt.date
    rows: int  # data rows in all extracts
    files: int


def make(
    directory: Path,
    people: int = 20_000,
    seed: int = 1,
    as_of: dt.date | None = None,
    progress: Callable[[int, int], None] | None = None,
    flat: bool = False,
    stream: Stream | None = None,
) -> MadeUpIcs:
    """Write a made-up ICS below ``directory`` and say what was written.

    ``as_of`` is the day the deliveries are counted back from, today in UTC unless given. ``progress`` is called with
    the number of people done and to do. With ``flat`` the third hospital delivers flat extracts.
    With ``stream`` this is the history of an ICS whose nights follow (``nights.deliver``), without a truth.
    Raises ValueError for
    fewer than 100 people or a negative seed, and FileExistsError where ``directory`` already holds a made-up ICS: old
    deliveries would mix with new ones.
    """
    if people < MINIMUM_PEOPLE:
        raise ValueError(f"a made-up ICS has at least {MINIMUM_PEOPLE} people")
    if seed < 0:
        raise ValueError("the seed must not be negative")
    for folder in _FOLDERS:
        if (directory / folder).exists():
            raise FileExistsError(f"{directory / folder} exists already")
    as_of = as_of or dt.datetime.now(dt.UTC).date()
    world = make_world(people, seed, as_of, flat, stream.days if stream else WINDOW_DAYS)
    with Extracts(directory, world, stream) as extracts:
        write_practices(world, extracts)
        extracts.add_reference(tables.MERGER, mergers(world), Delivery.MAIN)
        for chunk in world.chunks():
            _write_chunk(chunk, extracts)
            if progress is not None:
                progress(chunk.stop, people)
        extracts.finish()
    write_optouts(directory, world, at_first(world) if stream else None)
    (directory / "reference").mkdir(parents=True)
    world.places.reference().write_csv(directory / "reference/onspd.csv")
    files = sum(path.is_file() for folder in _FOLDERS for path in (directory / folder).rglob("*"))
    return MadeUpIcs(directory=directory, people=people, seed=seed, as_of=as_of, rows=extracts.rows, files=files)


def at_first(world: World) -> Answer:
    """What the national service says before the first night."""
    decisions = decide(world)
    return Answer(decisions.asked(world.population, 0), decisions.national_out(world.population, 0))


def _write_chunk(chunk: Chunk, extracts: Extracts) -> None:
    _write_primary_care(chunk, extracts)
    _write_registers(chunk, extracts)
    _write_outpatients(chunk, extracts)
    extracts.add(tables.SOCIAL_CARE, social_care(chunk))
    _write_urgent(chunk, extracts)
    community = community_care(chunk)
    extracts.add(tables.COMMUNITY_PERSON, community.people)
    extracts.add(tables.COMMUNITY_REFERRAL, community.referrals)
    extracts.add(tables.COMMUNITY_CONTACT, community.contacts)
    extracts.add(tables.COMMUNITY_ACTIVITY, community.activities)
    mental = mental_health(chunk)
    extracts.add(tables.MENTAL_PERSON, mental.people)
    extracts.add(tables.MENTAL_REFERRAL, mental.referrals)
    extracts.add(tables.MENTAL_CONTACT, mental.contacts)
    extracts.add(tables.MENTAL_SPELL, mental.spells)
    extracts.add(tables.MENTAL_STAY, mental.stays)
    extracts.add(tables.MENTAL_DIAGNOSIS, mental.diagnoses)


def _write_outpatients(chunk: Chunk, extracts: Extracts) -> None:
    care = outpatients(chunk)
    extracts.add(tables.APPOINTMENT, care.appointments)
    extracts.add(tables.APPOINTMENT_ICD, care.diagnoses)
    extracts.add(tables.APPOINTMENT_OPCS, care.procedures)
    if chunk.world.flat:
        extracts.add(tables.APPOINTMENT_FLAT, care.flat)


def _write_primary_care(chunk: Chunk, extracts: Extracts) -> None:
    """Each practice keeps its records in one of two systems."""
    entries, prescriptions = make_entries(chunk), make_prescriptions(chunk)
    extracts.add(tables.PATIENT, patients(chunk))
    extracts.add(tables.OBSERVATION, observations(chunk, entries))
    extracts.add(tables.ISSUE, issues(chunk, prescriptions))
    extracts.add(tables.TPP_PATIENT, tpp.patients(chunk))
    extracts.add(tables.TPP_REGISTRATION, tpp.registrations(chunk))
    extracts.add(tables.TPP_ADDRESS, tpp.addresses(chunk))
    extracts.add(tables.TPP_CODE, tpp.coded_entries(chunk, entries))
    extracts.add(tables.TPP_MEDICATION, tpp.medication(chunk, prescriptions))


def _write_registers(chunk: Chunk, extracts: Extracts) -> None:
    """Who people are, and who died."""
    extracts.add(tables.PERSON, registers.persons(chunk))
    extracts.add(tables.ADDRESS, registers.addresses(chunk))
    extracts.add(tables.REGISTERED, registers.registrations(chunk))
    extracts.add(tables.DEATH, registers.deaths(chunk))


def _write_urgent(chunk: Chunk, extracts: Extracts) -> None:
    """111, 999, emergency care and admissions tell of the same journeys."""
    journeys = make_journeys(chunk)
    extracts.add(tables.HELPLINE, helpline(chunk, journeys))
    extracts.add(tables.AMBULANCE, ambulances(chunk, journeys))
    extracts.add(tables.AMBULANCE_CREW, crews(chunk, journeys))
    emergency = emergency_care(chunk, journeys)
    extracts.add(tables.EMERGENCY, emergency.attendances)
    extracts.add(tables.EMERGENCY_DIAGNOSIS, emergency.diagnoses)
    extracts.add(tables.EMERGENCY_INVESTIGATION, emergency.investigations)
    extracts.add(tables.EMERGENCY_TREATMENT, emergency.treatments)
    admitted = admitted_care(chunk, make_admissions(chunk, journeys))
    extracts.add(tables.SPELL, admitted.spells)
    extracts.add(tables.EPISODE, admitted.episodes)
    extracts.add(tables.ICD, admitted.diagnoses)
    extracts.add(tables.OPCS, admitted.procedures)
    if chunk.world.flat:
        extracts.add(tables.EMERGENCY_FLAT, emergency.flat)
        extracts.add(tables.EPISODE_FLAT, admitted.flat)
    extracts.add_reference(tables.SPELL_LOG, admitted.log, Delivery.LATER)
