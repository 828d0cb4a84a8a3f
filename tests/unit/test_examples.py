"""The examples in the docstrings of graders/ hold: pytest collects those of labs/ only, graders/ is its own suite."""

import doctest
import importlib

import pytest

from labs.paths import GRADERS, ROOT

TALK_TO_MACHINES = {
    "graders.cables.Cables", "graders.engine.bench.BenchEngine", "graders.login.Login", "graders.powerkey.PowerKey",
    "graders.probe_client.ProbeClient", "graders.reboot.Restart", "graders.probes.arp.resolve",
    "graders.probes.arp.sweep", "graders.probes.arp.who_has", "graders.probes.clock.offset",
    "graders.probes.dhcp.discover", "graders.probes.dhcp.relayed",
    "graders.probes.dns.query", "graders.probes.dns.seen", "graders.probes.dns.transfer",
    "graders.probes.ether.networks", "graders.probes.flow.matrix", "graders.probes.handover.watch",
    "graders.probes.http.get", "graders.probes.icmp.echo_from", "graders.probes.icmp.ping",
    "graders.probes.icmp.traceroute", "graders.probes.inject.send", "graders.probes.intrusion.trial",
    "graders.probes.kerberos.obtain", "graders.probes.ldap.add", "graders.probes.ldap.binds",
    "graders.probes.ldap.change", "graders.probes.ldap.delete", "graders.probes.ldap.move",
    "graders.probes.ldap.search",
    "graders.probes.lure.offer", "graders.probes.mail.received",
    "graders.probes.mail.send", "graders.probes.mirror.offer", "graders.probes.mirror.seen",
    "graders.probes.monitoring.trial", "graders.probes.ndp.newcomer",
    "graders.probes.ndp.resolve", "graders.probes.ndp.routers", "graders.probes.neighbours.resolve",
    "graders.probes.ospf.state", "graders.probes.pmtu.too_big", "graders.probes.proxy.fetch",
    "graders.probes.proxy.tunnel", "graders.probes.scan.tcp_ports", "graders.probes.secondary.follow",
    "graders.probes.secondary.remind",
    "graders.probes.smb.use", "graders.probes.snmp.get", "graders.probes.tcp.connect",
    "graders.probes.tcp.exchange", "graders.probes.vpn.use", "graders.probes.wifi.join",
}  # fmt: skip
"""Theirs show a call on a bench; tests of probes and the proofs of labs run them."""


def examples():
    finder = doctest.DocTestFinder()
    for path in sorted(GRADERS.rglob("*.py")):
        if ">>> " in path.read_text(encoding="utf-8"):
            module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
            yield from (one for one in finder.find(module) if one.examples)


EXAMPLES = {one.name: one for one in examples()}


@pytest.mark.parametrize("name", sorted(EXAMPLES.keys() - TALK_TO_MACHINES))
def test_an_example_holds(name):
    told = []
    assert doctest.DocTestRunner().run(EXAMPLES[name], out=told.append).failed == 0, "".join(told)


def test_what_talks_to_machines_is_there():
    assert TALK_TO_MACHINES - EXAMPLES.keys() == set()
