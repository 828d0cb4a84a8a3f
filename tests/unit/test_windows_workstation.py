"""What is asked of a Windows workstation. No Windows answers here, an endpoint of ours does."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from graders import agency
from graders.cp02_workstation import check_settings
from graders.devices import AnswerError, Windows
from graders.engine.command import POWERSHELL
from graders.engine.snapshot import Snapshot
from graders.expect import Expect, Unmet
from graders.probe_client import ProbeError
from graders.workstation import attempts_early, elsewhere, workstation_of
from graders.workstation.windows import WindowsWorkstation, session_of
from labs.deadline import Deadline
from tests.unit.lab_data import bench_of
from tests.unit.test_engine_devices import engine, windows_route
from tests.unit.windows_lab import BENCH, data_of
from tests.unit.wsman_endpoint import WsmanEndpoint

if TYPE_CHECKING:
    from graders.login import Login

DOMAIN_SID = "S-1-5-21-1-2-3"
SYSTEM, ADMINISTRATORS = "S-1-5-18", "S-1-5-32-544"


@pytest.fixture(autouse=True)
def _secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_WINDOWS_PASSWORD", "Secret-du-centre-1")


def opened(account: str, **more: Any) -> dict[str, Any]:
    """What sessions.ps1 answers of a session that opened, as MS-DTYP and the documents of the profile say."""
    sid = f"{DOMAIN_SID}-1105"
    folder = rf"C:\Users\{account}"
    return {"error": 0, "profile": 0, "name": rf"CAYENNE\{account}", "sid": sid, "administrator": False,
            "folder": folder, "full": [SYSTEM, ADMINISTRATORS, sid], "written": "", **more}  # fmt: skip


def refused(error: int) -> dict[str, Any]:
    return {**opened(""), "error": error, "name": "", "sid": "", "folder": "", "full": []}


class Machine:
    """In the place of the PowerShell of a workstation: answers the programs of graders/workstation by their data."""

    def __init__(self) -> None:
        self.people: dict[tuple[str, str], dict[str, Any]] = {}
        self.settings: dict[str, Any] = {}
        self.asked: list[Any] = []

    def __call__(self, command: str, stdin: bytes) -> bytes:
        text = base64.b64decode(stdin).decode()
        nonce = re.search(r"'(\w{16}) ' \+", text)
        assert nonce
        answers = [self.answer(one["run"]) for one in json.loads(json.dumps(data_of_list(text)))]
        told = {"clock": 0.0, "boot": "b", "answers": answers}
        return f"{nonce[1]} {base64.b64encode(json.dumps(told).encode()).decode()}\r\n".encode()

    def answer(self, program: str) -> dict[str, Any]:
        asked = data_of(program)
        self.asked.append(asked)
        if "LogonUserW" in program:
            found = [self.people.get((one["account"], one["password"]), refused(1326)) for one in asked["people"]]
        else:
            found = [self.settings]
        return {"status": 0, "out": json.dumps(found), "error": "", "seconds": 0.1}


def data_of_list(text: str) -> list[dict[str, Any]]:
    match = re.search(r"FromBase64String\('([^']*)'\)", text)
    assert match
    return list(json.loads(base64.b64decode(match[1])))


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[tuple[Machine, WsmanEndpoint]]:
    shell = Machine()
    endpoint = WsmanEndpoint(tmp_path, shell)
    yield shell, endpoint
    endpoint.close()


@pytest.fixture
def station(
    machine: tuple[Machine, WsmanEndpoint], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Machine, WindowsWorkstation]:
    """A workstation behind the real pywinrm, as the engine uses it."""
    shell, endpoint = machine
    live = engine(tmp_path, monkeypatch, POWERSHELL, windows_route(endpoint), Snapshot(tmp_path / "snapshot.jsonl"))
    found = workstation_of(BENCH, cast("Login", None), lambda node: Windows(live, node))
    assert isinstance(found, WindowsWorkstation)
    return shell, found


def test_a_session_opens_with_one_password_and_not_with_the_other(station: Any) -> None:
    shell, workstation = station
    shell.people["essai.commerce", "neuf"] = opened("essai.commerce")
    good, bad = workstation.sessions("essai.commerce", ["neuf", "l'ancien"], Deadline.after(30))
    assert good == {"compte": r"CAYENNE\essai.commerce", "numéro": f"{DOMAIN_SID}-1105",
                    "dossier": r"C:\Users\essai.commerce", "propriétaire": r"CAYENNE\essai.commerce",
                    "écriture": "ecrit"}  # fmt: skip
    assert bad == {"problem": "compte ou mot de passe refusé"}
    assert len(shell.asked) == 1, "one exchange"
    shell.people["essai.commerce", "neuf"] = refused(1909)
    assert workstation.sessions("essai.commerce", ["neuf"], Deadline.after(30)) == [{"problem": "compte verrouillé"}]
    assert shell.asked[0]["domain"] == BENCH.values["netbios"]
    assert [one["password"] for one in shell.asked[0]["people"]] == ["neuf", "l'ancien"]


def test_the_account_of_a_session_is_the_directorys_by_its_sid(station: Any) -> None:
    _, workstation = station
    data = bytes([1, 5]) + (5).to_bytes(6, "big") + b"".join(n.to_bytes(4, "little") for n in (21, 1, 2, 3, 1105))
    entry = {
        "dn": "CN=a",
        "samaccountname": ["essai.commerce"],
        "objectsid": [f"base64:{base64.b64encode(data).decode()}"],
    }
    session = session_of(opened("essai.commerce"))
    assert workstation.strangers(entry, session) == []
    local = session_of(opened("essai.commerce", sid="S-1-5-21-9-9-9-1105"))
    assert workstation.strangers(entry, local) == ["S-1-5-21-9-9-9-1105"]


@pytest.mark.parametrize(
    ("change", "field", "value"),
    [
        ({"folder": r"C:\Users\TEMP"}, "dossier", ""),
        ({"folder": r"C:\Users\TEMP.CAYENNE.001"}, "dossier", ""),
        ({"full": [SYSTEM, ADMINISTRATORS]}, "propriétaire", f"{SYSTEM}, {ADMINISTRATORS}"),
        ({"written": "UnauthorizedAccessException"}, "écriture", "UnauthorizedAccessException"),
    ],
)
def test_a_folder_that_is_not_the_persons(change: dict[str, Any], field: str, value: str) -> None:
    session = session_of(opened("essai.commerce", **change))
    assert session[field] == value
    assert elsewhere(session["dossier"]) is (field != "dossier")


def test_a_profile_that_was_not_made_and_a_broken_trust_are_told() -> None:
    assert session_of(opened("a", profile=5)) == {"problem": "profil non créé (erreur 5)"}
    assert session_of(refused(1789)) == {"problem": "relation d'approbation rompue"}


@pytest.mark.parametrize("error", [1314, 1450, 5])
def test_an_error_of_ours_is_no_refusal(station: Any, error: int) -> None:
    """Privilege not held, no resources, access denied: says nothing about the candidate."""
    shell, workstation = station
    shell.people["a", "p"] = refused(error)
    with pytest.raises(ProbeError, match=f"neither opened nor refused: error {error}"):
        workstation.sessions("a", ["p"], Deadline.after(30))
    with pytest.raises(ProbeError, match=f"error {error}"):
        workstation.administrators(["a"], "p", Deadline.after(30))


def test_an_answer_that_is_too_short_or_none_is_an_error(station: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    shell, workstation = station
    monkeypatch.setattr(shell, "answer", lambda _: {"status": 0, "out": "[]", "error": "", "seconds": 0.1})
    with pytest.raises(ProbeError, match="2 sessions were asked for on ws, 0 answers came"):
        workstation.sessions("a", ["p", "q"], Deadline.after(30))
    told = {"status": 1, "out": "[]", "error": "Add-Type : error CS0116", "seconds": 0.1}
    monkeypatch.setattr(shell, "answer", lambda _: told)
    with pytest.raises(AnswerError, match="CS0116"):
        workstation.sessions("b", ["p"], Deadline.after(30))


ZONE = {"zone": "SA Eastern Standard Time", "offsets": [-180] * 12, "wanted": [-180] * 12, "locale": "fr-FR"}


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({}, []),
        ({"zone": "Bahia Standard Time"}, []),  # another name for the same hours
        ({"offsets": [60] * 3 + [120] * 7 + [60] * 2, "zone": "Romance Standard Time"}, ["fuseau horaire"]),
        ({"locale": "en-US"}, ["paramètres régionaux du système"]),
        ({"name": "WS."}, ["nom complet de ws"]),
    ],
)
def test_settings(station: Any, change: dict[str, Any], wrong: list[str]) -> None:
    shell, workstation = station
    shell.settings = {**ZONE, "name": f"WS.{BENCH.values['domaine']}", **change}
    assert [label for label, _, _, ok in workstation.settings() if not ok] == wrong
    assert shell.asked == [BENCH.values["fuseau_windows"]]


@pytest.mark.parametrize("mistake", ["", "everybody", "nobody", "direction", "unknown"])
def test_who_is_administrator(station: Any, mistake: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shell, workstation = station
    monkeypatch.setattr(check_settings, "workstation_of", lambda *_: workstation)
    secret = str(BENCH.values["mdp_agence"])
    for who in ("technicien", "directrice", "commerciale", "assistante"):
        login = agency.person(BENCH, who).login
        rights = mistake == "everybody" or (who == "technicien" and mistake != "nobody")
        rights = rights or (who == "directrice" and mistake == "direction")
        if not (mistake == "unknown" and who == "assistante"):
            shell.people[login, secret] = opened(login, administrator=rights)
    expect = Expect()
    check_settings.check_administrators(BENCH, cast("Login", None), cast(Any, None), expect, Deadline.after(30))
    if mistake:
        with pytest.raises(Unmet):
            expect.conclude()
    else:
        expect.conclude()
    assert not any(one["profile"] for one in shell.asked), "no profile is made for that"


def test_nothing_is_started_early_on_a_windows() -> None:
    people = ["a", "b"]
    assert attempts_early(BENCH, people, "p") == []
    assert len(attempts_early(bench_of("annuaire", 0), people, "p")) == 1
