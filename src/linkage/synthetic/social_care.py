"""Adult social care client level data: requests, assessments, services and reviews."""

from __future__ import annotations

import datetime as dt

import numpy as np
import polars as pl

from linkage.synthetic import demographics, marks
from linkage.synthetic.columns import dates, labels, pounds, prefixed, where
from linkage.synthetic.defects import number_column, stand_ins
from linkage.synthetic.draws import Flags, Ints
from linkage.synthetic.marks import Marks
from linkage.synthetic.places import COUNCILS
from linkage.synthetic.world import LATER_AGE, MAIN_AGE, Chunk

_EVENTS = ("Request", "Assessment", "Service", "Review")
_OUTCOMES = (
    "Progress to Assessment",
    "NFA- Other",
    "Progress to Support Planning / Services",
    "No change in package",
    "Service ended as planned",
)
_REASONS = (
    "Physical Support: Personal care support",
    "Physical Support: Access and mobility only",
    "Support with Memory and Cognition",
    "Learning Disability Support",
    "Mental Health Support",
    "Social Support: Support for Social Isolation / Other",
)
_SERVICES = (
    "Long Term Support: Community",
    "Long Term Support: Residential Care",
    "Long Term Support: Nursing Care",
    "Short Term Support: ST-Max",
)
# As the guidance words them, in the order of the letters of the ethnic categories.
_ETHNICITIES = (
    "White - English, Welsh, Scottish, Northern Irish or British",
    "White - Irish",
    "White - Any other White background",
    "Mixed or multiple ethnic groups - White and Black Caribbean",
    "Mixed or multiple ethnic groups - White and Black African",
    "Mixed or multiple ethnic groups - White and Asian",
    "Mixed or multiple ethnic groups - Any other Mixed or multiple ethnic background",
    "Asian or Asian British - Indian",
    "Asian or Asian British - Pakistani",
    "Asian or Asian British - Bangladeshi",
    "Asian or Asian British - Any other Asian background",
    "Black, Black British, Caribbean or African - Caribbean",
    "Black, Black British, Caribbean or African - African",
    "Black, Black British, Caribbean or African - Any other Black, Black British or Caribbean background",
    "Asian or Asian British - Chinese",
    "Other ethnic group - Any other ethnic group",
    "Refused",
)
_COMPONENTS = ("Home Support", "Residential Care", "Nursing Care", "Reablement")


def social_care(chunk: Chunk) -> pl.DataFrame:
    """The events of a chunk in the main delivery, and in the re-submission, which is whole but for some events."""
    draws, frame = chunk.draws("social_care"), _events(chunk)
    dropped = draws.some(marks.plain_rows(frame) & _reported(frame), 0.01, chunk.floor)
    frame = marks.plant(frame, dropped, **{marks.GONE: pl.lit(marks.code("superseded"), pl.Int64)})
    wrong = draws.some(marks.plain_rows(frame), 0.015, chunk.floor)
    frame = marks.plant(frame, wrong)
    same = np.setdiff1d(np.arange(len(frame), dtype=np.int64), np.concatenate([dropped, wrong]))
    outcome = pl.col("Event Outcome")
    changed = pl.when(outcome == _OUTCOMES[1]).then(pl.lit(_OUTCOMES[0])).otherwise(pl.lit(_OUTCOMES[1]))
    second = marks.corrected(marks.sent_again(frame, wrong), **{"Event Outcome": changed})
    frame = pl.concat([frame, marks.sent_again(frame, same), second])
    return marks.with_copies(frame, draws, 0.003, chunk.floor)


def _reported(frame: pl.DataFrame) -> Flags:
    """The events that fall into the reporting period."""
    names = ("Event Start Date", "Event End Date", "Reporting Period Start Date", "Reporting Period End Date")
    begins, ends, first, last = (pl.col(name).cast(pl.String) for name in names)
    inside = (begins <= last) & ((ends >= first) | ends.is_null())
    return np.asarray(frame.select(inside.fill_null(value=False)).to_series().to_numpy(), dtype=np.bool_)


def _council(chunk: Chunk, owner: Ints) -> pl.Series:
    return labels(chunk.world.places.area_of(chunk.world.population.postcode[owner]) % len(COUNCILS), COUNCILS)


def _neighbours(chunk: Chunk, owner: Ints) -> Ints:
    """For each owner another whom the same council knows, as far as there is one."""
    area = chunk.world.places.area_of(chunk.world.population.postcode[owner]) % len(COUNCILS)
    order = np.argsort(area, kind="stable")
    found = np.empty_like(owner)
    found[order] = np.roll(owner[order], -1)
    return found


