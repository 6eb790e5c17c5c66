"""The tables of a roster, what their columns are, and how they are held in memory."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

__all__ = [
    "BY_NUMBER", "CLAIMS", "ENTRIES", "FLAGS", "LARGE", "PARTS", "REGISTRATIONS", "SEARCHED", "STAMP", "SUPERSEDED", "TYPE1",
    "by_namespace", "held", "kept",
]  # fmt: skip

STAMP: pl.DataType = pl.Datetime("us")
_TEXT: pl.DataType = pl.String()
_NUMBER: pl.DataType = pl.Int64()
_DATE: pl.DataType = pl.Date()
_FLAG: pl.DataType = pl.Boolean()
ENTRIES = pl.Schema(
    {
        "namespace": _TEXT,
        "key": _TEXT,
        "number": _NUMBER,
        "reason": _TEXT,
        "birth_date": _DATE,
        "practice": _TEXT,
        "removes": _TEXT,
        "whole_person": _FLAG,
        "delivered": STAMP,
    }
)
TYPE1 = pl.Schema(
    {
        "namespace": _TEXT,
        "key": _TEXT,
        "record": _TEXT,
        "code": _TEXT,
        "date": _DATE,
        "deleted": _FLAG,
        "delivered": STAMP,
    }
)
SUPERSEDED = pl.Schema({"superseded": _NUMBER, "current": _NUMBER, "delivered": STAMP})
FLAGS = pl.Schema({"namespace": _TEXT, "key": _TEXT, "optout": _TEXT, "out": _FLAG, "delivered": STAMP})
SEARCHED = pl.Schema({"table": _TEXT, "code": _TEXT, "oldest": STAMP})
CLAIMS = pl.Schema({"namespace": _TEXT, "key": _TEXT, "number": _NUMBER, "delivered": STAMP})
REGISTRATIONS = pl.Schema(
    {
        "feed": _TEXT,
        "namespace": _TEXT,
        "key": _TEXT,
        "practice": _TEXT,
        "start": _DATE,
        "end": _DATE,
        "deleted": _FLAG,
        "delivered": STAMP,
    }
)
PARTS = {
    "entries": ENTRIES,
    "type1": TYPE1,
    "superseded": SUPERSEDED,
    "flags": FLAGS,
    "searched": SEARCHED,
    "claims": CLAIMS,
    "registrations": REGISTRATIONS,
}
# Columns whose few words are in many rows; of the other parts of the roster there are few rows.
_FEW = ("namespace", "feed", "reason", "practice", "removes")
LARGE = ("entries", "claims", "registrations")
BY_NUMBER = ""  # the namespace of people who are known by their number


def kept(frame: pl.DataFrame, schema: pl.Schema) -> pl.DataFrame:
    """Rows of this schema as they are held in memory: of the few words that are in many rows each one once."""
    few = {name: pl.Categorical() for name in _FEW if name in schema}
    return frame.cast(pl.Schema({**schema, **few}))


def by_namespace(frame: pl.DataFrame) -> Iterator[tuple[str, pl.DataFrame]]:
    """The rows of each namespace; without a copy where the rows of each stand together."""
    if frame.is_empty():
        return
    runs = frame["namespace"].rle().struct.unnest()
    names = runs["value"].cast(pl.String).to_list()
    if len(set(names)) < len(names):
        for (name,), rows in frame.group_by("namespace", maintain_order=True):
            yield str(name), rows
        return
    at = 0
    for name, rows in zip(names, runs["len"], strict=True):
        yield name, frame.slice(at, rows)
        at += rows


def held(name: str, frame: pl.DataFrame) -> pl.DataFrame:
    """A part of the roster as it is held in memory."""
    return kept(frame, frame.schema) if name in LARGE else frame
