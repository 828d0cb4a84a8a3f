"""TCP: is a port open, refused or filtered; and a short exchange."""

from __future__ import annotations

import errno
import selectors
import socket
import time
from typing import Any

from .packets import family


def connect(address: str, ports: list[int], window: float = 3.0) -> dict[str, str]:
    """State of each port: `open`, `refused` (a reset or an unreachable came back) or `filtered` (silence).

    >>> connect("10.1.130.10", [22, 445])
    {'22': 'open', '445': 'filtered'}
    """
    states = {str(port): "filtered" for port in ports}
    end = time.monotonic() + window
    with selectors.DefaultSelector() as selector:
        for port in ports:
            link = socket.socket(family(address), socket.SOCK_STREAM)
            link.setblocking(False)
            problem = link.connect_ex((address, port))
            if problem in {0, errno.EINPROGRESS}:
                selector.register(link, selectors.EVENT_WRITE, port)
            else:
                states[str(port)] = "refused"
                link.close()
        while selector.get_map() and (left := end - time.monotonic()) > 0:
            for key, _ in selector.select(left):
                link = key.fileobj  # type: ignore[assignment]
                problem = link.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if problem != errno.ETIMEDOUT:
                    states[str(key.data)] = "refused" if problem else "open"
                selector.unregister(link)
                link.close()
        for key in list(selector.get_map().values()):
            selector.unregister(key.fileobj)
            key.fileobj.close()  # type: ignore[union-attr]
    return states


def exchange(address: str, port: int, send: str = "", size: int = 4096, window: float = 5.0) -> dict[str, Any]:
    """Connect, send text, return what comes back within `window` seconds or until the other side closes.

    >>> exchange("10.1.130.10", 25)
    {'open': True, 'received': '220 mail.auch.test ESMTP'}
    """
    end = time.monotonic() + window
    received = b""
    try:
        with socket.create_connection((address, port), timeout=window) as link:
            if send:
                link.sendall(send.encode())
            while len(received) < size and (left := end - time.monotonic()) > 0:
                link.settimeout(left)
                data = link.recv(size - len(received))
                if not data:
                    break
                received += data
                if not send:
                    break
    except TimeoutError:
        return {"open": bool(received), "received": received.decode("utf-8", "replace"), "reason": "timeout"}
    except OSError as problem:
        return {"open": False, "received": received.decode("utf-8", "replace"), "reason": str(problem.strerror)}
    return {"open": True, "received": received.decode("utf-8", "replace")}
