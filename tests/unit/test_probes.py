"""The probes on real networks: the bench of namespaces, with what is right and what is wrong beside it."""

import inspect
import os
import re
import time

import pytest

from graders import internet
from graders.engine.snapshot import Snapshot, read
from graders.notebook import Notebook
from graders.probe_client import ProbeClient, ProbeError
from graders.probes.agent import PROBES, SELDOM, _function
from graders.probes.packets import SYN, checksum, ethernet, icmp_echo, ipv4, parse, tcp, udp
from labs.paths import GRADERS
from tests.unit.probes_world import NetWorld, Process, Work, solve


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Everything done, and a second machine on the LAN that answers for the workstation's address."""
    built = NetWorld(tmp_path_factory.mktemp("world"))
    try:
        solve(built, Work(rogue=True, skip=("ws-firewall",)))
        built.run("srv", "ip address add 192.0.2.1/32 dev lo")
        yield built
    finally:
        built.close()


@pytest.fixture(scope="module")
def probe(world):
    client = world.probe()
    yield client
    client.close()


@pytest.mark.parametrize("name", [*PROBES, *SELDOM])
def test_no_probe_has_a_parameter_that_the_client_keeps_for_itself(name):
    taken = {*inspect.signature(ProbeClient.call).parameters, *inspect.signature(ProbeClient.prefetch).parameters} - {
        "self",
        "params",
    }
    assert taken.isdisjoint(inspect.signature(_function(name)).parameters)


def test_the_agent_knows_every_probe_that_a_check_names():
    modules = {path.stem for path in (GRADERS / "probes").glob("*.py")}
    named = {
        name
        for path in GRADERS.rglob("*.py")
        if path.parent.name != "probes"
        for name in re.findall(r'"([a-z]+[0-9]*\.[a-z_]+)"', path.read_text(encoding="utf-8"))
        if name.partition(".")[0] in modules
    }
    assert len(named) > 40
    assert named <= {*PROBES, *SELDOM}


def test_arp_tells_who_answers_and_who_else_does(world, probe):
    gateway, nobody = world.v("lan_passerelle"), world.v("lan_imprimante")
    seen = probe.call("arp.who_has", "lan", addresses=[gateway, nobody], window=0.2)
    assert seen == {gateway: [world.bench.node("rtr").mac("lan")], nobody: []}
    world.run("rtr", f"ip address add {world.v('lan_poste')}/32 dev eth1")
    try:
        answers = probe.call("arp.who_has", "lan", addresses=[world.v("lan_poste")], linger=0.3)
    finally:
        world.run("rtr", f"ip address delete {world.v('lan_poste')}/32 dev eth1")
    assert sorted(answers[world.v("lan_poste")]) == sorted(world.bench.node(n).mac("lan") for n in ("rtr", "ws"))


def test_ping_and_its_silence(world, probe):
    assert probe.call("icmp.ping", "lan", address=world.v("serveurs_srv"))["received"] == 3
    silent = probe.call("icmp.ping", "lan", address=world.v("lan_imprimante"), count=1, window=0.2)
    assert (silent["sent"], silent["received"]) == (1, 0)
    assert probe.call("icmp.ping", "wan", address="10.99.99.99", count=1, window=0.2)["received"] == 0, "no route"


def test_the_clock_of_a_machine_is_asked_of_its_kernel(world, probe):
    told = probe.call("clock.offset", "lan", address=world.v("serveurs_srv"))
    assert abs(told["offset"]) <= told["within"] + 0.002
    behind = probe.call("clock.offset", "lan", address=world.v("serveurs_srv"), ahead=300)
    assert abs(behind["offset"] + 300) <= behind["within"] + 0.002
    silent = probe.call("clock.offset", "lan", address=world.v("lan_imprimante"), tries=1, window=0.2)
    assert silent == {"offset": None, "within": None}
    assert abs(probe.call("clock.now") - time.time()) < 2


