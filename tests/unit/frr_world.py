"""Two real FRR routers in network namespaces, OSPF between them; works as root, and without it in a user namespace."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

from tests.sshd import Sshd

FRR = Path("/usr/lib/frr")
CONFIG = """hostname {name}
interface v0
 ip address 10.9.0.{number}/24
 ip ospf hello-interval 1
 ip ospf dead-interval 4
 ip ospf area 0
interface lo
 ip address 10.9.{number}.1/32
 ip ospf area 0
router ospf
 ospf router-id {number}.{number}.{number}.{number}
"""


class FrrWorld:
    """Routers r1 and r2, and an SSH server on 127.0.0.1 that gives r1's vtysh to whoever logs in."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.chmod(0o755)
        self.processes: list[subprocess.Popen[bytes]] = []
        self._user: list[str] = []
        self.sshd: Sshd | None = None
        try:
            self._build()
        except BaseException:
            self.close()
            raise

    def _build(self) -> None:
        folder = self.folder
        if os.geteuid() != 0:
            base = self._hold(["unshare", "-U", "--map-root-user", "--map-auto", "sleep", "infinity"])
            self._user = ["nsenter", "-t", str(base), "-U", "--preserve-credentials"]
        self.spaces = {name: self._hold([*self._user, "unshare", "-nm", "sleep", "infinity"]) for name in ("r1", "r2")}
        group = folder / "group"  # FRR wants its user to be a member of frrvty; here that is root
        group.write_text(Path("/etc/group").read_text().replace("frrvty:x:", "frrgone:x:") + "frrvty:x:0:root\n")
        self.run("r1", "ip", "link", "add", "v0", "type", "veth", "peer", "name", "v0", "netns", str(self.spaces["r2"]))
        for name in self.spaces:
            for card in ("v0", "lo"):
                self.run(name, "ip", "link", "set", card, "up")
            self.run(name, "mount", "--bind", str(group), "/etc/group")
            self._router(name)
        self.sshd = Sshd(folder / "sshd", more=f"ForceCommand vtysh --vty_socket {folder}/r1")

    def run(self, router: str, *argv: str) -> None:
        subprocess.run([*self._enter(router), *argv], check=True, stdin=subprocess.DEVNULL)

    def vtysh(self, router: str, command: str) -> str:
        argv = ["vtysh", "--vty_socket", f"{self.folder}/{router}", "-c", command]
        return subprocess.run(argv, capture_output=True, text=True, check=True).stdout

    def wait_full(self) -> None:
        """Until r1 and r2 are full neighbours."""
        end = time.monotonic() + 40
        while "Full" not in self.vtysh("r1", "show ip ospf neighbor"):
            assert time.monotonic() < end, (self.folder / "frr.log").read_text()
            time.sleep(0.2)

    def close(self) -> None:
        if self.sshd is not None:
            self.sshd.close()
        for process in reversed(self.processes):
            process.kill()
        for process in self.processes:
            process.wait()

    def _enter(self, router: str) -> list[str]:
        return ["nsenter", "-t", str(self.spaces[router]), *(["-U", "--preserve-credentials"] if self._user else []),
                "-n", "-m"]  # fmt: skip

    def _router(self, name: str) -> None:
        place = self.folder / name
        place.mkdir(mode=0o755)
        config = place / "frr.conf"
        config.write_text(CONFIG.format(name=name, number=name[1]))
        for daemon in ("zebra", "ospfd"):
            options = ["-u", "root", "-g", "root", "-f", str(config), "-i", str(place / f"{daemon}.pid"), "-A",
                       "127.0.0.1", "-P", "0", "--vty_socket", str(place), "-z", str(place / "zserv")]  # fmt: skip
            with (self.folder / "frr.log").open("ab") as log:
                command = [*self._enter(name), str(FRR / daemon), *options]
                process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            self.processes.append(process)
            end = time.monotonic() + 15
            while not (place / f"{daemon}.vty").exists():
                assert time.monotonic() < end, (self.folder / "frr.log").read_text()
                time.sleep(0.05)

    def _hold(self, argv: list[str]) -> int:
        process = subprocess.Popen(argv)
        self.processes.append(process)
        comm, end = Path(f"/proc/{process.pid}/comm"), time.monotonic() + 5
        while comm.read_text() != "sleep\n":
            assert time.monotonic() < end
            time.sleep(0.01)
        return process.pid
