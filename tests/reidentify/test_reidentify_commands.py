"""The commands that the page does not run."""

from __future__ import annotations

import uuid
from datetime import datetime, tzinfo
from typing import Self

import pytest
from small import NOW
from typer.testing import CliRunner

from care import ANN, CAT, P1, P2, Care
from linkage.cli import app, cohort, reidentify
from linkage.errors import PolicyError


class _Clock(datetime):
    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Self:
        return cls.fromtimestamp(NOW.timestamp(), tz)


@pytest.fixture(autouse=True)
def _on_the_day(monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands go by the clock, and the small ICS is of one day."""
    for module in (cohort, reidentify):
        monkeypatch.setattr(module, "datetime", _Clock)


def _said(care: Care, *words: str) -> str:
    done = CliRunner().invoke(app, [*words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert not any(number in done.output for number in (ANN, CAT))
    return done.output


def _key(care: Care, name: str) -> list[str]:
    return ["--signer", f"age://{care.folder}/{name}.age", "--identity", f"{care.folder}/{name}.identity"]


def test_one_refuse_and_withdraw(care: Care) -> None:
    """Each says where the request stands, and a final state ends the command with its exit code."""
    configuration, token = str(care.ics.configuration), str(uuid.UUID(bytes=care.tokens(ANN)[0]))
    for name, end, words in (
        ("first", ["reidentify", "approve", "--refuse"], "refused"),
        ("second", ["cohort", "withdraw"], "withdrawn"),
    ):
        request = str(care.folder / name)
        asked = ["--out", request, "--reason", "seen in clinic", "--recipient", P1, *_key(care, "d.clinician")]
        assert ": 1 person, good until" in _said(care, "reidentify", "one", configuration, token, *asked)
        by = "b.okoro" if end[0] == "reidentify" else "d.clinician"
        told = _said(care, *end[:2], configuration, request, *end[2:], *_key(care, by))
        assert told.splitlines()[-1] == f"state         {words}"
        with pytest.raises(PolicyError, match=f"the request is {words}") as refused:
            _said(care, "reidentify", "approve", configuration, request, *_key(care, "c.jones"))
        assert refused.value.exit_code == 4


def test_passphrases_are_printed_for_the_key_holder(care: Care) -> None:
    """By a command of its own, and not by the release."""
    care.zipped = {P2}
    care.register()
    request = care.approve(care.ask(ANN, CAT))
    told = _said(care, "reidentify", "release", str(care.ics.configuration), str(request))
    assert "released 2 of 2 people to 2 practices" in told
    (place,) = (path for path in (care.folder / "released").iterdir() if path.is_dir())
    printed = _said(care, "reidentify", "passphrases", str(care.ics.configuration), str(place))
    assert printed.startswith(f"{P2}  ")
    assert len(printed.split()) == 2
    assert printed.split()[1] not in told