def test_traceroute_names_each_hop(world, probe):
    hops = probe.call("icmp.traceroute", "serveurs", address=world.v("lan_poste"))
    assert hops == [[world.v("serveurs_passerelle")], [world.v("lan_poste")]]
    lost = probe.call("icmp.traceroute", "lan", address=world.v("lan_imprimante"), window=0.4)
    assert lost == [[], [], [], [], []], "our own kernel's complaints are not hops"


def test_echo_from_any_source_comes_back_by_the_default_route(world, probe):
    question = {"source": "45.1.2.3", "address": world.v("wan_rtr"), "mac": world.bench.node("rtr").mac("wan")}
    assert probe.call("icmp.echo_from", "wan", **question)["received"] == 3
    world.run("rtr", "ip route delete default")
    try:
        assert probe.call("icmp.echo_from", "wan", **question, window=0.3)["received"] == 0
    finally:
        world.run("rtr", f"ip route add default via {world.v('wan_fournisseur')}")


def test_dns_flags_answers_and_transports(world, probe):
    srv, domain = world.v("serveurs_srv"), world.v("domaine")
    questions = [[f"srv.{domain}", "A"], [domain, "MX"], [f"nobody.{domain}", "A"], ["www.internet.example", "A"]]
    for transport in ("udp", "tcp"):
        a, mx, unknown, outside = probe.call(
            "dns.query", "lan", server=srv, questions=questions, recursion=True, transport=transport
        )
        assert [one["data"] for one in a["answers"]] == [srv]
        assert "aa" in a["flags"]
        assert mx["answers"][0]["data"] == f"10 srv.{domain}"
        assert (unknown["rcode"], unknown["answers"]) == ("NXDOMAIN", [])
        assert outside["answers"][0]["data"] == world.v("internet_web")
        assert "aa" not in outside["flags"]
        assert "ra" in outside["flags"]


def test_dns_silence_and_refusal_are_told_apart(world, probe):
    question = {"questions": [["a.test", "A"]], "window": 0.4}
    refused = probe.call("dns.query", "wan", server=world.v("internet_dns"), **question)[0]
    assert refused["rcode"] == "REFUSED"
    closed = probe.call("dns.query", "lan", server=world.v("lan_passerelle"), **question)[0]
    assert closed["answered"] is False
    silent = probe.call("dns.query", "lan", server=world.v("lan_imprimante"), **question)[0]
    assert (silent["answered"], silent["reason"]) == (False, "timeout")


def test_a_complaint_comes_back_through_the_translation_unless_it_is_dropped(world, probe):
    asked = {"near": "lan", "far": "wan", "address": world.v("internet_web"), "port": 53,
             "router": world.v("wan_fournisseur")}  # fmt: skip
    assert probe.call("pmtu.too_big", **asked) == {"went": True, "came": True}
    for rule in ("inet filter forward ct state related drop", "inet filter forward udp dport 53 drop"):
        table, _, what = rule.rpartition(" forward ")
        world.run("rtr", f"nft insert rule {table} forward {what}")
        try:
            told = probe.call("pmtu.too_big", **asked, window=2.0)
        finally:
            number = world.run("rtr", f"nft -a list chain {table} forward").split(f"{what} # handle ")[1].split()[0]
            world.run("rtr", f"nft delete rule {table} forward handle {number}")
        assert told == {"went": "udp" not in rule, "came": False}
    world.run("rtr", "nft flush chain ip nat post")
    try:
        assert probe.call("pmtu.too_big", **asked, window=2.0)["came"] is False, "nobody leads to an inner address"
    finally:
        world.run("rtr", "nft add rule ip nat post oif eth3 masquerade")


