"""Packets from a site to the key holder: what is sealed, and every reason for which one is not taken."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pyrage
import pytest

from linkage.bundle import BundleManifest, Field, Part, TableParts, digest
from linkage.errors import ConfigurationError, IntegrityError, LinkageError, PolicyError
from linkage.federate import Accepts, Evidence, Inbox, Packet, Site, pack
from linkage.federate.packet import PAYLOAD_TYPE
from linkage.federate.receive import Holds
from linkage.signed import Signer, Verifier, canonical, sign

NOW = datetime(2026, 11, 24, 6, 0, tzinfo=UTC)
RR8, RXX = Signer("RR8", bytes(32)), Signer("RXX", bytes([1]) * 32)
HOLDER = pyrage.x25519.Identity.generate()
TO_HOLDER = [str(HOLDER.to_public())]


def _bundle(folder: Path, *names: str, **changes: Any) -> BundleManifest:
    """A bundle of one table, with a part of each name."""
    parts = []
    for place, name in enumerate(names):
        path = folder / "sus_apc" / "spell" / f"part-{place:05d}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pl.DataFrame({"token": [name.encode()]}).write_parquet(path)
        parts.append(
            Part(
                path=path.relative_to(folder).as_posix(),
                source=f"{name}.csv",
                source_digest="0" * 64,
                delivered=NOW - timedelta(days=30),
                read=1,
                kept=1,
                removed={},
                digest=digest(path),
                place=place,
            )
        )
    table = TableParts(feed="sus_apc", table="spell", contract_digest="c" * 64, fields=(), parts=tuple(parts))
    return BundleManifest(**{"domain": "site:rr8", "key_id": "00112233aabbccdd", "tables": (table,), **changes})


def _packet(bundle: BundleManifest, **changes: Any) -> Packet:
    about: dict[str, Any] = {
        "site": "RR8", "sequence": 1, "previous": None, "made": NOW - timedelta(hours=2), "good_until": NOW + timedelta(days=5),
        "tool_version": "0.1.0", "registers": (Evidence(name="national", sha256="d" * 64, as_of=NOW - timedelta(days=1)),),
        "exemptions": (), "bundle": bundle, "sealed": {},
    }  # fmt: skip
    return Packet(**{**about, **changes})


def _site(signer: Signer, domain: str, **changes: Any) -> Site:
    columns: dict[str, dict[str, Holds]] = {"sus_apc spell": {"token": "person", "spell_id": "record", "sex": "value"}}
    site = Site(signer.verifier, domain, "00112233aabbccdd", {"sus_apc": "c" * 64}, columns)
    return replace(site, **changes)


def _accepts(**changes: Any) -> Accepts:
    accepts = Accepts(
        sites=[_site(RR8, "site:rr8"), _site(RXX, "site:rxx")],
        max_age=timedelta(days=7),
    )
    return replace(accepts, **changes)


@dataclass
class Post:
    """A site's bundle and the receiver's inbox."""

    folder: Path

    @property
    def inbox(self) -> Inbox:
        """The receiver's."""
        return Inbox(self.folder / "inbox")

    def send(self, name: str, *parts: str, signer: Signer = RR8, known: tuple[str, ...] = (), **changes: Any) -> Path:
        """Make a packet."""
        about = {key: changes.pop(key) for key in ("domain", "key_id", "tables") if key in changes}
        bundle = self.folder / f"{name}-bundle"
        pack(bundle, _packet(_bundle(bundle, *parts, **about), **changes), self.folder / name, signer, TO_HOLDER, known)
        return self.folder / name

    def state(self) -> dict[str, bytes]:
        """Every file of the inbox."""
        place = self.inbox.folder
        return {str(path.relative_to(place)): path.read_bytes() for path in place.rglob("*") if path.is_file()}

    def refused(self, came: Path, message: str, error: type[LinkageError] = IntegrityError, **changes: Any) -> None:
        """Refused with these words, and nothing was taken."""
        before = self.state()
        with pytest.raises(error, match=message) as caught:
            self.inbox.receive(came, _accepts(**changes), NOW)
        assert caught.value.hint
        assert self.state() == before


@pytest.fixture
def post(tmp_path: Path) -> Post:
    """Nothing sent yet."""
    return Post(tmp_path)


def _digest_of(folder: Path) -> str:
    from linkage.federate import read_packet

    return read_packet(folder, [RR8.verifier, RXX.verifier])[2]


