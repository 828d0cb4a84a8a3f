"""LDAP over TLS with OpenLDAP's tools: they and any directory server speak the same protocol (RFC 4511)."""

from __future__ import annotations

import base64
import os
import re
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

UNREACHABLE = 128
"""Exit status of the tools from which on no LDAP answer came: errors of the client's side are negative (ldap.h)."""
Entry = dict[str, Any]


def search(
    address: str,
    base: str,
    *,
    filter: str = "(objectClass=*)",  # noqa: A002 - the protocol's own word
    attributes: list[str] | None = None,
    scope: str = "sub",
    user: str = "",
    password: str = "",
    window: float = 25.0,
) -> dict[str, Any]:
    """Search over LDAPS, as `user` (a bind name) or anonymously. The certificate is not judged.

    `code` is the LDAP result code, None when nothing answered; `entries` hold `dn` and lists of values by attribute
    name in lower case, those that are not text as `base64:…`; `before` and `after` are the probe's clock (Unix time).

    >>> search("10.1.2.10", "", scope="base", attributes=["defaultNamingContext"])["entries"]
    [{'dn': '', 'defaultnamingcontext': ['DC=nevers,DC=test']}]
    """
    question = ["-LLL", "-o", "ldif-wrap=no", "-b", base, "-s", scope, filter, *(attributes or [])]
    before = time.time()
    status, out, err = _tool("ldapsearch", address, user, password, question, window)
    return {**_told(status, err), "entries": parse(out), "before": before, "after": time.time()}


def change(
    address: str,
    dn: str,
    values: dict[str, str],
    *,
    user: str,
    password: str,
    how: str = "replace",
    window: float = 25.0,
) -> dict[str, Any]:
    """Change attributes of an entry over LDAPS; `code` is 0 when the directory accepted.

    `how`: `replace` what is there, or `add` or `delete` a value (RFC 4511, 4.6).

    `unicodePwd` is the new password, encoded as MS-ADTS 3.1.1.3.1.5 wants it.

    >>> change("10.1.2.10", "CN=a,DC=nevers,DC=test", {"unicodePwd": "..."}, user="b@nevers.test", password="...")
    {'code': 53, 'reason': 'Server is unwilling to perform (53)'}
    """
    lines = ["changetype: modify"]
    for name, value in values.items():
        lines += [f"{how}: {name}", _line(name, _encoded(name, value)), "-"]
    return _modify(address, dn, lines, user, password, window)


def add(
    address: str, dn: str, values: dict[str, str], *, user: str, password: str, window: float = 25.0
) -> dict[str, Any]:
    """Make an entry over LDAPS; told as `change` tells it, which says how `unicodePwd` is given.

    >>> add("10.1.2.10", "CN=a,DC=nevers,DC=test", {"objectClass": "contact"}, user="b@nevers.test", password="...")
    {'code': 0, 'reason': ''}
    """
    lines = ["changetype: add", *(_line(name, _encoded(name, value)) for name, value in values.items())]
    return _modify(address, dn, lines, user, password, window)


def delete(address: str, dn: str, *, user: str, password: str, window: float = 25.0) -> dict[str, Any]:
    """Delete an entry over LDAPS; `code` is 32 when there is none.

    >>> delete("10.1.2.10", "CN=a,DC=nevers,DC=test", user="b@nevers.test", password="...")
    {'code': 32, 'reason': 'ldap_delete: No such object (32)'}
    """
    return _modify(address, dn, ["changetype: delete"], user, password, window)


def move(address: str, dn: str, parent: str, *, user: str, password: str, window: float = 25.0) -> dict[str, Any]:
    """Put an entry under another parent, with the name that it has, over LDAPS; told as `change` tells it.

    >>> move("10.1.2.10", "CN=WS,CN=Computers,DC=nevers,DC=test", "OU=Agence,DC=nevers,DC=test",
    ...     user="b@nevers.test", password="...")
    {'code': 0, 'reason': ''}
    """
    lines = [
        "changetype: modrdn",
        _line("newrdn", dn[: len(dn) - len(above(dn)) - 1].encode()),
        "deleteoldrdn: 1",
        _line("newsuperior", parent.encode()),
    ]
    return _modify(address, dn, lines, user, password, window)


