"""Make `.venv` and install a lock file into it, with every hash checked.

    python3 -m scripts.python_environment requirements.lock

Nothing is done when the lock has not changed since. Runs on a bare Python 3.11, also on a Debian
without the package python3-venv: pip then comes from Debian's wheel of it, fetched as the other private
packages are.
"""

import hashlib
import importlib.util
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from scripts.private_packages import SetupFailed, fetch, locked, packages_root, reporting, say


def install(lock: Path, venv: Path, cache: Path) -> None:
    """Bring `venv` in line with `lock`; quick when it already is."""
    if _installed(venv).get(lock.name) == _digest(lock):
        return
    without_pip = importlib.util.find_spec("ensurepip") is None
    if without_pip:
        fetch(["pip-wheel"], cache)
    with locked(cache):
        if not (venv / "installed.json").exists():
            say("Python: making .venv...")
            _make(venv, packages_root(cache, "pip-wheel") if without_pip else None)
            _remember(venv, {})
        _install_packages(lock, venv)
        _remember(venv, {covered.name: _digest(covered) for covered in _covered(lock)})


def _covered(lock: Path) -> list[Path]:
    # `make lock` lets the developers' lock hold the same releases as the other, and more.
    return [lock, lock.with_name("requirements.lock")] if lock.name == "requirements-dev.lock" else [lock]


def _digest(lock: Path) -> str:
    return hashlib.sha256(lock.read_bytes()).hexdigest()


def _install_packages(lock: Path, venv: Path) -> None:
    count = sum(1 for line in lock.read_text().splitlines() if line[:1].isalpha())
    say(f"Python: installing {count} packages...")
    pip = [str(venv / "bin/python"), "-m", "pip", "install", "--disable-pip-version-check", "--no-compile"]
    command = [*pip, "--progress-bar", "off", "--no-deps", "--require-hashes", "--requirement", str(lock)]
    seen: list[str] = []
    with (
        tempfile.TemporaryFile("w+") as complaints,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=complaints, text=True) as running,
        reporting("Python: fetched", count, lambda: len(seen)),
    ):
        assert running.stdout is not None
        seen += (line for line in running.stdout if line.startswith(("Collecting", "Requirement already")))
        if running.wait() != 0:
            complaints.seek(0)
            raise SetupFailed(f"pip could not install {lock.name}:\n{complaints.read()[-4000:]}")


def _make(venv: Path, pip_root: Path | None) -> None:
    make = [sys.executable, "-m", "venv", "--clear", str(venv)]
    if pip_root is None:
        _run(make)
        return
    _run([*make, "--without-pip"])
    wheel = next(pip_root.glob("usr/share/python-wheels/pip-*.whl"))
    _run([str(venv / "bin/python"), str(wheel / "pip"), "install", "--quiet", "--no-index", str(wheel)])


def _installed(venv: Path) -> dict[str, str]:
    try:
        installed: dict[str, str] = json.loads((venv / "installed.json").read_text())
    except FileNotFoundError:
        return {}
    return installed if (venv / "bin/python").exists() else {}


def _remember(venv: Path, installed: dict[str, str]) -> None:
    draft = venv / "installed.new"
    draft.write_text(json.dumps(installed))
    draft.replace(venv / "installed.json")


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, check=False)
    if done.returncode != 0:
        raise SetupFailed(f"`{' '.join(map(str, command))}` failed with {done.returncode}")


def main(arguments: Sequence[str]) -> int:
    """Install the lock file named on the command line."""
    if sys.version_info < (3, 11):  # noqa: UP036 - this runs on whatever Python the host has
        say(f"Python 3.11 is needed, this is {sys.version.split()[0]}: `make PYTHON=...` names another")
        return 1
    if len(arguments) != 1:
        say("usage: python3 -m scripts.python_environment LOCK")
        return 2
    try:
        install(Path(arguments[0]), Path.cwd() / ".venv", (Path.cwd() / ".cache").resolve())
    except SetupFailed as failure:
        say(f"set-up failed: {failure}")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
