"""One site's key or the ICS's own is replaced, and nothing of another domain changes."""

from __future__ import annotations

import polars as pl
import pytest
from federation import Federation, Linked, command
from small import ALLOWED

from linkage.pseudonymise import Keyset
from linkage.pseudonymise.key_versions import KeysetFile


@pytest.fixture(scope="module")
def linked(tmp_path_factory: pytest.TempPathFactory) -> Linked:
    """A hub and two sites whose rows are published."""
    return Linked.make(tmp_path_factory.mktemp("linked") / "ics", "RR8", "RXX")


@pytest.fixture
def two(linked: Linked) -> Federation:
    """They, for a test to change."""
    return linked.again()


def _file(two: Federation) -> KeysetFile:
    return KeysetFile("age://keys.age", base=two.hub)


def _person(two: Federation) -> bytes:
    [(token,)] = two.query("SELECT token FROM person")
    return bytes(token.bytes)


def test_the_ics_moves_to_another_key_and_its_sites_stay(two: Federation) -> None:
    """What was taken of the sites is translated anew; no site does anything."""
    before, new = _person(two), _file(two).rotate()
    _file(two).choose("ics:test", new)
    assert two.translate().code == 0
    assert two.link().code == 0
    assert two.account().snapshot.key_id == new
    assert _person(two) != before
    expected = two.keyset.pseudonymiser("ics:test").tokenise(pl.Series([ALLOWED]))[0][0]
    assert _person(two) == expected
    assert two.query("SELECT count(*) FROM sus_op_appointment") == [(8,)]


def test_a_site_rotates_alone(two: Federation) -> None:
    """It signs as before and reads its own roster; the other site and the published people keep their tokens."""
    before, site = _person(two), two.sites["RR8"].folder
    signs = Keyset.open("age://site.age", base=site).signer().verifier
    _file(two).choose("site:rr8", _file(two).rotate())
    two.keyset.create_for_site(site / "new.age", "RR8", "site:rr8")
    new = KeysetFile("age://site.age", base=site).renew(KeysetFile("age://new.age", base=site))
    assert Keyset.open("age://site.age", base=site).signer().verifier == signs
    packet = two.send("RR8")
    refused = two.receive(packet)
    assert (refused.code, "another key version" in refused.text) == (6, True)
    two.registered(RR8={"key_id": new})
    for step in (two.receive(packet), two.translate(), two.link()):
        assert step.code == 0, step.text
    assert _person(two) == before
    assert two.query("SELECT count(*) FROM sus_op_appointment") == [(8,)]
    assert command("hub", "sites", two.configuration).code == 0
