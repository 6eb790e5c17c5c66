"""What `--help` prints of every command."""

from __future__ import annotations

import re
from collections.abc import Iterator

import typer

from linkage.cli import app

BRACKETS = re.compile(r"(?<!\\)\[/?[a-z][a-z_.]*\]")


def commands(command: object, names: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """Every command and group, with all the words that its help has."""
    texts = [getattr(command, "help", None), *(getattr(each, "help", None) for each in getattr(command, "params", ()))]
    yield names, "\n".join(text for text in texts if text)
    for name, each in getattr(command, "commands", {}).items():
        yield from commands(each, (*names, name))


def test_no_word_of_help_is_taken_for_markup() -> None:
    """A section's name in brackets would be left out of what is printed."""
    found = dict(commands(typer.main.get_command(app)))
    assert len(found) > 60
    assert not [names for names, text in found.items() if BRACKETS.search(text)]
