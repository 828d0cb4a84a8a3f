"""What the probe plays in the lab poste: the program itself, on loopback, asked by apt, gpgv and a client of time."""

import json
import os
import socket
import struct
import subprocess
import sys
import time
import urllib.error
import urllib.request
from email.utils import parsedate_to_datetime

import pytest

from graders.probes import mirror
from labs.paths import CATALOGUE
from tests.unit.lab_data import bench_of, rendered

FILES = CATALOGUE / "poste" / "files"
BENCH = bench_of("poste", 0)
PACKAGE, VERSION = str(BENCH.values["paquet"]), str(BENCH.values["version"])
NTP_EPOCH = 2_208_988_800


def free_port(kind):
    with socket.socket(socket.AF_INET, kind) as link:
        link.bind(("127.0.0.1", 0))
        return link.getsockname()[1]


@pytest.fixture(scope="module")
def centre(tmp_path_factory):
    """The running program: where its web server is, its port for time, its control socket."""
    folder = tmp_path_factory.mktemp("centre")
    plan = json.loads(rendered(BENCH, FILES / "probe/centre.json.j2"))
    plan |= {"leg": "", "address": "127.0.0.1", "control": str(folder / "centre.sock")}
    plan |= {"http": free_port(socket.SOCK_STREAM), "ntp": free_port(socket.SOCK_DGRAM)}
    (folder / "plateau-centre.json").write_text(json.dumps(plan))
    for name in ("plateau_openpgp.py", "plateau_paquets.py"):
        (folder / name).write_text(rendered(BENCH, FILES / "probe" / name))
    text = rendered(BENCH, FILES / "probe/centre.py.j2").replace("/usr/local/lib", str(folder))
    (folder / "centre.py").write_text(text)
    with subprocess.Popen([sys.executable, "-I", str(folder / "centre.py")]) as process:
        plan["url"] = f"http://127.0.0.1:{plan['http']}"
        end = time.monotonic() + 20
        while True:
            try:
                fetch(plan, "cle.asc")
                break
            except urllib.error.URLError:
                assert time.monotonic() < end
                time.sleep(0.1)
        yield plan
        process.kill()


def fetch(centre, path):
    with urllib.request.urlopen(f"{centre['url']}/{path}", timeout=5) as page:
        return page.read()


class Apt:
    """apt of this machine, with a source, a key and lists of its own."""

    def __init__(self, folder, centre, options=""):
        self.folder, self.centre = folder, centre
        for name in ("lists/partial", "cache/archives/partial", "etc/trusted.gpg.d", "etc/preferences.d"):
            (folder / name).mkdir(parents=True)
        (folder / "status").write_text("")
        key = folder / "cle.asc"
        key.write_text(rendered(BENCH, FILES / "ws/miroir.asc"))
        key.chmod(0o644)
        source = f"deb [arch=amd64 signed-by={key} {options}] {centre['url']} agence main\n"
        (folder / "sources.list").write_text(source)
        for one in (folder, *folder.parents[:2]):
            one.chmod(0o755)

    def run(self, *command):
        settings = {
            "Dir::State::lists": "lists", "Dir::State::status": "status", "Dir::Cache": "cache",
            "Dir::Etc::sourcelist": "sources.list", "Dir::Etc::sourceparts": "none",
            "Dir::Etc::trustedparts": "etc/trusted.gpg.d", "Dir::Etc::preferencesparts": "etc/preferences.d",
        }  # fmt: skip
        options = [f"-o{name}={self.folder / value}" for name, value in settings.items()]
        options += ["-oAPT::Architecture=amd64", "-oAPT::Sandbox::User=root", "-oDebug::NoLocking=1"]
        done = subprocess.run([command[0], *options, *command[1:]], capture_output=True, text=True, check=False,
                              cwd=self.folder, env={**os.environ, "LC_ALL": "C"})  # fmt: skip
        return done.stdout + done.stderr

    def versions(self):
        self.run("apt-get", "update")
        return [
            line.split("|")[1].strip() for line in self.run("apt-cache", "madison", PACKAGE).splitlines() if "|" in line
        ]


def test_apt_takes_what_the_mirror_signs(centre, tmp_path):
    apt = Apt(tmp_path / "apt", centre)
    assert apt.versions() == [VERSION]
    mirror.offer(control=centre["control"], update={"version": "1.99+nouveau-1", "signed": "good"}, seconds=60)
    assert apt.versions() == ["1.99+nouveau-1", VERSION]
    apt.run("apt-get", "download", f"{PACKAGE}=1.99+nouveau-1")
    assert [one.name for one in apt.folder.glob("*.deb")] == [f"{PACKAGE}_1.99+nouveau-1_all.deb"]
    mirror.offer(control=centre["control"], withdraw=True)
    assert apt.versions() == [VERSION], "and believes that it is gone: the mirror's date goes on"


