"""Ways to turn the way back against those whom it is about, each refused before anything is turned back."""

from __future__ import annotations

from contextlib import nullcontext
from datetime import timedelta

import polars as pl
import pytest
from small import NOW

from care import ANN, BEN, P1, P2, Care
from linkage.audit import Journal
from linkage.cohorts import ask, registers, settling
from linkage.cohorts.allowed import ready
from linkage.cohorts.ask import Asking
from linkage.errors import ConfigurationError, InputError, IntegrityError, PolicyError
from linkage.reidentify import publish
from linkage.reidentify.decisions import Verdict
from linkage.reidentify.register import sign_register


@pytest.mark.parametrize("name", ["practice", "Practice", "said_no", "unclear", "number", "reason", "nhs_number"])
def test_no_column_stands_in_for_what_is_known_of_somebody(care: Care, name: str) -> None:
    """Whoever asks could else say where somebody is registered, and send them there, even where the purpose agrees to it."""
    care.ics.replace('columns = ["score", "band"]', f'columns = ["{name}"]')
    cohort, asking = care.folder / "cohort.parquet", Asking("call them", [P1, P2])
    pl.DataFrame({"token": care.tokens(ANN), name: [P2]}).write_parquet(cohort)
    with pytest.raises(InputError, match="not a name of its own"):
        ask.request(care.ics.configuration, str(cohort), asking, care.keys["a.patel"], care.folder / "request", NOW)


@pytest.mark.parametrize("name", ["*", "^.*$", "^p", "=1+1", "-1", "@x", "a,b", "a\\nb", "1st", "", " a"])
def test_no_column_is_a_pattern_or_a_formula(care: Care, name: str) -> None:
    """A pattern would let go whatever is known of people, and the head of a column is a cell of a spreadsheet as well."""
    care.ics.replace('columns = ["score", "band"]', f'columns = ["{name}"]')
    with pytest.raises(ConfigurationError, match="is no name of a column"):
        ready(care.ics.configuration, NOW)


@pytest.mark.parametrize("name", ["practice_right", "verdict", "_own", "risk percent"])
def test_what_comes_with_a_token_decides_nothing(care: Care, name: str) -> None:
    """Whatever its column is called, somebody goes to their own practice."""
    care.ics.replace('columns = ["score", "band"]', f'columns = ["{name}"]')
    cohort, asking = care.folder / "cohort.parquet", Asking("call them", [P1, P2])
    pl.DataFrame({"token": care.tokens(ANN), name: [P2]}).write_parquet(cohort)
    ask.request(care.ics.configuration, str(cohort), asking, care.keys["a.patel"], care.folder / "request", NOW)
    released = care.release(care.approve(care.folder / "request"))
    assert care.opened(released, P1) == [{"nhs_number": ANN, "reason": "call them", name: P2}]


@pytest.mark.parametrize("verdict", [Verdict.REFUSE, Verdict.WITHDRAW])
def test_who_says_no_while_a_release_is_under_way_is_heard(
    care: Care, monkeypatch: pytest.MonkeyPatch, verdict: Verdict
) -> None:
    """Reading the registers takes minutes; what the log was told meanwhile counts."""
    request, read = care.approve(care.ask(ANN)), registers.read

    def slowly(*arguments: object) -> registers.Now:
        care.decide(request, "a.patel" if verdict is Verdict.WITHDRAW else "b.okoro", verdict)
        return read(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(registers, "read", slowly)
    with pytest.raises(PolicyError, match="before this release began"):
        care.release(request)
    assert not [path for path in (care.folder / "released").iterdir() if path.is_dir()]
    assert care.asked(BEN, name="next").left == 6


def test_of_two_releases_at_once_one_counts(care: Care, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where neither waits for the other, since they go into two folders: the log has one order."""
    request, read = care.approve(care.ask(BEN)), registers.read

    def while_another(*arguments: object) -> registers.Now:
        monkeypatch.setattr(registers, "read", read)
        monkeypatch.setattr(publish, "hold", lambda _: nullcontext())
        care.release(request)
        return read(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(registers, "read", while_another)
    with pytest.raises(PolicyError, match="before this release began"):
        care.release(request)
    assert care.asked(ANN, name="next").left == 5


def test_a_clock_that_went_back_makes_nothing_stand_again(care: Care) -> None:
    """What the log was told of requests since says how late it is at the least."""
    request = care.approve(care.ask(ANN))
    care.ask(BEN, name="later", now=NOW + timedelta(days=9))
    with pytest.raises(PolicyError, match="clock is behind"):
        care.release(request)
    with pytest.raises(PolicyError, match="expired"):
        care.release(request, now=NOW + timedelta(days=9))


def test_a_forged_entry_of_the_log_clears_no_other_folder(care: Care) -> None:
    """The settling of a release removes what it left; by a digest alone."""
    precious = care.folder / "precious"
    precious.mkdir()
    request = care.approve(care.ask(ANN))
    where = settling.folder_of(ready(care.ics.configuration, NOW))
    log = Journal(care.folder / "audit", now=lambda: NOW)
    log.begin("cohort.release", "key-holder", request="/../precious", purpose="test", people=1, folder=where)
    with pytest.raises(IntegrityError, match="no digest"):
        care.release(request)
    assert precious.is_dir()


def test_one_key_in_capitals_is_one_key(care: Care) -> None:
    """Else one practice would open the other's package."""
    text = (care.folder / "register.toml").read_text()
    first, second = (line for line in text.splitlines() if line.startswith("recipient"))
    shared = first.replace("age1", "AGE1").upper().replace("RECIPIENT", "recipient")
    (care.folder / "register.toml").write_text(text.replace(second, shared))
    with pytest.raises(ConfigurationError, match="two practices have one key"):
        sign_register(care.folder / "register.toml", care.keys["QXX.lead"])
