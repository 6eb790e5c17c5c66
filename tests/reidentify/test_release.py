"""A cohort goes back to care: each person to the practice where they are registered now, and nobody else learns of them."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import shutil
import uuid
import zipfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import polars as pl
import pyrage
import pytest
from small import MERGED_NUMBERS, NOW

from care import ANN, BEN, CAT, DAN, EVERYBODY, P1, P2, Care
from linkage import disk
from linkage.audit import Journal, prove, witness
from linkage.audit.log import lines_of
from linkage.audit.signing import public_key
from linkage.cohorts import ask, settling
from linkage.cohorts.allowed import ready
from linkage.cohorts.ask import Asking
from linkage.errors import (
    ConfigurationError,
    IntegrityError,
    KeyUnavailableError,
    LinkageError,
    PolicyError,
    TemporaryError,
)
from linkage.reidentify import publish
from linkage.reidentify.decisions import Decision, Verdict, write_decision
from linkage.reidentify.request import encode, read_request, sign_request, write_request
from linkage.reidentify.states import State
from linkage.signed import Signer

CODES = "id,patient,day,code"


def _acts(care: Care) -> list[tuple[str, str]]:
    entries = [json.loads(line) for line in lines_of(care.folder / "audit")]
    return [(each["act"], each["phase"]) for each in entries if each["act"].startswith("cohort.")]


def test_each_goes_to_their_own_practice_and_the_log_tells_all_of_it(care: Care) -> None:
    """With the reason and what was agreed; the request's tokens are in no other place."""
    request = care.approve(care.ask(ANN, CAT))
    released = care.release(request)
    assert (released.practices, released.withheld) == ({P1: 1, P2: 1}, {})
    assert care.opened(released, P1) == [
        {"nhs_number": ANN, "reason": "call them for a review", "score": "0", "band": "high"}
    ]
    assert care.named(released) == {ANN: P1, CAT: P2}
    acts = ("request", "approve", "approve", "release")
    assert _acts(care) == [(f"cohort.{act}", phase) for act in acts for phase in ("intent", "done")]


def test_a_package_opens_with_its_practices_key_alone(care: Care) -> None:
    """And not when one byte of it is another."""
    released = care.release(care.approve(care.ask(ANN, CAT)))
    care.practices[P1].write_text(care.practices[P2].read_text())
    with pytest.raises(KeyUnavailableError):
        care.opened(released, P1)
    sealed = released.place / P2 / "cohort.zip.age"
    content = bytearray(sealed.read_bytes())
    content[-1] ^= 1
    sealed.write_bytes(content)
    with pytest.raises(IntegrityError, match="not what was signed"):
        care.opened(released, P2)


def _objects(care: Care) -> None:
    _listed(care, "objections", "objecting_nhs_number,note", BEN)


def _sensitive(care: Care) -> None:
    _listed(care, "sensitive", "sensitive_nhs_number,note", BEN)


def _listed(care: Care, name: str, header: str, number: str) -> None:
    path = care.folder / f"{name}.csv"
    path.write_text(f"{header}\n{number},\nend,1,2026-11-24\n")
    path.chmod(0o600)
    with care.ics.configuration.open("a") as file:
        file.write(f'[optouts.{name}]\nlist = "{name}.csv"\nmax_share = 1.0\n')


def _not_asked(care: Care) -> None:
    care.answers(*EVERYBODY)
    (care.folder / "optouts" / "r.dat").write_text("".join(f"{each},\n" for each in EVERYBODY if each != BEN))
    care.ics.answer.write_text("".join(f"{each},\n" for each in EVERYBODY if each != BEN))


def _practice_leaves(care: Care) -> None:
    care.deliver("agreement", "practice,active", f"{P1},false", f"{P2},true")


def _listed_practice(care: Care) -> None:
    (care.folder / "practices.csv").write_text(f"not_sharing_ods_code,from,to,note\n{P1},,,\nend,1,2026-11-24\n")
    with care.ics.configuration.open("a") as file:
        file.write('[optouts.practices]\nlist = "practices.csv"\n')


