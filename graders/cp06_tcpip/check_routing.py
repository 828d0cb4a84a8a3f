"""CP06-S5: configure, test and repair a router."""

from __future__ import annotations

from graders.check import check
from graders.cp06_tcpip import routing
from graders.expect import Expect, converge
from graders.probe_client import ProbeClient
from labs.bench import Bench
from labs.deadline import Deadline


@check("CP06-S5.a", nodes=("rtr", "srv"), early=routing.start)
def check_routing(bench: Bench, probe: ProbeClient, expect: Expect) -> None:
    """Le routeur relie les trois réseaux, dans les deux sens.

    Depuis le LAN et depuis le réseau des serveurs, chaque chemin passe par l'adresse prévue de rtr et revient ;
    rtr répond aux adresses d'Internet par sa route par défaut, celles du réseau voisin de la liaison comprises.
    """
    for row in routing.observe(bench, probe):
        expect.equal(*row)


@check("CP06-S5.c", needs=("CP06-S5.a",), nodes=("rtr", "srv"), phase="reboot", seconds=90)
def check_routing_after_reboot(bench: Bench, probe: ProbeClient, expect: Expect, patience: Deadline) -> None:
    """Le routage fonctionne encore après un redémarrage de toutes les machines.

    Les mêmes chemins sont suivis une seconde fois, sans intervention, une fois les machines redémarrées.
    """
    rows = converge(patience, lambda: routing.observe(bench, probe), lambda rows: all(row.ok for row in rows))
    for row in rows:
        expect.equal(*row)