def test_a_packet_is_taken_as_it_came(post: Post) -> None:
    """Only its receiver opens its parts, and they are those of the bundle."""
    came = post.send("one", "a", "b")
    packet = post.inbox.receive(came, _accepts(), NOW)
    [kept] = post.inbox.taken("RR8")
    assert {str(path.relative_to(kept)): path.read_bytes() for path in kept.rglob("*") if path.is_file()} == {
        str(path.relative_to(came)): path.read_bytes() for path in came.rglob("*") if path.is_file()
    }
    for path, expected in packet.parts.items():
        sealed = (kept / f"{path}.age").read_bytes()
        (post.folder / "part").write_bytes(pyrage.decrypt(sealed, [HOLDER]))
        assert digest(post.folder / "part") == expected
        with pytest.raises(pyrage.DecryptError):
            pyrage.decrypt(sealed, [pyrage.x25519.Identity.generate()])
    assert {path.stat().st_mode & 0o777 for path in post.inbox.folder.rglob("*")} <= {0o700, 0o600}


def test_no_part_is_readable_in_a_packet(post: Post) -> None:
    """What is in the clear is the manifest, and there is no token in it."""
    came = post.send("one", "a-token-in-here")
    for path in came.rglob("*"):
        assert path.is_dir() or b"a-token-in-here" not in path.read_bytes().replace(b"a-token-in-here.csv", b"")


def test_a_later_packet_brings_what_is_new(post: Post) -> None:
    """Parts that came before stay where they are and count on."""
    first = post.send("one", "a", "b")
    taken = post.inbox.receive(first, _accepts(), NOW)
    second = post.send("two", "a", "b", "c", sequence=2, previous=_digest_of(first), known=tuple(taken.parts.values()))
    assert [path.name for path in second.rglob("*.age")] == ["part-00002.parquet.age"]
    post.inbox.receive(second, _accepts(), NOW)
    assert [path.name for path in post.inbox.taken("RR8")] == ["000001", "000002"]


def test_sealed_parts_that_count_no_more_are_removed(post: Post) -> None:
    """Somebody who left may be in them. What the newest packet builds on stays, and so does every manifest."""
    first = post.send("one", "a", "b")
    taken = post.inbox.receive(first, _accepts(), NOW)
    known = tuple(taken.parts.values())
    second = post.send("two", "a", "z", sequence=2, previous=_digest_of(first), known=known)
    post.inbox.receive(second, _accepts(), NOW)
    left = sorted(str(path.relative_to(post.inbox.folder)) for path in post.inbox.folder.rglob("*.*") if path.is_file())
    assert left == [
        "RR8/000001/packet.json", "RR8/000001/sus_apc/spell/part-00000.parquet.age",
        "RR8/000002/packet.json", "RR8/000002/sus_apc/spell/part-00001.parquet.age",
    ]  # fmt: skip
    third = post.send("three", "a", "b", sequence=3, previous=_digest_of(second), known=known)
    post.refused(third, "neither in it nor in the packets before")
    whole = post.send("whole", "a", "b", sequence=3, previous=_digest_of(second))
    post.inbox.receive(whole, _accepts(), NOW)
    assert not list((post.inbox.folder / "RR8" / "000001").rglob("*.age"))


def test_sites_do_not_stand_in_each_others_way(post: Post) -> None:
    """Each has its own order."""
    post.inbox.receive(post.send("one", "a"), _accepts(), NOW)
    post.inbox.receive(post.send("two", "a", signer=RXX, site="RXX", domain="site:rxx"), _accepts(), NOW)
    assert len(post.inbox.taken("RXX")) == 1


REFUSED: list[tuple[str, dict[str, Any], str, type[LinkageError]]] = [
    ("another's signature", {"signer": RXX}, "did not sign it", IntegrityError),
    ("nobody's signature", {"signer": Signer("RR8", bytes([9]) * 32)}, "nobody who is known", IntegrityError),
    ("a stranger's", {"signer": Signer("RZZ", bytes([9]) * 32), "site": "RZZ"}, "nobody who is known", IntegrityError),
    ("another domain", {"domain": "site:rxx"}, "another domain", IntegrityError),
    ("the ICS's domain", {"domain": "ics:qxx"}, "another domain", IntegrityError),
    ("another key", {"key_id": "ffffffffffffffff"}, "another key version", IntegrityError),
    ("too old", {"made": NOW - timedelta(days=8)}, "8 days ago", PolicyError),
    ("from the future", {"made": NOW + timedelta(days=1)}, "in the future", IntegrityError),
    ("stale opt-outs", {"good_until": NOW - timedelta(seconds=1)}, "too old now", PolicyError),
    ("not the first", {"sequence": 2, "previous": "e" * 64}, "has not come", IntegrityError),
    ("a first after something", {"previous": "e" * 64}, "follows another", IntegrityError),
]


