"""A node's side: what is answered, and every reason for which nothing leaves."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest
from filelock import FileLock

from linkage.answering import Answering
from linkage.audit import Journal
from linkage.audit.log import lines_of
from linkage.errors import ConfigurationError, InputError, IntegrityError, LinkageError, PolicyError, TemporaryError
from linkage.questions.answers import ANSWER, APPROVAL, Answer, approve
from linkage.questions.question import QUESTION, put
from linkage.questions.registers import load_node
from linkage.signed import Envelope, Signer, canonical, opened, sign
from linkage.store.ask import ask, current_snapshot
from linkage.store.manifest import DocumentUsed
from questions.stores import (
    APPROVER,
    ASKER,
    DAY,
    DIABETES,
    NOW,
    VISITS,
    One,
    TestNode,
    asked,
    make_node,
    publish_tables,
    question,
    rows_of,
    signer,
)

PEOPLE = [
    *(One(each, sex="female") for each in range(1, 41)),
    *(One(each, sex="male", attendances=[date(2026, 5, 1)]) for each in range(41, 100)),
    *(One(each, sex="indeterminate") for each in range(100, 103)),
]


@pytest.fixture
def node(tmp_path: Path) -> TestNode:
    """A node with a hundred people, of whom three are of a small group."""
    made = make_node(tmp_path / "qxx")
    made.publish(PEOPLE)
    return made


def _answer(envelope: Envelope, node: TestNode) -> Answer:
    return opened(envelope.model_dump_json().encode(), Answer, ANSWER, [node.signer.verifier])[0]


def test_an_answer_says_what_may_be_said(node: TestNode) -> None:
    """Bound to the question, the node and the snapshot; small groups are withheld, and what leads back to them."""
    what = question()
    run_id = node.publish(PEOPLE)
    given = _answer(node.answer(what), node)
    assert (given.question, given.node, given.snapshot) == (what.digest, "qxx", run_id)
    assert given.practices == ("A10001", "A10002")
    assert {each.values[0]: (each.count, each.at_least, each.at_most) for each in given.cells} == {
        "female": ("40", 38, 42),
        "male": ("60", 58, 62),
        "indeterminate": ("*", 1, 7),
        "(not known)": ("0", 0, 0),
        "(all)": ("*", 97, 111),
    }


def test_a_share_is_counted_beside_its_denominator(node: TestNode) -> None:
    """A measure is a dimension of yes and no."""
    given = _answer(node.answer(question(template="share", measure=VISITS, dimensions=[])), node)
    assert {each.values[0]: each.count for each in given.cells} == {"yes": "60", "no": "45", "(all)": "100"}


def test_nobody_is_an_answer(tmp_path: Path) -> None:
    """Of a question without dimensions, too."""
    node = make_node(tmp_path)
    node.publish([One(1, practice="B20001")])
    (cell,) = _answer(node.answer(question(dimensions=[])), node).cells
    assert (cell.values, cell.count) == ((), "0")


def test_an_answer_is_logged_before_and_after(node: TestNode) -> None:
    """Who asked, who approved and digests; no count and no token."""
    what = question()
    given = node.answer(what)
    lines = [json.loads(line) for line in lines_of(node.folder / "audit")]
    intent, done = (line for line in lines if line["act"] == "question.answer")
    assert (intent["phase"], done["phase"]) == ("intent", "done")
    assert intent["details"]["question"] == what.digest
    assert (intent["details"]["asker"], intent["details"]["approver"]) == (ASKER.name, APPROVER.name)
    assert done["details"] == {"answer": given.digest}
    Journal(node.folder / "audit").check_whole()


def _refused(node: TestNode, what: Envelope, kind: type[LinkageError], reason: str, **how: object) -> None:
    """It is refused, nothing was entered, and the approvers find out why."""
    with pytest.raises(kind, match=reason):
        node.answer(what, **how)  # type: ignore[arg-type]
    assert not list((node.folder / "private").glob("answered/*"))
    assert not list((node.folder / "private").glob("ledger/*"))
    assert any(reason in each["reason"] for each in node.refusals())


def test_a_stranger_is_refused(node: TestNode) -> None:
    """Also one who calls themselves by a known name."""
    _refused(node, question(by=signer("QAA.analysts")), IntegrityError, "nobody who is known")
    other = replace_key("QYY.analysts")
    _refused(node, question(by=other), IntegrityError, "nobody who is known")


def replace_key(name: str):
    """Somebody else's key under this name."""

    return Signer(name, bytes(32))


def test_a_question_in_the_name_of_another_is_refused(node: TestNode) -> None:
    """Though both are known."""
    theirs = question(by=signer("QZZ.analysts"))
    payload = theirs.content.replace(b"QZZ.analysts", b"QYY.analysts")
    _refused(node, sign(QUESTION, payload, [signer("QZZ.analysts")]), IntegrityError, "another asker")


