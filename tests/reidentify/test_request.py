"""Asking: every refusal, and what a request binds."""

from __future__ import annotations

import hashlib
import json
import uuid
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
from small import NOW

from care import ANN, BEN, CAT, DAN, P1, Care, make_care
from linkage.audit.log import lines_of
from linkage.cohorts import ask
from linkage.cohorts.ask import Asking
from linkage.errors import ConfigurationError, InputError, IntegrityError, LinkageError, PolicyError
from linkage.reidentify.register import sign_register
from linkage.reidentify.request import read_request
from linkage.signed import Signer

WHY = Asking("call them for a review", [P1])


def _request(care: Care, cohort_: str, asking: Asking = WHY, by: str = "a.patel") -> None:
    ask.request(care.ics.configuration, cohort_, asking, care.keys[by], care.folder / "request", NOW)


def _refused(
    care: Care, kind: type[LinkageError], words: str, cohort_: str, asking: Asking = WHY, by: str = "a.patel"
) -> None:
    before = list(lines_of(care.folder / "audit"))
    with pytest.raises(kind, match=words):
        _request(care, cohort_, asking, by)
    assert not (care.folder / "request").exists()
    assert list(lines_of(care.folder / "audit")) == before


def test_a_request_binds_what_it_is_about(care: Care) -> None:
    """The snapshot, domain, key, tokens, purpose and a nonce; no two are the same."""
    folder = care.ask(ANN, BEN)
    asked = read_request(folder, [care.keys["a.patel"].verifier])
    said, snapshot = asked.request, care.ics.store / "snapshots" / str(care.ics.current())
    manifest = (snapshot / "manifest.json").read_bytes()
    assert (said.snapshot, said.snapshot_digest) == (snapshot.name, hashlib.sha256(manifest).hexdigest())
    assert (said.domain, said.key_id, said.people) == ("ics:test", json.loads(manifest)["key_id"], 2)
    assert said.tokens_digest == hashlib.sha256((folder / "cohort.parquet").read_bytes()).hexdigest()
    assert said.expires - said.made == timedelta(days=7)
    assert care.asked(ANN, BEN, name="again").digest != asked.digest
    assert asked.people["token"].to_list() == sorted(care.tokens(ANN, BEN))


def test_a_cohort_is_a_query_a_file_of_it_or_a_table(tmp_path: Path) -> None:
    """All of them the same tokens."""
    care = make_care(tmp_path)
    query = "SELECT token, 1 AS score FROM person WHERE practice = 'P10001'"
    (tmp_path / "who.sql").write_text(query)
    pl.DataFrame({"token": [each.hex() for each in care.tokens(ANN, BEN)], "score": [1, 1]}).write_csv(
        tmp_path / "who.csv"
    )
    for place, each in enumerate((query, str(tmp_path / "who.sql"), str(tmp_path / "who.csv"), care.cohort(ANN, BEN))):
        folder = tmp_path / f"request{place}"
        ask.request(care.ics.configuration, each, WHY, care.keys["a.patel"], folder, NOW)
        asked = read_request(folder, [care.keys["a.patel"].verifier])
        assert asked.people["token"].to_list() == sorted(care.tokens(ANN, BEN))
    with pytest.raises(ConfigurationError, match="the query"):
        ask.request(
            care.ics.configuration, "SELECT nothing FROM person", WHY, care.keys["a.patel"], tmp_path / "r", NOW
        )


def _frame(care: Care, **columns: list[object]) -> str:
    pl.DataFrame(columns).write_parquet(care.folder / "own.parquet")
    return str(care.folder / "own.parquet")


def test_tokens_that_are_not_in_the_current_snapshot_are_refused(care: Care) -> None:
    """One of somebody else's, another key's, one that is none, and none at all."""
    stranger = care.tokens("9434765870")[0]
    _refused(
        care, InputError, "1 of the cohort's 2 tokens are not in", _frame(care, token=[*care.tokens(ANN), stranger])
    )
    _refused(care, InputError, "no token", _frame(care, token=["4000000632"]))
    _refused(care, InputError, "no token", _frame(care, token=[None, care.tokens(ANN)[0]]))
    _refused(care, InputError, "no column called token", _frame(care, person=care.tokens(ANN)))
    _refused(care, InputError, "names somebody twice", _frame(care, token=care.tokens(ANN, ANN)))
    _refused(care, InputError, "cannot be read as a cohort", "nothing.parquet")


def test_only_what_was_agreed_goes_with_a_number(care: Care) -> None:
    """And nothing that names somebody, or that a spreadsheet runs."""
    tokens = care.tokens(ANN)
    _refused(care, PolicyError, "column sex is not among", _frame(care, token=tokens, sex=["female"]))
    for text in ("=1+1", "@SUM", "-2", "+44", "born\n1950", "number 400 000 0632"):
        _refused(care, InputError, "column band holds", _frame(care, token=tokens, band=[text]))
    (token,) = care.tokens(BEN)
    for name in (str(uuid.UUID(bytes=token)), token.hex().upper()):
        _refused(care, InputError, "looks like a token", _frame(care, token=tokens, band=[f"as {name}"]))
    for figure in (int(BEN), float(BEN)):
        _refused(care, InputError, "as long as an NHS number", _frame(care, token=tokens, score=[figure]))
    _refused(care, InputError, "neither text", _frame(care, token=tokens, band=[[1]]))


