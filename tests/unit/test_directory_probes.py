"""Probes of a directory (LDAP, Kerberos, SMB) as far as no server is needed, and errands on a candidate's machine."""

from __future__ import annotations

import base64
import errno
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from graders.probes import kerberos, ldap, smb


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
    ("answers", "state", "asked"),
    [
        ([errno.ETIMEDOUT, 0], "granted", 2),
        ([errno.ETIMEDOUT, errno.EACCES], "refused", 2),
        ([errno.ETIMEDOUT, errno.ETIMEDOUT], "ETIMEDOUT", 2),
        ([errno.ETIMEDOUT, errno.ENOENT], "granted", 2),
        ([errno.ENOENT], "ENOENT", 1),
        ([errno.EACCES], "refused", 1),
    ],
)
def test_a_file_server_that_is_late_is_asked_once_more(
    answers: list[int], state: str, asked: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "smbc", SimpleNamespace(Context=SimpleNamespace))
    monkeypatch.setenv("HOME", "/nonexistent")
    left = list(answers)

    def unlink(*_: Any) -> str:
        if number := left.pop(0):
            raise OSError(number, "no")
        return ""

    monkeypatch.setitem(smb.VERBS, "delete", unlink)
    (told,) = smb.use("192.0.2.1", "A", {"a": "b"}, [["a", "delete", "commun/x", ""]])
    assert told["state"] == state
    assert len(answers) - len(left) == asked


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
