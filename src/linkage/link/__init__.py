"""The hub half's core: bundles become linked data, by plain relational steps over Parquet in DuckDB.

The steps in order: `connect`, `check_tokens`, `check_no_numbers`, `find_falls`, `settle` for every table, `make_events`,
`make_event_codes`, `make_persons`, `make_registrations`, `make_load`, `make_coverage`, `make_dictionary`, `finish`.
All take the one connection that `connect` made.
"""

from linkage.link.checks import check_no_numbers, check_tokens
from linkage.link.codes import make_event_codes
from linkage.link.dictionary import make_dictionary
from linkage.link.engine import connect, during, finish
from linkage.link.events import make_events
from linkage.link.increment import Increment, Kept, Made, changed_table
from linkage.link.persons import make_persons, make_registrations
from linkage.link.quality import (
    Coverage,
    Load,
    LoadRow,
    MonthRows,
    RemovedRow,
    SourcesPersons,
    count_months,
    count_sources,
    make_coverage,
    make_load,
    read_shown,
)
from linkage.link.settle import Settled, settle
from linkage.link.small_numbers import suppress, total
from linkage.link.standing import Fall, find_falls
from linkage.link.tables import FeedTable
from linkage.link.touched import find_touched

__all__ = [
    "Coverage",
    "Fall",
    "FeedTable",
    "Increment",
    "Kept",
    "Load",
    "LoadRow",
    "Made",
    "MonthRows",
    "RemovedRow",
    "Settled",
    "SourcesPersons",
    "changed_table",
    "check_no_numbers",
    "check_tokens",
    "connect",
    "count_months",
    "count_sources",
    "during",
    "find_falls",
    "find_touched",
    "finish",
    "make_coverage",
    "make_dictionary",
    "make_event_codes",
    "make_events",
    "make_load",
    "make_persons",
    "make_registrations",
    "read_shown",
    "settle",
    "suppress",
    "total",
]
