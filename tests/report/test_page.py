"""The page: what it says, that it is one file that fetches nothing, and that anybody can read it."""

from __future__ import annotations

import base64
import hashlib
import re
import time
from pathlib import Path

import pytest
from report_pages import column, counts, large, lines, manifest, parsed, words

from linkage.reasons import Reason
from linkage.report import facts
from linkage.report.limits import nearest
from linkage.report.losses import OTHER, step_of
from linkage.report.page import page
from linkage.report.style import STYLE
from linkage.store.manifest import FeedVersion, Limit

GOLDEN = Path(__file__).parent.parent / "data" / "report" / "page.txt"
HOSTILE = "</title></style><script>alert('x')</script><img src=x onerror=y>\u202e\x00&amp;"


def made() -> str:
    return page(facts.shown(manifest()))


def test_what_the_page_says() -> None:
    """Every word, figure and bar, held against a golden file."""
    assert "\n".join(lines(parsed(made()))) + "\n" == GOLDEN.read_text(encoding="utf-8")


def test_equal_facts_make_equal_pages() -> None:
    assert made() == made()


@pytest.mark.parametrize(
    "changed",
    [
        {"quality": (), "limits": (), "months": (), "sources": (), "common": (), "changes": (), "last_run": None},
        {"balance": (), "feeds": (), "documents": (), "tables": ()},
        {"changes": ()},
        {"quality": (counts("gp", "patient", 0), counts("gp", "note", 5))},
        {"months": ()},
    ],
)
def test_a_snapshot_that_says_little_has_a_page(changed: dict[str, object]) -> None:
    """One of an earlier version, one without rows, one that is the first."""
    assert len(list(parsed(page(facts.shown(manifest(**changed)))).iter("section"))) > 8


@pytest.mark.parametrize("exact", [False, True])
def test_hostile_names_and_titles_are_text(exact: bool) -> None:
    """In every place that a contract, a configuration or a code can reach."""
    hostile = counts(HOSTILE, HOSTILE, 1000, column(HOSTILE, 1000, HOSTILE), title=HOSTILE)
    known = manifest()
    told = known.model_copy(
        update={
            "purpose": HOSTILE, "legal_basis": HOSTILE, "run_id": HOSTILE, "tool_version": HOSTILE, "last_run": HOSTILE,
            "quality": (hostile, hostile.model_copy(update={key: {HOSTILE: 10} for key in ("people", "ranges", "status")})),
            "feeds": (FeedVersion(feed=HOSTILE, version=1, contract_digest="0", title=HOSTILE, setting=HOSTILE),),
            "documents": tuple(each.model_copy(update={"what": HOSTILE, "reference": HOSTILE}) for each in known.documents),
            "limits": (Limit(name=HOSTILE, value=0.1, feed=HOSTILE, table=HOSTILE, column=HOSTILE),),
            "balance": tuple(
                each.model_copy(update={"feed": HOSTILE, "table": HOSTILE, "removed": {HOSTILE: 20}}) for each in known.balance
            ),
            "months": tuple(each.model_copy(update={"feed": HOSTILE}) for each in known.months),
            "sources": tuple(each.model_copy(update={"feeds": (HOSTILE,)}) for each in known.sources),
            "common": tuple(each.model_copy(update={"feed": HOSTILE, "other": HOSTILE}) for each in known.common),
            "changes": tuple(each.model_copy(update={"feed": HOSTILE, "table": HOSTILE}) for each in known.changes),
        }
    )  # fmt: skip
    text = page(facts.Facts(told, 100, exact=exact))
    root = parsed(text)
    assert {element.tag for element in root.iter()} <= {element.tag for element in parsed(made()).iter()}
    assert "<script" not in text
    assert "\u202e" not in text
    assert text.count("alert(") > 20


def test_nothing_is_fetched_run_or_sent() -> None:
    """No script, no address, no event, no style but the one that the policy names."""
    text, root = made(), parsed(made())
    elements = {element.tag for element in root.iter()}
    assert not elements & {
        "script",
        "img",
        "image",
        "iframe",
        "object",
        "embed",
        "link",
        "base",
        "form",
        "use",
        "video",
    }
    for element in root.iter():
        for name, value in element.attrib.items():
            assert not name.startswith("on"), (element.tag, name)
            assert name not in ("src", "style", "srcset", "data", "action", "ping"), (element.tag, name)
            assert name != "href" or re.fullmatch(r"#\w+", value)
    assert not re.search(r"https?:|//\w|url\(|@import|expression|data:", text)


