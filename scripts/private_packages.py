"""Fetch Debian packages into a private folder: without root, and without touching the host.

    python3 -m scripts.private_packages asterisk ffmpeg test-tools

apt, given a state of its own in which nothing is installed, resolves everything a package needs, the C
library included. The packages are unpacked side by side into `.cache/packages/<group>/root`, and their
programs are started through that folder's own dynamic loader, so any host with apt will do, whatever
its release. `.cache/tools.json` tells the rest of the code how to start each tool.

A new tool is one more line in `GROUPS`. Runs on a bare Python 3.11.
"""

import fcntl
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

SUITE = "forky"  # the first Debian release with Asterisk 22
OLDEST_ASTERISK = (22, 5)
OLDEST_FFMPEG = (4, 4)
KEYRINGS = (
    Path("/usr/share/keyrings/debian-archive-keyring.gpg"),
    Path("/usr/share/keyrings/debian-archive-keyring.pgp"),
)
DEBIAN_SUITES = {
    *("stable", "oldstable", "oldoldstable", "testing", "unstable", "sid"),
    *("bullseye", "bookworm", "trixie", "forky", "duke"),
}
ARCHITECTURES = {"x86_64": ("amd64", "x86_64-linux-gnu"), "aarch64": ("arm64", "aarch64-linux-gnu")}
CONTENTS = ".denwaban.json"  # written last into a root: what was asked for and what came


@dataclass(frozen=True)
class Tool:
    """A program in a group's root; `{triplet}` in a path stands for the machine's library folder."""

    program: str
    version_argument: str
    folders: Mapping[str, str] = field(default_factory=dict)
    libraries: tuple[str, ...] = ()
    """Folders below the library folder that Debian's own loader would search too."""


@dataclass(frozen=True)
class Group:
    """Packages that are fetched together, and the tools they bring."""

    title: str
    packages: tuple[str, ...]
    tools: Mapping[str, Tool] = field(default_factory=dict)
    alone: bool = False  # without what the packages depend on
    folder: str = ""
    """Where in the root the data is that the packages bring, for those that are no programs."""

    suite: str = SUITE
    """The Debian release they come from."""


ASTERISK = Tool(
    "usr/sbin/asterisk",
    "-V",
    {"module_folder": "usr/lib/{triplet}/asterisk/modules", "data_folder": "usr/share/asterisk"},
)
SIPP = Tool("usr/bin/sipp", "-v")
BARESIP = Tool("usr/bin/baresip", "-h", {"module_folder": "usr/lib/baresip/modules"})
LINPHONE = Tool("usr/bin/linphonec", "-v", {"data_folder": "usr"}, libraries=("pulseaudio",))
FFMPEG = Tool("usr/bin/ffmpeg", "-version", libraries=("pulseaudio", "blas", "lapack"))
GROUPS = {
    "asterisk": Group("Asterisk 22", ("asterisk",), {"asterisk": ASTERISK}),
    "ffmpeg": Group("ffmpeg", ("ffmpeg",), {"ffmpeg": FFMPEG}),
    "test-tools": Group(
        "SIPp and baresip", ("sip-tester", "baresip-core"), {"sipp": SIPP, "baresip": BARESIP}
    ),
    # No later release has it.
    "linphone": Group("Linphone", ("linphone-cli",), {"linphone": LINPHONE}, suite="trixie"),
    "fonts": Group(
        "Japanese fonts",
        ("fonts-ipaexfont-gothic", "fonts-ipaexfont-mincho"),
        alone=True,
        folder="usr/share/fonts",
    ),
    "pip-wheel": Group("pip", ("python3-pip-whl",), alone=True),
}


class SetupFailed(Exception):
    """The set-up cannot go on; the message tells a person what to do."""


@dataclass(frozen=True)
class Source:
    """One binary entry of the host's apt sources."""

    address: str
    suite: str
    components: tuple[str, ...]
    signed_by: str = ""


