"""doctor and image: what the machine has."""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING, Annotated

import typer

from labs.cli.options import JsonOption
from labs.errors import EnvironmentLackError, InputError

if TYPE_CHECKING:
    from labs.doctor import Finding

image = typer.Typer(help="Role images of the embedded hypervisor, and templates made of them.", no_args_is_help=True)
HypervisorOption = Annotated[
    str, typer.Option("--hypervisor", metavar="PROFILE", help="A profile's name or file; this machine by default.")
]


def register(app: typer.Typer) -> None:
    """Add the verbs to the command line."""
    app.command()(doctor)
    app.add_typer(image, name="image")


def doctor(
    fix: Annotated[bool, typer.Option("--fix", help="Install the missing Debian packages.")] = False,
    hypervisor: HypervisorOption = "qemu",
    json: JsonOption = False,
) -> None:
    """What this machine, or a Proxmox VE cluster, lacks: one line each with the remedy."""
    from labs import doctor as examiner
    from labs.models.profile import find_profile

    profile = find_profile(hypervisor)
    findings = examiner.examine(profile)
    if fix and any(finding.package and not finding.ok for finding in findings):
        examiner.fix(findings)
        findings = examiner.examine(profile)
    _show(findings, json=json)
    lacking = [finding.what for finding in findings if not finding.ok]
    if lacking and profile.driver == "proxmox":
        raise EnvironmentLackError(f"{hypervisor} lacks {', '.join(lacking)}")
    if lacking:
        raise EnvironmentLackError(f"this machine lacks {', '.join(lacking)}; plateau doctor --fix installs packages")


@image.command("build")
def build(
    roles: Annotated[
        list[str] | None, typer.Argument(metavar="[ROLE]...", help="All roles when none is named.")
    ] = None,
    release: Annotated[str, typer.Option(help="Debian release of the guests: trixie or bookworm.")] = "trixie",
    mirror: Annotated[str | None, typer.Option(help="Debian mirror; by default the one apt uses here.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Build again even when nothing changed.")] = False,
    hypervisor: HypervisorOption = "qemu",
    json: JsonOption = False,
) -> None:
    """Build role images from Debian packages; on a Proxmox VE cluster, templates of them. What is current is kept."""
    from labs import images
    from labs.cli.output import Progress, duration, out, print_json
    from labs.models.profile import find_profile

    started = time.monotonic()
    progress = Progress(quiet=json)
    profile = find_profile(hypervisor)
    if profile.driver == "proxmox":
        from labs.hypervisors.proxmox.driver import ProxmoxHypervisor

        with progress.showing():
            if force or mirror is not None:
                images.build(roles or images.role_names(), release, progress=progress, mirror=mirror, force=force)
            made = ProxmoxHypervisor(profile).build_templates(roles or images.role_names(), release, progress)
        if json:
            print_json([{"vmid": vmid} for vmid in made])
        else:
            out.print(f"{len(made)} templates made in {duration(time.monotonic() - started)}")
        return
    with progress.showing():
        built = images.build(roles or images.role_names(), release, progress=progress, mirror=mirror, force=force)
    if json:
        print_json([_described(one) for one in built])
        return
    size = sum(one.size_bytes for one in built) >> 20
    out.print(f"{len(built)} images ready in {duration(time.monotonic() - started)}, {size} MiB on disk")


@image.command("list")
def list_(json: JsonOption = False) -> None:
    """Role images in the cache, with size and age."""
    from labs import images
    from labs.cli.output import out, print_json, table

    found = images.list_images()
    if json:
        print_json([_described(one) for one in found])
        return
    shown = table("Role", "Release", "Digest", "Size", "Built")
    for one in found:
        built = time.strftime("%Y-%m-%d %H:%M", time.localtime(one.built))
        shown.add_row(one.role, one.release, one.digest[:12], f"{one.size_bytes >> 20} MiB", built)
    out.print(shown if found else "no image yet: run plateau image build")


@image.command("prune")
def prune(json: JsonOption = False) -> None:
    """Remove older images and templates that no machine uses."""
    from labs.cli.output import out, print_json
    from labs.hypervisors.qemu.prune import prune as remove

    removed, size = remove()
    if json:
        print_json({"removed": removed, "bytes": size})
        return
    for name in removed:
        out.print(name)
    out.print(f"{len(removed)} removed, {size >> 20} MiB freed")


@image.command("lint")
def lint(
    roles: Annotated[
        list[str] | None, typer.Argument(metavar="[ROLE-RELEASE]...", help="All that the profile names when none is.")
    ] = None,
    hypervisor: HypervisorOption = "qemu",
    json: JsonOption = False,
) -> None:
    """Look into two throw-away clones of each template of a Proxmox VE cluster, through their agents."""
    from labs.cli.output import Progress
    from labs.hypervisors.proxmox.driver import ProxmoxHypervisor
    from labs.models.profile import find_profile

    profile = find_profile(hypervisor)
    if profile.driver != "proxmox":
        raise InputError(f"{hypervisor}: only templates of a cluster are looked into; name its profile: --hypervisor P")
    wanted = roles or sorted(profile.templates)
    if not wanted:
        raise InputError(f"{hypervisor} names no templates of others; name one, as ws-trixie")
    driver, findings, progress = ProxmoxHypervisor(profile), [], Progress(quiet=json)
    with progress.showing():
        for one in wanted:
            role, _, release = one.rpartition("-")
            if not role:
                raise InputError(f"{one}: a template is named role-release, as ws-trixie")
            findings += driver.lint(role, release, progress)
    _show(findings, json=json)
    lacking = list(dict.fromkeys(finding.what for finding in findings if not finding.ok))
    if lacking:
        raise EnvironmentLackError(f"not fit for a lab: {', '.join(lacking)}")


def _show(findings: list[Finding], *, json: bool) -> None:
    from labs.cli.output import out, print_json, table

    if json:
        print_json([dataclasses.asdict(finding) for finding in findings])
        return
    shown = table("", "", "")
    for finding in findings:
        mark = "[green]ok[/]" if finding.ok else "[red]lacks[/]"
        shown.add_row(mark, finding.what, finding.detail if finding.ok else f"{finding.detail}: {finding.remedy}")
    out.print(shown)


def _described(one: object) -> dict[str, object]:
    return {key: str(value) if key in {"disk", "kernel", "initrd"} else value for key, value in vars(one).items()}
