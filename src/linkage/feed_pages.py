"""A contract as a page that people read: what an extract holds, and what becomes of every column.

The pages under `docs/reference/feeds` are made by `linkage feeds pages`; a test holds them to the contracts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from linkage.contract import DROPPED, ChildCodes, Codes, Column, Event, Feed, Role, Table
from linkage.submission import Submission

SETTINGS = {
    "primary_care": "primary care",
    "acute": "hospitals",
    "community": "community services",
    "mental_health": "mental health services",
    "social_care": "social care",
    "urgent": "urgent and emergency care",
    "registry": "registers",
}
_KINDS = {
    "records": "records, published as `{feed}_{table}`",
    "deletions": "a delete log: names records that the source deleted",
    "informs": "a source of persons' keys: it only informs the site half",
    "submissions": "which submissions count: it only informs the site half",
    "lookup": "a lookup: it only informs the site half",
    "sharing": "which practices share: it only informs the site half",
    "superseded": "which number replaced which: it only informs the site half",
}
_BECOMES = {
    Role.PERSON: "the person's token",
    Role.BIRTH_DATE: "year, or year and month",
    Role.DEATH_DATE: "month",
    Role.POSTCODE: "area and deprivation decile, or district",
    Role.PRACTICE: "kept",
    Role.ORGANISATION: "kept",
    Role.CODE: "kept",
    Role.DATE: "kept",
    Role.NUMBER: "kept",
    Role.CATEGORY: "kept",
    Role.FLAG: "kept",
    Role.FREE_TEXT: "dropped: free text",
    Role.NAME: "dropped: a name",
    Role.CONTACT: "dropped: a contact",
}


def index(feeds: Sequence[Feed]) -> str:
    """The index page: every feed with its setting, whether it is verified, and its tables. Markdown."""
    rows = [
        (
            f"[`{feed.name}`]({feed.name}.md)",
            feed.title,
            SETTINGS[feed.setting],
            _verified(feed),
            ", ".join(f"`{name}`" for name in feed.tables),
        )
        for feed in feeds
    ]
    return "\n".join(
        [
            "# Feeds",
            "",
            "The contracts that come with linkage, one page each. *Verified* says whether the column names were checked",
            "against a published layout. The pages are made from the contracts by `linkage feeds pages`; what the words in",
            "them mean is on the page about [contracts](../contracts.md).",
            "",
            *_table(("feed", "what it is", "setting", "verified", "tables"), rows),
            "",
        ]
    )


def page(feed: Feed) -> str:
    """One feed's page. Markdown."""
    return "\n".join([*_head(feed), *(line for name, table in feed.tables.items() for line in _of(feed, name, table))])


def _head(feed: Feed) -> Iterator[str]:
    yield from (f"# `{feed.name}`: {feed.title}", "", feed.description, "")
    yield from _table(
        ("", ""),
        [
            ("setting", SETTINGS[feed.setting]),
            ("version", str(feed.version)),
            ("verified", _verified(feed)),
            ("source", feed.source or "not said"),
            ("files", form(feed)),
            ("dates", ", ".join(f"`{layout}`" for layout in feed.formats)),
            ("dates that mean nothing", ", ".join(f"`{value}`" for value in feed.sentinels) or "none"),
            ("rows without a usable NHS number", "removed" if feed.unlinked == "drop" else "kept, without a token"),
        ],
    )
    yield ""


def form(feed: Feed) -> str:
    """How a feed's files are written, in words."""
    stamp = f"delivery stamp in the name as `{feed.delivered_format}`" if feed.delivered else "delivered when modified"
    names = {",": "a comma", "|": "a bar", "\t": "a tab", ";": "a semicolon"}
    return f"Parquet, or {feed.encoding} text with {names.get(feed.delimiter, feed.delimiter)} between fields; {stamp}"


def _of(feed: Feed, name: str, table: Table) -> Iterator[str]:
    yield from (f"## `{name}`" + (f": {table.title}" if table.title else ""), "")
    yield from (f"- {line}" for line in facts(feed, name, table))
    yield ""
    rows = [
        (f"`{each}`", _sources(column), becomes(each, column, table), _notes(column))
        for each, column in table.columns.items()
    ]
    yield from _table(("column", "delivered as", "what becomes of it", "notes"), rows)
    yield ""


def facts(feed: Feed, name: str, table: Table) -> Iterator[str]:
    """What is true of a table as a whole, a sentence each. Markdown."""
    yield f"Files: {_code(table.files)}{', may be missing' if table.optional else ''}"
    yield f"Is: {_KINDS[table.kind].format(feed=feed.name, table=name)}"
    if table.primary_key:
        latest = "its latest version" if table.submission else "its latest delivery"
        yield f"A record is named by {_code(table.primary_key)}; {latest} counts"
    if table.submission:
        yield _submission(table.submission)
    if table.roster:
        yield f"Says which number {_code(table.person_keys)} belongs to"
    elif table.person_keys:
        yield f"Finds its person by {_code(table.person_keys)}"
    if table.event:
        yield _event(table.event)
    for codes in table.codes:
        position = f", position {_code([codes.position])}" if codes.position else ""
        yield (
            f"Codes of the event `{codes.kind}`: {_meaning(codes)}{_system(codes)}, code `{codes.code}`, "
            f"of record `{codes.record}`{position}"
        )
    if table.number_status:
        yield f"State of the NHS numbers: `{table.number_status}`"
    if table.registration:
        yield f"Registrations: {_words(table.registration)}"
    if table.type1:
        yield f"Type 1 opt-outs are found in {_code(table.type1.code)}, dated by `{table.type1.date}`"
    if table.sharing:
        flags = ", ".join(f"`{flag}` is {str(value).lower()}" for flag, value in table.sharing.flags.items())
        yield f"`{table.sharing.practice}` shares when {flags}"


