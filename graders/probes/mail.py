"""Mail: messages handed over as another server does it (RFC 5321), and those that reached the head office's server."""

from __future__ import annotations

import base64
import email
import email.policy
import email.utils
import hashlib
import json
import smtplib
import time
from collections.abc import Callable, Iterator, Sequence
from email.message import EmailMessage
from pathlib import Path
from typing import Any

FOLDER = "/run/plateau/courrier"
"""Where the head office's server, on the probe, keeps what it got."""
DATE = b"@DATE@"
"""In a message that is handed over: the moment when it is."""
HELO = "mail.fournisseur.example"


def send(
    address: str, port: int, messages: Sequence[dict[str, Any]], *, source: str = "", window: float = 60.0
) -> dict[str, dict[str, Any]]:
    """Hand messages over, one connection each, in order; each answer of the server may take `window` seconds.

    Once two windows have gone by in silence (a port that a firewall drops, a server that hangs), each answer may take a
    quarter of one: a server that never speaks is found out in a time that the caller can foresee.

    A message: id, sender, recipient, data (base64). Each answer: state (`accepted`; `refused`, the server said no;
    `unanswered`, it said nothing, or hung up), stage (connect, ehlo, mail, rcpt, data), code and reason.

    >>> send("198.51.100.2", 25, [{"id": "a", "sender": "x@y.example", "recipient": "z@auch.test", "data": "..."}])
    {'a': {'state': 'accepted', 'stage': 'data', 'code': 250, 'reason': '2.0.0 Ok: queued'}}
    """
    told, silence = {}, 0.0
    for one in messages:
        begun = time.monotonic()
        patience = window if silence < 2 * window else window / 4
        told[one["id"]] = answer = _hand_over(address, port, one, source, patience)
        if answer["state"] == "unanswered":
            silence += time.monotonic() - begun
    return told


def received(
    words: Sequence[str],
    *,
    others: Sequence[str] = (),
    window: float = 30.0,
    settle: float = 0.0,
    since: float = 0.0,
    folder: str = FOLDER,
) -> dict[str, list[dict[str, Any]]]:
    """For each word, the messages of the head office's server that have it: waits until each of `words` was seen once.

    At most `window` seconds, and `settle` more for what might still come. `others` are looked for and not waited for;
    what came before `since` (seconds of the probe's clock, time(2)) is not looked at. A
    message: at (when it came, time(2)), sender, recipients, subject, text (of all its text parts), attachments (sha256
    of each part that is none).

    >>> received(["n0123456789ab"], window=5)
    {'n0123456789ab': [{'sender': 'x@y.example', 'recipients': ['z@auch.test'], 'subject': '...', ...}]}
    """
    end = time.monotonic() + window
    known: set[str] = set()
    found: dict[str, list[dict[str, Any]]] = {word: [] for word in (*words, *others)}
    stop: float | None = None
    while True:
        for name, message in _new(Path(folder), known, since):
            known.add(name)
            for word, copies in found.items():
                if word in message["all"]:
                    copies.append({key: value for key, value in message.items() if key != "all"})
        now = time.monotonic()
        if stop is None and (now >= end or all(found[word] for word in words)):
            stop = now + settle
        if stop is not None and now >= stop:
            return found
        time.sleep(0.3)


def _hand_over(address: str, port: int, one: dict[str, Any], source: str, window: float) -> dict[str, Any]:
    stage, now = "connect", email.utils.formatdate(localtime=True).encode()
    link = smtplib.SMTP(timeout=window, local_hostname=HELO, source_address=(source, 0) if source else None)
    data = base64.b64decode(one["data"]).replace(DATE, now)
    steps: tuple[tuple[str, Callable[[], tuple[int, bytes]]], ...] = (
        ("connect", lambda: link.connect(address, port)),
        ("ehlo", link.ehlo),
        ("mail", lambda: link.mail(one["sender"])),
        ("rcpt", lambda: link.rcpt(one["recipient"])),
        ("data", lambda: link.data(data)),
    )
    code, reason = 0, b""
    try:
        for name, step in steps:
            stage = name
            code, reason = step()
            if code >= 400:
                break
    except smtplib.SMTPResponseException as problem:
        code, error = problem.smtp_code, problem.smtp_error
        reason = error if isinstance(error, bytes) else error.encode()
    except (smtplib.SMTPException, OSError) as problem:
        return _told("unanswered", stage, None, str(problem))
    finally:
        link.close()
    return _told("refused" if code >= 400 or code < 200 else "accepted", stage, code, reason.decode("utf-8", "replace"))


def _told(state: str, stage: str, code: int | None, reason: str) -> dict[str, Any]:
    return {"state": state, "stage": stage, "code": code, "reason": reason[:300]}


def _new(folder: Path, known: set[str], since: float) -> Iterator[tuple[str, dict[str, Any]]]:
    """Messages that are not known yet: the name of each file is when it came, in nanoseconds."""
    for path in sorted(folder.glob("*.json")):
        if path.name not in known and int(path.stem) >= since * 1e9:
            try:
                yield path.name, {"at": int(path.stem) / 1e9, **_read(json.loads(path.read_text()))}
            except FileNotFoundError:
                continue  # the oldest go when there are many


def _read(kept: dict[str, Any]) -> dict[str, Any]:
    raw = str(kept["data"]).encode("latin-1")
    message = email.message_from_bytes(raw, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    texts, attachments = [], []
    for part in message.walk():
        if part.is_multipart():
            continue
        content = part.get_payload(decode=True)
        data = content if isinstance(content, bytes) else b""
        if part.get_content_maintype() == "text" and not part.get_filename():
            texts.append(data.decode(_charset(part), "replace"))
        else:
            attachments.append(hashlib.sha256(data).hexdigest())
    subject = str(message["subject"] or "")
    text = "\n".join(texts).replace("\r\n", "\n")
    return {
        "sender": kept["from"],
        "recipients": kept["to"],
        "subject": subject,
        "text": text,
        "attachments": attachments,
        "all": f"{raw.decode('latin-1')}\n{subject}\n{text}",
    }


def _charset(part: EmailMessage) -> str:
    """The part's own, when Python has it."""
    name = part.get_content_charset() or "utf-8"
    try:
        "".encode(name)
    except LookupError:
        return "latin-1"
    return name
