"""Asterisk's folder and command line, made from the settings and what set-up found."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from pbx.dialplan.render import AsteriskFolders, render_all
from settings import Settings

CHECKOUT = Path(__file__).resolve().parent.parent


class NotSetUp(Exception):
    """There is no Asterisk to start."""


@dataclass(frozen=True)
class Tool:
    """A program that set-up brought, as `.cache/tools.json` describes it."""

    command: list[str]
    module_folder: Path
    data_folder: Path


def find_asterisk() -> Tool:
    """Where Asterisk is. Raises NotSetUp."""
    path = CHECKOUT / ".cache" / "tools.json"
    try:
        found = json.loads(path.read_text())["asterisk"]
    except (OSError, ValueError, KeyError):
        raise NotSetUp(f"no Asterisk is set up ({path}): run `make setup`") from None
    return Tool(found["command"], Path(found["module_folder"]), Path(found["data_folder"]))


def folders_of(settings: Settings, tool: Tool) -> AsteriskFolders:
    return AsteriskFolders(
        etc=settings.var / "asterisk" / "etc",
        modules=tool.module_folder,
        data=tool.data_folder,
        state=settings.var / "asterisk",
        sounds=settings.sounds,
    )


def write_configuration(settings: Settings, folders: AsteriskFolders) -> None:
    """Lay out Asterisk's folders: `asterisk-conf/` as it is, beside it what depends on settings."""
    for folder in ("lib/keys", "run", "log", "spool", "cel"):
        (folders.state / folder).mkdir(parents=True, exist_ok=True)
    for spool in (settings.recording_spool, settings.call_spool, settings.fax_spool / "out"):
        spool.mkdir(parents=True, exist_ok=True)
    folders.etc.mkdir(exist_ok=True)
    # The passwords of ARI and AMI stand in there.
    folders.etc.chmod(0o700)
    for source in (CHECKOUT / "asterisk-conf").glob("*.conf"):
        shutil.copyfile(source, folders.etc / source.name)
    for name, text in render_all(settings, folders).items():
        (folders.etc / name).write_text(text)


def asterisk_command(tool: Tool, folders: AsteriskFolders) -> list[str]:
    """In the foreground, so that whoever started it minds it."""
    return [*tool.command, "-C", str(folders.etc / "asterisk.conf"), "-f", "-n"]
