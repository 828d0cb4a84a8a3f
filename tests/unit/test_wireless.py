"""Judging the handover between cable and wireless, and what networks promise."""

from __future__ import annotations

import functools
import ipaddress
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from graders import expect as expecting
from graders import wireless
from graders.cp03_connection import check_wireless
from graders.cp07_security import check_wireless as check_networks
from graders.expect import Expect, Unmet
from graders.probe_client import ProbeError
from graders.probes import wifi
from labs.deadline import Deadline
from labs.images import digests, initramfs, kernel, model
from labs.models.lab import load_lab
from labs.models.mutants import load_mutants
from labs.paths import CATALOGUE, PLAYBOOKS
from labs.variants import render
from tests.unit.lab_data import bench_of, rendered
from tests.unit.wireless_world import Devices, World

PULLED, PLUGGED, END = check_wireless.PULLED, check_wireless.PLUGGED, check_wireless.END


def beats(start: float, end: float) -> list[float]:
    return [start + 0.5 * step for step in range(int((end - start) / 0.5))]


def judged(echoes: list[float], frames: list[float]) -> list[bool]:
    return [ok for *_, ok in check_wireless.handover_rows({"echoes": echoes, "frames": frames})]


def test_wireless_takes_over_and_gives_back() -> None:
    echoes = beats(0, PULLED) + beats(PULLED + 4, END)
    assert judged(echoes, [*beats(PULLED + 4, PLUGGED + 3), 60.0]) == [True] * 4


def test_cable_never_left() -> None:
    assert judged(beats(0, PULLED), []) == [True, False, False, False]


def test_wireless_preferred_all_along() -> None:
    assert judged(beats(0, END), beats(0, END)) == [False, True, False, True]


def test_wireless_too_slow() -> None:
    echoes = beats(0, PULLED) + beats(PULLED + 16, END)
    assert judged(echoes, beats(PULLED + 16, PLUGGED + 1)) == [True, True, True, False]


def test_wireless_kept_after_the_cable_is_back() -> None:
    assert judged(beats(0, END), beats(PULLED, END)) == [True, True, False, True]


@pytest.mark.parametrize(("metrics", "distinct"), [([1024, 2048], True), ([0, 0], False), ([], False), ([5], True)])
def test_equal_priorities(metrics: list[int], distinct: bool) -> None:
    assert check_wireless._distinct(metrics) == distinct


def test_one_route_of_several_ways_has_one_priority_for_all() -> None:
    told = json.dumps([{"dst": "default", "metric": 100, "nexthops": [{"dev": "eth1"}, {"dev": "wlan0"}]}])
    assert check_wireless._metrics(told) == [100, 100]


@pytest.mark.parametrize("told", ["", "[", "{}", '[{"metric": "x"}]', "[1]"])
def test_nonsense_about_routes(told: str) -> None:
    assert check_wireless._metrics(told) == []


def announcement(**other: Any) -> dict[str, Any]:
    return {"rsn": True, "wpa": False, "wps": False, "group": "ccmp", "pairwise": ["ccmp"], "pmf": "required",
            "frequency": 2437, **other}  # fmt: skip


class FakeBench:
    """A bench with the one value that is asked."""

    def __init__(self) -> None:
        self.values = {"canal": 6}


@pytest.mark.parametrize(
    ("other", "wrong"),
    [
        ({}, 0), ({"wps": True}, 1), ({"wpa": True}, 1), ({"pairwise": ["ccmp", "tkip"]}, 1), ({"group": "tkip"}, 1),
        ({"rsn": False, "pairwise": [], "group": ""}, 2), ({"pmf": "capable"}, 1), ({"frequency": 2412}, 1),
    ],
)  # fmt: skip
def test_what_a_network_promises(other: dict[str, Any], wrong: int) -> None:
    beacon, response = announcement(), announcement(**other)
    rows = wireless.protections(FakeBench(), "personnel", [beacon, response])  # type: ignore[arg-type]
    assert sum(expected != observed for _, expected, observed in rows) == wrong