@pytest.mark.parametrize(
    ("changes", "message", "error"), [each[1:] for each in REFUSED], ids=[each[0] for each in REFUSED]
)
def test_a_packet_is_refused(post: Post, changes: dict[str, Any], message: str, error: type[LinkageError]) -> None:
    """For what it says of itself."""
    post.refused(post.send("one", "a", **changes), message, error)


@pytest.mark.parametrize(
    ("changes", "message", "error"),
    [
        ({"revoked": True}, "is revoked", PolicyError),
        ({"contracts": {"sus_apc": "b" * 64}}, "another contract", ConfigurationError),
        ({"contracts": {}}, "is not taken from the site", ConfigurationError),
        ({"columns": {}}, "hands over no table", IntegrityError),
        ({"key_id": "ffffffffffffffff"}, "another key version", IntegrityError),
    ],
)
def test_a_packet_is_refused_by_who_takes_it(
    post: Post, changes: dict[str, Any], message: str, error: type[LinkageError]
) -> None:
    """For what is not taken here."""
    post.refused(post.send("one", "a"), message, error, sites=[_site(RR8, "site:rr8", **changes)])


def _cut_manifest(came: Path) -> None:
    (came / "packet.json").write_bytes((came / "packet.json").read_bytes()[:-20])


def _no_manifest(came: Path) -> None:
    (came / "packet.json").unlink()


def _changed_manifest(came: Path) -> None:
    said = json.loads((came / "packet.json").read_text())
    said["payload"] = said["payload"][:-8] + "AAAAAAA="
    (came / "packet.json").write_text(json.dumps(said))


def _changed_part(came: Path) -> None:
    [path, *_] = came.rglob("*.age")
    path.write_bytes(path.read_bytes()[:-1] + b"x")


def _exchanged_parts(came: Path) -> None:
    one, two = sorted(came.rglob("*.age"))
    content = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(content)


def _lost_part(came: Path) -> None:
    next(came.rglob("*.age")).unlink()


def _linked_part(came: Path) -> None:
    path = next(came.rglob("*.age"))
    path.rename(came.parent / "elsewhere")
    path.symlink_to(came.parent / "elsewhere")


@pytest.mark.parametrize(
    "harm",
    [_cut_manifest, _no_manifest, _changed_manifest, _changed_part, _exchanged_parts, _lost_part, _linked_part],
    ids=lambda each: each.__name__,
)
def test_a_packet_that_was_harmed_on_the_way_is_refused(post: Post, harm: Callable[[Path], None]) -> None:
    """Whatever part of it."""
    came = post.send("one", "a", "b")
    harm(came)
    post.refused(came, ".")


def test_a_replay_and_a_fork_are_refused(post: Post) -> None:
    """The same again, and another of the same number."""
    first = post.send("one", "a")
    post.inbox.receive(first, _accepts(), NOW)
    post.refused(first, "taken already")
    post.refused(post.send("other", "b"), "another packet of that number")
    post.refused(
        post.send("next", "c", sequence=2, previous=_digest_of(post.folder / "other")), "follows another packet"
    )


def test_parts_that_never_came_are_refused(post: Post) -> None:
    """A site that believes that a lost packet was taken."""
    first = post.send("one", "a")
    post.inbox.receive(first, _accepts(), NOW)
    bundle = _bundle(post.folder / "lost", "a", "z")
    second = post.send(
        "two", "a", "z", sequence=2, previous=_digest_of(first), known=tuple(_packet(bundle).parts.values())
    )
    post.refused(second, "neither in it nor in the packets before")


def test_a_missing_packet_in_the_inbox_is_seen(post: Post) -> None:
    """Somebody tidied up."""
    first = post.send("one", "a")
    post.inbox.receive(first, _accepts(), NOW)
    second = post.send("two", "b", sequence=2, previous=_digest_of(first))
    post.inbox.receive(second, _accepts(), NOW)
    shutil.rmtree(post.inbox.folder / "RR8" / "000001")
    third = post.send("three", "c", sequence=3, previous=_digest_of(second))
    post.refused(third, "a packet is missing")


