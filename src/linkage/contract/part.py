"""What every part of a contract shares: its strings, its names, and that nothing unknown is accepted."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict

NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
NAMESPACE = re.compile(r"[a-z0-9_.]+")


def strings(value: object) -> object:
    """One string stands for a list of one."""
    return (value,) if isinstance(value, str) else value


Strings = Annotated[tuple[str, ...], BeforeValidator(strings)]


class Part(BaseModel):
    """A part of a contract: it cannot be changed, and refuses a key that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)
