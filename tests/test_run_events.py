"""What a run tells machines: every event in its place, nothing of a person, and never a run that breaks because of it."""

from __future__ import annotations

import json
import re
import uuid
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from small import ALLOWED, NUMBERS, SmallIcs
from typer.testing import CliRunner

from linkage import progress
from linkage.cli import app
from linkage.errors import ConfigurationError, PolicyError
from linkage.nights import events
from linkage.nights.events import EventFile

DOCS = Path(__file__).parent.parent / "docs" / "reference" / "run-events.md"
Line = dict[str, Any]


@pytest.fixture
def today(small_ics: SmallIcs) -> SmallIcs:
    """An ICS whose register is fresh enough for the clock of a command line."""
    small_ics.answered()
    return small_ics


def told(ics: SmallIcs, *words: str, code: int = 0, command: str = "run") -> list[Line]:
    path = ics.folder / "events.jsonl"
    done = CliRunner().invoke(app, [command, str(ics.configuration), "--events", str(path), *words])
    assert (done.exception is None) == (code == 0), done.output
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_run_is_told_from_its_start_to_its_end(today: SmallIcs) -> None:
    lines = told(today)
    assert len({line["command"] for line in lines}) == 1
    assert [line["at"] for line in lines] == sorted(line["at"] for line in lines)
    kinds = [line["event"] for line in lines if line["event"] != "warning"]
    assert kinds[0] == "started"
    assert kinds[-2:] == ["published", "finished"]
    stages = [line["stage"] for line in lines if line["event"] == "stage_finished"]
    assert stages[:3] == ["looking at extracts", "roster and opt-outs", "preparing"]
    assert stages == [line["stage"] for line in lines if line["event"] == "stage_started"]
    (file,) = [line for line in lines if line["event"] == "file"]
    assert (file["feed"], file["table"], file["file"], file["rows"], file["new"]) == (
        "sus_op", "appointment", "appointment_20261120.csv", 10, True,
    )  # fmt: skip
    published = next(line for line in lines if line["event"] == "published")
    assert (published["run"], published["read"], published["kept"], published["removed"]) == (today.current(), 10, 4, 6)
    assert lines[-1]["exit_code"] == 0
    assert [line["message"] for line in lines if line["event"] == "warning"]


def test_lines_are_appended_and_what_is_not_new_is_told(today: SmallIcs) -> None:
    first = told(today)
    lines = told(today)
    assert lines[: len(first)] == first
    assert len({line["command"] for line in lines}) == 2
    assert [line["new"] for line in lines if line["event"] == "file"] == [True, False]
    assert (today.folder / "events.jsonl").stat().st_mode & 0o077 == 0


def test_a_check_is_told_as_one(today: SmallIcs) -> None:
    lines = told(today, command="check")
    assert [line["event"] for line in lines][-2:] == ["checked", "finished"]


def test_a_refusal_is_told_with_its_exit_code(small_ics: SmallIcs) -> None:
    small_ics.answered(days_ago=30)
    lines = told(small_ics, code=4)
    refused, finished = lines[-2:]
    assert (refused["event"], refused["class"], refused["exit_code"]) == ("refused", "PolicyError", 4)
    assert refused["message"]
    assert refused["hint"]
    assert (finished["event"], finished["exit_code"]) == ("finished", 4)


