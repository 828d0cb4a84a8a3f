"""CP02-S1: the language of sessions, the keyboard, and the time, which the centre's server gives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from graders.check import check
from graders.expect import converge, show
from graders.probe_client import ProbeError
from graders.vantage import number, text

if TYPE_CHECKING:
    from graders.expect import Expect
    from graders.login import Login
    from graders.probe_client import ProbeClient
    from labs.bench import Bench
    from labs.deadline import Deadline

# A session of an account that nobody opens, so that nobody's own settings are in it; PAM gives it the machine's.
SESSION = r"""
env -i PATH=/usr/bin:/bin TERM=linux timeout 15 su -s /bin/sh -l games \
  -c 'echo "langue $LANG"; echo "jour $(date -d 2026-01-05 +%A)"' </dev/null
"""
# keyboard(5) and vconsole.conf(5), read as a shell does: either may be the one that was set.
KEYBOARD = """
for file in /etc/default/keyboard /etc/vconsole.conf; do
  [ ! -r $file ] || (. $file; printf '%s\\n' $XKBLAYOUT $KEYMAP)
done
"""
FRENCH_DAY = "lundi"
TIMED_OUT = 124
"""Status of timeout(1) for what it ended."""
TOLERANCE = 2.0
"""Seconds between the clock of ws and the centre's (COVERAGE of CP02-S1.a)."""
AGAIN, AGAIN_SECONDS = 25.0, 150.0
"""Seconds after the first question to the centre at which another is no part of the same burst, and for which it is
waited. systemd-timesyncd asks again after 32 to 64 s, chrony and ntpsec after 64 s (minpoll 6), OpenNTPD after 30 s."""
LOOK = 5.0


@check("CP02-S1.f", nodes=("ws",), phase="reboot", seconds=90)
def check_session(login: Login, expect: Expect) -> None:
    """Après un redémarrage, une session ouverte sur ws est en français, et son clavier aussi.

    La session est celle d'un compte que personne n'utilise : ce qui vaut pour un seul compte n'y paraît pas. Le clavier
    est celui que la configuration du système nomme en premier.
    """
    session = login("ws").run(SESSION)
    if session.rc == TIMED_OUT:
        raise ProbeError("a session on ws had not opened after 15 s")
    told = dict(_words(session.stdout))
    expect.equal("jour de la semaine, dans une session", FRENCH_DAY, told.get("jour", ""))
    language = told.get("langue", "")
    expect.true(
        "langue de la session", "fr_FR.UTF-8", show(language), language.lower().replace("-", "") == "fr_fr.utf8"
    )
    named = login("ws").run(KEYBOARD).stdout.split()
    expect.equal("disposition du clavier", "fr", layout(named))


@check("CP02-S1.g", nodes=("ws",), phase="reboot", seconds=400)
def check_clock(
    bench: Bench, probe: ProbeClient, login: Login, expect: Expect, patience: Deadline, deadline: Deadline
) -> None:
    """Après un redémarrage, ws se remet seul à l'heure du serveur du centre, à deux secondes près, et s'y tient.

    L'heure de ws est demandée par le réseau, sans passer par ses commandes, et comparée à celle que le serveur donne :
    l'horloge matérielle, elle, retarde. Le serveur doit avoir été interrogé depuis le démarrage, puis l'être encore.
    """
    ahead = number(bench, "avance")
    server = text(bench, "lan_centre")

    def asked() -> list[float]:
        up = float(login("ws").check_output("cut -d' ' -f1 /proc/uptime"))
        seen = probe.call("mirror.seen", address=text(bench, "lan_poste"))
        return [float(age) for age, kind, _ in seen if kind == "ntp" and age < up]

    def measure() -> tuple[bool, float]:
        return bool(asked()), clock_offset(bench, probe, login, ahead)

    known, offset = converge(patience, measure, lambda one: one[0] and abs(one[1]) <= TOLERANCE, interval=3.0)
    expect.equal(f"{server} interrogé sur l'heure depuis le démarrage", "oui", "oui" if known else "non")
    expect.true(
        "écart de ws avec l'heure du centre", f"au plus {show(TOLERANCE)} s", apart(offset), abs(offset) <= TOLERANCE
    )
    if known:
        again = converge(deadline.sooner(AGAIN_SECONDS), lambda: keeps_asking(asked()), bool, interval=LOOK)
        expect.equal(f"{server} interrogé encore, dans les minutes qui suivent", "oui", "oui" if again else "non")


def clock_offset(bench: Bench, probe: ProbeClient, login: Login, ahead: float) -> float:
    """Seconds by which ws is ahead of the centre's time. Raises ProbeError when that is not known well enough.

    A machine that keeps the question from its kernel (a firewall) is asked itself.
    """
    told = probe.call("clock.offset", "lan", address=text(bench, "lan_poste"), ahead=ahead)
    if told["offset"] is None:
        told = _asked_inside(probe, login, ahead)
    if told["within"] > TOLERANCE / 2 and abs(told["offset"]) <= TOLERANCE + told["within"]:
        raise ProbeError(f"ws answers too slowly for its clock to be known: within {told['within']} s")
    return float(told["offset"])


def keeps_asking(ages: list[float]) -> bool:
    """Whether the centre was asked for the time again, apart from the first burst of questions. `ages` in seconds.

    >>> keeps_asking([70.0, 68.0, 6.0]), keeps_asking([70.0, 68.0, 66.0]), keeps_asking([])
    (True, False, False)
    """
    return bool(ages) and min(ages) <= max(ages) - AGAIN


def apart(offset: float) -> str:
    """An offset as a candidate reads it.

    >>> apart(-312.4), apart(0.02)
    ('312 s de retard', 'moins de 0,1 s')
    """
    if abs(offset) < 0.1:
        return "moins de 0,1 s"
    size = f"{abs(offset):.1f}".replace(".", ",") if abs(offset) < 10 else f"{abs(offset):.0f}"
    return f"{size} s " + ("d'avance" if offset > 0 else "de retard")


def layout(named: list[str]) -> str:
    """`fr` when one of the layouts or maps that the configuration names is French, as its first or only one.

    >>> layout(["us", "fr-latin9"]), layout(["fr,us"]), layout(["us,fr"]), layout([])
    ('fr', 'fr', 'us', '')
    """
    first = [one.split(",")[0].split("-")[0] for one in named]
    return "fr" if "fr" in first else "".join(first[:1])


def _asked_inside(probe: ProbeClient, login: Login, ahead: float) -> dict[str, Any]:
    """The same from the machine's own answer, between two looks at the probe's clock."""
    before = probe.call("clock.now")
    inside = float(login("ws").check_output("date +%s.%N"))
    after = probe.call("clock.now")
    half = (after - before) / 2
    return {"offset": inside - (before + half + ahead), "within": half}


def _words(output: str) -> list[tuple[str, str]]:
    """First word and rest of each line."""
    return [(first, rest) for first, _, rest in (line.strip().partition(" ") for line in output.splitlines()) if first]
