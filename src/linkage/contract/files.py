"""Contracts from files: the ones that come with the package by name, local ones by path."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from pydantic import ValidationError

from linkage import extend
from linkage.contract.feed import Feed
from linkage.errors import ConfigurationError
from linkage.extend import Text


def parse(text: str, where: str, base: Path | None = None) -> Feed:
    """Read one contract.

    Args:
        text: The TOML text.
        where: What to call it in an error, for example its path.
        base: The folder that a relative path in `extends` starts from; the current one when not given.

    Raises:
        ConfigurationError: The text is not TOML or not a contract; says which key.
    """
    whole = extend.resolve(Text(text, where, base), _text, _checked)
    return _checked(whole.content, where).model_copy(update={"digest": whole.digest})


def _checked(content: dict[str, object], where: str) -> Feed:
    try:
        return Feed.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        key = ".".join(str(part) for part in first["loc"]) or "the contract"
        raise ConfigurationError(f"{where}: {key}: {first['msg']}", hint="see docs/reference/contracts.md") from None


def shipped() -> tuple[str, ...]:
    """Names of the contracts that come with the package, sorted."""
    folder = resources.files("linkage.sources") / "feeds"
    return tuple(sorted(item.name.removesuffix(".toml") for item in folder.iterdir() if item.name.endswith(".toml")))


def load(name: str, base: Path | None = None) -> Feed:
    """Read a contract: a shipped one by its name, a local one by the path of its TOML file.

    Args:
        name: For example `sus_apc`, or `feeds/our_virtual_ward.toml`.
        base: The folder that a relative path starts from; the current one when not given.

    Raises:
        ConfigurationError: There is no such contract, or it is not one.
    """
    text = _text(name, base)
    return parse(text.content, text.where, text.base)


def _text(name: str, base: Path | None) -> Text:
    if name.endswith(".toml"):
        path = (base or Path()) / name
        try:
            return Text(path.read_text(encoding="utf-8"), str(path), path.parent)
        except (OSError, UnicodeDecodeError):
            raise ConfigurationError(f"{path}: cannot be read", hint="name an existing contract file") from None
    if name not in shipped():
        raise ConfigurationError(f"no feed is called {name!r}", hint=_known_feeds())
    file = resources.files("linkage.sources") / "feeds" / f"{name}.toml"
    return Text(file.read_text(encoding="utf-8"), name, base)


def _known_feeds() -> str:
    return f"one of {', '.join(shipped())}; or the path of a contract, which ends in .toml"
