"""What the grading plugin measures once more, waits for, or puts back, however the grading ends."""

from pathlib import Path

import pytest

from labs.deadline import Deadline
from tests.unit.plugin_folder import World


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


DISTURBED = '''
    COUNT = []

    @check("CP06-S5.a")
    def check_slowed(expect, probe):
        """Gêné par les autres mesures."""
        COUNT.append(1)
        disturbed = {first} if len(COUNT) == 1 else {second}
        seen = probe.call("icmp.ping", "lan", waited_by_others=disturbed)
        expect.true("réponse", "oui", "non", len(COUNT) > 1 and not {broken})
'''


@pytest.mark.parametrize(
    ("first", "second", "broken", "verdict", "measured"),
    [
        (3.0, 0.0, False, "passed", 2),  # our own doing: measured again alone, and it is there
        (3.0, 3.0, True, "failed", 2),  # never more than twice
        (0.0, 0.0, False, "failed", 1),  # a quiet measurement that failed is a failure
    ],
)
def test_what_failed_while_probes_disturbed_each_other_is_measured_once_more(
    world, first, second, broken, verdict, measured
):
    world.checks(DISTURBED.format(first=first, second=second, broken=broken))
    world.grade("--candidate", "bob", "--no-reboot")
    record = world.records()["bob", "CP06-S5.a"]
    assert str(record.verdict) == verdict
    assert sum(one.source == "probe:lan" for one in record.evidence) == measured
    assert sum(one.source == "grader" for one in record.evidence) == measured - 1
    assert len(record.comparisons) == 1


SEEN = '''
    COUNT = []

    @check("CP06-S5.a")
    def check_seen(expect, probe):
        """Voit ce qui ne doit pas être là, gêné par les autres mesures."""
        COUNT.append(1)
        probe.call("icmp.ping", "lan", waited_by_others=3.0)
        expect.{look}("second serveur", ["10.1.2.3"] if len(COUNT) == 1 else [])
'''


@pytest.mark.parametrize(("look", "verdict"), [("unseen", "failed"), ("none", "passed")])
def test_what_was_seen_is_not_looked_for_again(world, look, verdict):
    """A machine that is slow may show less the second time: what it showed once is there."""
    world.checks(SEEN.format(look=look))
    world.grade("--candidate", "bob", "--no-reboot")
    assert str(world.records()["bob", "CP06-S5.a"].verdict) == verdict


SEEN_THEN_SILENT = '''
    from graders.probe_client import ProbeError

    @check("CP06-S5.a")
    def check_seen(expect):
        """Voit ce qui ne doit pas être là, puis n'entend plus rien."""
        expect.unseen("second serveur", ["10.1.2.3"])
        raise ProbeError("nobody answers")
'''


def test_what_was_seen_is_a_failure_whatever_could_not_be_measured_after(world):
    world.checks(SEEN_THEN_SILENT)
    world.grade("--candidate", "bob", "--no-reboot")
    record = world.records()["bob", "CP06-S5.a"]
    assert (str(record.verdict), "second serveur" in record.message) == ("failed", True)


OUT_OF_TIME = '''
    from graders.expect import converge
    COUNT, FIRST = [], []

    @check("CP06-S5.a")
    def check_late(expect, probe, deadline, patience):
        """Attend, gêné par les autres mesures."""
        COUNT.append(1)
        probe.call("icmp.ping", "lan", waited_by_others=3.0 if len(COUNT) == 1 else 0.0)
        FIRST.append(deadline)
        more = deadline.remaining - FIRST[0].remaining
        expect.true("échéance", "une autre", f"{more:.1f} s de plus", len(COUNT) == 1 or more > 3)
        tries = []
        seen = converge(patience, lambda: tries.append(1) or len(tries),
                        lambda count: count > 3 and len(COUNT) > 1, 0.2)
        expect.true("là", "oui", str(seen), len(COUNT) > 1 and seen > 3)
'''


def test_a_second_measurement_has_as_long_as_the_first(world):
    """Its deadline, and its patience for what is not there at once, are its own."""
    world.checks(OUT_OF_TIME)
    world.grade("--candidate", "bob", "--no-reboot")
    record = world.records()["bob", "CP06-S5.a"]
    assert str(record.verdict) == "passed", record.comparisons
    assert sum(one.action == "mesure refaite, seule" for one in record.evidence) == 1


FAILS_ONCE = '''
    COUNT = []

    @check("CP06-S5.a")
    def check_once(expect):
        """Échoue d'abord."""
        COUNT.append(1)
        expect.true("réponse", "oui", "non", len(COUNT) > 1 and not {broken})
'''


@pytest.mark.parametrize(
    ("part", "broken", "verdict", "measured"),
    [
        (0.8, False, "passed", 2),  # the host kept a machine waiting: measured again, and it is there
        (0.8, True, "failed", 2),  # never more than twice: what is wrong stays wrong
        (0.2, False, "failed", 1),  # machines that share a processor now and then are no excuse
    ],
)
def test_what_failed_while_the_host_kept_machines_waiting_is_measured_again(world, part, broken, verdict, measured):
    world.machines(srv={"kept_waiting": part})
    world.checks(FAILS_ONCE.format(broken=broken))
    world.grade("--candidate", "bob", "--no-reboot")
    record = world.records()["bob", "CP06-S5.a"]
    assert str(record.verdict) == verdict
    told = [one.output for one in record.evidence if one.source == "grader"]
    assert len(told) == measured - 1
    assert all("srv a attendu un processeur de l'hôte" in one for one in told)


