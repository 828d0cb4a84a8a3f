"""The profile of a cluster: what is refused, and with which words."""

from __future__ import annotations

from pathlib import Path

import pytest

from labs.errors import EnvironmentLackError, InputError
from labs.models.profile import load_profile, load_profile_file
from labs.models.proxmox import ProxmoxProfile, SdnNetwork

PROFILE = """\
driver: proxmox
hosts: [pve1.example.org]
token: plateau@pve!plateau
secret_file: plateau.secret
ca_file: ca.pem
vmids: {first: 20000, last: 20999}
network: {mode: sdn, zone: plateau}
management: {bridge: vmbr0, network: 10.66.0.0/20, first: 10.66.1.0}
"""


def written(folder: Path, text: str = PROFILE) -> Path:
    path = folder / "salle.hypervisor.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def loaded(folder: Path, text: str = PROFILE) -> ProxmoxProfile:
    profile = load_profile_file(written(folder, text))
    assert isinstance(profile, ProxmoxProfile)
    return profile


def refused(folder: Path, text: str) -> str:
    with pytest.raises(InputError) as problem:
        loaded(folder, text)
    return str(problem.value)


def test_profile_is_found_beside_the_session_and_its_files_beside_it(tmp_path: Path) -> None:
    written(tmp_path)
    profile = load_profile("salle", tmp_path / "session.yaml")
    assert isinstance(profile, ProxmoxProfile)
    assert isinstance(profile.network, SdnNetwork)
    assert profile.secret_file == tmp_path / "plateau.secret"
    assert profile.ca_file == tmp_path / "ca.pem"
    assert str(profile.address(20010)) == "10.66.1.10/20"


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ("secret_file: plateau.secret\n", "", "give either secret_env or secret_file"),
        ("token: plateau@pve!plateau", "token: plateau@pve", ":3: token: "),
        ("zone: plateau", "zone: plateau-zone", ":7: network"),
        ("vmids: ", "templates: {DC-2022: 9100}\nvmids: ", ":6: templates"),
        ("first: 20000", "first: 21000", ":6: vmids: first is greater than last"),
        ("last: 20999", "last: 29999", "management: 10000 addresses, one a VMID, are wanted from 10.66.1.0"),
        ("first: 10.66.1.0", "first: 10.99.1.0", "shorten vmids or give a larger network"),
        ("mode: sdn, zone: plateau", "mode: bridge, bridge: vmbr1, vlans: {first: 4000, last: 4096}", "4094"),
        ("ca_file: ca.pem", "ca_file: ca.pem\nverify: false", ":6: verify: unknown key; check the spelling"),
    ],
)
def test_refused(tmp_path: Path, before: str, after: str, told: str) -> None:
    assert told in refused(tmp_path, PROFILE.replace(before, after))


def test_secret_is_read_from_a_file_that_only_its_owner_reads(tmp_path: Path) -> None:
    profile = loaded(tmp_path)
    with pytest.raises(EnvironmentLackError, match=r"plateau.secret: secret_file cannot be read"):
        profile.secret()
    file = tmp_path / "plateau.secret"
    file.write_text("s3cret\n")
    file.chmod(0o640)
    with pytest.raises(InputError, match="others can read it; run chmod 600"):
        profile.secret()
    file.chmod(0o600)
    assert profile.secret() == "s3cret"


def test_secret_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    profile = loaded(tmp_path, PROFILE.replace("secret_file: plateau.secret", "secret_env: PVE_SECRET"))
    monkeypatch.delenv("PVE_SECRET", raising=False)
    with pytest.raises(EnvironmentLackError, match="PVE_SECRET is not set; it must hold the secret of token"):
        profile.secret()
    monkeypatch.setenv("PVE_SECRET", "s3cret")
    assert profile.secret() == "s3cret"


@pytest.mark.parametrize("pasted", ["plateau@pve!plateau=0a1b2c3d", "PVEAPIToken=0a1b2c3d", "value 0a1b2c3d"])
def test_secret_that_was_pasted_with_its_name_is_refused(tmp_path: Path, pasted: str) -> None:
    """It would only be an answer 401, three seconds later."""
    file = tmp_path / "plateau.secret"
    file.write_text(pasted)
    file.chmod(0o600)
    with pytest.raises(InputError, match="only the secret belongs there"):
        loaded(tmp_path).secret()


@pytest.mark.parametrize("host", ["https://pve1.example.org:8006/", "pve1:8006/api2", "fe80::1", "pve1 pve2", ""])
def test_host_is_no_address_of_a_browser(tmp_path: Path, host: str) -> None:
    assert "write pve1.example.org:8006" in refused(tmp_path, PROFILE.replace("[pve1.example.org]", f"['{host}']"))


@pytest.mark.parametrize("host", ["pve1", "10.1.2.3:8006", "[fe80::1]", "[fe80::1]:443"])
def test_hosts_as_they_are_written(tmp_path: Path, host: str) -> None:
    assert loaded(tmp_path, PROFILE.replace("[pve1.example.org]", f"['{host}']")).hosts == [host]


def test_fingerprint_as_the_tools_show_it(tmp_path: Path) -> None:
    plain = "0a" * 32
    colons = ":".join(["0A"] * 32)
    for shown in (plain, colons, f"sha256 Fingerprint={colons}", f"SHA-256 {colons.lower()}"):
        text = PROFILE.replace("ca_file: ca.pem", f"fingerprint: '{shown}'")
        assert loaded(tmp_path, text).fingerprint == colons
    short = PROFILE.replace("ca_file: ca.pem", "fingerprint: AA:BB")
    assert "a SHA-256 fingerprint has 64 hexadecimal digits" in refused(tmp_path, short)


def test_one_fingerprint_is_not_that_of_several_hosts(tmp_path: Path) -> None:
    pinned = PROFILE.replace("ca_file: ca.pem", f"fingerprint: {'0a' * 32}")
    several = pinned.replace("[pve1.example.org]", "[pve1.example.org, pve2.example.org]")
    assert "each node has its own; with several hosts give ca_file" in refused(tmp_path, several)