def test_an_error_that_nobody_foresaw_is_told_without_its_words(
    today: SmallIcs, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError(ALLOWED)

    monkeypatch.setattr("linkage.site_steps.bundle.write", broken)
    failed, finished = told(today, code=1)[-2:]
    assert (failed["event"], failed["class"]) == ("failed", "ZeroDivisionError")
    assert finished["exit_code"] == 1
    assert ALLOWED not in (today.folder / "events.jsonl").read_text()


def test_nothing_of_a_person_is_told(today: SmallIcs) -> None:
    told(today)
    text = (today.folder / "events.jsonl").read_text()
    assert not any(number and number.replace(" ", "") in re.sub(r"[^0-9]", "", text) for number in NUMBERS)
    assert "QX1" not in text
    assert "1950" not in text


def test_every_event_and_every_key_is_described(today: SmallIcs) -> None:
    page = DOCS.read_text()
    for name in events.Event.__args__:  # type: ignore[attr-defined]
        assert f"| `{name}` |" in page, name
    for line in [*told(today), *told(today, command="check")]:
        row_ = re.search(rf"^\| `{line['event']}` \|.*$", page, re.MULTILINE)
        assert row_
        for key in line.keys() - {"event", "at", "command", "configuration"}:
            assert f"`{key}`" in row_[0], (line["event"], key)


def test_progress_is_told_now_and_then_with_the_time_that_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[tuple[str, Line]] = []
    monkeypatch.setattr(progress, "EVERY", 0.0)
    shown = progress.Progress(tell=lambda event, **fields: said.append((event, fields)))
    with shown.stage("reading", 100) as stage:
        stage.started -= 10
        stage.advance(25)
        stage.advance(75)
    kinds = [event for event, _ in said]
    assert kinds == ["stage_started", "stage_progress", "stage_progress", "stage_finished"]
    (_, first), (_, last) = said[1:3]
    assert (first["rows"], first["of"], last["rows"], last["seconds_left"]) == (25, 100, 100, 0.0)
    assert 29 < first["seconds_left"] < 31


def test_a_file_that_cannot_be_opened_is_refused_before_anything_is_read(today: SmallIcs) -> None:
    for option in ("--events", "--lineage"):
        with pytest.raises(ConfigurationError, match="cannot be written"):
            CliRunner().invoke(
                app, ["run", str(today.configuration), option, str(today.folder / "no" / "e")], catch_exceptions=False
            )
    assert not today.store.exists()


def test_a_file_that_breaks_later_is_warned_of_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = EventFile(tmp_path / "events.jsonl")
    told("started", run="a")
    assert told._file is not None
    told._file.close()
    told("published", run="a")
    told("finished", exit_code=0)
    told.close()
    assert capsys.readouterr().err.count("warning: the file of events can no longer be written") == 1
    assert len((tmp_path / "events.jsonl").read_text().splitlines()) == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a disk that is full, as Linux has it")
def test_a_full_disk_does_not_stop_a_run(today: SmallIcs) -> None:
    done = CliRunner().invoke(app, ["run", str(today.configuration), "--events", "/dev/full", "--lineage", "/dev/full"])
    assert done.exit_code == 0, done.output
    assert today.current()


def needs(value: object, kind: type, what: str) -> Any:
    assert isinstance(value, kind), what
    return value


def check_facets(facets: Line) -> None:
    """Every facet says who made it and by which schema."""
    for name, facet in facets.items():
        assert needs(facet["_producer"], str, name).startswith("urn:linkage:")
        assert re.fullmatch(
            r"https://openlineage\.io/spec/facets/\d+-\d+-\d+/(\w+)\.json#/\$defs/\1", facet["_schemaURL"]
        )


def check_lineage(event: Line) -> None:
    """What OpenLineage 2-0-2 requires of a RunEvent and of the facets that are used, written out."""
    assert event["eventType"] in {"START", "RUNNING", "COMPLETE", "ABORT", "FAIL", "OTHER"}
    assert datetime.fromisoformat(event["eventTime"]).tzinfo
    assert event["schemaURL"] == "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
    assert re.fullmatch(r"[a-z]+:\S+", event["producer"])
    assert set(event) == {"eventType", "eventTime", "run", "job", "inputs", "outputs", "producer", "schemaURL"}
    assert str(uuid.UUID(event["run"]["runId"])) == event["run"]["runId"]
    assert set(event["run"]) <= {"runId", "facets"}
    check_facets(event["run"].get("facets", {}))
    assert set(event["job"]) == {"namespace", "name"}
    for side, more in (("inputs", "inputFacets"), ("outputs", "outputFacets")):
        for dataset in needs(event[side], list, side):
            assert set(dataset) == {"namespace", "name", "facets", more}
            needs(dataset["namespace"], str, side)
            needs(dataset["name"], str, side)
            check_facets(dataset["facets"])
            check_facets(dataset[more])
            needs(dataset["facets"]["version"]["datasetVersion"], str, side)
    for dataset in event["inputs"]:
        counted = dataset["inputFacets"]["dataQualityMetrics"]
        assert all(type(counted[name]) is int for name in ("rowCount", "bytes", "fileCount"))
        assert counted["columnMetrics"] == {}
    for dataset in event["outputs"]:
        assert all(type(dataset["outputFacets"]["outputStatistics"][name]) is int for name in ("rowCount", "size"))
        for field in dataset["facets"]["schema"]["fields"]:
            assert set(field) == {"name", "type"}
    if message := event["run"].get("facets", {}).get("errorMessage"):
        assert message["programmingLanguage"] == "Python"
        needs(message["message"], str, "message")


def lineage(ics: SmallIcs) -> list[Line]:
    path = ics.folder / "lineage.jsonl"
    CliRunner().invoke(app, ["run", str(ics.configuration), "--lineage", str(path)])
    found = [json.loads(line) for line in path.read_text().splitlines()]
    for each in found:
        check_lineage(each)
    return found


def test_a_run_is_lineage_from_extracts_to_tables(today: SmallIcs) -> None:
    start, complete = lineage(today)
    assert (start["eventType"], complete["eventType"]) == ("START", "COMPLETE")
    assert start["run"] == complete["run"]
    assert start["job"] == complete["job"] == {"namespace": "linkage", "name": "ics:test"}
    (taken,) = complete["inputs"]
    assert taken["name"] == today.extract.resolve().as_posix()
    assert taken["inputFacets"]["dataQualityMetrics"]["rowCount"] == 10
    made = {Path(each["name"]).name: each for each in complete["outputs"]}
    assert made["event"]["outputFacets"]["outputStatistics"]["rowCount"] == 4
    assert made["event"]["facets"]["version"]["datasetVersion"] == today.current()
    names = {field["name"] for field in made["person"]["facets"]["schema"]["fields"]}
    assert "token" in names


def test_a_refusal_is_lineage_too(small_ics: SmallIcs) -> None:
    small_ics.answered(days_ago=30)
    start, failed = lineage(small_ics)
    assert (start["eventType"], failed["eventType"]) == ("START", "FAIL")
    assert start["run"]["runId"] == failed["run"]["runId"]
    assert failed["run"]["facets"]["errorMessage"]["message"].startswith(f"{PolicyError.__name__}: ")


def test_a_configuration_that_cannot_be_read_fails_under_its_files_name(small_ics: SmallIcs) -> None:
    small_ics.configuration.write_text("no toml")
    start, failed = lineage(small_ics)
    assert start["job"]["name"] == failed["job"]["name"] == "linkage.toml"


def test_of_several_purposes_each_ends_alone(today: SmallIcs, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The first is published, the second is refused; events and lineage name each by its configuration."""
    other = tmp_path_factory.mktemp("other") / "linkage.toml"
    other.write_text(today.configuration.read_text().replace("ics:test", "ics:other"))
    said, drawn = today.folder / "e.jsonl", today.folder / "l.jsonl"
    done = CliRunner().invoke(
        app, ["run", str(today.configuration), str(other), "--events", str(said), "--lineage", str(drawn)]
    )
    assert done.exit_code == 5, done.output
    lines = [json.loads(line) for line in said.read_text().splitlines()]
    ends = {line["configuration"]: line["event"] for line in lines if line["event"] in ("published", "refused")}
    assert ends == {str(today.configuration): "published", str(other): "refused"}
    ended = {each["job"]["name"]: each["eventType"] for each in map(json.loads, drawn.read_text().splitlines())}
    assert ended == {"ics:test": "COMPLETE", "ics:other": "FAIL"}
