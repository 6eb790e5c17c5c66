"""A site or the hub that stops at any step: no packet is lost, none is made twice, and the next run goes on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from federation import Federation, Linked, command
from small import ALLOWED, row

from linkage.sites import chain as chains
from linkage.sites import sending, translating
from linkage.sites import translated as kept


class Stopped(Exception):
    """The process ends here."""


@pytest.fixture(scope="module")
def linked(tmp_path_factory: pytest.TempPathFactory) -> Linked:
    """A hub and a site whose first packet was published."""
    return Linked.make(tmp_path_factory.mktemp("linked") / "ics", "RR8")


@pytest.fixture
def one(linked: Linked) -> Federation:
    """They, when there is something new to send."""
    made = linked.again()
    made.deliver("RR8", [row(50, ALLOWED, day=9)], "appointment_20261121.csv")
    return made


def _stopping(patch: pytest.MonkeyPatch, place: Any, name: str, *, after: bool) -> None:
    real: Callable[..., Any] = getattr(place, name)

    def stop(*given: Any, **named: Any) -> None:
        if after:
            real(*given, **named)
        raise Stopped

    patch.setattr(place, name, stop)


SITE_STEPS = [
    (sending, "pack"),
    (sending.hub, "keep"),
    (chains, "save"),
    (sending.switch, "switch"),
    (chains.Outbox, "put"),
    (sending, "_tidy"),
]


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(("place", "name"), SITE_STEPS, ids=[name for _, name in SITE_STEPS])
def test_a_site_that_stops_sends_one_packet_of_each_number(one: Federation, place: Any, name: str, after: bool) -> None:
    """Whatever was put into the outbox before or after is taken in its order."""
    site = one.sites["RR8"]
    with pytest.MonkeyPatch.context() as patch:
        _stopping(patch, place, name, after=after)
        with pytest.raises(Stopped):
            sending.run(site.configuration)
    one.send("RR8")
    out = site.folder / "out"
    assert not list(out.glob(".*"))
    packets = sorted(path for path in out.iterdir() if path.name > "RR8-000001")
    assert [path.name for path in packets] in (["RR8-000002"], ["RR8-000002", "RR8-000003"])
    assert one.receive(*packets).code == 0
    assert one.translate().code == 0
    assert one.link().code == 0
    assert one.query("SELECT count(*) FROM sus_op_appointment") == [(5,)]
    assert len(list((site.folder / "private" / "held").iterdir())) == 1


HUB_STEPS = [(translating, "rewrite"), (kept, "save"), (kept, "clear")]


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(("place", "name"), HUB_STEPS, ids=[name for _, name in HUB_STEPS])
def test_a_translation_that_stops_is_done_again(one: Federation, place: Any, name: str, after: bool) -> None:
    """Until it is done nothing is published; the log says what was cut off."""
    assert one.receive(one.send("RR8")).code == 0
    with pytest.MonkeyPatch.context() as patch:
        _stopping(patch, place, name, after=after)
        with pytest.raises(Stopped):
            translating.translate(one.configuration)
    if name == "rewrite":
        assert one.link().code == 4
    assert one.translate().code == 0
    assert one.link().code == 0
    assert one.query("SELECT count(*) FROM sus_op_appointment") == [(5,)]
    place_ = one.hub / "private" / "translated" / "RR8"
    assert {path.stem for path in (place_ / "parts").iterdir()} == set(one.translated("RR8").files.values())
    assert not [path for path in place_.rglob("*") if path.name.startswith(".")]
    assert command("audit", "verify", one.configuration).code == 0


def test_a_packet_in_the_outbox_is_replaced_by_the_one_made_again(one: Federation) -> None:
    """One of a number that counts no longer is not left there to be carried."""
    lost = one.send("RR8")
    content = (lost / "packet.json").read_bytes()
    again = one.send("RR8", "--everything", "--number", "2")
    assert again == lost
    assert (again / "packet.json").read_bytes() != content


def test_only_what_the_site_left_itself_is_cleared_away(one: Federation) -> None:
    """Another site uses the same outbox, and its name begins as this one's."""
    out = one.sites["RR8"].folder / "out"
    mine, others = (
        ("..RR8-000009.ready.part", ".RR8-000009.ready"),
        (".RR8-B-000001.ready", "..RR8-B-000001.ready.part"),
    )
    for name in (*mine, *others):
        (out / name).mkdir()
    one.send("RR8")
    assert {path.name for path in out.glob(".*")} == set(others)