def test_the_policy_allows_the_one_style_and_nothing_else() -> None:
    root = parsed(made())
    (policy,) = (each.get("content", "") for each in root.iter("meta") if each.get("http-equiv"))
    (style,) = ("".join(each.itertext()) for each in root.iter("style"))
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def test_it_can_be_read_without_seeing_it() -> None:
    """A language, a title, headings of tables, names of drawings; the list at the top leads to what is there."""
    root = parsed(made())
    assert root.get("lang") == "en"
    assert words(next(root.iter("title"))) == "Data quality: planning, 20261124T060000Z-abc123"
    names = [element.get("id") for element in root.iter() if element.get("id")]
    assert len(names) == len(set(names))
    assert {each.get("href") for each in root.iter("a")} == {f"#{name}" for name in names}
    for heading in root.iter("th"):
        assert heading.get("scope") in ("row", "col")
    for each in root.iter("table"):
        assert words(next(each.iter("caption")))
    for drawing in root.iter("svg"):
        named = drawing.get("aria-label") or any(child.tag == "title" for child in drawing)
        assert drawing.get("aria-hidden") == "true" or (drawing.get("role") == "img" and named)


def _light(colour: str) -> float:
    """Relative luminance (WCAG 2.2)."""
    colour = "".join(2 * letter for letter in colour) if len(colour) == 3 else colour
    parts = [int(colour[place : place + 2], 16) / 255 for place in (0, 2, 4)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _contrast(one: str, other: str) -> float:
    high, low = sorted((_light(one), _light(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_everything_stands_out_enough(scheme: int) -> None:
    """Text at 4.5 to 1, parts of plots at 3 to 1 (WCAG 2.2, 1.4.3 and 1.4.11)."""
    block = re.findall(r":root\{([^}]*--ground[^}]*)\}", STYLE)[scheme]
    colours = dict(re.findall(r"--([\w-]+):#([0-9a-f]+)", block))
    for name in ("text", "quiet", "link", "alert"):
        for ground in ("ground", "panel"):
            assert _contrast(colours[name], colours[ground]) >= 4.5, (name, ground)
    assert _contrast(colours["alert"], colours["alert-ground"]) >= 4.5
    for name in ("bar", "cw", "c0", "c3", "c4", *(f"s{step}" for step in range(6))):
        assert _contrast(colours[name], colours["ground"]) >= 3, name
    figures = {"m0": "text", "m1": "text", "m2": "text", "m3": "on-light", "m4": "on-dark", "m5": "on-dark"}
    for cell, text in figures.items():
        assert _contrast(colours[cell], colours[text]) >= 4.5, cell


def test_a_large_ics_has_a_page_of_a_fair_size() -> None:
    """30 feeds of 400 columns, and 10 years of months: in seconds, and small enough to send."""
    started = time.perf_counter()
    text = page(facts.shown(large(30, 400)))
    assert time.perf_counter() - started < 20
    root = parsed(text)
    assert sum(1 for row in root.iter("th") if words(row).startswith("a_column_with")) == 12_000
    assert len(text) < 8_000_000


def test_every_reason_belongs_to_a_step() -> None:
    assert {reason.value: step_of(reason) for reason in Reason if step_of(reason) == OTHER} == {}
    assert step_of("of_another_version") == OTHER


def test_figures_of_a_page_are_rounded_and_small_ones_withheld() -> None:
    """Whatever section works them out."""
    for cell in parsed(made()).iter("td"):
        text = words(cell)
        if cell.get("class") == "n" and re.fullmatch(r"[\d,]+", text) and int(text.replace(",", "")) > 31:
            assert int(text.replace(",", "")) % 5 == 0, text


def test_the_page_says_what_it_is() -> None:
    """Withheld numbers, or exact ones that stay where they are."""
    assert "Counts of 1 to 7 are withheld" in made()
    exact = page(facts.Facts(manifest(), 100, exact=True))
    assert "Exact counts, for the operators of the pipeline only" in exact
    assert "Counts of 1 to 7" not in exact


@pytest.mark.parametrize(
    ("limit", "found"),
    [
        (Limit(name="max_missing", value=1.0), (1.0, ("gp", "patient", "death_date"))),
        (
            Limit(name="max_invalid", value=0.2, feed="gp", table="patient", column="sex"),
            (0.1, ("gp", "patient", "sex")),
        ),
        (Limit(name="max_invalid", value=0.1), (0.0, ("gp", "patient", "code"))),
    ],
)
def test_what_came_nearest_to_a_limit(limit: Limit, found: tuple[float, tuple[str, str, str]]) -> None:
    """Among what the limit is for, and no narrower rule; what is withheld is passed over."""
    told = facts.shown(manifest())
    value, where = nearest(limit, told) or (None, None)
    assert value == pytest.approx(found[0])
    assert where == found[1]
