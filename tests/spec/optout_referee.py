"""The rules of opt-outs in plain Python, person by person: what the real path is compared with."""

from __future__ import annotations

from datetime import date

from small import NOW

from spec.optout_world import (
    CTV3_DISSENT,
    DISSENT,
    DOES_NOT,
    IN,
    READ_DISSENT,
    RECORDED,
    WITHDRAWAL,
    Codes,
    Outcome,
    Person,
    Settings,
)

TODAY = NOW.date()
FALSE = ("false", "f", "no", "n", "0")
TRUE = ("true", "t", "yes", "y", "1")


def outcome(person: Person, settings: Settings) -> Outcome:
    """What has to become of the person's hospital record and of their GP record."""
    hospital = _first(_everywhere(person, settings))
    gp = _first({**_everywhere(person, settings), **_on_gp_records(person, settings)})
    return hospital, gp


ORDER = (
    "sensitive",
    "practice_not_sharing",
    "local_objection",
    "type1_opt_out",
    "national_opt_out",
    "national_not_asked",
)


def _first(reasons: dict[str, bool]) -> str:
    return next((reason for reason in ORDER if reasons.get(reason)), IN)


def _everywhere(person: Person, settings: Settings) -> dict[str, bool]:
    """Reasons that hang on the person."""
    is_consent, is_opted_in, refuses = person.flags
    type1 = "type1" not in settings.lifted and (_dissents(person.codes) or _says(is_consent, FALSE))
    national = "national" not in settings.lifted
    spared = person.scottish and "national_other_nations" in settings.lifted
    return {
        "sensitive": _says(person.spine_sensitive, TRUE) or person.listed == "sensitive",
        "local_objection": _says(refuses, TRUE) or "objections" in (person.listed, person.old),
        "type1_opt_out": type1 and settings.type1_on == "everything",
        "national_opt_out": national
        and (
            (person.national == "not returned" and not spared)
            or person.old == "not returned"
            or _says(is_opted_in, FALSE)
        ),
        "national_not_asked": national and person.national == "not asked" and not spared,
    }


def _on_gp_records(person: Person, settings: Settings) -> dict[str, bool]:
    """Reasons that keep GP records out besides."""
    is_consent, _, _ = person.flags
    type1 = "type1" not in settings.lifted and (_dissents(person.codes) or _says(is_consent, FALSE))
    return {"type1_opt_out": type1, "practice_not_sharing": _practice(person, settings)}


def _says(cell: str, words: tuple[str, ...]) -> bool:
    """A flag says no when it holds the value that means no, or something that cannot be read; never when it is empty."""
    return cell != "" and (cell in words or cell not in TRUE + FALSE)


def _dissents(codes: Codes) -> bool:
    days = [(code, date.fromisoformat(day) if day else None) for code, day in codes]
    dissents = [day for code, day in days if code in (DISSENT, READ_DISSENT, CTV3_DISSENT)]
    withdrawals = [day for code, day in days if code == WITHDRAWAL and day is not None and day <= TODAY]
    if not dissents:
        return False
    known = [day for day in dissents if day is not None and day <= TODAY]
    return len(known) < len(dissents) or not withdrawals or max(known) >= max(withdrawals)


def _practice(person: Person, settings: Settings) -> bool:
    """The one record was made at the first practice."""
    if "practices" in settings.lifted or not person.registrations:
        return False
    if person.registrations[0][0] == DOES_NOT:
        return True
    sharing = [(_day(first, date.min), last) for practice, first, last in person.registrations if practice != DOES_NOT]
    others = [
        _day(first, _day(last, date.max)) for practice, first, last in person.registrations if practice == DOES_NOT
    ]
    joined = max(first for first, _ in sharing)
    later = [first for first in others if first >= joined]
    if not later:
        return False
    if "practices_moved" not in settings.lifted:
        return True
    ends = [date.fromisoformat(last) for first, last in sharing if first == joined and last]
    recorded = date.fromisoformat(RECORDED)
    if not ends and min(later) == date.max:
        return True
    return recorded >= min(later) or any(recorded > end for end in ends)


def _day(text: str, default: date) -> date:
    return date.fromisoformat(text) if text else default
