"""EMIS Prescribing_IssueRecord: medicines issued for long-term conditions."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Self

import numpy as np
import polars as pl

from linkage.synthetic import codes, marks
from linkage.synthetic.columns import dates, guids, labels, times
from linkage.synthetic.conditions import CONDITIONS, how_many
from linkage.synthetic.draws import Draws, Flags, Ints
from linkage.synthetic.entries import recorded
from linkage.synthetic.marks import NOBODY, Marks
from linkage.synthetic.primary_care import (
    PROCESSING,
    clinician_guids,
    key_reason,
    patient_guids,
    practice_guids,
)
from linkage.synthetic.roles import PatientRow
from linkage.synthetic.world import BULK_AGE, DELTA_AGE, Chunk

DOSAGES = ("One to be taken each day", "One to be taken twice a day", "Two to be taken at night", "Use as directed")


@dataclass(frozen=True)
class Prescriptions:
    """Prescriptions of GP practices; one element each in every array."""

    owner: Ints
    day: Ints
    drug: Ints  # position of the condition it is for
    quantity: Ints  # tablets

    def where(self, keep: Flags) -> Self:
        """Some of the prescriptions."""
        return type(self)(*(getattr(self, field.name)[keep] for field in fields(self)))


def make_prescriptions(chunk: Chunk) -> Prescriptions:
    """Every prescription of a chunk."""
    draws = chunk.draws("prescriptions")
    owner = chunk.owners(draws.counts(chunk.world.rates.issues[chunk.start : chunk.stop]))
    return Prescriptions(
        owner=owner,
        day=chunk.working_days(draws, owner, newest=DELTA_AGE + 1),
        drug=_drug(draws, chunk.world.population.conditions[owner]),
        quantity=draws.whole(len(owner), 1, 4) * 28,
    )


def issues(chunk: Chunk, prescriptions: Prescriptions) -> pl.DataFrame:
    """The rows of Prescribing_IssueRecord in both deliveries; of the prescriptions those made in this system."""
    world, people, draws = chunk.world, chunk.world.population, chunk.draws("issues")
    made = recorded(chunk, prescriptions.owner, prescriptions.day)
    here = prescriptions.where(~world.places.uses_tpp(made.practice))
    owner, day, drug, quantity = here.owner, here.day, here.drug, here.quantity
    rows, made = len(owner), recorded(chunk, owner, day)
    older, practice = made.older, made.practice
    clinician = clinician_guids(chunk, owner, practice)
    row_kind = people.roles.patient_row[owner]
    frame = Marks(
        owner=np.where(row_kind == PatientRow.AMBIGUOUS, NOBODY, owner),
        reason=key_reason(people, owner),
        not_sharing=world.keeps_out(owner, practice),
        later=(people.roles.late[owner] | (day >= world.today - BULK_AGE)).astype(np.int64),
        plain=row_kind == PatientRow.NORMAL,
    ).on(
        {
            "IssueRecordGuid": guids(chunk.ids(rows), world.seed, "issue"),
            "PatientGuid": patient_guids(chunk, owner, older),
            "OrganisationGuid": practice_guids(world, practice),
            "DrugRecordGuid": guids(owner * 64 + drug, world.seed, "drug_record"),
            "ClinicianUserInRoleGuid": clinician,
            "EnteredByUserInRoleGuid": clinician,
            "CodeId": codes.drug_code_ids(drug),
            "EffectiveDate": dates(day),
            "EffectiveDatePrecision": "YMD",
            "EnteredDate": dates(day),
            "EnteredTime": times(draws.whole(rows, 8 * 3600, 18 * 3600)),
            "Dosage": labels(drug % len(DOSAGES), DOSAGES),
            "Quantity": quantity,
            "QuantityUnit": "tablet",
            "CourseDurationInDays": np.full(rows, 28, dtype=np.int64),
            "EstimatedNhsCost": pl.Series((drug * 37 + 65) * quantity / 2_800).round(2),
            "IsConfidential": "false",
            "Deleted": "false",
            "ProcessingId": PROCESSING,
        }
    )
    return marks.with_copies(frame, draws, 0.001, chunk.floor)


def _drug(draws: Draws, mask: Ints) -> Ints:
    """The medicine of one of the person's conditions, each as likely."""
    bits = (mask[:, None] >> np.arange(len(CONDITIONS))) & 1
    wanted = np.floor(draws.uniform(len(mask)) * how_many(mask)).astype(np.int64)
    return np.asarray(np.argmax(np.cumsum(bits, axis=1) > wanted[:, None], axis=1), dtype=np.int64)
