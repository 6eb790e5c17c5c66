"""Rows lost at each step between the extracts and the snapshot, and the reasons."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping

from linkage.reasons import Reason
from linkage.report.facts import Facts
from linkage.report.markup import Html
from linkage.report.numbers import added, count, percent, share
from linkage.report.pieces import bar, by_feed, key, number, section, stacked, table, text, unfold
from linkage.store.manifest import ShownBalance

__all__ = ["STEPS", "losses", "step_of"]

# The steps in the order of the pipeline, and what each takes out.
STEPS: tuple[tuple[str, tuple[Reason, ...]], ...] = (
    (
        "cannot be used as a record",
        (Reason.ROW_MALFORMED, Reason.INACTIVE_SUBMISSION, Reason.REQUIRED_MISSING, Reason.REQUIRED_INVALID),
    ),
    (
        "no person behind it",
        (
            Reason.TEST_PATIENT, Reason.PERSON_UNKNOWN, Reason.PERSON_AMBIGUOUS, Reason.NUMBER_MISSING, Reason.NUMBER_MALFORMED,
            Reason.NUMBER_BLOCKED, Reason.NUMBER_CHECK_DIGIT, Reason.NUMBER_TEST,
        ),
    ),
    (
        "opted out or sensitive",
        (
            Reason.SENSITIVE, Reason.PRACTICE_NOT_SHARING, Reason.TYPE1_OPT_OUT, Reason.NATIONAL_OPT_OUT,
            Reason.NATIONAL_NOT_ASKED, Reason.LOCAL_OBJECTION, Reason.LATE_OPT_OUT,
        ),
    ),
    ("not asked for", (Reason.OUTSIDE_POPULATION, Reason.BEFORE_EARLIEST, Reason.CODE_NOT_KEPT)),
    (
        "another version counts",
        (Reason.WITHDRAWN, Reason.NOTICE, Reason.DUPLICATE, Reason.SUPERSEDED, Reason.DELETED),
    ),
)  # fmt: skip
OTHER = "other reasons"
_NAMES = [*(name for name, _ in STEPS), OTHER]


def step_of(reason: str) -> str:
    """The step that takes rows out for a reason; a reason of another version of linkage has none of its own."""
    return next((name for name, reasons in STEPS if reason in {each.value for each in reasons}), OTHER)


def losses(facts: Facts) -> Html:
    """The two plots, each with the table behind it."""
    balance = facts.run.balance
    read = added(each.read for each in balance)
    return section(
        "losses",
        "Rows lost at each step",
        text(
            "Every row that was read is either in the snapshot or was taken out for one reason, the first that applied."
        ),
        table(
            ["step", "#rows taken out", "#of all rows", "rows left"],
            _steps(balance, read),
            "From the extracts to the snapshot",
        ),
        key([("s0", "in the snapshot"), *((f"s{place}", name) for place, name in enumerate(_NAMES, 1))]),
        table(["feed", "#rows read", "what became of them"], _by_feed(balance), "Each feed's rows"),
        unfold("Each table", _by_table(balance)),
        section(
            "reasons",
            "Reasons for removal",
            table(
                ["reason", "what it means", "#rows", "share of all removed"], _reasons(balance), "All feeds together"
            ),
            unfold("Reasons by feed", _reasons_by_feed(balance)),
        ),
    )


def _removed(balance: Iterable[ShownBalance]) -> Counter[str]:
    total: Counter[str] = Counter()
    for each in balance:
        total.update({reason: rows for reason, rows in each.removed.items() if rows})
    return total


def _by_step(removed: Mapping[str, int | None]) -> dict[str, int]:
    steps: Counter[str] = Counter()
    for reason, rows in removed.items():
        steps[step_of(reason)] += rows or 0
    return {name: steps[name] for name in _NAMES}


def _steps(balance: Iterable[ShownBalance], read: int) -> Iterator[list[Html | str]]:
    left = read
    yield ["read", number("–"), number("–"), bar(1.0 if read else 0.0, class_="s0")]
    for place, (name, rows) in enumerate(_by_step(_removed(balance)).items(), 1):
        left -= rows
        if name != OTHER or rows:
            lost = share(rows, read)
            parts = [
                ("s0", share(max(left, 0), read) or 0.0, f"{left:,} left"),
                (f"s{place}", lost or 0.0, f"{rows:,}: {name}"),
            ]
            yield [name, number(count(rows)), number(percent(lost) if read else "–"), stacked(parts, "p")]


def _by_feed(balance: Iterable[ShownBalance]) -> Iterator[list[Html | str]]:
    feeds: defaultdict[str, list[ShownBalance]] = defaultdict(list)
    for each in balance:
        feeds[each.feed].append(each)
    for feed, tables in feeds.items():
        published = added(each.published for each in tables)
        yield [feed, number(_sum([each.read for each in tables])), _fate(published, _removed(tables))]


def _by_table(balance: Iterable[ShownBalance]) -> Html:
    headings = ["table", "#read", "#in the snapshot", *(f"#{name}" for name in _NAMES[:-1]), "what became of them"]
    rows = (
        [
            f"{each.feed} {each.table}",
            number(count(each.read)),
            number(count(each.published)),
            *(number(_step_count(each, name)) for name in _NAMES[:-1]),
            _fate(each.published or 0, each.removed, "p"),
        ]
        for each in balance
        if each.read != 0
    )
    return table(headings, rows, "Rows read, published and taken out, by table")


def _step_count(balance: ShownBalance, name: str) -> Html:
    counts = [rows for reason, rows in balance.removed.items() if step_of(reason) == name]
    shown = added(counts)
    return count(shown if shown or None not in counts else None)


def _fate(published: int, removed: Mapping[str, int | None], class_: str = "wide") -> Html:
    steps = _by_step(removed)
    whole = published + sum(steps.values())
    parts = [("s0", published, f"{published:,} in the snapshot")]
    parts += [(f"s{place}", rows, f"{rows:,}: {name}") for place, (name, rows) in enumerate(steps.items(), 1)]
    return stacked([(kind, rows / whole if whole else 0.0, what) for kind, rows, what in parts], class_)


def _reasons(balance: Iterable[ShownBalance]) -> Iterator[list[Html | str]]:
    removed = _removed(balance)
    whole = sum(removed.values())
    withheld = {reason for each in balance for reason, rows in each.removed.items() if rows is None}
    for reason, rows in sorted(removed.items(), key=lambda item: (-item[1], item[0])):
        place = _NAMES.index(step_of(reason)) + 1
        yield [reason, _meaning(reason), number(count(rows)), bar(share(rows, whole), class_=f"s{place}")]
    for reason in sorted(withheld - removed.keys()):
        yield [reason, _meaning(reason), number(count(None)), bar(None)]


def _meaning(reason: str) -> str:
    return Reason(reason).meaning if reason in set(Reason) else ""


def _reasons_by_feed(balance: Iterable[ShownBalance]) -> Html:
    found: defaultdict[tuple[str, str], list[int | None]] = defaultdict(list)
    for each in balance:
        for reason, rows in each.removed.items():
            if rows != 0:
                found[reason, each.feed].append(rows)
    feeds = list(dict.fromkeys(each.feed for each in balance))
    reasons = sorted({reason for reason, _ in found})
    return by_feed(
        "reason", feeds, "Rows taken out of each feed's tables together",
        ((reason, {feed: _sum(found.get((reason, feed))) for feed in feeds}) for reason in reasons),
    )  # fmt: skip


def _sum(counts: list[int | None] | None) -> Html | str:
    return count(added(counts) or (None if None in counts else 0)) if counts else "–"
