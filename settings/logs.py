"""Logging as every process does it: a file that is turned over by size, warnings on the terminal too."""

import contextvars
import logging
import sys
from logging.handlers import RotatingFileHandler
from pathlib import Path

call_id: contextvars.ContextVar[str] = contextvars.ContextVar("call_id", default="-")
"""The call that the running task works for; stands in every line it logs."""


class _WithCall(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.call_id = call_id.get()
        return True


def lines_to(folder: Path, name: str, logger: logging.Logger) -> None:
    """Write what `logger` says, each message a line by itself, to `folder/name` (10 MB, five kept) only."""
    folder.mkdir(parents=True, exist_ok=True)
    to_file = RotatingFileHandler(folder / name, maxBytes=10_000_000, backupCount=5)
    to_file.setFormatter(logging.Formatter("%(message)s"))
    logger.handlers = [to_file]
    logger.propagate = False


def log_to(folder: Path, process: str, level: str) -> None:
    """Log this process to `folder/process.log` (10 MB, five kept) and its warnings to standard error."""
    folder.mkdir(parents=True, exist_ok=True)
    to_file = RotatingFileHandler(folder / f"{process}.log", maxBytes=10_000_000, backupCount=5)
    to_terminal = logging.StreamHandler(sys.stderr)
    to_terminal.setLevel(logging.WARNING)
    form = logging.Formatter(f"%(asctime)s %(levelname)s {process} [%(call_id)s] %(name)s: %(message)s")
    for handler in (to_file, to_terminal):
        handler.setFormatter(form)
        handler.addFilter(_WithCall())
    logging.basicConfig(level=level, handlers=[to_file, to_terminal], force=True)
