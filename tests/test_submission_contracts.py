"""What a contract may say about submissions and deletions, and what it is told when it says nonsense."""

from __future__ import annotations

import pytest

from linkage import contract
from linkage.errors import ConfigurationError

GOOD = """
name = "f"
setting = "community"

[tables.contact]
files = "contact*.csv"
primary_key = ["contact"]
month = "day"
event = { kind = "contact", record = "contact", start = "day" }
submission = { id = "submission", latest = "effective", active = "active.submission", replaces = ["provider", "period"] }
[tables.contact.columns]
contact = { source = "Contact", role = "record", namespace = "f.contact", required = true }
referral = { source = "Referral", role = "record", namespace = "f.referral" }
number = { source = "NHS", role = "person" }
day = { source = "Day", role = "date" }
name = { source = "Name", role = "name" }
submission = { source = "Submission", role = "record", namespace = "f.submission", required = true }
effective = { source = "Effective", role = "date", type = "datetime" }
provider = { source = "Provider", role = "organisation" }
period = { source = "Period", role = "category" }

[tables.active]
files = "active*.csv"
kind = "submissions"
[tables.active.columns]
submission = { source = "Submission", role = "record", namespace = "f.submission", required = true }

[tables.log]
files = "log*.csv"
kind = "deletions"
[tables.log.columns]
referral = { source = "Referral", role = "record", namespace = "f.referral", required = true }
deleted = { source = "Deleted", role = "flag", removes = "deleted" }
"""


def test_a_contract_says_all_of_it() -> None:
    """As in the reference."""
    feed = contract.parse(GOOD, "a test")
    told = feed.tables["contact"].submission
    assert told is not None
    assert told.columns == ("submission", "effective", "provider", "period")
    assert list(feed.records()) == ["contact"]
    assert list(feed.deletions()) == ["log"]
    assert list(feed.handed_over()) == ["contact", "log"]
    assert feed.deletable(feed.tables["contact"]) == {"log": "referral"}


def test_a_deleted_key_is_looked_for_in_the_primary_key_first() -> None:
    """A record that also refers to another of its kind is deleted by its own key, not by that of the other."""
    root = 'root = { source = "Root", role = "record", namespace = "f.contact" }'
    text = GOOD.replace("[tables.contact.columns]", f"[tables.contact.columns]\n{root}")
    text = text.replace('namespace = "f.referral", required', 'namespace = "f.contact", required')
    feed = contract.parse(text, "a test")
    assert feed.deletable(feed.tables["contact"]) == {"log": "contact"}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('latest = "effective"', 'latest = "effectiv"', "'effectiv' is named but is not one of"),
        ('replaces = ["provider", "period"]', 'replaces = ["name"]', "cannot be told by a column of its role"),
        ('replaces = ["provider", "period"]', 'replaces = ["number"]', "cannot be told by a column of its role"),
        (
            'active = "active.submission"',
            'active = "active.subs"',
            "is not table.column of a table of kind submissions",
        ),
        (
            'active = "active.submission"',
            'active = "log.referral"',
            "is not table.column of a table of kind submissions",
        ),
        ('id = "submission", ', "", "active needs id"),
        ('namespace = "f.submission", required = true }\neff', 'namespace = "f.submission" }\neff', "must be required"),
        (
            'id = "submission", latest = "effective", active = "active.submission", replaces = ["provider", "period"]',
            'id = "submission"',
            "say which submission counts",
        ),
        ('replaces = ["provider", "period"]', 'covers = { start = "day", end = "day" }', "covers needs replaces"),
        ('"period"] }', '"period"], covers = { start = "day" } }', "Field required"),
        ('"period"] }', '"period"], covers = { start = "day", end = "dy" } }', "'dy' is named but"),
        ('"period"] }', '"period"], last = "day" }', "Extra inputs are not permitted"),
        ('kind = "deletions"', 'kind = "submissions"\nsubmission = { latest = "deleted" }', "only a table of records"),
        (
            'namespace = "f.referral", required',
            'namespace = "f.spell", required',
            "table 'log': its key has the namespace",
        ),
        (
            'role = "record", namespace = "f.referral", required = true',
            'role = "code"',
            "needs one column of role record",
        ),
        ("[tables.log.columns]", '[tables.log.columns]\nnumber = { source = "NHS", role = "person" }', "not persons"),
    ],
)
def test_nonsense_is_refused(old: str, new: str, said: str) -> None:
    """With the words that say what to correct."""
    assert old in GOOD
    with pytest.raises(ConfigurationError, match="a test") as caught:
        contract.parse(GOOD.replace(old, new), "a test")
    assert said in str(caught.value)


def test_a_covered_period_needs_an_event() -> None:
    """Its dates decide."""
    text = GOOD.replace('"period"] }', '"period"], covers = { start = "day", end = "day" } }')
    assert contract.parse(text, "a test")
    with pytest.raises(ConfigurationError, match="covers needs an event"):
        contract.parse(text.replace('event = { kind = "contact", record = "contact", start = "day" }', ""), "a test")
