"""A small WSMan endpoint: WinRS shells, NTLM, message encryption, TLS when it gets a certificate. No PowerShell.

It runs what it is given to run (`execute`) in the place of powershell.exe. What it proves: that the real pywinrm,
as the engine uses it, speaks to a server of this protocol ([MS-WSMV], [MS-NLMP]). What it cannot: that a Windows does.
"""

from __future__ import annotations

import base64
import os
import re
import ssl
import threading
import uuid
import xml.etree.ElementTree as ET
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import spnego
from spnego.exceptions import SpnegoError

ACCOUNT = ("plateau", "Mot-de-passe-1")
SHELL = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell"
SOAP = "http://www.w3.org/2003/05/soap-envelope"
ENVELOPE = """<s:Envelope xmlns:s="{soap}" xmlns:a="http://schemas.xmlsoap.org/ws/2004/08/addressing"
 xmlns:w="http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd" xmlns:x="http://schemas.xmlsoap.org/ws/2004/09/transfer"
 xmlns:rsp="{shell}"><s:Header><a:Action>{action}Response</a:Action><a:RelatesTo>{message}</a:RelatesTo></s:Header><s:Body>{body}</s:Body></s:Envelope>"""
TIMEOUT = """<s:Fault><s:Code><s:Value>s:Receiver</s:Value></s:Code><s:Reason><s:Text>timeout</s:Text></s:Reason>
<s:Detail><f:WSManFault xmlns:f="http://schemas.microsoft.com/wbem/wsman/1/wsmanfault" Code="2150858793"/></s:Detail>
</s:Fault>"""
Execute = Callable[[str, bytes], bytes | None]
"""Command line and standard input -> output; None while it goes on for ever."""


class WsmanEndpoint:
    """Listens on 127.0.0.1 until `close`."""

    def __init__(self, folder: Path, execute: Execute, certificate: Path | None = None) -> None:
        users = folder / "ntlm-users"
        users.write_text(f":{ACCOUNT[0]}:{ACCOUNT[1]}\n")
        os.environ["NTLM_USER_FILE"] = str(users)
        self.execute = execute
        self.shells: dict[str, dict[str, Any]] = {}
        self.requests = 0
        self.plain = 0
        """Requests whose body was not encrypted, apart from the empty one that logs in."""
        endpoint = self

        class Door(Handler):
            owner = endpoint

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
        self._server.daemon_threads = True
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def address(self) -> tuple[str, int]:
        return "127.0.0.1", self._server.server_address[1]

    def close(self) -> None:
        os.environ.pop("NTLM_USER_FILE", None)
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, envelope: bytes) -> str:
        """The SOAP answer to a request."""
        root = ET.fromstring(envelope)
        action = next(one.text or "" for one in root.iter() if one.tag.endswith("}Action"))
        message = next(one.text or "" for one in root.iter() if one.tag.endswith("}MessageID"))
        verb = action.rpartition("/")[2]
        return ENVELOPE.format(
            soap=SOAP, shell=SHELL, action=action, message=message, body=getattr(self, f"on_{verb.lower()}")(root)
        )

    def on_create(self, _root: ET.Element) -> str:
        name = str(uuid.uuid4()).upper()
        self.shells[name] = {}
        return f'<rsp:Shell><rsp:ShellId>{name}</rsp:ShellId></rsp:Shell><x:ResourceCreated><a:Address>-</a:Address>\
<a:ReferenceParameters><w:SelectorSet><w:Selector Name="ShellId">{name}</w:Selector></w:SelectorSet>\
</a:ReferenceParameters></x:ResourceCreated>'

    def on_command(self, root: ET.Element) -> str:
        shell = self._shell(root)
        words = [one.text or "" for one in root.iter() if one.tag in {f"{{{SHELL}}}Command", f"{{{SHELL}}}Arguments"}]
        options = {one.get("Name"): one.text for one in root.iter() if one.tag.endswith("}Option")}
        assert options["WINRS_CONSOLEMODE_STDIN"] == "FALSE", "a pipe, not a console, is what $input reads"
        shell.update(command=" ".join(words), stdin=b"", over=False)
        return "<rsp:CommandResponse><rsp:CommandId>C-1</rsp:CommandId></rsp:CommandResponse>"

    def on_send(self, root: ET.Element) -> str:
        shell = self._shell(root)
        stream = next(one for one in root.iter() if one.tag == f"{{{SHELL}}}Stream")
        shell["stdin"] += base64.b64decode(stream.text or "")
        shell["over"] = stream.get("End") == "true"
        return "<rsp:SendResponse/>"

    def on_receive(self, root: ET.Element) -> str:
        shell = self._shell(root)
        output = self.execute(shell["command"], shell["stdin"]) if shell["over"] else None
        if output is None:
            return TIMEOUT
        data = base64.b64encode(output).decode()
        state = f"{SHELL}/CommandState/Done"
        return f'<rsp:ReceiveResponse><rsp:Stream Name="stdout" CommandId="C-1">{data}</rsp:Stream>\
<rsp:CommandState CommandId="C-1" State="{state}"><rsp:ExitCode>0</rsp:ExitCode></rsp:CommandState>\
</rsp:ReceiveResponse>'

    def on_signal(self, _root: ET.Element) -> str:
        return "<rsp:SignalResponse/>"

    def on_delete(self, root: ET.Element) -> str:
        self.shells.pop(self._name(root))
        return ""

    def _shell(self, root: ET.Element) -> dict[str, Any]:
        return self.shells[self._name(root)]

    def _name(self, root: ET.Element) -> str:
        return next(one.text or "" for one in root.iter() if one.get("Name") == "ShellId")


