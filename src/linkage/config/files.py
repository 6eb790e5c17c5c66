"""Configurations from files."""

from __future__ import annotations

import hashlib
import tomllib
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from linkage import numbered
from linkage.config.whole import Configuration
from linkage.errors import ConfigurationError


def load(path: Path) -> Configuration:
    """Read a configuration file.

    Raises:
        ConfigurationError: The file is missing, is not TOML, or has a key that is unknown or wrong; says which.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise ConfigurationError(f"{path}: cannot be read", hint="name an existing linkage.toml") from None
    try:
        content = numbered.written_out(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{path}: not a TOML file: {error}", hint="correct the line it names") from None
    except ValueError as error:
        raise ConfigurationError(f"{path}: {error}", hint="see docs/reference/contracts.md for ranges") from None
    try:
        configuration = Configuration.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        key = ".".join(str(part) for part in first["loc"]) or "the file"
        said = "there is no such key" if first["type"] == "extra_forbidden" else first["msg"]
        message = f"{path}: {key}: {said.removeprefix('Value error, ')}"
        raise ConfigurationError(message, hint="see docs/reference/configuration.md for every key") from None
    update = {"base": path.resolve().parent, "digest": hashlib.sha256(text.encode()).hexdigest()}
    return configuration.model_copy(update=update)


Kind = Literal["site", "hub", "machine"]
_KINDS = {"site": "a site", "hub": "a hub of sites", "machine": "one machine that does everything"}
_COMMANDS = {
    "site": "`linkage site run`",
    "hub": "`linkage hub receive`, `translate` and `link`",
    "machine": "`linkage run`",
}


def of_kind(path: Path, *kinds: Kind) -> Configuration:
    """Read a configuration file of one of some kinds.

    Raises:
        ConfigurationError: As `load`, or it is of another kind.
    """
    configuration = load(path)
    found: Kind = "site" if configuration.site else "hub" if configuration.hub else "machine"
    if found not in kinds:
        raise ConfigurationError(
            f"{path}: the configuration of {_KINDS[found]}, not of {' or of '.join(_KINDS[each] for each in kinds)}",
            hint=f"use {_COMMANDS[found]} with it",
        )
    return configuration
