"""The specification of opt-outs: what is known of a person, or how a register stands, and what a run then does.

The tables are run, and they are printed: docs/reference/opt-outs.md is made of them.
"""

from __future__ import annotations

from spec.optout_world import (
    CTV3_DISSENT,
    DISSENT,
    DOES_NOT,
    IN,
    MOVED,
    READ_DISSENT,
    SHARES,
    SINCE_2010,
    WITHDRAWAL,
    Outcome,
    Person,
    Settings,
)

SENSITIVE, PRACTICE, OBJECTION = "sensitive", "practice_not_sharing", "local_objection"
TYPE1, NATIONAL, NOT_ASKED = "type1_opt_out", "national_opt_out", "national_not_asked"
BOTH_IN = (IN, IN)


def both(reason: str) -> Outcome:
    """Hospital and GP records alike."""
    return reason, reason


def gp_only(reason: str) -> Outcome:
    """The hospital record stays."""
    return IN, reason


Cases = dict[str, tuple[Person, Outcome]]

NATIONAL_CASES: Cases = {
    "asked about and returned": (Person(), BOTH_IN),
    "asked about and not returned": (Person(national="not returned"), both(NATIONAL)),
    "never asked about": (Person(national="not asked"), both(NOT_ASKED)),
    "Scottish, asked about and returned": (Person(scottish=True), BOTH_IN),
    "Scottish, asked about and not returned": (Person(scottish=True, national="not returned"), both(NATIONAL)),
    "Scottish, never asked about": (Person(scottish=True, national="not asked"), both(NOT_ASKED)),
    "an older number, of which nothing is said": (Person(old="nothing"), BOTH_IN),
    "an older number was asked about and not returned": (Person(old="not returned"), both(NATIONAL)),
    "returned, but the GP system's flag says no": (Person(flags=("", "false", "")), both(NATIONAL)),
    "not returned, whatever the GP system's flag says": (
        Person(national="not returned", flags=("", "true", "")),
        both(NATIONAL),
    ),
}
TYPE1_CASES: Cases = {
    "dissent": (Person(codes=((DISSENT, "2020-01-01"),)), both(TYPE1)),
    "dissent in Read v2, with a term code": (Person(codes=((READ_DISSENT, "2020-01-01"),)), both(TYPE1)),
    "dissent in CTV3": (Person(codes=((CTV3_DISSENT, "2020-01-01"),)), both(TYPE1)),
    "withdrawal alone": (Person(codes=((WITHDRAWAL, "2020-01-01"),)), BOTH_IN),
    "dissent, withdrawn later": (Person(codes=((DISSENT, "2020-01-01"), (WITHDRAWAL, "2020-01-02"))), BOTH_IN),
    "dissent and withdrawal on one day": (
        Person(codes=((DISSENT, "2020-01-01"), (WITHDRAWAL, "2020-01-01"))),
        both(TYPE1),
    ),
    "withdrawal, and dissent again": (
        Person(codes=((DISSENT, "2020-01-01"), (WITHDRAWAL, "2020-01-02"), (DISSENT, "2020-01-03"))),
        both(TYPE1),
    ),
    "the later recorded before the earlier": (
        Person(codes=((WITHDRAWAL, "2020-01-02"), (DISSENT, "2020-01-01"))),
        BOTH_IN,
    ),
    "dissent without a date, withdrawn": (Person(codes=((DISSENT, ""), (WITHDRAWAL, "2020-01-02"))), both(TYPE1)),
    "dissent, withdrawn without a date": (Person(codes=((DISSENT, "2020-01-01"), (WITHDRAWAL, ""))), both(TYPE1)),
    "dissent dated in the future, withdrawn": (
        Person(codes=((DISSENT, "2027-01-01"), (WITHDRAWAL, "2020-01-02"))),
        both(TYPE1),
    ),
    "dissent, withdrawn in the future": (
        Person(codes=((DISSENT, "2020-01-01"), (WITHDRAWAL, "2027-01-02"))),
        both(TYPE1),
    ),
    "the GP system's flag `is_consent` is false": (Person(flags=("false", "", "")), both(TYPE1)),
    "it is true": (Person(flags=("true", "", "")), BOTH_IN),
    "it cannot be read": (Person(flags=("perhaps", "", "")), both(TYPE1)),
    "withdrawn by code, but the flag says no": (
        Person(codes=((DISSENT, "2020-01-01"), (WITHDRAWAL, "2020-01-02")), flags=("false", "", "")),
        both(TYPE1),
    ),
}
PRACTICE_CASES: Cases = {
    "with a practice that shares": (Person(), BOTH_IN),
    "with a practice that does not share": (Person(registrations=((DOES_NOT, "2010-01-01", ""),)), gp_only(PRACTICE)),
    "left one that shares, nobody knows where to": (
        Person(registrations=((SHARES, "2010-01-01", "2026-03-31"),)),
        BOTH_IN,
    ),
    "moved from one that shares to one that does not": (Person(registrations=MOVED), gp_only(PRACTICE)),
    "registered with both on one day": (
        Person(registrations=(*SINCE_2010, (DOES_NOT, "2010-01-01", ""))),
        gp_only(PRACTICE),
    ),
    "came from one that does not share": (
        Person(registrations=(*SINCE_2010, (DOES_NOT, "2001-01-01", "2009-12-31"))),
        BOTH_IN,
    ),
    "with one that does not share, since nobody knows when": (
        Person(registrations=(*SINCE_2010, (DOES_NOT, "", ""))),
        gp_only(PRACTICE),
    ),
    "went and came back": (
        Person(
            registrations=(
                (SHARES, "2010-01-01", "2014-12-31"),
                (DOES_NOT, "2015-01-01", "2017-12-31"),
                (SHARES, "2018-01-01", ""),
            )
        ),
        BOTH_IN,
    ),
}
LOCAL_CASES: Cases = {
    "on the ICS's list of objections": (Person(listed="objections"), both(OBJECTION)),
    "on it under an older number": (Person(old="objections"), both(OBJECTION)),
    "the GP system's flag `refuses` is true": (Person(flags=("", "", "true")), both(OBJECTION)),
    "it is false": (Person(flags=("", "", "false")), BOTH_IN),
    "it cannot be read": (Person(flags=("", "", "perhaps")), both(OBJECTION)),
    "on the ICS's list of sensitive people": (Person(listed="sensitive"), both(SENSITIVE)),
    "the GP system marks the person sensitive": (Person(spine_sensitive="true"), both(SENSITIVE)),
    "the mark cannot be read": (Person(spine_sensitive="perhaps"), both(SENSITIVE)),
}
TIES: Cases = {
    "sensitive, and everything else": (
        Person("not returned", listed="sensitive", codes=((DISSENT, ""),), registrations=MOVED, flags=("", "", "y")),
        both(SENSITIVE),
    ),
    "moved, objected, type 1 and national": (
        Person("not returned", listed="objections", codes=((DISSENT, ""),), registrations=MOVED),
        (OBJECTION, PRACTICE),
    ),
    "moved, type 1 and national": (
        Person("not returned", codes=((DISSENT, ""),), registrations=MOVED),
        (TYPE1, PRACTICE),
    ),
    "type 1 and national": (Person("not returned", codes=((DISSENT, ""),)), both(TYPE1)),
    "type 1 and never asked about": (Person("not asked", codes=((DISSENT, ""),)), both(TYPE1)),
    "never asked about, and the flag says no": (Person("not asked", flags=("", "n", "")), both(NATIONAL)),
}
SECTIONS: dict[str, Cases] = {
    "National data opt-out": NATIONAL_CASES,
    "Type 1": TYPE1_CASES,
    "Practices": PRACTICE_CASES,
    "Local objections and sensitive people": LOCAL_CASES,
    "Which reason counts where several apply": TIES,
}