DISSENT = "827241000000103"
# What becomes known of Ben after he was published: why he is not released.
SINCE: dict[str, tuple[Callable[[Care], object], str]] = {
    "the national service does not return him": (lambda care: care.answers(ANN, CAT, DAN), "national_opt_out"),
    "he was never asked about": (_not_asked, "national_not_asked"),
    "a type 1 code": (lambda care: care.deliver("code", CODES, f"d1,k1,2026-11-21,{DISSENT}"), "type1_opt_out"),
    "he objects to the ICS": (_objects, "local_objection"),
    "his record is sensitive": (_sensitive, "sensitive"),
    "his practice leaves": (_practice_leaves, "practice_not_sharing"),
    "his practice is listed": (_listed_practice, "practice_not_sharing"),
    "he left": (lambda care: care.patients(f"k1,{BEN},{P1},2010-01-01,2026-11-20"), "not_registered"),
    "he leaves today": (lambda care: care.patients(f"k1,{BEN},{P1},2010-01-01,2026-11-24"), "not_registered"),
    "two practices claim him": (lambda care: care.patients(f"k9,{BEN},{P2},2010-01-01,"), "registration_unclear"),
    "he moved away": (lambda care: care.patients(f"k9,{BEN},P77777,2026-11-01,"), "practice_not_sharing"),
    "he moved, nobody knows where": (lambda care: care.patients(f"k9,{BEN},,2026-11-01,"), "practice_not_sharing"),
    "nobody knows since when": (lambda care: care.patients(f"k9,{BEN},{P2},,"), "registration_unclear"),
}


@pytest.mark.parametrize(("change", "reason"), SINCE.values(), ids=SINCE.keys())
def test_what_became_known_since_keeps_somebody_back(care: Care, change: Callable[[Care], object], reason: str) -> None:
    """Counted by its reason; a run at that moment leaves them out, or their registration is no longer at the practice."""
    request = care.approve(care.ask(BEN, DAN))
    change(care)
    released = care.release(request)
    assert released.withheld == {reason: 1}
    assert care.named(released) == {DAN: P2}
    assert BEN not in _everything_readable(care, released.place)


def test_somebody_who_moved_goes_to_the_new_practice(care: Care) -> None:
    """Not to the one that they were with when the cohort was selected."""
    request = care.approve(care.ask(BEN))
    care.patients(f"k9,{BEN},{P2},2026-11-01,")
    assert care.named(care.release(request)) == {BEN: P2}


def test_a_future_registration_is_none_yet(care: Care) -> None:
    """Until its day."""
    request = care.approve(care.ask(BEN))
    care.patients(f"k9,{BEN},{P2},2026-11-25,")
    assert care.named(care.release(request)) == {BEN: P1}


def test_a_practice_that_is_no_recipient_or_lost_its_key_learns_nothing(care: Care) -> None:
    """Its patients are counted."""
    released = care.release(care.approve(care.ask(ANN, CAT, to=[P1])))
    assert (released.practices, released.withheld) == ({P1: 1}, {"practice_not_recipient": 1})
    request = care.approve(care.ask(BEN, DAN, name="other"))
    del care.practices[P2]
    care.register()
    released = care.release(request)
    assert (released.practices, released.withheld) == ({P1: 1}, {"practice_without_key": 1})


def test_nobody_left_to_release_is_a_release_of_nobody(care: Care) -> None:
    """The request is spent, and the folder says why."""
    request = care.approve(care.ask(BEN))
    care.answers(ANN, CAT, DAN)
    released = care.release(request)
    assert (released.practices, released.withheld) == ({}, {"national_opt_out": 1})
    assert [path.name for path in released.place.iterdir()] == ["release.json"]


def test_a_replaced_number_is_followed_and_an_old_no_counts(care: Care) -> None:
    """The practice gets the number that counts now; whoever said no under the old one has said no."""
    newer = "9434765870"
    care.ics.add_feed("pds", MERGED_NUMBERS)
    (care.folder / "pds" / "merged_20261121.csv").write_text(f"old,new\n{BEN},{newer}\n")
    (care.folder / "optouts" / "r.dat").write_text("".join(f"{each},\n" for each in (*EVERYBODY, newer)))
    care.ics.answer.write_text("".join(f"{each},\n" for each in (*EVERYBODY, newer)))
    one, two = (care.approve(care.ask(BEN, name=name)) for name in ("one", "two"))
    assert care.named(care.release(one)) == {newer: P1}
    care.ics.answer.write_text("".join(f"{each},\n" for each in (ANN, CAT, DAN, newer)))
    assert care.release(two).withheld == {"national_opt_out": 1}


