"""doctor, bootstrap and debian-packages.txt agree on what a machine needs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from labs import doctor
from labs.models.profile import Profile
from labs.paths import ROOT

NEEDED = ("sh", "dirname", "date", "id", "cat", "sha256sum", "cut", "awk", "grep")


def bootstrap(tmp_path: Path, *programs: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run it where only these programs exist."""
    folder = tmp_path / "bin"
    folder.mkdir(exist_ok=True)
    for name in (*NEEDED, *programs):
        found = shutil.which(name)
        assert found, name
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(found)
    command = ["/bin/sh", str(ROOT / "bootstrap")]
    environment = {"PATH": str(folder), "HOME": os.environ["HOME"], **environment}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)


def test_packages_file_is_well_formed() -> None:
    packages = doctor.packages()
    assert len(packages) > 15
    assert packages["qemu-system-x86"] == "qemu-system-x86_64"
    assert packages["ca-certificates"] is None
    for package, program in packages.items():
        assert re.fullmatch(r"[a-z0-9][a-z0-9+.-]+", package)
        assert program is None or re.fullmatch(r"[a-z0-9._-]+", program)


def test_this_machine_has_what_bootstrap_installed() -> None:
    findings = {finding.what: finding for finding in doctor.examine(Profile())}
    lacking = [finding for finding in findings.values() if finding.package and not finding.ok]
    assert lacking == []
    assert {"image building", "disk", "memory", "accelerator"} <= set(findings)


def test_what_is_missing_comes_with_its_remedy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "packages.txt").write_text("# comment\n\nno-such-package  no-such-program\nother -\n")
    monkeypatch.setattr(doctor, "PACKAGES", tmp_path / "packages.txt")
    finding = doctor.examine(Profile())[0]
    assert (finding.ok, finding.what) == (False, "no-such-program")
    assert finding.remedy == "apt-get install no-such-package"


def test_bootstrap_elsewhere_than_debian(tmp_path: Path) -> None:
    refused = bootstrap(tmp_path)
    assert refused.returncode == 3
    assert refused.stderr.count("\n") == 1
    assert refused.stderr.startswith("bootstrap: this machine has no apt-get: Plateau needs Debian")


def test_bootstrap_with_an_old_python(tmp_path: Path) -> None:
    old = tmp_path / "python3.9"
    old.write_text('#!/bin/sh\ncase $1 in -V) echo "Python 3.9.2" ;; *) exit 1 ;; esac\n')
    old.chmod(0o755)
    refused = bootstrap(tmp_path, "apt-get", "dpkg-query", PYTHON=str(old))
    assert refused.returncode == 3
    assert (
        refused.stderr
        == f"bootstrap: {old} is Python 3.9.2; Plateau needs Python 3.11 or newer (Debian 12 or 13 has it)\n"
    )


def test_bootstrap_is_posix_and_clean() -> None:
    subprocess.run(["sh", "-n", str(ROOT / "bootstrap")], check=True)


def test_lock_file_names_no_index_and_has_hashes() -> None:
    text = (ROOT / "requirements.lock").read_text()
    assert not re.search(r"https?://|--index|--find-links|file:", text)
    pins = re.findall(r"^([a-z0-9-]+)==", text, flags=re.MULTILINE)
    assert {"ansible-core", "pytest", "typer", "nox", "ruff", "mypy"} <= set(pins)
    for block in re.split(r"\n(?=\S)", text):
        if "==" in block.splitlines()[0]:
            assert "--hash=sha256:" in block