SETTINGS: dict[str, Settings] = {
    "nothing lifted": Settings(),
    "`national`": Settings(frozenset({"national"})),
    "`national_other_nations`": Settings(frozenset({"national_other_nations"})),
    "`type1`": Settings(frozenset({"type1"})),
    'type 1 on `"primary_care"`': Settings(type1_on="primary_care"),
    "`practices`": Settings(frozenset({"practices"})),
    "`practices_moved`": Settings(frozenset({"practices_moved"})),
}
_I = BOTH_IN
COMBINATIONS: dict[str, tuple[Person, tuple[Outcome, ...]]] = {
    "not returned": (Person("not returned"), (both(NATIONAL), _I, *[both(NATIONAL)] * 5)),
    "never asked about": (Person("not asked"), (both(NOT_ASKED), _I, *[both(NOT_ASKED)] * 5)),
    "Scottish, not returned": (
        Person("not returned", scottish=True),
        (both(NATIONAL), _I, _I, *[both(NATIONAL)] * 4),
    ),
    "Scottish, never asked about": (
        Person("not asked", scottish=True),
        (both(NOT_ASKED), _I, _I, *[both(NOT_ASKED)] * 4),
    ),
    "the national flag says no": (Person(flags=("", "false", "")), (both(NATIONAL), _I, *[both(NATIONAL)] * 5)),
    "type 1": (
        Person(codes=((DISSENT, "2020-01-01"),)),
        (*[both(TYPE1)] * 3, _I, gp_only(TYPE1), *[both(TYPE1)] * 2),
    ),
    "type 1 and not returned": (
        Person("not returned", codes=((DISSENT, "2020-01-01"),)),
        (*[both(TYPE1)] * 3, both(NATIONAL), (NATIONAL, TYPE1), *[both(TYPE1)] * 2),
    ),
    "with a practice that does not share": (
        Person(registrations=((DOES_NOT, "2010-01-01", ""),)),
        (*[gp_only(PRACTICE)] * 5, _I, gp_only(PRACTICE)),
    ),
    "moved to one, the record from before": (Person(registrations=MOVED), (*[gp_only(PRACTICE)] * 5, _I, _I)),
    "moved to one, the record from after": (
        Person(registrations=((SHARES, "2010-01-01", "2025-12-31"), (DOES_NOT, "2026-01-01", ""))),
        (*[gp_only(PRACTICE)] * 5, _I, gp_only(PRACTICE)),
    ),
    "on the list of objections": (Person(listed="objections"), tuple([both(OBJECTION)] * 7)),
    "on the list of sensitive people": (Person(listed="sensitive"), tuple([both(SENSITIVE)] * 7)),
    "marked sensitive": (Person(spine_sensitive="true"), tuple([both(SENSITIVE)] * 7)),
}
