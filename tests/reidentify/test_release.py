"""A cohort goes back to care: each person to the practice where they are registered now, and nobody else learns of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from care import ANN, CAT, P1, P2, Care, make_care
from linkage.audit.log import lines_of
from linkage.errors import IntegrityError, KeyUnavailableError


@pytest.fixture
def care(tmp_path: Path) -> Care:
    """Four people at two practices, published."""
    return make_care(tmp_path)


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
