"""The nights after a made-up ICS's history: what each feed delivers, who says no, whose number is replaced.

A night's rows are made by the same functions as the history's, from streams of random columns of their own: START HERE:
``deliver``. Monthly feeds (community, mental health, social care) bring nothing at night.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl

from linkage.synthetic import codes, entries, marks, primary_care, registers, tables, tpp
from linkage.synthetic.activity import Rates
from linkage.synthetic.acute import admitted_care
from linkage.synthetic.admissions import make_admissions
from linkage.synthetic.draws import Draws, Floats, Ints
from linkage.synthetic.emergency import emergency_care
from linkage.synthetic.journeys import make_journeys
from linkage.synthetic.mergers import merger_rows
from linkage.synthetic.observations import observations
from linkage.synthetic.optouts import Answer, write_answer
from linkage.synthetic.outpatients import outpatients
from linkage.synthetic.people import NEVER
from linkage.synthetic.prescribing import issues, make_prescriptions
from linkage.synthetic.stream import Decisions, Stream, decide
from linkage.synthetic.tables import GP_SYSTEMS, Delivery, Table
from linkage.synthetic.urgent import ambulances, crews, helpline
from linkage.synthetic.world import DELTA_AGE, MAIN_AGE, Chunk, World, make_world
from linkage.synthetic.write import Extracts

_OFTEN_OLDER, _OLDER = 10, 30  # one person in ten has events that come late, up to so many days
# What a correction changes, and how a row says that it is deleted.
_CORRECTED = {
    tables.OBSERVATION: "Value",
    tables.ISSUE: "Quantity",
    tables.TPP_CODE: "NumericValue",
    tables.TPP_MEDICATION: "MedicationQuantity",
    tables.APPOINTMENT: "appointment.attended_or_dna",
    tables.SPELL: "spell.discharge.method",
    tables.EMERGENCY: "clinical.acuity.code",
    tables.HELPLINE: "Final Dx Code",
    tables.AMBULANCE: "Priority",
}
_DELETED = {
    tables.OBSERVATION: ("Deleted", "true"),
    tables.ISSUE: ("Deleted", "true"),
    tables.TPP_CODE: ("RemovedData", "1"),
}


@dataclass(frozen=True)
class Night:
    """One delivery after the history.

    Attributes:
        number: How many days after the history.
        share: Of the activity of the whole history, so much is new.
        span: The new events happened in so many days before it, but for some that come late.
        corrected: Share of the rows of the delivery before that come again with another value.
        deleted: Share of them that is deleted.
        decides: Whether people come, opt out, take that back, are asked about and have their number replaced.
        previous: The delivery before; None for the first.
    """

    number: int
    share: float = 0.01
    span: int = 3
    corrected: float = 0.02
    deleted: float = 0.005
    decides: bool = True
    previous: Night | None = None

    @property
    def decided(self) -> int:
        """The night up to which people's decisions are known."""
        return self.number if self.decides else self.since

    @property
    def since(self) -> int:
        """The night up to which they were known before."""
        return self.previous.decided if self.previous else 0


def moment(as_of: dt.date, number: int) -> dt.datetime:
    """When a night's delivery is complete, UTC."""
    return dt.datetime.combine(as_of + dt.timedelta(days=number), dt.time(8), dt.UTC)


def deliver(directory: Path, people: int, seed: int, as_of: dt.date, night: Night, stream: Stream) -> int:
    """Write what a night brings below ``directory``, beside what is there; the number of rows.

    ``people``, ``seed``, ``as_of`` and ``stream`` are those of the history.
    """
    world = make_world(people, seed, as_of, days=stream.days)
    decisions = decide(world)
    with Extracts(directory, world, stream) as extracts:
        for chunk in _chunks(world, night):
            for table, frame in _events(chunk, decisions, night):
                extracts.add_night(table, _at_once(table, frame), night.number)
        if night.previous:
            again = Draws(seed, "again", night.number)
            for chunk in _chunks(world, night.previous):
                for table, frame in _events(chunk, decisions, night.previous):
                    for changed in _again(table, frame, again, night):
                        extracts.add_night(table, changed, night.number)
        for table, frame in _newcomers(world, decisions, night):
            extracts.add_night(table, frame, night.number)
        merged = np.flatnonzero((decisions.merged > night.since) & (decisions.merged <= night.decided))
        if len(merged):
            extracts.add_night(tables.MERGER, _mergers(world, decisions, merged, night), night.number)
    said = Answer(
        decisions.asked(world.population, night.decided), decisions.national_out(world.population, night.decided)
    )
    write_answer(directory, world, dt.datetime.combine(as_of + dt.timedelta(days=night.number), dt.time(6)), said)
    return extracts.rows


