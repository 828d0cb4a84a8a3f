"""The QEMU command line: one set of devices for templates and their clones, since a RAM state fits no other."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from labs.images import KERNEL_CMDLINE

TB_CACHE_MB = 128
"""Translated-code cache of TCG; left alone, it grows a 1 GiB guest to 900 MB."""

DEVICES_VERSION = "2"
"""Raise when the devices below change: RAM templates of another version are not used."""


EMULATED_CLOCK = "clocksource=acpi_pm"
"""While it boots, a guest measures how fast its processor counts (TSC), and believes it for good. Emulated on a busy
host it measures wrong: 589 MHz instead of 2596 were seen, and a clock that ran four times too fast. A RAM template
would take that to every clone, and to a computer with another processor. QEMU counts the ACPI timer by its host's time.
"""


@dataclass(frozen=True)
class Shape:
    """What a RAM state depends on, besides the image."""

    memory_mb: int
    cores: int
    nics: int
    depot: bool
    accelerator: str


def kernel_cmdline(shape: Shape) -> str:
    """What the kernel is told; under KVM its clock is the host's (kvm-clock)."""
    return KERNEL_CMDLINE if shape.accelerator == "kvm" else f"{KERNEL_CMDLINE} {EMULATED_CLOCK}"


def base_arguments(shape: Shape, *, folder: Path, disk: Path, kernel: str, initrd: str, depot: str | None) -> list[str]:
    """Arguments shared by a template and its clones; sockets are relative to the working directory."""
    accelerator = "kvm" if shape.accelerator == "kvm" else f"tcg,thread=multi,tb-size={TB_CACHE_MB}"
    arguments = [
        "qemu-system-x86_64",
        *("-machine", "pc,memory-backend=ram,hpet=off,vmport=off"),
        *("-accel", accelerator, "-cpu", "host" if shape.accelerator == "kvm" else "max"),
        *("-smp", str(shape.cores), "-m", f"{shape.memory_mb}M"),
        *("-nodefaults", "-no-user-config", "-display", "none", "-sandbox", "on"),
        *("-pidfile", str(folder / "qemu.pid")),
        *("-kernel", kernel, "-initrd", initrd, "-append", kernel_cmdline(shape)),
        *("-drive", f"file={disk},if=none,id=drive0,node-name=disk0,cache=unsafe,discard=unmap"),
        *("-device", "virtio-blk-pci,drive=drive0"),
        *("-qmp", "unix:qmp.sock,server=on,wait=off"),
        *("-device", "virtio-serial-pci"),
        *("-chardev", "socket,id=qga,path=qga.sock,server=on,wait=off"),
        *("-device", "virtserialport,chardev=qga,name=org.qemu.guest_agent.0"),
        *("-chardev", "socket,id=serial,path=serial.sock,server=on,wait=off"),
        *("-device", "isa-serial,chardev=serial"),
        *("-device", "VGA,vgamem_mb=4"),
        *("-device", "virtio-rng-pci"),
    ]
    if depot is not None:
        arguments += ["-drive", f"file={depot},if=none,id=depot0,format=raw,read-only=on"]
        arguments += ["-device", "virtio-blk-pci,drive=depot0,serial=plateau-depot"]
    return arguments


def memory(path: Path, size_mb: int, *, share: bool) -> list[str]:
    """RAM in a file: shared while a template is made, a private copy-on-write view of it in a clone."""
    flag = "on" if share else "off"
    return ["-object", f"memory-backend-file,id=ram,size={size_mb}M,mem-path={path},share={flag}"]


def plain_memory(size_mb: int) -> list[str]:
    """RAM of a machine that boots from cold."""
    return ["-object", f"memory-backend-ram,id=ram,size={size_mb}M"]


def management(forward: str = "") -> list[str]:
    """The management card: the guest reaches nothing (restrict=on), only the forwarded SSH port comes in."""
    suffix = f",hostfwd=tcp:{forward}-10.0.2.15:22" if forward else ""
    return [
        *("-netdev", f"user,id=mgmt,restrict=on,ipv6=off{suffix}"),
        *("-device", "virtio-net-pci,netdev=mgmt,romfile="),
    ]


def card(index: int, mac: str) -> list[str]:
    """A lab card; QEMU listens, the switch of the bench connects.

    Without `ctrl_vlan`: when a snapshot is loaded, QEMU loses the VLANs of a card, and tagged frames stay outside.
    """
    return [
        *("-netdev", f"stream,id=lan{index},server=on,addr.type=unix,addr.path=nic{index}.sock"),
        *("-device", f"virtio-net-pci,netdev=lan{index},id=nic{index},mac={mac},ctrl_vlan=off,romfile="),
    ]
