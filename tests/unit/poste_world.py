"""What stands in for the machines of the lab poste: its centre, its workstation, its nights and its dpkg."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from graders.cp02_workstation import check_updates, remote_keep, remote_night
from graders.expect import Expect
from labs.deadline import Deadline
from tests.unit.lab_data import bench_of

if TYPE_CHECKING:
    from graders.login import Login
    from graders.probe_client import ProbeClient


BENCH = bench_of("poste", 0)
CENTRE = str(BENCH.values["lan_centre"])
VERSION, PACKAGE = str(BENCH.values["version"]), str(BENCH.values["paquet"])


class Probe:
    """A probe whose centre obeys."""

    def nonce(self, purpose: str) -> str:
        return "n" + "".join(f"{ord(one):x}" for one in purpose)[:12]

    def call(self, *_: Any, **__: Any) -> Any:
        return True


PROBE = cast("ProbeClient", Probe())


class Workstation:
    """A workstation whose apt proposes what is published, from a site that it knows the address of."""

    def __init__(self, site: str, hosts: str = "", now: str = "12:00:00") -> None:
        self.site, self.hosts, self.now = site, hosts, now

    def __call__(self, _node: str) -> Any:
        return SimpleNamespace(run=self.run, check_output=lambda _: self.now)

    def run(self, command: str, site: str) -> Any:
        assert command.startswith("timeout 15 getent ahostsv4 ")
        lines = [f"{self.hosts} {kind} {site}" for kind in ("STREAM", "DGRAM")] if self.hosts else []
        return SimpleNamespace(rc=124 if self.hosts == "never" else 0 if self.hosts else 2, stdout="\n".join(lines))

    def told(self, *_: Any) -> str:
        fresh = check_updates.fresh_version(BENCH, PROBE, "source")
        return f"statut 0\ninstallee {VERSION}\nproposee {fresh} {self.site}\n"

    def judged(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(check_updates, "run_errand", self.told)
        expect = Expect()
        check_updates.check_source(BENCH, PROBE, cast("Login", self), expect, Deadline.after(5))
        expect.conclude()


class Night:
    """The clock of a machine, and apt at work there at some moments: (from, to) in seconds after the minute."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, work: list[tuple[float, float]], installed: float | None
    ) -> None:
        self.wall, self.up, self.minute = 1_000_000.0, 50.0, 2_000_000.0
        self.work, self.installed = work, installed
        self.steps: dict[float, float] = {}
        """Somebody's client of time: seconds since the start of this machine -> what it puts the clock forward by."""
        module = SimpleNamespace(time=lambda: self.wall, monotonic=lambda: self.up, sleep=self.sleep,
                                 clock_settime=self.set, CLOCK_REALTIME=0)  # fmt: skip
        monkeypatch.setattr(remote_night, "time", module)
        monkeypatch.setattr(remote_night, "at_work", lambda: any(a <= self.at < b for a, b in work))
        monkeypatch.setattr(remote_night, "lists_dates", lambda: [float(any(a <= self.at for a, _ in work))])
        monkeypatch.setattr(remote_night, "version", self.version)
        monkeypatch.setattr(remote_night, "renew_schedules", lambda: None)

    @property
    def at(self) -> float:
        return self.wall - self.minute

    def set(self, _clock: int, moment: float) -> None:
        self.wall = moment

    def sleep(self, seconds: float) -> None:
        self.wall += seconds
        self.up += seconds
        self.wall += sum(self.steps.pop(at) for at in list(self.steps) if at <= self.up)

    def version(self, _package: str) -> str:
        return "2" if self.installed is not None and self.at >= self.installed else "1"

    def live(self, *, wait: bool = True) -> dict[str, Any]:
        late, least = (150.0, 300.0) if wait else (150.0, 45.0)
        return remote_night.live(self.minute, "p", remote_night.Span(70, late, least, 600), 5.0)


