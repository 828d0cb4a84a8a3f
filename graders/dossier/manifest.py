"""The hash chain over a dossier's files, and over each line of its JSON-lines files. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from graders.dossier import FORMAT, SEAL

START = "0" * 64


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def make(files: Mapping[str, bytes], about: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest: every file's digest, each chained to the one before; `lines` chains the lines of *.jsonl files."""
    entries: list[dict[str, Any]] = []
    head = START
    for name, content in files.items():
        entry: dict[str, Any] = {"path": name, "size": len(content), "sha256": digest(content)}
        if name.endswith(".jsonl"):
            entry["lines"] = chain_of_lines(content)
        head = digest(f"{head} {name} {entry['sha256']}".encode())
        entries.append({**entry, "chain": head})
    return {"format": FORMAT, **about, "files": entries, "head": head}


def chain_of_lines(content: bytes) -> list[str]:
    """For each line, the digest of the chain so far and the line: a line cannot be changed, moved or dropped."""
    head = START
    chained = []
    for line in content.split(b"\n"):
        head = digest(head.encode() + b" " + line)
        chained.append(head)
    return chained


def compare(manifest: Mapping[str, Any], files: Mapping[str, bytes]) -> list[str]:
    """What differs from the manifest, one line a fault: the file, and the line of a JSON-lines file."""
    faults: list[str] = []
    head = START
    listed = set()
    for entry in manifest["files"]:
        name = entry["path"]
        listed.add(name)
        head = digest(f"{head} {name} {entry['sha256']}".encode())
        if entry["chain"] != head:
            faults.append(f"{name}: the chain of the manifest is broken here")
            head = entry["chain"]
        content = files.get(name)
        if content is None:
            faults.append(f"{name}: missing")
        elif digest(content) != entry["sha256"]:
            faults.append(f"{name}{_line(entry, content)}: its content was changed")
    if manifest["head"] != head:
        faults.append("the head of the chain was changed")
    faults += [f"{name}: not in the manifest" for name in files if name not in listed and not _seals(name)]
    return faults


def sums(files: Mapping[str, bytes]) -> str:
    """The same digests in the form that `sha256sum --check` reads."""
    return "".join(f"{digest(content)}  {name}\n" for name, content in files.items())


def text(manifest: Mapping[str, Any]) -> str:
    return json.dumps(manifest, ensure_ascii=False, indent=1) + "\n"


def _line(entry: Mapping[str, Any], content: bytes) -> str:
    if "lines" not in entry:
        return ""
    found = chain_of_lines(content)
    for number, (known, now) in enumerate(zip(entry["lines"], found, strict=False), 1):
        if known != now:
            return f":{number}"
    return f":{min(len(entry['lines']), len(found))}"


def _seals(name: str) -> bool:
    return name in SEAL or name == "manifest.json"
