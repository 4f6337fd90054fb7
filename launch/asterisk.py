"""Asterisk's folder and command line, made from the settings and what set-up found."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from pbx.dialplan.fax_asterisk import render_fax_asterisk
from pbx.dialplan.render import AsteriskFolders, render_all
from settings import Settings

CHECKOUT = Path(__file__).resolve().parent.parent
CONF = CHECKOUT / "asterisk-conf"


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
    return _folders(settings, tool, settings.var / "asterisk")


def fax_folders_of(settings: Settings, tool: Tool) -> AsteriskFolders:
    """Of an Asterisk of the faxes' own; the spool of faxes stays where it is."""
    return _folders(settings, tool, settings.var / "fax-asterisk")


def _folders(settings: Settings, tool: Tool, state: Path) -> AsteriskFolders:
    return AsteriskFolders(
        etc=state / "etc",
        modules=tool.module_folder,
        data=tool.data_folder,
        state=state,
        sounds=settings.sounds,
    )


def write_configuration(settings: Settings, folders: AsteriskFolders) -> None:
    """Lay out Asterisk's folders: `asterisk-conf/` as it is, beside it what depends on settings."""
    for spool in (settings.recording_spool, settings.call_spool, settings.fax_spool / "out"):
        spool.mkdir(parents=True, exist_ok=True)
    _lay_out(folders, [CONF], render_all(settings, folders))


def write_fax_configuration(settings: Settings, folders: AsteriskFolders) -> None:
    """Lay out the folders of an Asterisk of the faxes; in `asterisk-conf/fax/` stands what differs."""
    _lay_out(folders, [CONF, CONF / "fax"], render_fax_asterisk(settings, folders))


def _lay_out(folders: AsteriskFolders, sources: list[Path], rendered: dict[str, str]) -> None:
    for folder in ("lib/keys", "run", "log", "spool", "cel"):
        (folders.state / folder).mkdir(parents=True, exist_ok=True)
    folders.etc.mkdir(exist_ok=True)
    # The passwords of ARI and AMI stand in there.
    folders.etc.chmod(0o700)
    for source in (path for folder in sources for path in folder.glob("*.conf")):
        shutil.copyfile(source, folders.etc / source.name)
    for name, text in rendered.items():
        (folders.etc / name).write_text(text)


def asterisk_command(tool: Tool, folders: AsteriskFolders) -> list[str]:
    """In the foreground, so that whoever started it minds it."""
    return [*tool.command, "-C", str(folders.etc / "asterisk.conf"), "-f", "-n"]
