"""The lab interco as data, and what its probes make of a candidate's profile."""

from __future__ import annotations

import ipaddress
import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from graders.cp06_tcpip import pool
from graders.cp06_tcpip.check_plan import _facts, _rows
from graders.cp07_security.identity import flaw
from graders.probes import ospf, vpn_client, vpn_profile
from labs.paths import CATALOGUE, PLAYBOOKS
from labs.subject import addresses
from tests.unit.lab_data import bench_of, nft_complaints, rendered

if TYPE_CHECKING:
    from graders.probe_client import ProbeClient

NETWORKS = ("lan", "invites", "siege", "siege_reseau", "siege_essai", "wan", "nomades")


@pytest.mark.parametrize("number", range(20))
def test_plan_of_any_candidate_is_sound(number: int) -> None:
    bench = bench_of("interco", number)
    networks = {name: ipaddress.ip_network(str(bench.values[name])) for name in NETWORKS}
    assert not any(a.overlaps(b) for a in networks.values() for b in networks.values() if a is not b)
    for (_, segment), address in addresses(bench).items():
        assert ipaddress.ip_address(address) in networks[segment]
    tags = [tag for tag, _ in bench.node("rtr").spec.nics[1].trunk]
    assert len(set(tags)) == 3
    told = bench.variables["machines"]["rtr"]["interfaces"]
    assert (told["invites"]["name"], told["invites"]["tag"]) == ("eth2", bench.values["vlan_invites"])


def test_files_of_the_probe_are_what_their_readers_accept() -> None:
    bench, folder = bench_of("interco", 0), CATALOGUE / "interco" / "files"
    plan = json.loads(rendered(bench, folder / "probe" / "internet.json.j2"))
    assert set(plan["legs"]) == {"lan", "invites", "siege", "libre", "wan"}
    assert {one["card"] for one in plan["legs"].values()} == {f"eth{number}" for number in range(1, 6)}


@pytest.mark.parametrize("nomades", [True, False])
@pytest.mark.parametrize(
    "path",
    [CATALOGUE / "interco/files/rtr/nftables.conf.j2", PLAYBOOKS / "roles/interco_rtr/tree/etc/nftables.conf.j2"],
)
def test_rulesets_are_accepted(path: Path, nomades: bool) -> None:
    ruleset = rendered(bench_of("interco", 1), path, interco_nomades=nomades)
    assert nft_complaints(ruleset) == ""
    assert nomades or "nomade" not in ruleset


def test_a_profile_runs_nothing_on_the_probe() -> None:
    kept = vpn_profile.allowed(
        "client\nremote 198.51.100.2 1194\nscript-security 2\nup /bin/evil\nplugin x.so\nlog /etc/passwd\n"
        "<key>\nSECRET\n</key>\n<up>\n/bin/evil\n</up>\n",
        {},
    )
    assert kept == "client\nremote 198.51.100.2 1194\n<key>\nSECRET\n</key>\n"


def test_a_stranger_has_the_profile_but_not_its_key() -> None:
    kept = vpn_profile.allowed("client\n<key>\nSECRET\n</key>\n<ca>\nCA\n</ca>\n", {"key": "OTHER\n"})
    assert kept == "client\n<key>\nOTHER\n</key>\n<ca>\nCA\n</ca>\n"


def test_wireguard_sections_are_read_as_wg_quick_writes_them() -> None:
    text = "[Interface]\nPrivateKey = a=\nPostUp = evil # no\n\n[peer]\nAllowedIPs=10.0.0.0/8, ::/0\n"
    found = vpn_profile.sections(text)
    assert found == {
        "interface": [[("privatekey", "a="), ("postup", "evil")]],
        "peer": [[("allowedips", "10.0.0.0/8, ::/0")]],
    }


