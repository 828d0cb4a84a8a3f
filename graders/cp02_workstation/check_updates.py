"""CP02-S4: where updates come from, whether they are checked, and when they are installed; CP02-S5: the way back."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from graders import programs
from graders.check import check
from graders.cp02_workstation.remote import ask
from graders.errand import Errand, run_errand
from graders.expect import show
from graders.probe_client import ProbeError
from graders.vantage import number, text

if TYPE_CHECKING:
    from graders.expect import Expect
    from graders.login import Login
    from graders.probe_client import ProbeClient
    from labs.bench import Bench
    from labs.deadline import Deadline

BACK = "/usr/local/sbin/retour-arriere"
LEAD, LATE, LIMIT = 70, 150, 300
"""Seconds: before the minute; after it, to begin; after it, to end."""
APART, EARLY_LEAD, EARLY_LATE = 7200, 15, 90
"""Seconds between the minute and the one, too early, that is lived through first; before and after that one."""
STALL, DRIFT = 10.0, 5.0
NIGHT_SECONDS = 3600.0
"""Too early, both nights, the way back, and what is put back, each at its longest."""
OFFER_SECONDS, PROPOSED_SECONDS = 3700, 400
"""For which a version is published: for the nights, and for apt to propose it."""
START_SECONDS = 60
"""Until the program of the nights has the clock in its hands."""
SUITE = "agence"
# The machine's own apt, sources and keys, with lists and caches of our own: it learns of what is published, and keeps
# nothing. Its hooks are left out: they are for real updates.
UPDATE = """
d=$(mktemp -d /var/tmp/controle-XXXXXX)
trap 'rm -rf "$d"' EXIT
chmod 755 "$d"
mkdir -p "$d/lists/partial" "$d/cache/archives/partial"
chown _apt "$d/lists/partial" "$d/cache/archives/partial" 2>/dev/null
cat >"$d/apt.conf" <<FIN
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
Dir::State::lists "$d/lists";
Dir::Cache "$d/cache";
FIN
timeout 240 apt-get -c "$d/apt.conf" -q update >"$d/dit" 2>&1
echo "statut $?"
grep -E '^(E|W|Err)' "$d/dit" | head -5 | sed 's/^/dit /'
timeout 120 python3 -I - "$d/apt.conf" {package} <<'FIN'
import sys, apt_pkg
apt_pkg.init_config()
apt_pkg.read_config_file(apt_pkg.config, sys.argv[1])
apt_pkg.init_system()
cache = apt_pkg.Cache(None)
if sys.argv[2] in cache:
    package = cache[sys.argv[2]]
    found = apt_pkg.DepCache(cache).get_candidate_ver(package)
    print("installee", package.current_ver.ver_str if package.current_ver else "")
    files = found.file_list if found else []
    print("proposee", found.ver_str if found else "", *sorted({{file.site for file, _ in files if file.site}}))
else:
    print("inconnu")
