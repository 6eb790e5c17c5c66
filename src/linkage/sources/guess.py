"""What a column of an unknown file may be, by its name and its values; in doubt it is dropped.

Only shares and patterns are told of the values, never one of them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from linkage import nhs_number
from linkage.contract import Role
from linkage.sources.values import EARLIEST, FALSE, LATEST, TRUE

_DATES = (
    "%Y-%m-%d", "%d/%m/%Y", "%Y%m%d", "%d %b %Y", "%d-%b-%Y", "%d-%b-%y", "%d-%m-%Y", "%d.%m.%Y", "%Y/%m/%d", "%m/%d/%Y",
    "%d/%m/%y", "%m%Y",
)  # fmt: skip
_MOMENTS = (
    "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f%z", "%Y-%m-%d %H:%M", "%d/%m/%Y %H:%M:%S",
    "%d/%m/%Y %H:%M", "%d %b %Y %H:%M:%S",
)  # fmt: skip
_TIMES = ("%H:%M:%S", "%H:%M", "%H%M")
_POSTCODE = r"(?i)^[a-z]{1,2}\d[a-z\d]?\s*\d[a-z]{2}$"
_GUID = r"(?i)^\{?[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}\}?$"
_PHONE = r"^\+?[\d ()-]{10,18}$"
_ICD_OR_OPCS = r"^[A-Z]\d{2}([.]?\d{1,2})?[A-Z\d-]{0,3}$"
_PRACTICE = r"^[A-Z]\d{5}$"
_ORGANISATION = r"^[A-Z\d]{3,6}$"
_WOULD_GO_ON = "a one-way token would go on"
_ENOUGH = 30  # rows below which few different values prove nothing


@dataclass(frozen=True, slots=True)
class Guess:
    """What a column may be.

    Attributes:
        role: The role it would have.
        keep: Whether the draft takes it; false leaves it out until a person says otherwise.
        why: What speaks for it, for the person who reads the draft.
        more: Other keys of the contract's column, as TOML.
        unique: Whether every row has a value, and nearly every one of its own.
    """

    role: Role
    keep: bool
    why: str
    more: tuple[str, ...] = ()
    unique: bool = False


def guess(name: str, values: pl.Series, namespace: str) -> Guess:
    """Guess one column.

    Args:
        name: As the file calls it; empty where it names none.
        values: Stripped text, null where blank (String).
        namespace: What an identifier of the column would be called.
    """
    filled = values.drop_nulls()
    if filled.is_empty():
        return Guess(Role.FREE_TEXT, keep=False, why="nothing in any row of the sample")
    # Copies of a few rows are common, and do not speak against a key.
    unique = len(filled) == len(values) and filled.n_unique() >= 0.98 * len(filled)
    seen = _Seen(name, filled, unique)
    for test in (_number_of_person, _by_name, _date, _pattern, _flag, _number, _few):
        found = test(seen, namespace)
        if found:
            return found
    return Guess(Role.FREE_TEXT, keep=False, why="not recognised: it could hold anything")


@dataclass(frozen=True, slots=True, repr=False)
class _Seen:
    name: str
    values: pl.Series
    unique: bool

    def called(self, pattern: str) -> bool:
        """Whether the name has one of some words in it, however it is spelled."""
        spaced = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|[^A-Za-z]+", " ", self.name).casefold()
        return bool(re.search(rf"\b(?:{pattern})\b", spaced))

    def like(self, pattern: str) -> float:
        """The share of the values that a pattern fits."""
        return _share(self.values.str.contains(pattern))

    @property
    def distinct(self) -> float:
        """How many different values there are, as a share of all."""
        return self.values.n_unique() / len(self.values)


def _share(flags: pl.Series) -> float:
    return float(flags.fill_null(value=False).mean() or 0.0)  # type: ignore[arg-type]


def _number_of_person(seen: _Seen, _: str) -> Guess | None:
    passing = _share(nhs_number.parse(seen.values)["number"].is_not_null())
    # One in eleven of any ten digits passes.
    if passing >= 0.5:
        return Guess(Role.PERSON, keep=True, why=f"{passing:.0%} of the values pass the NHS number check")
    called = seen.called("nhs (?:number|no|num)|nhsno|nhsnumber") and not re.search("(?i)pseudo|status", seen.name)
    if passing >= 0.2 or called:
        return Guess(
            Role.PERSON, keep=False, why=f"called or shaped like NHS numbers, but {passing:.0%} pass the check"
        )
    return None


_BY_NAME: tuple[tuple[str, Role, str], ...] = (
    (r"pseudo\w*|sk|token|hash|deid|de identified|hesid", Role.PSEUDONYM, "called like an upstream pseudonym"),
    (
        r"names?|forenames?|surnames?|firstname|lastname|givenname|middlenames?|initials|maiden|alias|title|textual|doctor"
        r"|clinician|consultant|done by|entered by|sender|recipient|\w*pharmacy|school|employer|occupation|religion|kin",
        Role.NAME,
        "called like a name",
    ),
    (
        r"addr\w*|street|road|house|flat|building|village|town|city|locality|county|line|uprn|birth place|birthplace|place",
        Role.CONTACT,
        "called like an address",
    ),
    (r"phone\w*|telephone\w*|tel|mobile\w*|fax|e ?mail\w*|contact details?", Role.CONTACT, "called like a contact"),
    (
        r"comments?|notes?|\w*text|description|desc|narrative|message|remarks?|qualifiers?|dosage|term|letter|stamp",
        Role.FREE_TEXT,
        "called like free text",
    ),
)


def _by_name(seen: _Seen, namespace: str) -> Guess | None:
    if seen.like(_POSTCODE) >= 0.7:
        # Anything else that is said of it could make it the place of an event rather than a home.
        home = seen.called(r".*post ?code$") or re.search(r"(?i)post_?code$", seen.name) is not None
        why = "postcodes: what goes on is the area or the district"
        return Guess(Role.POSTCODE, keep=home, why=why if home else f"{why}; of a home?")
    for words, role, why in _BY_NAME:
        if seen.called(words):
            more = ('scheme = "decide"',) if role is Role.PSEUDONYM else ()
            return Guess(role, keep=False, why=why, more=more)
    if seen.called(r"post ?code"):
        return Guess(Role.POSTCODE, keep=False, why="called like a postcode, and the values are none")
    if seen.like("@") >= 0.1 or (seen.like(_PHONE) >= 0.7 and seen.like(r"^0|^\+") >= 0.7):
        return Guess(Role.CONTACT, keep=False, why="the values look like contacts")
    return None


def _date(seen: _Seen, _: str) -> Guess | None:
    for formats, kind in ((_DATES, "date"), (_MOMENTS, "datetime")):
        shares = [_reads(seen.values, layout, kind) for layout in formats]
        best = max(shares)
        if best < 0.9:
            continue
        layout = formats[shares.index(best)]
        if layout == "%m%Y" and not seen.called("dob|birth|month|mydob"):
            continue
        return _dated(seen, layout, kind, unsure="%d/%m" in layout and best == _reads(seen.values, "%m/%d/%Y", "date"))
    if (
        seen.called(r"\w*time\w*")
        and max(_share(seen.values.str.to_time(each, strict=False).is_not_null()) for each in _TIMES) > 0.9
    ):
        return Guess(Role.DATE, keep=True, why="times of day", more=('type = "time"',))
    return None


def _dated(seen: _Seen, layout: str, kind: str, *, unsure: bool) -> Guess:
    more = (f'formats = ["{layout}"]',)
    which = "; day and month could stand the other way round" if unsure else ""
    if seen.called(r"\w*dob|birth\w*|born|date birth"):
        return Guess(Role.BIRTH_DATE, keep=True, why=f"birth dates: the year goes on{which}", more=more)
    if seen.called(r"death|died|dod|deceased"):
        return Guess(Role.DEATH_DATE, keep=True, why=f"dates of death: the month goes on{which}", more=more)
    old = seen.values.str.to_date(layout, strict=False) if kind == "date" else None
    if old is not None and seen.name == "" and _share(old.dt.year() < 1990) > 0.3:
        return Guess(
            Role.BIRTH_DATE, keep=True, why=f"dates long ago, perhaps of birth: the year goes on{which}", more=more
        )
    typed = ('type = "datetime"',) if kind == "datetime" else ()
    return Guess(Role.DATE, keep=True, why=f"{kind}s{which}", more=(*typed, *more))


def _reads(values: pl.Series, layout: str, kind: str) -> float:
    try:
        if kind == "datetime":
            found = values.str.to_datetime(layout, strict=False, time_unit="us").dt.date()
        elif "%d" not in layout:
            found = ("01" + values).str.to_date("%d" + layout, strict=False)
        else:
            found = values.str.to_date(layout, strict=False)
    except pl.exceptions.PolarsError:
        return 0.0
    return _share(found.is_between(EARLIEST, LATEST))


def _pattern(seen: _Seen, namespace: str) -> Guess | None:
    record = (f'namespace = "{namespace}"',)
    if seen.like(_GUID) >= 0.9:
        return Guess(Role.RECORD, keep=False, why=f"identifiers: {_WOULD_GO_ON}", more=record, unique=seen.unique)
    if (
        seen.called(r"\w*snomed\w*|icd\w*|opcs\w*|read\w*|ctv\w*|dmd|hrg|diag\w*|proc\w*|opertn\w*|\w*codes?")
        and seen.distinct < 0.9
    ):
        return Guess(Role.CODE, keep=True, why="called like a code")
    if seen.like(_PRACTICE) >= 0.8 and (seen.called(r"\w*gp\w*|practice|surgery|prac\w*") or seen.distinct < 0.2):
        return Guess(Role.PRACTICE, keep=True, why="shaped like codes of GP practices")
    if seen.like(_ICD_OR_OPCS) >= 0.8 and seen.distinct < 0.9:
        return Guess(Role.CODE, keep=True, why="shaped like ICD-10 or OPCS-4 codes")
    words = r"org\w*|provider|commissioner|trust|site|ods\w*|procode\w*|ccg|icb|hospital|la"
    if seen.like(_ORGANISATION) >= 0.8 and seen.called(words) and seen.distinct < 0.5:
        return Guess(Role.ORGANISATION, keep=True, why="shaped like codes of organisations")
    sure, perhaps = r"ids?|identifiers?|guid|\w*key|ref\w*|\w*id|\w*ref|\w*identifier", r"number|no|row"
    if seen.called(sure) or (seen.called(perhaps) and seen.distinct > 0.3):
        return Guess(
            Role.RECORD,
            keep=False,
            why="called like an identifier: a one-way token would go on",
            more=record,
            unique=seen.unique,
        )
    return None


_REMOVES = (
    (r"sensitive|confidential\w*|withheld|restricted|secure", "sensitive"),
    (r"test|dummy", "test_patient"),
    (r"deleted|removed|cancelled|is deleted", "deleted"),
)


def _flag(seen: _Seen, _: str) -> Guess | None:
    words = set(seen.values.str.to_lowercase().unique())
    if not words <= {*TRUE, *FALSE}:
        return None
    for called, removes in _REMOVES:
        if seen.called(rf"(?:\w+ )?(?:{called})"):
            return Guess(Role.FLAG, keep=True, why="a flag that takes rows out", more=(f'removes = "{removes}"',))
    if words <= {"0", "1"} and not seen.called(r"is|has|flag|indicator|ind"):
        return Guess(Role.CATEGORY, keep=True, why="0 and 1")
    return Guess(Role.FLAG, keep=True, why="true and false")


def _number(seen: _Seen, namespace: str) -> Guess | None:
    numbers = seen.values.cast(pl.Float64, strict=False)
    if _share(numbers.is_finite()) < 0.95:
        return None
    whole = _share(numbers == numbers.round(0)) > 0.99
    long = _share(numbers.abs() >= 1_000_000) > 0.05
    if whole and (long or (seen.unique and len(seen.values) >= _ENOUGH)):
        more = (f'namespace = "{namespace}"',)
        return Guess(
            Role.RECORD,
            keep=False,
            why=f"long or ever different numbers: {_WOULD_GO_ON}",
            more=more,
            unique=seen.unique,
        )
    if whole and seen.called(r"sex|gender|\w*type\w*|status|category|method|source|outcome|class\w*|ethn\w*|reason"):
        return Guess(Role.CATEGORY, keep=True, why="called like a category")
    return Guess(Role.NUMBER, keep=True, why="numbers", more=('type = "integer"',) if whole else ())


def _few(seen: _Seen, _: str) -> Guess | None:
    """A few short words that come again and again; names of people do not, but in a small sample they might."""
    kinds, longest = seen.values.n_unique(), max(seen.values.str.len_chars().to_list())
    if longest <= 60 and len(seen.values) >= _ENOUGH and kinds <= 50 and seen.distinct <= 0.2 and seen.name:
        return Guess(Role.CATEGORY, keep=True, why=f"{kinds} different values, again and again")
    if longest <= 3 and seen.called(r"sex|gender|ethn\w*|status|type|category"):
        return Guess(Role.CATEGORY, keep=True, why="called like a category")
    if seen.like(r"\s\S+\s\S+\s") > 0.3:
        return Guess(Role.FREE_TEXT, keep=False, why="the values look like sentences")
    return None


def key(guesses: Sequence[Guess]) -> int | None:
    """The column that tells records apart: the first identifier with a value of its own in every row."""
    return next((place for place, each in enumerate(guesses) if each.role is Role.RECORD and each.unique), None)
