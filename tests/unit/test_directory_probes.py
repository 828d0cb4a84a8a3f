"""Probes of a directory (LDAP, Kerberos, SMB) as far as no server is needed, and errands on a candidate's machine."""

from __future__ import annotations

import base64
import shlex
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from graders.errand import run_errand
from graders.probe_client import ProbeError
from graders.probes import kerberos, ldap, smb
from labs.deadline import Deadline

if TYPE_CHECKING:
    from graders.login import Login


class Shell:
    """A machine that is this one: what a check asks is run by a shell here, its scratch folders under `place`."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __call__(self, node: str) -> Shell:
        return self

    def run(self, command: str, *args: str) -> Any:
        text = (command % tuple(map(shlex.quote, args)) if args else command).replace("/run/", f"{self.place}/")
        done = subprocess.run(["sh", "-c", text], capture_output=True, text=True, check=False)
        return SimpleNamespace(rc=done.returncode, stdout=done.stdout, stderr=done.stderr)

    def check_output(self, command: str, *args: str) -> str:
        return str(self.run(command, *args).stdout).rstrip("\n")


def test_what_the_directory_says_is_read_whatever_its_encoding() -> None:
    name = base64.b64encode("Hélène".encode()).decode()
    raw = base64.b64encode(b"\x01\xff").decode()
    text = f"dn: CN=a,DC=b\nobjectClass: top\nobjectClass: user\ngivenName:: {name}\nobjectSid:: {raw}\n\n# ref x\n\n"
    assert ldap.parse(text) == [
        {"dn": "CN=a,DC=b", "objectclass": ["top", "user"], "givenname": ["Hélène"], "objectsid": [f"base64:{raw}"]}
    ]


def test_tools_that_do_not_answer_are_not_a_refusal() -> None:
    assert ldap._told(255, "ldap_sasl_bind(SIMPLE): Can't contact LDAP server (-1)")["code"] is None
    assert ldap._told(49, "Invalid credentials (49)")["code"] == 49
    assert smb.name_of(OSError(13, "no")) == "refused"
    assert smb.name_of(OSError(111, "no")) == "ECONNREFUSED"
    assert smb.name_of(RuntimeError("no")) == "RuntimeError"


@pytest.mark.parametrize(
    ("words", "state"),
    [
        ("kinit: Password incorrect while getting initial credentials", "wrong password"),
        ("kinit: Client's credentials have been revoked while getting initial credentials", "revoked"),
        ("kinit: Cannot contact any KDC for realm 'A.TEST' while getting initial credentials", "unreachable"),
        ("kinit: something new", "other"),
    ],
)
def test_what_kinit_says_in_short(words: str, state: str) -> None:
    assert kerberos.state(words) == state


def test_an_errand_brings_everything_back_and_leaves_nothing(tmp_path: Path) -> None:
    machine = cast("Login", Shell(tmp_path))
    told = run_errand(machine, "srv", "echo un; sleep 0.2; echo deux; echo FIN", Deadline.after(20), ending="FIN")
    assert told == "un\ndeux\n"
    assert list(tmp_path.iterdir()) == []


def test_an_errand_that_dies_is_an_error_with_its_words(tmp_path: Path) -> None:
    machine = cast("Login", Shell(tmp_path))
    with pytest.raises(ProbeError, match=r"did not end: .*casse"):
        run_errand(machine, "srv", "echo casse >&2; exit 3; echo FIN", Deadline.after(1.5), ending="FIN")
