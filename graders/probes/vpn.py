"""VPN: a remote user who has nothing but the profile that was issued, and what the tunnel lets through.

The client lives in a network of its own: its only way out is the tunnel. It disappears with this process.
"""

from __future__ import annotations

import contextlib
import ctypes
import ipaddress
import os
import select
import signal
import socket
import subprocess
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from . import icmp
from .legs import CLONE_NEWNET, Legs, card, packet_socket

LINK = "nomade"
BIND_SECONDS, RUN_SECONDS, DOOR_SECONDS = 20.0, 20.0, 4.0
OPENVPN_KNOWN = {
    "client", "tls-client", "pull", "dev", "dev-type", "proto", "remote", "port", "rport", "nobind", "float",
    "resolv-retry", "persist-key", "persist-tun", "cipher", "data-ciphers", "data-ciphers-fallback", "auth",
    "tls-version-min", "tls-cipher", "tls-ciphersuites", "remote-cert-tls", "remote-cert-ku", "remote-cert-eku",
    "verify-x509-name", "peer-fingerprint", "key-direction", "ifconfig", "topology", "keepalive", "ping",
    "ping-restart", "explicit-exit-notify", "reneg-sec", "tun-mtu", "mssfix", "fragment", "compress", "comp-lzo",
    "route", "secret", "allow-deprecated-insecure-static-crypto", "tls-groups", "ecdh-curve", "tls-cert-profile",
}  # fmt: skip
"""Directives of openvpn(8) that a client may need; all others (scripts, plug-ins, files) are left out."""
INLINE = {"ca", "cert", "key", "tls-auth", "tls-crypt", "tls-crypt-v2", "secret", "peer-fingerprint"}


def use(
    legs: Legs,
    *,
    origin: str,
    kind: str,
    profile: str,
    pings: list[str],
    beyond: list[str],
    words: list[dict[str, Any]],
    doors: list[list[Any]] | None = None,
    stranger: bool = False,
    window: float = 12.0,
) -> dict[str, Any]:
    """Connect from leg `origin` with a profile (`kind`: wireguard or openvpn), then try what lies behind the tunnel.

    pings: addresses to ping through the tunnel. words: TCP connections to a listener of ours, each {"id", "leg",
    "address", "port"}. beyond (and words with "beyond": true): the same by a client who sends everything into the
    tunnel, whatever routes the profile gives. doors: TCP services of others, each [address, port], tried likewise.
    stranger: somebody who has the profile but not its key.

    up: a session was established. address: the inner one. pings: address -> replies. words: id -> the source that the
    listener saw, or None. doors: "address:port" -> whether it opened. clear: whether one of our words crossed `origin`
    readable. reason: why it is not up.

    >>> use(legs, origin="wan", kind="wireguard", profile="[Interface] …", pings=["10.1.2.20"], beyond=[],
    ...     words=[])
    {'up': True, 'address': '10.9.8.2', 'pings': {'10.1.2.20': 3}, 'words': {}, 'doors': {}, 'clear': False,
     'reason': ''}
    """
    client: _Client = _WireGuard(legs, origin) if kind == "wireguard" else _OpenVpn(legs, origin)
    answer: dict[str, Any] = {"up": False, "address": "", "pings": {}, "words": {}, "doors": {}, "clear": False}
    answer["reason"] = ""
    _own_network()
    with tempfile.TemporaryDirectory() as folder, client:
        try:
            client.connect(profile, Path(folder), stranger, time.monotonic() + window)
        except _ProfileError as problem:
            return {**answer, "reason": str(problem)[:400]}
        # WireGuard makes its session with the first packet.
        with _Ears(legs, origin, words) as ears:
            for far, addresses in ((False, pings), (True, beyond)):
                if far:
                    client.widen()
                chosen = [word for word in words if bool(word.get("beyond")) == far]
                answer["pings"] |= _at_once(ears, chosen, addresses)
            answer["doors"] = _opened(doors or [])
            answer["words"], answer["clear"] = ears.heard(), ears.clear
        answer["up"], answer["reason"] = client.up()
        answer["address"] = client.address
    return answer


