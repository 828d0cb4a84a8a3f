"""The bench of the lab reseau without machines: a network namespace a node, a bridge a segment, real dnsmasq and nft.

Works as root, and without it inside a user namespace: no test is ever skipped.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from graders.notebook import Notebook
from graders.probe_client import ProbeClient
from graders.probes.bundle import build
from labs.bench import Bench, compute_bench
from labs.models.session import load_session
from labs.paths import CATALOGUE
from labs.variants import render

SESSION = """
name: essai
title: Essai
lab: reseau
seed: un-secret-de-test
candidates:
  - {id: alice, name: Alice}
"""
SINK = """
import json, socketserver, sys
from http.server import BaseHTTPRequestHandler
class Page(BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps({"client": self.client_address[0], "jeton": sys.argv[3], "path": self.path}).encode()
        self.send_response(200); self.send_header("Content-Length", str(len(body))); self.end_headers()
        self.wfile.write(body)
    def log_message(self, *words): pass
class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
Server((sys.argv[1], int(sys.argv[2])), Page).serve_forever()
"""
STATION_FIREWALL = """
table inet poste { chain entree { type filter hook input priority 0; policy drop;
    iif lo accept; ct state established,related accept; icmp type echo-request accept; tcp dport 22 accept; }
}
"""
INVENTORY = CATALOGUE / "reseau" / "files" / "ws" / "inventaire.py.j2"
SEGMENTS = ("lan", "serveurs", "wan")
ZONES = ("lan", "serveurs")


class Process:
    """The agent over two pipes."""

    def __init__(self, argv: Sequence[str]) -> None:
        self._process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.stdin, self.stdout = self._process.stdin, self._process.stdout

    def close(self) -> None:
        with contextlib.suppress(BrokenPipeError):
            self.stdin.close()
        self._process.wait(5)
        self.stdout.close()


class NetWorld:
    """Namespaces of one bench; everything started in them ends with `close`."""

    def __init__(self, folder: Path, *, unprivileged: bool = os.geteuid() != 0) -> None:
        self.folder = folder
        (folder / "session.yaml").write_text(SESSION)
        (folder / "netns").mkdir()
        session = load_session(str(folder / "session.yaml"))
        self.bench: Bench = compute_bench(session, session.candidates[0])
        self.processes: list[subprocess.Popen] = []
        self.spaces: dict[str, int] = {}
        self._user: list[str] = []
        if unprivileged:
            base = self._hold(["unshare", "-Ur", "sleep", "infinity"])
            self._user = ["nsenter", "-t", str(base), "-U", "--preserve-credentials"]
        self._build()

    def v(self, name: str) -> str:
        return str(self.bench.values[name])

    def run(self, node: str, command: str, stdin: str = "") -> str:
        """Run a shell script in a node; raises when it fails."""
        argv = [*self.enter(node), "sh", "-euc", command]
        done = subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{node}: {command}: {done.stderr}"
        return done.stdout

    def spawn(self, node: str, *argv: str) -> subprocess.Popen:
        """Start a service in a node."""
        with (self.folder / "services.log").open("ab") as log:
            process = subprocess.Popen([*self.enter(node), *argv], stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        self.processes.append(process)
        return process

    def enter(self, node: str) -> list[str]:
        pid = str(self.spaces[node])
        return ["nsenter", "-t", pid, *(["-U", "--preserve-credentials"] if self._user else []), "-n"]

    def listening(self, node: str, what: str) -> None:
        """Wait until `ss` shows a listening socket (a service was started)."""
        end = time.monotonic() + 10
        while not self.run(node, f"ss -Hltun '{what}'"):
            assert time.monotonic() < end, (self.folder / "services.log").read_text()
            time.sleep(0.05)

    def agent_command(self) -> list[str]:
        archive = self.folder / "probe.zip"
        archive.write_bytes(build())
        return [*self._user, sys.executable, "-I", str(archive), f"{self.folder}/netns/", f"{self.folder}/dns.log"]

    def probe(self) -> ProbeClient:
        notebook = Notebook()
        notebook.begin(300)
        return ProbeClient(lambda: Process(self.agent_command()), notebook)

    def close(self) -> None:
        for process in reversed(self.processes):
            process.send_signal(signal.SIGKILL)
        for process in self.processes:
            process.wait()

    def _hold(self, argv: list[str]) -> int:
        process = subprocess.Popen(argv)
        self.processes.append(process)
        comm, end = Path(f"/proc/{process.pid}/comm"), time.monotonic() + 5
        while comm.read_text() != "sleep\n":
            assert time.monotonic() < end, "no namespace: unshare does not work here"
            time.sleep(0.005)
        return process.pid

    def _build(self) -> None:
        cards = {
            node.name: [(nic.segment, nic.mac, f"eth{n + 1}") for n, nic in enumerate(node.spec.nics)]
            for node in self.bench.graded_nodes
        }
        probe = self.bench.node("probe")
        cards |= {name: [(name, probe.mac(name), f"eth{n + 1}")] for n, name in enumerate(SEGMENTS)}
        for name in ("switch", *cards):
            self.spaces[name] = self._hold([*self._user, "unshare", "-n", "sleep", "infinity"])
        for name in SEGMENTS:
            (self.folder / "netns" / name).symlink_to(f"/proc/{self.spaces[name]}/ns/net")
        lines = [f"link add {name} type bridge\nlink set {name} up" for name in SEGMENTS]
        for node, node_cards in cards.items():
            for segment, mac, name in node_cards:
                port = f"p{len(lines)}"
                peer = f"name {name} address {mac} netns {self.spaces[node]}"
                lines.append(f"link add {port} type veth peer {peer}\nlink set {port} master {segment} up")
        self.run("switch", "ip -batch -", "\n".join(lines))
        for node in cards:
            self.run(node, "ip link set lo up; for c in /sys/class/net/eth*; do :; done")
        for name, address in (("lan", "lan_controle"), ("serveurs", "serveurs_controle"), ("wan", "wan_fournisseur")):
            prefix = self.v(name).partition("/")[2]
            card = f"eth{SEGMENTS.index(name) + 1}"
            commands = f"ip link set {card} up; ip address add {self.v(address)}/{prefix} dev {card}"
            if name != "wan":
                commands += f"; ip route add default via {self.v(name + '_passerelle')}"
            else:
                commands += "".join(f"; ip address add {self.v(a)}/32 dev lo" for a in ("internet_dns", "internet_web"))
            self.run(name, commands)
        self._internet()

    def _internet(self) -> None:
        self.spawn("wan", sys.executable, "-I", "-c", SINK, self.v("internet_web"), "80", "-")
        self.dns_log = self.folder / "dns.log"
        self.spawn(
            "wan", "dnsmasq", "-d", "-C", "/dev/null", "--pid-file=", "--port=53",
            f"--listen-address={self.v('internet_dns')}", "--bind-interfaces", "--no-resolv", "--no-hosts",
            f"--local=/{self.v('internet_zone')}/", f"--address=/{self.v('internet_zone')}/{self.v('internet_web')}",
            "--log-queries=extra", f"--log-facility={self.dns_log}",
        )  # fmt: skip
        self.listening("wan", "sport = :53")
        self.listening("wan", "sport = :80")


@dataclass(frozen=True)
class Work:
    """The candidate's work; the defaults are right, each other value is a mistake."""

    skip: tuple[str, ...] = ()
    """Parts left out: default-route, ws, ws-firewall, firewall, relay, dhcp, dns, publication-rule, anti-spoofing."""
    forward: str = ""
    """More rules of the forward chain, before the others."""
    nat_out: str = "eth3"
    nat_port: str = ""
    ws_prefix: str = ""
    dhcp: dict[str, str] = field(default_factory=dict)
    """Values of the plan that the DHCP server has wrong."""
    rogue: bool = False
    dns: dict[str, str] = field(default_factory=dict)
    """Name and type of a record -> its wrong data; empty leaves it out."""
    open_resolver: bool = False
    open_transfer: bool = False
    publish_to: str = "{ eth1, eth3 }"
    """Cards of rtr where the publication works."""
    extra_address: str = ""
    """One more address of rtr on the LAN."""
    manage_from: str = "eth1"
    """Cards of rtr where SSH answers."""


def solve(world: NetWorld, work: Work = Work()) -> None:
    """Do the candidate's work."""
    v, skip = world.v, work.skip
    prefixes = {name: v(name).partition("/")[2] for name in SEGMENTS}
    world.run("rtr", f"""
        ip link set eth1 up; ip link set eth2 up; ip link set eth3 up
        ip address add {v("lan_passerelle")}/{prefixes["lan"]} dev eth1
        {f"ip address add {work.extra_address}/24 dev eth1" if work.extra_address else ""}
        ip address add {v("serveurs_passerelle")}/{prefixes["serveurs"]} dev eth2
        ip address add {v("wan_rtr")}/{prefixes["wan"]} dev eth3
        {"" if "default-route" in skip else "ip route add default via " + v("wan_fournisseur")}
        sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0
    """)  # fmt: skip
    world.run("srv", f"""
        ip link set eth1 up; ip address add {v("serveurs_srv")}/{prefixes["serveurs"]} dev eth1
        ip route add default via {v("serveurs_passerelle")}
    """)  # fmt: skip
    if "ws" not in skip:
        world.run("ws", f"""
            ip link set eth1 up; ip address add {v("lan_poste")}/{work.ws_prefix or prefixes["lan"]} dev eth1
            ip route add default via {v("lan_passerelle")}
        """)  # fmt: skip
        if "ws-firewall" not in skip:
            world.run("ws", "nft -f -", STATION_FIREWALL)
    world.spawn("ws", sys.executable, "-I", "-c", render(INVENTORY.read_text(), world.bench.variables))
    for node in ("rtr", "ws"):
        world.spawn(node, sys.executable, "-I", "-c", SINK, "0.0.0.0", "22", "-")
        world.listening(node, "sport = :22")
    world.run("rtr", "nft -f -", ("" if "firewall" in skip else firewall(world, work)) + nat(world, work))
    if "relay" not in skip:
        world.spawn("rtr", "dnsmasq", "-d", "-C", "/dev/null", "--pid-file=", "--port=0",
                    f"--dhcp-relay={v('lan_passerelle')},{v('serveurs_srv')}")  # fmt: skip
        world.listening("rtr", "sport = :67")
    for node, wanted in (("srv", "dhcp" not in skip), ("ws", work.rogue)):
        if wanted:
            world.spawn(node, *dhcp_server(world, work))
            world.listening(node, "sport = :67")
    if "dns" not in skip:
        server = str(Path(__file__).with_name("probes_dns_server.py"))
        world.spawn("srv", sys.executable, server, dns_data(world, work))
        world.listening("srv", "sport = :53")
    world.spawn("srv", sys.executable, "-I", "-c", SINK, "0.0.0.0", v("port_vitrine"), v("jeton_web"))
    world.listening("srv", f"sport = :{v('port_vitrine')}")


def dhcp_server(world: NetWorld, work: Work) -> list[str]:
    plan = {**world.bench.values, **work.dhcp}
    return [
        "dnsmasq", "-d", "-C", "/dev/null", "--pid-file=", "--port=0", "--no-ping",
        f"--dhcp-leasefile={world.folder}/leases-{len(world.processes)}",
        f"--dhcp-range={plan['lan_plage_debut']},{plan['lan_plage_fin']},255.255.255.0,{plan['bail_secondes']}",
        f"--dhcp-option=3,{plan['lan_passerelle']}", f"--dhcp-option=6,{plan['serveurs_srv']}",
        f"--dhcp-option=15,{plan['domaine']}", f"--dhcp-host={plan['imprimante_mac']},{plan['lan_imprimante']}",
    ]  # fmt: skip


def dns_data(world: NetWorld, work: Work) -> str:
    """What the small DNS server of these tests serves."""
    v = world.v
    domain = v("domaine")
    names = {"lan_passerelle": "rtr", "serveurs_passerelle": "rtr", "lan_poste": "ws", "serveurs_srv": "srv"}
    reverse = {
        ".".join(reversed(v(key).split("."))) + ".in-addr.arpa": f"{name}.{domain}" for key, name in names.items()
    }
    records = [[f"{name}.{domain}", "A", v(key)] for key, name in names.items() if key != "serveurs_passerelle"]
    records += [[pointer, "PTR", f"{name}."] for pointer, name in reverse.items()]
    records += [
        [f"intranet.{domain}", "CNAME", f"srv.{domain}."], [domain, "MX", f"10 srv.{domain}."],
        [domain, "TXT", f'"{v("jeton_dns")}"'],
    ]  # fmt: skip
    for zone in (domain, *(render(f"{{{{ {name} | reverse_zone }}}}", world.bench.values) for name in ZONES)):
        records += [[zone, "NS", f"srv.{domain}."], [zone, "SOA", f"srv.{domain}. root.{domain}. 1 3600 600 86400 300"]]
    wrong = {tuple(key.split()): value for key, value in work.dns.items()}
    records = [[name, rdtype, wrong.get((name, rdtype), right)] for name, rdtype, right in records]
    records = [record for record in records if record[2]]
    networks = ["0.0.0.0/0"] if work.open_resolver else [v("lan"), v("serveurs")]
    return json.dumps({"zone": domain, "records": records, "forward": v("internet_dns"), "clients": networks,
                       "transfer": work.open_transfer})  # fmt: skip


def nat(world: NetWorld, work: Work) -> str:
    v, out = world.v, work.nat_out
    target = f"{v('serveurs_srv')}:{work.nat_port or v('port_vitrine')}"
    return f"""
    table ip nat {{
        chain pre {{ type nat hook prerouting priority dstnat;
            iif {work.publish_to} ip daddr {v("wan_rtr")} tcp dport {v("port_publie")} dnat to {target}; }}
        chain post {{ type nat hook postrouting priority srcnat; oif {out} masquerade; }}
    }}
    """


def firewall(world: NetWorld, work: Work) -> str:
    v = world.v
    spoofed = "" if "anti-spoofing" in work.skip else f"iif eth3 ip saddr {{ {v('lan')}, {v('serveurs')} }} drop"
    published = (
        "" if "publication-rule" in work.skip else f"iif eth3 ct status dnat tcp dport {v('port_vitrine')} accept"
    )
    return f"""
    table inet filter {{
        chain input {{ type filter hook input priority 0; policy drop;
            ct state established,related accept; iif lo accept; icmp type echo-request accept; udp dport 67 accept;
            iif {work.manage_from} tcp dport 22 accept; }}
        chain forward {{ type filter hook forward priority 0; policy drop;
            {spoofed}
            {work.forward}
            ct state established,related accept
            ct state invalid drop
            iif eth1 oif eth2 tcp dport {{ 22, 53, 80, 8000 }} accept
            iif eth1 oif eth2 udp dport {{ 53, 67 }} accept
            iif {{ eth1, eth2 }} oif eth3 tcp dport {{ 53, 80, 443 }} accept
            iif {{ eth1, eth2 }} oif eth3 udp dport 53 accept
            iif {{ eth1, eth2 }} ip protocol icmp accept
            {published}; }}
    }}
    """
