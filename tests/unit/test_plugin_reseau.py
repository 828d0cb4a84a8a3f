"""The checks of the lab reseau, graded for real on namespaces: nothing done, all done, one mistake at a time."""

import json
import os
import traceback
from pathlib import Path

import pytest
import testinfra.host  # noqa: F401 - loaded once, for every fork

import graders.conftest  # noqa: F401
from graders.records import load
from tests.unit.probes_world import NetWorld, Work, solve

ROOT = Path(__file__).resolve().parents[2]
LIVE = {
    "CP03-S2.a", "CP06-S5.a", "CP06-S1.a", "CP06-S1.b", "CP06-S1.c", "CP06-S2.a", "CP06-S2.b",
    "CP07-S2.a", "CP07-S1.a", "CP07-S4.a", "CP03-C2.a", "CP03-S5.a", "CP06-C2.a", "CP06-S2.c", "CP07-S1.b", "CP07-S2.b",
}  # fmt: skip
"""Not here: what a namespace does not have (a kernel log, a resolver and an SNMP agent of its own)."""
AT_ONCE = 6
DHCP = {"CP06-S1.a", "CP06-S1.b", "CP06-S1.c"}


def wrong(name: str):
    """A value of the plan, changed: computed when the bench is known."""
    return {
        "router": lambda v: Work(dhcp={"lan_passerelle": v("lan_controle")}),
        "lease": lambda _: Work(dhcp={"bail_secondes": "120"}),
        "pool": lambda v: Work(dhcp={"lan_plage_debut": v("lan_passerelle").rsplit(".", 1)[0] + ".2"}),
        "short": lambda v: Work(dhcp={"lan_plage_fin": v("lan_passerelle").rsplit(".", 1)[0] + ".150"}),
        "printer": lambda v: Work(dhcp={"lan_imprimante": v("lan_plage_fin")}),
        "mx": lambda v: Work(dns={f"{v('domaine')} MX": f"10 ws.{v('domaine')}."}),
        "ptr": lambda v: Work(dns={f"{'.'.join(reversed(v('lan_poste').split('.')))}.in-addr.arpa PTR": ""}),
        "extra": lambda v: Work(extra_address=v("lan_plage_debut")),
        "spoof": lambda v: Work(
            skip=("anti-spoofing",), forward=f"ip saddr {v('lan')} ip daddr {v('serveurs')} tcp dport 22 accept"
        ),
    }[name]


CASES = {
    "nothing done": (None, LIVE),
    "everything done": (Work(), set()),
    "rtr without default route": (Work(skip=("default-route",)),
                                  {"CP06-S5.a", "CP06-S2.b", "CP07-S2.a", "CP07-S2.b", "CP07-S1.a", "CP07-S4.a"}),
    "ws not configured": (Work(skip=("ws",)), {"CP03-S2.a", "CP03-C2.a", "CP03-S5.a"}),
    "ws with /16": (Work(ws_prefix="16"), {"CP03-S2.a"}),
    "ws without firewall": (Work(skip=("ws-firewall",)), {"CP03-S5.a"}),
    "an address of the pool in use": (wrong("extra"), {"CP03-C2.a"}),
    "no relay": (Work(skip=("relay",)), DHCP),
    "no DHCP server": (Work(skip=("dhcp",)), DHCP),
    "DHCP gives another gateway": (wrong("router"), {"CP06-S1.a"}),
    "lease of 120 s": (wrong("lease"), {"CP06-S1.a"}),
    "pool over static addresses": (wrong("pool"), {"CP06-S1.b"}),
    "printer in the pool": (wrong("printer"), {"CP06-S1.b"}),
    "rogue DHCP server": (Work(rogue=True, skip=("ws-firewall",)), {"CP06-S1.a", "CP03-S5.a"}),
    "no DNS": (Work(skip=("dns",)), {"CP06-S2.a", "CP06-S2.b", "CP06-S2.c", "CP06-C2.a"}),
    "zones for everybody": (Work(open_transfer=True), {"CP06-S2.c"}),
    "large packets dropped": (Work(forward="ip length > 1400 drop"), {"CP06-C2.a"}),
    "one packet of five lost": (Work(forward="icmp type echo-request numgen random mod 5 == 4 drop"), {"CP06-C2.a"}),
    "MX to another machine": (wrong("mx"), {"CP06-S2.a"}),
    "PTR missing": (wrong("ptr"), {"CP06-S2.a"}),
    "open resolver that the firewall hides": (Work(open_resolver=True), {"CP06-S2.b"}),
    "open resolver behind an open firewall": (
        Work(open_resolver=True, forward="iif eth3 udp dport 53 accept"), {"CP06-S2.b", "CP07-S1.a"}),
    "no firewall": (Work(skip=("firewall",)), {"CP07-S1.a", "CP07-S1.b", "CP07-S4.a"}),
    "administered from the servers too": (Work(manage_from="{ eth1, eth2 }"), {"CP07-S1.b"}),
    "permit any at the top": (Work(forward="iif { eth1, eth2 } accept"), {"CP07-S1.a"}),
    "stateless return rule": (Work(forward="iif eth3 tcp sport { 80, 443 } accept"), {"CP07-S4.a"}),
    "hole for source port 53": (Work(forward="iif eth3 tcp sport 53 accept"), {"CP07-S4.a"}),
    "source address trusted": (wrong("spoof"), {"CP07-S4.a"}),
    "translated everywhere": (Work(nat_out="{ eth1, eth2, eth3 }"), {"CP07-S2.a", "CP07-S2.b"}),
    "published to the wrong port": (Work(nat_port="8001"), {"CP07-S2.a", "CP07-S2.b"}),
    "no filter rule for the publication": (Work(skip=("publication-rule",)), {"CP07-S2.a", "CP07-S2.b"}),
    "echoes to the Internet dropped": (Work(forward="oif eth3 icmp type echo-request drop"), {"CP07-S1.a"}),
    "renewals dropped": (Work(forward="iif eth1 oif eth2 udp dport 67 drop"), {"CP07-S1.a"}),
    "pool that ends early": (wrong("short"), {"CP06-S1.b"}),
    "published to the Internet only": (Work(publish_to="eth3"), {"CP07-S2.b"}),
}  # fmt: skip


