"""What the national service sends back, in every order, twice, cut short, refused or of another request."""

from __future__ import annotations

import itertools
import json
import shutil
import stat
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linkage.config import National
from linkage.errors import InputError, PolicyError
from linkage.optouts.inbox import Outcome, Received, receive

NOW = datetime(2026, 11, 24, 6, tzinfo=UTC)
ASKED = ("9434765919", "9876543210", "4000000632")
ALLOWED = ASKED[:2]
RULES = National(requests="requests/*.dat", answers="answers/*.dat", min_allowed=0.3)


def _lines(*numbers: str) -> str:
    return "".join(f"{number},\n" for number in numbers)


def _ctl(local: str, minute: int, kind: str = "Data", status: str = "SUCCESS", code: str = "00") -> str:
    moment = NOW - timedelta(hours=2) + timedelta(minutes=minute)
    return (
        f"<DTSControl><MessageType>{kind}</MessageType><LocalId>{local}</LocalId><StatusRecord>"
        f"<DateTime>{moment:%Y%m%d%H%M%S}</DateTime><Status>{status}</Status><StatusCode>{code}</StatusCode>"
        "</StatusRecord></DTSControl>"
    )


def _ack(**changes: object) -> str:
    stages = [{"stage": "validate_non_empty_file", "passed": True, "details": None}]
    return json.dumps({"status": "pending", "dataset_id": "mesh_to_pos", "stages": stages, **changes}, indent=1)


@dataclass
class Mailbox:
    """A folder with one request (LocalId L1, name r1) and an inbox."""

    folder: Path
    count: itertools.count[int] = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        for name in ("requests", "inbox"):
            (self.folder / name).mkdir(parents=True)
        self.request("r1", "L1", ASKED)

    def request(self, name: str, local: str, numbers: tuple[str, ...]) -> None:
        (self.folder / "requests" / f"{name}.dat").write_text(_lines(*numbers))
        (self.folder / "requests" / f"{name}.ctl").write_text(f"<DTSControl><LocalId>{local}</LocalId></DTSControl>")

    def message(self, control: str | None, data: str | bytes | None) -> Path:
        path = self.folder / "inbox" / f"m{next(self.count):03d}.ctl"
        if control is not None:
            path.write_text(control)
        if data is not None:
            path.with_suffix(".dat").write_bytes(data.encode() if isinstance(data, str) else data)
        return path

    def receive(self, *inbox: Path) -> Received:
        return receive(inbox or (self.folder / "inbox",), RULES, self.folder, NOW)

    @property
    def answer(self) -> Path:
        return self.folder / "answers" / "r1.dat"


@pytest.fixture
def mailbox(tmp_path: Path) -> Mailbox:
    return Mailbox(tmp_path)


GOOD = (_ctl("L1", 20), _lines(*ALLOWED))

