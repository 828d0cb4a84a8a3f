"""The probes in IPv6, on real networks: the namespaces of the bench `reseau`, which get a second family here."""

import contextlib
import subprocess
import sys

import pytest

from graders.probes.packets import ICMPV6, SYN, TCP, UDP, echo, ethernet, icmp6, ip, ipv6, parse, tcp, udp
from tests.unit.probes_world import SINK, NetWorld

LAN, SERVERS, WAN = "2001:db8:7:1::", "2001:db8:7:2::", "2001:db8:fffe:1::"
SITE = "2001:db8:ffff::80"
STRANGER = "2001:db8:f123::9"
MACS = ("52:54:00:00:00:01", "52:54:00:00:00:02")
FILTER = f"""
table ip6 agence {{ chain passage {{ type filter hook forward priority 0; policy drop;
    ct state established,related accept;
    iifname eth1 oifname eth3 udp dport 53 accept;
    iifname eth1 tcp dport 80 accept;
    iifname eth1 icmpv6 type echo-request accept;
    iifname eth3 ip6 saddr {STRANGER} oifname eth2 icmpv6 type echo-request accept; }}
}}
"""
QUIET = "for f in /proc/sys/net/ipv6/conf/*/accept_dad /proc/sys/net/ipv6/conf/*/accept_ra; do echo 0 >$f; done"


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A router between three networks, with SSH, that announces the prefix of the first."""
    built = NetWorld(tmp_path_factory.mktemp("world6"))
    try:
        for node in ("lan", "serveurs", "wan", "rtr"):
            built.run(node, QUIET)
        built.run("rtr", f"""
            for card in eth1 eth2 eth3; do ip link set $card up; done
            ip address add {LAN}1/64 dev eth1; ip address add {SERVERS}1/64 dev eth2; ip address add {WAN}2/64 dev eth3
            ip route replace ::/0 via {WAN}1
            sysctl -qw net.ipv6.conf.all.forwarding=1
        """)  # fmt: skip
        built.run("rtr", "nft -f -", FILTER)
        built.run("lan", f"ip address add {LAN}250/64 dev eth1; ip route replace ::/0 via {LAN}1")
        built.run("serveurs", f"ip address add {SERVERS}250/64 dev eth2; ip route replace ::/0 via {SERVERS}1")
        built.run("wan", f"""
            ip address add {WAN}1/64 dev eth3; ip address add {SITE}/128 dev lo
            ip route replace 2001:db8:7::/48 via {WAN}2
        """)  # fmt: skip
        six = SINK.replace("allow_reuse_address", "address_family = socketserver.socket.AF_INET6; allow_reuse_address")
        built.spawn("rtr", "python3", "-I", "-c", six, "::", "22", "-")
        built.listening("rtr", "sport = :22")
        built.spawn(
            "rtr", "dnsmasq", "-d", "-C", "/dev/null", "--pid-file=", "--port=0", "--interface=eth1", "--enable-ra",
            "--dhcp-range=::,constructor:eth1,ra-only,64,3600", f"--dhcp-leasefile={built.folder}/leases6",
        )  # fmt: skip
        yield built
    finally:
        built.close()


@pytest.fixture(scope="module")
def probe(world):
    client = world.probe()
    yield client
    client.close()


@contextlib.contextmanager
def ruled(world, rule):
    """One more rule before the others."""
    world.run("rtr", f"nft insert rule ip6 agence passage {rule}")
    try:
        yield
    finally:
        world.run("rtr", "nft -f -", f"flush table ip6 agence\ndelete table ip6 agence\n{FILTER}")


def test_packets_of_both_families_are_read_as_they_were_made():
    a, b = "2001:db8::a", "2001:db8::b"
    for source, destination in ((a, b), ("192.0.2.1", "192.0.2.2")):
        kind = 0x86DD if ":" in source else 0x0800

        def read(protocol, body, ends=(source, destination), kind=kind):
            return parse(ethernet(*MACS, kind, ip(*ends, protocol, body)))

        segment = read(TCP, tcp(source, destination, 4242, 80, flags=SYN, seq=7))
        assert (segment.source, segment.destination, segment.dport, segment.seq) == (source, destination, 80, 7)
        datagram = read(UDP, udp(source, destination, 4242, 53, b"word"))
        assert (datagram.protocol, datagram.payload) == (UDP, b"word")
    asked = parse(ethernet(*MACS, 0x86DD, ipv6(a, b, ICMPV6, echo(a, b, 9, 1, b"x"))))
    assert asked.is_echo_request
    assert not asked.is_echo_reply


def test_headers_before_what_is_carried_are_skipped():
    a, b = "2001:db8::a", "2001:db8::b"
    hop_by_hop = bytes([ICMPV6, 0, 5, 2, 0, 0, 0, 0])
    frame = ethernet(*MACS, 0x86DD, ipv6(a, b, 0, hop_by_hop + icmp6(a, b, 130, bytes(4))))
    assert (parse(frame).protocol, parse(frame).icmp_type) == (ICMPV6, 130)
    assert parse(frame[:30]) is None


def test_echoes_paths_and_ports(world, probe):
    assert probe.call("icmp.ping", "lan", address=f"{SERVERS}250")["received"] == 3
    assert probe.call("icmp.ping", "serveurs", address=f"{LAN}250", count=1, window=0.3)["received"] == 0
    hops = probe.call("icmp.traceroute", "lan", address=f"{SERVERS}250")
    assert hops == [[f"{LAN}1"], [f"{SERVERS}250"]]
    assert probe.call("tcp.connect", "lan", address=f"{LAN}1", ports=[22, 23]) == {"22": "open", "23": "refused"}


def test_an_echo_from_a_stranger_leaves_by_the_default_route(world, probe):
    asked = {"source": STRANGER, "address": f"{WAN}2", "mac": world.bench.node("rtr").mac("wan")}
    assert probe.call("icmp.echo_from", "wan", **asked)["received"] == 3
    world.run("rtr", "ip -6 route delete default")
    try:
        assert probe.call("icmp.echo_from", "wan", **asked, window=0.4)["received"] == 0
    finally:
        world.run("rtr", f"ip route replace ::/0 via {WAN}1")


def test_flows_pass_or_do_not(probe):
    def one(origin, to, address, protocol, port=0):
        return {"id": f"{origin}-{to}-{protocol}-{port}", "from": origin, "to": to, "address": address,
                "protocol": protocol, "port": port}  # fmt: skip

    somewhere = "2001:db8:ffff::9:1"
    asked = [
        one("lan", "serveurs", f"{SERVERS}250", "tcp", 80), one("lan", "serveurs", f"{SERVERS}250", "tcp", 445),
        one("lan", "wan", somewhere, "udp", 53), one("lan", "wan", somewhere, "icmp"),
        one("serveurs", "lan", f"{LAN}250", "icmp"), one("serveurs", "wan", somewhere, "udp", 53),
    ]  # fmt: skip
    seen = probe.call("flow.matrix", flows=asked, extra={"wan": somewhere}, window=1.0)
    assert {flow: one["state"] for flow, one in seen.items()} == {
        "lan-serveurs-tcp-80": "open", "lan-serveurs-tcp-445": "filtered", "lan-wan-udp-53": "open",
        "lan-wan-icmp-0": "open", "serveurs-lan-icmp-0": "filtered", "serveurs-wan-udp-53": "filtered",
    }  # fmt: skip
    assert seen["lan-wan-udp-53"]["source"] == f"{LAN}250"


def test_frames_made_by_hand(world, probe):
    card = {"origin": "wan", "via": f"{WAN}2", "mac": world.bench.node("rtr").mac("wan"), "watch": ["lan", "serveurs"]}
    shots = [
        {"id": "in", "protocol": "icmp", "source": STRANGER, "address": f"{SERVERS}250"},
        {"id": "out", "protocol": "tcp", "source": STRANGER, "address": f"{LAN}250", "port": 22},
        {"id": "own", "protocol": "tcp", "source": SITE, "address": f"{WAN}2", "port": 22},
        {"id": "ping", "protocol": "icmp", "source": SITE, "address": f"{WAN}2"},
    ]
    seen = probe.call("inject.send", **card, shots=shots, window=0.5)
    assert seen["in"]["arrived"] == ["serveurs"]
    assert seen["out"] == {"arrived": [], "replies": []}
    assert seen["own"]["replies"] == ["syn-ack"]
    assert seen["ping"]["replies"] == ["echo-reply"]


def test_a_scan_finds_what_is_open(world, probe):
    card = {"source": f"{LAN}250", "address": f"{LAN}1", "mac": world.bench.node("rtr").mac("lan")}
    seen = probe.call("scan.tcp_ports", "lan", **card, last=2000)
    assert (seen["open"], seen["complete"], seen["clock"]) == ([22], True, "echo")


def test_a_newcomer_configures_itself(world, probe):
    told = probe.call("ndp.newcomer", "lan", target=SITE)
    assert told["received"] == 3
    assert told["address"].startswith("2001:db8:7:1:5054:ff:fe")
    (router,) = told["routers"]
    assert router["mac"] == world.bench.node("rtr").mac("lan")
    assert router["lifetime"] > 0
    assert [(one["prefix"], one["autonomous"]) for one in router["prefixes"]] == [(f"{LAN}/64", True)]


def test_a_network_without_announcements_is_silent(probe):
    assert probe.call("ndp.routers", "serveurs", window=1.5) == []
    told = probe.call("ndp.newcomer", "serveurs", target=SITE, window=1.0)
    assert (told["address"], told["received"]) == ("", 0)


def test_a_complaint_comes_back_unless_icmpv6_is_dropped(world, probe):
    asked = {"near": "lan", "far": "wan", "address": SITE, "port": 53, "router": f"{WAN}1"}
    assert probe.call("pmtu.too_big", **asked) == {"went": True, "came": True}
    with ruled(world, "icmpv6 type packet-too-big drop"):
        assert probe.call("pmtu.too_big", **asked, window=2.0) == {"went": True, "came": False}


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_names_are_asked_over_ipv6_from_a_chosen_address(world, probe, transport):
    """Any answer will do: the question is who asked."""
    kind, who = ("STREAM", "link.listen() or link.accept()") if transport == "tcp" else ("DGRAM", "link.recvfrom(512)")
    listener = f"""
import socket
link = socket.socket(socket.AF_INET6, socket.SOCK_{kind})
link.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
link.bind(("{SITE}", 5353))
print(({who})[1][0], flush=True)
"""
    command = [*world.enter("wan"), sys.executable, "-I", "-c", listener]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        world.listening("wan", "sport = :5353")
        asked = {"server": SITE, "questions": [["a.test", "A"]], "port": 5353, "source": f"{WAN}1", "window": 0.5,
                 "transport": transport}  # fmt: skip
        probe.call("dns.query", "wan", **asked)
        assert process.stdout.readline().strip() == f"{WAN}1"
