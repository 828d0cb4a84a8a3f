"""SMB: what people do with files on shares, through Samba's client library."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
from collections.abc import Callable
from typing import Any

GRANTED, REFUSED, STRANGER, LATE = "granted", "refused", "logon refused", "ETIMEDOUT"
FOLDER = 7
"""smbc_type of a folder (libsmbclient.h)."""
TIMEOUT_MS = 15_000
MOST, LARGEST = 500, 1 << 20
"""Of `tree`: files, and bytes read of each."""
Act = Callable[[Any, str, str], str]


def use(
    address: str, domain: str, people: dict[str, str], acts: list[list[str]], again: bool = True
) -> list[dict[str, str]]:
    """Do each of `acts` (person, verb, path, text) in order; `people` maps accounts to passwords.

    Verbs: `list` a folder, `write` a file, `read` one, `delete` one, `tree`: read every file below a folder. The path
    begins with the share. Each result has `state`: granted, refused (the server says no, to a wrong password too),
    `logon refused` (no session could be set up, be it that it took too long), or the name of another error
    (ECONNREFUSED, ENOENT…), and `text`: the names listed, what was read, or a line `SUM PATH` for each file. The first
    act that is not answered in 15 s, or whose logon is refused, is tried once more where `again` is true.

    >>> use("10.1.2.11", "NEVERS", {"a": "..."}, [["a", "write", "commun/x.txt", "hello"]])
    [{'state': 'granted', 'text': ''}]
    """
    os.environ["HOME"] = "/nonexistent"  # no settings but ours
    import smbc

    contexts: dict[str, Any] = {}
    results = []
    once_more = again
    for person, verb, path, text in acts:
        if person not in contexts:
            contexts[person] = _context(smbc.Context(), domain, person, people[person])
        url = f"smb://{address}/{path}"
        told = _done(VERBS[verb], contexts[person], url, text)
        if told["state"] in {LATE, STRANGER} and once_more:
            # A server that asks a busy controller whose password this is answers once it knows. libsmbclient may tell
            # a session that took too long as EPERM.
            once_more = False
            told = _done(VERBS[verb], contexts[person], url, text)
            if verb == "delete" and told["state"] == "ENOENT":
                told = {"state": GRANTED, "text": ""}  # the first time, its answer came too late
        results.append(told)
    return results


def _done(verb: Act, context: Any, url: str, text: str) -> dict[str, str]:
    try:
        return {"state": GRANTED, "text": verb(context, url, text)}
    except (OSError, RuntimeError, ValueError) as problem:
        return {"state": name_of(problem), "text": str(problem)[:200]}


def name_of(problem: BaseException) -> str:
    """`refused` for a denial, `logon refused` for a session that is not set up, else the error's name.

    >>> name_of(OSError(13, "Permission denied"))
    'refused'
    """
    number = problem.args[0] if problem.args and isinstance(problem.args[0], int) else 0
    if number == errno.EACCES:
        return REFUSED
    if number == errno.EPERM:
        return STRANGER
    return errno.errorcode.get(number, type(problem).__name__)


def _context(context: Any, domain: str, person: str, password: str) -> Any:
    context.functionAuthData = lambda *_: (domain, person, password)
    context.optionNoAutoAnonymousLogin = True
    context.timeout = TIMEOUT_MS
    return context


def _list(context: Any, url: str, _text: str) -> str:
    return " ".join(sorted(entry.name for entry in context.opendir(url).getdents() if entry.name not in {".", ".."}))


def _write(context: Any, url: str, text: str) -> str:
    file = context.open(url, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o644)
    with contextlib.closing(file):
        file.write(text.encode())
    return ""


def _read(context: Any, url: str, _text: str) -> str:
    file = context.open(url, os.O_RDONLY)
    with contextlib.closing(file):
        return str(file.read(4096).decode("utf-8", "replace"))


def _delete(context: Any, url: str, _text: str) -> str:
    context.unlink(url)
    return ""


def _tree(context: Any, url: str, _text: str) -> str:
    """Files below a folder with a sum of what they hold. Raises ValueError when there are too many."""
    found, folders = [], [""]
    while folders:
        folder = folders.pop()
        for entry in context.opendir(url + folder).getdents():
            if entry.name in {".", ".."}:
                continue
            path = f"{folder}/{entry.name}"
            if entry.smbc_type == FOLDER:
                folders.append(path)
            else:
                with contextlib.closing(context.open(url + path, os.O_RDONLY)) as file:
                    found.append(f"{hashlib.sha256(file.read(LARGEST)).hexdigest()[:16]} {path[1:]}")
        if len(found) + len(folders) > MOST:
            raise ValueError(f"more than {MOST} files below {url}")
    return "\n".join(sorted(found, key=lambda line: line.partition(" ")[2]))


VERBS: dict[str, Act] = {"list": _list, "write": _write, "read": _read, "delete": _delete, "tree": _tree}
