"""Bad lines for `python -m bench.fax --bad-lines`: which there are, and how a call tells which it is on."""

import re

from tests.fax.path import Weather

LINES: dict[int, tuple[str, Weather]] = {
    0: ("1 % lost", Weather(loss=0.01)),
    1: ("3 % lost", Weather(loss=0.03)),
    2: ("5 % lost", Weather(loss=0.05)),
    3: ("5 % lost, three in a row", Weather(loss=0.05, in_a_row=3)),
    4: ("5 % late", Weather(late=0.05)),
    5: ("5 % twice", Weather(twice=0.05)),
    6: ("3 % lost by threes, 2 % late, 2 % twice", Weather(loss=0.03, in_a_row=3, twice=0.02, late=0.02)),
    7: ("nothing lost", Weather()),
    8: ("10 % lost", Weather(loss=0.1)),
}
"""By the digit of the number outside that tells the line."""

OURS = rb"312345679"
OUTSIDE = re.compile(rb"(?:\+81|0)(?!%b)(?:31|51|907)(\d)\d{6}\b" % OURS)


def weather_of(message: bytes) -> Weather:
    """Of the call that a SIP message belongs to."""
    found = OUTSIDE.search(message)
    return LINES[int(found[1])][1] if found else Weather()
