"""A question in words, for the person who approves it."""

from __future__ import annotations

from linkage.questions.parts import Age, Criterion, Deprivation, Dimension, Ethnicity, Has, Known, Number, Sex
from linkage.questions.question import Cohort, Question

__all__ = ["in_words"]

_MANY = 12


def in_words(question: Question, digest: str) -> list[str]:
    """Every parameter, a line each; long lists of codes with their number and their first codes."""
    what = "how many people" if question.measure is None else "of how many people something is true"
    said = [
        f"question {digest}",
        f"  {question.asker} asks {', '.join(question.nodes)} for: {question.purpose}",
        f"  from {question.asked:%Y-%m-%d} until {question.expires:%Y-%m-%d %H:%M} UTC",
        f"asks {what}, by policy {question.policy}, from a snapshot of {question.snapshots_from} or later",
        *_cohort(question.cohort),
    ]
    if question.measure is not None:
        said.append(f"measure: {_criterion(question.measure)}")
    said += [f"by {_dimension(each)}" for each in question.dimensions]
    groups = 1
    for values in question.groups.values():
        groups *= len(values)
    return [*said, f"in {groups:,} groups and their totals"]


def _cohort(cohort: Cohort) -> list[str]:
    said = [f"people registered with a practice of the node, and alive, on {cohort.registered_on}"]
    if cohort.min_age is not None or cohort.max_age is not None:
        oldest = "any age" if cohort.max_age is None else f"{cohort.max_age}"
        said.append(f"  aged {cohort.min_age or 0} to {oldest}")
    if cohort.sexes:
        said.append(f"  sex: {', '.join(cohort.sexes)}")
    said += [f"  with {_criterion(each)}" for each in cohort.having]
    return said + [f"  without {_criterion(each)}" for each in cohort.lacking]


def _criterion(criterion: Criterion) -> str:
    what = f"events ({', '.join(criterion.kinds)})" if criterion.kinds else "events of any kind"
    if criterion.codes is not None:
        exact, beginnings = (
            _listed(criterion.codes.codes),
            _listed([f"{each}…" for each in criterion.codes.starting_with]),
        )
        what = f"{criterion.codes.system} codes {'; '.join(filter(None, (exact, beginnings)))}"
    return (
        f"at least {criterion.at_least} of {what} in {', '.join(criterion.feeds)},"
        f" {criterion.first_month} to {criterion.last_month}"
    )


def _listed(codes: tuple[str, ...] | list[str]) -> str:
    rest = f" and {len(codes) - _MANY:,} more" if len(codes) > _MANY else ""
    return ", ".join(codes[:_MANY]) + rest


def _dimension(dimension: Dimension) -> str:
    match dimension:
        case Sex() | Ethnicity():
            return dimension.name
        case Age():
            return f"age: {', '.join(dimension.values)}"
        case Deprivation():
            return f"deprivation in {dimension.groups} groups"
        case Known():
            return f"{dimension.name}: whether {dimension.feed} knows them"
        case Has():
            return f"{dimension.name}: {_criterion(dimension.criterion)}"
        case Number():
            return f"{dimension.name}: number of {_criterion(dimension.criterion)}, as {', '.join(dimension.values)}"