FIN
echo {ending}
"""
END = "fin-de-la-relecture"
SIGNERS = {"other": "signé d'une autre clé", "none": "sans signature"}


@check("CP02-S4.a", nodes=("ws",), seconds=600)
def check_source(bench: Bench, probe: ProbeClient, login: Login, expect: Expect, deadline: Deadline) -> None:
    """ws a le logiciel demandé, et apt y propose la version que le miroir vient de publier.

    Pendant le contrôle, le miroir publie une version inédite, signée de sa clé ; apt relit ses sources dans un dossier
    à part, sans rien changer sur ws.
    """
    wanted = fresh_version(bench, probe, "source")
    found = proposed(bench, probe, login, deadline, wanted, "good")
    expect.equal(f"{text(bench, 'paquet')}, version installée", text(bench, "version"), found["installed"])
    expect.equal("version proposée par apt, après publication", wanted, found["proposed"])
    centre = text(bench, "lan_centre")
    sites = found["sites"] if centre in found["sites"] else addresses(login, found["sites"])
    expect.contains("source de cette version", centre, sites)


@check("CP02-S4.c", causes=("CP02-S4.a",), nodes=("ws",), seconds=900)
def check_signed(bench: Bench, probe: ProbeClient, login: Login, expect: Expect, deadline: Deadline) -> None:
    """apt refuse sur ws ce que le miroir publie sans la signature de sa clé.

    Une version signée de la clé du miroir est proposée ; une autre, signée d'une clé inconnue, puis une troisième, sans
    signature, ne le sont pas.
    """
    wanted = fresh_version(bench, probe, "signée")
    found = proposed(bench, probe, login, deadline, wanted, "good")
    expect.require(expect.equal("témoin : version signée de la clé du miroir", "proposée", offered(found, wanted)))
    for signer, label in SIGNERS.items():
        wanted = fresh_version(bench, probe, signer)
        found = proposed(bench, probe, login, deadline, wanted, signer)
        expect.equal(f"version publiée par un dépôt {label}", "refusée", offered(found, wanted))


@check("CP02-S4.b", causes=("CP02-S4.a",), nodes=("ws",), phase="reboot", seconds=NIGHT_SECONDS)
def check_night(bench: Bench, probe: ProbeClient, login: Login, expect: Expect, deadline: Deadline) -> None:
    """Chaque nuit, à l'heure dite, ws installe seul la version publiée.

    Après le redémarrage, le miroir publie une version inédite. L'horloge de ws est mise deux heures trop tôt, à la même
    minute : rien ne doit s'installer ; puis peu avant l'heure : la version doit s'installer à partir de cette heure, en
    cinq minutes au plus. Tout est ensuite remis comme avant.
    """
    night = live_through(bench, probe, login, expect, deadline)["night"]
    moment = text(bench, "maj_moment")
    if night["installed"] is None:
        expect.equal("version publiée, installée", f"à {moment}", "jamais")
        return
    observed = when(moment, night["installed"])
    expect.true("version publiée, installée", f"à partir de {moment}", observed, night["installed"] >= 0)
    expect.equal("version après la mise à jour", fresh_version(bench, probe, "nuit"), night["version"])


@check("CP02-S5.b", causes=("CP02-S4.b", "CP02-S4.a"), nodes=("ws",), phase="reboot", seconds=NIGHT_SECONDS)
def check_way_back(bench: Bench, probe: ProbeClient, login: Login, expect: Expect, deadline: Deadline) -> None:
    """Après une mise à jour de nuit, retour-arriere rend la version et les données d'avant ; elles restent ensuite.

    La version installée de nuit convertit le fichier de données. La commande du candidat est lancée ; la version, les
    fichiers du logiciel et les données, avec la ligne ajoutée avant la nuit, doivent être ceux d'avant, et le logiciel
    fonctionner. L'heure des mises à jour revient alors une fois encore : les mises à jour sont toujours planifiées, et
    la version retirée ne revient pas.
    """
    answer = live_through(bench, probe, login, expect, deadline)
    installed = answer["night"]["installed"] is not None and answer["converted"]
    expect.require(expect.equal("mise à jour de nuit, à défaire", "faite", "faite" if installed else "pas faite"))
    back, after = answer["back"], answer["after"]
    programs.unhurried([back])
    expect.equal(f"code de retour de {BACK}", 0, back["status"] if back["status"] is not None else back["said"])
    version = text(bench, "version")
    expect.equal("version après le retour", version, after["version"])
    expect.none("fichiers autres qu'avant la mise à jour", after["changed"])
    expect.equal("le logiciel fonctionne", "oui", "oui" if after["works"] else "non")
    if after["version"] == version:
        sound(answer["next"])
        expect.equal("version après la nuit suivante", version, answer["next"]["version"])
        # A script that sees that the version is held, and ends at once, is not seen at work: its plan is still there.
        lost = [] if answer["next"]["worked"] else after["unplanned"]
        expect.none("planification des mises à jour, retirée ou modifiée par le retour", lost, "aucune")
        known = "retiré" if answer["next"]["forgotten"] else "en place"
        expect.equal("miroir de l'agence parmi les sources, après la nuit suivante", "en place", known)


def proposed(
    bench: Bench, probe: ProbeClient, login: Login, deadline: Deadline, version: str, signed: str
) -> dict[str, Any]:
    """What apt of ws proposes while the mirror publishes this version: installed, proposed (versions), sites."""
    clear_of_updates(bench, login, PROPOSED_SECONDS)
    publish(probe, version, signed, PROPOSED_SECONDS)
    program = UPDATE.format(package=shlex.quote(text(bench, "paquet")), ending=END)
    # The same program each time: its name tells the questions apart when they are judged again.
    lines = run_errand(login, Errand("ws", f"# {version}\n{program}", END), deadline).splitlines()
    probe.call("mirror.offer", withdraw=True)
    words = {line.split()[0]: line.split()[1:] for line in lines if line.split()}
    if "statut" not in words or words["statut"] == ["124"] or not words.keys() & {"proposee", "inconnu"}:
        raise ProbeError(f"apt of ws could not be asked: {lines[-5:]!r}")
    offer = words.get("proposee", [])
    return {"installed": " ".join(words.get("installee", [])), "proposed": " ".join(offer[:1]), "sites": offer[1:]}


def addresses(login: Login, sites: list[str]) -> list[str]:
    """These sites with the addresses that ws finds for them, which may be called by a name there (/etc/hosts)."""
    found = list(sites)
    for site in sites:
        told = login("ws").run("timeout 15 getent ahostsv4 -- %s", site)
        if told.rc == 124:
            raise ProbeError(f"ws could not say in 15 s which address {show(site)} has")
        found += sorted({line.split()[0] for line in told.stdout.splitlines() if line.split()})
    return found


def clear_of_updates(bench: Bench, login: Login, seconds: float) -> None:
    """Raise ProbeError when the updates of ws are at work, or due in so many seconds by its own clock.

    They would install for good what is published for a trial.
    """
    now, moment = login("ws").check_output("date +%H:%M:%S"), text(bench, "maj_moment")
    hour, minute, second = map(int, now.split(":"))
    due_hour, due_minute = map(int, moment.split(":"))
    since = ((hour - due_hour) * 3600 + (minute - due_minute) * 60 + second) % 86400
    if since < LIMIT or since > 86400 - seconds:
        raise ProbeError(f"it is {now} on ws, whose updates are due at {moment}: to be measured again later")


def live_through(bench: Bench, probe: ProbeClient, login: Login, expect: Expect, deadline: Deadline) -> dict[str, Any]:
    """The night of the updates, the way back and the night after, which both checks share."""
    package = text(bench, "paquet")
    data = f"/var/lib/{package}/releves"
    wanted = {
        "package": package,
        "version": text(bench, "version"),
        "data": data,
        "files": [f"/usr/bin/{package}", f"/usr/share/{package}/modele"],
        "program": f"/usr/bin/{package}",
        # With the sign that the conversion puts in: nobody gets the readings back from what became of them.
        "line": f"2026-02-01;09:00;{probe.nonce('relevé')}|x",
        "minute": text(bench, "maj_moment"),
        "back": BACK,
        "mirror": f"http://{text(bench, 'lan_centre')}",
        "suite": SUITE,
        "lead": LEAD,
        "late": LATE,
        "limit": LIMIT,
        "apart": APART,
        "early_lead": EARLY_LEAD,
        "early_late": EARLY_LATE,
        "drift": DRIFT,
    }
    clear_of_updates(bench, login, START_SECONDS)
    publish(probe, fresh_version(bench, probe, "nuit"), "good", OFFER_SECONDS)
    answer = ask(login, "remote_night", wanted, deadline)
    probe.call("mirror.offer", withdraw=True)
    expect.require(expect.equal(f"{package}, version installée", text(bench, "version"), answer["before"]))
    expect.require(expect.equal(data, "présent", "présent" if answer["data"] else "absent"))
    if answer["left"]:
        raise ProbeError(f"what the night changed on ws was not put back: {show(answer['left'])}")
    sound(answer["early"])
    sound(answer["night"])
    return answer


def sound(night: dict[str, Any]) -> None:
    """Raise ProbeError when what was seen of a night says nothing about the candidate."""
    if abs(night["drift"]) > DRIFT:
        raise ProbeError(f"the clock of ws did not stay where it was put: {night['drift']} s")
    if night["stall"] > STALL:
        raise ProbeError(f"ws stood still for {night['stall']} s while its updates were waited for")
    if night["busy"]:
        raise ProbeError("apt was still at work on ws when the time was over")


def publish(probe: ProbeClient, version: str, signed: str, seconds: int) -> None:
    """Have the mirror offer this version. Raises ProbeError when it does not obey."""
    if not probe.call("mirror.offer", update={"version": version, "signed": signed}, seconds=seconds):
        raise ProbeError("the centre's mirror does not obey: restart plateau-centre on the probe")


def fresh_version(bench: Bench, probe: ProbeClient, purpose: str) -> str:
    """A version above the installed one that nobody has seen."""
    return f"1.{number(bench, 'mineure') + 1}+{probe.nonce(f'version {purpose}')}-1"


def offered(found: dict[str, Any], version: str) -> str:
    """Whether apt proposes this very version."""
    return "proposée" if found["proposed"] == version else "refusée"


def when(moment: str, seconds: float) -> str:
    """When it was installed, as the clock of the machine said.

    >>> when("04:17", 83), when("04:17", -9)
    ('à 04:18:23', 'à 04:16:51')
    """
    hour, minute = map(int, moment.split(":"))
    total = (hour * 3600 + minute * 60 + int(seconds // 1)) % 86400
    return f"à {total // 3600:02}:{total // 60 % 60:02}:{total % 60:02}"
