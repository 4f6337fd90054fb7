"""One of the services as a process of its own, as `python -m <service>` starts it."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.furnishing import SECRET_KEY
from tests.running_switch import CHECKOUT


def service_environment(var: Path, database_url: str) -> dict[str, str]:
    """What every service needs, and nothing of this machine's own settings."""
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("DENWABAN_")},
        "DENWABAN_VAR": str(var),
        "DENWABAN_NODE": "test",
        "DENWABAN_DATABASE_URL": database_url,
        "DENWABAN_SECRET_KEY": SECRET_KEY,
    }


@contextmanager
def running_service(service: str, environment: Mapping[str, str]) -> Iterator["subprocess.Popen[bytes]"]:
    """The process; ended in order where the test did not kill it. It writes to `<service>.out`."""
    with (Path(environment["DENWABAN_VAR"]) / f"{service}.out").open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", service],
            cwd=CHECKOUT,
            env=environment,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait(20)