def test_what_the_provider_was_asked(world, probe):
    name = f"{probe.nonce('seen')}.internet.example"
    assert probe.call("dns.seen", nonce=name, window=0.1) == []
    probe.call("dns.query", "lan", server=world.v("serveurs_srv"), questions=[[name, "A"]], recursion=True)
    lines = probe.call("dns.seen", nonce=name)
    assert f"query[A] {name} from {world.v('wan_rtr')}" in lines[0]
    mixed = f"{probe.nonce('mixed')}.Internet.Example"
    probe.call("dns.query", "lan", server=world.v("serveurs_srv"), questions=[[mixed, "A"]], recursion=True)
    assert probe.call("dns.seen", nonce=mixed.lower()), "as resolvers ask that mix capitals in (0x20)"


def test_dhcp_sees_every_server_and_every_option(world, probe):
    offers = probe.call("dhcp.discover", "lan", count=1, linger=1.0)
    by_sender = {offer["frame_source"]: offer for offer in offers}
    relayed = by_sender[world.bench.node("rtr").mac("lan")]
    rogue = by_sender[world.bench.node("ws").mac("lan")]
    assert relayed["relay"] == world.v("lan_passerelle")
    assert rogue["relay"] == "0.0.0.0"
    assert (relayed["mask"], relayed["routers"]) == ("255.255.255.0", [world.v("lan_passerelle")])
    assert (relayed["dns"], relayed["domain"]) == ([world.v("serveurs_srv")], world.v("domaine"))
    assert relayed["lease"] == int(world.v("bail_secondes"))
    assert probe.call("dhcp.discover", "wan", count=1, window=1.0) == []
    leases = "".join(path.read_text() for path in world.folder.glob("leases-*"))
    assert offers[0]["mac"] not in leases, "nothing was taken"


def test_what_would_keep_a_server_busy_begins_when_the_listener_has_ended(world, tmp_path):
    notebook = Notebook(Snapshot(tmp_path / "seen.jsonl"))
    notebook.begin(300)
    client = ProbeClient(lambda: Process(world.agent_command()), notebook)
    one, many, another = {"count": 1, "linger": 1.5}, {"count": 12, "linger": 0.2}, {"count": 2, "linger": 0.1}
    client.prefetch("dhcp.discover", "lan", **one)
    client.prefetch("dhcp.discover", "lan", after=one, **many)
    client.prefetch("dhcp.discover", "lan", after={"count": 7}, **another)
    assert len(client.call("dhcp.discover", "lan", **many)) == 24, "both servers answer each"
    offers = client.call("dhcp.discover", "lan", **one)
    assert {offer["relay"] for offer in offers} == {"0.0.0.0", world.v("lan_passerelle")}
    client.call("dhcp.discover", "lan", **another)
    client.close()
    many_seen, one_seen, another_seen = (seen.answer["crowd"] for seen in read(tmp_path / "seen.jsonl"))
    assert (one_seen, another_seen) == (2, 2), "what waits for nothing that is in flight begins at once"
    assert many_seen == 1


def test_dhcp_reservation_and_wish(world, probe):
    printer = probe.call("dhcp.discover", "lan", macs=[world.v("imprimante_mac")], linger=0.2)
    assert printer[0]["address"] == world.v("lan_imprimante")
    wish = world.v("lan_plage_debut").rsplit(".", 1)[0] + ".150"
    offers = probe.call("dhcp.discover", "lan", count=1, requested=[wish], linger=0.2)
    assert offers[0]["address"] == wish


def test_tcp_states(world, probe):
    states = probe.call("tcp.connect", "lan", address=world.v("serveurs_srv"), ports=[8000, 22, 445], window=0.5)
    assert states == {"8000": "open", "22": "refused", "445": "filtered"}


def test_http_reads_a_page_and_tells_why_not(world, probe):
    page = probe.call("http.get", "wan", url=f"http://{world.v('wan_rtr')}:{world.v('port_publie')}/x")
    assert page["status"] == 200
    assert world.v("jeton_web") in page["body"]
    assert page["from"] == world.v("wan_fournisseur")
    assert probe.call("http.get", "lan", url=f"http://{world.v('serveurs_srv')}:22/")["status"] is None
    dns = probe.call("http.get", "lan", url=f"http://{world.v('serveurs_srv')}:53/", window=0.5)
    assert dns["status"] is None


