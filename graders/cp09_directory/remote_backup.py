"""Runs on the controller, alone, as root: has the candidate's programs back the domain up and restore it, and looks.

The restored base is opened with Samba's own library, which every Samba controller has, whatever made the archive.
"""

import json
import resource
import shutil
import stat
import tempfile
import time
from pathlib import Path
from typing import Any

from graders.remote_launch import attempt, pace

LIVE = "/var/lib/samba/private/sam.ldb"
DAEMON = Path("/run/samba/samba.pid")
PEOPLE = "(&(objectClass=user)(!(objectClass=computer))(!(sAMAccountName=dns-*)))"
"""Not the accounts of name servers (dns-…), which come and go with controllers."""
GROUPS = "(objectClass=group)"
KINDS = {"people": PEOPLE, "groups": GROUPS}
SAID = 300
AFTERWARDS = "changé après la sauvegarde"


def main(request: str) -> None:
    """One backup, one restoration, and restorations that must fail; the answer in one line."""
    asked = json.loads(request)
    scratch = Path(tempfile.mkdtemp(prefix="controle-", dir=asked["folder"]))
    try:
        told = work(asked, scratch)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    print(json.dumps({**told, "left": str(scratch) if scratch.exists() else ""}))


def work(asked: dict[str, Any], scratch: Path) -> dict[str, Any]:
    """Everything in order; what comes after a step that did not succeed is left out."""
    kept, restored = scratch / "sauvegarde", scratch / "restauration"
    kept.mkdir()
    restored.mkdir()
    daemon = at_work()
    told: dict[str, Any] = {"save": run([asked["save"], str(kept)], asked["limit"])}
    files = sorted(path for path in kept.rglob("*") if path.is_file() or path.is_symlink())
    told["files"] = [describe(path) for path in files]
    if told["save"]["status"] != 0 or len(files) != 1:
        return told
    told["changed"] = change(asked["canary"])
    told["restore"] = run([asked["restore"], str(files[0]), str(restored)], asked["limit"])
    told["served"] = bool(daemon) and at_work() == daemon
    if told["restore"]["status"] == 0:
        told["found"] = look(restored, asked)
    told["bad"] = {name: run([asked["restore"], str(path), str(fresh(scratch, name))], asked["limit"])
                   for name, path in spoiled(files[0], scratch).items()}  # fmt: skip
    return told


def at_work() -> str:
    """Samba's first process and when it started (proc_pid_stat(5), field 22): another one was started since."""
    try:
        pid = DAEMON.read_text(encoding="utf-8").strip()
        return f"{pid} {Path('/proc', pid, 'stat').read_text(encoding='utf-8').rpartition(')')[2].split()[19]}"
    except OSError:
        return ""


def change(canary: str) -> str:
    """Give the canary at work another description: what is restored must be the archive. Why it could not be."""
    try:
        Base(LIVE).describe(canary, AFTERWARDS)
    except Exception as problem:  # noqa: BLE001 - Samba's library names none
        return " ".join(str(problem).split())[:SAID] or "error"
    return ""


def run(command: list[str], limit: float) -> dict[str, Any]:
    """Status (None: it could not start, or had to be ended), last words and duration of a program."""
    began = time.monotonic()
    status, output, errors, late = attempt(command, limit, "/", locale="C.UTF-8", largest=resource.RLIM_INFINITY)
    said = "" if late else " ".join(f"{output} {errors}".split())[-SAID:]
    return {"status": status, "said": said, "late": late, "pace": pace() if late else 0.0,
            "seconds": round(time.monotonic() - began, 1)}  # fmt: skip


def describe(path: Path) -> dict[str, Any]:
    """Of a file that the backup left."""
    facts = path.lstat()
    return {"name": path.name, "mode": f"{stat.S_IMODE(facts.st_mode):o}", "owner": facts.st_uid, "size": facts.st_size,
            "regular": stat.S_ISREG(facts.st_mode)}  # fmt: skip