# What arrives (control file, list), what it is found to be, and whether it ends in place.
MESSAGES: dict[str, tuple[str | None, str | None, Outcome, bool]] = {
    "the list": (*GOOD, Outcome.ANSWER, True),
    "the list, everybody allowed": (_ctl("L1", 20), _lines(*ASKED), Outcome.ANSWER, True),
    "the list, unsorted, Windows line ends": (
        _ctl("L1", 20), _lines(*reversed(ALLOWED)).replace("\n", "\r\n"), Outcome.ANSWER, True,
    ),
    "a transport report": (_ctl("L1", 1, kind="Report"), None, Outcome.REPORT, False),
    "a transport report with a list beside it": (_ctl("L1", 1, kind="Report"), _lines(*ALLOWED), Outcome.REPORT, False),
    "a transport that failed": (_ctl("L1", 1, "Report", "ERROR", "14"), None, Outcome.NOT_SENT, False),
    "a list whose transport failed": (_ctl("L1", 1, "Data", "ERROR", "14"), _lines(*ALLOWED), Outcome.NOT_SENT, False),
    "an acknowledgement": (_ctl("L1", 2), _ack(), Outcome.ACKNOWLEDGED, False),
    "an acknowledgement of a failed job": (_ctl("L1", 2), _ack(status="failed"), Outcome.REFUSED, False),
    "an acknowledgement of a failed stage": (
        _ctl("L1", 2), _ack(stages=[{"stage": "validate_is_unique_upload", "passed": False}]), Outcome.REFUSED, False,
    ),
    "an acknowledgement that is no JSON": (_ctl("L1", 2), "{", Outcome.DAMAGED, False),
    "an acknowledgement of something else": (_ctl("L1", 2), '{"stages": 3}', Outcome.DAMAGED, False),
    "a rejection": (
        _ctl("L1", 9), "The file contains one or more invalid NHS Numbers.\n", Outcome.REJECTED, False,
    ),
    "a rejection without a line end": (
        _ctl("L1", 9), "The file contains one or more invalid NHS Numbers.", Outcome.REJECTED, False,
    ),
    "cut short": (_ctl("L1", 20), _lines(*ALLOWED)[:-4], Outcome.DAMAGED, False),
    "nobody allowed": (_ctl("L1", 20), "", Outcome.DAMAGED, False),
    "of another request": (_ctl("L9", 20), _lines(*ALLOWED), Outcome.UNKNOWN, False),
    "without a LocalId": (_ctl("", 20), _lines(*ALLOWED), Outcome.UNKNOWN, False),
    "numbers never asked about": (_ctl("L1", 20), _lines(*ALLOWED, "9000000009"), Outcome.DAMAGED, False),
    "an invalid number": (_ctl("L1", 20), _lines(*ALLOWED, "1234567890"), Outcome.DAMAGED, False),
    "from the future": (_ctl("L1", 999), _lines(*ALLOWED), Outcome.DAMAGED, False),
    "no list beside it": (_ctl("L1", 20), None, Outcome.DAMAGED, False),
    "no control file beside it": (None, _lines(*ALLOWED), Outcome.DAMAGED, False),
    "a control file that is no XML": ("<DTSControl>", _lines(*ALLOWED), Outcome.DAMAGED, False),
    "a control file with entities": (
        "<!DOCTYPE x [<!ENTITY a 'b'>]>" + _ctl("L1", 20), _lines(*ALLOWED), Outcome.DAMAGED, False,
    ),
    "a control file without a date": (
        "<DTSControl><LocalId>L1</LocalId></DTSControl>", _lines(*ALLOWED), Outcome.DAMAGED, False,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", MESSAGES.values(), ids=MESSAGES.keys())
def test_every_message_is_found_out(mailbox: Mailbox, case: tuple[str | None, str | None, Outcome, bool]) -> None:
    """What it is, whether anything is put in place, and that nothing of a list is said."""
    control, data, outcome, in_place = case
    mailbox.message(control, data)
    received = mailbox.receive()
    assert [message.outcome for message in received.messages] == [outcome]
    assert mailbox.answer.exists() == in_place
    assert received.outstanding == (() if in_place else ("r1",))
    assert not [number for number in ASKED if number in repr(received)]


def test_an_answer_is_put_in_place_under_its_requests_name(mailbox: Mailbox) -> None:
    """With its control file, byte for byte, readable by its owner only; the inbox stays as it was."""
    path = mailbox.message(*GOOD)
    mailbox.receive()
    assert mailbox.answer.read_text() == GOOD[1]
    assert mailbox.answer.with_suffix(".ctl").read_text() == GOOD[0]
    assert {stat.S_IMODE(each.stat().st_mode) for each in mailbox.answer.parent.iterdir()} == {0o600}
    assert stat.S_IMODE(mailbox.answer.parent.stat().st_mode) == 0o700
    assert path.exists()


def test_reading_twice_changes_nothing(mailbox: Mailbox) -> None:
    """The inbox may be left as it is."""
    mailbox.message(*GOOD)
    mailbox.receive()
    before = mailbox.answer.stat().st_mtime_ns
    received = mailbox.receive()
    assert [message.outcome for message in received.messages] == [Outcome.ANSWER_AGAIN]
    assert mailbox.answer.stat().st_mtime_ns == before


def test_the_same_list_sent_again_is_no_younger_for_it(mailbox: Mailbox) -> None:
    """Its age counts from the first time."""
    mailbox.message(*GOOD)
    mailbox.message(_ctl("L1", 90), GOOD[1])
    received = mailbox.receive()
    assert [message.outcome for message in received.messages] == [Outcome.ANSWER, Outcome.ANSWER_AGAIN]
    assert mailbox.answer.with_suffix(".ctl").read_text() == GOOD[0]


def test_of_two_answers_the_later_counts(mailbox: Mailbox) -> None:
    """Somebody changed their mind between them."""
    mailbox.message(_ctl("L1", 30), _lines(ASKED[0]))
    mailbox.message(*GOOD)
    received = mailbox.receive()
    assert [message.outcome for message in received.messages] == [Outcome.ANSWER_OLDER, Outcome.ANSWER]
    assert mailbox.answer.read_text() == _lines(ASKED[0])


def test_two_answers_of_one_moment_are_no_answer(mailbox: Mailbox) -> None:
    """Nobody can say which one holds, so neither does, also when one was in place."""
    mailbox.message(*GOOD)
    mailbox.receive()
    mailbox.message(GOOD[0], _lines(ASKED[0]))
    received = mailbox.receive()
    assert {message.outcome for message in received.messages} == {Outcome.CONTRADICTED}
    assert received.outstanding == ("r1",)
    assert not mailbox.answer.exists()


SCENE = (
    (_ctl("L1", 1, kind="Report"), None),
    (_ctl("L1", 2), _ack()),
    (_ctl("L1", 5), "The file contains one or more invalid NHS Numbers.\n"),
    GOOD,
    GOOD,
    (_ctl("L1", 50), _lines(ASKED[0])),
    (_ctl("L1", 60), GOOD[1]),
    (_ctl("L1", 70), _lines(*ALLOWED)[:-4]),
    (_ctl("L9", 80), _lines(*ALLOWED)),
)


@settings(deadline=None, max_examples=60)
@given(order=st.permutations(range(len(SCENE))), cuts=st.sets(st.integers(1, len(SCENE) - 1)))
def test_the_order_of_messages_does_not_matter(
    tmp_path_factory: pytest.TempPathFactory, order: list[int], cuts: set[int]
) -> None:
    """Nor whether they are read at once or as they come: the inbox keeps what it had."""
    folder = tmp_path_factory.mktemp("mailbox")
    mailbox = Mailbox(folder)
    for place, message in enumerate(order):
        if place in cuts:
            mailbox.receive()
        mailbox.message(*SCENE[message])
    received = mailbox.receive()
    assert received.outstanding == ()
    assert mailbox.answer.read_text() == _lines(ASKED[0])
    assert mailbox.answer.with_suffix(".ctl").read_text() == SCENE[5][0]
    assert received.problems == ()
    shutil.rmtree(folder)


def test_several_requests_are_told_apart(mailbox: Mailbox) -> None:
    """What is missing is named; problems of answered requests are history."""
    mailbox.request("r2", "L2", ASKED)
    mailbox.request("r3", "L3", ASKED)
    mailbox.message(*GOOD)
    mailbox.message(_ctl("L1", 3), "The file contains one or more invalid NHS Numbers.\n")
    mailbox.message(_ctl("L3", 3), "The file contains one or more invalid NHS Numbers.\n")
    received = mailbox.receive()
    assert received.outstanding == ("r2", "r3")
    assert [(each.request, each.outcome) for each in received.problems] == [("r3", Outcome.REJECTED)]


def test_a_request_made_by_hand_is_known_by_its_name(mailbox: Mailbox) -> None:
    """Without a control file its name is its LocalId."""
    (mailbox.folder / "requests" / "r1.ctl").unlink()
    mailbox.message(_ctl("r1", 20), GOOD[1])
    assert mailbox.receive().outstanding == ()


def test_files_may_be_named(mailbox: Mailbox) -> None:
    """Either of a message's two; both are one message."""
    path = mailbox.message(*GOOD)
    assert len(mailbox.receive(path, path.with_suffix(".dat")).messages) == 1
    (mailbox.folder / "inbox" / "notes.txt").write_text("mine")
    assert len(mailbox.receive().messages) == 1


def test_an_inbox_that_is_not_there_is_said(mailbox: Mailbox) -> None:
    with pytest.raises(InputError, match="there is no such file"):
        mailbox.receive(mailbox.folder / "elsewhere")


def test_a_damaged_control_file_of_a_request_is_said(mailbox: Mailbox) -> None:
    (mailbox.folder / "requests" / "r1.ctl").write_text("<")
    with pytest.raises(PolicyError, match=r"r1\.ctl"):
        mailbox.receive()


def test_what_a_message_says_is_not_repeated(mailbox: Mailbox) -> None:
    """Words of the transport are shown only where they are plain words."""
    mailbox.message(_ctl("L1", 1, "Report", "ERROR 943 476 5919", "9434765919"), None)
    mailbox.message(_ctl("L1", 2), _ack(stages=[{"stage": "number 9434765919 refused", "passed": False}]))
    said = repr(mailbox.receive())
    assert "943 476 5919" not in said
    assert "9434765919" not in said
