"""The page: one file that needs no script and no network, and that tells where its numbers come from."""

from __future__ import annotations

import base64
import hashlib

from linkage.findings import Finding, worth_a_look
from linkage.link import suppress
from linkage.report.changes import changes
from linkage.report.completeness import completeness
from linkage.report.facts import Facts
from linkage.report.limits import limits
from linkage.report.losses import losses
from linkage.report.markup import Html, tag
from linkage.report.months import months
from linkage.report.numbers import added, count, percent
from linkage.report.people import people
from linkage.report.pieces import bar, number, section, table, text, unfold
from linkage.report.sources import sources
from linkage.report.style import STYLE

__all__ = ["page"]

LISTED = 40  # findings that are not folded away

_PARTS = (
    ("look", "Worth a look"),
    ("limits", "Limits"),
    ("losses", "Rows lost"),
    ("reasons", "Reasons"),
    ("completeness", "Completeness"),
    ("people", "NHS numbers and dates"),
    ("months", "Rows over time"),
    ("sources", "Sources"),
    ("changes", "Changes"),
    ("made", "What it was made from"),
)

_SHOWN = (
    "Counts of 1 to 7 are withheld and all others are rounded to the nearest 5; where a total would tell a withheld "
    "count, it is withheld as well. Shares and sums are of the counts as they are shown, so they need not add up."
)
_EXACT = (
    "Exact counts, for the operators of the pipeline only. Small numbers in it can tell of single people: it is kept "
    "beside the run's private account, and is not to be copied, sent or printed. "
    "Without --exact the same command makes the page for analysts."
)


def page(facts: Facts) -> str:
    """The whole page; equal facts make equal pages.

    Args:
        facts: A run, with counts as they may be shown, or exact.
    """
    found = worth_a_look(facts.run.quality, facts.run.changes, facts.run.balance)
    body = tag(
        "body",
        _header(facts, found),
        tag(
            "main",
            _look(facts, found),
            limits(facts),
            losses(facts),
            completeness(facts),
            people(facts),
            months(facts),
            sources(facts),
            changes(facts),
            _made(facts),
        ),
        tag("footer", text(f"Made by linkage {facts.run.tool_version} from run {facts.run.run_id}.", class_="note")),
    )
    return f"<!DOCTYPE html>\n{tag('html', _head(facts), body, lang='en')}\n"


def _head(facts: Facts) -> Html:
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    # Nothing may be fetched, run, sent or framed; of styles only the one below counts.
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    return tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="referrer", content="no-referrer"),
        tag("meta", name="robots", content="noindex"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", f"Data quality: {facts.run.purpose}, {facts.run.run_id}"),
        tag("style", Html(STYLE)),
    )


def _header(facts: Facts, found: list[Finding]) -> Html:
    run, balance = facts.run, facts.run.balance
    removed = added(rows for each in balance for rows in each.removed.values())
    tiles = (
        ("rows read", count(added(each.read for each in balance))),
        ("in the snapshot", count(added(each.published for each in balance))),
        ("taken out", count(removed)),
        ("people", count(facts.people)),
        ("feeds", count(len(run.feeds))),
        ("tables", count(len(run.quality))),
        ("worth a look", count(len(found))),
    )
    return tag(
        "header",
        tag("h1", f"Data quality: {run.purpose}"),
        text(f"Run {run.run_id} of {run.started:%d %B %Y, %H:%M} UTC; {run.legal_basis}", class_="quiet"),
        tag("p", _EXACT, class_="exact", role="note") if facts.exact else text(_SHOWN, class_="note"),
        tag("dl", *(tag("div", tag("dt", words), tag("dd", figure)) for words, figure in tiles), class_="tiles"),
        tag(
            "nav",
            tag("ul", *(tag("li", tag("a", words, href=f"#{name}")) for name, words in _PARTS)),
            aria_label="Contents",
        ),
    )


def _look(facts: Facts, found: list[Finding]) -> Html:
    title = "Worth a look"
    if not found:
        return section("look", title, text("Nothing stands out."))
    words = "What stands out in the extracts, or against the last run; the largest share first, columns that are always empty last."
    return section(
        "look",
        title,
        text(words),
        _findings(found[:LISTED], exact=facts.exact),
        unfold(f"{len(found) - LISTED:,} more", _findings(found[LISTED:], exact=facts.exact))
        if found[LISTED:]
        else None,
    )


def _findings(found: list[Finding], *, exact: bool) -> Html:
    rows = ([each.where, each.what, *_figures(each, exact=exact)] for each in found)
    return table(["where", "what", "#rows or values", "#share", ""], rows, "Findings")


def _figures(found: Finding, *, exact: bool) -> list[Html]:
    # What two shown counts differ by can be small although neither is.
    rows = found.count if exact else suppress(found.count)[0]
    kind = "cw" if "nothing in any row" in found.what or "not in any file" in found.what else "bar"
    return [number(count(rows)), number(percent(found.share)), bar(found.share, class_=kind)]


def _made(facts: Facts) -> Html:
    feeds = (
        [each.feed, each.title, each.setting.replace("_", " "), number(str(each.version))] for each in facts.run.feeds
    )
    documents = (
        [each.what, each.reference, f"{each.starts or '–'}", f"{each.ends or '–'}"] for each in facts.run.documents
    )
    return section(
        "made",
        "What it was made from",
        table(["feed", "what it is", "setting", "#contract"], feeds, "Feeds and their contracts"),
        table(["document", "reference", "from", "to"], documents, "Documents that the run relied on"),
    )
