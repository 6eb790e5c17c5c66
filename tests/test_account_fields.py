"""What is counted is what accounts say: no field of the one is left out of the other."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest
from pydantic import BaseModel

from linkage.authority import Document
from linkage.link.quality import Load, MonthRows, SourcesPersons
from linkage.optouts.registers import Evidence
from linkage.sources.quality import ColumnQuality, FileQuality
from linkage.sources.select import CodeList
from linkage.store.manifest import (
    ColumnCount,
    DocumentUsed,
    ExactBalance,
    FileCount,
    MonthCount,
    RegisterFile,
    SourcesCount,
)

# What is told of each column is an account of its own.
APART = {FileQuality: {"columns"}}


@pytest.mark.parametrize(
    ("counted", "told"),
    [
        (FileQuality, FileCount),
        (ColumnQuality, ColumnCount),
        (MonthRows, MonthCount),
        (SourcesPersons, SourcesCount),
        (Load, ExactBalance),
        (Evidence, RegisterFile),
        (CodeList, RegisterFile),
        (Document, DocumentUsed),
    ],
)
def test_every_field_is_told(counted: Any, told: type[BaseModel]) -> None:
    """One with another name would be told by the model's default."""
    assert {each.name for each in fields(counted)} - APART.get(counted, set()) == set(told.model_fields)
