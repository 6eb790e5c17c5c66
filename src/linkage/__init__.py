"""Join an Integrated Care System's records per person without anyone downstream learning who the person is."""

from linkage import unspilt as _unspilt  # noqa: F401 for what it does
from linkage.errors import (
    ConfigurationError,
    InputError,
    IntegrityError,
    KeyUnavailableError,
    LinkageError,
    PolicyError,
    TemporaryError,
)
from linkage.pipeline import RunReport, check, run
from linkage.pseudonymise import Keyset, Pseudonymiser
from linkage.store.open import open_store

__all__ = [
    "ConfigurationError",
    "InputError",
    "IntegrityError",
    "KeyUnavailableError",
    "Keyset",
    "LinkageError",
    "PolicyError",
    "Pseudonymiser",
    "RunReport",
    "TemporaryError",
    "check",
    "open_store",
    "run",
]
