"""A small authoritative and forwarding DNS server for the tests: probes_dns_server.py DATA."""

import ipaddress
import json
import select
import socket
import struct
import sys

import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rrset

data = json.loads(sys.argv[1])
clients = [ipaddress.ip_network(one) for one in data["clients"]]


def answer(wire, client):
    query = dns.message.from_wire(wire)
    question = query.question[0]
    name = question.name.to_text().lower().rstrip(".")
    mine = [record for record in data["records"] if record[0] == name]
    local = any(ipaddress.ip_address(client) in network for network in clients)
    response = dns.message.make_response(query, recursion_available=local)
    if mine or name.endswith(data["zone"]) or name.endswith("in-addr.arpa"):
        response.flags |= dns.flags.AA
        response.set_rcode(dns.rcode.NOERROR if mine else dns.rcode.NXDOMAIN)
        kind = dns.rdatatype.to_text(question.rdtype)
        if kind == "AXFR":
            if not data["transfer"]:
                response.set_rcode(dns.rcode.REFUSED)
                return response.to_wire()
            kind = "SOA"
        for owner, rdtype, text in mine:
            if rdtype == kind:
                response.answer.append(dns.rrset.from_text(owner + ".", 3600, "IN", rdtype, text))
        return response.to_wire()
    if not local:
        response.set_rcode(dns.rcode.REFUSED)
        return response.to_wire()
    try:
        forwarded = dns.query.udp(dns.message.make_query(question.name, question.rdtype), data["forward"], timeout=2)
    except OSError:
        response.set_rcode(dns.rcode.SERVFAIL)
        return response.to_wire()
    except dns.exception.Timeout:
        response.set_rcode(dns.rcode.SERVFAIL)
        return response.to_wire()
    response.answer = forwarded.answer
    response.set_rcode(forwarded.rcode())
    return response.to_wire()


udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.bind(("0.0.0.0", 53))
tcp = socket.create_server(("0.0.0.0", 53))
while True:
    for ready in select.select([udp, tcp], [], [])[0]:
        if ready is udp:
            wire, peer = udp.recvfrom(4096)
            udp.sendto(answer(wire, peer[0]), peer)
        else:
            link, peer = tcp.accept()
            with link:
                size = struct.unpack("!H", link.recv(2))[0]
                reply = answer(link.recv(size), peer[0])
                link.sendall(struct.pack("!H", len(reply)) + reply)
