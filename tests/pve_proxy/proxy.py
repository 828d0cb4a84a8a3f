"""The proxy: every request passes through it, and meets what the test or the model of the cluster has for it."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import re
import ssl
import subprocess
import threading
import time
import urllib.parse
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from tests.pve_proxy.consoles import Consoles
from tests.pve_proxy.faults import LOCK_TEXT, TASK_TEXTS, Fault, Rule
from tests.pve_proxy.model import GuestState, Pace, Sdn, Task

API = "/api2/json"
NEVER = float("inf")
VM = re.compile(r"^/nodes/([^/]+)/qemu/(\d+)(/.*)?$")
UNREAD = {"Transfer-Encoding", "Content-Encoding", "Content-Length", "Date", "Server"}

Runner = Callable[[list[str], bytes], subprocess.CompletedProcess[bytes]]


class Proxy:
    """TLS on a port of 127.0.0.1, in a thread of its own; tests change `rules`, `pace` and `sdn` as they go."""

    def __init__(
        self,
        upstream: int,
        certificate: Path,
        *,
        pace: Pace,
        sdn: Sdn,
        node_memory_mb: int,
        nodes: list[str],
        token: str,
    ):
        self.rules: list[Rule] = []
        self.pace = pace
        self.sdn = sdn
        self.calls: Counter[str] = Counter()
        self.strangers: list[str] = []
        """Machines of others that somebody tried to change."""
        self.firewall = True
        self.users: dict[str, dict[str, str]] = {}
        """Users beside the token's, each with the rights it was given: path -> role."""
        self.roles = {
            "Administrator": "Datastore.Allocate,VM.Audit,VM.Console",
            "PlateauCandidate": "VM.Audit,VM.Console",
        }
        self.permissions: dict[str, Any] | None = None
        """The token's own, where they are not to be those that it has."""
        self.imports: set[str] = set()
        self.consoles = Consoles(token.partition("=")[0])
        self.offline: set[str] = set()
        """Nodes that are down."""
        self.run: Runner | None = None
        """How an agent's command is carried out; without it, every command succeeds and does nothing."""
        self.inside: Callable[[int, str], Any] | None = None
        """What an agent answers to a question, and what a command writes (`exec PROGRAM`); None: no such program."""
        self.refuse: Callable[[str, str], bool] | None = None
        self.names: dict[int, str] = {}
        """Names that machines were cloned with."""
        self.port = 0
        self._upstream = f"https://127.0.0.1:{upstream}"
        self._certificate = certificate
        self._token = token
        self._nodes = nodes
        self._memory = node_memory_mb << 20
        self._tasks: dict[str, Task] = {}
        self._cloning: dict[int, Task] = {}
        self._born: dict[int, float] = {}
        self._storage_free = 0.0
        self._guests: dict[int, GuestState] = {}
        self._pids = 1000
        self._hides_templates = False
        self._commands: set[asyncio.Task[None]] = set()
        self._transports: weakref.WeakSet[asyncio.Transport] = weakref.WeakSet()
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._main, name="pve-proxy", daemon=True)

    # --- from the test's thread ---------------------------------------------------------------------------------

    def start(self) -> None:
        self._thread.start()
        if not self._ready.wait(20):
            raise RuntimeError("the proxy did not start")

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(20)

    def fail(self, method: str, path: str, fault: Fault, times: int = 1) -> Rule:
        """Have the next `times` matching requests meet a fault."""
        rule = Rule(method, path, fault, times)
        self.rules.append(rule)
        return rule

    def as_root(self, method: str, path: str, **data: Any) -> Any:
        """Do something behind the driver's back. Raises AssertionError when it is refused."""
        return asyncio.run_coroutine_threadsafe(self._root(method, path, data), self._loop).result(20)

    def forget_hanging(self) -> None:
        """As when an administrator ends the tasks that hang."""
        for task in self._tasks.values():
            task.ends = min(task.ends, time.monotonic())

    def boot_of(self, vmid: int) -> str:
        """What changes with every boot of a machine."""
        return str(self._guests[vmid].started)

    @contextmanager
    def without_templates(self) -> Iterator[None]:
        """List no templates while the `with` block runs."""
        self._hides_templates = True
        try:
            yield
        finally:
            self._hides_templates = False

    def cut_power(self, node: str, vmid: int) -> None:
        """As when QEMU is killed."""
        self.as_root("POST", f"/nodes/{node}/qemu/{vmid}/status/stop")
        self._guests.pop(vmid, None)

    def halt(self, vmid: int, state: str = "io-error") -> None:
        """As when the storage of a running machine's disk is full; or when somebody has it `paused`."""
        self._guests[vmid].halted = state

    # --- serving ---------------------------------------------------------------------------------------------------

    def _main(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        self._stopping = asyncio.Event()
        connector = aiohttp.TCPConnector(ssl=False, limit=64)
        self._session = aiohttp.ClientSession(connector=connector, auto_decompress=True)
        app = web.Application(client_max_size=1 << 30)
        app.router.add_route("*", "/{tail:.*}", self._handle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self._certificate, self._certificate.with_suffix(".key"))
        site = web.TCPSite(runner, "127.0.0.1", self.port, ssl_context=context)
        await site.start()
        self.port = runner.addresses[0][1]
        self._ready.set()
        await self._stopping.wait()
        await asyncio.gather(*self._commands)
        # Clients keep their connections open and would not answer the end of TLS. One that has just gone has no
        # protocol, which Python 3.11 does not expect (asyncio.sslproto).
        for transport in list(self._transports):
            with contextlib.suppress(AttributeError):
                transport.abort()
        await self._session.close()
        await runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        path = request.path.removeprefix(API)
        self.calls[request.method + " " + re.sub(r"\d+|UPID[^/]*", "N", path)] += 1
        if request.transport is not None:
            self._transports.add(request.transport)
        body = await request.read()
        data = _parameters(request, body)
        await self._sleep(self.pace.answer)
        if not request.headers.get("Authorization", "").startswith(f"PVEAPIToken={self._token}"):
            await self._sleep(3.0)
            return _empty(401, "Authentication failed!")
        self._note_strangers(request.method, path)
        if path.startswith("/nodes/") and path.split("/")[2] in self.offline:
            await self._sleep(3.0)
            return _empty(595, "No route to host")
        rule = next((one for one in self.rules if one.applies(request.method, path)), None)
        if rule is not None:
            rule.seen += 1
            return await self._faulty(rule.fault, request, path, body, data)
        return await self._answer(request, path, body, data)

    async def _faulty(
        self, fault: Fault, request: web.Request, path: str, body: bytes, data: dict[str, Any]
    ) -> web.StreamResponse:
        match = VM.match(path)
        vmid = match[2] if match else "0"
        if fault in {Fault.LATE_596, Fault.NO_WORKER_DONE, Fault.DROPPED}:
            await self._answer(request, path, body, data)
        if fault in {Fault.LATE_596, Fault.NEVER_596}:
            await self._sleep(30.0)
            return _empty(596, "Connection timed out")
        if fault is Fault.UNREACHABLE_595:
            await self._sleep(3.0)
            return _empty(595, "No route to host")
        if fault in {Fault.NO_WORKER_DONE, Fault.NO_WORKER_LOST}:
            return _refused(500, "got no worker upid - start worker failed")
        if fault is Fault.DROPPED:
            assert request.transport is not None
            request.transport.close()
            return _empty(500, "gone")
        if fault is Fault.UNAUTHORIZED:
            await self._sleep(3.0)
            return _empty(401, "Authentication failed!")
        if fault is Fault.LOCKED:
            await self._sleep(10.0)
            return _refused(500, LOCK_TEXT.format(vmid=vmid))
        text, log = TASK_TEXTS[fault]
        node = match[1] if match else "pve1"
        kind = "qmclone" if path.endswith("/clone") else "qmdestroy" if request.method == "DELETE" else "qmstart"
        task = self._invent(
            node, kind, vmid, NEVER if text is None else 0.0, (text or "").format(**{"vmid": vmid, **data}), log
        )
        return _ok(task.upid)

    async def _answer(self, request: web.Request, path: str, body: bytes, data: dict[str, Any]) -> web.StreamResponse:
        method = request.method
        if path == "/cluster/resources":
            return await self._resources(request, body)
        if "/tasks" in path and path.startswith("/nodes/") and method == "GET":
            return await self._told_tasks(request, path, body)
        if path.startswith("/cluster/sdn") or "/sdn/" in path:
            return self._answer_sdn(method, path, data)
        if path.startswith("/access/") and (answer := self._answer_access(method, path, data)) is not None:
            return answer
        if path == "/cluster/firewall/options":
            return _ok({"enable": int(self.firewall)})
        if "/storage/" in path and (answer := self._answer_import(request, path, body)) is not None:
            return answer
        if re.fullmatch(r"/nodes/[^/]+/qemu", path) and method == "POST":
            self._born[int(data["vmid"])] = time.monotonic()
        match = VM.match(path)
        if match is None:
            return await self._forward(request, body)
        return await self._answer_vm(request, match, body, data)

    async def _answer_vm(
        self, request: web.Request, match: re.Match[str], body: bytes, data: dict[str, Any]
    ) -> web.StreamResponse:
        node, vmid, rest = match[1], int(match[2]), match[3] or ""
        cloning = self._cloning.get(vmid)
        if cloning is not None and cloning.running:
            privilege = "VM.Allocate" if request.method == "DELETE" else "VM.Audit"
            return _refused(403, f"Permission check failed (/vms/{vmid}, {privilege})")
        if rest in {"/termproxy", "/vncproxy"}:
            return _ok(self.consoles.ticket(rest[1:], data))
        if rest == "/vncwebsocket":
            return await self.consoles.stream(request)
        if rest == "/sendkey":
            return self._press(vmid, data)
        if rest.startswith("/agent/"):
            return await self._agent(rest.removeprefix("/agent/"), node, vmid, data)
        answer = await self._forward(request, body)
        upid = _upid(answer)
        if upid is not None:
            self._timed(upid, request.method, rest, vmid, data)
        if rest == "/template" and answer.status == 200:
            self._born[vmid] = time.monotonic()
        if request.method == "GET" and rest == "/status/current" and vmid in self._guests:
            guest = self._guests[vmid]
            return _changed(answer, uptime=int(time.monotonic() - guest.started), qmpstatus=guest.state)
        return answer

    def _timed(self, upid: str, method: str, rest: str, vmid: int, data: dict[str, Any]) -> None:
        """Have a task of fakepve, done already, end when one of Proxmox VE would."""
        kind = upid.split(":")[5]
        now = time.monotonic()
        begins, takes = now, self.pace.of(kind) * self.pace.scale
        if kind == "qmclone" and self.pace.storage_lock:
            begins = max(now, self._storage_free)
            takes = self.pace.storage_lock * self.pace.scale
            self._storage_free = begins + takes
        task = self._tasks[upid] = Task(upid, begins + takes)
        if rest == "/clone":
            number = int(data["newid"])
            self._cloning[number] = task
            self.names[number] = data["name"]
            self._born[number] = now
        elif rest == "/status/reset" or (rest == "/status/start" and vmid not in self._guests):
            self._guests[vmid] = GuestState(task.ends)
        elif rest.endswith("/rollback"):
            # Its memory comes back: the agent answers at once.
            self._guests[vmid] = GuestState(now - 3600)
        elif rest == "/status/resume" and vmid in self._guests:
            self._guests[vmid].asleep, self._guests[vmid].halted = False, ""
        elif rest in {"/status/stop", "/status/shutdown"} or (method == "DELETE" and rest == ""):
            self._guests.pop(vmid, None)

    # --- what fakepve does not model -------------------------------------------------------------------------------

    def _press(self, vmid: int, data: dict[str, Any]) -> web.StreamResponse:
        guest = self._guests.get(vmid)
        if guest is None:
            return _refused(500, f"VM {vmid} not running")
        guest.asleep = guest.asleep or data["key"] == "power"
        return _ok(None)

    async def _agent(self, command: str, node: str, vmid: int, data: dict[str, Any]) -> web.StreamResponse:
        state = self._guests.get(vmid)
        if state is None:
            return _refused(500, f"VM {vmid} is not running")
        if state.asleep or time.monotonic() < state.started + self.pace.boot * self.pace.scale:
            await self._sleep(self.pace.silent_ping)
            return _refused(500, "QEMU guest agent is not running")
        if command == "ping":
            return _ok({"result": {}})
        if command.startswith(("get-", "network-get-")) and self.inside is not None:
            return _ok({"result": self.inside(vmid, command)})
        if command == "exec" and self.inside is not None:
            return await self._scripted(self.inside, vmid, data)
        if command == "exec":
            self._pids += 1
            pid = self._pids
            argv = data["command"] if isinstance(data["command"], list) else [data["command"]]
            stdin = str(data.get("input-data", "")).encode("ascii")
            state.commands[pid] = {"exited": 0}
            command = self._loop.create_task(self._carry_out(state.commands[pid], argv, stdin))
            self._commands.add(command)
            command.add_done_callback(self._commands.discard)
            await asyncio.sleep(0)
            return _ok({"pid": pid})
        if command == "exec-status":
            told = state.commands.get(int(data["pid"]))
            return _ok(told) if told is not None else _refused(500, "Agent error: Invalid parameter 'pid'")
        if command == "file-write":
            return _ok(None)
        return _refused(501, f"Method 'POST /nodes/{node}/qemu/{vmid}/agent/{command}' not implemented")

    async def _scripted(self, inside: Callable[[int, str], Any], vmid: int, data: dict[str, Any]) -> web.StreamResponse:
        argv = data["command"] if isinstance(data["command"], list) else [data["command"]]
        told = inside(vmid, f"exec {argv[0]}")
        if told is None:
            await self._sleep(5.0)
            return _empty(596, "Broken pipe")
        self._pids += 1
        self._guests[vmid].commands[self._pids] = {"exited": 1, "exitcode": 0, "out-data": told, "out-truncated": 0}
        return _ok({"pid": self._pids})

    async def _carry_out(self, told: dict[str, Any], argv: list[str], stdin: bytes) -> None:
        """Output as the API gives it: each byte as the character of that number."""
        if self.run is None:
            told.update({"exited": 1, "exitcode": 0, "out-data": "", "err-data": ""})
            return
        done = await self._loop.run_in_executor(None, self.run, argv, stdin)
        told.update({"exited": 1, "exitcode": done.returncode})
        told.update({"out-data": done.stdout.decode("latin-1"), "err-data": done.stderr.decode("latin-1")})

    def _answer_sdn(self, method: str, path: str, data: dict[str, Any]) -> web.StreamResponse:
        if path == "/cluster/sdn/zones":
            return _ok([{"zone": zone, "type": kind} for zone, kind in self.sdn.zones.items()])
        if path == "/cluster/sdn/vnets" and method == "GET":
            return _ok(self.sdn.listed())
        if path == "/cluster/sdn/vnets" and method == "POST":
            values = {"zone": data["zone"], "alias": data.get("alias", "")}
            values |= {"tag": int(data["tag"])} if "tag" in data else {}
            values |= {"vlanaware": 1} if data.get("vlanaware") == "1" else {}
            told = self.sdn.create(data["vnet"], values)
            return _ok(None) if told is None else _refused(500, told)
        if path == "/cluster/sdn/lock":
            return self._answer_sdn_lock(method)
        if path == "/cluster/sdn" and method == "PUT":
            up = [node for node in self._nodes if node not in self.offline]
            self.sdn.apply(up)
            return _ok(self._invent(up[0], "reloadnetworkall", "", self.pace.other * self.pace.scale, "OK", []).upid)
        if match := re.match(r"^/nodes/([^/]+)/sdn/zones/([^/]+)/content$", path):
            return _ok(self.sdn.content(match[1], match[2]))
        if match := re.match(r"^/cluster/sdn/vnets/([^/]+)(/subnets)?$", path):
            if match[1] not in self.sdn.vnets:
                return _refused(500, f"sdn vnet '{match[1]}' does not exist")
            if match[2]:
                return _ok([])
            if method == "DELETE":
                del self.sdn.vnets[match[1]]
                return _ok(None)
            return _ok({**self.sdn.vnets[match[1]], "vnet": match[1], "type": "vnet"})
        return _refused(501, f"Method '{method} {path}' not implemented")

    def _answer_sdn_lock(self, method: str) -> web.StreamResponse:
        where = "at /usr/share/perl5/PVE/API2/Network/SDN.pm line 146."
        if method == "DELETE":
            self.sdn.locked = False
            return _ok(None)
        if self.sdn.hidden_change or any(vnet.get("state") for vnet in self.sdn.listed()):
            words = "could not acquire lock for SDN config: configuration has pending changes"
            return _refused(500, f"{words} {where}")
        if self.sdn.locked:
            return _refused(500, f"could not acquire lock for SDN config: invalid lock token provided! {where}")
        self.sdn.locked = True
        return _ok("01a2017f-e97e-715f-8a9e-66a9566678a7")

    def _answer_access(self, method: str, path: str, data: dict[str, Any]) -> web.StreamResponse | None:
        """Users and their rights, which fakepve does not keep."""
        if path == "/access/permissions" and self.permissions is not None:
            return _ok(self.permissions)
        if path == "/access/roles":
            return _ok([{"roleid": name, "privs": held, "special": 0} for name, held in self.roles.items()])
        if path == "/access/users" and method == "GET":
            return _ok([{"userid": user, "comment": told["comment"]} for user, told in sorted(self.users.items())])
        if path == "/access/users" and method == "POST":
            user = data["userid"]
            if user in self.users:
                return _refused(500, f"create user failed: user '{user}' already exists")
            self.users[user] = {"comment": data["comment"]}
            return _ok(None)
        if path == "/access/acl" and method == "PUT":
            if data["users"] not in self.users:
                return _refused(500, f"ACL update failed: user '{data['users']}' does not exist")
            if data["roles"] not in self.roles:
                return _refused(500, f"ACL update failed: role '{data['roles']}' does not exist")
            self.users[data["users"]][data["path"]] = data["roles"]
            return _ok(None)
        if path.startswith("/access/users/") and method == "DELETE":
            user = path.removeprefix("/access/users/")
            if self.users.pop(user, None) is None:
                return _refused(500, f"delete user failed: no such user ('{user}')")
            return _ok(None)
        return None

    def _answer_import(self, request: web.Request, path: str, body: bytes) -> web.StreamResponse | None:
        """Uploads to import from, which fakepve does not know: order of the fields, checksum, format."""
        node, storage = path.split("/")[2], path.split("/")[4]
        if path.endswith("/upload"):
            boundary = request.headers["Content-Type"].partition("boundary=")[2].encode()
            parts = [part[2:-2].partition(b"\r\n\r\n") for part in body.split(b"--" + boundary)[1:-1]]
            names = [head.partition(b'name="')[2].partition(b'"')[0].decode() for head, _, _ in parts]
            values = dict(zip(names, [value for _, _, value in parts], strict=True))
            if names != ["content", "checksum-algorithm", "checksum", "filename"]:
                return _empty(400, "Bad Request")
            if hashlib.sha256(values["filename"]).hexdigest() != values["checksum"].decode():
                return _empty(400, "Bad Request")
            name = parts[-1][0].partition(b'filename="')[2].partition(b'"')[0].decode()
            refused = "qemu-img: Could not open '/var/tmp/pveupload-0': Image is not in qcow2 format"
            well = values["filename"].startswith(b"QFI\xfb")
            self.imports |= {f"{storage}:import/{name}"} if well else set()
            return _ok(self._invent(node, "imgcopy", "", 0.0, "OK" if well else refused, []).upid)
        if path.endswith("/content") and request.query.get("content") == "import":
            return _ok([{"volid": volume, "content": "import", "format": "qcow2"} for volume in sorted(self.imports)])
        if request.method == "DELETE" and "/content/" in path:
            return _refused(403, f"Permission check failed (/storage/{storage}, Datastore.Allocate)")
        return None

    async def _resources(self, request: web.Request, body: bytes) -> web.StreamResponse:
        answer = await self._forward(request, body)
        if answer.status != 200:
            return answer
        entries = json.loads(answer.body)["data"]  # type: ignore[arg-type]
        kept = []
        for entry in entries:
            number = entry.get("vmid")
            cloning = self._cloning.get(number)
            if cloning is not None and cloning.running:
                continue
            if self._hides_templates and entry.get("template"):
                continue
            if entry["type"] == "node" and entry["node"] in self.offline:
                entry["status"] = "offline"
            elif entry["type"] == "node":
                entry.update(maxmem=self._memory, mem=self._memory // 20, maxcpu=32)
            elif entry["type"] == "storage":
                entry.update(maxdisk=100 << 40)
            elif entry["type"] == "qemu":
                lag = self.pace.listing_lag * self.pace.scale
                if time.monotonic() - self._born.get(number, -NEVER) < lag or entry["node"] in self.offline:
                    for name in ("name", "template", "maxmem"):
                        entry.pop(name, None)
                    entry["status"] = "unknown"
                if number in self._guests:
                    entry["uptime"] = int(time.monotonic() - self._guests[number].started)
                    if entry["status"] == "running":  # pvestatd tells QEMU's own word
                        entry["status"] = self._guests[number].state
            kept.append(entry)
        return _ok(kept)

    async def _told_tasks(self, request: web.Request, path: str, body: bytes) -> web.StreamResponse:
        if match := re.match(r"^/nodes/[^/]+/tasks/([^/]+)/(status|log)$", path):
            task = self._tasks.get(urllib.parse.unquote(match[1]))
            if task is not None and (task.invented is not None or task.running):
                if match[2] == "status":
                    return _ok(task.status())
                lines = [*task.log, f"TASK ERROR: {task.invented}"]
                return _ok([{"n": number, "t": line} for number, line in enumerate(lines, 1)])
            return await self._forward(request, body)
        answer = await self._forward(request, body, ("source", "userfilter", "typefilter", "since"))
        node = path.split("/")[2]
        entries = [one for one in json.loads(answer.body)["data"] if "endtime" in one]  # type: ignore[arg-type]
        entries = [
            self._tasks[one["upid"]].listed()
            if one["upid"] in self._tasks and self._tasks[one["upid"]].running
            else one
            for one in entries
        ]
        entries += [task.listed() for task in self._tasks.values() if task.invented is not None and task.node == node]
        kind = request.query.get("typefilter")
        entries = [one for one in entries if kind in {None, one["type"]}]
        if request.query.get("source") == "active":
            entries = [one for one in entries if "endtime" not in one]
        return _ok(entries)

    # --- helpers ----------------------------------------------------------------------------------------------------

    def _invent(self, node: str, kind: str, subject: str, lasts: float, outcome: str, log: list[str]) -> Task:
        self._pids += 1
        user = self._token.partition("=")[0]
        upid = f"UPID:{node}:{self._pids:08X}:{self._pids:08X}:{int(time.time()):08X}:{kind}:{subject}:{user}:"
        task = self._tasks[upid] = Task(upid, time.monotonic() + lasts, outcome, log)
        return task

    def _note_strangers(self, method: str, path: str) -> None:
        """A test says which machines nobody of ours may change."""
        if method != "GET" and self.refuse is not None and self.refuse(method, path):
            self.strangers.append(f"{method} {path}")

    async def _sleep(self, seconds: float) -> None:
        if seconds * self.pace.scale > 0:
            await asyncio.sleep(seconds * self.pace.scale)

    async def _forward(self, request: web.Request, body: bytes, without: tuple[str, ...] = ()) -> web.Response:
        headers = {name: request.headers[name] for name in ("Authorization", "Content-Type") if name in request.headers}
        query = [(name, value) for name, value in request.query.items() if name not in without]
        if without:
            query.append(("limit", "100000"))
            query = [(name, value) for name, value in query if name != "limit" or value == "100000"]
        url = f"{self._upstream}{request.path}"
        async with self._session.request(
            request.method, url, params=query, data=body or None, headers=headers
        ) as answer:
            content = await answer.read()
            return web.Response(
                status=answer.status,
                reason=answer.reason,
                body=content,
                headers={name: value for name, value in answer.headers.items() if name not in UNREAD},
            )

    async def _root(self, method: str, path: str, data: dict[str, Any]) -> Any:
        async with self._session.post(
            f"{self._upstream}{API}/access/ticket", data={"username": "root@pam", "password": "secret"}
        ) as answer:
            login = (await answer.json())["data"]
        headers = {"Cookie": f"PVEAuthCookie={login['ticket']}", "CSRFPreventionToken": login["CSRFPreventionToken"]}
        async with self._session.request(method, f"{self._upstream}{API}{path}", data=data, headers=headers) as answer:
            assert answer.status == 200, answer.reason
            return (await answer.json())["data"]


def _parameters(request: web.Request, body: bytes) -> dict[str, Any]:
    found: dict[str, Any] = {}
    pairs = list(request.query.items())
    if request.content_type == "application/x-www-form-urlencoded":
        pairs += urllib.parse.parse_qsl(body.decode(), keep_blank_values=True)
    for name, value in pairs:
        if name in found:
            found[name] = [*(found[name] if isinstance(found[name], list) else [found[name]]), value]
        else:
            found[name] = value
    return found


def _ok(data: Any) -> web.Response:
    return web.json_response({"data": data})


def _refused(status: int, text: str) -> web.Response:
    return web.json_response({"data": None, "message": f"{text}\n"}, status=status, reason=text.splitlines()[0])


def _empty(status: int, reason: str) -> web.Response:
    return web.Response(status=status, reason=reason, body=b"")


def _upid(answer: web.Response) -> str | None:
    if answer.status != 200:
        return None
    data = json.loads(answer.body)["data"]  # type: ignore[arg-type]
    return data if isinstance(data, str) and data.startswith("UPID:") else None


def _changed(answer: web.Response, **values: Any) -> web.Response:
    if answer.status != 200:
        return answer
    return _ok({**json.loads(answer.body)["data"], **values})  # type: ignore[arg-type]
