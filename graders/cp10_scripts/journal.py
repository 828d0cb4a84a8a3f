"""The contract of `ranger-journal` (lab `scripts`): what a folder holds after each run; journals nobody has seen."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from graders.vantage import number, text

if TYPE_CHECKING:
    from labs.bench import Bench

SCRIPT = "/usr/local/bin/ranger-journal"
TESTS = "/usr/local/bin/essayer-ranger-journal"
UPSTREAM_DOMAIN = "ateliers-durance.test"
UPSTREAM_PLACES = ("/var/lib/ateliers", "/var/log/ateliers")
"""Of the third party's script: its results, and the log of its runs."""
RESULT = "journal.txt"
MASKED = "[masqué]"
Files = dict[str, str]


@dataclass(frozen=True)
class Settings:
    """The four parameters of the script. `folder` is absolute, or under the place where the runs are made."""

    domain: str
    folder: str
    copies: int
    word: str

    def data(self) -> dict[str, Any]:
        """As a configuration file names them."""
        return {"domaine": self.domain, "dossier": self.folder, "copies": self.copies, "mot": self.word}


def agency_settings(bench: Bench) -> Settings:
    """What the subject says of the branch."""
    return Settings(text(bench, "domaine"), text(bench, "dossier"), number(bench, "copies"), text(bench, "mot"))


def sorted_out(lines: list[str], settings: Settings) -> str:
    """The result that a journal must give: lines of the domain, masked, in byte order, each once."""
    kept = set()
    for line in lines:
        if line.strip():
            date, address, subject = line.split(";", 2)
            if address.endswith(f"@{settings.domain}"):
                kept.add(f"{date};{address};{MASKED if settings.word in subject else subject}")
    return "".join(f"{line}\n" for line in sorted(kept, key=str.encode))


def turned(files: Files, result: str, copies: int) -> Files:
    """The folder after a run that gave `result`: older results move on by one, the oldest leave.

    >>> sorted(turned({"journal.txt": "b", "journal.1.txt": "a"}, "c", 1).items())
    [('journal.1.txt', 'b'), ('journal.txt', 'c')]
    """
    if files.get(RESULT) == result:
        return files
    older = [files[name] for name in (RESULT, *map(copy_name, range(1, copies + 1))) if name in files]
    return {RESULT: result, **{copy_name(index): one for index, one in enumerate(older[:copies], start=1)}}


def copy_name(index: int) -> str:
    return f"journal.{index}.txt"


@dataclass(frozen=True)
class Run:
    """A run of the script. `lines` None: the journal is not there; `folder`: it is a folder."""

    name: str
    lines: list[str] | None
    settings: Settings
    configured: bool = False
    """Whether the settings are given by a configuration file; otherwise they are those of the branch."""
    folder: bool = False
    newline: bool = True
    """Whether the journal's last line ends."""
    seconds: float = 60.0

    @property
    def good(self) -> bool:
        return self.lines is not None

    def data(self) -> dict[str, Any]:
        """The request of remote_journal."""
        content = None if self.lines is None else "\n".join(self.lines) + ("\n" if self.newline and self.lines else "")
        return {"journal": self.name, "content": content, "folder": self.folder, "options": [],
                "config": self.settings.data() if self.configured else None,
                "seconds": self.seconds}  # fmt: skip


@dataclass
class Expected:
    """The folders that runs fill, one after the other."""

    folders: dict[str, Files] = field(default_factory=dict)

    def after(self, run: Run) -> Files:
        """What the folder of this run must hold now."""
        files = self.folders.get(run.settings.folder, {})
        if run.lines is not None:
            files = turned(files, sorted_out(run.lines, run.settings), run.settings.copies)
        self.folders[run.settings.folder] = files
        return files


class Journals:
    """Journals made of a word of the grading: the same word gives the same ones."""

    def __init__(self, word: str) -> None:
        self.word = word
        self._random = random.Random(word)  # noqa: S311 - the same journals again, not a secret

    def plain(self, settings: Settings, count: int = 9) -> list[str]:
        """Ordinary lines: people of the domain, one of them twice, others, and the word in some subjects."""
        domain = settings.domain
        lines = [self._line(index, domain, f"Compte rendu {self._random.randint(100, 999)}") for index in range(count)]
        lines += [
            self._line(20, domain, f"Dossier {settings.word} de {self.word}"),
            self._line(21, domain, settings.word),
            self._line(19, domain, f"Presque {settings.word[:-1]}"),
            self._line(22, UPSTREAM_DOMAIN, "Commande de l'autre entreprise"),
            self._line(23, f"nord.{domain}", "Sous-domaine"),
            self._line(24, f"vieux-{domain}", "Autre domaine"),
            self._line(25, f"{domain}.exemple.test", "Domaine plus long"),
            self._line(26, domain.replace(".", "x"), "Le point n'est pas n'importe quoi"),
            self._line(27, "exemple.test", f"Transmis par paul@{domain}; à suivre"),
        ]
        moment = self._moment(28)  # the same for three lines, which bytes and French do not order alike
        lines += [f"{moment};{person}@{domain};Rendez-vous" for person in ("Zoe", "abel", "été")]
        # Two that are the same once masked, and that then come before the third.
        moment = self._moment(29)
        lines += [f"{moment};ida@{domain};{subject}" for subject in (f"Z {settings.word}", f"é {settings.word}", "abc")]
        lines.append(lines[0])
        self._random.shuffle(lines)
        return lines

    def hard(self, settings: Settings) -> list[str]:
        """Lines that are right but awkward."""
        domain = settings.domain
        subjects = [
            "Été à Noël, cœur œuvré",
            "Trois ; points ; virgules;;",
            "Merci;",
            f"Avant ; {settings.word} ; après",
            f"{settings.word} ; après",
            "  deux espaces devant, deux derrière  ",
            r"C:\nouveau\temp \\serveur\partage",
            "$(touch injection) `touch injection` ; touch injection",
            "* ? [a-z] & < > | % %s %d",
            '"guillemets" et l\'apostrophe',
            "-n",
            settings.word.upper() if settings.word.upper() != settings.word else settings.word.lower(),
            f"au milieu de{settings.word}collé",
            "tabulation\tici",
            "",
        ]
        lines = [self._line(index, domain, subject) for index, subject in enumerate(subjects)]
        lines.append(f"{self._moment(31)};{settings.word}@{domain};Le mot n'est pas dans l'objet")
        self._random.shuffle(lines)
        foreign = self._line(30, "exemple.test", settings.word)
        return ["", lines[0], *lines[1:5], "   ", *lines[5:-1], lines[2], foreign, lines[-1]]

    def many(self, settings: Settings, count: int) -> list[str]:
        """Hundreds of lines, one in three of the domain."""
        lines = [self._line(index, settings.domain if index % 3 else "exemple.test", f"n° {index}")
                 for index in range(count)]  # fmt: skip
        self._random.shuffle(lines)
        return lines

    def _line(self, index: int, domain: str, subject: str) -> str:
        moment = self._moment(index)
        person = self._random.choice(["lea.noel", "hugo_fay", "a+b", "o'brien", "j.d.été"])
        return f"{moment};{person}@{domain};{subject}"

    def _moment(self, index: int) -> str:
        day, hour = 1 + self._random.randrange(28), self._random.randrange(24)
        return f"2026-{1 + index % 12:02}-{day:02}T{hour:02}:{index % 60:02}"