def test_flow_states_and_source(world, probe):
    def flow(name, origin, to, address, protocol, port):
        return {"id": name, "from": origin, "to": to, "address": address, "protocol": protocol, "port": port}

    inside, elsewhere = world.v("serveurs_controle"), "203.0.113.200"
    seen = probe.call(
        "flow.matrix",
        flows=[
            flow("allowed", "lan", "serveurs", inside, "tcp", 80),
            flow("allowed udp", "lan", "serveurs", inside, "udp", 53),
            flow("denied", "lan", "serveurs", inside, "tcp", 445),
            flow("denied udp", "lan", "serveurs", inside, "udp", 161),
            flow("translated", "lan", "wan", elsewhere, "tcp", 443),
            flow("echo", "lan", "serveurs", inside, "icmp", 0),
            flow("translated echo", "lan", "wan", elsewhere, "icmp", 0),
            flow("denied echo", "wan", "serveurs", inside, "icmp", 0),
            flow("same segment", "wan", "wan", elsewhere, "tcp", 9999),
        ],
        extra={"wan": elsewhere},
        window=0.8,
    )
    assert seen["allowed"] == {"state": "open", "source": world.v("lan_controle")}
    assert seen["allowed udp"] == {"state": "open", "source": world.v("lan_controle")}
    assert seen["denied"]["state"] == seen["denied udp"]["state"] == "filtered"
    assert seen["translated"] == {"state": "open", "source": world.v("wan_rtr")}
    assert seen["same segment"]["state"] == "open"
    assert seen["echo"] == {"state": "open", "source": world.v("lan_controle")}
    assert seen["translated echo"] == {"state": "open", "source": world.v("wan_rtr")}
    assert seen["denied echo"]["source"] is None
    assert elsewhere not in world.run("wan", "ip -4 address show dev lo"), "the address was taken away"


def test_a_flow_leaves_from_the_port_that_a_rule_asks_for(world, probe):
    world.run("rtr", "nft insert rule inet filter forward udp sport 68 udp dport 161 accept")
    flow = {"from": "lan", "to": "serveurs", "address": world.v("serveurs_controle"), "protocol": "udp", "port": 161}
    try:
        flows = [{**flow, "id": "renewal", "sport": 68}, {**flow, "id": "any port"}]
        seen = probe.call("flow.matrix", flows=flows, window=0.8)
    finally:
        world.run("rtr", "nft -a list chain inet filter forward | sed -n 's/.*udp sport 68 .* # handle //p' | "
                         "xargs -I% nft delete rule inet filter forward handle %")  # fmt: skip
    assert seen["renewal"] == {"state": "open", "source": world.v("lan_controle")}
    assert seen["any port"]["state"] == "filtered"


def test_flow_that_arrives_but_gets_no_answer(world, probe):
    world.run("rtr", "nft add table ip oneway; nft 'add chain ip oneway f {type filter hook forward priority -5;}'; "
                     "nft add rule ip oneway f iif eth3 tcp sport 443 drop")  # fmt: skip
    flow = {"id": "x", "from": "lan", "to": "wan", "address": "203.0.113.201", "protocol": "tcp", "port": 443}
    try:
        seen = probe.call("flow.matrix", flows=[flow], extra={"wan": "203.0.113.201"}, window=0.8)
    finally:
        world.run("rtr", "nft delete table ip oneway")
    assert seen["x"] == {"state": "arrived", "source": world.v("wan_rtr")}


