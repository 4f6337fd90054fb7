"""The child process for received faxes: it has loaded what reading them needs, and forks for each.

Orders come as lines of JSON on standard input, until its end. The answer of each is what its child says, if
it gets that far, and a line that says how the child ended.
"""

import json
import os
import sys
from collections.abc import Callable
from typing import Any

ENDED = "ended"
"""In the last line of an answer: the status of the child; -9 where signal 9 ended it."""


def serve(work: Callable[[dict[str, Any]], None]) -> None:
    """Have `work` do each order, in a process of its own."""
    import img2pdf  # noqa: F401  (the children find both loaded)

    import faxpages.tiffs  # noqa: F401

    for line in sys.stdin:
        child = os.fork()
        if not child:
            try:
                work(json.loads(line))
            finally:
                os._exit(1)
        _, status = os.waitpid(child, 0)
        os.write(1, json.dumps({ENDED: os.waitstatus_to_exitcode(status)}).encode() + b"\n")
