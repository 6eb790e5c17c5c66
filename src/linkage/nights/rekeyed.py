"""A change of a store's key that is under way or not yet confirmed: `<private>/rekey.json`.

publishing   written before the new snapshot is published; the keyset chooses the new version after that
published    both are done; the snapshots of the old key stay until `linkage keys rekey --confirm`
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from linkage.disk import replace, sync
from linkage.errors import IntegrityError, KeyUnavailableError

__all__ = ["Rekeyed", "check_finished", "forget", "read", "spared", "write"]


class Rekeyed(BaseModel):
    """One change of key.

    Attributes:
        state: How far it is.
        before: The run whose snapshot was rewritten.
        run: The new one.
        old, new: Key ids.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    state: Literal["publishing", "published"]
    before: str
    run: str
    old: str
    new: str


def read(private: Path) -> Rekeyed | None:
    """What is under way; None where nothing is.

    Raises:
        IntegrityError: The file is damaged.
    """
    path = private / "rekey.json"
    try:
        return Rekeyed.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError:
        raise IntegrityError(f"{path}: damaged", hint="restore it, or rekey again after removing it") from None


def write(private: Path, said: Rekeyed) -> None:
    """Say how far it is, on the disk on return."""
    replace(private / "rekey.json", said.model_dump_json(indent=1).encode())


def forget(private: Path) -> None:
    """It is confirmed, or never came to be."""
    (private / "rekey.json").unlink(missing_ok=True)
    sync(private)


def check_finished(private: Path, current: str | None) -> None:
    """Refuse to work on a store whose new snapshot is published and whose keyset has not followed.

    Raises:
        KeyUnavailableError: The change of key was cut off there.
    """
    said = read(private)
    if said is None or said.state == "published":
        return
    if current == said.run:
        raise KeyUnavailableError(
            f"a change to key {said.new} was cut off after its snapshot was published",
            hint="run `linkage keys rekey` again: it ends it",
        )
    forget(private)


def spared(private: Path) -> frozenset[str]:
    """The snapshot that is kept until the change of key is confirmed."""
    said = read(private)
    return frozenset((said.before,)) if said is not None else frozenset()
