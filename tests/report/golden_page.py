"""`python tests/report/golden_page.py` writes anew what the page of the written-out manifest says."""

from __future__ import annotations

from pathlib import Path

from report_pages import lines, manifest, parsed

from linkage.report import facts
from linkage.report.page import page

if __name__ == "__main__":
    text = "\n".join(lines(parsed(page(facts.shown(manifest()))))) + "\n"
    (Path(__file__).parent.parent / "data" / "report" / "page.txt").write_text(text, encoding="utf-8")