def above(dn: str) -> str:
    """The parent's name: what follows the first comma that no backslash escapes (RFC 4514).

    >>> above("CN=Durand\\\\, Léa,OU=Agence,DC=nevers")
    'OU=Agence,DC=nevers'
    """
    return re.sub(r"^(?:[^,\\]|\\.)*,?", "", dn)


def binds(address: str, user: str, passwords: list[str], *, window: float = 60.0) -> list[int | None]:
    """Log in with each password, one after the other: the LDAP result codes (49: refused).

    >>> binds("10.1.2.10", "a@nevers.test", ["wrong", "right"])
    [49, 0]
    """
    end = time.monotonic() + window
    codes = []
    for password in passwords:
        status, _, err = _tool("ldapwhoami", address, user, password, [], max(1.0, end - time.monotonic()))
        codes.append(_told(status, err)["code"])
    return codes


def parse(ldif: str) -> list[Entry]:
    """Entries of unfolded LDIF (RFC 2849); references are left out."""
    entries: list[Entry] = []
    for block in ldif.split("\n\n"):
        entry: Entry = {}
        for line in block.splitlines():
            if line.startswith("#") or not line.strip():
                continue
            name, _, value = line.partition(":")
            text = _decoded(value[1:].strip()) if value.startswith(":") else value.strip()
            if name.lower() == "dn":
                entry["dn"] = text
            else:
                entry.setdefault(name.lower(), []).append(text)
        if "dn" in entry:
            entries.append(entry)
    return entries


def _decoded(value: str) -> str:
    data = base64.b64decode(value)
    try:
        return data.decode()
    except UnicodeDecodeError:
        return f"base64:{value}"


def _line(name: str, data: bytes) -> str:
    return f"{name}:: {base64.b64encode(data).decode()}"


def _encoded(name: str, value: str) -> bytes:
    return f'"{value}"'.encode("utf-16-le") if name.lower() == "unicodepwd" else value.encode()


def _modify(address: str, dn: str, lines: list[str], user: str, password: str, window: float) -> dict[str, Any]:
    ldif = "\n".join([_line("dn", dn.encode()), *lines]) + "\n"
    status, _, err = _tool("ldapmodify", address, user, password, [], window, ldif)
    return _told(status, err)


def _told(status: int, err: str) -> dict[str, Any]:
    lines = [line.strip() for line in err.splitlines() if line.strip()]
    return {"code": None if status >= UNREACHABLE else status, "reason": " ".join(lines)[:300]}


def _tool(
    name: str, address: str, user: str, password: str, more: list[str], window: float, stdin: str = ""
) -> tuple[int, str, str]:
    """Run one of the tools. Raises RuntimeError when it has not ended: that silence may be our own."""
    with tempfile.TemporaryDirectory() as folder:
        secret = Path(folder) / "password"
        secret.touch(0o600)
        secret.write_text(password)
        who = ["-D", user, "-y", str(secret)] if user else []
        command = [name, "-x", "-H", f"ldaps://{address}", "-o", "nettimeout=8", *who, *more]
        environment = {"PATH": os.environ.get("PATH", os.defpath), "LDAPTLS_REQCERT": "never", "LC_ALL": "C.UTF-8",
                       "LDAPCONF": "/nonexistent", "HOME": folder}  # fmt: skip
        try:
            done = subprocess.run(command, input=stdin, capture_output=True, text=True, env=environment, check=False,
                                  timeout=window)  # fmt: skip
        except subprocess.TimeoutExpired:
            raise RuntimeError(f"{name} has not ended after {window:g} s") from None
    return done.returncode, done.stdout, done.stderr
