"""Logs of lines: each message by itself, and nowhere else."""

import logging
from pathlib import Path

import pytest

from settings.logs import lines_to

pytestmark = pytest.mark.unit


def test_a_message_is_a_line_of_the_file_and_stands_nowhere_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    logger = logging.getLogger("lines of a test")
    logger.setLevel(logging.INFO)
    lines_to(tmp_path / "log", "lines.log", logger)
    logger.info("%s", '{"a": 1}')
    logger.info("%s", '{"a": 2}')
    for handler in logger.handlers:
        handler.close()
    assert (tmp_path / "log" / "lines.log").read_text() == '{"a": 1}\n{"a": 2}\n'
    assert caplog.records == []
