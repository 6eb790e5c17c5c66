"""A made-up Integrated Care System with known truth, for the demo, the tests and the benchmarks.

``make`` writes one consistent population's records as every feed delivers them, with the defects that real extracts
have, and beside them what a correct run must do with each row. START HERE: ``build.py``;
``nights.py`` goes on from there.
"""

from linkage.synthetic.build import MadeUpIcs, make
from linkage.synthetic.nights import Night, deliver, moment
from linkage.synthetic.stream import Stream

__all__ = ["MadeUpIcs", "Night", "Stream", "deliver", "make", "moment"]
