"""Runs that look like real ones, for the report's tests; and the proof that they travel through a records file."""

from __future__ import annotations

from pathlib import Path

from graders import records
from graders.records import BenchHeader, Comparison, Evidence, Record, Run, RunHeader, Verdict

TASKS = [
    {
        "id": "adressage",
        "title": {"fr": "Plan d'adressage et poste", "en": "Addressing plan and workstation"},
        "checks": {"CP03-S2.a": 2.0, "CP03-C1.a": 2.0, "CP06-S3.a": 1.0},
    },
    {"id": "dhcp", "title": {"fr": "Service DHCP", "en": "DHCP"}, "checks": {"CP06-S1.a": 3.0, "CP06-S1.b": 1.5}},
    {
        "id": "dns",
        "title": {"fr": "Service DNS", "en": "DNS"},
        "checks": {"CP06-S2.a": 2.0, "CP06-S2.b": 2.0, "CP06-O1.a": 1.0},
    },
    {"id": "nat", "title": {"fr": "Accès Internet (NAT)", "en": "NAT"}, "checks": {"CP07-S2.a": 2.0, "CP07-S2.b": 1.0}},
    {
        "id": "parefeu",
        "title": {"fr": "Pare-feu", "en": "Firewall"},
        "checks": {"CP07-S4.a": 2.0, "CP07-S4.b": 0.5, "CP03-S1.b": 0.0},
    },
]
TITLES = {
    "CP03-S2.a": "Le poste porte l'adresse, la passerelle et les serveurs DNS du plan",
    "CP03-C1.a": "Le poste atteint la passerelle, un nom interne et un nom externe",
    "CP06-S3.a": "Les interfaces du routeur suivent le plan d'adressage",
    "CP06-S1.a": "Un client du LAN reçoit un bail conforme au plan",
    "CP06-S1.b": "Le DHCP n'offre jamais une adresse réservée ou exclue",
    "CP06-S2.a": "Les noms internes sont résolus depuis le LAN",
    "CP06-S2.b": "La récursion est refusée depuis le WAN",
    "CP06-O1.a": "Le journal de diagnostic suit les couches du réseau",
    "CP07-S2.a": "Un flux du LAN sort avec l'adresse publique",
    "CP07-S2.b": "Le service publié répond depuis le WAN",
    "CP07-S4.a": "Depuis le WAN, seuls les ports publiés sont ouverts",
    "CP07-S4.b": "Un paquet refusé laisse une trace dans le journal",
    "CP03-S1.b": "Le poste s'associe au Wi-Fi demandé",
}
SCAN = """Starting scan of 198.51.100.14
PORT     STATE   SERVICE
22/tcp   open    ssh
80/tcp   open    http
443/tcp  closed  https
"""
LEASE = """DISCOVER 52:54:00:6a:11:02 xid=0x3f2a91c4
OFFER    10.24.8.101 from 10.24.8.1
  1 subnet   255.255.255.0
  3 router   10.24.8.254
  6 dns      10.24.8.1
 15 domain   limoges.exemple.fr
 51 lease    28800
"""


def header(tasks: list[dict[str, object]] | None = None) -> RunHeader:
    return RunHeader(
        run="20261120-140512",
        session="limoges-2026",
        title="Agence de Limoges",
        mode="exam",
        lab="reseau",
        lab_title={"fr": "Réseau d'une agence", "en": "A branch office network"},
        lab_version="1.2",
        referential="tssi-2013",
        seed_digest="sha256:9d1f0c4be27a6a0c55e1",
        started="2026-11-20T13:05:12Z",
        grader_version="0.1.0",
        hypervisor="qemu 7.2 (embarqué)",
        tasks=TASKS if tasks is None else tasks,
    )


def bench(candidate: str, name: str) -> BenchHeader:
    return BenchHeader(
        candidate,
        name,
        {
            "domaine": "limoges.exemple.fr",
            "lan": {"reseau": "10.24.8.0/24", "passerelle": "10.24.8.1", "plage": ["10.24.8.100", "10.24.8.180"]},
        },
        [
            {"name": "rtr", "role": "rtr", "state": "running", "reachable": True, "image": "sha256:4c1be0a7f3d2918e"},
            {"name": "ws", "role": "ws", "state": "running", "reachable": True, "image": "sha256:88a1d20c6b5e4f01"},
        ],
    )


