"""Finding the Debian archive in a machine's apt configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

from labs.errors import EnvironmentLackError
from labs.images.aptsources import debian_archive, parse_deb822, parse_list

DEB822 = """\
# comment
Types: deb deb-src
URIs: http://mirror.test/debian
# a comment inside
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/some.gpg

Types: deb
URIs: http://mirror.test/security
Suites: bookworm-security
Components: main

Enabled: no
Types: deb
URIs: http://off.test/debian
Suites: bookworm
Components: main

Types: deb
URIs: http://inline.test/x
Suites: stable
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 -----END PGP PUBLIC KEY BLOCK-----
"""


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    (tmp_path / "sources.list.d").mkdir()
    return tmp_path


def test_deb822_stanzas() -> None:
    first, security, inline = parse_deb822(DEB822)
    assert first.uri == "http://mirror.test/debian"
    assert first.suites == ("bookworm", "bookworm-updates")
    assert first.signed_by == "/usr/share/keyrings/some.gpg"
    assert security.suites == ("bookworm-security",)
    assert inline.signed_by is None


def test_one_line_sources() -> None:
    text = "# deb http://no.test/debian trixie main\ndeb-src http://no.test/debian trixie main\n"
    text += "deb [arch=amd64 signed-by=/k.gpg trusted=yes] http://yes.test/debian trixie main # end\n"
    (source,) = parse_list(text)
    assert (source.uri, source.signed_by, source.trusted) == ("http://yes.test/debian", "/k.gpg", True)
    assert source.components == ("main",)


def test_the_archive_is_debians_not_a_third_partys(etc: Path) -> None:
    (etc / "sources.list").write_text(
        "deb http://vendor.test/apt tool-bookworm main\ndeb http://n.test/x nodistro main\n"
    )
    (etc / "sources.list.d" / "debian.sources").write_text(DEB822)
    (etc / "sources.list.d" / "debian.sources.bak").write_text("deb http://old.test/debian bookworm main")
    main, security = debian_archive(etc_apt=etc).lines("trixie")
    assert main.startswith("deb [signed-by=")
    assert main.endswith("] http://mirror.test/debian trixie main")
    assert security.endswith("http://mirror.test/security trixie-security main")


def test_a_named_mirror_is_the_only_one(etc: Path) -> None:
    (etc / "sources.list.d" / "debian.sources").write_text(DEB822)
    (line,) = debian_archive("http://mine.test/debian", etc).lines("bookworm")
    assert line.endswith("http://mine.test/debian bookworm main")


def test_a_machine_without_debian_is_told(etc: Path) -> None:
    with pytest.raises(EnvironmentLackError, match="no Debian archive"):
        debian_archive(etc_apt=etc)
