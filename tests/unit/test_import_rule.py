"""Services never import each other: they meet in the database."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[2]
SERVICES = {"pbx", "faxgw", "transcribe", "notify", "billing", "portal_api", "launch", "denwaban"}
LIBRARIES = {
    "settings": set[str](),
    "ami": set[str](),
    "store": {"settings"},
    "voices": {"settings", "store"},
    "faxpages": {"settings"},
}
"""What a library may import of ours; services may import every library."""

EXCEPTIONS = {
    "launch": (
        "pbx.dialplan",
        "pbx.signalling",
        "notify.main",
        "transcribe.main",
        "faxgw.main",
        "billing.main",
    ),
    "denwaban": ("pbx.details",),
}
"""Whoever starts Asterisk needs its configuration, a pure function of the settings; whoever starts services,
where they begin. An operator has call details made again by what made them first."""


def imported_modules(source: str) -> set[str]:
    """Give the modules that `source` imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module)
    return found


def violations(root: Path) -> Iterator[str]:
    """Say of every file below `root` which of our packages it must not import."""
    ours = SERVICES | set(LIBRARIES)
    for package in sorted(ours):
        allowed = LIBRARIES.get(package, set(LIBRARIES)) | {package}
        for file in sorted((root / package).rglob("*.py")):
            for module in sorted(imported_modules(file.read_text())):
                top = module.partition(".")[0]
                if top in ours - allowed and not module.startswith(EXCEPTIONS.get(package, ())):
                    yield f"{file.relative_to(root)} imports {module}"


def test_services_do_not_import_each_other() -> None:
    assert list(violations(ROOT)) == []


def test_the_rule_sees_a_violation(tmp_path: Path) -> None:
    (tmp_path / "pbx" / "flows").mkdir(parents=True)
    (tmp_path / "store").mkdir()
    sly = "def late():\n    from portal_api.main import main\n    import store.models\n"
    (tmp_path / "pbx" / "flows" / "sly.py").write_text(sly)
    (tmp_path / "pbx" / "fine.py").write_text(
        "import settings, store.models\nfrom . import flows\nimport pbx\n"
    )
    (tmp_path / "store" / "upside_down.py").write_text("import pbx.flows")
    assert list(violations(tmp_path)) == [
        "pbx/flows/sly.py imports portal_api.main",
        "store/upside_down.py imports pbx.flows",
    ]
