"""111 and 999 calls; many of them know no NHS number."""

from __future__ import annotations

import numpy as np
import polars as pl

from linkage.synthetic import demographics, marks
from linkage.synthetic.columns import labels, moments, prefixed, where
from linkage.synthetic.defects import number_column
from linkage.synthetic.draws import Ints
from linkage.synthetic.journeys import Journeys, call_numbers
from linkage.synthetic.marks import Marks
from linkage.synthetic.people import SEXES
from linkage.synthetic.places import HOSPITALS
from linkage.synthetic.world import Chunk

_DISPOSITIONS = (
    ("Dx012", "Emergency ambulance response, 999"),
    ("Dx03", "Speak to a clinician within 1 hour"),
    ("Dx05", "To contact a primary care service within 2 hours"),
    ("Dx06", "To contact a primary care service within 6 hours"),
    ("Dx02", "Attend an emergency treatment centre within 1 hour"),
    ("Dx09", "Self care with safety netting"),
    ("Dx28", "Contact a pharmacist"),
)
_COMPLAINTS = ("Breathing problems", "Falls", "Chest pain", "Unconscious", "Stroke", "Sick person", "Convulsions")
_CALLS_OF_FOREIGNERS = 3


def helpline(chunk: Chunk, journeys: Journeys) -> pl.DataFrame:
    """111 cases: those that sent an ambulance, and the others."""
    world, draws = chunk.world, chunk.draws("helpline")
    sent = np.flatnonzero(journeys.call_from_111)
    counts = draws.counts(world.rates.helpline[chunk.start : chunk.stop])
    counts[world.population.foreign[chunk.everyone]] = _CALLS_OF_FOREIGNERS
    other = chunk.owners(counts)
    owner = np.concatenate([journeys.call_owner[sent], other])
    rows, ambulance = len(owner), np.arange(len(owner)) < len(sent)
    day = np.concatenate([journeys.call_day[sent], chunk.event_days(draws, other)])
    second = np.concatenate([np.maximum(journeys.call_second[sent] - 480, 0), draws.whole(len(other), 0, 86_399)])
    outcome = np.where(ambulance, 0, 1 + draws.pick(rows, (3, 5, 6, 3, 4, 2)))
    call = np.where(ambulance, np.resize(sent, rows) if len(sent) else -1, -1)
    cad = where(ambulance, call_numbers(journeys, call)) if len(sent) else None
    number = number_column(chunk, draws, owner, blank=0.15)
    frame = Marks(owner=owner, reason=number.reason, plain=number.plain).on(
        {
            "CaseRef": prefixed("ZH", chunk.ids(rows), 10),
            "NHS Number": number.text,
            "Case Type": labels(draws.pick(rows, (90, 8, 2)), ("111 telephone", "111 online", "Dental")),
            "Call DateTime": moments(day, second),
            "Final Dx Code": labels(outcome, [one for one, _ in _DISPOSITIONS]),
            "Final Dx Description": labels(outcome, [text for _, text in _DISPOSITIONS]),
            "Final Symptom Group": prefixed("SG", draws.whole(rows, 1_001, 1_060)),
            "Final Symptom Discriminator": prefixed("SD", draws.whole(rows, 4_001, 4_200)),
            "999 CAD Number": cad,
            "GP Surgery ID": demographics.practice(world, owner),
            "Sex": labels(world.population.sex[owner], SEXES),
            "Postcode": demographics.postcode(world, owner),
            "Date of Birth": demographics.birth_date(world, owner),
            "Call Answer Seconds": draws.whole(rows, 2, 900),
        }
    )
    return marks.with_copies(frame, draws, 0.002, chunk.floor)


def ambulances(chunk: Chunk, journeys: Journeys) -> pl.DataFrame:
    """999 calls with the times of the ambulance."""
    world, draws = chunk.world, chunk.draws("ambulances")
    owner, day, called = journeys.call_owner, journeys.call_day, journeys.call_second
    rows, conveyed = len(owner), journeys.call_conveyed
    priority = draws.pick(rows, (9, 55, 28, 8))
    usual: Ints = np.array([420, 1_800, 5_400, 7_200])[priority]
    scene = np.minimum(called + usual // 2 + draws.between(0 * usual, usual), called + 3_000)
    left, arrived = scene + draws.whole(rows, 900, 2_400), scene + draws.whole(rows, 2_700, 4_200)
    handover = arrived + draws.whole(rows, 300, 3_600)
    clear = np.where(conveyed, handover, left) + draws.whole(rows, 300, 1_200)
    number = number_column(chunk, draws, owner, blank=0.25)
    frame = Marks(owner=owner, reason=number.reason, plain=number.plain).on(
        {
            "CallNumber": call_numbers(journeys, np.arange(rows)),
            "NHS Number": number.text,
            "Priority": labels(priority, ("C1", "C2", "C3", "C4")),
            "TimeStampT0": moments(day, called),
            "TimeAtScene": moments(day, scene),
            "TimeLeftScene": moments(day, left, conveyed),
            "TimeAtDest": moments(day, arrived, conveyed),
            "TimeHandover": moments(day, handover, conveyed),
            "TimeClear": moments(day, clear),
            "HospitalAttended": where(conveyed, labels(_hospitals(journeys), HOSPITALS)),
            "ChiefComplaint": labels(draws.pick(rows, (5, 6, 5, 2, 2, 8, 2)), _COMPLAINTS),
            "MainPatientSex": labels(world.population.sex[owner], SEXES),
            "MainPatientAge": demographics.age_on(world, owner, day),
            "PostCode_From": demographics.postcode(world, owner),
            "JourneyType": labels(conveyed.astype(np.int64), ("See and treat", "See and convey")),
        }
    )
    return marks.with_copies(frame, draws, 0.002, chunk.floor)


def crews(chunk: Chunk, journeys: Journeys) -> pl.DataFrame:
    """What crews recorded about each patient whom they took to a hospital; they learn more NHS numbers than callers know."""
    draws = chunk.draws("crews")
    call = np.flatnonzero(journeys.call_conveyed)
    owner, day, called = journeys.call_owner[call], journeys.call_day[call], journeys.call_second[call]
    rows = len(call)
    number = number_column(chunk, draws, owner, blank=0.1)
    frame = Marks(owner=owner, reason=number.reason, plain=number.plain).on(
        {
            "EPR Number": prefixed("EP", chunk.ids(rows), 10),
            "CallNumber": call_numbers(journeys, call),
            "NHS Number": number.text,
            "incTimePatSide": moments(day, called + 1_500),
            "incDCAOnScene": moments(day, called + 1_380),
            "incLocationType": labels(draws.pick(rows, (70, 20, 10)), ("Home", "Public place", "Care home")),
        }
    )
    return marks.with_copies(frame, draws, 0.002, chunk.floor)


def _hospitals(journeys: Journeys) -> Ints:
    """The hospital of each call that conveyed somebody; -1 for the others."""
    hospital = np.full(len(journeys.call_owner), -1, dtype=np.int64)
    brought = journeys.call >= 0
    hospital[journeys.call[brought]] = journeys.hospital[brought]
    return hospital
