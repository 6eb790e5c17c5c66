"""A node's side of a question: read it, have it approved, count, hide what is small, look back, sign, and only then let go.

It joins questions, the store, disclosure control and the log, which do not know each other. START HERE: ``node.py``.
"""

from linkage.answering.node import Answering, check

__all__ = ["Answering", "check"]