def record(candidate: str, check: str, verdict: Verdict = Verdict.PASSED, **fields: object) -> Record:
    task = next((t for t in TASKS if check in t["checks"]), {"id": "autre", "checks": {check: 1.0}})
    worth = task["checks"][check]
    values = {
        "competence": check.partition("-")[0],
        "task": task["id"],
        "title": TITLES.get(check, f"Contrôle {check}"),
        "points": worth if verdict is Verdict.PASSED else 0.0,
        "max_points": worth,
        "comparisons": [
            Comparison("Adresse dans le réseau du plan", "10.24.8.0/24", "10.24.8.101", ok=verdict is Verdict.PASSED)
        ],
        "evidence": [Evidence("probe:lan", "dhcp discover", LEASE, 0.42)],
        "started": "2026-11-20T13:06:00Z",
        "seconds": 0.42,
    }
    return Record(candidate=candidate, check=check, verdict=verdict, **{**values, **fields})


def perfect(candidate: str) -> list[Record]:
    return [record(candidate, check) for task in TASKS for check in task["checks"]]


def with_changes(candidate: str, **changes: Record) -> list[Record]:
    """A perfect candidate, with some checks replaced; `CP06_S1_a=record(...)`."""
    wanted = {name.replace("_", "-", 1).replace("_", "."): new for name, new in changes.items()}
    return [wanted.get(old.check, old) for old in perfect(candidate)]


def session() -> Run:
    """Three candidates, all six verdicts."""
    marie, thomas = "c01", "c02"
    bare: dict[str, object] = {"comparisons": [], "evidence": []}
    first = with_changes(
        marie,
        CP06_O1_a=record(
            marie, "CP06-O1.a", Verdict.MANUAL, message="Journal remis ; à lire par un évaluateur.", **bare
        ),
        CP03_S1_b=record(marie, "CP03-S1.b", Verdict.NOT_APPLICABLE, message="Pas de Wi-Fi dans ce sujet.", **bare),
        CP07_S4_b=record(
            marie,
            "CP07-S4.b",
            Verdict.FAILED,
            message="Un paquet refusé à 14 h 07 n'apparaît dans aucun journal : la règle ne journalise pas.",
            comparisons=[Comparison("Trace dans le journal", "sous 10 s", "aucune après 10 s", ok=False)],
        ),
    )
    first.append(
        record(
            marie,
            "CP07-S4.a",
            Verdict.FAILED,
            phase="reboot",
            message="Après redémarrage, le port 22 est ouvert depuis le WAN : les règles ne sont pas rechargées.",
            comparisons=[
                Comparison("Ports ouverts depuis le WAN", "80, 443", "22, 80, 443", ok=False),
                Comparison("Paquet ACK vers un flux fermé", "rejeté", "rejeté", ok=True),
            ],
            evidence=[Evidence("probe:wan", "tcp scan 198.51.100.14", SCAN, 3.1)],
        )
    )
    behind = {"blocked_by": "CP06-S1.a", "comparisons": [], "evidence": []}
    second = with_changes(
        thomas,
        CP06_S1_a=record(
            thomas,
            "CP06-S1.a",
            Verdict.FAILED,
            message="Le bail est offert, mais la passerelle annoncée n'est pas celle du plan.",
            comparisons=[
                Comparison("Serveurs qui répondent", "1", "1", ok=True),
                Comparison("Adresse dans la plage", "10.24.8.100 à 10.24.8.180", "10.24.8.101", ok=True),
                Comparison("Option 3 (passerelle)", "10.24.8.1", "10.24.8.254", ok=False),
                Comparison("Option 51 (durée du bail)", "28 800 s", "28 800 s", ok=True),
            ],
        ),
        CP06_S1_b=record(thomas, "CP06-S1.b", Verdict.BLOCKED, **behind),
        CP03_C1_a=record(thomas, "CP03-C1.a", Verdict.BLOCKED, **behind),
        CP07_S2_a=record(thomas, "CP07-S2.a", Verdict.BLOCKED, **{**behind, "blocked_by": "CP03-C1.a"}),
        CP07_S2_b=record(
            thomas,
            "CP07-S2.b",
            Verdict.ERROR,
            message="La sonde WAN n'a pas répondu à l'évaluateur ; la mesure doit être refaite.",
            comparisons=[],
            evidence=[Evidence("probe:wan", "http get http://198.51.100.14/", "", 30.0)],
        ),
        CP06_O1_a=record(thomas, "CP06-O1.a", Verdict.MANUAL, **bare),
        CP03_S1_b=record(thomas, "CP03-S1.b", Verdict.NOT_APPLICABLE, **bare),
    )
    down = {"blocked_by": "node:rtr", "comparisons": [], "evidence": []}
    third = [
        record("c03", check, Verdict.BLOCKED, **down)
        if check not in ("CP06-O1.a", "CP03-S1.b")
        else record("c03", check, Verdict.MANUAL if check == "CP06-O1.a" else Verdict.NOT_APPLICABLE, **bare)
        for task in TASKS
        for check in task["checks"]
    ]
    benches = [bench("c01", "Marie Lefèvre"), bench("c02", "Thomas N'Guyen"), bench("c03", "Inès Da Silva")]
    benches[2].nodes[0].update(state="stopped", reachable=False)
    return Run(header(), benches, [*first, *second, *third])