@pytest.mark.parametrize("signed", ["other", "none"])
def test_apt_refuses_what_the_mirror_has_not_signed(centre, tmp_path, signed):
    mirror.offer(control=centre["control"], update={"version": "1.99-1", "signed": signed}, seconds=60)
    try:
        assert Apt(tmp_path / "apt", centre).versions() == []
        trusting = Apt(tmp_path / "naif", centre, options="trusted=yes")
        assert "1.99-1" in trusting.versions(), "so that trusted=yes is seen"
    finally:
        mirror.offer(control=centre["control"], withdraw=True)


def test_an_offer_ends_by_itself(centre):
    mirror.offer(control=centre["control"], signature="Essai.n1:0:*:00ff", seconds=1)
    assert fetch(centre, "antivirus/agence.ndb").decode().splitlines()[-1] == "Essai.n1:0:*:00ff"
    time.sleep(1.2)
    lines = fetch(centre, "antivirus/agence.ndb").decode().splitlines()
    assert [line.split(":")[0] for line in lines] == ["Essai.Eicar", "Essai.Agence"]


def test_what_is_published_is_dated_in_the_centres_time(centre):
    """A client that is on time asks for what changed since it last came; what was published since is no older."""
    with urllib.request.urlopen(f"{centre['url']}/antivirus/agence.ndb", timeout=5) as page:
        dates = [parsedate_to_datetime(page.headers[name]).timestamp() for name in ("Last-Modified", "Date")]
    now = time.time() + int(BENCH.values["avance"])
    assert all(abs(one - now) < 5 for one in dates)


def test_the_key_on_the_workstation_is_the_mirrors(centre, tmp_path):
    armored = rendered(BENCH, FILES / "ws/miroir.asc")
    assert fetch(centre, "cle.asc").decode() == armored
    (tmp_path / "Release").write_bytes(fetch(centre, "dists/agence/Release"))
    (tmp_path / "Release.gpg").write_bytes(fetch(centre, "dists/agence/Release.gpg"))
    (tmp_path / "cle.gpg").write_bytes(dearmored(armored))
    check = ["gpgv", "--keyring", str(tmp_path / "cle.gpg"), str(tmp_path / "Release.gpg"), str(tmp_path / "Release")]
    assert subprocess.run(check, capture_output=True, check=False).returncode == 0


def dearmored(text):
    import base64

    return base64.b64decode("".join(line for line in text.split("\n\n", 1)[1].splitlines() if line[:1] not in "=-"))


def test_the_package_installs_converts_and_counts(centre, tmp_path):
    """The maintainer scripts and the program, on a folder of ours in the place of /var/lib and /usr."""
    mirror.offer(control=centre["control"], update={"version": "1.99-1", "signed": "good"}, seconds=60)
    data = tmp_path / "var/lib" / PACKAGE / "releves"
    programs = {}
    for version in (VERSION, "1.99-1"):
        (tmp_path / f"{version}.deb").write_bytes(fetch(centre, f"pool/{PACKAGE}_{version}_all.deb"))
        place = tmp_path / version
        subprocess.run(["dpkg-deb", "-R", str(tmp_path / f"{version}.deb"), str(place)], check=True)
        for script in (place / "DEBIAN/postinst", place / f"usr/bin/{PACKAGE}"):
            script.write_text(script.read_text().replace("/var/lib", str(tmp_path / "var/lib")))
        subprocess.run([str(place / "DEBIAN/postinst"), "configure"], check=True)
        programs[version] = place / f"usr/bin/{PACKAGE}"
        assert subprocess.run([str(programs[version])], check=False).returncode == 0
    assert data.read_text().startswith("format=2\n2026-01-05|08:00|21,4\n")
    assert subprocess.run([str(programs[VERSION])], check=False, capture_output=True).returncode == 1
    mirror.offer(control=centre["control"], withdraw=True)


def test_the_time_is_the_centres_and_who_asked_is_known(centre):
    before = mirror.seen(address="127.0.0.1", control=centre["control"])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
        link.settimeout(5)
        sent = bytes([0x23]) + bytes(39) + struct.pack("!II", 12345, 678)
        link.sendto(sent, ("127.0.0.1", centre["ntp"]))
        answer = link.recv(512)
    assert len(answer) == 48
    assert answer[0] == 0x24, "no leap, version 4, server"
    assert answer[24:32] == sent[40:48], "the question's own stamp comes back"
    seconds, fraction = struct.unpack("!II", answer[40:48])
    told = seconds - NTP_EPOCH + fraction / 2**32
    assert abs(told - time.time() - int(BENCH.values["avance"])) < 0.5
    after = mirror.seen(address="127.0.0.1", control=centre["control"])
    assert [kind for _, kind, _ in after].count("ntp") == [kind for _, kind, _ in before].count("ntp") + 1
    assert mirror.seen(address="10.0.0.9", control=centre["control"]) == []
