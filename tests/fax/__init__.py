"""A far fax machine for tests: a second Asterisk that sends and takes faxes, and pages for it."""

from tests.fax.machine import FarMachine, Job, Outcome, far_machine
from tests.fax.pages import FINE, STANDARD, drawn_pages, read_pages, write_tiff

__all__ = [
    "FINE",
    "STANDARD",
    "FarMachine",
    "Job",
    "Outcome",
    "drawn_pages",
    "far_machine",
    "read_pages",
    "write_tiff",
]
