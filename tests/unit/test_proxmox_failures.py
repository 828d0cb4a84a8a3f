"""What errors of Proxmox VE mean, on words recorded from Proxmox VE 9.1.5."""

from __future__ import annotations

import pytest

from labs.hypervisors.proxmox.failures import Kind, classify, cleaned
from labs.hypervisors.proxmox.tasks import succeeded

RECORDED = [
    (596, "Connection timed out", Kind.UNKNOWN),
    (596, "Broken pipe", Kind.UNKNOWN),
    (595, "No route to host", Kind.UNKNOWN),
    (500, "got no worker upid - start worker failed", Kind.UNKNOWN),
    (500, "can't lock file '/var/lock/qemu-server/lock-240.conf' - got timeout", Kind.BUSY),
    (None, "clone failed: can't lock file '/var/lock/pve-manager/pve-storage-local' - got timeout", Kind.BUSY),
    (None, "VM is locked (snapshot)", Kind.BUSY),
    (None, "VM is locked (backup)", Kind.BUSY),
    (500, "VM is locked (suspending)", Kind.BUSY),
    (None, "VM is locked (suspended)", Kind.OTHER),
    (500, "Configuration file 'nodes/pve1/qemu-server/999.conf' does not exist", Kind.MISSING),
    (None, "unable to find configuration file for VM 240 on node 'pve1'", Kind.MISSING),
    (500, "sdn vnet 'zzz' does not exist", Kind.MISSING),
    (500, "unable to create VM 230: config file already exists", Kind.EXISTS),
    (500, "unable to create VM 100 - VM 100 already exists on node 'pve1'", Kind.EXISTS),
    (500, "create pool failed: pool 'range' already exists", Kind.EXISTS),
    (500, "create sdn vnet object failed: sdn vnet object ID 'rv1' already defined", Kind.EXISTS),
    (None, "VM 100 already running", Kind.EXISTS),
    (403, "Permission check failed (/vms/700, VM.Audit)", Kind.DENIED),
    (403, "Permission check failed (pool 'nopool' does not exist)", Kind.DENIED),
    (500, "QEMU guest agent is not running", Kind.NO_AGENT),
    (500, "VM 100 is not running", Kind.STOPPED),
    (500, "VM 100 not running", Kind.STOPPED),
    (400, "name: invalid format - value does not look like a valid DNS name", Kind.INVALID),
    (None, "clone failed: copy failed: command '/usr/bin/qemu-img convert a b' failed: exit code 1", Kind.OTHER),
    (None, "qemu-img: error while writing at byte 0: No space left on device", Kind.FULL),
    (
        500,
        "create sdn vnet object failed: invalid lock token provided! at /usr/share/perl5/PVE/x.pm line 281.",
        Kind.BUSY,
    ),
]


@pytest.mark.parametrize(("status", "text", "kind"), RECORDED)
def test_recorded_words(status: int | None, text: str, kind: Kind) -> None:
    assert classify(status, text) is kind


def test_perl_is_not_shown() -> None:
    told = "zone rz is used by vnet rv1 at /usr/share/perl5/PVE/Network/SDN/Zones/Plugin.pm line 160.\n"
    assert cleaned(told) == "zone rz is used by vnet rv1"


@pytest.mark.parametrize(
    ("outcome", "well"), [("OK", True), ("WARNINGS: 1", True), ("VM quit/powerdown failed", False)]
)
def test_outcome_of_a_task(outcome: str, well: bool) -> None:
    assert succeeded(outcome) is well
