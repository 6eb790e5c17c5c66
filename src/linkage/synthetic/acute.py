"""SUS admitted patient care: spells, their episodes, and the diagnoses and procedures of those."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from linkage.synthetic import demographics, flat, marks
from linkage.synthetic.admissions import Admissions
from linkage.synthetic.columns import dates, labels, ordinals, pounds, prefixed, times, where
from linkage.synthetic.conditions import CONDITIONS, how_many
from linkage.synthetic.defects import PersonColumn, number_column, number_status, stand_ins
from linkage.synthetic.draws import Draws, Flags, Ints
from linkage.synthetic.flat import Children
from linkage.synthetic.marks import NOBODY, Marks
from linkage.synthetic.places import COMMISSIONER, HOSPITALS
from linkage.synthetic.world import MAIN_AGE, Chunk

_MAIN_DIAGNOSES = (
    "J189", "N390", "R074", "I214", "S720", "K802", "H269", "K409", "D124", "M171", "R104", "A419", "J440", "I639",
)  # fmt: skip
_OTHER_DIAGNOSES = ("Z867", "Z921", "R296", "Z720", "E876", "D649", "Z501", "R32X")
# OPCS-4, by admissions' kind: nothing is done to a baby.
_PROCEDURES = ("C751", "G451", "H221", "W371", "T202", "J183", "U051", "X403", "W241", "K634", "R249")
_FIRST_PROCEDURE, _LAST_PROCEDURE = np.array([0, 6, 0, 10]), np.array([5, 9, 0, 10])
_SITES = ("Z942", "Z943", "Z941")
_SPECIALTIES = ("300", "100", "110", "430", "320", "340", "420", "502")
_HRGS = ("DZ11K", "LA04H", "EB10C", "HE11D", "FD05A", "BZ34C", "NZ30C", "WH07C")
_METHODS = ("11", "21", "82", "31")


@dataclass(frozen=True)
class AdmittedCare:
    """The four tables, the log of what was inserted and deleted, and what is delivered flat instead."""

    spells: pl.DataFrame
    episodes: pl.DataFrame
    diagnoses: pl.DataFrame
    procedures: pl.DataFrame
    log: pl.DataFrame
    flat: pl.DataFrame


def admitted_care(chunk: Chunk, admissions: Admissions) -> AdmittedCare:
    """The spells of a chunk with their children; some spells are sent again with all their children, some deleted."""
    draws = chunk.draws("spells")
    owner = admissions.owner
    number = number_column(chunk, draws, owner)
    withheld = demographics.withheld(draws, number.plain, chunk.floor)
    away = flat.elsewhere(chunk.world, admissions.hospital)
    here = ~away
    spells = _deleted(chunk, _spells(chunk, draws, admissions, number, withheld), here)
    log = _log(spells.filter(here))
    episodes = _episodes(chunk, admissions, spells)
    diagnoses = _diagnoses(chunk, admissions, episodes)
    procedures = _procedures(chunk, admissions, episodes)
    wide = flat.episodes(chunk, spells, episodes, diagnoses, procedures, away)

    same = draws.some(marks.plain_rows(spells) & here, 0.02, chunk.floor)
    spells = marks.plant(spells, same)
    right = _correctable(spells) & here
    wrong = draws.some(right, 0.01, chunk.floor)
    spells = marks.plant(spells, wrong)
    method = "spell.discharge.method"
    changed = pl.when(pl.col(method) == "1").then(pl.lit("2")).otherwise(pl.lit("1"))
    second = marks.corrected(marks.sent_again(spells, wrong), **{method: changed})
    spells = pl.concat([spells.filter(here), marks.sent_again(spells, same), second])
    again = np.zeros(len(owner), dtype=np.bool_)
    again[np.concatenate([same, wrong])] = True
    return AdmittedCare(
        marks.with_copies(spells, draws, 0.002, chunk.floor),
        _children(episodes, here, again, draws, chunk.floor),
        _children(_of_spells(diagnoses, episodes), here, again, draws, chunk.floor),
        _children(_of_spells(procedures, episodes), here, again, draws, chunk.floor),
        log,
        wide,
    )


def _of_spells(children: Children, episodes: Children) -> Children:
    """The children of episodes as the children of those episodes' spells."""
    return Children(children.frame, episodes.parent[children.parent])


