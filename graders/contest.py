"""Contestations: what a candidate disputes, what was measured again, what the jury said. Appended, never changed.

One file a candidate, `contests/<candidate>.jsonl` beside the session; each line is chained to the one before.
"""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from graders.records import Record

FOLDER = "contests"
START = "0" * 64
Kind = Literal["opened", "measured", "decided"]


@dataclass(frozen=True)
class Event:
    """One step of a contestation. Times are ISO 8601 UTC."""

    event: Kind
    check: str
    at: str
    run: str
    """The run that is contested, or that measured again."""
    verdicts: dict[str, str]
    """Phase -> verdict: the contested one, the new one, or the jury's."""
    reason: str = ""
    by: str = ""
    evidence: str = ""
    """File name and SHA-256 of what was frozen or measured."""
    records: list[dict[str, Any]] = field(default_factory=list)
    chain: str = ""


def folder_for(run_folder: Path) -> Path:
    """Where the contestations of a run's session are: beside `results/`."""
    inside = run_folder / FOLDER
    if inside.is_dir() or run_folder.parent.name != "results":
        return inside
    return run_folder.parent.parent / FOLDER


def read(path: Path) -> list[Event]:
    """The events of a candidate, none when there is no file. Raises ValueError naming the line that was changed."""
    if not path.is_file():
        return []
    events: list[Event] = []
    head = START
    for number, line in enumerate(path.read_text(encoding="utf-8").removesuffix("\n").split("\n"), 1):
        try:
            event = Event(**json.loads(line))
        except (ValueError, TypeError) as problem:
            raise ValueError(f"{path}:{number}: not an event ({problem})") from None
        head = _chained(head, event)
        if event.chain != head:
            raise ValueError(f"{path}:{number}: was changed: its chain does not follow from the lines before")
        events.append(event)
    return events


def append(path: Path, event: Event) -> Event:
    """Add an event, durably, and return it with its place in the chain. Raises ValueError when the file was changed."""
    known = read(path)
    chained = dataclasses.replace(event, chain=_chained(known[-1].chain if known else START, event))
    path.parent.mkdir(parents=True, exist_ok=True)
    line = json.dumps(dataclasses.asdict(chained), ensure_ascii=False)
    data = line.encode("utf-8", "backslashreplace") + b"\n"
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, data)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return chained


def of_check(events: Iterable[Event], check: str) -> list[Event]:
    return [event for event in events if event.check == check]


def is_open(events: Sequence[Event]) -> bool:
    """Whether the last contestation of a check waits for the jury."""
    return bool(events) and events[-1].event != "decided"


def plain(records: Iterable[Record]) -> list[dict[str, Any]]:
    """Records as data, whole."""
    return [dataclasses.asdict(record) for record in records]


def now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def _chained(head: str, event: Event) -> str:
    body = {**dataclasses.asdict(event), "chain": head}
    canonical = json.dumps(body, ensure_ascii=False, sort_keys=True).encode("utf-8", "backslashreplace")
    return hashlib.sha256(canonical).hexdigest()
