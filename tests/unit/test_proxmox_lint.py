"""The lint of templates made by others: two clones are made, asked, judged, and gone again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from labs.cli.main import main
from labs.doctor import Finding
from labs.errors import EnvironmentLackError, HypervisorError
from labs.hypervisors.proxmox import lint as lint_module
from labs.hypervisors.proxmox.driver import ProxmoxHypervisor
from tests.pve_proxy.faults import Fault
from tests.pve_proxy.model import Pace
from tests.pve_proxy.world import SECRET, SECRET_VARIABLE, Place, Wanted, cluster

DEBIAN = {"id": "debian", "name": "Debian GNU/Linux", "pretty-name": "Debian GNU/Linux 12 (bookworm)"}
WINDOWS = {"id": "mswindows", "name": "Microsoft Windows", "pretty-name": "Windows Server 2022 Standard"}
TEMPLATE = 22999


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Place, Path]]:
    folder = tmp_path_factory.mktemp("pve")
    options = {"templates": {"web-12": TEMPLATE, "dc-2022": TEMPLATE}}
    with cluster(folder, Wanted(options=options), Pace(scale=0.002)) as made:
        yield made, folder / "profile.json"


@pytest.fixture
def place(shared: tuple[Place, Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    monkeypatch.setenv(SECRET_VARIABLE, SECRET)
    monkeypatch.setattr(lint_module, "CONFIGURED_SECONDS", 0.5)
    place = shared[0]
    yield place
    place.proxy.rules.clear()
    place.proxy.inside = None
    listed = place.proxy.as_root("GET", "/cluster/resources")
    assert not [one for one in listed if "lint" in f"{one.get('tags')} {one.get('pool')}"]
    assert not [one for one in place.proxy.as_root("GET", "/pools") if "lint" in one["poolid"]]


def name_of(place: Place, vmid: int) -> str:
    """What cloud-init makes of the name that the machine was cloned with."""
    return place.proxy.names[vmid].partition(".")[0]


def linux(place: Place, **changes: Any) -> Callable[[int, str], Any]:
    """A good Debian; `changes` are the same in both clones."""

    def answer(vmid: int, question: str) -> Any:
        number = vmid - place.profile.vmids.first
        known = {
            "get-osinfo": DEBIAN,
            "get-host-name": {"host-name": changes.get("name") or name_of(place, vmid)},
            "network-get-interfaces": [
                {"name": "lo", "ip-addresses": [{"ip-address": "127.0.0.1", "prefix": 8}]},
                {
                    "name": "eth0",
                    "ip-addresses": [{"ip-address": changes.get("address") or str(place.profile.address(vmid).ip)}],
                },
                {"name": "eth1"},
            ],
            "exec /bin/sh": (
                f"{changes.get('identity', f'{number:032x}')}\n--keys\n"
                f"ssh-ed25519 {changes.get('key', f'AAAA{number}')} root@tpl\n--root\n"
                f"BOOT_IMAGE=/vmlinuz root={changes.get('root', 'UUID=0a1b')} ro quiet\n"
                f"{changes.get('fstab', 'UUID=0a1b')} / ext4 errors=remount-ro 0 1\n"
            ),
        }
        return known[question]

    return answer


def lint(place: Place, role: str = "web", release: str = "12") -> list[Finding]:
    return ProxmoxHypervisor(place.profile).lint(role, release, lambda _what, _step: None)


def bad(findings: list[Finding]) -> list[str]:
    return [finding.detail for finding in findings if not finding.ok]


def test_good_linux_template(place: Place) -> None:
    place.proxy.inside = linux(place)
    findings = lint(place)
    assert bad(findings) == []
    assert findings[0].detail == "its agents answer: Debian GNU/Linux 12 (bookworm)"
    assert len(findings) == 6


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"address": "192.168.1.7"}, "cloud-init set no management address"),
        ({"name": "tpl"}, "cloud-init did not set the host name: it is tpl"),
        ({"identity": "0a" * 16}, "every clone has the same machine-id"),
        ({"identity": ""}, "no machine-id could be read"),
        ({"key": "AAAAC3Nz"}, "clones share SSH host keys"),
        ({"root": "/dev/sda1"}, "its root disk is found by /dev/sda1"),
        ({"fstab": "/dev/vda2"}, "its root disk is found by /dev/vda2"),
    ],
)
def test_linux_template_that_is_not_fit(place: Place, changes: dict[str, str], told: str) -> None:
    place.proxy.inside = linux(place, **changes)
    (detail,) = bad(lint(place))
    assert detail.startswith(told)


def test_volumes_have_names_of_their_own(place: Place) -> None:
    place.proxy.inside = linux(place, root="/dev/mapper/vg-root", fstab="/dev/mapper/vg-root")
    assert bad(lint(place)) == []


def windows(place: Place, **changes: Any) -> Callable[[int, str], Any]:
    def answer(vmid: int, question: str) -> Any:
        guid = changes.get("guid") or f"6a5c2f5e-0000-0000-0000-{vmid:012d}"
        known = {
            "get-osinfo": WINDOWS,
            "get-host-name": {"host-name": name_of(place, vmid).upper()},
            "network-get-interfaces": [
                {"name": "Ethernet", "ip-addresses": [{"ip-address": str(place.profile.address(vmid).ip)}]}
            ],
            "exec reg.exe": f"\r\nHKEY_LOCAL_MACHINE\\SOFTWARE\\...\r\n    MachineGuid    REG_SZ    {guid}\r\n\r\n",
            "exec cmd.exe": changes.get("keys"),
        }
        return known[question]  # nothing else is asked: no shell, no fstab

    return answer


def test_good_windows_template_without_ssh(place: Place) -> None:
    """596 Broken pipe for a program that is not there: no keys to share."""
    place.proxy.inside = windows(place)
    assert bad(lint(place, "dc", "2022")) == []


def test_windows_template_that_was_not_generalised(place: Place) -> None:
    place.proxy.inside = windows(place, guid="6a5c2f5e-1111-2222-3333-444455556666", keys="ssh-ed25519 AAAA nt\r\n")
    findings = lint(place, "dc", "2022")
    assert bad(findings) == ["every clone has the same MachineGuid", "clones share SSH host keys"]
    assert "sysprep" in next(finding.remedy for finding in findings if "MachineGuid" in finding.detail)


def test_agent_that_never_answers_is_a_finding(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lint_module, "BOOT_SECONDS", 1.0)
    place.proxy.pace.boot = 1e9
    try:
        (finding,) = lint(place)
    finally:
        place.proxy.pace.boot = 17.0
    assert finding.detail == "its guest agent did not answer within 1 s of the start"


def test_role_template_of_ours_gets_name_and_keys_later(place: Place) -> None:
    place.proxy.inside = linux(place, name="plateau", identity="", key="")
    findings = ProxmoxHypervisor(place.profile).lint("ws", "trixie", lambda _what, _step: None)
    assert bad(findings) == []
    with pytest.raises(EnvironmentLackError, match="no template of role srv"):
        ProxmoxHypervisor(place.profile).lint("srv", "trixie", lambda _what, _step: None)


def test_what_a_killed_lint_left_is_deleted_by_the_next(place: Place) -> None:
    place.proxy.inside = linux(place)
    rule = place.proxy.fail("DELETE", r"/qemu/\d+$", Fault.TASK_KILLED, times=2)
    with pytest.raises(HypervisorError):
        lint(place)
    assert rule.seen
    place.proxy.rules.clear()
    assert bad(lint(place)) == []


def test_on_the_command_line(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    profile = json.loads((place.profile).model_dump_json(exclude_none=True))
    (tmp_path / "salle.hypervisor.yaml").write_text(json.dumps(profile))
    place.proxy.inside = linux(place, key="AAAAC3Nz")
    arguments = ["plateau", "image", "lint", "web-12", "--hypervisor", str(tmp_path / "salle.hypervisor.yaml")]
    monkeypatch.setattr("sys.argv", arguments)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 3
    told = capsys.readouterr()
    assert "clones share SSH host keys" in told.out
    assert "not fit for a lab: template web-12" in told.err
