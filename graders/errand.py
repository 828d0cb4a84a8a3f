"""An errand: a program that runs on a candidate's machine for longer than one question may last."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graders.probe_client import ProbeError

if TYPE_CHECKING:
    from graders.login import Login
    from labs.deadline import Deadline

START = """
d=$(mktemp -d /run/controle-XXXXXX)
printf %%s %s >"$d/program"
setsid sh -c 'cd / && sh "$1/program" >"$1/out" 2>"$1/err"
  cat "$1/err" >>"$1/out"; echo >>"$1/out"; mv "$1/out" "$1/told"' - "$d" </dev/null >/dev/null 2>&1 &
echo "$d"
"""
LOOK = "cat %s/told 2>/dev/null && rm -rf %s"


def run_errand(login: Login, node: str, program: str, deadline: Deadline, *, ending: str) -> str:
    """What a shell program wrote on `node`, its errors last, once it is over; it runs as root, detached.

    The program must end its output with `ending`, which tells that it was not cut short. Raises ProbeError when it has
    not ended at the deadline, or ended otherwise; UnreachableError when the machine cannot be asked.
    """
    host = login(node)
    place = host.check_output(START, program).strip()
    told = ""
    for _ in deadline.ticks(0.5):
        told = str(host.run(LOOK, place, place).stdout)
        if told:
            break
    if ending not in told:
        raise ProbeError(f"the program run on {node} did not end: {told[-300:]!r}")
    return told.partition(ending)[0]
