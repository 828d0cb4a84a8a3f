"""What machines are made from: role images, package depots, RAM templates, and the accelerator that runs them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from labs import images
from labs.errors import EnvironmentLackError
from labs.hypervisors.base import NodeSpec
from labs.hypervisors.qemu import command, kvm, templates
from labs.models.profile import Profile


class Stock:
    """Images and templates of this user's cache, as one profile wants them."""

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._accelerator: str | None = None
        self._accelerator_lock = threading.Lock()

    @property
    def accelerator(self) -> str:
        """`kvm` or `tcg`; `auto` as long as nobody had to know."""
        return self._accelerator or self._profile.accelerator

    def missing(self, specs: Sequence[NodeSpec]) -> list[str]:
        """What `prepare` would have to make, in the words of the plan.

        Raises EnvironmentLackError for a machine that it cannot make.
        """
        _require_own(specs)
        wanted = {(spec.role, spec.release) for spec in specs}
        absent = [f"image {role}-{release}" for role, release in sorted(wanted) if not images.find(role, release)]
        releases = sorted({spec.release for spec in specs})
        absent += [f"package depot {release}" for release in releases if images.find_depot(release) is None]
        if absent or not self._profile.instant:
            return absent
        return [
            f"template {spec.role} ({spec.memory_mb} MiB, {len(spec.nics)} cards)"
            for spec in self._one_per_shape(specs)
            if self.template(spec) is None
        ]

    def prepare(self, specs: Sequence[NodeSpec], progress: Callable[[str, str], None]) -> None:
        """Make what is missing; see `Hypervisor.prepare`."""
        _require_own(specs)
        for release in sorted({spec.release for spec in specs}):
            roles = sorted({spec.role for spec in specs if spec.release == release})
            if images.find_depot(release) is None or any(images.find(role, release) is None for role in roles):
                images.build(roles, release, progress=progress)
        if not self._profile.instant:
            return

        def cut(spec: NodeSpec) -> None:
            label = f"template {spec.role}"
            depot = self.depot(spec)
            templates.ensure(self.image(spec), self.shape(spec), depot, lambda step: progress(label, step))

        with ThreadPoolExecutor(max_workers=2) as pool:
            for outcome in [pool.submit(cut, spec) for spec in self._one_per_shape(specs)]:
                outcome.result()

    def image(self, spec: NodeSpec) -> images.RoleImage:
        """The image below the machine's disk. Raises EnvironmentLackError when it is not built."""
        _require_own([spec])
        image = images.find(spec.role, spec.release)
        if image is None:
            raise EnvironmentLackError(
                f"the image of role {spec.role} ({spec.release}) is not built; run plateau image build {spec.role}"
            )
        return image

    def depot(self, spec: NodeSpec) -> Path | None:
        """The packages that the machine installs from, when they have been fetched."""
        return images.find_depot(spec.release)

    def template(self, spec: NodeSpec) -> templates.Template | None:
        """The RAM template that the machine is resumed from; None: it boots from cold."""
        if not self._profile.instant:
            return None
        return templates.find(self.image(spec), self.shape(spec), self.depot(spec))

    def shape(self, spec: NodeSpec) -> command.Shape:
        """What a RAM state of that machine depends on."""
        depot = self.depot(spec) is not None
        return command.Shape(spec.memory_mb, spec.cores, len(spec.nics), depot, self._accelerate(spec))

    def _accelerate(self, spec: NodeSpec) -> str:
        with self._accelerator_lock:
            if self._accelerator is None:
                wanted = self._profile.accelerator
                if wanted == "auto":
                    wanted = "kvm" if kvm.usable(self.image(spec).kernel) else "tcg"
                self._accelerator = wanted
            return self._accelerator

    def _one_per_shape(self, specs: Iterable[NodeSpec]) -> list[NodeSpec]:
        return list({(spec.role, spec.release, self.shape(spec)): spec for spec in specs}.values())


def _require_own(specs: Sequence[NodeSpec]) -> None:
    """Raise EnvironmentLackError when a machine is none of ours, such as a Windows one."""
    for spec in specs:
        if not images.can_build(spec.role, spec.release):
            raise EnvironmentLackError(
                f"{spec.key.node} is cloned from a template {spec.role}-{spec.release}, which the embedded hypervisor "
                "cannot have (Windows, for one); name a profile of Proxmox VE as hypervisor in the session file"
            )