HOSTILE = (
    "<script>alert(1)</script></pre></details>\x1b[31mrouge\x1b[0m \x1b]0;titre\x07 nul:\x00 "
    "\u202egnp.exe\u2066 ligne\u2028coupée\u0085 \ud800 \ufffe ]]> {{ 7*7 }} &amp; \x08\x7f\u200b"
)


def hostile() -> Run:
    """A candidate who writes evil in every text that can be influenced."""
    evil = record(
        "c<1>",
        "CP06-S1.a",
        Verdict.FAILED,
        title=HOSTILE,
        message=HOSTILE,
        comparisons=[Comparison(HOSTILE, HOSTILE, HOSTILE, ok=False)],
        evidence=[
            Evidence(HOSTILE, HOSTILE, HOSTILE, 0.1),
            Evidence("ssh:ws", "cat /var/log/gros", "A" * 2_500_000 + "\u202e\x00" + "B" * 2_500_000, 1.0),
        ],
    )
    who = BenchHeader("c<1>", '=HYPERLINK("http://x") ' + HOSTILE, {HOSTILE: {HOSTILE: HOSTILE}}, [{"name": HOSTILE}])
    return Run(header(), [who], [evil])


def crowd(candidates: int, checks: int) -> Run:
    """A big session: 30 candidates × 200 records."""
    ids = [f"CP06-S{n // 26 + 1}.{chr(97 + n % 26)}" for n in range(checks)]
    tasks = [{"id": "tout", "title": {"fr": "Tout"}, "checks": dict.fromkeys(ids, 0.5)}]
    verdicts = [Verdict.PASSED, Verdict.PASSED, Verdict.PASSED, Verdict.FAILED]
    benches = [bench(f"c{n:02}", f"Candidat {n}") for n in range(1, candidates + 1)]
    found = [
        record(who.candidate, check, verdicts[n % 4], task="tout", points=0.5 * (n % 4 != 3), max_points=0.5)
        for who in benches
        for n, check in enumerate(ids)
    ]
    return Run(header(tasks), benches, found)


def write(run: Run, folder: Path) -> Path:
    items = [run.header, *run.benches, *run.records]
    (folder / "records.jsonl").write_text("".join(records.dump(item) + "\n" for item in items), encoding="utf-8")
    return folder / "records.jsonl"


def test_hostile_evidence_travels_through_a_records_file_unchanged(tmp_path: Path) -> None:
    """U+2028, U+0085 and lone surrogates must not break a line of the file."""
    assert records.load(write(hostile(), tmp_path)) == hostile()


def test_all_six_verdicts_are_in_the_sample() -> None:
    assert {r.verdict for r in session().records} == set(Verdict)
