"""The transparency log: what was done, by which role and key, in an order that nobody can change unseen.

Entries that nobody else has witnessed yet are not protected against whoever keeps the log and its key: they could be
written anew and signed again. A checkpoint that is held elsewhere ends that.
"""

from linkage.audit.copies import Witness, export, take
from linkage.audit.entries import Entry
from linkage.audit.journal import Act, Journal
from linkage.audit.log import Log
from linkage.audit.notes import Checkpoint, cosign, open_checkpoint, sign_checkpoint, verifier_key
from linkage.audit.signing import public_key
from linkage.audit.verify import Verified, prove, verify, witness

__all__ = [
    "Act",
    "Checkpoint",
    "Entry",
    "Journal",
    "Log",
    "Verified",
    "Witness",
    "cosign",
    "export",
    "open_checkpoint",
    "prove",
    "public_key",
    "sign_checkpoint",
    "take",
    "verifier_key",
    "verify",
    "witness",
]