def test_a_changed_question_is_refused(node: TestNode) -> None:
    """Any byte of it."""
    what = question()
    changed = sign(QUESTION, what.content.replace(b'"sex"', b'"ethnicity"'), [])
    _refused(node, changed.model_copy(update={"signatures": what.signatures}), IntegrityError, "signature")


def test_a_question_has_one_form(node: TestNode) -> None:
    """Signed, but written in another way: two forms would be two digests of one question."""
    written = json.dumps(json.loads(question().content), indent=1).encode()
    _refused(node, sign(QUESTION, written, [ASKER]), IntegrityError, "canonical")


def test_something_else_that_is_signed_is_no_question(node: TestNode) -> None:
    """The type is signed with it."""
    _refused(node, sign(APPROVAL, question().content, [ASKER]), IntegrityError, "something else")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"now": NOW - timedelta(days=15)}, "expired"),
        ({"now": NOW + timedelta(hours=1)}, "future"),
        ({"nodes": ["qyy"]}, "other nodes"),
        ({"purpose": "curiosity"}, "not answered here"),
        ({"by": signer("QZZ.analysts")}, "may not ask"),
        ({"purpose": "counts only", "template": "share", "measure": VISITS}, "kind of question"),
        ({"policy": "sacro"}, "not as strict"),
        ({"policy": "none"}, "no disclosure policy"),
        ({"snapshots_from": "2026-11-25"}, "older than"),
        ({"dimensions": [{"kind": "known", "name": "a", "feed": "mhsds"}]}, "no feed mhsds"),
    ],
)
def test_what_may_not_be_asked_here(node: TestNode, change: dict[str, object], reason: str) -> None:
    """Each has its own reason."""
    kind = ConfigurationError if change.get("policy") == "none" else PolicyError
    _refused(node, question(**change), kind, reason)  # type: ignore[arg-type]


def test_a_stricter_policy_may_be_asked_for(node: TestNode) -> None:
    """Than the node's least."""
    given = _answer(node.answer(question(policy="strict10")), node)
    assert given.policy == "strict10"
    assert {each.count for each in given.cells} == {"40", "60", "100", "*"}


def test_a_purpose_ends(tmp_path: Path) -> None:
    """On its last day it still stands."""
    node = make_node(tmp_path, ends="2026-11-24")
    node.publish(PEOPLE)
    node.answer(question())
    with pytest.raises(PolicyError, match="purpose ended"):
        node.answer(question(), now=NOW + timedelta(days=1))


APPROVALS: list[tuple[Callable[[Envelope], Envelope], type[LinkageError], str]] = [
    (lambda what: approve(what.digest, "qxx", ASKER, NOW), IntegrityError, "nobody who is known"),
    (lambda what: approve("0" * 64, "qxx", APPROVER, NOW), PolicyError, "another question"),
    (lambda what: approve(what.digest, "qyy", APPROVER, NOW), PolicyError, "another node"),
    (
        lambda what: approve(what.digest, "qxx", APPROVER, NOW - timedelta(days=1)),
        PolicyError,
        "older than the question",
    ),
    (lambda what: approve(what.digest, "qxx", APPROVER, NOW + timedelta(days=1)), PolicyError, "from the future"),
    (
        lambda what: sign(
            APPROVAL, approve(what.digest, "qxx", APPROVER, NOW).content.replace(b"QXX.gov", b"QZZ.gov"), [APPROVER]
        ),
        IntegrityError,
        "another approver",
    ),
    (lambda what: what, IntegrityError, "the approval: signed as something else"),
]


@pytest.mark.parametrize(("made", "kind", "reason"), APPROVALS)
def test_an_approval_is_of_this_question_by_an_approver(
    node: TestNode, made: Callable[[Envelope], Envelope], kind: type[LinkageError], reason: str
) -> None:
    """Here, now, and not by who asked."""
    what = question()
    _refused(node, what, kind, reason, approval=made(what))


def test_a_question_is_answered_once(node: TestNode) -> None:
    """A replay finds the answer that was given; a new question with the same parameters is another one."""
    what = question()
    node.answer(what)
    with pytest.raises(PolicyError, match="answered before"):
        node.answer(what)
    signed_again = sign(QUESTION, what.content, [ASKER, signer("QZZ.analysts")])
    with pytest.raises(PolicyError, match="answered before"):
        node.answer(signed_again)
    assert len(list((node.folder / "private/answered").iterdir())) == 1
    node.answer(question())


