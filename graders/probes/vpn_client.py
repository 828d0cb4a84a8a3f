"""VPN clients: a tunnel from this process's own, empty network, whose outer end is in a leg of the probe."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import time
from pathlib import Path

from .legs import CLONE_NEWNET, Legs
from .vpn_profile import allowed, length, list_, network, sections

LINK = "nomade"
RUN_SECONDS = 20.0


class ProfileError(Exception):
    """The profile is not one, or the client refused it."""


class Client:
    """A tunnel whose inner end is in this process's network and whose outer end is in leg `origin`."""

    address = ""
    server = ""
    """Protocol and port of the tunnel's outer end."""

    def __init__(self, legs: Legs, origin: str) -> None:
        self._legs, self._origin = legs, origin

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        """Hang up."""

    def connect(self, profile: str, folder: Path, stranger: bool, end: float) -> None:
        raise NotImplementedError

    def up(self) -> tuple[bool, str]:
        raise NotImplementedError

    def widen(self) -> None:
        """Send everything into the tunnel."""
        run("ip", "route", "replace", "default", "dev", LINK)

    def _fetch(self) -> None:
        """Bring the tunnel's inner end into this process's network."""
        with Path("/proc/thread-self/ns/net").open() as home, self._legs.inside(self._origin):
            run("ip", "link", "set", LINK, "netns", f"/proc/{os.getpid()}/fd/{home.fileno()}")

    def _plug(self, address: str, peer: str, routes: list[str], mtu: str) -> None:
        self.address = address.partition("/")[0]
        lines = [f"address add {address} {f'peer {peer}' if peer else ''} dev {LINK}"]
        lines += [f"link set {LINK} mtu {mtu} up" if mtu else f"link set {LINK} up"]
        lines += [f"route replace {network(route)} dev {LINK}" for route in routes if ":" not in route]
        obey("ip", "-batch", "-", text="\n".join(lines) + "\n")


class WireGuard(Client):
    """The kernel's, by ip(8) and wg(8): its UDP socket stays in the network in which it was made."""

    def connect(self, profile: str, folder: Path, stranger: bool, end: float) -> None:
        found = sections(profile)
        own = dict(found["interface"][0]) if found.get("interface") else {}
        if "privatekey" not in own or "address" not in own or not found.get("peer"):
            raise ProfileError("no [Interface] with PrivateKey and Address, or no [Peer]")
        if stranger:
            own["privatekey"] = run("wg", "genkey").strip()
        lines = ["[Interface]", f"PrivateKey = {own['privatekey']}"]
        for peer in found["peer"]:
            lines += ["[Peer]", *(f"{key} = {value}" for key, value in peer)]
        path = folder / "wg.conf"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        with self._legs.inside(self._origin):
            # One that a killed client left behind.
            subprocess.run(["ip", "link", "delete", LINK], capture_output=True, check=False)
            run("ip", "link", "add", LINK, "type", "wireguard")
        self._fetch()
        obey("wg", "setconf", LINK, str(path))
        routes = [one for peer in found["peer"] for key, value in peer if key == "allowedips" for one in list_(value)]
        given = [one for section in found["interface"] for key, value in section if key == "address"
                 for one in list_(value)]  # fmt: skip
        inner = [one for one in given if ":" not in one]
        if not inner:
            raise ProfileError("no IPv4 address in Address")
        self.server = f"UDP {run('wg', 'show', LINK, 'endpoints').split()[-1].rpartition(':')[2]}"
        self._plug(inner[0], "", routes, own.get("mtu", ""))

    def widen(self) -> None:
        for peer in run("wg", "show", LINK, "peers").split():
            run("wg", "set", LINK, "peer", peer, "allowed-ips", "0.0.0.0/0")
        super().widen()

    def up(self) -> tuple[bool, str]:
        last = run("wg", "show", LINK, "latest-handshakes").split()
        done = bool(last) and last[-1] != "0"
        return done, "" if done else "no handshake"


class OpenVpn(Client):
    """openvpn(8) in leg `origin`; its tun device is fetched once the server has given its settings."""

    process: subprocess.Popen[bytes] | None = None
    log = Path()

    def connect(self, profile: str, folder: Path, stranger: bool, end: float) -> None:
        path, told, self.log = folder / "client.ovpn", folder / "settings", folder / "log"
        path.write_text(allowed(profile, foreign_identity(folder) if stranger else {}), encoding="utf-8")
        command = ["openvpn", "--config", str(path), "--dev", LINK, "--dev-type", "tun", "--ifconfig-noexec",
                   "--route-noexec", "--connect-retry", "2", "2", "--connect-timeout", "6", "--script-security", "2",
                   "--verb", "3",
                   "--up", f"/bin/sh -c 'env >{told}.new && mv {told}.new {told}'", "--log", str(self.log)]  # fmt: skip
        with self._legs.inside(self._origin):
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        while not told.exists():
            if self.process.poll() is not None or time.monotonic() > end:
                raise ProfileError(self._last_words())
            time.sleep(0.1)
        given = dict(line.split("=", 1) for line in told.read_text(errors="replace").splitlines() if "=" in line)
        self._fetch()
        routes = [
            f"{network}/{given.get(f'route_netmask_{number}', '255.255.255.255')}"
            for number in range(1, 20)
            if (network := given.get(f"route_network_{number}"))
        ]
        # What the server pushes is not in the environment, as the routes are left to us; it is in the log.
        pushed = [line for line in self.log.read_text(errors="replace").splitlines() if "PUSH_REPLY" in line]
        wide = any(line.split()[:1] == ["redirect-gateway"] for line in profile.splitlines())
        if wide or any("redirect-gateway" in line for line in pushed):
            routes.append("default")
        protocol = "UDP" if given.get("proto_1", "udp").startswith("udp") else "TCP"
        self.server = f"{protocol} {given.get('remote_port_1', '')}"
        address, peer = given.get("ifconfig_local", ""), given.get("ifconfig_remote", "")
        if not address:
            raise ProfileError("the server gave no address")
        mask = given.get("ifconfig_netmask", "")
        self._plug(f"{address}/{length(mask)}" if mask else address, peer, routes, given.get("tun_mtu", ""))

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


def foreign_identity(folder: Path) -> dict[str, str]:
    """A key and a certificate of somebody unknown."""
    key, certificate = folder / "stranger.key", folder / "stranger.crt"
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=nomade", "-keyout", str(key), "-out", str(certificate))  # fmt: skip
    return {"key": key.read_text(), "cert": certificate.read_text(), "secret": os.urandom(256).hex()}


def own_network() -> None:
    """Leave the probe's networks for a new, empty one, which ends with this process."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    run("ip", "link", "set", "lo", "up")


def run(*command: str, text: str | None = None) -> str:
    """Standard output. Raises RuntimeError with the program's own words when it fails: the probe's own trouble."""
    shown = " ".join(command[:4])
    try:
        done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=RUN_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"{shown}: no end after {RUN_SECONDS:g} s") from None
    if done.returncode:
        raise RuntimeError(f"{shown}: {(done.stderr or done.stdout).strip()[-300:]}")
    return done.stdout


def obey(*command: str, text: str | None = None) -> None:
    """Do what the profile says. Raises ProfileError with the program's own words when it cannot be done."""
    try:
        run(*command, text=text)
    except RuntimeError as problem:
        raise ProfileError(str(problem)) from None