def test_what_bird_tells_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    told = {
        "show ospf neighbors agence": [
            "BIRD 2.17.1 ready.",
            "agence:",
            "Router ID   \tPri\t     State     \tDTime\tInterface  Router IP",
            "172.20.55.2 \t  1\tFull/DR        \t 18.512\teth3       172.20.55.2",
        ],
        "show route protocol agence": [
            "BIRD 2.17.1 ready.",
            "Table master4:",
            "10.141.83.0/24       unicast [agence 06:57:10.123] * I (150/20) [172.20.55.2]",
            "\tvia 172.20.55.2 on eth3",
            "172.20.55.0/29       unicast [agence 06:56:50.007] * I (150/10) [172.20.55.1]",
            "\tdev eth3",
        ],
    }
    monkeypatch.setattr(ospf, "_bird", lambda _router, command: told[command])
    assert ospf.state("siege", "agence") == {
        "neighbours": {"172.20.55.2": "Full"},
        "prefixes": ["10.141.83.0/24", "172.20.55.0/29"],
    }


@pytest.mark.parametrize("separator", [";", ","])
def test_a_plan_is_read_whatever_wrote_it(separator: str) -> None:
    lines = ["\ufeffMachine;Réseau;VLAN;Adresse", "RTR; 10.1.2.0/24 ;;10.1.2.1/24", "", "ws;10.1.2.0/24;;10.1.2.20"]
    assert _rows("\r\n".join(lines).replace(";", separator)) == {
        ("rtr", "10.1.2.0/24", "", "10.1.2.1"),
        ("ws", "10.1.2.0/24", "", "10.1.2.20"),
    }


@pytest.mark.parametrize("content", ["", "machine;adresse\nrtr;10.1.2.1\n", "n'importe quoi"])
def test_a_plan_with_other_columns_is_no_plan(content: str) -> None:
    assert _rows(content) is None


def test_the_addresses_of_the_labs_cards_are_read() -> None:
    told = [
        {"ifname": "eth0", "addr_info": [{"local": "10.0.2.15", "prefixlen": 24}]},
        {"ifname": "eth1", "addr_info": [{"local": "10.1.2.1", "prefixlen": 24}]},
    ]
    assert _facts(json.dumps(told)) == [("10.1.2.0/24", "10.1.2.1")]


@pytest.mark.parametrize(
    "told", ["", "n'importe quoi", "7", '["a"]', '[{"ifname": "eth1"}]', '[{"ifname": "x", "addr_info": [{}]}]']
)
def test_a_machine_that_tells_nonsense_has_no_addresses(told: str) -> None:
    assert _facts(told) == []