def _deleted(chunk: Chunk, spells: pl.DataFrame, here: Flags) -> pl.DataFrame:
    """The spells, some of which the later delivery's log deletes."""
    rows = chunk.draws("deleted_spells").some(marks.plain_rows(spells) & here, 0.005, chunk.floor)
    return marks.plant(spells, rows, **{marks.GONE: pl.lit(marks.code("deleted"), pl.Int64)})


def _log(spells: pl.DataFrame) -> pl.DataFrame:
    """One line for each deleted spell, and for some others one that only says that they were inserted."""
    deleted = pl.col(marks.GONE) > 0
    return spells.filter(deleted | (pl.col("PRIMARYKEY_ID") % 50 == 0)).select(
        pl.col("PRIMARYKEY_ID"),
        pl.lit("7100").alias("dmicImportLogId"),
        pl.when(deleted).then(pl.lit("1")).otherwise(pl.lit("0")).alias("dmicIsDeleted"),
        pl.when(deleted).then(pl.lit("7101")).alias("dmicDeletedImportLogId"),
    )


def _correctable(spells: pl.DataFrame) -> Flags:
    """Spells whose discharge is known, dated and not a death."""
    method = spells["spell.discharge.method"].is_in(["1", "2"]).fill_null(value=False).to_numpy()
    return np.asarray(marks.plain_rows(spells) & method, dtype=np.bool_)


def _children(children: Children, here: Flags, again: Flags, draws: Draws, floor: int) -> pl.DataFrame:
    rows = np.flatnonzero(again[children.parent][here[children.parent]])
    frame = marks.plant(children.where(here), rows)
    return marks.with_copies(pl.concat([frame, marks.sent_again(frame, rows)]), draws, 0.001, floor)