@dataclass(frozen=True)
class _NightChunk(Chunk):
    """Some people on one night: other random columns, other identifiers, recent days."""

    number: int = 0
    span: int = 1

    def draws(self, name: str) -> Draws:
        """A stream of random columns of this night; what people are stays as it was."""
        lasting = name == "registration"
        return super().draws(name) if lasting else Draws(self.world.seed, name, self.index, "night", self.number)

    def ids(self, count: int) -> Ints:
        """Whole numbers that no other night uses."""
        return super().ids(count) + self.number * self.world.people * 64

    def _window(self, owner: Ints, newest: int) -> tuple[Ints, Ints]:
        high = np.minimum(self.world.population.death_day[owner], self.world.today - newest)
        days = np.where(owner % _OFTEN_OLDER == 0, _OLDER, self.span)
        low = np.maximum(self.world.population.birth_day[owner], high - days + 1)
        return np.minimum(low, high), high


@dataclass(frozen=True)
class _Both:
    """The same people as GP systems, which deliver daily, and as the other feeds see them."""

    gp: _NightChunk
    other: _NightChunk


def _chunks(world: World, night: Night) -> Iterator[_Both]:
    today = world.as_of + dt.timedelta(days=night.number)
    people = world.population
    nobody = np.full(people.size, -1, dtype=np.int64)
    living = people.death_day > world.today + night.number
    quiet = replace(people, mother=nobody, gives_birth=np.full(people.size, NEVER, dtype=np.int64))
    rates = _scaled(world.rates, living.astype(np.float64) * night.share)
    worlds = [
        replace(world, as_of=today + dt.timedelta(days=age), population=quiet, rates=rates)
        for age in (DELTA_AGE, MAIN_AGE)
    ]
    for chunk in world.chunks():
        yield _Both(
            *(_NightChunk(each, chunk.index, chunk.start, chunk.stop, night.number, night.span) for each in worlds)
        )


def _scaled(rates: Rates, factor: Floats) -> Rates:
    return Rates(**{field.name: getattr(rates, field.name) * factor for field in fields(rates)})


def _events(both: _Both, decisions: Decisions, night: Night) -> Iterator[tuple[Table, pl.DataFrame]]:
    """New events of people who are known by then; hospitals send some of them again on the night after."""
    known = pl.Series(decisions.arrives <= night.since)
    for table, frame in _activity(both, decisions, night):
        if table == tables.SPELL_LOG:
            yield table, frame
            continue
        owner = frame[marks.OWNER]
        yield table, frame.filter((owner < 0) | known.gather(owner.clip(0)))


def _at_once(table: Table, frame: pl.DataFrame) -> pl.DataFrame:
    """Of a night's events those rows that come on that night; the log tells of them on the next."""
    if table == tables.SPELL_LOG:
        return frame.clear()
    return frame if table.feed in GP_SYSTEMS else frame.filter(pl.col(marks.LATER) == int(Delivery.MAIN))


def _activity(both: _Both, decisions: Decisions, night: Night) -> Iterator[tuple[Table, pl.DataFrame]]:
    gp, other = both.gp, both.other
    written = entries.joined(entries.routine(gp, gp.draws("entries")), _opt_outs(gp, decisions, night))
    prescriptions = make_prescriptions(gp)
    yield tables.OBSERVATION, observations(gp, written)
    yield tables.ISSUE, issues(gp, prescriptions)
    yield tables.TPP_CODE, tpp.coded_entries(gp, written)
    yield tables.TPP_MEDICATION, tpp.medication(gp, prescriptions)
    care = outpatients(other)
    yield tables.APPOINTMENT, care.appointments
    yield tables.APPOINTMENT_ICD, care.diagnoses
    yield tables.APPOINTMENT_OPCS, care.procedures
    journeys = make_journeys(other)
    yield tables.HELPLINE, helpline(other, journeys)
    yield tables.AMBULANCE, ambulances(other, journeys)
    yield tables.AMBULANCE_CREW, crews(other, journeys)
    emergency = emergency_care(other, journeys)
    yield tables.EMERGENCY, emergency.attendances
    yield tables.EMERGENCY_DIAGNOSIS, emergency.diagnoses
    yield tables.EMERGENCY_INVESTIGATION, emergency.investigations
    yield tables.EMERGENCY_TREATMENT, emergency.treatments
    admitted = admitted_care(other, make_admissions(other, journeys))
    yield tables.SPELL, admitted.spells
    yield tables.EPISODE, admitted.episodes
    yield tables.ICD, admitted.diagnoses
    yield tables.OPCS, admitted.procedures
    yield tables.SPELL_LOG, admitted.log


