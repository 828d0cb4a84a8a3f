"""HTTP: one request, no redirect followed, no proxy."""

from __future__ import annotations

import http.client
from typing import Any
from urllib.parse import urlsplit


def get(url: str, headers: dict[str, str] | None = None, window: float = 6.0, size: int = 65536) -> dict[str, Any]:
    """Status and body (cut at `size` bytes); `status` is None, with a `reason`, when no answer came.

    >>> get("http://10.1.130.10:8000/")["status"]
    200
    """
    parts = urlsplit(url)
    link = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=window)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        link.request("GET", path, headers={"Connection": "close", **(headers or {})})
        own = link.sock.getsockname()[0] if link.sock else ""
        answer = link.getresponse()
        body = answer.read(size)
    except (OSError, http.client.HTTPException) as problem:
        reason = getattr(problem, "strerror", None) or str(problem) or type(problem).__name__
        return {"status": None, "reason": reason, "body": "", "from": ""}
    finally:
        link.close()
    return {
        "status": answer.status,
        "headers": {key.lower(): value for key, value in answer.getheaders()},
        "body": body.decode("utf-8", "replace"),
        "from": own,
    }