def spoiled(archive: Path, scratch: Path) -> dict[str, Any]:
    """Archives from which nothing may be restored: name -> file."""
    data = archive.read_bytes()
    half, strange = scratch / f"moitie-{archive.name}", scratch / f"autre-{archive.name}"
    half.write_bytes(data[: len(data) // 2])
    strange.write_bytes(b"Ceci n'est pas une sauvegarde.\n" * 200)
    return {"half": half, "strange": strange, "absent": scratch / f"absente-{archive.name}"}


def fresh(scratch: Path, name: str) -> Path:
    """An empty folder."""
    folder = scratch / f"restauration-{name}"
    folder.mkdir()
    return folder


def look(folder: Path, asked: dict[str, Any]) -> dict[str, Any]:
    """What the restored base holds, compared with the one at work."""
    bases = sorted(path for path in folder.rglob("sam.ldb") if path.is_file())
    if len(bases) != 1:
        return {"bases": len(bases)}
    here = Base(LIVE)
    try:  # one that is torn opens, and fails when it is asked
        there = Base(str(bases[0]))
        names = {kind: there.names(wanted) for kind, wanted in KINDS.items()}
        canary = there.canary(asked["canary"])
    except Exception as problem:  # noqa: BLE001 - Samba's library names none
        return {"bases": 1, "problem": " ".join(str(problem).split())[:SAID] or "error"}
    found: dict[str, Any] = {"bases": 1, "domain": there.domain}
    for kind, wanted in KINDS.items():
        mine, theirs = here.names(wanted), names[kind]
        found[kind] = {
            "live": len(mine),
            "restored": len(theirs),
            "missing": sorted(mine[one] for one in mine.keys() - theirs.keys())[:10],
            "more": sorted(theirs[one] for one in theirs.keys() - mine.keys())[:10],
        }
    found["canary"] = {"live": here.canary(asked["canary"]), "restored": canary}
    found["word"] = asked["word"]
    found["hash"] = nt_hash(asked["password"])
    return found


def nt_hash(password: str) -> str:
    """How the directory keeps that password (MS-SAMR 3.1.1.8.7)."""
    from samba.credentials import Credentials

    who = Credentials()
    who.set_password(password)
    return bytes(who.get_nt_hash()).hex()


class Base:
    """A domain's base, opened from its file, without a server."""

    def __init__(self, path: str) -> None:
        from samba.auth import system_session
        from samba.param import LoadParm
        from samba.samdb import SamDB

        settings = LoadParm()
        settings.set("private dir", str(Path(path).parent))
        self.sam = SamDB(url=path, session_info=system_session(), lp=settings)
        self.domain = str(self.sam.domain_dn())

    def names(self, wanted: str) -> dict[str, str]:
        """objectGUID -> name of the accounts that a filter wants."""
        found = self.sam.search(self.domain, 2, wanted, ["objectGUID", "sAMAccountName"])
        return {bytes(one["objectGUID"][0]).hex(): str(one["sAMAccountName"][0]) for one in found}

    def canary(self, name: str) -> dict[str, str]:
        """What the base says of one account; empty when it does not hold it."""
        texts, binaries = ("description", "pwdLastSet", "msDS-KeyVersionNumber"), ("unicodePwd", "objectGUID")
        for one in self.sam.search(self.domain, 2, f"(sAMAccountName={name})", [*texts, *binaries]):
            told = {key: str(one[key][0]) for key in texts if key in one}
            return told | {key: bytes(one[key][0]).hex() for key in binaries if key in one}
        return {}

    def describe(self, name: str, description: str) -> None:
        """Change the description of an account."""
        import ldb

        (found,) = self.sam.search(self.domain, 2, f"(sAMAccountName={name})", ["cn"])
        changed = ldb.Message(found.dn)
        changed["description"] = ldb.MessageElement(description, ldb.FLAG_MOD_REPLACE, "description")
        self.sam.modify(changed)
