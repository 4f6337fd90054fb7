"""How much is taken, and what pages measure. Pure."""

LARGEST_PDF_BYTES = 20 * 1024 * 1024
MOST_PAGES = 200

WIDTH = 1728
"""Pixels of every fax line that all machines take (ITU-T T.4)."""

DOTS_PER_INCH = 204
FINE_LINES_PER_INCH = 196
STANDARD_LINES_PER_INCH = 98
FINE_X_PER_POINT = 8.031 * 25.4 / 72
FINE_Y_PER_POINT = 7.7 * 25.4 / 72
"""T.4: 8.031 pixels and 7.7 lines a millimetre; PDF has 72 points an inch."""

MOST_ROWS = 4572
"""Two A4 pages of fine lines: longer paper is made smaller."""

HEADER_ROWS = 36

CHECKING_LIMIT_S = 20.0
RENDERING_LIMIT_S = 60.0
RENDERING_LIMIT_PER_PAGE_S = 4.0
WAITING_LIMIT_S = 30.0
MEMORY_LIMIT_BYTES = 1024**3
LARGEST_OUTPUT_BYTES = 400 * 1024 * 1024
NICENESS = 10
RECEIVING_NICENESS = 4
