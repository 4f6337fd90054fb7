"""The pure parts of fetching packages: reading the host's sources, writing apt's configuration."""

from pathlib import Path

import pytest

from scripts.private_packages import (
    SetupFailed,
    Source,
    apt_configuration,
    asterisk_folders,
    debian_mirror,
    host_asterisk,
    host_ffmpeg,
    host_sources,
    parse_deb822_sources,
    parse_one_line_sources,
    parse_version,
)

pytestmark = pytest.mark.unit

DEB822 = """\
Types: deb deb-src
# a comment within a stanza
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://mirror.example/debian http://second.example/debian/
Suites: bookworm
 bookworm-updates
Components: main contrib

Types: deb
URIs: http://disabled.example/debian
Suites: bookworm
Components: main
Enabled: no

Types: deb-src
URIs: http://source.example/debian
Suites: bookworm
Components: main
"""

VENDORS = """\
# deb http://commented.example/debian bookworm main
deb [arch=amd64 signed-by=/usr/share/keyrings/vendor.gpg] https://vendor.example/linux/debian bookworm stable
deb https://vendor.example/php bookworm main
deb cdrom:[Debian GNU/Linux 12]/debian bookworm main
deb-src http://source.example/debian bookworm main
"""


def test_one_line_format_is_read_with_and_without_options() -> None:
    text = (
        "deb http://mirror.example/debian/ bookworm main contrib # ours\n"
        "deb [ arch=amd64 signed-by=/k.gpg ] https://v.example/x nodistro main\n"
    )
    assert parse_one_line_sources(text) == [
        Source("http://mirror.example/debian/", "bookworm", ("main", "contrib")),
        Source("https://v.example/x", "nodistro", ("main",), "/k.gpg"),
    ]


def test_stanzas_are_read_with_folded_fields_and_without_disabled_or_source_entries() -> None:
    assert [(source.address, source.suite) for source in parse_deb822_sources(DEB822)] == [
        ("http://mirror.example/debian-security", "bookworm-security"),
        ("http://mirror.example/debian", "bookworm"),
        ("http://mirror.example/debian", "bookworm-updates"),
        ("http://second.example/debian/", "bookworm"),
        ("http://second.example/debian/", "bookworm-updates"),
    ]


def test_mirror_is_the_main_archive_not_security_nor_a_vendor() -> None:
    sources = parse_one_line_sources(VENDORS) + parse_deb822_sources(DEB822)
    assert debian_mirror(sources) == "http://mirror.example/debian"


@pytest.mark.parametrize(
    ("source", "mirror"),
    [
        (Source("mirror+file:///etc/apt/mirrors/debian.list", "trixie", ("main",)), True),
        (
            Source("http://m.example/20260101", "trixie", ("main",), "/k/debian-archive-keyring.gpg"),
            True,
        ),
        (Source("http://m.example/ubuntu", "jammy", ("main",)), False),
        (Source("http://m.example/debian", "jammy", ("main",)), False),
        (Source("http://m.example/debian", "bookworm-security", ("main",)), False),
        (Source("http://m.example/debian", "bookworm", ("contrib",)), False),
    ],
)
def test_which_entries_count_as_the_debian_archive(source: Source, mirror: bool) -> None:
    assert debian_mirror([source]) == (source.address if mirror else None)


def test_host_sources_reads_both_formats_and_ignores_other_files(tmp_path: Path) -> None:
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list").write_text("deb http://a.example/debian bookworm main\n")
    (tmp_path / "sources.list.d/debian.sources").write_text(DEB822)
    (tmp_path / "sources.list.d/debian.sources.save").write_text(
        "deb http://b.example/debian bookworm main\n"
    )
    addresses = [source.address for source in host_sources(tmp_path)]
    assert addresses[0] == "http://a.example/debian"
    assert len(addresses) == 6


def test_host_without_any_source_has_no_mirror(tmp_path: Path) -> None:
    assert debian_mirror(host_sources(tmp_path)) is None


def test_apt_configuration_stays_within_the_work_folder_and_keeps_the_hosts_proxy() -> None:
    host = (
        'Acquire::http "";\n'
        'Acquire::http::Proxy "http://proxy.example:3128";\n'
        'Acquire::https::CaInfo "/etc/ca.pem";\n'
        'Acquire::Languages "ja";\n'
        'DPkg::Post-Invoke:: "touch /etc/hooked";\n'
    )
    text = apt_configuration(Path("/w o"), "arm64", host)
    assert text.splitlines()[:4] == [
        'Acquire::http::Proxy "http://proxy.example:3128";',
        'Acquire::https::CaInfo "/etc/ca.pem";',
        'Dir::Etc "/w o/etc";',
        'Dir::State "/w o/state";',
    ]
    assert "hooked" not in text
    assert 'Acquire::Languages "none";' in text
    assert 'APT::Architectures { "arm64"; };' in text


@pytest.mark.parametrize(
    ("said", "version"),
    [
        ("Asterisk 22.10.1+dfsg+~cs6.17.60671434-1\n", (22, 10, 1)),
        ("Asterisk certified-20.7-cert2", (20, 7)),
        ("\n SIPp v3.8.0-TLS-SCTP-PCAP.\n", (3, 8, 0)),
        ("Asterisk GIT-master-1a2b3c", None),
        ("", None),
    ],
)
def test_version_in_what_a_program_says(said: str, version: tuple[int, ...] | None) -> None:
    assert parse_version(said) == version


def test_folders_of_an_installed_asterisk() -> None:
    text = "[directories](!)\nastetcdir => /etc/asterisk\n;astdbdir => /x\nastmoddir = /opt/lib ; ours\n"
    assert asterisk_folders(text) == {"astetcdir": "/etc/asterisk", "astmoddir": "/opt/lib"}


def installed_asterisk(folder: Path, says: str) -> Path:
    program = folder / "asterisk"
    program.write_text(f"#!/bin/sh\necho '{says}'\n")
    program.chmod(0o755)
    return program


def test_named_asterisk_is_used_when_new_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = installed_asterisk(tmp_path, "Asterisk 22.5.0")
    monkeypatch.setenv("DENWABAN_ASTERISK", str(program))
    found = host_asterisk()
    assert found is not None
    assert (found["command"], found["version"]) == ([str(program)], "22.5.0")


def test_named_asterisk_that_cannot_be_used_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DENWABAN_ASTERISK", str(installed_asterisk(tmp_path, "Asterisk 22.4.9")))
    with pytest.raises(SetupFailed, match=r"22\.5 or newer"):
        host_asterisk()
    monkeypatch.setenv("DENWABAN_ASTERISK", str(tmp_path / "missing"))
    with pytest.raises(SetupFailed, match="does not start"):
        host_asterisk()


def test_older_asterisk_of_the_host_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed_asterisk(tmp_path, "Asterisk 20.6.0")
    monkeypatch.delenv("DENWABAN_ASTERISK", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert host_asterisk() is None


@pytest.mark.parametrize(
    ("says", "version"),
    [("ffmpeg version 4.4.2-0ubuntu0.22.04.1", "4.4.2"), ("ffmpeg version 4.2.7", None), ("", None)],
)
def test_the_hosts_ffmpeg_is_used_when_new_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: str, version: str | None
) -> None:
    program = tmp_path / "ffmpeg"
    program.write_text(f"#!/bin/sh\necho '{says}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    found = host_ffmpeg()
    assert found == ({"command": [str(program)], "version": version} if version else None)