def _at_once(ears: _Ears, words: list[dict[str, Any]], addresses: list[str]) -> dict[str, int]:
    """Say the words and ping the addresses side by side; address -> replies."""
    with ThreadPoolExecutor(max_workers=8) as pool:
        pings = {address: pool.submit(icmp.ping, address, window=3.0) for address in addresses}
        for said in [pool.submit(ears.speak, word) for word in words]:
            said.result()
        return {address: int(ping.result()["received"]) for address, ping in pings.items()}


def _opened(doors: list[list[Any]]) -> dict[str, bool]:
    """Which services accept a connection through the tunnel."""
    with ThreadPoolExecutor(max_workers=8) as pool:
        tried = {f"{address}:{port}": pool.submit(_opens, str(address), int(port)) for address, port in doors}
        return {name: one.result() for name, one in tried.items()}


def _opens(address: str, port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((address, port), DOOR_SECONDS):
        return True
    return False


class _ProfileError(Exception):
    """The profile is not one, or the client refused it."""


class _Client:
    """A tunnel whose inner end is in this process's network and whose outer end is in leg `origin`."""

    address = ""

    def __init__(self, legs: Legs, origin: str) -> None:
        self._legs, self._origin = legs, origin

    def __enter__(self) -> _Client:
        return self

    def __exit__(self, *_: object) -> None:
        """Hang up."""

    def connect(self, profile: str, folder: Path, stranger: bool, end: float) -> None:
        raise NotImplementedError

    def up(self) -> tuple[bool, str]:
        raise NotImplementedError

    def widen(self) -> None:
        """Send everything into the tunnel."""
        _run("ip", "route", "replace", "default", "dev", LINK)

    def _fetch(self) -> None:
        """Bring the tunnel's inner end into this process's network."""
        with Path("/proc/thread-self/ns/net").open() as home, self._legs.inside(self._origin):
            _run("ip", "link", "set", LINK, "netns", f"/proc/{os.getpid()}/fd/{home.fileno()}")

    def _plug(self, address: str, peer: str, routes: list[str], mtu: str) -> None:
        self.address = address.partition("/")[0]
        lines = [f"address add {address} {f'peer {peer}' if peer else ''} dev {LINK}"]
        lines += [f"link set {LINK} mtu {mtu} up" if mtu else f"link set {LINK} up"]
        lines += [f"route replace {_network(route)} dev {LINK}" for route in routes if ":" not in route]
        _obey("ip", "-batch", "-", text="\n".join(lines) + "\n")


class _WireGuard(_Client):
    """The kernel's, by ip(8) and wg(8): its UDP socket stays in the network in which it was made."""

    def connect(self, profile: str, folder: Path, stranger: bool, end: float) -> None:
        sections = _sections(profile)
        own = dict(sections["interface"][0]) if sections.get("interface") else {}
        if "privatekey" not in own or "address" not in own or not sections.get("peer"):
            raise _ProfileError("no [Interface] with PrivateKey and Address, or no [Peer]")
        if stranger:
            own["privatekey"] = _run("wg", "genkey").strip()
        lines = ["[Interface]", f"PrivateKey = {own['privatekey']}"]
        for peer in sections["peer"]:
            lines += ["[Peer]", *(f"{key} = {value}" for key, value in peer)]
        path = folder / "wg.conf"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        with self._legs.inside(self._origin):
            # One that a killed client left behind.
            subprocess.run(["ip", "link", "delete", LINK], capture_output=True, check=False)
            _run("ip", "link", "add", LINK, "type", "wireguard")
        self._fetch()
        _obey("wg", "setconf", LINK, str(path))
        allowed = [
            one for peer in sections["peer"] for key, value in peer if key == "allowedips" for one in _list(value)
        ]
        given = [one for section in sections["interface"] for key, value in section if key == "address"
                 for one in _list(value)]  # fmt: skip
        inner = [one for one in given if ":" not in one]
        if not inner:
            raise _ProfileError("no IPv4 address in Address")
        self._plug(inner[0], "", allowed, own.get("mtu", ""))

    def widen(self) -> None:
        for peer in _run("wg", "show", LINK, "peers").split():
            _run("wg", "set", LINK, "peer", peer, "allowed-ips", "0.0.0.0/0")
        super().widen()

    def up(self) -> tuple[bool, str]:
        last = _run("wg", "show", LINK, "latest-handshakes").split()
        done = bool(last) and last[-1] != "0"
        return done, "" if done else "no handshake"


class _OpenVpn(_Client):
    """openvpn(8) in leg `origin`; its tun device is fetched once the server has given its settings."""

    process: subprocess.Popen[bytes] | None = None
    log = Path()

    def connect(self, profile: str, folder: Path, stranger: bool, end: float) -> None:
        path, told, self.log = folder / "client.ovpn", folder / "settings", folder / "log"
        path.write_text(_allowed(profile, _foreign_identity(folder) if stranger else {}), encoding="utf-8")
        command = ["openvpn", "--config", str(path), "--dev", LINK, "--dev-type", "tun", "--ifconfig-noexec",
                   "--route-noexec", "--connect-retry", "2", "2", "--connect-timeout", "6", "--script-security", "2",
                   "--up", f"/bin/sh -c 'env >{told}.new && mv {told}.new {told}'", "--log", str(self.log)]  # fmt: skip
        with self._legs.inside(self._origin):
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        while not told.exists():
            if self.process.poll() is not None or time.monotonic() > end:
                raise _ProfileError(self._last_words())
            time.sleep(0.1)
        given = dict(line.split("=", 1) for line in told.read_text(errors="replace").splitlines() if "=" in line)
        self._fetch()
        routes = [
            f"{network}/{given.get(f'route_netmask_{number}', '255.255.255.255')}"
            for number in range(1, 20)
            if (network := given.get(f"route_network_{number}"))
        ]
        if any(line.split()[:1] == ["redirect-gateway"] for line in profile.splitlines()):
            routes.append("default")
        address, peer = given.get("ifconfig_local", ""), given.get("ifconfig_remote", "")
        if not address:
            raise _ProfileError("the server gave no address")
        mask = given.get("ifconfig_netmask", "")
        self._plug(f"{address}/{_length(mask)}" if mask else address, peer, routes, given.get("tun_mtu", ""))

    def up(self) -> tuple[bool, str]:
        alive = self.process is not None and self.process.poll() is None
        return alive, "" if alive else self._last_words()

    def __exit__(self, *_: object) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()

    def _last_words(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return " / ".join(line.strip() for line in lines[-3:]) or "no answer"


class _Ears:
    """Listeners behind the tunnel, and a capture in front of it."""

    def __init__(self, legs: Legs, origin: str, words: list[dict[str, Any]]) -> None:
        self._legs, self._origin, self._words = legs, origin, words
        self._said = {word["id"]: os.urandom(12).hex().encode() for word in words}
        self._heard: dict[bytes, str] = {}
        self._stack = contextlib.ExitStack()
        self._listeners: list[socket.socket] = []
        self._over = False
        self.clear = False

    def __enter__(self) -> _Ears:
        with self._legs.inside(self._origin):
            self._capture = self._stack.enter_context(packet_socket(card()))
        for leg, address, port in {(word["leg"], word["address"], int(word["port"])) for word in self._words}:
            with self._legs.inside(leg):
                listener = self._stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            _bind(listener, address, port)
            listener.listen(8)
            self._listeners.append(listener)
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over = True
        self._thread.join()
        self._stack.close()

    def speak(self, word: dict[str, Any], window: float = 4.0) -> None:
        """Say the word through the tunnel, and wait for it to come back."""
        with (
            contextlib.suppress(OSError),
            socket.create_connection((word["address"], int(word["port"])), window) as link,
        ):
            link.sendall(self._said[word["id"]])
            link.settimeout(window)
            link.recv(64)

    def heard(self) -> dict[str, str | None]:
        return {name: self._heard.get(said) for name, said in self._said.items()}

    def _listen(self) -> None:
        while not self._over:
            for ready in select.select([self._capture, *self._listeners], [], [], 0.1)[0]:
                if ready is self._capture:
                    frame = ready.recv(4096)
                    self.clear = self.clear or any(said in frame for said in self._said.values())
                    continue
                with contextlib.suppress(OSError):
                    link, peer = ready.accept()
                    with link:
                        link.settimeout(2.0)
                        said = link.recv(64)
                        self._heard[said] = str(peer[0])
                        link.sendall(said[::-1])


def _bind(listener: socket.socket, address: str, port: int) -> None:
    """Take a port that another probe may hold for some seconds. Raises OSError when it stays taken."""
    end = time.monotonic() + BIND_SECONDS
    while True:
        try:
            listener.bind((address, port))
            return
        except OSError:
            if time.monotonic() > end:
                raise
        time.sleep(0.2)


def _sections(profile: str) -> dict[str, list[list[tuple[str, str]]]]:
    """Sections of a wg-quick file by lower-case name, each its (key, value) pairs that wg knows, or ours."""
    found: dict[str, list[list[tuple[str, str]]]] = {}
    current: list[tuple[str, str]] = []
    for raw in profile.splitlines():
        line = raw.partition("#")[0].strip()
        if line.startswith("[") and line.endswith("]"):
            current = []
            found.setdefault(line[1:-1].strip().lower(), []).append(current)
        elif "=" in line:
            key, _, value = line.partition("=")
            current.append((key.strip().lower(), value.strip()))
    return found


def _list(value: str) -> list[str]:
    return [one.strip() for one in value.split(",") if one.strip()]


def _allowed(profile: str, replaced: dict[str, str]) -> str:
    """An OpenVPN profile reduced to what a client may say; inline blocks named in `replaced` get other contents."""
    kept, inside = [], ""
    for raw in profile.splitlines():
        line = raw.strip()
        name = line.strip("<>/").lower()
        if inside:
            if line.lower() == f"</{inside}>":
                kept += [replaced[inside].strip()] if inside in replaced else []
                kept.append(line)
                inside = ""
            elif inside not in replaced:
                kept.append(line)
        elif line.startswith("<") and name in INLINE:
            inside = name
            kept.append(line)
        elif line.split() and line.split()[0].lower() in OPENVPN_KNOWN:
            kept.append(line)
    return "\n".join(kept) + "\n"


def _foreign_identity(folder: Path) -> dict[str, str]:
    """A key and a certificate of somebody unknown."""
    key, certificate = folder / "stranger.key", folder / "stranger.crt"
    _run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=nomade", "-keyout", str(key), "-out", str(certificate))  # fmt: skip
    return {"key": key.read_text(), "cert": certificate.read_text(), "secret": os.urandom(256).hex()}


def _network(route: str) -> str:
    """A route as ip(8) wants it: a profile may name a network by one of its hosts, as wg(8) and openvpn(8) allow.

    >>> _network("10.1.2.1/24")
    '10.1.2.0/24'
    """
    try:
        return str(ipaddress.IPv4Interface(route).network)
    except ValueError:
        return route


def _length(mask: str) -> int:
    return sum(int(part).bit_count() for part in mask.split("."))


def _own_network() -> None:
    """Leave the probe's networks for a new, empty one, which ends with this process."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    _run("ip", "link", "set", "lo", "up")


def _run(*command: str, text: str | None = None) -> str:
    """Standard output. Raises RuntimeError with the program's own words when it fails: the probe's own trouble."""
    shown = " ".join(command[:4])
    try:
        done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=RUN_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"{shown}: no end after {RUN_SECONDS:g} s") from None
    if done.returncode:
        raise RuntimeError(f"{shown}: {(done.stderr or done.stdout).strip()[-300:]}")
    return done.stdout


def _obey(*command: str, text: str | None = None) -> None:
    """Do what the profile says. Raises _ProfileError with the program's own words when it cannot be done."""
    try:
        _run(*command, text=text)
    except RuntimeError as problem:
        raise _ProfileError(str(problem)) from None