def _registered_anew(care: Care) -> None:
    care.roles["c.jones"] = ("approver", "on call")
    care.register(serial="2")


REFUSALS: dict[str, tuple[Callable[[Care], object], type[LinkageError], str]] = {
    "the national answers are too old": (lambda care: care.ics.answer.with_suffix(".ctl").write_text(OLD), PolicyError, "old"),
    "there is no national answer": (lambda care: care.ics.answer.unlink(), PolicyError, "answer"),
    "an older register came back": (lambda care: care.register(serial="1"), PolicyError, "older"),
    "another one has its serial": (_registered_anew, PolicyError, "another register of serial 2"),
}  # fmt: skip
OLD = "<DTSControl><StatusRecord><DateTime>20261101060000</DateTime></StatusRecord></DTSControl>"


@pytest.mark.parametrize(("change", "kind", "words"), REFUSALS.values(), ids=REFUSALS.keys())
def test_a_register_that_is_stale_refuses_and_spends_nothing(
    care: Care, change: Callable[[Care], object], kind: type[LinkageError], words: str
) -> None:
    """The request stays open until it is mended."""
    care.register()
    care.release(care.approve(care.ask(ANN, name="before")))
    request = care.approve(care.ask(CAT))
    before = _acts(care)
    change(care)
    with pytest.raises(kind, match=words):
        care.release(request)
    assert _acts(care) == before


def test_stale_registrations_refuse(care: Care) -> None:
    """Where somebody is registered now, an old extract does not say."""
    care.ics.replace("[release]", "[release]\nmax_age_days = 3")
    request = care.approve(care.ask(ANN))
    with pytest.raises(PolicyError, match="its registrations are older than the 3 days allowed"):
        care.release(request)
    care.patients(f"k1,{BEN},{P1},2010-01-01,", stamp="20261123")
    assert care.release(request).practices == {P1: 1}


def test_a_purpose_without_registrations_names_nobody(care: Care) -> None:
    """Nobody can say whose patient they are."""
    text = (care.folder / "gp.toml").read_text()
    (care.folder / "gp.toml").write_text(
        "\n".join(line for line in text.splitlines() if not line.startswith("registration ="))
    )
    request = care.approve(care.ask(ANN))
    with pytest.raises(PolicyError, match="with which practice people are registered now"):
        care.release(request)


def test_a_log_behind_its_last_witnessed_checkpoint_releases_nothing(care: Care) -> None:
    """Nor one that no witness has seen, where the configuration names witnesses."""
    witness_ = Signer("QYY.lead", bytes([1]) * 32)
    care.ics.replace("[release]", f'[audit.witnesses]\n"QYY.lead" = "{witness_.verifier.text}"\n[release]')
    request, copy = care.approve(care.ask(ANN)), care.folder / "earlier"
    with pytest.raises(PolicyError, match="no witness has cosigned"):
        care.release(request)
    log = care.folder / "audit"
    shutil.copytree(log, copy)
    care.decide(care.ask(BEN, name="other"), "b.okoro")
    note = witness((log / "checkpoint").read_text(), public_key(log), witness_, None, prove(log, 0), NOW)
    (log / "witnessed").write_text(note)
    shutil.copy(log / "witnessed", copy / "witnessed")
    shutil.rmtree(log)
    copy.rename(log)
    with pytest.raises(IntegrityError, match="not what its checkpoint"):
        care.release(request)


def test_one_release_at_a_time(care: Care) -> None:
    """The second is told to wait."""
    request = care.approve(care.ask(ANN))
    with publish.hold(care.folder / "released"), pytest.raises(TemporaryError, match="another release"):
        care.release(request)


