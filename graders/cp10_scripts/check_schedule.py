"""CP10-S3: a scheduled task, judged by the clock: the machine lives through the minute at which it must run."""

from __future__ import annotations

import shlex

from graders.check import check
from graders.errand import Errand, run_errand
from graders.expect import Expect
from graders.login import Login
from graders.probe_client import ProbeClient, ProbeError
from graders.vantage import text
from labs.bench import Bench
from labs.deadline import Deadline

EXPORT, ROOT = "/srv/arrivees.csv", "/srv/dossiers"
TEAM = "Contrôle"
LEAD, LATE = 70, 80
"""Seconds before and after the minute: one more minute begins before it, and a systemd timer may be a minute late."""
# Whatever schedules it (cron, a systemd timer, at): the clock is put shortly before the minute and runs on. Everything
# is put back when the program ends. Clients of time are stopped meanwhile, or the clock would not stay where it is put.
PROGRAM = """
place=$(mktemp -d) wall=$(date +%s) up=$(cut -d. -f1 /proc/uptime) stopped=
elapsed() {{ echo $(($(cut -d. -f1 /proc/uptime) - up)); }}
put_back() {{
  date -s "@$((wall + $(elapsed)))" >/dev/null
  [ -z "$stopped" ] || systemctl start $stopped
  if [ -e "$place/export" ]; then cat "$place/export" >{export}; else rm -f {export}; fi
  rm -rf {folder} "$place"
  rmdir {team} 2>/dev/null
}}
trap put_back EXIT
for unit in chrony ntpsec systemd-timesyncd; do
  if systemctl is-active -q $unit; then stopped="$stopped $unit"; systemctl stop $unit; fi
done
[ ! -e {export} ] || cp {export} "$place/export"
printf '%s\\n' 'identifiant;nom;service' {row} >{export}
minute=$(date -d {moment} +%s)
[ "$minute" -gt $((wall + {lead} + 10)) ] || minute=$(date -d 'tomorrow {moment}' +%s)
begun=$(elapsed)
date -s "@$((minute - {lead}))" >/dev/null
while [ ! -d {folder} ] && [ $(($(elapsed) - begun)) -lt $(({lead} + {late})) ]; do sleep 1; done
ran=$(date +%s)
echo "écart $((ran - (minute - {lead}) - ($(elapsed) - begun)))"
if [ -d {folder} ]; then sleep 2; echo "passage $((ran - minute)) $(stat -c %U {folder})"; else echo jamais; fi
echo {ending}
"""
END = "fin-de-la-nuit"


@check("CP10-S3.a", needs=("CP10-S2.a",), nodes=("srv",), phase="reboot", seconds=300)
def check_task(bench: Bench, probe: ProbeClient, login: Login, expect: Expect, deadline: Deadline) -> None:
    """Chaque nuit, à l'heure dite, srv prépare seul les dossiers du dernier export, sous le compte demandé.

    Après le redémarrage, la sonde dépose un export inédit et met l'horloge de srv peu avant l'heure de la tâche ; le
    dossier doit paraître à la minute voulue, ni avant, ni jamais. L'horloge et l'export sont ensuite remis.
    """
    moment, account = text(bench, "tache_moment"), text(bench, "tache_compte")
    told = run_errand(login, _night(moment, probe.nonce("schedule")), deadline).split("\n")
    drift = next((int(line.split()[1]) for line in told if line.startswith("écart ")), None)
    if drift is None or abs(drift) > 5:
        raise ProbeError(f"the clock of srv did not stay where it was put: {told!r}")
    ran = next((line.split() for line in told if line.startswith("passage ")), [])
    label = "dossier préparé par la tâche"
    expect.require(expect.true(label, f"à {moment}", when(moment, int(ran[1])) if ran else "jamais",
                               bool(ran) and 0 <= int(ran[1]) <= LATE))  # fmt: skip
    expect.equal("compte de la tâche", account, " ".join(ran[2:]))


def when(moment: str, seconds: int) -> str:
    """When the task ran, as the clock of the machine said.

    >>> when("04:17", 3), when("04:17", -9), when("04:00", -1)
    ('à 04:17', 'à 04:16', 'à 03:59')
    """
    hour, minute = map(int, moment.split(":"))
    minutes = (hour * 60 + minute + seconds // 60) % (24 * 60)
    return f"à {minutes // 60:02}:{minutes % 60:02}"


def _night(moment: str, word: str) -> Errand:
    """The program that lives through the minute; the folder of a person whom nobody knows must appear."""
    team = f"{ROOT}/{TEAM}"
    program = PROGRAM.format(
        export=EXPORT,
        folder=shlex.quote(f"{team}/{word}"),
        team=shlex.quote(team),
        lead=LEAD,
        late=LATE,
        moment=moment,
        row=shlex.quote(f"{word};Contrôle;{TEAM}"),
        ending=END,
    )
    return Errand("srv", program, END)
