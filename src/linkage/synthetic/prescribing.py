"""EMIS Prescribing_IssueRecord: medicines issued for long-term conditions."""

from __future__ import annotations

import numpy as np
import polars as pl

from linkage.synthetic import codes, marks
from linkage.synthetic.columns import dates, guids, labels, times
from linkage.synthetic.conditions import CONDITIONS, how_many
from linkage.synthetic.draws import Draws, Ints
from linkage.synthetic.marks import NOBODY, Marks
from linkage.synthetic.primary_care import (
    PROCESSING,
    clinician_guids,
    key_reason,
    patient_guids,
    practice_guids,
    registration_days,
)
from linkage.synthetic.roles import PatientRow
from linkage.synthetic.world import BULK_AGE, DELTA_AGE, Chunk

_DOSAGES = ("One to be taken each day", "One to be taken twice a day", "Two to be taken at night", "Use as directed")


def issues(chunk: Chunk) -> pl.DataFrame:
    """The rows of Prescribing_IssueRecord in both deliveries."""
    world, people, draws = chunk.world, chunk.world.population, chunk.draws("issues")
    owner = chunk.owners(draws.counts(world.rates.issues[chunk.start : chunk.stop]))
    rows = len(owner)
    day = chunk.working_days(draws, owner, newest=DELTA_AGE + 1)
    older = people.roles.moved_practice[owner] & (day < registration_days(chunk)[owner - chunk.start])
    practice = np.where(older, people.old_practice[owner], people.practice[owner])
    drug = _drug(draws, people.conditions[owner])
    clinician = clinician_guids(chunk, owner, practice)
    quantity = draws.whole(rows, 1, 4) * 28
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
            "Dosage": labels(drug % len(_DOSAGES), _DOSAGES),
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