class Lived(Night):
    """A machine whose clock is moved from minute to minute, and what its updates do at some moments of a day.

    `jobs`: seconds from midnight, UTC -> what is done then, at work for ten seconds.
    """

    MINUTE = 4 * 3600 + 17 * 60

    def __init__(self, monkeypatch: pytest.MonkeyPatch, jobs: dict[int, Any], tmp_path: Path) -> None:
        super().__init__(monkeypatch, [], None)
        self.jobs, self.have, self.known, self.held, self.busy = jobs, "1", "1", False, 0.0
        self.aged: list[float] = []
        self.data = tmp_path / "releves"
        self.data.write_text("before")
        monkeypatch.setattr(remote_night, "at_work", lambda: self.up < self.busy)
        monkeypatch.setattr(remote_night, "lists_dates", list)
        monkeypatch.setattr(remote_night, "version", lambda _package: self.have)
        monkeypatch.setattr(remote_night, "schedule", lambda: {"a.timer": "active"})
        monkeypatch.setattr(remote_night, "go_back", self.go_back)
        monkeypatch.setattr(remote_night, "next_minute", self.next_minute)
        monkeypatch.setattr(remote_night.Stamps, "age", self.aged.append)

    def set(self, clock: int, moment: float) -> None:
        """systemd starts at once what the clock is put beyond; what the clock is put before is waited for again."""
        crossed = [job for at, job in self.jobs.items() if (moment - at) // 86400 > (self.wall - at) // 86400]
        super().set(clock, moment)
        for job in crossed:
            self.busy = self.up + 10
            job(self)

    def next_minute(self, _moment: str, margin: float) -> float:
        day = self.wall - self.wall % 86400 + self.MINUTE
        return day if day >= self.wall + margin else day + 86400

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        if job := self.jobs.get(int(self.wall % 86400)):
            self.busy = self.up + 10
            job(self)

    def update(self) -> None:
        self.known = "2"

    def upgrade(self) -> None:
        if not self.held:
            self.have = self.known
            self.data.write_text(self.have)

    def both(self) -> None:
        self.update()
        self.upgrade()

    def go_back(self, _program: str) -> dict[str, Any]:
        self.have = "1"
        self.data.write_text("before")
        return {"status": 0, "said": "", "pace": 0.0}

    def trial(self) -> dict[str, Any]:
        told: dict[str, Any] = {}
        wanted = {"package": "p", "version": "1", "data": str(self.data), "files": [], "program": "/bin/true",
                  "minute": "04:17", "back": "x", "lead": 70, "late": 150, "limit": 300, "apart": check_updates.APART,
                  "early_lead": 15, "early_late": 90, "drift": 5.0, "suite": "s"}  # fmt: skip
        remote_night.trial(wanted, told)
        return told


class Dpkg:
    """A machine whose dpkg refuses while its lock is held, until `free` seconds, and says so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, free: float, seen: bool) -> None:
        self.up, self.free, self.state, self.version = 0.0, free, "hold", "1"
        module = SimpleNamespace(monotonic=lambda: self.up, sleep=self.sleep)
        monkeypatch.setattr(remote_keep, "time", module)
        monkeypatch.setattr(remote_keep, "at_work", lambda: seen and self.up < free)
        monkeypatch.setattr(remote_keep, "version", lambda _package: self.version)
        monkeypatch.setattr(remote_keep, "selection", lambda _package: self.state)
        monkeypatch.setattr(remote_keep, "said", self.said)
        self.keep = remote_keep.Keep.__new__(remote_keep.Keep)
        self.keep.package, self.keep.wanted, self.keep.selection = "p", "1", "install"

    def sleep(self, seconds: float) -> None:
        self.up += seconds

    def said(self, *command: str, given: str = "") -> str:
        assert command == ("dpkg", "--set-selections")
        assert given == "p install\n"
        if self.up < self.free:
            return "dpkg: error: dpkg frontend lock was locked by another process"
        self.state = "install"
        return ""
