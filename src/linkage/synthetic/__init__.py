"""A made-up Integrated Care System with known truth, for the demo, the tests and the benchmarks.

``make`` writes one consistent population's records as every feed delivers them, with the defects that real extracts
have, and beside them what a correct run must do with each row. START HERE: ``build.py``.
"""

from linkage.synthetic.build import MadeUpIcs, make

__all__ = ["MadeUpIcs", "make"]
