"""One journey told by three feeds: a 111 call, the ambulance that it sent, and the emergency attendance that followed.

Most of its rows hold no NHS number; what joins them is the incident number, which has one token in all three.
"""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

import golden
from linkage import pipeline

FEEDS = ("iuc111", "cad999", "ecds")
JOURNEYS = """
SELECT c.token IS NOT NULL, i.token IS NOT NULL, a.token IS NOT NULL, c.token = a.token, i.priority, a.attendance_category
FROM iuc111_call c JOIN cad999_incident i ON c.ambulance_incident = i.incident
JOIN ecds_attendance a ON a.ambulance_incident = i.incident
"""
SCOPED = {
    "cad999": """
        extends = "cad999"
        [tables.incident.columns]
        trust = { value = "RX8", role = "organisation" }
        incident = { within = "trust" }
        [tables.patient_contact.columns]
        trust = { value = "RX8", role = "organisation" }
        incident = { within = "trust" }
    """,
    "iuc111": """
        extends = "iuc111"
        [tables.call.columns]
        trust = { value = "RX8", role = "organisation" }
        ambulance_incident = { within = "trust" }
    """,
    "ecds": """
        extends = "ecds"
        [tables.attendance.columns]
        ambulance_incident = { within = "conveying_trust" }
    """,
}


@pytest.fixture
def three(tmp_path: Path) -> Path:
    """The golden extracts of the three feeds; ada's first attendance follows from the incident of her 111 call."""
    configuration = golden.prepare(tmp_path, FEEDS)
    attendances = tmp_path / "extracts" / "ecds" / "emergency_care_20261101.csv"
    text = attendances.read_text()
    assert "CAD0001" in text
    attendances.write_text(text.replace("CAD0001", "ZA1"))
    return configuration


def _scoped(configuration: Path) -> None:
    """Contracts of the area's own, in which an incident number is unique within its trust only."""
    text = configuration.read_text()
    for feed, contract in SCOPED.items():
        (configuration.parent / f"{feed}_here.toml").write_text(contract)
        text = text.replace(f'feed = "{feed}"', f'feed = "{feed}_here.toml"')
    configuration.write_text(text)


def _run(configuration: Path) -> duckdb.DuckDBPyConnection:
    report = pipeline.run(configuration, now=golden.NOW)
    assert report.database is not None
    return duckdb.connect(str(report.database), read_only=True)


@pytest.mark.parametrize("scoped", [False, True], ids=["one trust", "within each trust"])
def test_a_call_an_ambulance_and_an_attendance_join(three: Path, scoped: bool) -> None:
    """By the incident's token, under the token of the same person."""
    if scoped:
        _scoped(three)
    with _run(three) as connection:
        found = connection.execute(JOURNEYS).fetchall()
    assert found == [(True, True, True, True, "C2", "1")]


def test_another_trusts_incident_of_the_same_number_does_not_join(three: Path) -> None:
    """Two services number their incidents alike: within its trust each is another."""
    _scoped(three)
    attendances = three.parent / "extracts" / "ecds" / "emergency_care_20261101.csv"
    attendances.write_text(attendances.read_text().replace(",RX8,", ",RX9,"))
    with _run(three) as connection:
        assert not connection.execute(JOURNEYS).fetchall()
        (calls,) = connection.execute(
            "SELECT count(*) FROM iuc111_call c JOIN cad999_incident i ON c.ambulance_incident = i.incident"
        ).fetchone() or (0,)
    assert calls == 1


def test_an_incident_without_a_person_joins_what_crews_recorded(three: Path) -> None:
    """The call knew no number; the crew's record of the same incident does, and another of its patients has none."""
    with _run(three) as connection:
        found = connection.execute(
            "SELECT i.token IS NULL, p.token IS NULL FROM cad999_incident i JOIN cad999_patient_contact p USING (incident)"
            " ORDER BY ALL"
        ).fetchall()
    assert found == [(False, False), (True, False), (True, True)]


def test_nothing_of_a_person_who_said_no_is_reached_by_an_incident(three: Path) -> None:
    """The incident, the call and the crew's record of somebody who opted out go together."""
    with _run(three) as connection:
        counts = [
            connection.execute(f'SELECT count(DISTINCT "{column}") FROM {table}').fetchone()
            for table, column in (
                ("cad999_incident", "incident"),
                ("cad999_patient_contact", "incident"),
                ("iuc111_call", "ambulance_incident"),
            )
        ]
    assert counts == [(4,), (2,), (1,)]