def grade(folder: Path, case: str):
    """Do the work of a case and grade it."""
    world = NetWorld(folder)
    try:
        work = CASES[case][0]
        if work is not None:
            solve(world, work(world.v) if callable(work) else work)
        v = world.v
        (folder / "minibench.json").write_text(
            json.dumps(
                {
                    "enter": {node.name: world.enter(node.name) for node in world.bench.graded_nodes},
                    "agent": world.agent_command(),
                    "canned": {
                        "cat /etc/resolv.conf": f"search {v('domaine')}\nnameserver {v('serveurs_srv')}\n",
                        "timeout 8 getent ahostsv4 rtr": f"{v('lan_passerelle')} STREAM rtr.{v('domaine')}\n",
                    },
                }
            )
        )
        os.environ["MINIBENCH"] = str(folder / "minibench.json")
        options = ["-q", "-p", "no:cacheprovider", "-p", "tests.unit.plugin_minibench", "--no-reboot"]
        names = ["--session", str(folder / "session.yaml"), "--run-dir", str(folder / "run")]
        pytest.main([str(ROOT / "graders"), *options, *names, *(f"--check={one}" for one in sorted(LIVE))])
    finally:
        world.close()


def fork(folder: Path, case: str) -> int:
    """Grade one case in a child that inherits what is imported here: a new Python takes seconds on a busy machine."""
    child = os.fork()
    if child == 0:
        try:
            with (folder / "grader.log").open("w") as log:
                os.dup2(log.fileno(), 1)
                os.dup2(log.fileno(), 2)
            grade(folder, case)
        except BaseException:  # noqa: BLE001 - the child says what happened, then is gone
            os.write(2, traceback.format_exc().encode())
        finally:
            os._exit(0)
    return child


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Records of all cases, graded several at a time: they mostly wait."""
    folders = {case: tmp_path_factory.mktemp(f"case{number}") for number, case in enumerate(CASES)}
    running: set[int] = set()
    for case, folder in folders.items():
        if len(running) == AT_ONCE:
            running.discard(os.wait()[0])
        running.add(fork(folder, case))
    for child in running:
        os.waitpid(child, 0)
    return {case: records(folder) for case, folder in folders.items()}


def records(folder: Path):
    path = folder / "run" / "records.jsonl"
    assert path.exists(), (folder / "grader.log").read_text()
    return [one for one in load(path).records if one.phase == "live"]


@pytest.mark.parametrize("case", CASES)
def test_exactly_the_right_checks_turn_red(results, case):
    records = results[case]
    red = {one.check: f"{one.verdict}: {one.message}" for one in records if one.verdict != "passed"}
    assert not [one for one in records if one.verdict == "error"], json.dumps(red, indent=1)
    assert {one.check for one in records} == LIVE
    assert set(red) == CASES[case][1], json.dumps(red, indent=1, ensure_ascii=False)


def test_nothing_done_is_worth_nothing(results):
    records = results["nothing done"]
    assert sum(one.points for one in records) == 0


def test_a_broken_default_route_is_named_as_the_cause(results):
    records = results["rtr without default route"]
    assert {one.blocked_by for one in records if one.verdict == "blocked"} == {"CP06-S5.a"}