def _opt_outs(chunk: Chunk, decisions: Decisions, night: Night) -> entries.Entries:
    """Type 1 opt-outs that are recorded or taken back."""
    parts = []
    for nights, position in (
        (decisions.dissent, codes.DISSENT_POSITION),
        (decisions.withdrawal, codes.WITHDRAWAL_POSITION),
    ):
        mine = nights[chunk.start : chunk.stop]
        owner = np.flatnonzero((mine > night.since) & (mine <= night.decided)) + chunk.start
        day = np.full(len(owner), chunk.world.today - DELTA_AGE - 1, dtype=np.int64)
        flags = np.ones(len(owner), dtype=np.bool_)
        parts.append(entries.Entries(owner, day, np.full(len(owner), position, dtype=np.int64), flags, ~flags, ~flags))
    return entries.joined(*parts)


def _again(table: Table, frame: pl.DataFrame, draws: Draws, night: Night) -> Iterator[pl.DataFrame]:
    """What comes of an earlier delivery's rows again: as it was, with the value of another row, or deleted."""
    if table == tables.SPELL_LOG:
        yield frame
        return
    first = _at_once(table, frame)
    if table.feed not in GP_SYSTEMS:
        yield frame.filter(pl.col(marks.LATER) == int(Delivery.LATER))
    plain, frame = marks.plain_rows(first), first
    if table in _CORRECTED:
        name = _CORRECTED[table]
        rows = frame[draws.some(plain, night.corrected)]
        yield rows.with_columns(pl.col(name).reverse())
    if table in _DELETED:
        name, value = _DELETED[table]
        rows = frame[draws.some(plain, night.deleted)]
        kept = {"RowIdentifier", "IDOrganisationVisibleTo", *marks.HIDDEN}
        if table.feed == "tpp":
            bare = [each for each in rows.columns if each not in kept]
            rows = rows.with_columns(pl.lit(None, rows.schema[each]).alias(each) for each in bare)
        yield rows.with_columns(pl.lit(value).alias(name))


def _newcomers(world: World, decisions: Decisions, night: Night) -> Iterator[tuple[Table, pl.DataFrame]]:
    """Everything of the history, and what registers say, about people who are first heard of."""
    arrives = pl.Series((decisions.arrives > night.since) & (decisions.arrives <= night.decided))
    for chunk in world.chunks():
        if not arrives[chunk.start : chunk.stop].any():
            continue
        for table, frame in _registered(chunk):
            owner = frame[marks.OWNER]
            yield table, frame.filter((owner >= 0) & arrives.gather(owner.clip(0)))


def _registered(chunk: Chunk) -> Iterator[tuple[Table, pl.DataFrame]]:
    written, prescriptions = entries.make_entries(chunk), make_prescriptions(chunk)
    makers: dict[Table, Callable[[Chunk], pl.DataFrame]] = {
        tables.PATIENT: primary_care.patients,
        tables.OBSERVATION: partial(observations, entries=written),
        tables.ISSUE: partial(issues, prescriptions=prescriptions),
        tables.TPP_PATIENT: tpp.patients,
        tables.TPP_REGISTRATION: tpp.registrations,
        tables.TPP_ADDRESS: tpp.addresses,
        tables.TPP_CODE: partial(tpp.coded_entries, entries=written),
        tables.TPP_MEDICATION: partial(tpp.medication, prescriptions=prescriptions),
        tables.PERSON: registers.persons,
        tables.ADDRESS: registers.addresses,
        tables.REGISTERED: registers.registrations,
    }
    for table, make in makers.items():
        yield table, make(chunk)


def _mergers(world: World, decisions: Decisions, merged: Ints, night: Night) -> pl.DataFrame:
    """Numbers that are replaced by those of other people: two registrations were one person."""
    number = world.population.number
    row = (1_000 + night.number) * 1_000_000
    days = np.full(len(merged), world.today + night.number - 1, dtype=np.int64)
    return merger_rows(row, number[decisions.into[merged]], number[merged], days)