def _spells(chunk: Chunk, draws: Draws, admissions: Admissions, number: PersonColumn, withheld: Flags) -> pl.DataFrame:
    world, people, owner = chunk.world, chunk.world.population, admissions.owner
    rows, ids, kind = len(owner), chunk.ids(len(owner)), admissions.kind
    mother = np.where((kind == 2) & draws.chance(rows, 0.95), people.mother[owner], NOBODY)
    named = mother >= 0
    plain = number.plain & ~withheld
    out = admissions.discharge <= world.today - MAIN_AGE - 1
    method = np.where(admissions.dies, 3, np.where(kind == 2, 0, draws.pick(rows, (94, 6))))
    discharged = dates(admissions.discharge, out)
    still = discharged.is_null().to_numpy()
    discharged = stand_ins(draws, discharged, plain, 0.1, chunk.floor)
    plain &= ~(still & discharged.is_not_null().to_numpy())
    return Marks(owner=owner, reason=number.reason, sensitive=withheld, mother=mother, plain=plain).on(
        {
            "PRIMARYKEY_ID": ids,
            "spell.hospital_provider_spell_number": prefixed("HS", ids, 10),
            "spell.patient.identity.nhs_number.value": number.text,
            "spell.patient.identity.nhs_number.status": number_status(number.reason),
            "spell.patient.identity.local_patient_identifier.value": prefixed("L", owner * 3 + 100_000, 8),
            "spell.patient.identity.birth_date": demographics.birth_date(world, owner),
            "spell.patient.identity.gender": demographics.gender(world, owner),
            "spell.patient.identity.ethnic_category": demographics.ethnicity(world, owner),
            "spell.patient.identity.withheld_identity_reason": demographics.withheld_reason(owner, withheld),
            "spell.patient.registration.general_practice": demographics.practice(world, owner),
            "spell.patient.residence.postcode": demographics.postcode(world, owner),
            "spell.patient.mother.nhs_number.value": where(
                named, pl.Series(people.number[mother]).cast(pl.String).str.zfill(10)
            ),
            "spell.patient.mother.nhs_number.status": labels(np.where(named, 0, -1), ("01",)),
            "spell.patient.mother.withheld_identity_reason": None,
            "spell.admission.date": dates(admissions.day),
            "spell.admission.time": times(admissions.second),
            "spell.admission.method": labels(kind, _METHODS),
            "spell.admission.source": labels(draws.pick(rows, (92, 5, 3)), ("19", "51", "54")),
            "spell.admission.patient_classification": labels(
                ((kind == 0) & (admissions.discharge == admissions.day)).astype(np.int64), ("1", "2")
            ),
            "spell.discharge.date": discharged,
            "spell.discharge.time": times(draws.whole(rows, 8 * 3600, 20 * 3600), out),
            "spell.discharge.method": where(out, labels(method, ("1", "2", "3", "4"))),
            "spell.discharge.destination": where(
                out, labels(np.where(admissions.dies, 2, draws.pick(rows, (93, 7))), ("19", "54", "79"))
            ),
            "spell.commissioning.service_agreement.provider": labels(admissions.hospital, HOSPITALS),
            "spell.commissioning.service_agreement.commissioner": COMMISSIONER,
            "spell.commissioning.grouping.core_hrg": labels(draws.whole(rows, 0, len(_HRGS) - 1), _HRGS),
            "spell.commissioning.tariff_calculation.final_price": pounds(
                draws.whole(rows, 40_000, 120_000) + (admissions.discharge - admissions.day) * 32_000
            ),
            "system.record.confidentiality_category": None,
            "system.interchange.received_date": dates(np.minimum(admissions.discharge + 5, world.today - MAIN_AGE)),
            "spell.admission.intended_management": labels((kind != 0).astype(np.int64), ("2", "1")),
            "spell.patient.identity.carer_support_indicator": labels(people.carer[owner].astype(np.int64), ("00", "01")),
            "system.record.version": "1",
        }
    )  # fmt: skip


