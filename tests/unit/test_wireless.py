"""Judging the handover between cable and wireless, and what networks promise."""

from __future__ import annotations

from typing import Any

import pytest

from graders import wireless
from graders.cp03_connection import check_wireless
from graders.probes import wifi
from labs.images import digests, initramfs, kernel, model

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
