"""Identifiers become tokens here: keys as handles, columns in, tokens and reasons out.

Making tokens is all that this import offers. Turning them back needs
`linkage.pseudonymise.reverser`, which only a key holder's program imports.
"""

from linkage.pseudonymise.keyset import Keyset
from linkage.pseudonymise.tokeniser import Pseudonymiser

__all__ = ["Keyset", "Pseudonymiser"]