def test_a_clinician_asks_for_one_under_the_same_rules(care: Care) -> None:
    """Approved and released as a cohort is, and counted."""
    (token,) = care.tokens(ANN)
    asking, where = Asking("seen in clinic today", [P1]), care.folder / "one"
    made = ask.one(care.ics.configuration, str(uuid.UUID(bytes=token)), asking, care.keys["d.clinician"], where, NOW)
    assert (made.people, made.left) == (1, 6)
    with pytest.raises(PolicyError, match="0 of 2 approvals"):
        care.release(where)
    released = care.release(care.approve(where))
    assert care.opened(released, P1) == [{"nhs_number": ANN, "reason": "seen in clinic today"}]
    assert care.asked(BEN, name="next").left == 5


def test_what_a_package_says_is_for_people_who_run_practices(care: Care) -> None:
    """Any age tool opens it: an archive with the table, a page of words, and what was signed."""
    released = care.release(care.approve(care.ask(ANN)))
    identity = pyrage.x25519.Identity.from_str(care.practices[P1].read_text().strip())
    content = pyrage.decrypt((released.place / P1 / "cohort.zip.age").read_bytes(), [identity])
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert sorted(archive.namelist()) == ["README.txt", "cohort.csv", "contents.json"]
        words = archive.read("README.txt").decode()
    assert "call them for a review" in words
    assert ANN not in words


def _everything_readable(care: Care, place: Path) -> str:
    """What is in a release for whoever has no practice's key."""
    return "".join(path.read_bytes().decode("latin-1") for path in place.rglob("*") if path.is_file())


def _by_hand(care: Care, rows: pl.DataFrame, content: bytes = b"", **changes: object) -> Path:
    """A request that was made with a signing key and the log, and without our checks; and approved."""
    folder = care.ask(ANN, name="by-hand")
    asked = read_request(folder, [care.keys["a.patel"].verifier])
    shutil.rmtree(folder)
    content = content or encode(rows)
    digest = hashlib.sha256(content).hexdigest()
    columns = tuple(name for name in rows.columns if name != "token")
    made = asked.request.model_copy(
        update={"tokens_digest": digest, "people": rows.height, "columns": columns, **changes}
    )
    envelope = sign_request(made, care.keys["a.patel"])
    details = {"request": envelope.digest, "purpose": made.purpose, "people": made.people}
    with Journal(care.folder / "audit", now=lambda: NOW).act("cohort.request", "requester", **details):
        write_request(folder, envelope, content)
    return folder


def test_a_request_made_by_hand_is_held_to_the_same_rules(care: Care) -> None:
    """Approvers and the key holder do not rely on the program of who asks."""
    token = pl.Series("token", care.tokens(ANN), dtype=pl.Binary)
    postcode = pl.DataFrame({"token": token, "postcode": ["QX1 1AA"]})
    formula = pl.DataFrame({"token": token, "band": ["=HYPERLINK()"]})
    one = pl.DataFrame({"token": token})
    text = pl.DataFrame({"token": [care.tokens(ANN)[0].hex()]})
    short = pl.DataFrame({"token": [b"short"]})
    cases: list[tuple[pl.DataFrame, dict[str, object], str]] = [
        (postcode, {}, "postcode is not among"),
        (formula, {}, "band holds"),
        (text, {}, "not what the request says"),
        (short, {}, "not what the request says"),
        (pl.DataFrame({"token": [1]}), {}, "not what the request says"),
        (one, {"reason": "=1"}, "the reason"),
        (one, {"role": "clinician"}, "not registered as clinician"),
        (one, {"role": "approver"}, "nobody may ask as approver"),
        (one, {"expires": NOW + timedelta(days=8)}, "dates"),
        (one, {"made": NOW + timedelta(days=1), "expires": NOW + timedelta(days=2)}, "dates"),
        (one, {"domain": "ics:other"}, "the purpose has changed"),
        (one, {"purpose_digest": "0" * 64}, "the purpose has changed"),
        # By the purpose's name the log counts whom a purpose has released.
        (one, {"purpose": "another"}, "the purpose has changed"),
        (one, {"reason": "\tcall them"}, "blanks or lines"),
        (one, {"requester": "b.okoro"}, "who did not sign it"),
    ]
    for rows, changes, words in cases:
        request = _by_hand(care, rows, **changes)
        for step in (lambda request=request: care.approve(request), lambda request=request: care.release(request)):
            with pytest.raises(LinkageError, match=words):
                step()
        shutil.rmtree(request)
    request = _by_hand(care, one, content=b"no table")
    with pytest.raises(IntegrityError, match="not what the request says"):
        care.release(request)
    shutil.rmtree(request)
    key = care.approve(_by_hand(care, one, key_id="0" * 16))
    with pytest.raises(PolicyError, match="key version that is not in use"):
        care.release(key)


