"""What is done to a store, told in the log: each act before it begins and after it ended.

An act that nothing ended was cut off by a crash. Whoever holds the store's lock next tells what became of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from linkage.audit import Act, Journal
from linkage.audit.entries import Detail
from linkage.config import Configuration
from linkage.errors import LinkageError
from linkage.store.layout import Store

__all__ = ["ACTS", "Working", "publishing", "working"]

ACTS = (
    "run", "check", "relink", "optouts.tokens", "rollback", "publish", "rekey", "rekey.confirm", "site.run", "site.check", "link",
)  # fmt: skip
OPERATOR = "operator"


class Working:
    """An act that is under way on a store.

    Attributes:
        journal: The log.
        details: What came of it, told at its end.
        error: Why it failed, where nothing was raised through it.
    """

    def __init__(self, journal: Journal, act: Act, said: dict[str, Detail]) -> None:
        self.journal, self._act, self.said = journal, act, said
        self.details = act.details
        self.error: BaseException | None = None

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Keep what is raised here as why the act failed, where somebody else goes on after it."""
        try:
            yield
        except BaseException as error:
            self.error = error
            raise

    def end(self, error: BaseException | None) -> None:
        """Tell the end. Where that cannot be written, the next start tells it: what was done is done."""
        with suppress(LinkageError, OSError):
            failed = error or self.error
            if failed is None:
                self.journal.done(self._act)
            else:
                self.journal.failed(self._act, failed)


@contextmanager
def working(configuration: Configuration, store: Store, name: str) -> Iterator[Working]:
    """Tell an act on a store; the caller holds the store's lock.

    Raises:
        LinkageError: The log cannot be written or is damaged: nothing is to be done then.
    """
    journal, said = Journal.of(configuration), _about(configuration, store)
    _settle(journal, store, {"store": said["store"]})
    work = Working(journal, journal.begin(name, OPERATOR, **said), said)
    try:
        yield work
    except BaseException as error:
        work.end(error)
        raise
    work.end(None)


@contextmanager
def publishing(work: Working, **details: Detail) -> Iterator[None]:
    """Tell that a snapshot is made the current one; the intent is on the disk before it is."""
    act = Working(work.journal, work.journal.begin("publish", OPERATOR, **work.said, **details), work.said)
    try:
        yield
    except BaseException as error:
        act.end(error)
        raise
    act.end(None)


def _settle(journal: Journal, store: Store, said: dict[str, Detail]) -> None:
    left = journal.unfinished(ACTS, said)
    for act in left:
        act.details["current"] = store.current() or "none"
        journal.settle(act)


def _about(configuration: Configuration, store: Store) -> dict[str, Detail]:
    place = hashlib.sha256(str(store.path.resolve()).encode()).hexdigest()[:16]
    return {"store": place, "configuration": configuration.digest, "domain": configuration.keys.domain}