def _episodes(chunk: Chunk, admissions: Admissions, spells: pl.DataFrame) -> Children:
    draws = chunk.draws("episodes")
    counts = 1 + draws.pick(len(spells), (82, 14, 4))
    counts = np.where(admissions.discharge == admissions.day, 1, counts)
    parent = np.repeat(np.arange(len(spells), dtype=np.int64), counts)
    nth, of = ordinals(counts), counts[parent]
    admitted, stay = admissions.day[parent], (admissions.discharge - admissions.day)[parent]
    ends = admitted + stay * (nth + 1) // of
    specialty = draws.whole(len(parent), 0, len(_SPECIALTIES) - 1)
    frame = _inherited(spells, parent).on(
        {
            "PRIMARYKEY_ID": spells["PRIMARYKEY_ID"].gather(parent),
            "EPISODES_ID": nth + 1,
            "ROWNUMBER_ID": nth + 1,
            "number": nth + 1,
            "start_date": dates(admitted + stay * nth // of),
            "end_date": dates(ends, ends <= chunk.world.today - MAIN_AGE - 1),
            "care_professional.main_specialty": labels(specialty, _SPECIALTIES),
            "care_professional.treatment_function": labels(specialty, _SPECIALTIES),
            "patient.identity.withheld_identity_reason": None,
            "patient.mother.withheld_identity_reason": None,
            "system.record.confidentiality_category": None,
            "dmicImportLogId": "7100",
        }
    )
    return Children(frame, parent)


def _diagnoses(chunk: Chunk, admissions: Admissions, parents: Children) -> Children:
    """A main diagnosis, then the person's long-term conditions, then what else the coder found."""
    draws, (episodes, parent) = chunk.draws("diagnoses"), parents
    counts = 1 + draws.pick(len(episodes), (20, 22, 20, 16, 12, 10))
    episode = np.repeat(np.arange(len(episodes), dtype=np.int64), counts)
    spell, nth = parent[episode], ordinals(counts)
    mask = chunk.world.population.conditions[admissions.owner[spell]]
    condition = _nth_condition(mask, nth - 1)
    kind = admissions.kind[spell]
    main = np.where(kind == 2, 14, np.where(kind == 3, 15, draws.whole(len(spell), 0, len(_MAIN_DIAGNOSES) - 1)))
    other = draws.whole(len(spell), 0, len(_OTHER_DIAGNOSES) - 1)
    names = (*_MAIN_DIAGNOSES, "Z380", "O800", *(one.icd for one in CONDITIONS), *_OTHER_DIAGNOSES)
    first = len(_MAIN_DIAGNOSES) + 2
    later = np.where(condition >= 0, first + condition, first + len(CONDITIONS) + other)
    frame = _inherited(episodes, episode).on(
        {
            "PRIMARYKEY_ID": episodes["PRIMARYKEY_ID"].gather(episode),
            "EPISODES_ID": episodes["EPISODES_ID"].gather(episode),
            "ICD_ID": nth + 1,
            "ROWNUMBER_ID": nth + 1,
            "code": labels(np.where(nth == 0, main, later), names),
            "present_on_admission": labels(draws.pick(len(spell), (88, 8, 4)), ("Y", "N", None)),
            "dmicImportLogId": "7100",
        }
    )
    return Children(frame, episode)


def _procedures(chunk: Chunk, admissions: Admissions, parents: Children) -> Children:
    """A procedure and mostly where on the body, for planned stays and births, and some emergencies."""
    draws, (episodes, parent) = chunk.draws("procedures"), parents
    kind = admissions.kind[parent]
    likely = np.array([0.9, 0.3, 0.0, 1.0])[kind]
    counts = np.where(draws.chance(len(episodes), likely), 1 + draws.pick(len(episodes), (35, 50, 15)), 0)
    episode = np.repeat(np.arange(len(episodes), dtype=np.int64), counts)
    nth = ordinals(counts)
    main = draws.between(_FIRST_PROCEDURE[kind[episode]], _LAST_PROCEDURE[kind[episode]])
    site = len(_PROCEDURES) + draws.whole(len(episode), 0, len(_SITES) - 1)
    frame = _inherited(episodes, episode).on(
        {
            "PRIMARYKEY_ID": episodes["PRIMARYKEY_ID"].gather(episode),
            "EPISODES_ID": episodes["EPISODES_ID"].gather(episode),
            "OPCS_ID": nth + 1,
            "ROWNUMBER_ID": nth + 1,
            "code": labels(np.where(nth == 0, main, site), (*_PROCEDURES, *_SITES)),
            "date": episodes["start_date"].gather(episode),
            "dmicImportLogId": "7100",
        }
    )
    return Children(frame, episode)


def _inherited(parents: pl.DataFrame, parent: Ints) -> Marks:
    """The children of a row that cannot be linked, is confidential or deleted, share its fate."""
    return Marks(
        owner=parents[marks.OWNER].to_numpy()[parent],
        reason=parents[marks.REASON].to_numpy()[parent],
        sensitive=parents[marks.SENSITIVE].to_numpy()[parent],
        plain=parents[marks.GONE].to_numpy()[parent] == 0,
        gone=parents[marks.GONE].to_numpy()[parent],
    )


def _nth_condition(mask: Ints, nth: Ints) -> Ints:
    """The position of the ``nth`` condition (from 0) in each mask; -1 where there are not so many."""
    bits = (mask[:, None] >> np.arange(len(CONDITIONS))) & 1
    found = np.argmax(np.cumsum(bits, axis=1) > nth[:, None], axis=1)
    return np.where((nth >= 0) & (nth < how_many(mask)), found, -1).astype(np.int64)
