"""Whether a snapshot can say what is asked, and what may be shown of what it says."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import product

import polars as pl

from linkage import disclosure
from linkage.disclosure import Groups, Release, decide
from linkage.errors import PolicyError
from linkage.questions.answers import Cell
from linkage.questions.checks import Checked
from linkage.store.ask import Snapshot

__all__ = ["cells_of", "check_snapshot", "released"]


def check_snapshot(checked: Checked, snapshot: Snapshot, max_age_days: int, now: datetime) -> None:
    """Whether the snapshot can say what is asked.

    Raises:
        PolicyError: A document that it was made by has ended, it is older than the node lets it be or than is asked for, or
            it lacks a feed: nobody known to a feed is not nobody there.
    """
    question, manifest = checked.question, snapshot.manifest
    if now - manifest.started > timedelta(days=max_age_days):
        raise PolicyError(
            f"the snapshot is {(now - manifest.started).days} days old, more than the {max_age_days} days allowed: "
            "people may have said no since",
            hint="run the pipeline, or raise max_age_days in the node's file with a reason",
        )
    for each in manifest.documents:
        if each.ends is not None and each.ends < now.date():
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


def released(checked: Checked, placed: pl.DataFrame) -> Release:
    """What may be shown of every group; `placed` has everybody's place among the finest."""
    values = checked.question.groups
    finest = list(product(*(sorted(each) for each in values.values())))
    counted = placed.group_by("place").len("count").iter_rows() if values else [(0, placed.height)]
    rows = [(*finest[place], count) for place, count in counted]
    schema = {**dict.fromkeys(values, pl.String), "count": pl.Int64}
    cells = pl.DataFrame(rows, schema=schema, orient="row")
    return decide(Groups.of(cells, list(values), "count", values), disclosure.policy(checked.question.policy))


def cells_of(release: Release) -> Iterator[Cell]:
    """Every group and total as an answer has it."""
    for *values, count, least, most in release.table().iter_rows():
        yield Cell(values=tuple(values), count=count, at_least=least, at_most=most)