@pytest.mark.parametrize("reason", ["", "  ", "=cmd", "two\nlines", "x" * 501, "see 4000000632", "see 400 000 0632"])
def test_the_reason_is_one_line_of_words(care: Care, reason: str) -> None:
    """It stands in a practice's file."""
    _refused(care, PolicyError, "reason", care.cohort(ANN), Asking(reason, [P1]))


def test_who_may_ask_for_whom(care: Care) -> None:
    """A role that may, and practices that have a key."""
    who = care.cohort(ANN)
    _refused(care, PolicyError, "not registered in a role that may ask", who, by="b.okoro")
    _refused(care, PolicyError, "not registered in a role", who, Asking("review", [P1], "clinician"))
    _refused(care, PolicyError, "P99999 cannot receive", who, Asking("review", [P1, "p99999"]))
    _refused(care, PolicyError, "nobody cannot receive", who, Asking("review", []))
    _refused(care, InputError, "cannot be read", who, Asking("review", ["practices.csv"]))
    listed = care.folder / "practices.csv"
    listed.write_text("ods_code,name\np10001,The Surgery\nP10002,\n")
    care.ask(ANN, name="listed", to=[str(listed)])
    assert read_request(care.folder / "listed", [care.keys["a.patel"].verifier]).request.recipients == (
        "P10001",
        "P10002",
    )
    care.keys["e.stranger"] = Signer("e.stranger", bytes(32))
    _refused(care, PolicyError, "not in the register", who, by="e.stranger")


def test_the_purpose_limits_how_many_at_once_and_over_time(care: Care) -> None:
    """Told from the log: people of releases count, whoever asked; they stop counting after so many days."""
    _refused(care, PolicyError, "4 people, and the purpose allows 3", care.cohort(ANN, BEN, CAT, DAN))
    for name in ("one", "two"):
        care.release(care.approve(care.ask(ANN, BEN, CAT, name=name)))
    _refused(care, PolicyError, "of the 6 that the purpose allows in 365 days 0 are left", care.cohort(DAN))
    later = NOW + timedelta(days=366)
    care.register(issued="2027-11-01", expires="2028-04-30")
    assert care.asked(DAN, name="later", now=later).left == 6


def test_the_limit_counts_again_at_the_release(care: Care) -> None:
    """Two requests may stand at once that are too many together."""
    requests = [care.approve(care.ask(ANN, BEN, CAT, name=name)) for name in ("one", "two", "three")]
    for request in requests[:2]:
        care.release(request)
    with pytest.raises(PolicyError, match="0 are left"):
        care.release(requests[2])


def test_a_purpose_that_does_not_allow_it(care: Care) -> None:
    """Or whose documents do not stand."""
    who = care.cohort(ANN)
    text = care.ics.configuration.read_text()
    care.ics.replace("allowed = true", "allowed = false")
    _refused(care, PolicyError, "does not allow re-identification", who)
    care.ics.configuration.write_text(text.replace('name = "test"', 'name = "test"\nends = 2026-11-23'))
    _refused(care, PolicyError, "the purpose .* ended", who)
    care.ics.configuration.write_text(text.split("[release]")[0] + "[keys]" + text.split("[keys]")[1])
    _refused(care, ConfigurationError, r"no \[release\]", who)


def test_the_register_counts_as_its_lead_signed_it(care: Care) -> None:
    """Nobody else's, nothing that was changed, and only while it stands."""
    who, path = care.cohort(ANN), care.folder / "register.json"
    good = path.read_bytes()
    path.write_bytes(sign_register(care.folder / "register.toml", care.keys["a.patel"]))
    _refused(care, IntegrityError, "nobody who is known", who)
    path.write_bytes(sign_register(care.folder / "register.toml", Signer("QXX.lead", bytes(32))))
    _refused(care, IntegrityError, "nobody who is known", who)
    changed = json.loads(good)
    changed["payload"] = changed["payload"][:-8] + "AAAAAAA="
    path.write_text(json.dumps(changed))
    _refused(care, IntegrityError, "does not fit", who)
    path.unlink()
    _refused(care, PolicyError, "the register is missing", who)
    care.register(expires="2026-11-23")
    _refused(care, PolicyError, "the register expired", who)
    care.register(issued="2026-11-25")
    _refused(care, PolicyError, "begins only", who)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("name = \"b.okoro\"", "name = \"a.patel\""), "two people have one name"),
        (("P10002", "P10001"), "a practice is in it twice"),
        (("ed25519:", "ed25519"), "a key that is none"),
        (("recipient = \"age1", "recipient = \"age2"), "a key that is none"),
        (("code = \"P10001\"", "code = \"../P1\""), "code"),
        (("roles = ['approver']", "roles = []"), "roles"),
        (("serial = 1", "serial = 1\nmore = 2"), "more"),
    ],
)  # fmt: skip
def test_a_register_that_cannot_be_right_is_not_signed(care: Care, change: tuple[str, str], words: str) -> None:
    """One entry is one person, and a practice's key opens its own packages alone."""
    source = care.folder / "register.toml"
    source.write_text(source.read_text().replace(*change))
    with pytest.raises(ConfigurationError, match=words):
        sign_register(source, care.keys["QXX.lead"])


def test_two_practices_do_not_share_a_key(care: Care) -> None:
    """Else one would open the other's."""
    care.practices["P10002"].write_text(care.practices["P10001"].read_text())
    with pytest.raises(ConfigurationError, match="two practices have one key"):
        care.register()