def parse_one_line_sources(text: str) -> list[Source]:
    """Read the `deb [options] address suite components` format of `*.list` files."""
    entries = re.compile(r"^\s*deb\s+(?:\[(?P<options>[^]]*)\]\s*)?(?P<rest>[^#\n]+)", re.MULTILINE)
    sources = []
    for entry in entries.finditer(text):
        address, suite, *components = [*entry["rest"].split(), "", ""][:12]
        options = dict(pair.partition("=")[::2] for pair in (entry["options"] or "").split())
        sources.append(Source(address, suite, tuple(filter(None, components)), options.get("signed-by", "")))
    return sources


def parse_deb822_sources(text: str) -> list[Source]:
    """Read the stanza format of `*.sources` files."""
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    stanzas = re.split(r"\n\s*\n", "\n".join(lines))
    return [source for stanza in stanzas for source in _stanza_sources(stanza)]


def _stanza_sources(stanza: str) -> Iterator[Source]:
    unfolded = re.sub(r"\n[ \t]+", " ", stanza)
    pairs = (line.partition(":") for line in unfolded.splitlines())
    fields = {name.strip().lower(): value.strip() for name, _, value in pairs}
    if (
        fields.get("enabled", "yes").lower() in {"no", "false"}
        or "deb" not in fields.get("types", "").split()
    ):
        return
    components = tuple(fields.get("components", "").split())
    for address in fields.get("uris", "").split():
        for suite in fields.get("suites", "").split():
            yield Source(address, suite, components, fields.get("signed-by", ""))


def debian_mirror(sources: Iterable[Source]) -> str | None:
    """The address of the Debian main archive among `sources`: not security, not another vendor's."""
    for source in sources:
        path = urlsplit(source.address).path.removesuffix(".list").rstrip("/")
        debian_named = path.endswith("/debian") or "debian-archive-keyring" in source.signed_by
        if (
            debian_named
            and source.suite.rstrip("/") in DEBIAN_SUITES
            and "main" in source.components
            and not source.address.startswith("cdrom:")
        ):
            return source.address
    return None


def host_sources(folder: Path) -> list[Source]:
    """All apt sources of a host whose `/etc/apt` is `folder`."""
    lists = [folder / "sources.list", *sorted((folder / "sources.list.d").glob("*.list"))]
    stanzas = sorted((folder / "sources.list.d").glob("*.sources"))
    return [
        *(source for path in lists if path.is_file() for source in parse_one_line_sources(_text(path))),
        *(source for path in stanzas for source in parse_deb822_sources(_text(path))),
    ]


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


def apt_configuration(work: Path, architecture: str, host: str) -> str:
    """The text of an apt.conf that keeps apt within `work`.

    `host` is what `apt-config dump` says; only how to reach the network (proxies, certificates) is
    taken from it, so that no hook, pin or source of the host plays a part.
    """
    network = [line for line in host.splitlines() if re.match(r'Acquire::https?(::[^ ]+)? "[^"]', line)]
    own = {
        "Dir::Etc": work / "etc",
        "Dir::State": work / "state",
        "Dir::State::status": work / "status",
        "Dir::Cache": work / "cache",
        "Dir::Log": work / "log",
        "APT::Architecture": architecture,
        "APT::Install-Recommends": "false",
        # As root, apt would hand the download to a user who cannot write here.
        "APT::Sandbox::User": "root",
        "APT::Update::Error-Mode": "any",
        "Acquire::Languages": "none",
        "Acquire::Retries": "3",
        # A mirror that lags carries an expired Release file; its signature is checked all the same.
        "Acquire::Check-Valid-Until": "false",
    }
    lines = [f'{name} "{value}";' for name, value in own.items()]
    return "\n".join([*network, *lines, f'APT::Architectures {{ "{architecture}"; }};', ""])


def parse_version(text: str) -> tuple[int, ...] | None:
    """The first version number in what a program says of itself: `Asterisk 22.10.1+dfsg` is (22, 10, 1)."""
    found = re.search(r"\d+(?:\.\d+)+", text)
    return tuple(map(int, found[0].split("."))) if found else None


