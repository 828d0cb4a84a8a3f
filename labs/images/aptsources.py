"""Where this machine gets Debian from: its apt configuration, in both formats."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from labs.errors import EnvironmentLackError

ETC_APT = Path("/etc/apt")
DEBIAN_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_SUITES = r"(?:buster|bullseye|bookworm|trixie|forky|duke|sid|oldoldstable|oldstable|stable|testing|unstable)"
_MAIN = re.compile(_SUITES)
_SECURITY = re.compile(_SUITES + r"(?:-security|/updates)")


@dataclass(frozen=True)
class AptSource:
    """One enabled binary source: where from, which suites and components, verified how."""

    uri: str
    suites: tuple[str, ...]
    components: tuple[str, ...]
    signed_by: str | None = None
    trusted: bool = False


@dataclass(frozen=True)
class Archive:
    """The Debian archive as this machine reaches it; `security` is None when it has no security source."""

    main: AptSource
    security: AptSource | None = None

    def lines(self, release: str) -> list[str]:
        """One-line sources for `release`."""
        lines = [_line(self.main, release)]
        if self.security is not None:
            lines.append(_line(self.security, f"{release}-security"))
        return lines


def parse_list(text: str) -> Iterator[AptSource]:
    """Read the one-line format (sources.list).

    >>> [s.suites for s in parse_list("deb [arch=amd64] file:/mirror trixie main contrib")]
    [('trixie',)]
    """
    for raw in text.splitlines():
        line = raw.partition("#")[0].strip()
        match = re.fullmatch(r"deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)((?:\s+\S+)*)", line)
        if match is None:
            continue
        options = dict(pair.split("=", 1) for pair in shlex.split(match[1] or "") if "=" in pair)
        yield AptSource(
            match[2], (match[3],), tuple(match[4].split()), options.get("signed-by"), options.get("trusted") == "yes"
        )


def parse_deb822(text: str) -> Iterator[AptSource]:
    """Read the deb822 format (*.sources)."""
    without_comments = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    for stanza in re.split(r"\n[ \t]*\n", without_comments):
        fields = _fields(stanza)
        if "deb" not in fields.get("types", "").split() or fields.get("enabled", "yes").lower() in ("no", "false"):
            continue
        signed_by = fields.get("signed-by", "")
        for uri in fields.get("uris", "").split():
            yield AptSource(
                uri,
                tuple(fields.get("suites", "").split()),
                tuple(fields.get("components", "").split()),
                signed_by if signed_by.startswith("/") else None,
                fields.get("trusted", "no").lower() == "yes",
            )


def read_sources(etc_apt: Path = ETC_APT) -> list[AptSource]:
    """All enabled binary sources of a machine, in apt's order."""
    files = [etc_apt / "sources.list", *sorted((etc_apt / "sources.list.d").glob("*"))]
    sources: list[AptSource] = []
    for file in files:
        if file.suffix not in (".list", ".sources") or not file.is_file():
            continue
        parse = parse_deb822 if file.suffix == ".sources" else parse_list
        sources.extend(parse(file.read_text(encoding="utf-8", errors="replace")))
    return sources


def debian_archive(mirror: str | None = None, etc_apt: Path = ETC_APT) -> Archive:
    """The archive to build from: `mirror` when given, else what apt uses here.

    Raises EnvironmentLackError when apt has no Debian source.
    """
    sources = [source for source in read_sources(etc_apt) if "main" in source.components]
    main = _first(sources, _MAIN)
    if mirror is not None:
        return Archive(AptSource(mirror, (), ("main",), main.signed_by if main else None))
    if main is None:
        raise EnvironmentLackError(f"{etc_apt}: no Debian archive among apt's sources; add one, or name a mirror")
    return Archive(main, _first(sources, _SECURITY))


def _first(sources: list[AptSource], suite: re.Pattern[str]) -> AptSource | None:
    return next((source for source in sources if any(suite.fullmatch(name) for name in source.suites)), None)


def _fields(stanza: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    name = ""
    for line in stanza.splitlines():
        if line[:1] in (" ", "\t"):
            fields[name] = f"{fields.get(name, '')} {line.strip()}"
        elif ":" in line:
            name, _, value = line.partition(":")
            name = name.strip().lower()
            fields[name] = value.strip()
    return fields


def _line(source: AptSource, suite: str) -> str:
    # A machine may trust only its own release's key; Debian's whole keyring also has that of the guest's release.
    keyring = str(DEBIAN_KEYRING) if DEBIAN_KEYRING.exists() else source.signed_by
    if source.trusted:
        option = "[trusted=yes] "
    elif keyring is not None:
        option = f"[signed-by={keyring}] "
    else:
        option = ""
    return f"deb {option}{source.uri} {suite} main"
