"""An HTTP proxy as a workstation uses it: pages and files through it, tunnels with CONNECT (RFC 9110, 9112)."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import select
import socket
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from .legs import Legs

SITE = Path("/run/plateau/site")
"""Where the probe's web server looks for documents; a slash in a path is `!`."""
LIMIT, SHOWN = 4 << 20, 4096
BACK = b"plateau\n"
"""What the far end of a tunnel answers."""


def fetch(
    address: str,
    port: int,
    asks: Sequence[dict[str, Any]],
    *,
    files: dict[str, str] | None = None,
    site: str = str(SITE),
    window: float = 10.0,
) -> dict[str, dict[str, Any]]:
    """Ask a proxy for URLs, one connection each, in order; `files` (path -> base64) are on the web site meanwhile.

    An ask: id, url; optionally user and password (Basic), and `marker` (base64): bytes whose arrival is looked for.
    Each answer: status (None with a `reason` when there was none), headers, body (its beginning when it is text), size
    and sha256 of the whole body, marked (whether the marker came).

    >>> fetch("10.1.130.10", 3128, [{"id": "a", "url": "http://www.example/", "user": "x", "password": "y"}])
    {'a': {'status': 200, 'reason': '', ...}}
    """
    with _served(Path(site), files or {}):
        return {ask["id"]: _page(address, port, ask, window) for ask in asks}


def tunnel(
    legs: Legs,
    *,
    origin: str,
    beyond: str,
    listen: Sequence[tuple[str, int]],
    address: str,
    port: int,
    asks: Sequence[dict[str, Any]],
    window: float = 8.0,
) -> dict[str, dict[str, Any]]:
    """Ask a proxy for tunnels from leg `origin`; the far ends listen in leg `beyond` while the probe runs.

    An ask: id, host, port; optionally user and password. Each answer: status (None when there was none), and whether a
    word went through the tunnel and one came back.

    >>> tunnel(legs, origin="lan", beyond="wan", listen=[("203.0.113.80", 443)], address="10.1.130.10", port=3128,
    ...        asks=[{"id": "a", "host": "www.example", "port": 443}])
    {'a': {'status': 200, 'through': True}}
    """
    with contextlib.ExitStack() as stack:
        with legs.inside(beyond):
            ends = [stack.enter_context(socket.create_server(tuple(place), backlog=16)) for place in listen]
        with legs.inside(origin):
            return {ask["id"]: _tunnel(address, port, ask, ends, window) for ask in asks}


def _page(address: str, port: int, ask: dict[str, Any], window: float) -> dict[str, Any]:
    host = ask["url"].removeprefix("http://").partition("/")[0]
    question = _request(f"GET {ask['url']}", host, ask)
    end = time.monotonic() + window
    data = b""
    try:
        with socket.create_connection((address, port), timeout=window) as link:
            link.sendall(question.encode())
            while len(data) < LIMIT and not _whole(data):
                link.settimeout(max(0.01, end - time.monotonic()))
                more = link.recv(65536)
                if not more:
                    break
                data += more
    except OSError as problem:
        return _answer(data, "timeout" if isinstance(problem, TimeoutError) else str(problem.strerror), ask)
    return _answer(data, "" if data else "closed without an answer", ask)


def _answer(data: bytes, reason: str, ask: dict[str, Any]) -> dict[str, Any]:
    """What came, as data; a part of a body counts for the marker."""
    status, headers, body = _parse(data)
    marker = base64.b64decode(ask.get("marker", ""))
    return {
        "status": status,
        "reason": reason or ("" if status else "not HTTP"),
        "headers": headers,
        "body": body[:SHOWN].decode("utf-8", "replace") if body.isascii() else "",
        "size": len(body),
        "sha256": hashlib.sha256(body).hexdigest(),
        "marked": bool(marker) and marker in data,
    }


def _parse(data: bytes) -> tuple[int | None, dict[str, str], bytes]:
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    words = lines[0].split()
    if len(words) < 2 or not words[0].startswith("HTTP/") or not words[1].isdigit():
        return None, {}, data
    pairs = (line.partition(":") for line in lines[1:])
    headers = {key.strip().lower(): value.strip() for key, _, value in pairs}
    if headers.get("transfer-encoding", "").lower() == "chunked":
        body, _ = _unchunked(body)
    return int(words[1]), headers, body


def _unchunked(data: bytes) -> tuple[bytes, bool]:
    """The content of a chunked body, and whether its end is there."""
    body = b""
    while b"\r\n" in data:
        line, _, data = data.partition(b"\r\n")
        size = line.partition(b";")[0].strip()
        try:
            count = int(size, 16)
        except ValueError:
            break
        if count == 0:
            return body, True
        body += data[:count]
        if len(data) < count + 2:
            break
        data = data[count + 2 :]
    return body, False


def _whole(data: bytes) -> bool:
    """Whether the body that the headers promise is there."""
    if b"\r\n\r\n" not in data:
        return False
    _, headers, body = _parse(data)
    if headers.get("transfer-encoding", "").lower() == "chunked":
        return _unchunked(data.partition(b"\r\n\r\n")[2])[1]
    length = headers.get("content-length", "")
    return length.isdigit() and len(body) >= int(length)


def _tunnel(
    address: str, port: int, ask: dict[str, Any], ends: Sequence[socket.socket], window: float
) -> dict[str, Any]:
    place = f"{ask['host']}:{ask['port']}"
    word = f"plateau {ask['id']}\n".encode()
    try:
        with socket.create_connection((address, port), timeout=window) as link:
            link.sendall(_request(f"CONNECT {place}", place, ask).encode())
            link.settimeout(window)
            head = b""
            while b"\r\n\r\n" not in head and (more := link.recv(4096)):
                head += more
            status, _, _ = _parse(head)
            through = status == 200 and _word_goes(link, word, ends, window)
            return {"status": status, "through": through}
    except OSError:
        return {"status": None, "through": False}


def _word_goes(link: socket.socket, word: bytes, ends: Sequence[socket.socket], window: float) -> bool:
    """Send a word into the tunnel, answer it at the far end, and hear the answer."""
    link.sendall(word)
    for ready in select.select(list(ends), [], [], window)[0]:
        far, _ = ready.accept()
        with far:
            far.settimeout(window)
            if far.recv(4096) == word:
                far.sendall(BACK)
                return link.recv(4096) == BACK
    return False


def _request(asked: str, host: str, ask: dict[str, Any]) -> str:
    lines = [f"{asked} HTTP/1.1", f"Host: {host}", "User-Agent: plateau", *_login(ask)]
    if not asked.startswith("CONNECT"):
        lines.append("Connection: close")
    return "\r\n".join(lines) + "\r\n\r\n"


def _login(ask: dict[str, Any]) -> list[str]:
    if "user" not in ask:
        return []
    secret = base64.b64encode(f"{ask['user']}:{ask['password']}".encode()).decode()
    return [f"Proxy-Authorization: Basic {secret}"]


@contextlib.contextmanager
def _served(site: Path, files: dict[str, str]) -> Iterator[None]:
    """The documents are on the web site while the `with` block runs."""
    places = {site / path.lstrip("/").replace("/", "!"): content for path, content in files.items()}
    try:
        for place, content in places.items():
            site.mkdir(mode=0o755, parents=True, exist_ok=True)
            place.write_bytes(base64.b64decode(content))
        yield
    finally:
        for place in places:
            place.unlink(missing_ok=True)
