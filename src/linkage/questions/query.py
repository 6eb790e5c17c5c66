"""A question as SQL over the published tables. What the question says reaches it as bound parameters alone.

The text is put together from pieces written here, by which parts the question has; its feeds, kinds, codes, dates, ages
and bands are values of parameters, and its names are nowhere in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date

from linkage.questions.dimensions import NOT_KNOWN, Age, Deprivation, Dimension, Ethnicity, Has, Known, Number, Sex
from linkage.questions.parts import Codes, Criterion
from linkage.questions.question import Asked, Cohort

__all__ = ["Query", "count_query"]

Value = str | int | date | list[str]

# Of registrations that stand on the day the one that began last counts; all nodes decide alike where they know the same.
_REGISTERED = """
    SELECT token, max(began_at) AS latest FROM (
        SELECT token, {{'from': coalesce("from", DATE '0001-01-01'), 'practice': practice}} AS began_at FROM registration
        WHERE ("from" IS NULL OR "from" <= {day}) AND ("to" IS NULL OR "to" > {day})
    ) GROUP BY token
"""
_SEXES = {"female": "female", "male": "male", "indeterminate": "indeterminate"}
# The codes of the NHS data dictionary; Z and 99 are not stated and not known.
_ETHNIC_GROUPS = {"white": "ABC", "mixed": "DEFG", "asian": "HJKL", "black": "MNP", "other": "RS"}


@dataclass(slots=True)
class Query:
    """SQL and the values of its parameters.

    Attributes:
        sql: One row for each person of the cohort: `token` (BLOB, 16 bytes) and `place` (UINTEGER), the group they are in:
            groups are numbered in the order of the product of each dimension's sorted values.
        parameters: By their names.
    """

    sql: str = ""
    parameters: dict[str, Value] = field(default_factory=dict)

    def bind(self, value: Value) -> str:
        """The parameter that stands for a value."""
        name = f"p{len(self.parameters)}"
        self.parameters[name] = value
        return f"${name}"


def count_query(asked: Asked, practices: Sequence[str]) -> Query:
    """The query that finds everybody whom a question is about, each once, with the group they are in.

    Args:
        asked: The question.
        practices: The node's practices: people who are registered with another are another node's.
    """
    query = Query()
    day = query.bind(asked.cohort.registered_on)
    parts = [f"registered AS ({_REGISTERED.format(day=day)})"]
    found: dict[Criterion, str] = {}
    numbered = {each.criterion for each in asked.dimensions if isinstance(each, Number)}
    for criterion in dict.fromkeys(asked.criteria):
        counted = criterion.at_least > 1 or criterion in numbered
        found[criterion] = f"c{len(found)}"
        parts.append(f"{found[criterion]} AS MATERIALIZED ({_criterion(query, criterion, counted)})")
    joins: list[str] = []
    places, step, dimensions = [], 1, [*asked.dimensions]
    if asked.measure is not None:
        dimensions.append(Has(kind="has", name="measure", criterion=asked.measure))
    for each in reversed(dimensions):
        if isinstance(each, Has | Number):
            alias = f"j{len(joins)}"
            joins.append(f"LEFT JOIN {found[each.criterion]} {alias} ON {alias}.token = person.token")
            value = _of_criterion(query, each, alias)
        else:
            value = _of_person(query, each, asked.cohort)
        places.append(f"{step} * ({value})")
        step *= len(each.values)
    wanted = _cohort(query, asked.cohort, practices, found)
    query.sql = (
        f"WITH {', '.join(parts)} SELECT CAST(person.token AS BLOB) AS token,"
        f" CAST({' + '.join(places) or '0'} AS UINTEGER) AS place"
        f" FROM person JOIN registered ON registered.token = person.token {' '.join(joins)} WHERE {' AND '.join(wanted)}"
    )
    return query


def _cohort(query: Query, cohort: Cohort, practices: Sequence[str], found: dict[Criterion, str]) -> list[str]:
    day = query.bind(cohort.registered_on)
    wanted = [
        f"registered.latest.practice IN (SELECT unnest({query.bind(list(practices))}))",
        f"(death_month IS NULL OR death_month >= date_trunc('month', {day}))",
    ]
    for sign, limit in ((">=", cohort.min_age), ("<=", cohort.max_age)):
        if limit is not None:
            wanted.append(f"{_age(query, cohort)} {sign} {query.bind(limit)}")
    if cohort.sexes:
        wanted.append(f"sex IN (SELECT unnest({query.bind(list(cohort.sexes))}))")
    for word, criteria in (("IN", cohort.having), ("NOT IN", cohort.lacking)):
        for each in criteria:
            least = query.bind(each.at_least)
            wanted.append(f"person.token {word} (SELECT token FROM {found[each]} WHERE n >= {least})")
    return wanted


def _criterion(query: Query, criterion: Criterion, counted: bool) -> str:
    """Everybody of whom it is true at least once: `token` and, where that is asked, how often: `n`; else 1."""
    first = date.fromisoformat(f"{criterion.first_month}-01")
    last = date.fromisoformat(f"{criterion.last_month}-01")
    feeds = ", ".join(query.bind(each) for each in criterion.feeds)
    where = f"token IS NOT NULL AND feed IN ({feeds})"
    if criterion.codes is not None:
        where += f" AND month BETWEEN {query.bind(first)} AND {query.bind(last)} AND system = {query.bind(criterion.codes.system)}"
        where += f" AND ({_code(query, criterion.codes)})"
        # A record that two feeds know by the same token is one.
        number = "count(DISTINCT record)" if counted else "1"
        return f"SELECT token, {number} AS n FROM event_code WHERE {where} GROUP BY token"
    following = date(last.year + last.month // 12, last.month % 12 + 1, 1)
    where += f' AND "start" >= {query.bind(first)} AND "start" < {query.bind(following)}'
    if criterion.kinds:
        where += f" AND kind IN ({', '.join(query.bind(each) for each in criterion.kinds)})"
    return f"SELECT token, {'count(*)' if counted else '1'} AS n FROM event WHERE {where} GROUP BY token"


def _code(query: Query, codes: Codes) -> str:
    either = []
    if codes.codes:
        either.append(f"code IN (SELECT unnest({query.bind(list(codes.codes))}))")
    lengths = sorted({len(each) for each in codes.starting_with})
    for length in lengths:
        beginnings = [each for each in codes.starting_with if len(each) == length]
        either.append(f"left(code, {query.bind(length)}) IN (SELECT unnest({query.bind(beginnings)}))")
    return " OR ".join(either)


def _of_criterion(query: Query, dimension: Has | Number, alias: str) -> str:
    number = f"coalesce({alias}.n, 0)"
    if isinstance(dimension, Number):
        return _in_bands(query, number, dimension.from_numbers, dimension)
    return _choose(dimension, {"yes": f"{number} >= {query.bind(dimension.criterion.at_least)}"}, "no")


def _of_person(query: Query, dimension: Dimension, cohort: Cohort) -> str:
    match dimension:
        case Sex():
            return _choose(dimension, {label: f"sex = '{sex}'" for label, sex in _SEXES.items()})
        case Age():
            bands = _in_bands(query, _age(query, cohort), dimension.from_ages, dimension)
            return f"CASE WHEN birth_year IS NULL THEN {_place(dimension, NOT_KNOWN)} ELSE {bands} END"
        case Deprivation():
            tenths = 10 // dimension.groups
            labels = dimension.values[:-1]
            return _choose(
                dimension,
                {label: f"(imd_decile + {tenths - 1}) // {tenths} = {at}" for at, label in enumerate(labels, 1)},
            )
        case Ethnicity():
            letters = {label: ", ".join(f"'{each}'" for each in codes) for label, codes in _ETHNIC_GROUPS.items()}
            return _choose(dimension, {label: f"ethnicity IN ({each})" for label, each in letters.items()})
        case Known():
            return _choose(dimension, {"yes": f"list_contains(sources, {query.bind(dimension.feed)})"}, "no")
        case _:
            raise TypeError(type(dimension).__name__)


def _age(query: Query, cohort: Cohort) -> str:
    return f"({query.bind(cohort.registered_on.year)} - birth_year)"


def _in_bands(query: Query, number: str, edges: Sequence[int], dimension: Dimension) -> str:
    """The place of the last band that begins at or below a number; one below the first is in the first."""
    whens = [
        f"WHEN {number} >= {query.bind(edge)} THEN {_place(dimension, label)}"
        for edge, label in reversed(list(zip(edges, dimension.values, strict=False)))
    ]
    return f"CASE {' '.join(whens)} ELSE {_place(dimension, dimension.values[0])} END"


def _choose(dimension: Dimension, when: dict[str, str], otherwise: str | None = None) -> str:
    whens = " ".join(f"WHEN {condition} THEN {_place(dimension, label)}" for label, condition in when.items())
    return f"CASE {whens} ELSE {_place(dimension, otherwise or dimension.values[-1])} END"


def _place(dimension: Dimension, label: str) -> int:
    return sorted(dimension.values).index(label)
