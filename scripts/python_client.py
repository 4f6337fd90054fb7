"""Makes a typed Python client from the API's own document: `make client`."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from portal_api.main import ROUTES
from portal_api.openapi import document

PACKAGE = "denwaban_client"
TIMEOUT_S = 120.0
BYTES = "application/octet-stream"
FILES = sorted({kind for route in ROUTES for kind in route.produces})
"""Answers that the generator knows no types for."""


class NotMade(Exception):
    """The generator could not use the document; the message is what it said."""


def make_client(folder: Path) -> Path:
    """Make the package `denwaban_client` in `folder`, in the place of an older one. Raises NotMade."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as drafts:
        described, config = Path(drafts) / "openapi.json", Path(drafts) / "config.json"
        described.write_text(json.dumps(document(ROUTES)))
        # No formatter: it would have to be on the path. JSON is YAML.
        how = {"post_hooks": [], "content_type_overrides": dict.fromkeys(FILES, BYTES)}
        config.write_text(json.dumps(how))
        command = [
            sys.executable, "-m", "openapi_python_client", "generate", "--overwrite", "--fail-on-warning",
            "--meta", "none", "--path", str(described), "--config", str(config),
            "--output-path", str(folder / PACKAGE),
        ]  # fmt: skip
        made = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    if made.returncode != 0:
        raise NotMade(made.stdout + made.stderr)
    return folder / PACKAGE


def main() -> None:
    try:
        made = make_client(Path("var") / "client")
    except NotMade as reason:
        sys.exit(f"the client was not made:\n{reason}")
    print(f"{made}: put {made.parent} on PYTHONPATH, and `from {PACKAGE} import AuthenticatedClient`")


if __name__ == "__main__":
    main()