@dataclass(frozen=True)
class Machine:
    """What Debian calls this processor, and the folder its libraries are in."""

    architecture: str
    triplet: str

    @classmethod
    def here(cls) -> "Machine":
        if sys.platform != "linux" or platform.machine() not in ARCHITECTURES:
            raise SetupFailed(
                f"Linux on amd64 or arm64 is needed, this is {sys.platform} on {platform.machine()}"
            )
        return cls(*ARCHITECTURES[platform.machine()])

    def command(self, root: Path, tool: Tool) -> list[str]:
        """How to start `tool` of `root` with the libraries of `root`."""
        libraries = root / "usr/lib" / self.triplet
        loader = next(iter(sorted(libraries.glob("ld-linux-*.so.*"))), libraries / "ld-linux.so")
        searched = ":".join(map(str, [libraries, *(libraries / name for name in tool.libraries)]))
        return [str(loader), "--library-path", searched, str(root / tool.program)]


class PrivateApt:
    """apt with sources of one release, state and cache of its own in a work folder."""

    def __init__(self, work: Path, machine: Machine, suite: str) -> None:
        self.work = work
        self.machine = machine
        self.suite = suite
        self.archives = work / "cache" / "archives"
        self.environment = {**os.environ, "APT_CONFIG": str(work / "apt.conf"), "LC_ALL": "C"}

    def prepare(self) -> None:
        """Lay out the work folder and fetch the package lists."""
        for needed in ("apt-get", "apt-config", "dpkg-deb"):
            if not shutil.which(needed):
                raise SetupFailed(
                    f"{needed} is not on this host. Install Asterisk 22.5 or newer yourself "
                    "and name it in DENWABAN_ASTERISK"
                )
        keyring = next((path for path in KEYRINGS if path.is_file()), None)
        if keyring is None:
            raise SetupFailed(
                "Debian's archive keyring is missing: install the package debian-archive-keyring"
            )
        mirror = os.environ.get("DENWABAN_DEBIAN_MIRROR") or debian_mirror(host_sources(Path("/etc/apt")))
        if not mirror:
            raise SetupFailed(
                "this host's apt sources name no Debian archive: name a mirror in DENWABAN_DEBIAN_MIRROR"
            )
        for folder in (
            "etc/apt.conf.d",
            "etc/preferences.d",
            "etc/sources.list.d",
            "state/lists/partial",
            "log",
        ):
            (self.work / folder).mkdir(parents=True)
        (self.archives / "partial").mkdir(parents=True)
        (self.work / "status").touch()
        (self.work / "etc/sources.list").write_text(f"deb [signed-by={keyring}] {mirror} {self.suite} main\n")
        host = _output(["apt-config", "dump", "Acquire"], "apt-config")
        (self.work / "apt.conf").write_text(apt_configuration(self.work, self.machine.architecture, host))
        self._apt("update")

    def download(self, group: Group) -> list[Path]:
        """Download the packages of `group` and all they need."""
        request = ["install", "--download-only", "--yes"]
        listed = self._apt(*request, "--print-uris", *group.packages)
        sizes = [int(line.split()[2]) for line in listed.splitlines() if line.startswith("'")]
        if group.alone:
            self._apt("download", *group.packages, folder=self.archives)
        else:
            say(f"{group.title}: downloading {len(sizes)} packages ({sum(sizes) // 1_000_000} MB)...")
            with reporting(
                f"{group.title}: downloaded", len(sizes), lambda: _count(self.archives.glob("*.deb"))
            ):
                self._apt(*request, *group.packages)
        return sorted(self.archives.glob("*.deb"))

    def _apt(self, *arguments: str, folder: Path | None = None) -> str:
        return _output(["apt-get", "-qq", *arguments], "apt-get", self.environment, folder)


def fetch(names: Iterable[str], cache: Path) -> None:
    """Make every group in `names` ready under `cache`, and write `tools.json`."""
    with locked(cache):
        found = host_tools()
        missing = [
            name
            for name in names
            if not (GROUPS[name].tools and set(GROUPS[name].tools) <= set(found))
            and not _is_current(GROUPS[name], packages_root(cache, name))
        ]
        if missing:
            _fetch_missing(missing, cache)
        _write_tools(cache, found)


