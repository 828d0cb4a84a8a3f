"""The lab poste as data, the programs that its checks send to the workstation, and its clock."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from graders import programs
from graders.cp02_workstation import check_session, check_updates, remote
from graders.expect import Expect, Unmet
from graders.notebook import Notebook
from graders.probe_client import ProbeError
from labs.deadline import Deadline
from labs.subject import addresses
from tests.unit.lab_data import bench_of
from tests.unit.poste_world import BENCH, PROBE, Probe

if TYPE_CHECKING:
    from graders.login import Login
    from graders.probe_client import ProbeClient


@pytest.mark.parametrize("number", range(20))
def test_plan_of_any_candidate_is_sound(number: int) -> None:
    bench = bench_of("poste", number)
    lan = ipaddress.ip_network(str(bench.values["lan"]))
    assert len(set(addresses(bench).values()) | {bench.values["lan_controle"]}) == 3
    assert all(ipaddress.ip_address(one) in lan for one in addresses(bench).values())
    fresh = check_updates.fresh_version(bench, PROBE, "nuit")
    for newer, older in ((fresh, bench.values["version"]),):
        compare = ["dpkg", "--compare-versions", newer, "gt", str(older)]
        assert subprocess.run(compare, check=False).returncode == 0


def test_the_programs_are_whole_and_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    one = remote.errand("remote_night", {"word": "l'été"})
    monkeypatch.setattr(programs, "run_errand", lambda *_: asked.append(1) or '\n{"before": ""}\n\n')
    login = cast("Login", SimpleNamespace(notebook=Notebook(), answers={}))
    login.notebook.begin(5)
    for _ in range(2):
        assert remote.ask(login, "remote_night", {"a": 1}, Deadline.after(5)) == {"before": ""}
    assert len(asked) == 1
    subprocess.run(["sh", "-n"], input=one.program, text=True, check=True)
    for module in ("remote_night", "remote_drop"):
        source = programs.source(Path(str(remote.__file__)).with_name(f"{module}.py"))
        compile(source, module, "exec")
        assert "graders" not in source
        assert source.count("def at_work(") == (module == "remote_night")
    nobodys = remote.errand("remote_night", {"package": "plateau-inconnu", "data": "/nonexistent", "version": "1"})
    told = subprocess.run(["sh"], input=nobodys.program, text=True, capture_output=True, check=True)
    assert json.loads(told.stdout.split("\n")[0]) == {"before": "", "data": False}, told.stderr
    subprocess.run(["sh", "-n"], input=check_updates.UPDATE.format(package="p", ending="fin"), text=True, check=True)
    monkeypatch.setattr(programs, "run_errand", lambda *_: "Traceback\n")
    login.answers.clear()
    with pytest.raises(ProbeError, match="gave no answer"):
        remote.ask(login, "remote_night", {"a": 1}, Deadline.after(5))


def test_a_clock_that_is_known_too_badly_is_no_mark() -> None:
    class Slow(Probe):
        def call(self, probe: str, *_: Any, **__: Any) -> Any:
            return {"offset": 1.5, "within": 1.4}

    with pytest.raises(ProbeError, match="too slowly"):
        check_session.clock_offset(BENCH, cast("ProbeClient", Slow()), cast("Login", None), 200)


def test_a_machine_that_hides_its_clock_is_asked_itself() -> None:
    class Silent(Probe):
        def call(self, probe: str, *_: Any, **__: Any) -> Any:
            return {"offset": None, "within": None} if probe == "clock.offset" else 1000.0

    login = cast("Login", lambda _node: SimpleNamespace(check_output=lambda _: "1200.25"))
    assert check_session.clock_offset(BENCH, cast("ProbeClient", Silent()), login, 200) == 0.25


@pytest.mark.parametrize(
    ("looks", "kept"),
    [
        ([[70.0, 68.0, 6.0]], True),
        ([[20.0, 18.0], [29.0, 27.0], [64.0, 62.0, 0.4], [69.0, 5.4], [70.0, 6.4]], True),  # chrony, looked at early
        ([[70.0, 68.0, 66.0]], False),  # `chronyd -q` at the start
        ([[900.0, 6.0]], False),  # one since the start, one before it
    ],
)
def test_the_clock_is_kept_right_by_one_who_goes_on_asking(
    looks: list[list[float]], kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Centre(Probe):
        def call(self, probe: str, *_: Any, **__: Any) -> Any:
            if probe == "clock.offset":
                return {"offset": 0.1, "within": 0.1}
            ages = looks.pop(0) if len(looks) > 1 else looks[0]
            return [*([age, "ntp", ""] for age in ages), [1.0, "http", "x"]]

    monkeypatch.setattr(check_session, "LOOK", 0.02)
    login = cast("Login", lambda _node: SimpleNamespace(check_output=lambda _: "100.0"))
    expect, probe = Expect(), cast("ProbeClient", Centre())
    check_session.check_clock(BENCH, probe, login, expect, Deadline.after(2), Deadline.after(0.5))
    with contextlib.nullcontext() if kept else pytest.raises(Unmet, match="interrogé encore"):
        expect.conclude()


def test_a_session_that_does_not_open_in_time_is_no_failure() -> None:
    slow = SimpleNamespace(run=lambda _: SimpleNamespace(rc=124, stdout=""))
    with pytest.raises(ProbeError, match="had not opened"):
        check_session.check_session(cast("Login", lambda _node: slow), Expect())