def test_what_a_file_is_wrong_in_is_said_before_the_request_is_spent(care: Care) -> None:
    """Once it is put right the same request is released."""
    request = care.approve(care.ask(ANN))
    told = len(_acts(care))
    asked = read_request(request, [care.keys["a.patel"].verifier])
    place = publish.place_of(care.folder / "released", asked.digest)
    place.mkdir(parents=True)
    with pytest.raises(ConfigurationError, match="is there already"):
        care.release(request)
    place.rmdir()
    snapshot = care.folder / "store" / "snapshots" / (care.folder / "store" / "current").read_text().strip()
    (people,) = (snapshot / "person").glob("*.parquet")
    aside = people.rename(care.folder / "aside.parquet")
    with pytest.raises(IntegrityError, match="its table of people cannot be read"):
        care.release(request)
    aside.rename(people)
    decision = request / "decisions" / "another.json"
    decision.mkdir()
    with pytest.raises(IntegrityError, match="cannot be read as a decision"):
        care.release(request)
    decision.rmdir()
    assert len(_acts(care)) == told
    assert care.release(request).practices == {P1: 1}


def test_a_decision_that_has_no_place_is_not_told(care: Care) -> None:
    """A file where the folder of decisions should be, as only a request made by hand has."""
    request = care.ask(ANN)
    (request / "decisions").rmdir()
    (request / "decisions").touch()
    with pytest.raises(IntegrityError, match="a file is where decisions belong"):
        care.approve(request)
    assert ("cohort.approve", "intent") not in _acts(care)


def test_whoever_the_current_snapshot_does_not_know_is_not_released(care: Care) -> None:
    """Tokens that were made up to look like this ICS's are refused; people who left it since are counted."""
    left = "9434765870"
    (care.folder / "optouts" / "r.dat").write_text("".join(f"{each},\n" for each in (*EVERYBODY, left)))
    care.ics.answer.write_text("".join(f"{each},\n" for each in (*EVERYBODY, left)))
    care.patients(f"k9,{left},{P1},2010-01-01,")
    tokens = pl.Series("token", care.tokens(ANN, left), dtype=pl.Binary)
    request = care.approve(_by_hand(care, tokens.to_frame()))
    released = care.release(request)
    assert (care.named(released), released.withheld) == ({ANN: P1}, {"not_in_snapshot": 1})
    forged = pl.Series("token", [bytes.fromhex("00112233445586778899aabbccddeeff")], dtype=pl.Binary).to_frame()
    shutil.rmtree(request)
    with pytest.raises(IntegrityError, match="1 of 1 tokens are not this key's"):
        care.release(care.approve(_by_hand(care, forged)))
    assert _acts(care)[-1] == ("cohort.release", "failed")


def test_an_approval_that_is_not_in_the_log_does_not_count(care: Care) -> None:
    """Nobody approves beside it."""
    request = care.ask(ANN)
    asked = read_request(request, [care.keys["a.patel"].verifier])
    for by in ("b.okoro", "c.jones"):
        decision = Decision(
            request=asked.digest, purpose_digest=asked.request.purpose_digest, verdict=Verdict.APPROVE, by=by, made=NOW
        )  # fmt: skip
        write_decision(asked, decision, care.keys[by])
    with pytest.raises(PolicyError, match="0 of 2 approvals; 2 are void"):
        care.release(request)