def packages_root(cache: Path, name: str) -> Path:
    """The folder a group is unpacked into."""
    return cache / "packages" / name / "root"


def _fetch_missing(names: Sequence[str], cache: Path) -> None:
    for suite in dict.fromkeys(GROUPS[name].suite for name in names):
        _fetch_of_suite(suite, [name for name in names if GROUPS[name].suite == suite], cache)


def _fetch_of_suite(suite: str, names: Sequence[str], cache: Path) -> None:
    machine = Machine.here()
    work = cache / "packages" / "apt"
    shutil.rmtree(work, ignore_errors=True)
    apt = PrivateApt(work, machine, suite)
    try:
        apt.prepare()
        for name in names:
            archives = apt.download(GROUPS[name])
            unpack(GROUPS[name], archives, packages_root(cache, name), machine)
            for archive in archives:
                archive.unlink()
    finally:
        shutil.rmtree(work, ignore_errors=True)


def unpack(group: Group, archives: Sequence[Path], root: Path, machine: Machine) -> None:
    """Unpack `archives` side by side and put them in place as `root` at once, only when all are there."""
    draft, old = root.with_name("root.new"), root.with_name("root.old")
    for left_over in (draft, old):
        shutil.rmtree(left_over, ignore_errors=True)
    draft.mkdir(parents=True)
    say(f"{group.title}: unpacking {len(archives)} package{'s' * (len(archives) > 1)}...")
    done: list[Path] = []

    def unpack_one(archive: Path) -> None:
        _output(["dpkg-deb", "-x", str(archive), str(draft)], "dpkg-deb")
        done.append(archive)

    with (
        reporting(f"{group.title}: unpacked", len(archives), lambda: len(done)),
        ThreadPoolExecutor(os.cpu_count()) as threads,
    ):
        list(threads.map(unpack_one, archives))
    versions = {name: _tool_version(machine.command(draft, tool), tool) for name, tool in group.tools.items()}
    contents = {"packages": group.packages, "machine": machine.triplet, "versions": versions}
    (draft / CONTENTS).write_text(json.dumps(contents))
    if root.exists():
        root.rename(old)
    draft.rename(root)
    shutil.rmtree(old, ignore_errors=True)


def _contents(root: Path) -> dict[str, object]:
    try:
        contents: dict[str, object] = json.loads((root / CONTENTS).read_text())
    except FileNotFoundError:
        return {}
    return contents


def _is_current(group: Group, root: Path) -> bool:
    contents = _contents(root)
    return (
        contents.get("packages") == list(group.packages) and contents.get("machine") == Machine.here().triplet
    )


def _tool_version(command: list[str], tool: Tool) -> str:
    said = subprocess.run([*command, tool.version_argument], capture_output=True, text=True, check=False)
    version = parse_version(said.stdout + said.stderr)
    if version is None:
        raise SetupFailed(f"{tool.program} does not start: {(said.stderr or said.stdout).strip()[:500]}")
    return ".".join(map(str, version))


def host_tools() -> dict[str, dict[str, object]]:
    """What this host has already and is new enough, described as in `tools.json`."""
    found = {"asterisk": host_asterisk(), "ffmpeg": host_ffmpeg()}
    return {name: tool for name, tool in found.items() if tool}


def host_ffmpeg() -> dict[str, object] | None:
    """The host's own ffmpeg, when a new enough one is on the path."""
    program = shutil.which("ffmpeg")
    if not program:
        return None
    try:
        version = parse_version(_output([program, "-version"], program))
    except (OSError, SetupFailed):
        return None
    if version is None or version < OLDEST_FFMPEG:
        return None
    return {"command": [program], "version": ".".join(map(str, version))}