def test_a_profile_that_cannot_be_used_is_the_candidates_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name as endpoint keeps wg(8) asking for it: the profile does not work, and the probe can tell."""
    monkeypatch.setattr(vpn_client, "RUN_SECONDS", 0.1)
    with pytest.raises(vpn_client.ProfileError, match="no end after"):
        vpn_client.obey("sleep", "5")
    with pytest.raises(RuntimeError, match="no end after"):
        vpn_client.run("sleep", "5")


WIREGUARD = (
    "[Interface]\nPrivateKey = {key}\nAddress = 10.1.9.{host}/24\n[Peer]\nPublicKey = {server}\nEndpoint = {at}\n"
)


def test_a_server_that_chooses_addresses_itself_is_asked_by_many() -> None:
    """systemd-networkd does not look at what a client asks for: which ends twenty-six get is chance."""
    bench = bench_of("interco", 0)
    asked = pool.crowd(bench, "invites", "invites_plage")
    first = ipaddress.ip_address(str(bench.values["invites_plage_debut"]))
    last = ipaddress.ip_address(str(bench.values["invites_plage_fin"]))
    middle, calls = first + 20, []

    class Probe:
        def __init__(self, many: tuple[ipaddress.IPv4Address, ...]) -> None:
            self.many = many

        def call(self, name: str, leg: str, **parameters: Any) -> list[dict[str, Any]]:
            calls.append(parameters["count"])
            if parameters["count"] == pool.MANY["count"]:
                return [{"mac": str(one), "address": str(one)} for one in self.many]
            macs = [*asked["macs"], *map(str, range(asked["count"]))]
            return [{"mac": mac, "address": str(middle + index)} for index, mac in enumerate(macs)]

    def verdicts(*many: ipaddress.IPv4Address) -> list[bool]:
        rows = pool.observe(bench, cast("ProbeClient", Probe(many)), "invites", "invites_plage", asked)
        return [expected == observed for _, expected, observed in rows]

    assert verdicts(first + 2, last) == [True, True, True, True]
    assert verdicts(first + 2) == [True, True, True, False]
    assert verdicts(first, last, last + 9) == [True, False, True, True]
    assert calls.count(pool.MANY["count"]) == 3


def wireguard(key: str, host: int, server: str = "S=", at: str = "198.51.100.2:51820") -> str:
    return WIREGUARD.format(key=key, host=host, server=server, at=at)


@pytest.mark.parametrize(
    ("theirs", "why"),
    [
        (wireguard("B" * 43 + "=", 3), ""),
        (wireguard("A" * 43 + "=", 3), "la même clé que le nomade"),
        (wireguard("B" * 43 + "=", 3, server="T="), "pas le même serveur"),
        (wireguard("B" * 43 + "=", 3, at="198.51.100.9:51820"), "pas le même serveur"),
        (
            "[Interface]\nAddress = 10.1.9.3/24\n[Peer]\nPublicKey = S=\nEndpoint = 198.51.100.2:51820\n",
            "pas de clé privée",
        ),
        ("n'importe quoi", "pas de clé privée"),
        (wireguard("REVOQUEE", 3), "pas de clé privée"),
        (wireguard("B" * 43 + "=", 3).replace("Address", "#Address"), "pas d'adresse"),
    ],
)
def test_only_another_persons_access_can_be_seen_revoked(theirs: str, why: str) -> None:
    assert flaw("wireguard", wireguard("A" * 43 + "=", 2), theirs) == why


def openvpn(certificate: str, authority: str = "", remote: str = "198.51.100.2 1194") -> str:
    ca = f"<ca>\n{authority}\n</ca>\n" if authority else ""
    return f"client\nremote {remote}\n{ca}<cert>\n{certificate}\n</cert>\n<key>\nK\n</key>\n"


def test_a_revoked_certificate_is_one_of_the_same_authority(tmp_path: Path) -> None:
    def openssl(*words: str) -> str:
        subprocess.run(["openssl", *words], cwd=tmp_path, check=True, capture_output=True)
        return (tmp_path / words[words.index("-out") + 1]).read_text()

    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    authority = openssl("req", "-x509", *curve, "-subj", "/CN=CA", "-keyout", "ca.key", "-out", "ca.crt")
    stranger = openssl("req", "-x509", *curve, "-subj", "/CN=ancien", "-keyout", "x.key", "-out", "x.crt")
    openssl("req", *curve, "-subj", "/CN=ancien", "-keyout", "a.key", "-out", "a.csr")
    issued = openssl(
        "x509", "-req", "-in", "a.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-out", "a.crt"
    )
    ours = openvpn("OURS", authority)
    assert flaw("openvpn", ours, openvpn(f"Certificate:\n    Data: (easy-rsa's words)\n{issued}", authority)) == ""
    assert flaw("openvpn", ours, openvpn(stranger, authority)) == "certificat d'une autre autorité"
    assert flaw("openvpn", ours, openvpn("not PEM", authority)) == "certificat d'une autre autorité"
    assert flaw("openvpn", ours, openvpn("OURS", authority)) == "le même certificat que le nomade"
    assert flaw("openvpn", ours, openvpn(issued, authority, "198.51.100.9 1194")) == "pas le même serveur"
    assert flaw("openvpn", openvpn("OURS"), openvpn(stranger)) == ""  # fingerprints: there is no authority
    assert "clé partagée" in flaw("openvpn", ours, "client\nremote 198.51.100.2 1194\n<secret>\nS\n</secret>\n")
