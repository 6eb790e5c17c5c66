"""Answering a question, from the file as it came to the signed answer.

Whatever is refused is written down for the node's approvers. The asker hears nothing: a refusal tells something too.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from linkage import disclosure
from linkage.answering.counting import cells_of, check_snapshot, released
from linkage.answering.private_files import Refusal, held, write, write_refusal
from linkage.audit import Journal
from linkage.disclosure import Asked, Entry, Ledger
from linkage.errors import ConfigurationError, LinkageError, PolicyError, TemporaryError
from linkage.questions.answers import ANSWER, Answer
from linkage.questions.checks import Checked, check_approval, check_question
from linkage.questions.query import count_query
from linkage.questions.registers import Node
from linkage.signed import Envelope, Signer, canonical, sign
from linkage.store.ask import Snapshot, ask, current_snapshot

__all__ = ["Answering", "check"]

ACT = "question.answer"


def check(envelope: bytes, node: Node, now: datetime) -> Checked:
    """Check everything about a question that needs no data; it is so before an approver reads it, and again after.

    Raises:
        IntegrityError: It is damaged, or its asker did not sign it.
        PolicyError: It may not be answered here.
    """
    checked = check_question(envelope, node, now)
    wanted, least = disclosure.policy(checked.question.policy), disclosure.policy(checked.purpose.policy)
    if not wanted.is_as_strict_as(least):
        raise PolicyError(
            f"policy {wanted.name} is not as strict as {least.name}, which is the least here",
            hint="the asker has to ask for a stricter policy",
        )
    return checked


@dataclass(frozen=True, slots=True)
class Answering:
    """A node that answers.

    Attributes:
        node: Its file.
        signer: Its signing key.
    """

    node: Node
    signer: Signer

    def answer(self, envelope: bytes, approval: bytes, now: datetime) -> Envelope:
        """Answer a question from the current snapshot.

        Args:
            envelope: The question as it came.
            approval: The approval of somebody at this node.
            now: The moment, UTC.

        Returns:
            The answer, signed; a copy stays in the private folder, and the question is spent.

        Raises:
            LinkageError: It is refused; why is in the private folder, for the approvers alone.
        """
        if self.signer.name != self.node.name:
            raise ConfigurationError(
                "the signing key is of another name than the node", hint="make one with `linkage keys signer`"
            )
        private = self._private()
        checked: Checked | None = None
        try:
            with held(private):
                checked = check(envelope, self.node, now)
                agreed = check_approval(approval, checked, self.node, now)
                journal = Journal(self.node.at(self.node.log) if self.node.log else private.parent / "audit")
                self._settle(journal, checked.digest)
                if self._given(checked.digest).exists():
                    raise PolicyError(
                        "the question was answered before",
                        hint=f"the answer is {self._given(checked.digest)}: give it again",
                    )
                snapshot, practices = current_snapshot(self.node.at(self.node.store)), self.node.ods_codes()
                by = f"{self.signer.name} {self.signer.verifier.key_id}"
                told = {"question": checked.digest, "asker": checked.question.asker, "approver": agreed.approver}
                with journal.act(ACT, by, snapshot=snapshot.folder.name, **told) as act:
                    answered = self._answer(checked, snapshot, practices, now)
                    act.details["answer"] = answered.digest
                return answered
        except TemporaryError:
            raise
        except LinkageError as error:
            self._refuse(envelope, checked, error, now)
            raise

    def _settle(self, journal: Journal, question: str) -> None:
        """Tell what became of this question where a crash left that open; nothing else can be on its way."""
        for act in journal.unfinished((ACT,), {"question": question}):
            act.details["came"] = "answer" if self._given(question).exists() else "no answer"
            journal.settle(act)

    def _answer(self, checked: Checked, snapshot: Snapshot, practices: tuple[str, ...], now: datetime) -> Envelope:
        check_snapshot(checked, snapshot, self.node.max_age_days, now)
        query = count_query(checked.question, practices)
        placed = ask(snapshot, query.sql, query.parameters, self.node.seconds)
        release = released(checked, placed)
        manifest = snapshot.manifest
        tokens = f"{manifest.domain} {manifest.key_id}"
        asked = Asked(checked.digest, checked.purpose.name, snapshot.folder.name, tokens)
        # What leaves is entered first: an answer that is lost on the way has used its budget, and none is forgotten.
        Ledger(self._private() / "ledger", checked.purpose.budget).admit_placed(
            Entry.of(release, asked, now), release, placed
        )
        answer = Answer(
            question=checked.digest, node=self.node.name, at=now.replace(microsecond=0), snapshot=snapshot.folder.name,
            snapshot_digest=snapshot.digest, snapshot_day=manifest.started.date(), policy=release.policy.name,
            practices=practices, cells=tuple(cells_of(release)),
        )  # fmt: skip
        signed = sign(ANSWER, canonical(answer), [self.signer])
        write(self._given(checked.digest), signed.model_dump_json())
        return signed

    def _private(self) -> Path:
        folder = self.node.at(self.node.private)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if folder.stat().st_mode & 0o077:
            raise PolicyError(f"{folder}: others may read the private folder", hint=f"run: chmod 700 {folder}")
        return folder

    def _given(self, question: str) -> Path:
        return self._private() / "answered" / f"{question}.json"

    def _refuse(self, envelope: bytes, checked: Checked | None, error: LinkageError, now: datetime) -> None:
        refusal = Refusal(
            at=now, question=checked.digest if checked else "", asker=checked.question.asker if checked else "",
            reason=error.message, hint=error.hint,
        )  # fmt: skip
        write_refusal(self._private() / "refused", refusal, envelope)
