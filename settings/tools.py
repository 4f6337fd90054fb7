"""The programs that set-up brought or found, as `.cache/tools.json` tells of them."""

import json
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent


class NotSetUp(Exception):
    """There is no such program: `make setup` brings it."""


def tool_command(name: str) -> list[str]:
    """How to start the program `name`, as `ffmpeg` or `ffprobe`. Raises NotSetUp."""
    path = CHECKOUT / ".cache" / "tools.json"
    try:
        command: list[str] = json.loads(path.read_text())[name]["command"]
    except (OSError, ValueError, KeyError):
        raise NotSetUp(f"no {name} is set up ({path}): run `make setup`") from None
    return command


def tool_folder(name: str) -> Path:
    """Where the data called `name` is, as `fonts`. Raises NotSetUp."""
    path = CHECKOUT / ".cache" / "tools.json"
    try:
        return Path(json.loads(path.read_text())[name]["folder"])
    except (OSError, ValueError, KeyError):
        raise NotSetUp(f"no {name} are set up ({path}): run `make setup`") from None
