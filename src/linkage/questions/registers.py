"""Who is known: a node's file, with those who may ask it and those who approve, and an asker's list of nodes.

Public keys are pinned in these files, after somebody has checked them with their owners; nothing that arrives changes them.
"""

from __future__ import annotations

import csv
import re
import tomllib
from datetime import date
from pathlib import Path
from typing import Annotated, Self, TypeVar

from pydantic import Field, ValidationError, model_validator

from linkage.errors import ConfigurationError, LinkageError
from linkage.questions.parts import Strict
from linkage.questions.question import Name, Template, Text
from linkage.signed import Verifier

__all__ = ["Known", "Node", "NodePurpose", "Nodes", "load_node", "load_nodes"]

_PRACTICE = re.compile(r"[A-Z0-9]{3,10}")
_HINT = "see docs/how-to/ask-several-icss.md for every key"


class Known(Strict):
    """Somebody whose signature counts.

    Attributes:
        name: Who.
        key: Their public signing key, `ed25519:` and base64.
    """

    name: Name
    key: str

    @model_validator(mode="after")
    def _is_a_key(self) -> Self:
        try:
            Verifier.parse(self.name, self.key)
        except LinkageError as error:
            raise ValueError(error.message) from None
        return self

    @property
    def verifier(self) -> Verifier:
        """To check signatures with."""
        return Verifier.parse(self.name, self.key)


class NodePurpose(Strict):
    """What a node answers questions for.

    Attributes:
        name: As questions name it.
        askers: Who may ask for it.
        templates: What may be asked.
        policy: The least strict disclosure policy.
        budget: How many questions are answered in all.
        ends: The last day.
    """

    name: Text
    askers: tuple[Name, ...] = Field(min_length=1)
    templates: tuple[Template, ...] = Field(min_length=1)
    policy: str
    budget: int = Field(ge=1)
    ends: date


class Node(Strict):
    """An ICS that answers questions.

    Attributes:
        name: As questions name it.
        store: Its store; questions are answered from the current snapshot.
        private: An owner-only folder for the ledger, the answers given and the refusals.
        log: The folder of the log of what was done; `audit` beside the private folder when not given.
        key: The reference of the signing key for answers, for example `age://keys/qxx.age`.
        identity: The age identity that opens it; else LINKAGE_IDENTITY, else the file beside it.
        practices: ODS codes of its practices: a list, or a CSV file with a column `ods_code`.
        seconds: A query that takes longer is stopped.
        max_age_days: A snapshot that was made longer ago is not asked: people may have said no since.
        askers: Those whose questions are read.
        approvers: Those of whom one approves each answer.
        purposes: What is answered, for whom.
        base: The folder that paths start from.
    """

    name: Name
    store: Path
    private: Path
    log: Path | None = None
    key: str
    identity: Path | None = None
    practices: Path | tuple[str, ...]
    seconds: int = Field(default=60, ge=1, le=3600)
    max_age_days: int = Field(default=35, ge=1)
    askers: tuple[Known, ...] = Field(min_length=1)
    approvers: tuple[Known, ...] = Field(min_length=1)
    purposes: tuple[NodePurpose, ...] = Field(min_length=1)
    base: Path = Field(default=Path(), exclude=True)

    @model_validator(mode="after")
    def _holds_together(self) -> Self:
        for names in ([each.name for each in self.askers], [each.name for each in self.purposes]):
            if len(set(names)) != len(names):
                raise ValueError("a name stands twice among the askers or the purposes")
        asking = {each.verifier.public for each in self.askers} | {each.name for each in self.askers}
        if any(each.verifier.public in asking or each.name in asking for each in self.approvers):
            raise ValueError("nobody approves who asks: an approver has the name or the key of an asker")
        known = {each.name for each in self.askers}
        if any(name not in known for purpose in self.purposes for name in purpose.askers):
            raise ValueError("a purpose names an asker who is not among the askers")
        return self

    def at(self, path: Path) -> Path:
        """A path of the file, from the folder that the file stands in."""
        return self.base / path

    def ods_codes(self) -> tuple[str, ...]:
        """Its practices, sorted.

        Raises:
            ConfigurationError: The list cannot be read, is empty, or has a line that is no code.
        """
        where = "practices" if isinstance(self.practices, tuple) else str(self.practices)
        codes = self.practices if isinstance(self.practices, tuple) else _codes(self.at(self.practices))
        found = sorted({each.strip().upper() for each in codes})
        if not found or not all(_PRACTICE.fullmatch(each) for each in found):
            raise ConfigurationError(f"{where}: not a list of practices' ODS codes", hint=_HINT)
        return tuple(found)


class Nodes(Strict):
    """Whose answers count.

    Attributes:
        nodes: Their names and keys.
    """

    nodes: Annotated[tuple[Known, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _differ(self) -> Self:
        if len({each.name for each in self.nodes}) != len(self.nodes):
            raise ValueError("two nodes have the same name")
        return self


_Model = TypeVar("_Model", bound=Strict)


def load_node(path: Path) -> Node:
    """Read a node's file.

    Raises:
        ConfigurationError: It cannot be read, or has a key that is unknown or wrong; says which.
    """
    return _load(path, Node).model_copy(update={"base": path.resolve().parent})


def load_nodes(path: Path) -> tuple[Verifier, ...]:
    """Read an asker's list of nodes.

    Raises:
        ConfigurationError: As `load_node`.
    """
    return tuple(each.verifier for each in _load(path, Nodes).nodes)


def _load(path: Path, model: type[_Model]) -> _Model:
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise ConfigurationError(f"{path}: not a TOML file that can be read", hint=_HINT) from None
    try:
        return model.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        key = ".".join(str(part) for part in first["loc"]) or "the file"
        raise ConfigurationError(f"{path}: {key}: {first['msg'].removeprefix('Value error, ')}", hint=_HINT) from None


def _codes(path: Path) -> list[str]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return [row["ods_code"] or "" for row in csv.DictReader(file)]
    except (OSError, UnicodeDecodeError, KeyError, csv.Error):
        raise ConfigurationError(f"{path}: not a CSV file with a column ods_code", hint=_HINT) from None
