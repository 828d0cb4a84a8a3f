"""Whom the client of a cluster trusts, and what it makes of connections that break before anything is said."""

from __future__ import annotations

import datetime
import hashlib
import ipaddress
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from urllib3 import connection

from labs.deadline import Deadline
from labs.errors import EnvironmentLackError
from labs.hypervisors.proxmox.client import Client
from labs.hypervisors.proxmox.failures import ApiError, Kind
from labs.hypervisors.proxmox.websocket import dial
from labs.models.proxmox import ProxmoxProfile

ANSWER = b'{"data":{"version":"9.1.5"}}'
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"


@dataclass(frozen=True)
class Authority:
    """The files of a node: its authority's certificate, and its own with the key."""

    ca: Path
    chain: Path
    der: bytes


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """As pvecm makes it: `openssl req -x509` without more, which gives an authority no key usage."""
    folder = tmp_path_factory.mktemp("pki")
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    root = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Proxmox Virtual Environment")])
    node = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "pve1.example.org")])
    identifiers = [x509.SubjectKeyIdentifier.from_public_key(key.public_key()) for key in keys]
    by = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifiers[0])
    now = datetime.datetime.now(datetime.UTC)
    made = []
    for number, subject in enumerate((root, node)):
        builder = (
            x509.CertificateBuilder(root, subject, keys[number].public_key(), x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=number == 0, path_length=None), critical=number == 0)
            .add_extension(identifiers[number], critical=False)
            .add_extension(by, critical=False)
        )
        if number:
            names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
            builder = builder.add_extension(names, critical=False)
        made.append(builder.sign(keys[0], hashes.SHA256()))
    pem = serialization.Encoding.PEM
    ca, chain = folder / "pve-root-ca.pem", folder / "pve-ssl.pem"
    ca.write_bytes(made[0].public_bytes(pem))
    plain = serialization.NoEncryption()
    key = keys[1].private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)
    chain.write_bytes(key + made[1].public_bytes(pem))
    return Authority(ca, chain, made[1].public_bytes(serialization.Encoding.DER))


@contextmanager
def node(authority: Authority, broken: int = 0) -> Iterator[str]:
    """The address of an API that knows its version only, and hangs up on the first `broken` connections."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(authority.chain)

    def serve() -> None:
        left = broken
        while True:
            try:
                plain, _ = server.accept()
            except OSError:
                return
            with plain:
                if left:
                    left -= 1
                    plain.recv(65536)
                    continue
                try:
                    with context.wrap_socket(plain, server_side=True) as stream:
                        if stream.recv(65536):
                            stream.sendall(HEAD % len(ANSWER) + ANSWER)
                except OSError:
                    continue

    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
        thread.join(5)


@pytest.fixture
def strict(monkeypatch: pytest.MonkeyPatch) -> None:
    """The contexts of Python 3.13, whatever this one is."""

    def strictly(make: Any) -> Any:
        def made(*arguments: Any, **options: Any) -> ssl.SSLContext:
            context: ssl.SSLContext = make(*arguments, **options)
            context.verify_flags |= ssl.VERIFY_X509_STRICT
            return context

        return made

    monkeypatch.setattr(ssl, "create_default_context", strictly(ssl.create_default_context))
    monkeypatch.setattr(connection, "create_urllib3_context", strictly(connection.create_urllib3_context))


def client_of(*hosts: str, **trust: Any) -> Client:
    profile = ProxmoxProfile.model_validate(
        {
            "driver": "proxmox",
            "hosts": list(hosts),
            "token": "plateau@pve!plateau",
            "secret_env": "PLATEAU_TEST_SECRET",
            "network": {"mode": "sdn", "zone": "zone1"},
            "management": {"bridge": "vmbr0", "network": "10.66.0.0/16", "first": "10.66.1.0"},
            **trust,
        }
    )
    return Client(profile)


@pytest.fixture(autouse=True)
def _secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLATEAU_TEST_SECRET", "s3cret")


@pytest.mark.usefixtures("strict")
def test_authority_that_proxmox_made_is_believed(authority: Authority) -> None:
    """Python 3.13: CA cert does not include key usage extension."""
    with node(authority) as host:
        client = client_of(host, ca_file=authority.ca)
        assert client.release() == "9.1.5"
        dial(host, client._trust(), Deadline.after(10)).close()


def test_certificate_of_somebody_else_is_refused(authority: Authority, tmp_path: Path) -> None:
    digest = hashlib.sha256(authority.der).hexdigest()
    with node(authority) as host:
        assert client_of(host, fingerprint=digest).release() == "9.1.5"
        for trust in ({}, {"fingerprint": "00" * 32}):
            with pytest.raises(EnvironmentLackError, match="certificate is not the one the profile trusts"):
                client_of(host, **trust).release()
        with pytest.raises(EnvironmentLackError, match="certificate is not the one the profile trusts"):
            client_of(f"localhost:{host.rpartition(':')[2]}", ca_file=authority.ca).release()
    (tmp_path / "empty.pem").touch()
    with pytest.raises(EnvironmentLackError, match=r"empty.pem: no certificate can be read from it"):
        client_of("pve1", ca_file=tmp_path / "empty.pem")


def test_connection_that_ends_within_tls_is_asked_again(authority: Authority) -> None:
    """TLS/SSL connection has been closed (EOF): as while pveproxy is restarted; it says nothing of a certificate."""
    with node(authority, broken=1) as host:
        assert client_of(host, ca_file=authority.ca).release() == "9.1.5"
    with node(authority, broken=1) as host:
        with pytest.raises(ApiError, match="POST pools: TLS broke") as problem:
            client_of(host, ca_file=authority.ca).call("POST", "pools", Deadline.after(10))
        assert problem.value.kind is Kind.UNKNOWN
    with node(authority, broken=99) as ill, node(authority) as well:
        client = client_of(ill, well, ca_file=authority.ca)
        assert client.release() == "9.1.5"
        assert client.first_host == well
    with node(authority, broken=99) as host, pytest.raises(EnvironmentLackError, match=f"no API at {host}: .*EOF"):
        client_of(host, ca_file=authority.ca).websocket("nodes/pve1/qemu/1/vncwebsocket", Deadline.after(10))