@pytest.mark.parametrize(
    "path", ["../x", "/x", "a b", "a//b", "a/./b", "a/..", "C:\\x", "a\0b", "", "a" * 401, "a/b/c/d/e/f/g/h/i"]
)
def test_a_path_that_leads_out_is_refused(post: Post, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a packet that is signed by a registered site as well."""
    with monkeypatch.context() as lax:
        lax.setattr("linkage.federate.packet.safe", lambda each: each)
        lax.setattr("linkage.federate.packet.digest", lambda each: "0" * 64)
        lax.setattr("linkage.federate.packet.pyrage.encrypt_file", lambda *_: None)
        lax.setattr("linkage.federate.packet.sync", lambda _: None)
        bundle = _bundle(post.folder / "b", "a")
        [table] = bundle.tables
        part = table.parts[0].model_copy(update={"path": path, "digest": "0" * 64})
        bundle = bundle.model_copy(update={"tables": (table.model_copy(update={"parts": (part,)}),)})
        pack(post.folder / "b", _packet(bundle), post.folder / "one", RR8, TO_HOLDER, known=("0" * 64,))
    post.refused(post.folder / "one", "leads out of its folder")


def test_what_cannot_be_packed_leaves_nothing(post: Post) -> None:
    """No recipient, a wrong one, a changed part, a taken name."""
    folder = post.folder / "bundle"
    packet = _packet(_bundle(folder, "a"))
    for recipients in ([], ["age1nonsense"], [*TO_HOLDER, "x"]):
        with pytest.raises(ConfigurationError):
            pack(folder, packet, post.folder / "one", RR8, recipients)
    next(folder.rglob("*.parquet")).write_bytes(b"changed")
    with pytest.raises(IntegrityError):
        pack(folder, packet, post.folder / "one", RR8, TO_HOLDER)
    with pytest.raises(ConfigurationError, match="exists"):
        pack(folder, packet, folder, RR8, TO_HOLDER)
    assert [path.name for path in post.folder.iterdir()] == ["bundle"]


@pytest.mark.parametrize(
    ("name", "kind", "role"),
    [
        ("surname", "VARCHAR", "category"),  # no contract lets it leave
        ("token", "VARCHAR", "person"),  # a number in place of a token
        ("sex", "VARCHAR", "code"),  # among codes, a few look-alikes of numbers are taken for chance
        ("sex", "UUID", "record"),  # a token that would not be translated as one
        ("spell_id", "UUID", "person"),
        ("token", "UUID", "record"),
    ],
)
def test_a_column_that_no_contract_lets_leave_is_refused(post: Post, name: str, kind: Any, role: str) -> None:
    """Whatever the site calls it."""
    [table] = _bundle(post.folder / "one-bundle", "a").tables
    fields = (Field(name="token", type="UUID", role="person"), Field(name=name, type=kind, role=role))
    came = post.send("one", "a", tables=(table.model_copy(update={"fields": fields}),))
    post.refused(came, "does not let leave so")


def test_a_file_of_the_future_is_refused(post: Post) -> None:
    """It would replace what others deliver."""
    [table] = _bundle(post.folder / "one-bundle", "a").tables
    part = table.parts[0].model_copy(update={"delivered": NOW + timedelta(days=400)})
    came = post.send("one", "a", tables=(table.model_copy(update={"parts": (part,)}),))
    post.refused(came, "delivered after it was made")


def test_a_name_that_leads_out_of_the_inbox_is_none() -> None:
    """It names a folder."""
    with pytest.raises(ConfigurationError):
        Site(Verifier("../RR8", RR8.verifier.public), "site:rr8", "00112233aabbccdd", {}, {})


def test_a_moment_without_a_time_zone_is_refused(post: Post) -> None:
    """It cannot be compared with the clock, and must not stop the packets of others."""
    naive = NOW.replace(tzinfo=None)
    for place, changes in enumerate(({"made": naive}, {"good_until": naive})):
        post.refused(post.send(f"{place}", "a", **changes), "no time zone")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda parts: (parts[0], parts[1].model_copy(update={"path": parts[0].path})),
            "names a part or a table twice",
        ),
        (lambda parts: (parts[0].model_copy(update={"kept": 2, "removed": {"x": -1}}),), "fewer rows than none"),
        (
            lambda parts: (parts[0].model_copy(update={"read": 2, "removed": {"J Bloggs": 1}}),),
            "a reason that is unknown",
        ),
        (lambda parts: (parts[0].model_copy(update={"delivered": NOW.replace(tzinfo=None)}),), "no time zone"),
    ],
)
def test_an_account_that_no_site_writes_is_refused(
    post: Post, change: Callable[[tuple[Part, ...]], tuple[Part, ...]], message: str
) -> None:
    """One path for two parts, more rows than there were, a delivery at no known moment."""
    bundle = post.folder / "lie-bundle"
    [table] = _bundle(bundle, "a", "b").tables
    lie = BundleManifest(
        domain="site:rr8", key_id="00112233aabbccdd", tables=(table.model_copy(update={"parts": change(table.parts)}),)
    )
    envelope = sign(PAYLOAD_TYPE, canonical(_packet(lie)), [RR8])
    (post.folder / "lie").mkdir()
    (post.folder / "lie" / "packet.json").write_text(envelope.model_dump_json())
    post.refused(post.folder / "lie", message)
