"""A hub and some small sites, each in a folder of its own, driven by the commands."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
from small import HEADER, NUMBERS, SmallIcs, make_small_ics, row
from typer.testing import CliRunner

from linkage import cli
from linkage.errors import LinkageError
from linkage.pseudonymise import Keyset
from linkage.sites.translated import Translated, load
from linkage.store.manifest import RunManifest
from restored import Restored

PURPOSE = """
[purpose]
name = "test"
legal_basis = "made-up data"
controllers = ["nobody"]
[keys]
keyset = "age://keys.age"
domain = "ics:test"
[store]
path = "store"
[hub]
"""


@dataclass(frozen=True)
class Said:
    """What a command said, and its exit code."""

    code: int
    text: str


def command(*words: object) -> Said:
    """Run a command of `linkage` in this process, its refusals as it would print them."""
    done = CliRunner().invoke(cli.app, [str(word) for word in words])
    if isinstance(done.exception, LinkageError):
        said = f"{done.output}error: {done.exception.message}\nhint: {done.exception.hint}"
        return Said(done.exception.exit_code, said)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return Said(done.exit_code, done.output)


@dataclass
class Federation:
    """A hub, the register that its configuration has, and its sites."""

    folder: Path
    register: dict[str, dict[str, Any]] = field(default_factory=dict)
    sites: dict[str, SmallIcs] = field(default_factory=dict)

    @classmethod
    def make(cls, folder: Path, *names: str) -> Federation:
        """A hub with sites of these names; each has ten appointments, four of one person who may be used."""
        made = cls(folder)
        made.hub.mkdir()
        Keyset.create(made.hub / "keys.age")
        for place, name in enumerate(names):
            made.add(name, place * 100)
        return made

    @property
    def hub(self) -> Path:
        """The hub's folder."""
        return self.folder / "hub"

    @property
    def configuration(self) -> Path:
        """The hub's."""
        return self.hub / "linkage.toml"

    @property
    def keyset(self) -> Keyset:
        """The key holder's."""
        return Keyset.open("age://keys.age", base=self.hub)

    def add(self, name: str, first: int) -> None:
        """A site more, in the register as well; its records are numbered from `first` on."""
        folder = self.folder / name
        folder.mkdir()
        site = self.sites[name] = make_small_ics(folder)
        (folder / "keys.age").unlink()
        domain = f"site:{name.lower()}"
        self.keyset.create_for_site(folder / "site.age", name, domain)
        own = Keyset.open("age://site.age", base=folder)
        if not self.register:
            (self.hub / "linkage.toml").write_text(PURPOSE + '[[hub.sites]]\nname = "x"\ndomain = "x"\nsigns = "x"\n'
                                                   'key_id = "0000000000000000"\nfeeds = "sus_op"\n')  # fmt: skip
        self.register[name] = {
            "domain": domain, "signs": own.signer().verifier.text, "key_id": own.key_id, "feeds": ["sus_op"],
        }  # fmt: skip
        site.replace('"age://keys.age"\ndomain = "ics:test"', f'"age://site.age"\ndomain = "{domain}"')
        [recipient] = command("hub", "recipient", self.configuration).text.split()
        site.replace('[store]\npath = "store"', f'[site]\nname = "{name}"\nrecipients = "{recipient}"\noutbox = "out"')
        self.deliver(name, [row(first + place, number) for place, number in enumerate(NUMBERS, start=1)])
        site.answered()
        self.registered()

    def registered(self, **changes: dict[str, Any]) -> None:
        """Write the hub's configuration, with changes to sites of the register."""
        for name, change in changes.items():
            self.register[name] |= change
        text = PURPOSE
        for name, said in self.register.items():
            text += f'[[hub.sites]]\nname = "{name}"\n'
            text += "".join(f"{key} = {_toml(value)}\n" for key, value in said.items())
        self.configuration.write_text(text)

    def deliver(self, name: str, rows: list[str], file: str = "appointment_20261120.csv") -> None:
        """Put an extract of appointments into a site's folder."""
        (self.sites[name].folder / "extracts" / file).write_text("\n".join([HEADER, *rows]) + "\n")

    def send(self, name: str, *words: str) -> Path:
        """Run a site; the packet that it made."""
        done = command("site", "run", self.sites[name].configuration, *words)
        assert done.code == 0, done.text
        return max((self.sites[name].folder / "out").iterdir(), key=lambda path: path.stat().st_mtime_ns)

    def receive(self, *packets: Path) -> Said:
        """Receive packets."""
        return command("hub", "receive", self.configuration, *packets)

    def translate(self, *words: str) -> Said:
        """The key holder's step."""
        return command("hub", "translate", self.configuration, *words)

    def link(self, *words: str) -> Said:
        """Link and publish."""
        return command("hub", "link", self.configuration, *words)

    def whole_line(self, *names: str) -> Said:
        """From some sites' runs to a snapshot."""
        for step in (self.receive(*(self.send(name) for name in names)), self.translate(), done := self.link()):
            assert step.code == 0, step.text
        return done

    def translated(self, name: str) -> Translated:
        """What is translated of a site."""
        found = load(self.hub / "private" / "translated", name)
        assert found is not None
        return found

    def account(self) -> RunManifest:
        """The exact account of the current snapshot."""
        current = (self.hub / "store" / "current").read_text().strip()
        return RunManifest.model_validate_json((self.hub / "private" / "runs" / f"{current}.json").read_bytes())

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Ask the current snapshot."""
        current = (self.hub / "store" / "current").read_text().strip()
        database = self.hub / "store" / "snapshots" / current / "linked.duckdb"
        with duckdb.connect(str(database), read_only=True) as connection:
            return connection.execute(sql).fetchall()

    def state(self) -> dict[str, bytes]:
        """Every file of the hub, but the log, and what says who worked there last."""
        files = (path for path in self.hub.rglob("*") if path.is_file() and "lock" not in path.name)
        found = {path.relative_to(self.hub).as_posix(): path.read_bytes() for path in files}
        return {path: content for path, content in found.items() if not path.startswith("audit/")}


@dataclass(frozen=True)
class Linked:
    """A federation whose sites' rows are published, made once; each test has it as it was then."""

    federation: Federation
    restored: Restored

    @classmethod
    def make(cls, folder: Path, *names: str) -> Linked:
        """Of sites of these names."""
        folder.mkdir()
        made = Federation.make(folder, *names)
        made.whole_line(*names)
        return cls(copy.deepcopy(made), Restored.of(folder))

    def again(self) -> Federation:
        """As it was."""
        self.restored.again()
        return copy.deepcopy(self.federation)


def ago(days: float) -> datetime:
    """Some days before now, UTC."""
    return datetime.now(UTC) - timedelta(days=days)


def _toml(value: Any) -> str:
    return value.isoformat() if hasattr(value, "isoformat") else json.dumps(value)
