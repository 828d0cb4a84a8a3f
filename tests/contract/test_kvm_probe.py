"""The KVM probe: its guest speaks under software emulation; an accelerator that is not there is not believed."""

from __future__ import annotations

import pytest

from labs import images
from labs.hypervisors.qemu import kvm


@pytest.mark.only("qemu")
def test_guest_of_the_probe_speaks(world) -> None:
    kernel = images.list_images()[0].kernel
    assert kvm.guest_speaks(kernel, "tcg", "max", seconds=90)


@pytest.mark.only("qemu")
def test_refused_accelerator_is_no_guest(world) -> None:
    kernel = images.list_images()[0].kernel
    assert not kvm.guest_speaks(kernel, "xen", "max")
