"""The scheduled task of the lab annuaire: the night that its machine lives through, and what is concluded from it."""

from __future__ import annotations

import contextlib
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from graders.cp10_scripts import check_schedule
from graders.expect import Expect, Unmet
from graders.probe_client import ProbeError
from labs.deadline import Deadline
from tests.unit.lab_data import bench_of

if TYPE_CHECKING:
    from graders.login import Login
    from graders.probe_client import ProbeClient

BENCH = bench_of("annuaire", 0)
PROBE = cast("ProbeClient", SimpleNamespace(nonce=lambda _purpose: "n0123456789ab"))
THERE = cast("Login", lambda _node: SimpleNamespace(run=lambda *_: SimpleNamespace(rc=0)))
"""A machine that has the script."""
NIGHT = str(BENCH.values["tache_moment"])


@pytest.mark.parametrize(
    ("told", "seen"),
    [
        ("passage 2 dossiers", f"à {NIGHT}"),
        ("passage 61 dossiers", None),  # a systemd timer may be a minute late
        ("jamais", "jamais"),
        ("passage -9 dossiers", check_schedule.when(NIGHT, -9)),
        ("passage 3 root", "root"),
        ("passage 3 dossiers\ndroits-de-root", "root"),
        ("passage 3 dossiers\nencore 3602", f"encore {check_schedule.when(NIGHT, 3602)}"),
    ],
)
def test_a_task_is_judged_by_its_minute_and_its_account(
    told: str, seen: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check_schedule, "run_errand", lambda *_: f"écart -1\n{told}\n")
    expect, good = Expect(), told in {"passage 2 dossiers", "passage 61 dossiers"}
    arguments = (BENCH, PROBE, THERE, expect, Deadline.after(5))
    with contextlib.nullcontext() if good else pytest.raises(Unmet):
        check_schedule.check_task(*arguments)
        expect.conclude()
    assert seen is None or seen in [one.observed for one in expect.comparisons]


# A clock of two files, which `sleep` moves; at the minute of the task, it runs, and at once when the clock is put
# beyond that minute, as a systemd timer does. It is the machine of nobody else.
SIMULATED = """
moment={moment}
date() {{
  case "$1" in
    +%s) cat {place}/wall ;;
    -s)
      now=$(cat {place}/wall) due=$((now - now % 86400 + moment))
      [ $due -gt $now ] || due=$((due + 86400))
      echo "${{2#@}}" >{place}/wall
      [ "${{2#@}}" -lt $due ] || task ;;
    -d)
      now=$(cat {place}/wall) due=$((now - now % 86400 + moment))
      case "$2" in tomorrow*) due=$((due + 86400)) ;; esac
      echo $due ;;
  esac
}}
systemctl() {{ return 1; }}
sleep() {{
  for file in wall up; do echo $(($(cat {place}/$file) + $1)) >{place}/$file; done
  now=$(cat {place}/wall)
  [ $((now % 86400 / 5)) -ne $((moment / 5)) ] || task
}}
folder() {{ mkdir -p {place}/dossiers/"$1" && chown games {place}/dossiers/"$1"; }}
"""
BY_ROOT = "task() { folder Contrôle/n1; folder Contrôle-root/n1r; }"
BY_ACCOUNT = """task() {
  folder Contrôle/n1
  [ -d {place}/dossiers/Contrôle-root ] && [ "$(stat -c %U {place}/dossiers/Contrôle-root)" = root ] ||
    { folder Contrôle-root; folder Contrôle-root/n1r; }
}"""


MOMENT = sum(int(part) * unit for part, unit in zip(NIGHT.split(":"), (3600, 60), strict=True))
"""Seconds of the day."""
NOON = 1_000_000 - 1_000_000 % 86400 + 43200


def night(task: str, begun: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """What the program told of a machine whose clock says `begun` and that runs that task."""
    (tmp_path / "wall").write_text(f"{begun}\n")
    (tmp_path / "up").write_text("50\n")
    monkeypatch.setattr(check_schedule, "EXPORT", str(tmp_path / "arrivees.csv"))
    monkeypatch.setattr(check_schedule, "ROOT", str(tmp_path / "dossiers"))
    before = SIMULATED.format(place=tmp_path, moment=MOMENT) + task.replace("{place}", str(tmp_path))
    program = check_schedule._night(NIGHT, "n1").program.replace("/proc/uptime", str(tmp_path / "up"))
    done = subprocess.run(["sh", "-c", f"{before}\n{program}"], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return done.stdout.partition(check_schedule.END)[0]


@pytest.mark.parametrize("late", [-300, -75, -30, -1, 0, 20, 79, 85, 3000])
def test_a_grading_near_the_minute_of_the_task_is_like_any_other(
    late: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = night(BY_ACCOUNT, NOON - 43200 + MOMENT + late, tmp_path, monkeypatch)
    ran = [line.split() for line in told.split("\n") if line.startswith("passage ")]
    assert [0 <= int(one[1]) <= 5 for one in ran] == [True], told
    assert "encore" not in told


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize(("task", "account"), [(BY_ROOT, "root"), (BY_ACCOUNT, "games")])
def test_who_runs_the_task_is_known_even_when_it_makes_the_folder_of_all(
    task: str, account: str, there: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if there:
        (tmp_path / "dossiers").mkdir()
    told = night(task, NOON, tmp_path, monkeypatch)
    assert "droits-de-root" in told or account != "root"
    assert "droits-de-root" not in told or account == "root"
    assert (tmp_path / "dossiers").exists() == there
    values = {**BENCH.values, "tache_compte": "games"}
    monkeypatch.setattr(check_schedule, "text", lambda _bench, name: str(values[name]))
    monkeypatch.setattr(check_schedule, "run_errand", lambda *_: told)
    expect = Expect()
    check_schedule.check_task(BENCH, PROBE, THERE, expect, Deadline.after(5))
    with pytest.raises(Unmet, match="compte de la tâche") if account == "root" else contextlib.nullcontext():
        expect.conclude()


def test_a_clock_that_did_not_stay_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check_schedule, "run_errand", lambda *_: "écart 600\njamais\n")
    with pytest.raises(ProbeError, match="clock of srv"):
        check_schedule.check_task(BENCH, PROBE, THERE, Expect(), Deadline.after(5))
    monkeypatch.setattr(check_schedule, "run_errand", lambda *_: "écart 0\njamais\narrêt 30\n")
    with pytest.raises(ProbeError, match="stood still for 30 s"):
        check_schedule.check_task(BENCH, PROBE, THERE, Expect(), Deadline.after(5))
    program = check_schedule._night(NIGHT, "n1").program
    subprocess.run(["sh", "-n"], input=program, text=True, check=True)
