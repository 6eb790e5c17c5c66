"""What was translated of a packet is searched for NHS numbers before it counts, by the check that the hub links with.

Found only there, they would lie in the folder of what was translated until somebody links.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection
from contextlib import closing
from pathlib import Path

from linkage import link as linking
from linkage import stopping
from linkage.bundle import Part, TableParts
from linkage.sites.translated import Translated, at, name_of

__all__ = ["search"]


def search(found: Translated, folder: Path, new: Collection[str], memory: str) -> None:
    """Search the columns of a site's translated parts that are no tokens.

    Args:
        found: What was translated of the site.
        folder: Where that is, beside that of other sites.
        new: Digests of the site's parts that were not searched before. Where chance decides, it does so over all of them.
        memory: The database's memory limit.

    Raises:
        IntegrityError: A column holds what looks like NHS numbers; names the feed, the table and the column.
        TemporaryError: Memory or disk ran out.
    """
    every, place = set(found.files.values()), at(folder, found.site)
    fresh, whole = ([_files(found, table, wanted) for table in found.bundle.tables] for wanted in (new, every))
    # Beside the parts and for their owner alone; what a crash left of it goes first.
    work = place / ".search"
    shutil.rmtree(work, ignore_errors=True)
    with stopping.clear(work):
        try:
            with closing(linking.connect(work / "work.duckdb", work / "spill", memory)) as connection:
                linking.check_no_numbers(connection, place, fresh, whole)
        finally:
            shutil.rmtree(work, ignore_errors=True)


def _files(found: Translated, table: TableParts, wanted: Collection[str]) -> TableParts:
    """A table with its parts that came of those of the site, by the paths of their files in the site's folder."""

    def placed(parts: tuple[Part, ...]) -> tuple[Part, ...]:
        named = [(part, found.files[part.path]) for part in parts]
        return tuple(part.model_copy(update={"path": name_of(digest)}) for part, digest in named if digest in wanted)

    listing = table.submissions
    listed = listing.model_copy(update={"parts": placed(listing.parts)}) if listing is not None else None
    return table.model_copy(update={"parts": placed(table.parts), "submissions": listed})