def test_injected_frames_and_their_replies(world, probe):
    shot = {"protocol": "tcp", "source": "203.0.113.9", "address": world.v("wan_rtr")}
    shots = [
        {**shot, "id": "published", "port": int(world.v("port_publie"))},
        {**shot, "id": "closed", "port": 22},
        {**shot, "id": "inner", "port": 80, "address": world.v("serveurs_controle")},
        {"id": "echo", "protocol": "icmp", "source": "203.0.113.9", "address": world.v("wan_rtr")},
    ]
    request = {"origin": "wan", "via": world.v("wan_rtr"), "mac": "52:54:00:00:00:01", "watch": ["serveurs"]}
    seen = probe.call("inject.send", **request, shots=shots, window=0.3)
    assert seen["published"] == {"arrived": [], "replies": ["syn-ack"]}
    assert seen["closed"] == {"arrived": [], "replies": []}
    assert seen["inner"] == {"arrived": [], "replies": []}
    assert seen["echo"]["replies"] == ["echo-reply"]
    world.run("rtr", "nft insert rule inet filter forward iif eth3 accept")
    try:
        assert probe.call("inject.send", **request, shots=shots, window=0.3)["inner"]["arrived"] == ["serveurs"]
    finally:
        world.run("rtr", "nft -a list chain inet filter forward | sed -n 's/.*iif .*eth3.* accept # handle //p' | "
                         "sort -n | tail -1 | xargs -I% nft delete rule inet filter forward handle %")  # fmt: skip


def test_full_scan_finds_the_published_port_only(world, probe):
    request = {"source": world.v("internet_web"), "address": world.v("wan_rtr"), "mac": "52:54:00:00:00:01"}
    scan = probe.call("scan.tcp_ports", "wan", **request, timeout=60)
    assert (scan["open"], scan["complete"], scan["clock"]) == ([int(world.v("port_publie"))], True, "echo")
    assert scan["sent"] >= 65535


def test_scan_of_a_machine_that_answers_no_echo(world, probe):
    world.run("rtr", "nft insert rule inet filter input icmp type echo-request drop")
    request = {"source": world.v("internet_web"), "address": world.v("wan_rtr"), "mac": "52:54:00:00:00:01"}
    port = int(world.v("port_publie"))
    try:
        scan = probe.call("scan.tcp_ports", "wan", **request, first=port - 300, last=port + 300)
    finally:
        world.run("rtr", "nft -a list chain inet filter input | sed -n 's/.*echo-request drop # handle //p' | "
                         "xargs -I% nft delete rule inet filter input handle %")  # fmt: skip
    assert (scan["open"], scan["complete"], scan["clock"]) == ([port], True, "pace")


def test_scan_of_a_machine_that_limits_its_echoes(world, probe):
    world.run(
        "rtr", "nft insert rule inet filter input icmp type echo-request limit rate over 2/second burst 2 packets drop"
    )
    request = {"source": world.v("internet_web"), "address": world.v("wan_rtr"), "mac": "52:54:00:00:00:01"}
    try:
        scan = probe.call("scan.tcp_ports", "wan", **request, last=12000, window=20, timeout=60)
    finally:
        world.run("rtr", "nft -a list chain inet filter input | sed -n 's/.*limit rate.* drop # handle //p' | "
                         "xargs -I% nft delete rule inet filter input handle %")  # fmt: skip
    assert (scan["open"], scan["complete"], scan["clock"]) == ([int(world.v("port_publie"))], True, "pace")


def test_scan_of_a_machine_that_dies_meanwhile_is_not_complete(world, probe):
    request = {"source": world.v("internet_web"), "address": world.v("wan_rtr"), "mac": "52:54:00:00:00:01"}
    world.run(
        "rtr", "nft insert rule inet filter input icmp type echo-request limit rate over 1/hour burst 1 packets drop"
    )
    try:
        scan = probe.call("scan.tcp_ports", "wan", **request, last=12000, window=20, timeout=60)
    finally:
        world.run("rtr", "nft -a list chain inet filter input | sed -n 's/.*limit rate.* drop # handle //p' | "
                         "xargs -I% nft delete rule inet filter input handle %")  # fmt: skip
    assert not scan["complete"]


