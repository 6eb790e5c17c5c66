"""Runs as text: a table of them, one whole, and what differs between two."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime

from linkage.cli.run import disk
from linkage.nights.differences import Count, Differences
from linkage.nights.history import Listed, Run
from linkage.store.manifest import Change, ExactBalance, RunManifest, ShownBalance

WITHHELD = "withheld"


def table(runs: Sequence[Listed | str]) -> Iterator[str]:
    """The lines of `linkage runs list`."""
    if not runs:
        yield "nothing has been published"
        return
    heading = ("run", "started", "read", "published", "extracts", "new", "state")
    rows = [heading, *(_row(each) for each in runs if isinstance(each, Listed))]
    wide = [max(len(row[place]) for row in rows) for place in range(len(heading))]
    told = iter(rows[1:])
    yield _line(heading, wide)
    for each in runs:
        yield f"{each}  damaged" if isinstance(each, str) else _line(next(told), wide)


def _row(each: Listed) -> tuple[str, ...]:
    return (
        each.run,
        each.started[:16].replace("T", " "),
        _number(each.read),
        _number(each.published),
        "" if each.extracts is None else f"{each.extracts:,}",
        "" if each.new_extracts is None else f"{each.new_extracts:,}",
        ", ".join(filter(None, (each.state, _goes(each.goes_in, each.goes_from), _from(each.from_held), _again(each)))),
    )


def _line(row: Sequence[str], wide: Sequence[int]) -> str:
    cells = [
        f"{cell:>{wide[place]}}" if 2 <= place <= 5 else f"{cell:<{wide[place]}}" for place, cell in enumerate(row)
    ]
    return "  ".join(cells).rstrip()


def _goes(goes_in: int | None, day: date | None) -> str:
    if goes_in is None:
        return ""
    by_count = "goes with the next run" if goes_in == 1 else f"goes in {goes_in} runs"
    return by_count + (f" or from {day}" if day else "")


def _again(each: Listed) -> str:
    full = f"full: {each.full}" if each.full else ""
    again = f"{each.made_again:,} made again: {each.why}" if each.made_again and each.why != each.full else ""
    return ", ".join(filter(None, (full, again)))


def _from(held: str | None) -> str:
    return f"from the held bundle of {held}" if held else ""


def _number(count: int | None) -> str:
    return WITHHELD if count is None else f"{count:,}"


def page(run: Run) -> Iterator[str]:
    """The lines of `linkage runs show`."""
    said = run.snapshot
    yield f"run            {run.name}"
    yield f"state          {', '.join(filter(None, (run.state, _goes(run.goes_in, run.goes_from))))}"
    yield f"started        {said.started:%Y-%m-%d %H:%M:%S}"
    yield f"purpose        {said.purpose}, {said.legal_basis}"
    yield f"made by        linkage {said.tool_version}, configuration {said.configuration_digest[:12]}"
    yield f"tokens         domain {said.domain}, key {said.key_id}"
    if run.account and run.account.full:
        yield f"full           {run.account.full}"
    if run.account and run.account.made_whole and run.account.made_whole != run.account.full:
        yield f"made anew      {run.account.made_whole}"
    if run.account and run.account.from_held:
        yield f"from           the held bundle of {run.account.from_held}"
    if run.account and run.account.rekeyed_from:
        yield f"rekeyed        the rows of {run.account.rekeyed_from} with tokens of another key"
    yield "contracts      " + ", ".join(f"{each.feed} {each.version}" for each in said.feeds)
    yield from _balance(run.account.balance if run.account else said.balance)
    yield "rows in each table:"
    yield from (f"  {each.rows:>12,} {each.name}" for each in said.tables)
    if run.account:
        yield from _exactly(run.account)


def _balance(tables: Iterable[ExactBalance | ShownBalance]) -> Iterator[str]:
    yield "rows read, published and removed:"
    for each in tables:
        yield f"  {each.feed} {each.table}: {_number(each.read)} read, {_number(each.published)} published"
        for reason, rows in sorted(each.removed.items()):
            yield f"  {_number(rows):>12} {reason}"


def _exactly(account: RunManifest) -> Iterator[str]:
    """What operators alone may see: extracts, registers with their age, stages, what is exempt."""
    started = account.snapshot.started
    yield "extracts:"
    for each in account.inputs:
        yield f"  {each.rows:>12,} {each.feed} {each.table} {each.file}, {_age(each.delivered, started)}, {each.sha256[:12]}"
    if account.registers:
        yield "registers:"
    for register in account.registers:
        yield f"  {register.numbers:>12,} {register.name} {register.file}, {_age(register.as_of, started)}"
    for exemption in account.exemptions:
        yield f"exempt from {exemption}"
    for table in account.taken:
        again = [f"{count:,} with rows read again: {why}" for why, count in table.mended.items()]
        again += [f"{count:,} made again: {why}" for why, count in table.again.items()]
        gone = [f"{len(table.gone):,} gone"] if table.gone else []
        yield f"taken {table.feed} {table.table}: {', '.join([f'{table.new:,} new', f'{table.kept:,} stood', *again, *gone])}"
    if account.disk:
        yield f"disk: {disk(account.disk)}"
    yield "seconds in each stage:"
    for stage in account.stages:
        rate = f", {stage.rows / stage.seconds:,.0f} rows/s" if stage.rows and stage.seconds else ""
        yield f"  {stage.seconds:>12,.1f} {stage.name}{rate}"


def _age(at: datetime, now: datetime) -> str:
    days = (now.date() - at.date()).days
    return f"{at:%Y-%m-%d}, " + ("on the day" if days == 0 else f"{days} day{'s' if days != 1 else ''} old")


def differing(found: Differences) -> Iterator[str]:
    """The lines of `linkage runs diff`."""
    yield f"{found.before} -> {found.after}"
    yield from found.said
    yield from (f"contract {each}" for each in found.contracts)
    yield from _counts("rows in each table:", found.tables)
    yield from _counts("rows removed:", found.removed)
    for heading, extracts in (("extracts taken:", found.extracts_taken), ("extracts gone:", found.extracts_gone)):
        yield from _headed(heading, (f"{e.rows:>12,} {e.feed} {e.table} {e.file}" for e in extracts))
    for heading, files in (("registers taken:", found.registers_taken), ("registers gone:", found.registers_gone)):
        yield from _headed(heading, (f"{f.numbers:>12,} {f.name} {f.file}, as of {f.as_of:%Y-%m-%d}" for f in files))
    yield from _headed("quality:", (_change(each) for each in found.quality))
    if found == Differences(before=found.before, after=found.after):
        yield "nothing differs"


def _headed(heading: str, lines: Iterable[str]) -> Iterator[str]:
    for place, line in enumerate(lines):
        if place == 0:
            yield heading
        yield f"  {line}"


def _counts(heading: str, counts: Iterable[Count]) -> Iterator[str]:
    return _headed(
        heading, (f"{_by(each):>12} {each.name}: {_number(each.before)} -> {_number(each.after)}" for each in counts)
    )


def _by(each: Count) -> str:
    return "" if each.before is None or each.after is None else f"{each.after - each.before:+,}"


def _change(each: Change) -> str:
    where = " ".join(filter(None, (each.feed, each.table, each.column)))
    if each.what == "rows":
        return f"{where}: {each.before:,.0f} -> {each.now:,.0f} rows"
    return f"{where}: {each.what} {each.before:.1%} -> {each.now:.1%}"
