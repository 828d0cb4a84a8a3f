"""CP10-S3: a scheduled task, judged by the clock: the machine lives through the minute at which it must run."""

from __future__ import annotations

import shlex

from graders.check import check
from graders.cp10_scripts.check_folders import SCRIPT
from graders.errand import Errand, run_errand
from graders.expect import Expect
from graders.login import Login
from graders.probe_client import ProbeClient, ProbeError
from graders.vantage import text
from labs.bench import Bench
from labs.deadline import Deadline

EXPORT, ROOT = "/srv/arrivees.csv", "/srv/dossiers"
TEAM, FORBIDDEN = "Contrôle", "Contrôle-root"
"""Folders of teams: one that the task makes, one of root's where its account can make nothing."""
LEAD, LATE = 70, 80
"""Seconds before and after the minute: one more minute begins before it, and a systemd timer may be a minute late."""
STALL_SECONDS = 10
"""Between two looks, beyond which the machine stood still."""
# Whatever schedules it (cron, a systemd timer, at): the clock is put shortly before the minute and runs on. Everything
# is put back when the program ends. Clients of time are stopped meanwhile, or the clock would not stay where it is put.
# Never beyond a minute that did not come yet, which systemd would make up for at once: one that is near is lived
# through as it is, and one that has just begun is waited for.
# The minute comes twice: as asked, and an hour later, when nothing must happen. Where the folder of all of them was not
# there yet, whatever made it may have made the one of root's too: the minute then comes once more, a day later.
PROGRAM = """
place=$(mktemp -d) wall=$(date +%s) up=$(cut -d. -f1 /proc/uptime) stopped= stall=0 ready=
elapsed() {{ echo $(($(cut -d. -f1 /proc/uptime) - up)); }}
put_back() {{
  date -s "@$((wall + $(elapsed)))" >/dev/null
  [ -z "$stopped" ] || systemctl start $stopped
  if [ -e "$place/export" ]; then cat "$place/export" >{export}; else rm -f {export}; fi
  rm -rf {folder} {forbidden} "$place"
  rmdir {team} 2>/dev/null
  [ -n "$ready" ] || rmdir {root} 2>/dev/null
}}
live() {{
  begun=$(elapsed) last=$begun
  while [ ! -d {folder} ] && [ $((last - begun)) -lt $1 ]; do
    sleep 1
    now=$(elapsed)
    [ $((now - last)) -le $stall ] || stall=$((now - last))
    last=$now
  done
}}
trap put_back EXIT
for unit in chrony ntpsec systemd-timesyncd; do
  if systemctl is-active -q $unit; then stopped="$stopped $unit"; systemctl stop $unit; fi
done
[ ! -e {export} ] || cp {export} "$place/export"
printf '%s\\n' 'identifiant;nom;service' {rows} >{export}
[ ! -d {root} ] || {{ ready=oui; mkdir -m 755 {forbidden}; }}
minute=$(date -d {moment} +%s)
if [ "$minute" -le $((wall + 2)) ]; then
  [ "$wall" -gt $((minute + {late})) ] || sleep $((minute + {late} - wall))
  minute=$(date -d 'tomorrow {moment}' +%s)
fi
date -s "@$((minute - {lead}))" >/dev/null
live $(({lead} + {late}))
ran=$(date +%s)
echo "écart $((ran - (minute - {lead}) - ($(elapsed) - begun)))"
if [ -d {folder} ]; then
  sleep 2
  echo "passage $((ran - minute)) $(stat -c %U {folder})"
  [ -z "$ready" ] || [ ! -d {forbidden}/{other} ] || echo droits-de-root
  rm -rf {folder}
  date -s "@$((minute + 3600 - 15))" >/dev/null
  live $((15 + {late}))
  [ ! -d {folder} ] || echo "encore $(($(date +%s) - minute))"
  if [ -z "$ready" ]; then
    rm -rf {folder} {forbidden}
    mkdir -m 755 {forbidden}
    date -s "@$((minute + 86400 - {lead}))" >/dev/null
    live $(({lead} + {late}))
    sleep 2
    [ ! -d {forbidden}/{other} ] || echo droits-de-root
  fi
else
  echo jamais
fi
echo "arrêt $stall"
echo {ending}
"""
END = "fin-de-la-nuit"


@check("CP10-S3.a", causes=("CP10-S2.a",), nodes=("srv",), phase="reboot", seconds=600, disturbing=True)
def check_task(bench: Bench, probe: ProbeClient, login: Login, expect: Expect, deadline: Deadline) -> None:
    """Chaque nuit, à l'heure dite, srv prépare seul les dossiers du dernier export, sous le compte demandé.

    Après le redémarrage, la sonde dépose un export inédit et met l'horloge de srv peu avant l'heure de la tâche ; le
    dossier doit paraître à la minute voulue, ni avant, ni jamais, ni une heure plus tard. Là où seul root peut écrire,
    la tâche ne crée rien. L'horloge et l'export sont ensuite remis.
    """
    present = login("srv").run("test -e %s", SCRIPT).rc == 0
    expect.require(expect.equal(SCRIPT, "présent", "présent" if present else "absent"))
    moment, account = text(bench, "tache_moment"), text(bench, "tache_compte")
    told = run_errand(login, _night(moment, probe.nonce("schedule")), deadline).split("\n")
    drift = next((int(line.split()[1]) for line in told if line.startswith("écart ")), None)
    if drift is None or abs(drift) > 5:
        raise ProbeError(f"the clock of srv did not stay where it was put: {told!r}")
    stall = next((int(line.split()[1]) for line in told if line.startswith("arrêt ")), 0)
    if stall > STALL_SECONDS:
        raise ProbeError(f"srv stood still for {stall} s while its task was waited for")
    ran = next((line.split() for line in told if line.startswith("passage ")), [])
    label = "dossier préparé par la tâche"
    expect.require(expect.true(label, f"à {moment}", when(moment, int(ran[1])) if ran else "jamais",
                               bool(ran) and 0 <= int(ran[1]) <= LATE))  # fmt: skip
    expect.equal("compte de la tâche", account, "root" if "droits-de-root" in told else " ".join(ran[2:]))
    again = next((int(line.split()[1]) for line in told if line.startswith("encore ")), None)
    expect.equal("une heure plus tard", "rien", "rien" if again is None else f"encore {when(moment, again)}")


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
    other = f"{word}r"
    rows = (f"{word};Contrôle;{TEAM}", f"{other};Contrôle;{FORBIDDEN}")
    program = PROGRAM.format(
        export=EXPORT,
        root=ROOT,
        folder=shlex.quote(f"{team}/{word}"),
        team=shlex.quote(team),
        forbidden=shlex.quote(f"{ROOT}/{FORBIDDEN}"),
        other=other,
        lead=LEAD,
        late=LATE,
        moment=moment,
        rows=" ".join(map(shlex.quote, rows)),
        ending=END,
    )
    return Errand("srv", program, END)
