"""The packets that a site made, and the outbox that they leave by: whatever stops the site, none is made twice or lost.

<outbox>/.RR8-000007.ready   made, and not yet counted as sent: nobody but the site looks at it
<outbox>/RR8-000007          for whatever carries it
<private>/packets/<run id>.json   the chain as the run left it; the store's current run says which one counts

A packet is made aside, the run is named the current one, and only then the packet gets its name. A crash before the naming
leaves a packet that nobody saw, which is cleared away; after it, the next run gives the packet its name.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from linkage.disk import sync
from linkage.errors import ConfigurationError, IntegrityError

__all__ = ["Chain", "Outbox", "load", "save"]

READY = ".ready"


class Chain(BaseModel):
    """What a site has sent.

    Attributes:
        packets: The digest of each packet that counts, in their order.
        parts: The digests of the parts of the last one: the key holder has them.
        name: The folder of the last one in the outbox; None before the first.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["linkage-chain/1"] = "linkage-chain/1"
    packets: tuple[str, ...] = ()
    parts: frozenset[str] = frozenset()
    name: str | None = None

    def before(self, number: int | None, previous: str | None) -> tuple[int, str | None]:
        """The number of the packet that is to be made, and the digest of the one before it.

        Args:
            number: The number that the hub waits for, where it is another than the next.
            previous: The digest that the hub has of the packet before, where this site does not know it.

        Raises:
            ConfigurationError: It is not known what comes before that number.
        """
        number = number or len(self.packets) + 1
        if previous is None and number > 1:
            if number > len(self.packets) + 1:
                raise ConfigurationError(
                    f"packet {number - 1} is not known here, so no packet {number} can follow it",
                    hint="`linkage hub sites` there says the digest of its last packet: give it with --previous",
                )
            previous = self.packets[number - 2]
        return number, previous

    def followed(self, number: int, previous: str | None, own: str, parts: frozenset[str], name: str) -> Chain:
        """The chain with one packet more; packets of its number and after it count no longer."""
        # What this site does not know of the packets before is never asked for again.
        packets = [*self.packets[: number - 1], *[""] * (number - 1 - len(self.packets))]
        if previous is not None and packets:
            packets[-1] = previous
        return Chain(packets=(*packets, own), parts=parts, name=name)


def load(private: Path, run: str | None) -> Chain:
    """The chain as a run left it; an empty one before the first.

    Raises:
        IntegrityError: It is missing or damaged.
    """
    if run is None:
        return Chain()
    try:
        return Chain.model_validate_json((private / "packets" / f"{run}.json").read_bytes())
    except (OSError, ValueError):
        raise IntegrityError(
            f"{run}.json: what this site has sent is missing or damaged",
            hint="restore the private folder from its backup; without it packets of one number would differ",
        ) from None


def save(chain: Chain, private: Path, run: str) -> None:
    """Write the chain of a run that is not the current one yet."""
    place = private / "packets" / f"{run}.json"
    place.parent.mkdir(exist_ok=True, mode=0o700)
    place.touch(mode=0o600)
    place.write_text(chain.model_dump_json(indent=1), encoding="utf-8")
    sync(place)
    sync(place.parent)


@dataclass(frozen=True, slots=True)
class Outbox:
    """The folder that packets leave by.

    Attributes:
        folder: The folder.
        site: Whose it is; other sites may use the same one.
    """

    folder: Path
    site: str

    def name(self, number: int) -> str:
        """How a packet is called."""
        return f"{self.site}-{number:06d}"

    def aside(self, name: str) -> Path:
        """Where a packet is made."""
        return self.folder / f".{name}{READY}"

    def prepare(self, chain: Chain) -> None:
        """Finish what a crash left: name the packet that counts, clear away one that does not."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if chain.name is not None and self.aside(chain.name).is_dir():
            self.put(chain.name)
        # What a packet was being made in has one dot more; other sites' are left alone, whatever their names begin with.
        mine = re.compile(rf"\.{{1,2}}{re.escape(self.site)}-[0-9]+{re.escape(READY)}(\.part)?")
        for left in self.folder.iterdir():
            if mine.fullmatch(left.name):
                shutil.rmtree(left, ignore_errors=True)

    def put(self, name: str) -> Path:
        """Give a packet its name, in place of one that it was made again for."""
        place = self.folder / name
        if place.exists():
            shutil.rmtree(place)
        self.aside(name).rename(place)
        sync(self.folder)
        return place