INTERRUPTED = '''
    from pathlib import Path

    @check("CP06-S5.a")
    def check_cut_short(expect, undo):
        """Écrit, puis dure."""
        trace = Path({folder!r}, "trace")
        undo("trace", lambda: trace.unlink())
        trace.touch()
        time.sleep(60)
        expect.equal("rien", 1, 1)
'''


def test_a_grading_that_is_ended_puts_back_what_its_check_wrote(world):
    """What `plateau grade` does to its graders when it is cut short."""
    world.checks(INTERRUPTED.format(folder=str(world.folder)))
    trace = world.folder / "trace"
    process = world.start("--candidate", "bob", "--no-reboot")
    Deadline.after(60).poll(lambda: trace.exists() or process.poll(), "the check at work")
    process.terminate()
    assert process.wait(30) == pytest.ExitCode.INTERRUPTED
    assert not trace.exists()


LATE = '''
    COUNT = []

    @check("CP06-S5.a")
    def check_late(expect, probe):
        """N'a pas fini à temps."""
        COUNT.append(1)
        probe.call("scan.tcp_ports", "lan", late_among={crowd} if len(COUNT) == 1 else 0)
        expect.equal("ports", "aucun", "aucun")
'''


@pytest.mark.parametrize(("crowd", "verdict"), [(2, "passed"), (1, "error")])
def test_probe_that_others_kept_from_ending_is_tried_once_more(world, crowd, verdict):
    world.checks(LATE.format(crowd=crowd))
    world.grade("--candidate", "bob", "--no-reboot")
    assert str(world.records()["bob", "CP06-S5.a"].verdict) == verdict


WAITING = '''
    from graders.expect import converge

    SEEN = []

    @check("CP06-S5.a")
    def check_waited(expect, deadline):
        """Attend un comportement."""
        pattern = {pattern!r}

        def observe():
            SEEN.append(1)
            return pattern[min(len(SEEN), len(pattern)) - 1] == "+"

        seen = converge(deadline.sooner({wait}), observe, bool, interval=0.02)
        expect.true("réponse", "oui", "oui" if seen else "non", seen)
'''


@pytest.mark.parametrize(
    ("pattern", "verdict", "intermittent", "attempts"),
    [
        ("+", "passed", False, "+"),  # there at once: measured once
        ("--+", "passed", False, "--+++"),  # late, then there for good
        ("-+-+", "passed", False, "-+-++"),  # one miss may be ours
        ("-+-+-", "failed", True, "-+-+-"),  # now and then is not there
        ("-++--", "failed", True, "-++--"),
        ("-", "failed", False, None),  # never, until the stated moment
    ],
)
def test_what_is_waited_for_must_stay_and_every_attempt_is_recorded(world, pattern, verdict, intermittent, attempts):
    world.checks(WAITING.format(pattern=pattern, wait=10 if attempts else 0.4))
    world.grade("--candidate", "bob", "--no-reboot")
    record = world.records()["bob", "CP06-S5.a"]
    assert (str(record.verdict), record.intermittent) == (verdict, intermittent)
    marks = "".join("+" if one.ok else "-" for one in record.attempts)
    assert marks == attempts if attempts else len(marks) > 5
    assert [one.at for one in record.attempts] == sorted(one.at for one in record.attempts)
    told = [one.output for one in record.evidence if one.action == "essais jusqu'à l'échéance"]
    assert len(told) == (len(marks) > 1)
    assert not told or told[0].count("\n") == len(marks) - 1
    report = (world.run / "report.html").read_text()
    assert ('<span class="phase">intermittent</span>' in report) is intermittent
    if intermittent:
        assert f"intermittent : {marks.count('+')} essais réussis sur {len(marks)}" in record.message


UNDONE = '''
    from pathlib import Path

    @check("CP06-S5.a", seconds=0.5)
    def check_writes(expect, undo):
        """Écrit, et remet."""
        for name in ("un", "deux"):
            path = Path({folder!r}) / name
            undo(name, lambda path=path: path.unlink())
            path.touch()
            with Path({folder!r}, "log").open("a") as log:
                undo("trace", lambda name=name: Path({folder!r}, "order").open("a").write(name))
        {end}
        expect.true("x", "a", "a", True)
'''


@pytest.mark.parametrize(
    ("end", "verdict", "words"),
    [
        ("pass", "passed", ""),
        ("expect.require(expect.equal('y', 1, 2))", "failed", "y"),
        ("raise RuntimeError('en route')", "error", "en route"),
        ("time.sleep(9)", "error", "0.5 s"),
        ("Path({folder!r}, 'un').unlink()", "error", "n'a pas été retiré : un ("),
        ("undo('commande', lambda: type('R', (), {{'rc': 3}}))", "error", "commande (statut 3)"),
    ],
)
def test_what_a_check_wrote_is_put_back_however_it_ends(world, tmp_path_factory, end, verdict, words):
    folder = str(tmp_path_factory.mktemp("written"))
    world.checks(UNDONE.format(folder=folder, end=end.format(folder=folder)))
    world.grade("--candidate", "bob", "--no-reboot")
    record = world.records()["bob", "CP06-S5.a"]
    assert str(record.verdict) == verdict, record.message
    assert words in record.message
    assert not Path(folder, "deux").exists()
    assert not Path(folder, "un").exists()
    assert Path(folder, "order").read_text() == "deuxun", "the last first, also when one of them fails"
