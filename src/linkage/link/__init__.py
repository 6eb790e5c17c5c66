"""The hub half's core: bundles become linked data, by plain relational steps over Parquet in DuckDB.

`steps.Steps` is the whole of it: check, settle, link. What it does, in order: `check_tokens`, `check_no_numbers`, `find_falls`,
for every table `settle` (or `resettle`, on top of the last run), `make_events`, `make_event_codes`, `find_touched`,
`find_doubted`, `make_persons`, `make_registrations`; then `make_load`, `make_coverage`, `make_dictionary`, `finish`. All take
the one connection that `connect` made.
"""

from linkage.anew import Anew, Kept, Write
from linkage.link.before import Before, damaged
from linkage.link.checks import check_no_numbers, check_tokens
from linkage.link.codes import make_event_codes
from linkage.link.dictionary import make_dictionary
from linkage.link.engine import connect, during, finish
from linkage.link.events import make_events
from linkage.link.increment import Increment, Made, changed_table, table_made
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
from linkage.link.reached import Change
from linkage.link.resettle import keep_attributes, resettle
from linkage.link.settle import Settled, settle
from linkage.link.small_numbers import suppress, total
from linkage.link.standing import Fall, find_falls
from linkage.link.steps import Steps
from linkage.link.tables import FeedTable
from linkage.link.touched import find_touched

__all__ = [
    "Anew",
    "Before",
    "Change",
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
    "Steps",
    "Write",
    "changed_table",
    "check_no_numbers",
    "check_tokens",
    "connect",
    "count_months",
    "count_sources",
    "damaged",
    "during",
    "find_falls",
    "find_touched",
    "finish",
    "keep_attributes",
    "make_coverage",
    "make_dictionary",
    "make_event_codes",
    "make_events",
    "make_load",
    "make_persons",
    "make_registrations",
    "read_shown",
    "resettle",
    "settle",
    "suppress",
    "table_made",
    "total",
]