def test_the_configuration_of_a_device_quotes_nothing_of_the_name() -> None:
    text = wifi._configuration('a"b\n}', "secret-key", 2437)
    assert "ssid=6122620a7d\n" in text
    assert 'psk="secret-key"' in text
    assert "scan_freq=2437" in text
    assert "key_mgmt=NONE" in wifi._configuration("x", None, None)


def test_a_kernel_of_its_own_changes_only_its_role() -> None:
    base, plain = model.load_base(), model.load_role("ws")
    own = plain.model_copy(update={"kernel": "linux-image-amd64"})
    assert digests.role_digest(base, own, "trixie") != digests.role_digest(base, plain, "trixie")
    assert plain.kernel is None
    assert model.load_role("wifiap").kernel == "linux-image-amd64"
    assert any("purge" in line for line in kernel.replace_lines("linux-image-amd64"))
    assert initramfs.module_order("a/crc32c_generic.ko.xz:", ["crc32c_generic"]) == ["a/crc32c_generic.ko.xz"]


# --- the workstation without its cable ---

CHECKS = {
    "S1.b": check_wireless.check_association,
    "S1.d": check_wireless.check_open_networks,
    "S1.e": functools.partial(check_wireless.check_association_after_reboot, patience=Deadline.after(0.0)),
    "D2.a": check_wireless.check_handover,
}


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    found = World(bench_of("sansfil", 0))
    monkeypatch.setattr(expecting.time, "sleep", found.wait)
    return found


def complaint(world: World, row: str) -> str:
    """The first expectation that the check found not met; empty when it passes."""
    found = Expect()
    try:
        CHECKS[row](bench=world.bench, probe=world, login=world.login, cables=world, expect=found)  # type: ignore[operator]
        found.conclude()
    except Unmet as problem:
        return str(problem)
    return ""


@pytest.mark.parametrize("bonded", [False, True], ids=["two addresses", "one address for both cards"])
@pytest.mark.parametrize("row", CHECKS)
def test_both_ways_of_having_cable_and_wireless_pass(world: World, row: str, bonded: bool) -> None:
    world.bonded = bonded
    assert complaint(world, row) == ""


def test_who_looked_for_no_network_left_none_aside(world: World) -> None:
    world.looking = []
    with pytest.raises(ProbeError, match="nobody looked"):
        complaint(world, "S1.d")


def test_an_address_that_the_cable_leaves_behind_is_not_the_one_that_counts(world: World) -> None:
    world.forgets = 8.0
    assert complaint(world, "S1.b") == ""


def test_a_workstation_without_wireless_is_told_so(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check_wireless, "ROAM", 0.0)
    world.joins = False
    assert "adresse de ws, câble débranché" in complaint(world, "S1.b")


@pytest.mark.parametrize("row", ["S1.b", "S1.e"])
def test_an_address_that_somebody_else_answers_is_not_the_workstation_s(world: World, row: str) -> None:
    world.mute = True
    assert "trames chiffrées de la carte sans fil" in complaint(world, row)


def test_the_cable_that_was_just_plugged_may_take_what_the_subject_grants(world: World) -> None:
    world.pull("ws", "lan")
    world.wait(30)
    world.plug("ws", "lan")
    world.takes_back = check_wireless.SETTLED - 1
    assert complaint(world, "D2.a") == ""


def test_same_priority_is_seen_although_the_cable_was_just_plugged(world: World) -> None:
    world.pull("ws", "lan")
    world.wait(30)
    world.plug("ws", "lan")
    world.metrics = (1024, 1024)
    assert "même priorité" in complaint(world, "D2.a")


def test_a_cable_that_comes_back_too_late_is_seen(world: World) -> None:
    world.takes_back = check_wireless.SETTLED + 5
    assert "câble rebranché" in complaint(world, "D2.a")


# --- what a guest is given ---

NETWORK_CHECKS = {
    "S6.a": check_networks.check_staff_network,
    "S6.b": check_networks.check_guest_network,
    "S6.d": functools.partial(check_networks.check_after_reboot, patience=Deadline.after(0.0)),
}


def wrong_labels(row: str, devices: Devices) -> list[str]:
    found = Expect()
    NETWORK_CHECKS[row](bench=devices.bench, probe=devices, expect=found, undo=lambda *_: None)  # type: ignore[operator]
    return [one.label for one in found.comparisons if not one.ok]