@pytest.mark.parametrize("given", [False, True])
def test_what_a_crash_left_open_is_settled(node: TestNode, given: bool) -> None:
    """By whether there is an answer; a question without one can be answered, at the cost of one of the budget."""
    what = question()
    if given:
        node.answer(what)
    Journal(node.folder / "audit").begin("question.answer", "qxx 00", question=what.digest)
    if given:
        with pytest.raises(PolicyError, match="answered before"):
            node.answer(what)
    else:
        node.answer(what)
    lines = [json.loads(line) for line in lines_of(node.folder / "audit")]
    (settled,) = [each for each in lines if each["phase"] == "settled"]
    assert settled["details"] == {"came": "answer" if given else "no answer"}
    assert not Journal(node.folder / "audit").unfinished(("question.answer",), {})


def test_a_crash_before_the_answer_is_written_loses_no_entry(node: TestNode, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was about to leave is in the ledger, and the question is not spent."""

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    what = question()
    with monkeypatch.context() as broken:
        broken.setattr("linkage.answering.node.write", crash)
        with pytest.raises(KeyboardInterrupt):
            node.answer(what)
    assert len(list((node.folder / "private/ledger").iterdir())) == 1
    node.answer(what)
    assert len(list((node.folder / "private/ledger").iterdir())) == 2


def test_one_question_at_a_time(node: TestNode, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two that are answered at once would not see each other; it is no refusal."""
    monkeypatch.setattr("linkage.answering.private_files.PATIENCE", 0.1)
    node.answer(question())
    with FileLock(node.folder / "private" / "lock"), pytest.raises(TemporaryError, match="another question"):
        node.answer(question())
    assert not (node.folder / "private" / "refused").exists()


def test_a_later_snapshot_with_a_few_people_more_is_refused(node: TestNode) -> None:
    """And the asker hears nothing of it: the refusal is in the private folder alone."""
    node.answer(question())
    node.publish([*PEOPLE, One(200, sex="female")], NOW + timedelta(days=1))
    with pytest.raises(PolicyError, match="subtracting"):
        node.answer(question())
    (refusal,) = node.refusals()
    assert refusal["asker"] == ASKER.name
    assert len(list((node.folder / "private/answered").iterdir())) == 1
    failed = [json.loads(line) for line in lines_of(node.folder / "audit")][-1]
    assert (failed["phase"], failed["details"]["error"]) == ("failed", "PolicyError")
    node.publish([*PEOPLE, *(One(each, sex="female") for each in range(200, 210))], NOW + timedelta(days=2))
    node.answer(question())


def test_a_cohort_without_a_few_is_refused(node: TestNode) -> None:
    """The classic subtraction, within one snapshot: everybody, and everybody who lacks something that few have."""
    few = [replace(each, codes=[("44054006", date(2026, 1, 1))]) if each.number < 5 else each for each in PEOPLE]
    node.publish(few)
    node.answer(question())
    with pytest.raises(PolicyError, match="subtracting"):
        node.answer(question(cohort={"registered_on": DAY, "lacking": [DIABETES]}))


def test_a_budget_is_used_up(node: TestNode) -> None:
    """Of a purpose."""
    for _ in range(2):
        node.answer(question(purpose="counts only"))
    with pytest.raises(PolicyError, match="has had its 2 answers and refusals"):
        node.answer(question(purpose="counts only"))
    node.answer(question())


def test_no_registrations_no_answer(node: TestNode) -> None:
    """People would be nobody's."""
    rows = rows_of(PEOPLE) | {"registration": []}
    publish_tables(node.folder / "store", rows)
    _refused(node, question(), PolicyError, "no registrations")


def test_a_snapshot_whose_documents_have_ended_is_not_asked(node: TestNode) -> None:
    """What it was made by stands no more."""
    ended = DocumentUsed(what="agreement", reference="DSA-1", starts=None, ends=date(2026, 11, 23))
    publish_tables(node.folder / "store", rows_of(PEOPLE), documents=(ended,))
    _refused(node, question(), PolicyError, "agreement DSA-1 ended on 2026-11-23")
    node.publish(PEOPLE)
    node.answer(question())


def test_a_list_of_practices_that_cannot_be_read_is_not_told(node: TestNode) -> None:
    """It is the node's own file, and is read before the log hears of an answer."""
    path = node.folder / "node.toml"
    path.write_text(path.read_text().replace('["A10001", "A10002"]', '"practices.csv"'))
    (node.folder / "practices.csv").write_text(f"ods_code\n{'A' * 200_000}\n")
    _refused(node, question(), ConfigurationError, "not a CSV file with a column ods_code")
    assert not (node.folder / "audit" / "entries").exists()


@pytest.mark.parametrize(("more", "days"), [("", 35), ("max_age_days = 3", 3)])
def test_an_old_snapshot_is_not_asked(tmp_path: Path, more: str, days: int) -> None:
    """People may have said no since it was made."""
    node = make_node(tmp_path, more=more)
    made = NOW - timedelta(days=days)
    node.publish(PEOPLE, made - timedelta(seconds=1))
    asked_for = {"snapshots_from": "2026-01-01"}
    _refused(node, question(**asked_for), PolicyError, f"more than the {days} days allowed")
    node.publish(PEOPLE, made)
    node.answer(question(**asked_for))


def test_once_the_key_is_another_nobody_is_compared_and_nothing_answered(node: TestNode) -> None:
    """The same people have other tokens then, so that one question without a few would look like one of others."""
    node.answer(question())
    node.publish(PEOPLE[:-1])
    store = node.folder / "store"
    manifest = store / "snapshots" / (store / "current").read_text().strip() / "manifest.json"
    said = json.loads(manifest.read_text())
    manifest.write_text(json.dumps(said | {"key_id": "0123456789abcdef"}))
    for _ in range(2):
        with pytest.raises(PolicyError, match="another domain or key"):
            node.answer(question())
    assert len(list((node.folder / "private/ledger").iterdir())) == 1


def test_a_store_without_a_snapshot_is_no_zero(tmp_path: Path) -> None:
    """Nor is a damaged one."""
    node = make_node(tmp_path)
    _refused(node, question(), InputError, "nothing has been published")
    run_id = node.publish(PEOPLE)
    next((tmp_path / "store/snapshots" / run_id / "person").glob("*.parquet")).write_bytes(b"")
    with pytest.raises(IntegrityError, match="cannot be read"):
        node.answer(question())


def test_a_query_that_takes_too_long_is_stopped(node: TestNode) -> None:
    """It is tried again another time, so it is no refusal."""
    slow = "SELECT count(*) FROM range(10000000000) a, range(1000) b WHERE a.range % 7 = b.range % 5"
    with pytest.raises(TemporaryError, match="stopped"):
        ask(current_snapshot(node.folder / "store"), slow, {}, 0.3)


def test_others_may_not_read_the_private_folder(node: TestNode) -> None:
    """It holds who was counted."""
    (node.folder / "private").mkdir(mode=0o755)
    with pytest.raises(PolicyError, match="others may read"):
        node.answer(question())


def test_the_node_signs_under_its_own_name(node: TestNode) -> None:
    """An answer of another name would be nobody's."""
    what = question()
    with pytest.raises(ConfigurationError, match="another name"):
        Answering(node.node, signer("qyy")).answer(
            what.model_dump_json().encode(), approve(what.digest, "qxx", APPROVER, NOW).model_dump_json().encode(), NOW
        )


def test_nothing_private_is_for_others(node: TestNode) -> None:
    """Files and folders of the node are its owner's."""
    node.answer(question())
    with pytest.raises(PolicyError):
        node.answer(question(purpose="curiosity"))
    for path in (node.folder / "private").rglob("*"):
        assert not path.stat().st_mode & 0o077 or path.name == "lock", path


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (APPROVER.verifier.text, ASKER.verifier.text, "nobody approves who asks"),
        ('name = "QXX.governance"', 'name = "QYY.analysts"', "nobody approves who asks"),
        ('name = "QZZ.analysts"', 'name = "QYY.analysts"', "twice"),
        ('name = "counts only"', 'name = "winter planning"', "twice"),
        ("ed25519:", "ed25519", "not a public signing key"),
        ('askers = ["QYY.analysts"]', 'askers = ["QAA.analysts"]', "not among the askers"),
        ("seconds", "second", "Extra inputs"),
    ],
)
def test_a_nodes_file_holds_together(node: TestNode, old: str, new: str, reason: str) -> None:
    """Or it is refused before anything is read."""
    text = node.file.read_text()
    assert old in text
    node.file.write_text(text.replace(old, new))
    with pytest.raises(ConfigurationError, match=reason):
        load_node(node.file)


def test_practices_come_from_a_list(node: TestNode) -> None:
    """Of codes, or of a CSV file; one that is none is refused."""
    (node.folder / "practices.csv").write_text("ods_code,name\na10001,First\nA10003,Third\n")
    text = node.file.read_text().replace('["A10001", "A10002"]', '"practices.csv"')
    node.file.write_text(text)
    assert node.node.ods_codes() == ("A10001", "A10003")
    for wrong in ("ods_code\n", "code\nA10001\n", "ods_code\nA 1\n"):
        (node.folder / "practices.csv").write_text(wrong)
        with pytest.raises(ConfigurationError):
            node.node.ods_codes()


def test_a_question_stands_for_a_time() -> None:
    """Not for ever, and not for no time."""
    for days in (0, 91):
        with pytest.raises(ConfigurationError, match="1 to 90 days"):
            put(asked(), ASKER, NOW, days)
    assert canonical(asked(nodes=["b", "a", "b"])) == canonical(asked(nodes=["a", "b"]))
