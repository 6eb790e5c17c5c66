"""A node's side of a question: read it, have it approved, count, hide what is small, look back, sign, and only then let go.

Whatever is refused is written down for the node's approvers. The asker hears nothing: a refusal tells something too.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import product
from pathlib import Path

import polars as pl
from filelock import FileLock, Timeout
from pydantic import BaseModel

from linkage import disclosure
from linkage.audit import Journal
from linkage.disclosure import Asked, Entry, Groups, Ledger, Release, decide
from linkage.disk import sync
from linkage.errors import ConfigurationError, LinkageError, PolicyError, TemporaryError
from linkage.questions.answers import ANSWER, Answer, Cell
from linkage.questions.checks import Checked, check_approval, check_question
from linkage.questions.query import count_query
from linkage.questions.registers import Node
from linkage.signed import Envelope, Signer, canonical, sign
from linkage.store.ask import Snapshot, ask, current_snapshot

__all__ = ["Answering", "Refusal", "check"]

ACT = "question.answer"
PATIENCE = 10.0  # seconds that a question waits for the one before it


class Refusal(BaseModel):
    """A question that was not answered, for the node's approvers.

    Attributes:
        at: When (UTC).
        question: The question's digest; empty where it could not be read.
        asker: Who asked, where that is sure.
        reason: Why.
        hint: What can be done.
    """

    at: datetime
    question: str
    asker: str
    reason: str
    hint: str


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
            with _held(private):
                checked = check(envelope, self.node, now)
                agreed = check_approval(approval, checked, self.node, now)
                journal = Journal(self.node.at(self.node.log) if self.node.log else private.parent / "audit")
                self._settle(journal, checked.digest)
                if self._given(checked.digest).exists():
                    raise PolicyError(
                        "the question was answered before",
                        hint=f"the answer is {self._given(checked.digest)}: give it again",
                    )
                snapshot = current_snapshot(self.node.at(self.node.store))
                by = f"{self.signer.name} {self.signer.verifier.key_id}"
                told = {"question": checked.digest, "asker": checked.question.asker, "approver": agreed.approver}
                with journal.act(ACT, by, snapshot=snapshot.folder.name, **told) as act:
                    answered = self._answer(checked, snapshot, now)
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

    def _answer(self, checked: Checked, snapshot: Snapshot, now: datetime) -> Envelope:
        practices = self.node.ods_codes()
        _check_snapshot(checked, snapshot, now.date())
        query = count_query(checked.question, practices)
        placed = ask(snapshot, query.sql, query.parameters, self.node.seconds)
        release = _released(checked, placed)
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
            practices=practices, cells=tuple(_cells(release)),
        )  # fmt: skip
        signed = sign(ANSWER, canonical(answer), [self.signer])
        _write(self._given(checked.digest), signed.model_dump_json())
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
        folder = self._private() / "refused"
        stem = f"{now.astimezone(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"
        _write(folder / f"{stem}.json", refusal.model_dump_json(indent=1))
        _write(folder / f"{stem}.question", envelope.decode("utf-8", "replace"))


def _check_snapshot(checked: Checked, snapshot: Snapshot, today: date) -> None:
    """Whether the snapshot can say what is asked.

    Raises:
        PolicyError: A document that it was made by has ended, it is older than is asked for, or it lacks a feed: nobody
            known to a feed is not nobody there.
    """
    question, manifest = checked.question, snapshot.manifest
    for each in manifest.documents:
        if each.ends is not None and each.ends < today:
            raise PolicyError(
                f"the {each.what} {each.reference} ended on {each.ends}, by which the snapshot was made",
                hint="have it renewed, correct linkage.toml and run the pipeline",
            )
    if manifest.started.date() < question.snapshots_from:
        raise PolicyError(
            f"the snapshot is older than {question.snapshots_from}, from which on answers are asked for",
            hint="run the pipeline",
        )
    missing = sorted(set(question.feeds) - {each.feed for each in manifest.feeds})
    if missing:
        raise PolicyError(
            f"the snapshot has no feed {missing[0]}: its people would be counted as having nothing there",
            hint="tell the asker which feeds there are",
        )
    if not any(table.name == "registration" and table.rows for table in manifest.tables):
        raise PolicyError(
            "the snapshot knows no registrations with practices, by which people are one node's",
            hint="take in a feed that has them, for example pds",
        )


def _released(checked: Checked, placed: pl.DataFrame) -> Release:
    """What may be shown of every group; `placed` has everybody's place among the finest."""
    values = checked.question.groups
    finest = list(product(*(sorted(each) for each in values.values())))
    counted = placed.group_by("place").len("count").iter_rows() if values else [(0, placed.height)]
    rows = [(*finest[place], count) for place, count in counted]
    schema = {**dict.fromkeys(values, pl.String), "count": pl.Int64}
    cells = pl.DataFrame(rows, schema=schema, orient="row")
    return decide(Groups.of(cells, list(values), "count", values), disclosure.policy(checked.question.policy))


def _cells(release: Release) -> Iterator[Cell]:
    for *values, count, least, most in release.table().iter_rows():
        yield Cell(values=tuple(values), count=count, at_least=least, at_most=most)


@contextmanager
def _held(private: Path) -> Iterator[None]:
    """One question at a time: two that are answered at once could be subtracted."""
    try:
        with FileLock(private / "lock", timeout=PATIENCE, fallback_to_soft=False):
            yield
    except Timeout:
        raise TemporaryError("another question is being answered", hint="try again when it is") from None


def _write(path: Path, text: str) -> None:
    """Write a file that is there whole or not at all, for its owner alone."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    aside = path.with_name(f".{path.name}")
    aside.write_text(text, encoding="utf-8")
    aside.chmod(0o600)
    sync(aside)
    aside.replace(path)
    sync(path.parent)
