"""Whatever happens to extracts, registers and rules, and whenever it runs: an increment is what a full run makes."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from equality import Unequal, compare, go_back, later, relink_held, run, run_both
from evolving import DAYS, FEEDS, PEOPLE, Evolving, changed, day_of, table_of
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from killed import Killed, counting
from rows import CODES, CONCEPTS, ROWS, Rows, deliveries

from linkage.sources import seen
from linkage.store import publish

PLACE = st.integers(0, 50)
PERSON = st.sampled_from(PEOPLE)


class Increments(RuleBasedStateMachine):
    """Steps of which each changes something, and between which both purposes run."""

    ics: Evolving
    calls = 1500

    @initialize(
        feeds=st.lists(st.sampled_from(FEEDS), min_size=1, max_size=3, unique=True),
        settled=st.booleans(),
        data=st.data(),
    )
    def begin(self, feeds: list[str], settled: bool, data: st.DataObject) -> None:
        """Some feeds, with what each must have and somewhat more, run once."""
        # Files are known again by their times alone, as they are once they have lain for a while.
        self.patch = pytest.MonkeyPatch()
        if settled:
            self.patch.setattr(seen, "SETTLED", -(10**18))
        self.folder = Path(tempfile.mkdtemp(prefix="increments-"))
        self.ics = Evolving(self.folder, tuple(feed for feed in FEEDS if feed in feeds))
        self.gone: dict[str, tuple[str, ...]] = {}
        self.changes = 0
        for feed, rows in data.draw(st.lists(deliveries(self.ics.feeds), min_size=1, max_size=4)):
            self._deliver(feed, rows, None)
        self.settle()

    def settle(self) -> None:
        """Both run, and are the same."""
        run_both(self.ics)
        self.changes = 0

    @rule()
    @precondition(lambda self: self.changes)
    def night(self) -> None:
        """Both run."""
        self.settle()

    @rule()
    @precondition(lambda self: not self.changes)
    def night_without_news(self) -> None:
        """Both run over what they ran over."""
        self.settle()

    # ------------------------------------------------------------------------------------------------------ extracts

    @rule(data=st.data(), day=st.one_of(st.none(), st.none(), st.integers(1, DAYS)))
    def deliver(self, data: st.DataObject, day: int | None) -> None:
        """New rows and corrections, after all that came, or dated before some of it."""
        self._several(data, day)

    def _several(self, data: st.DataObject, day: int | None) -> None:
        for feed, rows in data.draw(st.lists(deliveries(self.ics.feeds), min_size=1, max_size=2)):
            self._deliver(feed, rows, day)

    @rule(data=st.data())
    def deliver_and_run(self, data: st.DataObject) -> None:
        """What most nights are."""
        self._several(data, None)
        self.settle()

    def _deliver(self, feed: str, rows: Rows, day: int | None) -> None:
        stamp = None
        for table, lines in rows.items():
            path = self.ics.new_path(feed, table, day or stamp)
            stamp = day_of(path)
            self.ics.write(path, lines)
            self.changes += 1

    @rule(place=PLACE, later=st.booleans())
    def deliver_again(self, place: int, later: bool) -> None:
        """A file comes once more under another name, as old as it was or as the newest."""
        path = sorted(self.ics.files)[place % len(self.ics.files)]
        self.ics.write(self.ics.new_path(*table_of(path), None if later else day_of(path)), self.ics.files[path])
        self.changes += 1

    @rule(place=PLACE)
    def written_again(self, place: int) -> None:
        """A file is replaced by itself."""
        path = sorted(self.ics.files)[place % len(self.ics.files)]
        (self.folder / path).unlink()
        self.ics.write(path, self.ics.files[path])
        self.changes += 1

    @rule(place=PLACE)
    @precondition(lambda self: self.ics.may_go())
    def disappears(self, place: int) -> None:
        """A file leaves its folder."""
        may_go = sorted(self.ics.may_go())
        path = may_go[place % len(may_go)]
        self.gone[path] = self.ics.files[path]
        self.ics.remove(path)
        self.changes += 1

    @rule(place=PLACE)
    @precondition(lambda self: self.gone)
    def comes_back(self, place: int) -> None:
        """A file that left is there again."""
        path = sorted(self.gone)[place % len(self.gone)]
        self.ics.write(path, self.gone.pop(path))
        self.changes += 1

    @rule(place=PLACE, data=st.data(), keep_time=st.booleans())
    def changes_in_place(self, place: int, data: st.DataObject, keep_time: bool) -> None:
        """A row of a file becomes another, or one more."""
        path = sorted(self.ics.files)[place % len(self.ics.files)]
        feed, table = table_of(path)
        row = data.draw(ROWS[feed][table])
        rows = list(self.ics.files[path])
        if len(rows) > 1 and place % 2 and path in self.ics.may_go():
            rows = changed(rows, place, lambda _: row)
        else:
            rows.append(row)
        before = (self.folder / path).stat()
        self.ics.write(path, rows)
        if keep_time:
            os.utime(self.folder / path, ns=(before.st_atime_ns, before.st_mtime_ns))
        self.changes += 1

    @rule(code=st.sampled_from(CODES), concept=st.sampled_from(CONCEPTS))
    @precondition(lambda self: "gp" in self.ics.feeds)
    def code_changes(self, code: str, concept: str) -> None:
        """A table of codes gains a code, or says something else of one."""
        self._deliver("gp", {"code": [f"{code},{concept}"]}, None)

    @rule(pairs=st.lists(st.tuples(PERSON, PERSON), min_size=1, max_size=2))
    @precondition(lambda self: "pds" in self.ics.feeds)
    def numbers_merge(self, pairs: list[tuple[str, str]]) -> None:
        """A number is replaced by another; two may disagree, or go round."""
        self._deliver("pds", {"merged": [f"{old},{new}" for old, new in pairs]}, None)

    # ------------------------------------------------------------------------------------------ registers and rules

    @rule(person=PERSON, register=st.sampled_from(["allowed", "allowed", "asked", "objecting", "sensitive"]))
    def registered(self, person: str, register: str) -> None:
        """Somebody opts out or in again, is asked about or not any more, or comes on a list or leaves it."""
        getattr(self.ics, register).symmetric_difference_update({person})
        self.ics.write_registers()
        self.changes += 1

    @rule(practice=st.sampled_from(["Z99001", "Z99002"]), period=st.sampled_from(["", "now", "past"]))
    def practice_leaves(self, practice: str, period: str) -> None:
        """A practice does not share, did not for a while, or shares again."""
        self.ics.leaving.pop(practice, None)
        if period:
            self.ics.leaving[practice] = ("2026-04-01", "" if period == "now" else "2026-05-01")
        self.ics.write_registers()
        self.changes += 1

    @rule(
        change=st.sampled_from(
            [
                ("birth", "month"), ("birth", "year"), ("earliest", "2026-05-01"), ("earliest", ""),
                ("kept", "73211009"), ("kept", ""), ("tables", '["spell", "episode"]'), ("tables", ""),
                ("type1", "primary_care"), ("type1", "everything"), ("moved", True), ("moved", False),
                ("restricted", ("44054006",)), ("restricted", ("I21", "7321%")), ("restricted", ()),
            ]
        )
    )  # fmt: skip
    def rules_change(self, change: tuple[str, object]) -> None:
        """The configuration says something else."""
        setattr(self.ics.rules, *change)
        self.ics.write_rules()
        self.changes += 1

    @rule(data=st.data())
    def contract_changes(self, data: st.DataObject) -> None:
        """A contract of the ICS's own is another version."""
        feed = data.draw(st.sampled_from(self.ics.feeds))
        self.ics.rules.wider ^= {feed}
        self.ics.write_rules()
        self.changes += 1

    # ------------------------------------------------------------------------------------------------- what goes wrong

    @rule(share=st.integers(1, 99))
    def killed(self, share: int) -> None:
        """The purpose that adds is killed on its way; if it had published already the other follows."""
        before = self._current()
        self.ics.minutes += 7
        with counting(max(Increments.calls * share // 100, 1)) as calls:
            try:
                run(self.ics, whole=False)
            except Killed:
                pass
            else:
                Increments.calls = max(calls[0], 1)
        if self._current() != before:
            run(self.ics, whole=True)
            compare(self.ics)

    def _current(self) -> str:
        current = self.folder / "adding" / "store" / "current"
        return current.read_text() if current.exists() else ""

    @rule()
    @precondition(lambda self: self.ics.both_have_two())
    def goes_back(self) -> None:
        """Both go back to the snapshot before."""
        self.ics.minutes += 7
        back = [go_back(self.ics, whole=whole) for whole in (False, True)]
        if back[0] != back[1]:
            raise Unequal(f"going back: {back}")
        compare(self.ics)

    @rule(person=PERSON)
    @precondition(lambda self: not self.changes)
    def late(self, person: str) -> None:
        """Somebody opts out, and both link what they hold again, without the extracts."""
        self.ics.allowed.discard(person)
        self.ics.write_registers()
        self.ics.minutes += 7
        told = [relink_held(self.ics, whole=whole) for whole in (False, True)]
        if told[0] != told[1]:
            raise Unequal(f"linking again: {told}")
        if not told[0]:
            compare(self.ics, extracts=False)

    @rule()
    def clock(self) -> None:
        """Some hours pass, on one day."""
        later(self.ics, 0.2)

    def teardown(self) -> None:
        """Whatever was done last is run as well."""
        try:
            if hasattr(self, "changes") and self.changes:
                self.settle()
        finally:
            if hasattr(self, "patch"):
                self.patch.undo()
            _remove(getattr(self, "folder", None))


def _remove(folder: Path | None) -> None:
    """What is published may not be written to, and goes all the same."""
    if folder is not None and folder.exists():
        publish.remove(folder)
