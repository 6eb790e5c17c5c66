"""Who decides what: three different people, as many approvals as the purpose says, and ends that stay ends."""

from __future__ import annotations

import json
import shutil
from datetime import timedelta
from pathlib import Path

import pytest
from small import NOW

from care import ANN, BEN, Care
from linkage.cohorts import decide
from linkage.errors import IntegrityError, PolicyError
from linkage.reidentify.decisions import Decision, Verdict
from linkage.reidentify.states import State
from linkage.signed import canonical, sign

DAY = timedelta(days=1)


def test_nobody_decides_about_their_own_request(care: Care) -> None:
    """Not even somebody who is an approver too; nor does anybody who is none, or who holds the key."""
    care.roles["a.patel"] = ("population health analyst", "approver")
    care.roles["c.jones"] = ("approver", "key holder")
    care.register()
    request = care.ask(ANN)
    for by, words in (
        ("a.patel", "their own request"),
        ("QXX.lead", "not registered as approver"),
        ("c.jones", "key holder"),
    ):
        with pytest.raises(PolicyError, match=words):
            care.decide(request, by)
    with pytest.raises(PolicyError, match="only who asked"):
        care.decide(request, "b.okoro", Verdict.WITHDRAW)


def test_as_many_approvals_as_the_purpose_says(care: Care) -> None:
    """Of different people: one who approves twice is one."""
    request = care.ask(ANN)
    with pytest.raises(PolicyError, match="0 of 2 approvals"):
        care.release(request)
    care.approve(request, "b.okoro", "b.okoro")
    with pytest.raises(PolicyError, match="1 of 2 approvals"):
        care.release(request)
    care.decide(request, "c.jones")
    assert care.release(request).practices


def test_the_key_holder_neither_asks_nor_approves(care: Care) -> None:
    """Whatever the register says of their key."""
    care.roles["key-holder"] = ("key holder", "population health analyst")
    care.register()
    care.keys["key"] = care.key_holder
    request = care.ask(ANN, by="key")
    del care.keys["key"]
    care.approve(request)
    with pytest.raises(PolicyError, match="cannot hold the key"):
        care.release(request)
    care.roles["key-holder"] = ("approver",)
    care.register()
    with pytest.raises(PolicyError, match="key-holder is not registered as key holder"):
        care.release(request)


def test_a_changed_request_has_nobodys_approval(care: Care) -> None:
    """Approvals of another request do not count, nor does a request with other tokens, or one that somebody else signed."""
    request, other = care.approve(care.ask(ANN)), care.ask(BEN, name="other")
    shutil.copytree(request / "decisions", other / "decisions", dirs_exist_ok=True)
    with pytest.raises(PolicyError, match="0 of 2 approvals; 2 are void"):
        care.release(other)
    shutil.copy(other / "cohort.parquet", request / "cohort.parquet")
    with pytest.raises(IntegrityError, match="the tokens are not those"):
        care.release(request)
    envelope = json.loads((other / "request.json").read_text())
    envelope["signatures"] = json.loads((other / "decisions" / next((other / "decisions").iterdir()).name).read_text())[
        "signatures"
    ]
    (other / "request.json").write_text(json.dumps(envelope))
    with pytest.raises(IntegrityError):
        care.release(other)


def test_a_changed_purpose_has_nobodys_approval(care: Care) -> None:
    """Neither of what was asked before, nor of what is asked then."""
    request = care.approve(care.ask(ANN))
    text = care.ics.configuration.read_text()
    for old, new in (
        ("max_people = 3", "max_people = 2"),
        ('"DPIA-1"', '"DPIA-2"'),
        ("approvals = 2", "approvals = 1"),
    ):
        care.ics.configuration.write_text(text.replace(old, new))
        with pytest.raises(PolicyError, match="the purpose has changed"):
            care.release(request)
        with pytest.raises(PolicyError, match="the purpose has changed"):
            care.decide(request, "b.okoro")
    care.ics.configuration.write_text(text.replace("keep = 3", "keep = 4"))
    assert care.release(request).practices


def test_an_approval_that_is_not_its_signers_does_not_count(care: Care) -> None:
    """Somebody signs in another's name; an analyst's signature on an approval refuses the release."""
    request = care.ask(ANN)
    asked = decide.look(care.ics.configuration, request, NOW).asked
    digest = asked.request.purpose_digest
    for by, signer in (("b.okoro", "c.jones"), ("a.patel", "a.patel")):
        decision = Decision(request=asked.digest, purpose_digest=digest, verdict=Verdict.APPROVE, by=by, made=NOW)
        envelope = sign("linkage-cohort-decision/1", canonical(decision), [care.keys[signer]])
        path = request / "decisions" / "forged.json"
        path.write_text(envelope.model_dump_json())
        if by == "a.patel":
            with pytest.raises(PolicyError, match="not registered as approver"):
                care.release(request)
        else:
            assert decide.look(care.ics.configuration, request, NOW).approved == ()


@pytest.mark.parametrize("end", ["refused", "withdrawn", "expired", "released"])
def test_a_final_state_cannot_change(care: Care, end: str) -> None:
    """Nothing is decided or released after it, by whoever, with the clock turned back, or from a copy made before."""
    request = care.approve(care.ask(ANN))
    before = shutil.copytree(request, care.folder / "copy")
    if end == "refused":
        care.decide(request, "b.okoro", Verdict.REFUSE)
    elif end == "withdrawn":
        care.decide(request, "a.patel", Verdict.WITHDRAW)
    elif end == "expired":
        with pytest.raises(PolicyError, match="the request expired on"):
            care.release(request, now=NOW + 7 * DAY)
    else:
        care.release(request)
    for folder in (request, before):
        assert decide.look(care.ics.configuration, folder, NOW).state is State(end)
        for by, verdict in (("b.okoro", Verdict.APPROVE), ("c.jones", Verdict.REFUSE), ("a.patel", Verdict.WITHDRAW)):
            with pytest.raises(PolicyError, match=f"the request is {end}: that is final"):
                care.decide(folder, by, verdict)
        with pytest.raises(PolicyError, match=f"the request is {end}: that is final"):
            care.release(folder)


def test_a_request_of_another_log_is_not_released(care: Care) -> None:
    """Its limit was counted elsewhere."""
    request = care.approve(care.ask(ANN))
    shutil.rmtree(care.folder / "audit")
    with pytest.raises(PolicyError, match="not in the log"):
        care.release(request)


def test_a_decision_that_was_changed_refuses(care: Care) -> None:
    """Whoever changed it."""
    request = care.approve(care.ask(ANN))
    path: Path = sorted((request / "decisions").iterdir())[0]
    said = json.loads(path.read_text())
    said["payload"] = "e30="
    path.write_text(json.dumps(said))
    with pytest.raises(IntegrityError, match="does not fit"):
        care.release(request)


def test_who_lost_a_role_since_does_not_count(care: Care) -> None:
    """As the register is when the cohort is released."""
    request = care.approve(care.ask(ANN))
    care.roles["b.okoro"] = ("on leave",)
    care.register()
    with pytest.raises(PolicyError, match=r"b\.okoro is not registered as approver"):
        care.release(request)
    care.roles["b.okoro"], care.roles["a.patel"] = ("approver",), ("on leave",)
    care.register()
    with pytest.raises(PolicyError, match=r"a\.patel is not registered as population health analyst"):
        care.release(request)
