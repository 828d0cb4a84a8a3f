"""A small network device with the grammar of Cisco IOS: modes, enable, paging, `% Invalid input`, an SSH server."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path

import asyncssh

ACCOUNT = ("plateau", "mot-de-passe")
ENABLE = "secret-enable"
PAGE = 24
PAGER = " --More-- "
RUNNING = """Building configuration...

Current configuration : 812 bytes
!
! Last configuration change at 10:02:11 UTC Mon Nov 23 2026
hostname R1
!
banner motd ^CAcces reserve
R1#
R1# fin^C
interface GigabitEthernet0/0
 description vers le LAN
 ip address 10.1.2.1 255.255.255.0
!
interface GigabitEthernet0/1
 shutdown
!
router ospf 1
 router-id 1.1.1.1
 network 10.1.2.0 0.0.0.255 area 0
!
line vty 0 4
 transport input ssh
!
{more}end
"""
STARTUP = RUNNING.replace("10:02:11", "09:00:00").replace(" description vers le LAN\n", "").replace("{more}", "")
FILLER = "".join(f"ip route 10.{number}.0.0 255.255.0.0 Null0\n" for number in range(60))


class IosDevice:
    """Listens on 127.0.0.1 until `close`; `said` is what it was asked."""

    def __init__(self, folder: Path, *, hostname: str = "R1", silent: bool = False) -> None:
        self.hostname, self.silent = hostname, silent
        self.said: list[str] = []
        self.key = asyncssh.generate_private_key("ssh-rsa", key_size=2048)
        self.known = folder / "device"
        self._loop = asyncio.new_event_loop()
        self._server: asyncssh.SSHAcceptor | None = None
        self._connections: list[asyncssh.SSHServerConnection] = []
        ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, args=(ready,), daemon=True)
        self._thread.start()
        assert ready.wait(20)

    def address(self) -> tuple[str, int]:
        assert self._server is not None
        return "127.0.0.1", self._server.get_port()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _serve(self, ready: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)

        async def start() -> None:
            connections = self._connections

            class Door(asyncssh.SSHServer):
                def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
                    connections.append(conn)

                def password_auth_supported(self) -> bool:
                    return True

                def validate_password(self, username: str, password: str) -> bool:
                    return (username, password) == ACCOUNT

            self._server = await asyncssh.listen(
                "127.0.0.1", 0, server_factory=Door, server_host_keys=[self.key], process_factory=self._session,
                line_editor=False,
            )  # fmt: skip
            ready.set()

        self._loop.run_until_complete(start())
        self._loop.run_forever()
        self._loop.run_until_complete(self._end())
        self._loop.close()

    async def _end(self) -> None:
        assert self._server is not None
        self._server.close()
        for connection in self._connections:  # closing the server leaves them, and their sockets, to the collector
            connection.abort()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await asyncio.sleep(0.05)

    async def _session(self, process: asyncssh.SSHServerProcess[str]) -> None:
        try:
            await Session(self, process).run()
        except (asyncssh.Error, OSError, EOFError):
            pass
        finally:
            process.exit(0)


class Session:
    """One login."""

    def __init__(self, device: IosDevice, process: asyncssh.SSHServerProcess[str]) -> None:
        self.device, self.process = device, process
        self.privileged, self.page = False, PAGE
        self.waiting = ""

    async def run(self) -> None:
        if self.device.silent:
            await asyncio.sleep(3600)
        self.process.stdout.write("\r\n")
        while True:
            self.process.stdout.write(f"{self.device.hostname}{'#' if self.privileged else '>'}")
            command = await self.line(echo=True)
            self.device.said.append(command)
            if command in {"exit", "logout"}:
                return
            await self.obey(command)

    async def line(self, *, echo: bool) -> str:
        while "\n" not in self.waiting:
            data = await self.process.stdin.read(1024)
            if not data:
                raise EOFError
            self.waiting += data
        line, _, self.waiting = self.waiting.partition("\n")
        self.process.stdout.write((line.rstrip("\r") if echo else "") + "\r\n")
        return line.strip()

    async def obey(self, command: str) -> None:
        answers: dict[str, Callable[[], str]] = {
            "show version": lambda: "Cisco IOS Software, IOSv Software\nR1 uptime is 3 minutes\n",
            "show running-config": lambda: RUNNING.replace("{more}", FILLER),
            "show startup-config": lambda: f"Using 700 out of 262144 bytes\n{STARTUP}",
        }
        words = command.split()
        if command.startswith("!") or not words:
            return
        if words[0] == "terminal" and len(words) == 3:
            self.page = int(words[2]) if words[1] == "length" else self.page
        elif command == "enable":
            self.process.stdout.write("Password: ")
            if await self.line(echo=False) == ENABLE:
                self.privileged = True
            else:
                self.process.stdout.write("% Access denied\r\n")
        elif command == "show flood":
            while True:
                self.process.stdout.write("flood " * 1000)
                await self.process.stdout.drain()
        elif command == "show hang":
            await asyncio.sleep(3600)
        elif command in answers and (self.privileged or command == "show version"):
            await self.show(answers[command]())
        else:
            self.process.stdout.write("          ^\r\n% Invalid input detected at '^' marker.\r\n\r\n")

    async def show(self, text: str) -> None:
        for number, line in enumerate(text.splitlines(), 1):
            self.process.stdout.write(f"{line}\r\n")
            if self.page and number % self.page == 0:
                self.process.stdout.write(PAGER)
                while not self.waiting:
                    self.waiting += await self.process.stdin.read(1024)
                self.waiting = self.waiting[1:]
                self.process.stdout.write("\x08" * len(PAGER) + " " * len(PAGER) + "\x08" * len(PAGER))
