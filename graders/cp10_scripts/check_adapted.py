"""CP10-S1 and CP10-C1: a third party's script, adapted, judged by what it does with journals nobody has seen."""

from __future__ import annotations

from graders.check import check
from graders.cp10_scripts.journal import Journals, Run, Settings, agency_settings
from graders.cp10_scripts.judging import answers, errand, judge
from graders.errand import Errand
from graders.expect import Expect
from graders.login import Login
from graders.probe_client import ProbeClient
from labs.bench import Bench
from labs.deadline import Deadline

MANY = 400
Labelled = list[tuple[str, Run]]


@check("CP10-S1.a", nodes=("srv",), seconds=420, errands=lambda bench, probe: [_ordinary(bench, probe)])
def check_adapted(bench: Bench, probe: ProbeClient, login: Login, expect: Expect, deadline: Deadline) -> None:
    """Le script adapté range les journaux de l'agence : son domaine, son dossier, ses copies, son mot à masquer.

    Plusieurs journaux inédits se suivent : lignes retenues, triées, sans doublon ni objet à masquer ; anciens résultats
    gardés, pas un de plus. Rien n'est touché hors du dossier, ni là où l'écrivait le script d'origine.
    """
    judge(ordinary_runs(bench, probe), answers(login, _ordinary(bench, probe), deadline), expect)


@check("CP10-C1.a", causes=("CP10-S1.a",), nodes=("srv",), seconds=420,
       errands=lambda bench, probe: [_awkward(bench, probe)])  # fmt: skip
def check_sturdy(bench: Bench, probe: ProbeClient, login: Login, expect: Expect, deadline: Deadline) -> None:
    """Le script adapté supporte les journaux difficiles, peut être relancé, et dit quand il échoue.

    Espaces, accents et caractères du shell, dans les lignes et dans le nom du journal ; journal vide, journal de
    centaines de lignes. Un second passage ne change rien. Un journal absent, ou un dossier à sa place, donne une erreur
    et ne change rien.
    """
    judge(awkward_runs(bench, probe), answers(login, _awkward(bench, probe), deadline), expect)


def ordinary_runs(bench: Bench, probe: ProbeClient) -> Labelled:
    """As many journals as are needed to see the oldest result leave."""
    settings = agency_settings(bench)
    journals = Journals(probe.nonce("journaux"))
    return [(f"journal {index}", Run(f"journal-{index}", journals.plain(settings), settings))
            for index in range(1, settings.copies + 3)]  # fmt: skip


def awkward_runs(bench: Bench, probe: ProbeClient) -> Labelled:
    """Each kind of difficulty, with what was there before."""
    settings: Settings = agency_settings(bench)
    journals = Journals(probe.nonce("journaux difficiles"))
    hard = journals.hard(settings)
    return [
        ("caractères difficiles", Run("journal d'été n° 1.txt", hard, settings, newline=False)),
        ("second passage", Run("journal d'été n° 1.txt", hard, settings, newline=False)),
        ("journal absent", Run("absent", None, settings)),
        ("dossier au lieu d'un journal", Run("dossier", None, settings, folder=True)),
        ("journal vide", Run("vide", [], settings)),
        (f"journal de {MANY} lignes", Run("long", journals.many(settings, MANY), settings)),
    ]


def _ordinary(bench: Bench, probe: ProbeClient) -> Errand:
    return errand(agency_settings(bench), [one.data() for _, one in ordinary_runs(bench, probe)])


def _awkward(bench: Bench, probe: ProbeClient) -> Errand:
    return errand(agency_settings(bench), [one.data() for _, one in awkward_runs(bench, probe)])