def test_agent_kills_what_is_too_slow_and_serves_the_rest(world, probe):
    began = time.monotonic()
    probe.prefetch("dhcp.discover", "wan", count=1, window=30, silence=30, timeout=0.5)
    assert probe.call("icmp.ping", "lan", address=world.v("lan_passerelle"))["received"] == 3
    with pytest.raises(ProbeError, match="timeout"):
        probe.call("dhcp.discover", "wan", count=1, window=30, silence=30, timeout=0.5)
    assert time.monotonic() - began < 5


def test_mistakes_of_the_grader_are_errors_with_a_reason(probe):
    with pytest.raises(ProbeError, match="No such file or directory"):
        probe.call("icmp.ping", "nowhere", address="192.0.2.1")
    with pytest.raises(ProbeError, match="KeyError"):
        probe.call("no.such", "lan")
    with pytest.raises(ProbeError, match="TypeError"):
        probe.call("icmp.ping", "lan", wrong=1)


def test_dead_agent_is_started_again(world):
    client = world.probe()
    client.connect()
    client._link._process.kill()
    client._link._process.wait()
    time.sleep(0.2)
    assert client.call("icmp.ping", "lan", address=world.v("lan_passerelle"))["received"] == 3
    client.close()


def test_agent_that_does_not_start_is_an_error():
    class Nothing:
        stdin = stdout = open(os.devnull, "rb")  # noqa: PTH123, SIM115

        def close(self):
            self.stdin.close()

    with pytest.raises(ProbeError, match="did not start"):
        ProbeClient(Nothing, Notebook()).connect()


def test_answers_are_evidence(world, probe):
    measurement = probe._notebook.begin(60)
    probe.call("icmp.ping", "lan", address=world.v("lan_passerelle"), count=1)
    (one,) = measurement.evidence
    assert one.source == "probe:lan"
    assert one.action == f'icmp.ping(address="{world.v("lan_passerelle")}", count=1)'
    assert '"received": 1' in one.output


def test_frames_are_what_the_standards_say():
    segment = tcp("10.0.0.1", "10.0.0.2", 1000, 80, flags=SYN, seq=7)
    packet = parse(ethernet("02:00:00:00:00:01", "02:00:00:00:00:02", 0x0800, ipv4("10.0.0.1", "10.0.0.2", 6, segment)))
    assert (packet.sport, packet.dport, packet.flags, packet.seq) == (1000, 80, SYN, 7)
    assert packet.source_mac == "02:00:00:00:00:02"
    assert checksum(ipv4("10.0.0.1", "10.0.0.2", 17, b"")[:20]) == 0
    assert checksum(icmp_echo(1, 2, b"odd")) == 0
    datagram = udp("10.0.0.1", "10.0.0.2", 1, 2, b"x")
    assert int.from_bytes(datagram[4:6], "big") == len(datagram)
    assert parse(b"short") is None


def test_namespaces_work_for_an_ordinary_user(tmp_path):
    world = NetWorld(tmp_path, unprivileged=True)
    try:
        solve(world)
        client = world.probe()
        assert client.call("icmp.ping", "lan", address=world.v("serveurs_srv"))["received"] == 3
        assert client.call("dhcp.discover", "lan", count=1, linger=0)[0]["relay"] == world.v("lan_passerelle")
        client.close()
    finally:
        world.close()


@pytest.mark.parametrize("service", ["internet_dns", "internet_web"])
def test_a_broken_internet_of_the_centre_is_an_error(world, probe, service):
    with probe.alone():
        internet.require(world.bench, probe)
    world.run("wan", f"ip address delete {world.v(service)}/32 dev lo")
    try:
        with probe.alone(), pytest.raises(ProbeError, match=f"{world.v(service)} does not answer"):
            internet.require(world.bench, probe)
    finally:
        world.run("wan", f"ip address add {world.v(service)}/32 dev lo")