def host_asterisk() -> dict[str, object] | None:
    """The host's own Asterisk, when `DENWABAN_ASTERISK` names one or a new enough one is on the path."""
    named = os.environ.get("DENWABAN_ASTERISK")
    program = named or shutil.which(
        "asterisk", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"
    )
    if not program:
        return None
    try:
        said = _output([program, "-V"], program)
    except (OSError, SetupFailed) as failure:
        if named:
            raise SetupFailed(f"DENWABAN_ASTERISK={named} does not start: {failure}") from failure
        return None
    version = parse_version(said)
    if version is None or version < OLDEST_ASTERISK:
        if named:
            raise SetupFailed(f"DENWABAN_ASTERISK={named} is {said.strip()}: 22.5 or newer is needed")
        return None
    configured = asterisk_folders(_readable_text(Path("/etc/asterisk/asterisk.conf")))
    modules = [f"/usr/lib/{Machine.here().triplet}/asterisk/modules", "/usr/lib/asterisk/modules"]
    return {
        "command": [program],
        "version": ".".join(map(str, version)),
        "module_folder": configured.get("astmoddir") or _first_folder(modules),
        "data_folder": configured.get("astdatadir")
        or _first_folder(["/usr/share/asterisk", "/var/lib/asterisk"]),
    }


def asterisk_folders(text: str) -> dict[str, str]:
    """The folders that an `asterisk.conf` sets."""
    return dict(re.findall(r"^\s*(ast\w+dir)\s*=>?\s*([^\s;]+)", text, re.MULTILINE))


def _readable_text(path: Path) -> str:
    return _text(path) if os.access(path, os.R_OK) else ""


def _first_folder(candidates: list[str]) -> str:
    return next((folder for folder in candidates if Path(folder).is_dir()), candidates[0])


def _write_tools(cache: Path, found: Mapping[str, dict[str, object]]) -> None:
    """Describe all that is unpacked; written anew each time, so a checkout that was moved heals itself."""
    tools: dict[str, object] = {}
    for name, group in GROUPS.items():
        root = packages_root(cache, name)
        if not _is_current(group, root):
            continue
        if group.folder:
            tools[name] = {"folder": str(root / group.folder)}
        tools |= _described(group, root)
    tools |= found
    path = cache / "tools.json"
    text = json.dumps(tools, indent=2) + "\n"
    if path.exists() and path.read_text() == text:
        return
    draft = path.with_suffix(".new")
    draft.write_text(text)
    draft.replace(path)


def _described(group: Group, root: Path) -> dict[str, object]:
    machine = Machine.here()
    versions = _contents(root)["versions"]
    assert isinstance(versions, dict)
    return {
        name: {
            "command": machine.command(root, tool),
            "version": versions[name],
            **{key: str(root / path.format(triplet=machine.triplet)) for key, path in tool.folders.items()},
        }
        for name, tool in group.tools.items()
    }


@contextmanager
def locked(cache: Path) -> Iterator[None]:
    """Let one set-up at a time work in `cache`."""
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another set-up of this checkout...")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def reporting(title: str, total: int, done: Callable[[], int]) -> Iterator[None]:
    """Say every few seconds how far the work inside has come."""
    finished = threading.Event()

    def report() -> None:
        while not finished.wait(5):
            say(f"{title} {done()} of {total}")

    thread = threading.Thread(target=report, daemon=True)
    thread.start()
    try:
        yield
    finally:
        finished.set()
        thread.join()


def say(text: str) -> None:
    """Tell the person at the terminal."""
    print(text, file=sys.stderr, flush=True)


def _count(things: Iterable[object]) -> int:
    return sum(1 for _ in things)


def _output(
    command: Sequence[str],
    name: str,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> str:
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SetupFailed(f"{name} failed: {(done.stderr or done.stdout).strip()[-2000:]}")
    return done.stdout


def main(arguments: Sequence[str]) -> int:
    """Fetch the groups named on the command line."""
    unknown = [name for name in arguments if name not in GROUPS]
    if unknown or not arguments:
        say(f"usage: python3 -m scripts.private_packages GROUP...   (groups: {', '.join(GROUPS)})")
        return 2
    try:
        fetch(arguments, (Path.cwd() / ".cache").resolve())
    except SetupFailed as failure:
        say(f"set-up failed: {failure}")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
