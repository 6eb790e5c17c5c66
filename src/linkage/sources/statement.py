"""What may be sent to a database: one SELECT, or the name of a table, quoted."""

from __future__ import annotations

import re

from linkage.errors import ConfigurationError

# Comments, texts and quoted names: what is written in them is not part of what the statement does.
_APART = re.compile(r"""--[^\n]*|/\*.*?\*/|'(?:[^']|'')*'|"(?:[^"]|"")*"|\[[^\]]*\]""", re.DOTALL)
_WRITES = frozenset(
    {
        *(
            "into",
            "insert",
            "update",
            "delete",
            "merge",
            "copy",
            "create",
            "alter",
            "drop",
            "truncate",
            "grant",
            "revoke",
        ),
        *("exec", "execute", "attach", "openrowset", "openquery", "opendatasource"),
    }
)
_PART = re.compile(r"[^\W\d][\w $#@-]*")
_MOST_PARTS = 3


def one_select(statement: str, where: str) -> str:
    """A statement that only reads, without a semicolon at its end.

    It is a guard against mistakes; that nothing can be written is for the login's rights to say.

    Raises:
        ConfigurationError: It is no SELECT, is several statements, or holds a word with which something is written.
    """
    bare = _APART.sub(" ", statement).strip().rstrip(";").rstrip()
    words = [word.lower() for word in re.findall(r"\w+", bare)]
    if not words or words[0] not in ("select", "with") or ";" in bare:
        raise ConfigurationError(f"{where}: not one SELECT", hint="give one statement that only reads")
    if writes := sorted(_WRITES & set(words)):
        raise ConfigurationError(
            f"{where}: {writes[0]!r} is no part of a statement that only reads",
            hint='a column of that name is written in double quotes, such as "update"',
        )
    return statement.strip().rstrip(";").rstrip()


def quoted(*parts: str) -> str:
    """A name of up to three parts (database, schema, table) as SQL quotes it.

    Raises:
        ConfigurationError: It has more parts, or one that is no name.
    """
    names = [part.strip().removeprefix("[").removesuffix("]").strip('"') for part in parts]
    if len(names) > _MOST_PARTS or (len(names) > 1 and not all(_PART.fullmatch(name) for name in names)):
        raise ConfigurationError(
            "database.tables: not a table's name", hint="write schema.table, or a SELECT where a name holds dots"
        )
    return ".".join('"' + name.replace('"', '""') + '"' for name in names)
