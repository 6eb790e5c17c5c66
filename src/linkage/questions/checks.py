"""What a node checks before anything is counted: who asks, for what, until when, and who approved it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from linkage.errors import IntegrityError, LinkageError, PolicyError
from linkage.questions.answers import APPROVAL, Approval
from linkage.questions.question import QUESTION, Question
from linkage.questions.registers import Node, NodePurpose
from linkage.signed import Envelope, canonical, opened

__all__ = ["AHEAD", "Checked", "check_approval", "check_question", "digest_of", "read_question"]

# Clocks of two organisations differ by a little.
AHEAD = timedelta(minutes=10)
_TO_ASKER = "ask the asker for a new question"


@dataclass(frozen=True, slots=True)
class Checked:
    """A question that this node may answer once it is approved.

    Attributes:
        question: What is asked.
        digest: The question's digest, hexadecimal.
        purpose: For what.
    """

    question: Question
    digest: str
    purpose: NodePurpose


def digest_of(envelope: bytes) -> str:
    """The digest of a question as it came, whoever signed it.

    Raises:
        IntegrityError: It is no envelope.
    """
    try:
        return Envelope.model_validate_json(envelope).digest
    except ValueError:
        raise IntegrityError("not a signed question, or a damaged one", hint=_TO_ASKER) from None


def read_question(envelope: bytes, node: Node) -> Question:
    """The question in an envelope, signed by the asker whom it names.

    Raises:
        IntegrityError: It is damaged, signed by nobody known here or by another, or not in the one form that it has.
    """
    known = [each.verifier for each in node.askers]
    question, signers = opened(envelope, Question, QUESTION, known)
    if question.asker not in {each.name for each in signers}:
        raise IntegrityError("the question names another asker than the one who signed it", hint=_TO_ASKER)
    if Envelope.model_validate_json(envelope).content != canonical(question):
        raise IntegrityError("the question is not in canonical form", hint=_TO_ASKER)
    return question


def check_question(envelope: bytes, node: Node, now: datetime) -> Checked:
    """Check everything about a question that needs no data.

    Raises:
        IntegrityError: As `read_question`.
        PolicyError: It has expired, is for another node, or its asker may not ask this for this purpose.
    """
    question = read_question(envelope, node)
    if now >= question.expires:
        raise PolicyError("the question has expired", hint=_TO_ASKER)
    if question.asked > now + AHEAD:
        raise PolicyError("the question was asked in the future", hint="check both clocks")
    if node.name not in question.nodes:
        raise PolicyError("the question is for other nodes", hint="it came to the wrong place; tell its asker")
    purpose = next((each for each in node.purposes if each.name == question.purpose), None)
    if purpose is None:
        raise PolicyError(
            "questions for this purpose are not answered here", hint="agree on it, then add it to the node's file"
        )
    if now.date() > purpose.ends:
        raise PolicyError(f"the purpose ended on {purpose.ends}", hint="agree on it anew, then correct the node's file")
    if question.asker not in purpose.askers:
        raise PolicyError("the asker may not ask for this purpose", hint="agree on it, then add them to the purpose")
    if question.template not in purpose.templates:
        raise PolicyError(
            "this kind of question is not answered for this purpose", hint="see `templates` in the node's file"
        )
    return Checked(question, digest_of(envelope), purpose)


def check_approval(envelope: bytes, checked: Checked, node: Node, now: datetime) -> Approval:
    """Check that somebody at this node, who did not ask, approved this question.

    Raises:
        IntegrityError: It is damaged, or nobody who approves here signed it.
        PolicyError: It approves another question or is for another node, or its signer asked the question.
    """
    try:
        approval, signers = opened(envelope, Approval, APPROVAL, [each.verifier for each in node.approvers])
    except LinkageError as error:
        raise IntegrityError(f"the approval: {error.message}", hint="have an approver of this node sign it") from None
    if approval.approver not in {each.name for each in signers}:
        raise IntegrityError(
            "the approval names another approver than the one who signed it", hint="have it signed anew"
        )
    if approval.question != checked.digest:
        raise PolicyError("the approval is of another question", hint="have this one approved")
    if approval.node != node.name:
        raise PolicyError("the approval is for another node", hint="have it approved here")
    if not checked.question.asked - AHEAD <= approval.at <= now + AHEAD:
        raise PolicyError("the approval is older than the question, or from the future", hint="check the clocks")
    if approval.approver == checked.question.asker:
        raise PolicyError("nobody approves their own question", hint="have somebody else read and approve it")
    return approval