def _local_id(person: Ints) -> pl.Series:
    return prefixed("LP", person * 5 + 7, 9)


def _events(chunk: Chunk) -> pl.DataFrame:
    world, people, draws = chunk.world, chunk.world.population, chunk.draws("social_care_events")
    rates = world.rates.social_care[chunk.start : chunk.stop]
    owner = chunk.owners(np.where(people.age[chunk.everyone] >= 18, draws.counts(rates), 0))
    rows = len(owner)
    number = number_column(chunk, draws, owner)
    kind = draws.pick(rows, (30, 25, 33, 12))
    start = chunk.working_days(draws, owner)
    length = np.where(kind == 2, draws.whole(rows, 14, 500), draws.whole(rows, 0, 28))
    ends = np.minimum(start + length, people.death_day[owner])
    is_open = ends >= world.today - MAIN_AGE
    end = stand_ins(draws, dates(ends, ~is_open), number.plain, 0.05, chunk.floor)
    is_service = kind == 2
    carer = people.carer[owner]
    linked = carer & draws.chance(rows, 0.7)
    cared_for = _neighbours(chunk, owner)
    service = np.where(is_service, draws.pick(rows, (62, 16, 9, 13)), -1)
    year = world.as_of.year - (world.as_of.month < 4)
    return Marks(owner, number.reason, plain=number.plain & ~(is_open & end.is_not_null().to_numpy())).on(
        {
            "LA Code": _council(chunk, owner),
            "Reporting Period Start Date": str(dt.date(year, 4, 1)),
            "Reporting Period End Date": str(world.as_of - dt.timedelta(days=MAIN_AGE + LATER_AGE)),
            "NHS Number": number.text,
            "LA Person Unique Identifier": _local_id(owner),
            "GP Practice Name": where(people.practice[owner] >= 0, prefixed("Practice ", people.practice[owner] + 1)),
            "GP Practice Code": demographics.practice(world, owner),
            "Gender": labels(people.sex[owner], ("Male", "Female", "Other", "Unknown")),
            "Ethnicity": labels(people.ethnicity[owner], _ETHNICITIES),
            "Date of Birth": demographics.birth_date(world, owner),
            "Date of Death": demographics.death_date(world, owner),
            "Postcode": demographics.postcode(world, owner),
            "Client Type": labels(carer.astype(np.int64), ("Service User", "Carer")),
            "Primary Support Reason": labels(draws.pick(rows, (45, 12, 15, 12, 10, 6)), _REASONS),
            "Accommodation Status": labels(
                draws.pick(rows, (45, 35, 20)), ("Owner occupier", "Tenant", "Registered care home")
            ),
            "Event Type": labels(kind, _EVENTS),
            "Event Reference": prefixed("ER", chunk.ids(rows), 10),
            "Event Start Date": dates(start),
            "Event End Date": end,
            "Event Description": None,
            "Event Outcome": labels(draws.whole(rows, 0, len(_OUTCOMES) - 1), _OUTCOMES),
            "Request: Route of Access": where(
                kind == 0, labels(draws.pick(rows, (60, 30, 10)), ("Community", "Discharge from hospital", "Prison"))
            ),
            "Assessment Type": where(
                kind == 1, labels(draws.pick(rows, (70, 30)), ("Long Term Assessment", "Short Term Assessment"))
            ),
            "Adult 1 Linked Person_ID": where(linked, _local_id(cared_for)),
            "Adult 2 Linked Person_ID": where(linked & (owner % 5 == 0), _local_id(_neighbours(chunk, cared_for))),
            "Service Type": labels(service, _SERVICES),
            "Service Component": labels(service, _COMPONENTS),
            "Delivery Mechanism": where(is_service, labels(owner % 2, ("CASSR Managed Personal Budget", "Direct Payment only"))),
            "Review Reason": where(kind == 3, labels(draws.pick(rows, (80, 20)), ("Planned", "Unplanned - Other"))),
            "Unit Cost": where(is_service, pounds(draws.whole(rows, 1_600, 110_000))),
            "Cost Frequency (Unit Type)": where(is_service, labels(service, ("Hourly", "Weekly", "Weekly", "Per session"))),
            "Planned units per week": where(is_service, pl.Series(draws.whole(rows, 1, 28)).cast(pl.String)),
            "Has Unpaid Carer": labels(draws.pick(rows, (40, 40, 20)), ("Yes", "No", "Unknown")),
        }
    )  # fmt: skip
