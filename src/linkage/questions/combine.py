"""Answers of several nodes checked and put together. A withheld count is a range, never a zero."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import product

import polars as pl

from linkage.errors import InputError, IntegrityError, LinkageError
from linkage.questions.answers import ANSWER, Answer, Cell
from linkage.questions.checks import AHEAD, digest_of
from linkage.questions.combined import ALL, WITHHELD, Combined, Refused
from linkage.questions.question import QUESTION, Question
from linkage.signed import Envelope, Verifier, opened

__all__ = ["combine", "own_question"]

Groups = dict[tuple[str, ...], Cell]


def own_question(envelope: bytes) -> Question:
    """The question that was asked, from the asker's own file.

    Raises:
        IntegrityError: It is none.
    """
    try:
        read = Envelope.model_validate_json(envelope)
        if read.payload_type != QUESTION:
            raise ValueError
        return Question.model_validate_json(read.content)
    except ValueError:
        raise IntegrityError("not a question", hint="give the file that `linkage federate ask` wrote") from None


def combine(envelope: bytes, answers: Mapping[str, bytes], nodes: Iterable[Verifier]) -> Combined:
    """Put answers together.

    Args:
        envelope: The question as it was asked.
        answers: What came, by the name of its file.
        nodes: The nodes' public keys, pinned by the asker.

    Raises:
        IntegrityError: The question is none.
        InputError: There is no answer that can be used.
    """
    question, digest, known = own_question(envelope), digest_of(envelope), tuple(nodes)
    read: dict[str, Answer] = {}
    refused: list[Refused] = []
    for file, content in sorted(answers.items()):
        try:
            read[file] = _checked(content, question, digest, known)
        except LinkageError as error:
            refused.append(Refused(file, error.message))
    used, unclear = _clear(read)
    refused += unclear
    if not used:
        reasons = "; ".join(f"{each.file}: {each.reason}" for each in refused)
        raise InputError(
            f"no answer can be used{': ' if reasons else ''}{reasons}",
            hint="wait for answers, or ask the nodes for them again",
        )
    missing = tuple(name for name in question.nodes if name not in used)
    return Combined(question, used, missing, tuple(refused), _sums(question, used.values()))


def _checked(content: bytes, question: Question, digest: str, nodes: Iterable[Verifier]) -> Answer:
    answer, signers = opened(content, Answer, ANSWER, nodes)
    again = "ask the node for its answer again"
    if answer.node not in {each.name for each in signers}:
        raise IntegrityError("it names another node than the one that signed it", hint=again)
    if answer.question != digest:
        raise IntegrityError("it answers another question", hint=again)
    if answer.node not in question.nodes:
        raise IntegrityError("its node was not asked", hint=again)
    if answer.policy != question.policy:
        raise IntegrityError("another disclosure policy was applied than the one asked for", hint=again)
    if answer.snapshot_day < question.snapshots_from:
        raise IntegrityError(f"its snapshot is of before {question.snapshots_from}", hint=again)
    if not question.asked - AHEAD <= answer.at <= question.expires:
        raise IntegrityError("it was given before the question was asked, or after it expired", hint=again)
    cells = {each.values: each for each in answer.cells}
    if len(cells) != len(answer.cells) or set(cells) != set(_labels(question)):
        raise IntegrityError("its groups are not those of the question", hint=again)
    if not all(each.holds_together for each in answer.cells):
        raise IntegrityError("a count of it is not within its bounds", hint=again)
    if not _adds_up(question, cells):
        raise IntegrityError("its counts do not add up to its totals", hint=again)
    return answer


def _labels(question: Question) -> Iterable[tuple[str, ...]]:
    """Every group and total, totals after what they are of."""
    return product(*((*values, ALL) for values in question.groups.values()))


def _adds_up(question: Question, cells: Groups) -> bool:
    """Whether every total can be the sum of what it is a total of."""
    for label, cell in cells.items():
        for place, values in enumerate(question.groups.values()):
            if label[place] == ALL:
                parts = [cells[(*label[:place], value, *label[place + 1 :])] for value in values]
                least, most = sum(each.at_least for each in parts), sum(each.at_most for each in parts)
                if least > cell.at_most or most < cell.at_least:
                    return False
    return True


def _clear(read: Mapping[str, Answer]) -> tuple[dict[str, Answer], list[Refused]]:
    """One answer of each node, and no practice that two nodes claim."""
    several = {
        file: "its node gave several answers that differ"
        for file, answer in read.items()
        if any(other.node == answer.node and other != answer for other in read.values())
    }
    by_node = {answer.node: answer for file, answer in read.items() if file not in several}
    claims = Counter(practice for answer in by_node.values() for practice in set(answer.practices))
    twice = {practice for practice, number in claims.items() if number > 1}
    shared = {
        file: "another node claims a practice of its node, so that people would be counted twice"
        for file, answer in read.items()
        if file not in several and twice.intersection(answer.practices)
    }
    refused = [Refused(file, reason) for file, reason in sorted((several | shared).items())]
    return {name: each for name, each in by_node.items() if not twice.intersection(each.practices)}, refused


def _sums(question: Question, answers: Iterable[Answer]) -> pl.DataFrame:
    every = [{each.values: each for each in answer.cells} for answer in answers]
    rows = []
    for label in _labels(question):
        cells = [each[label] for each in every]
        withheld = any(each.count == WITHHELD for each in cells)
        count = WITHHELD if withheld else str(sum(int(each.count) for each in cells))
        rows.append((*label, count, sum(each.at_least for each in cells), sum(each.at_most for each in cells)))
    names = [*question.groups]
    schema = {**dict.fromkeys([*names, "count"], pl.String), "at_least": pl.Int64, "at_most": pl.Int64}
    return pl.DataFrame(rows, schema=schema, orient="row")