def test_devices_of_the_staff_that_are_kept_apart_are_told() -> None:
    assert wrong_labels("S6.a", Devices(bench_of("sansfil", 0))) == []
    (label,) = wrong_labels("S6.a", Devices(bench_of("sansfil", 0), isolated=True))
    assert label == "un terminal du personnel, vu par un autre terminal du personnel"


def test_a_pool_that_goes_on_too_far_is_told() -> None:
    (label,) = wrong_labels("S6.b", Devices(bench_of("sansfil", 0), pool_ends=199))
    assert label.startswith("adresse offerte à un invité qui demande ")


@pytest.mark.parametrize("row", ["S6.b", "S6.d"])
@pytest.mark.parametrize(
    ("given", "label"),
    [
        pytest.param({}, "", id="right"),
        pytest.param({"dns": ["192.168.1.254"]}, "serveur DNS", id="a server that answers nothing"),
        pytest.param({"dns": []}, "serveur DNS", id="no server"),
        pytest.param({"mask": "255.255.0.0"}, "masque", id="mask"),
        pytest.param({"routers": []}, "passerelle", id="no router"),
    ],
)
def test_guests_are_given_what_the_subject_says(row: str, given: dict[str, Any], label: str) -> None:
    wrong_ones = wrong_labels(row, Devices(bench_of("sansfil", 0), given))
    assert len(wrong_ones) == bool(label)
    assert all(one.startswith(label) for one in wrong_ones)


ROLES = {"sansfil_ap": ("invites", "invites0"), "sansfil_alt_ap": ("visiteurs", "visiteurs")}


def offered(folder: Path, role: str, change: Callable[[str], str] = str) -> dict[str, Any]:
    """What dnsmasq offers on the guests' card, configured as the lab and the role configure it."""
    bench = bench_of("sansfil", 0)
    name, card = ROLES[role]
    ours = PLAYBOOKS / "roles" / role / "tree/etc/dnsmasq.d" / f"{name}.conf.j2"
    (folder / "agence.conf").write_text(rendered(bench, CATALOGUE / "sansfil/files/ap/dnsmasq.conf.j2"))
    (folder / f"{name}.conf").write_text(change(rendered(bench, ours)))
    address = f"{bench.values['invites_passerelle']}/{ipaddress.ip_network(str(bench.values['invites'])).prefixlen}"
    namespace = ["unshare", "-n"] if os.geteuid() == 0 else ["unshare", "-Urn"]
    command = [*namespace, sys.executable, "-m", "tests.unit.dhcp_offer", str(folder), card, address]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    (offer,) = json.loads(done.stdout)
    return dict(offer)


def wrong(offer: dict[str, Any]) -> list[str]:
    rows = wireless.guest_lease(bench_of("sansfil", 0), offer)
    return [label for label, expected, observed in rows if expected != observed]


@pytest.mark.parametrize("role", ROLES)
def test_solution_and_alternative_give_guests_what_the_subject_says(tmp_path: Path, role: str) -> None:
    assert wrong(offered(tmp_path, role)) == []


def mutated(identifier: str) -> Callable[[str], str]:
    """The change that a mutant makes to the guests' file: its `run` up to the restart, on a copy."""
    (mutant,) = [one for one in load_mutants(load_lab("sansfil")) if one.id == identifier]
    program = render(mutant.run, bench_of("sansfil", 0).variables).splitlines()[0]
    script = program.replace("sed -i", "sed").replace("/etc/dnsmasq.d/invites.conf", "")

    def change(text: str) -> str:
        return subprocess.run(["sh", "-c", script], input=text, capture_output=True, text=True, check=True).stdout

    return change


@pytest.mark.parametrize(("mutant", "label"), [("CP07-S6.m15", "serveur DNS donné"), ("CP07-S6.m16", "masque donné")])
def test_what_guests_are_given_wrong_is_seen(tmp_path: Path, mutant: str, label: str) -> None:
    (found,) = wrong(offered(tmp_path, "sansfil_ap", mutated(mutant)))
    assert label in found