def _submission(rule: Submission) -> str:
    parts = [
        f"named by `{rule.id}`" if rule.id else "named by the delivery",
        f"the latest by `{rule.latest}`" if rule.latest else "the latest by delivery",
        f"active when listed in `{rule.active}`" if rule.active else "",
        f"replacing earlier ones of the same {_code(rule.replaces)}" if rule.replaces else "",
        f"for the period `{rule.covers.start}` to `{rule.covers.end}`" if rule.covers else "",
    ]
    return f"Comes in submissions, {', '.join(filter(None, parts))}"


def _event(event: Event) -> str:
    listed = "; ".join(
        f"codes of {_meaning(codes)}{_system(codes)} from {_code(codes.column)}" for codes in event.codes
    )
    return f"Becomes the event `{event.kind}`: {_words(event)}" + (f"; {listed}" if listed else "")


def _meaning(codes: Codes | ChildCodes) -> str:
    return f"meaning `{codes.meaning}`, " if codes.meaning else ""


def _system(codes: Codes | ChildCodes) -> str:
    return f"system `{codes.system}`" if codes.system else f"the system that `{codes.scheme}` names"


def _words(part: Iterable[tuple[str, object]]) -> str:
    """The columns that a part of a contract names, as `word column`."""
    found = [(word.replace("_", " "), value) for word, value in part if word != "kind" and isinstance(value, str)]
    return ", ".join(f"{word} `{value}`" for word, value in found)


def _sources(column: Column) -> str:
    if column.value is not None:
        return f"always `{_plain(column.value)}`"
    return "<br>".join(f"`{_plain(source)}`" for source in column.source)


def becomes(name: str, column: Column, table: Table) -> str:
    """What becomes of a column on its way. Markdown."""
    if table.kind == "deletions" and column.role is Role.RECORD:
        return f"one-way token of `{column.namespace}`; deletes what has the same"
    if table.kind == "deletions" and column.removes:
        return "deletes when true"
    if table.kind != "records":
        return "read here, not published"
    match column.role:
        case Role.PERSON | Role.PERSON_KEY if column.other:
            return f"`{name}_token`, the token of another person"
        case Role.PSEUDONYM:
            return f"one-way token of the scheme `{column.scheme}`"
        case Role.PERSON_KEY if name not in table.primary_key:
            return "finds the person, then dropped"
        case Role.PERSON_KEY | Role.RECORD:
            inside = f" within `{column.within}`" if column.within else ""
            return f"one-way token of `{column.namespace}`{inside}"
        case Role.FLAG if column.removes:
            whose = "every row of the person" if column.whole_person else "the row"
            return f"removes {whose} as `{column.removes}`"
        case Role.FLAG if column.optout:
            return f"a {column.optout} opt-out when {str(column.out_when).lower()}, not published"
        case _:
            return _BECOMES[column.role]


def _notes(column: Column) -> str:
    return "; ".join(filter(None, _each_note(column)))


def remarks(column: Column) -> Iterator[str]:
    """What there is to say of a column beside whether it is required. Markdown."""
    yield from filter(None, _each_note(column.model_copy(update={"required": False})))


def _each_note(column: Column) -> Iterator[str]:
    yield column.description
    yield "required" if column.required else ""
    yield f"tells the person's {column.attribute}" if column.attribute else ""
    if column.role not in DROPPED and column.role is not Role.PERSON and column.kind != "text":
        yield f"{column.kind}" + (f" as {_code(column.formats)}" if column.formats else "")
    yield f"codes {_code(column.codes)}" if column.codes else ""
    yield f"translated by `{column.lookup}`" if column.lookup else ""
    yield f"nothing when {_code(column.sentinels)}" if column.sentinels else ""
    yield f"words become codes: {_map(column)}" if column.map else ""


def _map(column: Column) -> str:
    return ", ".join(f"{_plain(word)} → {f'`{code}`' if code else 'nothing'}" for word, code in column.map.items())


def _verified(feed: Feed) -> str:
    return "yes" if feed.verified else "no"


def _code(words: Iterable[str]) -> str:
    return ", ".join(f"`{_plain(word)}`" for word in words)


def _plain(text: str) -> str:
    return text.replace("|", "\\|")


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield "|" + "---|" * len(head)
    yield from (f"| {' | '.join(_one_line(cell) for cell in row)} |" for row in rows)


def _one_line(cell: str) -> str:
    return " ".join(cell.split())