class Handler(BaseHTTPRequestHandler):
    """A connection: NTLM first, then sealed messages."""

    protocol_version = "HTTP/1.1"
    owner: WsmanEndpoint
    context: Any = None

    def log_message(self, *_words: object) -> None:
        """Quiet."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.owner.requests += 1
        scheme, _, token = self.headers.get("Authorization", "").partition(" ")
        if token and scheme in {"Negotiate", "NTLM"}:
            self._log_in(scheme, base64.b64decode(token))
            if not self.context or not self.context.complete:
                return
        elif self.context is None or not self.context.complete:
            self._send(401, b"", {"WWW-Authenticate": "Negotiate"})
            return
        if not body:
            self._send(200, b"")
            return
        if not self.headers["Content-Type"].startswith("multipart/encrypted"):
            self.owner.plain += 1
            self._send(400, b"")
            return
        told = self.owner.answer(self._open(body)).encode()
        status = 500 if b"WSManFault" in told else 200
        self._send(status, self._seal(told), {
            "Content-Type": 'multipart/encrypted;protocol="application/HTTP-SPNEGO-session-encrypted";'
                            'boundary="Encrypted Boundary"'})  # fmt: skip

    def _log_in(self, scheme: str, token: bytes) -> None:
        if self.context is None or self.context.complete:
            self.context = spnego.server(protocol="negotiate" if scheme == "Negotiate" else "ntlm",
                                         options=spnego.NegotiateOptions.use_ntlm)  # fmt: skip
        try:
            answer = self.context.step(token)
        except SpnegoError:
            self.context = None
            self._send(401, b"", {"WWW-Authenticate": "Negotiate"})
            return
        if not self.context.complete:
            word = base64.b64encode(answer).decode() if answer else ""
            self._send(401, b"", {"WWW-Authenticate": f"{scheme} {word}"})

    def _open(self, body: bytes) -> bytes:
        sealed = body.split(b"\tContent-Type: application/octet-stream\r\n", 1)[1]
        sealed = sealed.removesuffix(b"--Encrypted Boundary--\r\n").removesuffix(b"--Encrypted Boundary\r\n")
        size = int.from_bytes(sealed[:4], "little")
        header, data = sealed[4 : 4 + size], sealed[4 + size :]
        return bytes(self.context.unwrap(header + data).data)

    def _seal(self, text: bytes) -> bytes:
        sealed = self.context.wrap_winrm(text)
        return (
            b"--Encrypted Boundary\r\n\tContent-Type: application/HTTP-SPNEGO-session-encrypted\r\n"
            b"\tOriginalContent: type=application/soap+xml;charset=UTF-8;Length=%d\r\n--Encrypted Boundary\r\n"
            b"\tContent-Type: application/octet-stream\r\n" % len(text)
            + len(sealed.header).to_bytes(4, "little") + sealed.header + sealed.data + b"--Encrypted Boundary--\r\n"
        )  # fmt: skip

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def decoded(command: str) -> str:
    """The script of a PowerShell's command line."""
    found = re.search(r"-EncodedCommand (\S+)", command)
    assert found
    return base64.b64decode(found[1]).decode("utf-16-le")
