"""A contract in a few lines: what a local contract adds to, changes in or removes from the one that it extends.

    extends = "sus_apc"
    [tables.spell.columns]
    hrg = { source = { add = ["HRG 4+"] } }     # another name that it is delivered under
    ward = { source = "Ward", role = "code" }   # a column more
    postcode = false                            # a column less

This module works on the content of TOML files; `contract` holds the result against the rules of a contract.
"""

from __future__ import annotations

import difflib
import hashlib
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from linkage import numbered
from linkage.errors import ConfigurationError

CHANGES = {"add", "remove"}
PAGE = "see docs/reference/contracts.md"


@dataclass(frozen=True, slots=True)
class Text:
    """A contract's text, what to call it in an error, and where the paths that it names start from."""

    content: str
    where: str
    base: Path | None


@dataclass(frozen=True, slots=True)
class Whole:
    """A contract with everything that it extends: its content, and a digest that covers all of it."""

    content: dict[str, Any]
    digest: str


Find = Callable[[str, Path | None], Text]


def resolve(text: Text, find: Find, check: Callable[[dict[str, Any], str], object]) -> Whole:
    """Read a contract and those that it extends.

    Args:
        text: The contract.
        find: Gives the text of the contract with a name.
        check: Refuses the content of an extended contract that is not one, by its own name.

    Raises:
        ConfigurationError: A text is not TOML, extends itself, or changes what is not there; names the right file.
    """
    return _resolve(text, find, check, (text.where,))


def _resolve(text: Text, find: Find, check: Callable[[dict[str, Any], str], object], chain: tuple[str, ...]) -> Whole:
    try:
        content = numbered.written_out(tomllib.loads(text.content))
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{text.where}: not a TOML file: {error}", hint="correct the line it names") from None
    except ValueError as error:
        raise ConfigurationError(f"{text.where}: {error}", hint=PAGE) from None
    digest = hashlib.sha256(text.content.encode())
    name = content.get("extends")
    if name is None:
        return Whole(content, digest.hexdigest())
    if not isinstance(name, str):
        raise ConfigurationError(f"{text.where}: extends: the name of one contract", hint=PAGE)
    parent = find(name, text.base)
    if parent.where in chain:
        raise ConfigurationError(f"{text.where}: extends itself", hint="extend a shipped contract or another file")
    whole = _resolve(parent, find, check, (*chain, parent.where))
    check(whole.content, parent.where)
    digest.update(whole.digest.encode())
    merged = _merged(whole.content, content, Place(text.where, parent.where))
    return Whole(merged, digest.hexdigest())


@dataclass(frozen=True, slots=True)
class Place:
    """Where in which contract a change stands, for errors."""

    where: str
    parent: str
    keys: tuple[str, ...] = ()

    def within(self, key: str) -> Place:
        """The same, a key deeper."""
        return Place(self.where, self.parent, (*self.keys, key))

    @property
    def is_table(self) -> bool:
        """Whether the key is a table's name."""
        return self.keys[:-1] == ("tables",)

    @property
    def is_column(self) -> bool:
        """Whether the key is a column's name."""
        return len(self.keys) == len(("tables", "table", "columns", "column")) and self.keys[2] == "columns"

    def error(self, message: str, hint: str = PAGE) -> ConfigurationError:
        """What is wrong here."""
        return ConfigurationError(f"{self.where}: {'.'.join(self.keys)}: {message}", hint=hint)


def _merged(old: Mapping[str, Any], new: Mapping[str, Any], place: Place) -> dict[str, Any]:
    """Tables are merged key by key; lists are changed or replaced; `false` removes; anything else replaces."""
    merged = dict(old)
    for key, value in new.items():
        here = place.within(key)
        if value is False and _removable(key, old, here):
            del merged[key]
        elif not isinstance(value, Mapping):
            merged[key] = value
        elif key in old and isinstance(old[key], Mapping):
            merged[key] = _merged(old[key], value, here)
        elif value and set(value) <= CHANGES:
            merged[key] = _changed(old.get(key, []), value, here)
        else:
            _check_new(value, old, here)
            merged[key] = _merged({}, value, here)
    return merged


def _check_new(value: Mapping[str, Any], old: Mapping[str, Any], place: Place) -> None:
    """A misspelt name would be a new table or column: such a one lacks what every table or column has."""
    for kind, needs, named in (("table", "columns", place.is_table), ("column", "role", place.is_column)):
        if named and needs not in value:
            raise place.error(
                f"{place.parent} has no such {kind}, and a new one needs {needs}", _nearest(place.keys[-1], old)
            )


def _removable(key: str, old: Mapping[str, Any], place: Place) -> bool:
    """Whether `false` means to remove: columns, tables, parts and texts are removed, a switch is set."""
    if key in old:
        return isinstance(old[key], Mapping | str)
    # A table's or a column's own name is no setting, so it cannot be meant as a switch.
    if place.is_table or place.is_column:
        raise place.error(f"{place.parent} has none to remove", _nearest(key, old))
    return False


def _changed(old: object, change: Mapping[str, Any], place: Place) -> list[Any]:
    """A list with some values less and some more."""
    values = list(old) if isinstance(old, list) else [old]
    wanted = {kind: change.get(kind, []) for kind in CHANGES}
    wanted = {kind: value if isinstance(value, list) else [value] for kind, value in wanted.items()}
    for value in wanted["remove"]:
        if value not in values:
            raise place.error(f"{place.parent} has no {value!r} to remove", _nearest(str(value), map(str, values)))
        values.remove(value)
    return values + [value for value in wanted["add"] if value not in values]


def _nearest(word: str, known: Any) -> str:
    near = difflib.get_close_matches(word, list(known), n=1)
    return f"the nearest is {near[0]!r}" if near else PAGE