@pytest.mark.parametrize("step", range(1, 12))
def test_a_disk_that_is_full_releases_nothing_or_everything(
    care: Care, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At each write; the log says which, and nothing is left aside."""
    request = care.approve(care.ask(ANN, CAT))
    steps = iter(range(1, 99))

    def full(path: Path) -> None:
        if next(steps) == step:
            raise OSError(errno.ENOSPC, "No space left on device")
        disk.sync(path)

    monkeypatch.setattr(publish, "sync", full)
    try:
        care.release(request)
        assert step > 9
    except TemporaryError:
        assert step <= 9
    assert not [path for path in (care.folder / "released").glob(".*") if path.is_dir()]
    published = len([path for path in (care.folder / "released").glob("*/P*") if path.is_dir()])
    # The last one comes after the rename: everything is there.
    assert published == (2 if step >= 9 else 0)
    assert _acts(care)[-1] == ("cohort.release", "failed" if step < 9 else "settled" if step == 9 else "done")
    with pytest.raises(PolicyError, match="that is final"):
        care.release(request)


def test_requests_and_decisions_that_a_crash_cut_short_are_settled(care: Care) -> None:
    """By a release some time later: until then they may be on their way."""
    log = Journal(care.folder / "audit", now=lambda: NOW)
    for act in ("cohort.request", "cohort.refuse"):
        log.begin(act, "somebody", request="0" * 64, purpose="test", people=1)
    care.release(care.approve(care.ask(ANN)), now=NOW + timedelta(minutes=59))
    assert ("cohort.refuse", "settled") not in _acts(care)
    care.release(care.approve(care.ask(BEN, name="next")), now=NOW + timedelta(minutes=61))
    assert _acts(care).count(("cohort.request", "settled")) == _acts(care).count(("cohort.refuse", "settled")) == 1


def test_a_release_of_another_purpose_or_folder_is_not_settled_as_nothing(care: Care) -> None:
    """Two purposes may have one log; a folder that was moved is put back first."""
    log, digest = Journal(care.folder / "audit", now=lambda: NOW), "0" * 64
    log.begin("cohort.release", "key-holder", request=digest, purpose="another", people=1, folder="elsewhere")
    request = care.approve(care.ask(ANN))
    assert care.release(request).practices
    assert ("cohort.release", "settled") not in _acts(care)
    log.begin("cohort.release", "key-holder", request=digest, purpose="test", people=1, folder="elsewhere")
    with pytest.raises(IntegrityError, match="went into another folder"):
        care.release(care.approve(care.ask(CAT, name="next")))
    assert ("cohort.release", "settled") not in _acts(care)


def test_two_configurations_with_one_log_have_folders_of_their_own(care: Care, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each says `released`. What the one published is not settled as nothing by the other, which would let it count for nobody."""
    other = care.folder / "other" / "linkage.toml"
    other.parent.mkdir()
    text = care.ics.configuration.read_text()
    for name in ("store", "optouts", "gp", "register.json", "keys.age", "extracts"):
        if (care.folder / name).exists():
            text = text.replace(f'"{name}', f'"../{name}').replace(f"://{name}", f"://../{name}")
    other.write_text(f'private = "../private"\n{text}\n[audit]\npath = "../audit"\n')
    begun, elsewhere = ready(care.ics.configuration, NOW), ready(other, NOW)
    assert begun.rules.path == elsewhere.rules.path
    request = care.approve(care.ask(ANN, CAT))
    asked = read_request(request, begun.registered.verifiers)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    # The release is published, and its end was not told.
    monkeypatch.setattr(Journal, "done", killed)
    monkeypatch.setattr(settling, "give_up", killed)
    with pytest.raises(KeyboardInterrupt):
        care.release(request)
    monkeypatch.undo()
    with pytest.raises(IntegrityError, match="went into another folder"):
        settling.settle(elsewhere, elsewhere.configuration.at(elsewhere.rules.path), care.key_holder)
    assert begun.history.state(asked.digest) is State.RELEASING
    assert settling.settle(begun, begun.configuration.at(begun.rules.path), care.key_holder)
    assert begun.history.state(asked.digest) is State.RELEASED
    assert begun.history.released("test", NOW - timedelta(days=1)) == 2
