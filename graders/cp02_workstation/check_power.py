"""CP02-S3: the workstation saves power: its screen goes off, and its power key puts it to sleep."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graders.check import check
from graders.expect import converge
from graders.powerkey import Becomes
from graders.probe_client import ProbeError
from graders.vantage import number

if TYPE_CHECKING:
    from graders.expect import Expect
    from graders.login import Login
    from graders.powerkey import PowerKey
    from labs.bench import Bench
    from labs.deadline import Deadline

BLANK = "/sys/module/kernel/parameters/consoleblank"
"""Seconds without a key after which the kernel blanks the text consoles; 0: never. What acts, whoever set it."""
ASLEEP_SECONDS = 60.0
"""Twice what the subject gives."""
AWAKE_SECONDS = 15.0
# What logind does of itself when nobody is at work (logind.conf(5), IdleAction=); nothing where there is no logind.
IDLE = "busctl get-property org.freedesktop.login1 /org/freedesktop/login1 org.freedesktop.login1.Manager IdleAction"
HARMLESS = {"", "ignore", "lock"}
STATES = {Becomes.ASLEEP: "en veille", Becomes.OFF: "éteint", Becomes.ON: "en marche"}


@check("CP02-S3.a", nodes=("ws",), phase="reboot", seconds=90)
def check_screen(bench: Bench, login: Login, expect: Expect, patience: Deadline) -> None:
    """Après un redémarrage, l'écran de ws s'éteint au bout des minutes demandées, sans session ouverte.

    Le délai lu est celui que le noyau applique, d'où qu'il vienne.
    """
    wanted = number(bench, "ecran")
    seconds = converge(
        patience, lambda: int(login("ws").check_output(f"cat {BLANK}")), lambda one: one == 60 * wanted, interval=3.0
    )
    expect.equal("extinction de l'écran", after(60 * wanted), after(seconds))


@check("CP02-S3.b", nodes=("ws",), phase="reboot", seconds=600, disturbing=True)
def check_power_key(power_key: PowerKey, login: Login, expect: Expect) -> None:
    """La touche marche-arrêt du clavier de ws le met en veille, sans l'éteindre ; réveillé, il reste en marche.

    Après un redémarrage, le contrôle appuie sur la touche au moyen de l'hyperviseur, qui voit si la machine est en
    veille (suspension en mémoire vive, ACPI S3) ; puis il la réveille.
    """
    found = power_key.state("ws")
    if found is Becomes.OFF:
        raise ProbeError("ws is off before its power key was pressed")
    if found is Becomes.ASLEEP:
        alone = "oui, avant l'appui"
    else:
        told = login("ws").run(IDLE).stdout.removeprefix("s ").strip().strip('"')
        alone = "non" if told in HARMLESS else f"oui (IdleAction={told})"
        found = power_key.press("ws", ASLEEP_SECONDS)
    expect.equal("ws se met en veille de lui-même", "non", alone)
    expect.equal("état de ws après appui sur la touche marche-arrêt", STATES[Becomes.ASLEEP], STATES[found])
    again = power_key.back("ws", AWAKE_SECONDS)
    if found is Becomes.ASLEEP:
        expect.equal("état de ws après réveil", STATES[Becomes.ON], STATES[again])


def after(seconds: int) -> str:
    """A delay as a person reads it.

    >>> after(1020), after(0), after(90)
    ('17 min', 'jamais', '1 min 30 s')
    """
    if seconds == 0:
        return "jamais"
    minutes, rest = divmod(seconds, 60)
    return f"{minutes} min {rest} s" if rest else f"{minutes} min"
