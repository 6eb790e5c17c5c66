"""Why a row is removed: the one list of reasons, in the order in which they are tried.

A row gets the first reason that applies, so that a row is counted once:
rows in = rows kept + rows removed, by reason, for every table of every feed.
"""

from __future__ import annotations

from enum import StrEnum

__all__ = ["HUB", "Reason"]


class Reason(StrEnum):
    """A reason for which a row does not go on."""

    ROW_MALFORMED = "row_malformed"
    INACTIVE_SUBMISSION = "inactive_submission"
    REQUIRED_MISSING = "required_missing"
    REQUIRED_INVALID = "required_invalid"
    TEST_PATIENT = "test_patient"
    PERSON_UNKNOWN = "person_unknown"
    PERSON_AMBIGUOUS = "person_ambiguous"
    NUMBER_MISSING = "number_missing"
    NUMBER_MALFORMED = "number_malformed"
    NUMBER_BLOCKED = "number_blocked"
    NUMBER_CHECK_DIGIT = "number_check_digit"
    NUMBER_TEST = "number_test"
    SENSITIVE = "sensitive"
    PRACTICE_NOT_SHARING = "practice_not_sharing"
    LOCAL_OBJECTION = "local_objection"
    TYPE1_OPT_OUT = "type1_opt_out"
    NATIONAL_OPT_OUT = "national_opt_out"
    NATIONAL_NOT_ASKED = "national_not_asked"
    OUTSIDE_POPULATION = "outside_population"
    BEFORE_EARLIEST = "before_earliest"
    CODE_NOT_KEPT = "code_not_kept"
    LATE_OPT_OUT = "late_opt_out"
    WITHDRAWN = "withdrawn"
    NOTICE = "notice"
    DUPLICATE = "duplicate"
    SUPERSEDED = "superseded"
    DELETED = "deleted"

    @property
    def meaning(self) -> str:
        """One sentence for reports."""
        return _MEANING[self]


HUB = (Reason.NOTICE, Reason.DUPLICATE, Reason.SUPERSEDED, Reason.DELETED)

_MEANING = {
    Reason.ROW_MALFORMED: "the row has too few or too many fields",
    Reason.INACTIVE_SUBMISSION: "the submission it came in is not an active one",
    Reason.REQUIRED_MISSING: "a required value is blank",
    Reason.REQUIRED_INVALID: "a required value cannot be read as its type",
    Reason.TEST_PATIENT: "the source marks a test patient",
    Reason.PERSON_UNKNOWN: "the person's record was never delivered",
    Reason.PERSON_AMBIGUOUS: "one key was delivered with two NHS numbers",
    Reason.NUMBER_MISSING: "no NHS number",
    Reason.NUMBER_MALFORMED: "the NHS number is not ten digits",
    Reason.NUMBER_BLOCKED: "a placeholder that passes the NHS number check",
    Reason.NUMBER_CHECK_DIGIT: "the NHS number fails its check digit",
    Reason.NUMBER_TEST: "an NHS number of the test range",
    Reason.SENSITIVE: "the source marks the record or the person sensitive",
    Reason.PRACTICE_NOT_SHARING: "the practice does not share",
    Reason.LOCAL_OBJECTION: "an objection that the source or the ICS recorded",
    Reason.TYPE1_OPT_OUT: "a type 1 opt-out",
    Reason.NATIONAL_OPT_OUT: "a national data opt-out",
    Reason.NATIONAL_NOT_ASKED: "the national service was not asked about the number",
    Reason.OUTSIDE_POPULATION: "the purpose does not cover the person",
    Reason.BEFORE_EARLIEST: "older than the flow asks for, or without a date",
    Reason.CODE_NOT_KEPT: "the code is not one that the flow keeps",
    Reason.LATE_OPT_OUT: "an opt-out that became known after the bundle was made",
    Reason.WITHDRAWN: "a later delivery of the same record may not be used",
    Reason.NOTICE: "a line of a delete log, which is about a record and is none",
    Reason.DUPLICATE: "an exact copy of a record that is kept",
    Reason.SUPERSEDED: "replaced by a later delivery of the same record, or by a later submission",
    Reason.DELETED: "deleted by the source",
}
