"""Packages are unpacked all or nothing."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from scripts.private_packages import Group, Machine, SetupFailed, unpack

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not shutil.which("dpkg-deb"), reason="dpkg-deb is not on this host"),
]

GROUP = Group("Greeting", ("greeting",))
CONTROL = """\
Package: {name}
Version: 1
Architecture: all
Maintainer: Nobody <nobody@example.org>
Description: a word
"""


def package(folder: Path, name: str) -> Path:
    tree = folder / name
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "DEBIAN/control").write_text(CONTROL.format(name=name))
    (tree / "usr/share").mkdir(parents=True)
    (tree / "usr/share" / name).write_text(name)
    archive = folder / f"{name}.deb"
    subprocess.run(["dpkg-deb", "--build", tree, archive], check=True, capture_output=True)
    return archive


def test_packages_lie_side_by_side_and_replace_what_was_there(tmp_path: Path) -> None:
    root = tmp_path / "group" / "root"
    archives = [package(tmp_path, "hello"), package(tmp_path, "goodbye")]
    unpack(GROUP, archives[:1], root, Machine.here())
    unpack(GROUP, archives, root, Machine.here())
    assert sorted(path.name for path in (root / "usr/share").iterdir()) == ["goodbye", "hello"]
    assert json.loads((root / ".denwaban.json").read_text())["packages"] == ["greeting"]
    assert [path.name for path in root.parent.iterdir()] == ["root"]


def test_a_damaged_package_leaves_what_was_there(tmp_path: Path) -> None:
    root = tmp_path / "group" / "root"
    good = package(tmp_path, "hello")
    damaged = tmp_path / "damaged.deb"
    damaged.write_bytes(good.read_bytes()[:100])
    unpack(GROUP, [good], root, Machine.here())
    with pytest.raises(SetupFailed, match="dpkg-deb"):
        unpack(GROUP, [good, damaged], root, Machine.here())
    assert (root / "usr/share/hello").read_text() == "hello"
    unpack(GROUP, [good], root, Machine.here())
    assert [path.name for path in root.parent.iterdir()] == ["root"]
