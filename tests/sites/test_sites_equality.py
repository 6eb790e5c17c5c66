"""Two sites through packets give the rows that one machine gives over both sites' extracts."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
from federation import command

from linkage import pipeline, synthetic
from linkage.pseudonymise import Keyset
from linkage.synthetic.world import LATER_AGE, MAIN_AGE

PEOPLE = 900
SPLIT, OWN = ("sus_apc", "sus_op", "ecds"), {"RR8": ("deaths",), "RXX": ("csds", "mhsds", "cld")}
FEEDS = (*SPLIT, *OWN["RR8"], *OWN["RXX"])
MERGERS = """
name = "mergers"
setting = "registry"
delivered = '_(\\d{8})\\.csv$'
[tables.merged]
files = "PDS_Person_Merger_*.csv"
kind = "superseded"
superseded = { superseded = "old", current = "new" }
[tables.merged.columns]
old = { source = "Superseded NHS Number", role = "person" }
new = { source = "NHS Number", role = "person", other = true }
"""
PURPOSE = """
allow_test_numbers = true
[purpose]
name = "test"
legal_basis = "made-up data"
controllers = ["nobody"]
[keys]
keyset = "age://{keyset}"
domain = "{domain}"
{where}
"""
RULES = """
[optouts.national]
requests = "optouts/national/requests/*.dat"
answers = "optouts/national/answers/*.dat"
max_not_asked = 0.5
[optouts.type1]
applies_to = "primary_care"
[[flows]]
feed = "mergers.toml"
path = "extracts/pds"
"""


class World:
    """One machine with everything, and two sites with a part each under a hub with the same keyset."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.one, self.hub = folder, folder / "one", folder / "hub"
        self.register: dict[str, str] = {}
        self.key_id = "0" * 16
        self.removed: dict[str, int] = {}
        self.today = synthetic.make(folder / "all", people=PEOPLE, seed=11).as_of
        self.hub.mkdir()
        Keyset.create(self.hub / "ics.age")
        keyset = Keyset.open("age://ics.age", base=self.hub)
        self._machine(self.one, FEEDS, "ics.age", "ics:test", '[store]\npath = "store"')
        for name in ("ics.age", "ics.identity"):
            shutil.copy2(self.hub / name, self.one / name)
        self.write_hub(dict.fromkeys(OWN, ""))
        recipient = "age1" + "x" * 58
        for name, own in OWN.items():
            keyset_file = f"{name}.age"
            keyset.create_for_site(self._made(folder / name) / keyset_file, name, f"site:{name.lower()}")
            signer = Keyset.open(f"age://{keyset_file}", base=folder / name).signer().verifier.text
            self.register[name] = signer
            where = f'[site]\nname = "{name}"\nrecipients = "{recipient}"\noutbox = "out"'
            self._machine(folder / name, (*SPLIT, *own), keyset_file, f"site:{name.lower()}", where)
        self.key_id = keyset.key_id
        self.write_hub(self.register)
        [real] = command("hub", "recipient", self.hub / "linkage.toml").text.split()
        for name in OWN:
            path = folder / name / "linkage.toml"
            path.write_text(path.read_text().replace(recipient, real))

    def write_hub(self, signers: dict[str, str]) -> None:
        """The hub's configuration."""
        text = PURPOSE.format(keyset="ics.age", domain="ics:test", where='[store]\npath = "store"\n[hub]')
        text = text.replace("allow_test_numbers = true\n", "")
        for name, signs in signers.items():
            feeds = [*SPLIT, *OWN[name]]
            text += f'[[hub.sites]]\nname = "{name}"\ndomain = "site:{name.lower()}"\nsigns = "{signs}"\n'
            text += f'key_id = "{self.key_id}"\nfeeds = {feeds}\n'.replace("'", '"')
        (self.hub / "linkage.toml").write_text(text)

    def _made(self, folder: Path) -> Path:
        folder.mkdir(exist_ok=True)
        return folder

    def _machine(self, folder: Path, feeds: tuple[str, ...], keyset: str, domain: str, where: str) -> None:
        self._made(folder)
        shutil.copytree(self.folder / "all" / "optouts", folder / "optouts", copy_function=shutil.copy2)
        shutil.copytree(self.folder / "all" / "extracts" / "pds", folder / "extracts" / "pds")
        (folder / "mergers.toml").write_text(MERGERS)
        flows = "".join(f'[[flows]]\nfeed = "{feed}"\npath = "extracts/{feed}"\n' for feed in feeds)
        (folder / "linkage.toml").write_text(PURPOSE.format(keyset=keyset, domain=domain, where=where) + RULES + flows)

    def deliver(self, days_ago: int) -> None:
        """The extracts of one day, to whom they belong; rows of hospitals by their record's number."""
        stamp = f"{self.today - timedelta(days=days_ago):%Y%m%d}"
        for feed in FEEDS:
            for path in sorted((self.folder / "all" / "extracts" / feed).glob(f"*_{stamp}.csv")):
                self._copy(path, self.one, feed)
                if feed in SPLIT:
                    rows = pl.read_csv(path, infer_schema=False)
                    odd = pl.col("PRIMARYKEY_ID").cast(pl.Int64) % 2 == 1
                    for name, half in (("RR8", rows.filter(odd)), ("RXX", rows.filter(~odd))):
                        self._made(self.folder / name / "extracts" / feed)
                        half.write_csv(self.folder / name / "extracts" / feed / path.name)
                else:
                    owner = next(name for name, own in OWN.items() if feed in own)
                    self._copy(path, self.folder / owner, feed)

    def _copy(self, path: Path, folder: Path, feed: str) -> None:
        (folder / "extracts" / feed).mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, folder / "extracts" / feed / path.name)

    def night(self) -> None:
        """Everything on both ways."""
        self.removed = pipeline.run(self.one / "linkage.toml").removed
        packets = []
        for name in OWN:
            done = command("site", "run", self.folder / name / "linkage.toml")
            assert done.code == 0, done.text
            packets.append(max((self.folder / name / "out").iterdir()))
        for words in (["receive"], ["translate"], ["link"]):
            done = command("hub", *words, self.hub / "linkage.toml", *(packets if words == ["receive"] else []))
            assert done.code == 0, done.text


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Made once."""
    return World(tmp_path_factory.mktemp("equality"))


@dataclass(frozen=True)
class Rows:
    """A published table; tokens as text, and the names of the columns that hold tokens of records."""

    frame: pl.DataFrame
    records: list[str]


def _tables(folder: Path) -> dict[str, Rows]:
    current = (folder / "store" / "current").read_text().strip()
    path = folder / "store" / "snapshots" / current / "linked.duckdb"
    found = {}
    with duckdb.connect(str(path), read_only=True) as connection:
        for (name,) in connection.execute(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'main'"
        ).fetchall():
            types = {column: kind for column, kind, *_ in connection.execute(f'DESCRIBE "{name}"').fetchall()}
            tokens = [column for column, kind in types.items() if kind == "UUID"]
            listed = ", ".join(
                f'CAST("{column}" AS VARCHAR) AS "{column}"' if column in tokens else f'"{column}"' for column in types
            )
            frame = pl.DataFrame(connection.sql(f'SELECT {listed} FROM "{name}"').to_arrow_table())
            frame = frame.with_columns(pl.col(pl.List(pl.String)).list.join(","))
            found[name] = Rows(frame, [each for each in tokens if each != "token" and not each.endswith("_token")])
    return found


def _pairs(one: pl.DataFrame, other: pl.DataFrame, records: list[str]) -> Iterator[tuple[Any, Any]]:
    """Tokens of records that stand in rows which are told apart by all the rest."""
    rest = [name for name in one.columns if name not in records]
    mine, theirs = (Counter(frame.select(rest).rows()) for frame in (one, other))
    assert not mine - theirs, records
    assert not theirs - mine, records
    alone = {row for row, times in mine.items() if times == 1}
    found = [
        {row[len(records):]: row[:len(records)] for row in frame.select(*records, *rest).rows() if row[len(records):] in alone}
        for frame in (one, other)
    ]  # fmt: skip
    for row, tokens in found[0].items():
        yield from zip(tokens, found[1][row], strict=True)


def _same(world: World) -> None:
    one, other = _tables(world.one), _tables(world.hub)
    assert one.keys() == other.keys()
    assert one["person"].frame.height > 300
    there: dict[Any, Any] = {}
    back: dict[Any, Any] = {}
    for name in sorted(one.keys() - {"load", "removed", "dictionary"}):
        assert one[name].frame.schema == other[name].frame.schema, name
        for mine, theirs in _pairs(one[name].frame, other[name].frame, one[name].records):
            assert there.setdefault(mine, theirs) == theirs, name
            assert back.setdefault(theirs, mine) == mine, name
    assert sum(each is not None for each in there) > 500


def test_the_rows_are_the_same(world: World) -> None:
    """With corrections, deletions, re-submissions, merged numbers and opt-outs; tokens of persons are the same as well.

    Tokens of records stand for one another, one for one, in all tables.
    """
    world.deliver(MAIN_AGE)
    world.night()
    _same(world)
    world.deliver(LATER_AGE)
    world.night()
    _same(world)
    assert {"deleted", "superseded", "duplicate", "national_opt_out"} <= world.removed.keys()
