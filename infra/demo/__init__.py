"""Demo data that looks like work: an invented manufacturer, its people, customers, cases and scans.

Pure and deterministic: nothing here asks the time, the network or the database.
"""

from infra.demo.content import SEED, Content, make_content
from infra.demo.scans import TOUR_SCAN, TOUR_WORD, Scan
from infra.demo.working_time import REFERENCE

__all__ = ["REFERENCE", "SEED", "TOUR_SCAN", "TOUR_WORD", "Content", "Scan", "make_content"]
