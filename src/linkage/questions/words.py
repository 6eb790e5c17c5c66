"""Questions and answers in words, for the people who approve them and look at them."""

from __future__ import annotations

from linkage.errors import IntegrityError
from linkage.questions.answers import Answer, Approval
from linkage.questions.dimensions import Age, Deprivation, Dimension, Ethnicity, Has, Known, Number, Sex
from linkage.questions.parts import Criterion
from linkage.questions.question import Cohort, Question
from linkage.signed import Envelope

__all__ = ["in_words", "shown"]

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


def shown(content: bytes) -> list[str]:
    """What a signed file says, a line each; that somebody signed it is not checked.

    Raises:
        IntegrityError: It is no question, approval or answer.
    """
    try:
        envelope = Envelope.model_validate_json(content)
        signers = ", ".join(f"{each.name} ({each.key_id})" for each in envelope.signatures) or "nobody"
        match envelope.payload_type:
            case "linkage-question/1":
                said = in_words(Question.model_validate_json(envelope.content), envelope.digest)
            case "linkage-approval/1":
                approval = Approval.model_validate_json(envelope.content)
                said = [f"approval of question {approval.question} for node {approval.node} by {approval.approver}"]
            case "linkage-answer/1":
                said = _answer(Answer.model_validate_json(envelope.content))
            case _:
                raise ValueError
    except ValueError:
        raise IntegrityError("not a question, an approval or an answer", hint="name a file of a question") from None
    # Anybody may have written it, also what moves a terminal's cursor.
    said.append(f"signed, as it says, by {signers}")
    return ["".join(each if each.isprintable() else "?" for each in line) for line in said]


def _answer(answer: Answer) -> list[str]:
    return [
        f"answer of {answer.node} to question {answer.question}, at {answer.at:%Y-%m-%d %H:%M} UTC",
        f"  from snapshot {answer.snapshot} of {answer.snapshot_day}, by policy {answer.policy}",
        f"  of people registered with {', '.join(answer.practices)}",
        *(
            f"{each.count:>12}  {each.at_least:>12,} to {each.at_most:<12,} {', '.join(each.values) or '(all)'}"
            for each in answer.cells
        ),
    ]


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
