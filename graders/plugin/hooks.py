"""pytest's hooks: which checks are collected, how each is run, what becomes of its outcome."""

from __future__ import annotations

import contextlib
import importlib
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from graders.check import CheckSpec, spec_of
from graders.errand import busy, settle
from graders.expect import Unmet
from graders.notebook import Measurement
from graders.plugin import hookspecs, plan, quick
from graders.plugin.fixtures import renew
from graders.plugin.keys import BEGAN, BENCH_RUN, KNOWN, MEASUREMENT, REPORT, RUN
from graders.plugin.limits import TraceError, end_politely, put_back, time_limit
from graders.plugin.options import as_graded, choose_checks, choose_reboot_nodes, choose_session
from graders.plugin.recording import RecordsFile, TimeLimitError, classify
from graders.plugin.run import GradingRun, default_run_dir, note_exception
from graders.plugin.terminal import show
from graders.probe_client import ProbeError
from graders.records import Verdict
from labs.deadline import Deadline
from labs.errors import PlateauError
from labs.paths import GRADERS
from labs.sessionfiles import SessionFiles

if TYPE_CHECKING:
    from graders.probe_client import Link
    from labs.bench import Bench
    from labs.hypervisors.base import Hypervisor
    from labs.models.session import Candidate, Session

USAGE, UNMEASURED = 2, 4
CROWDED = "never alone"
ALONE_SECONDS = 900.0
"""For what is being measured to end, before a check is measured alone: somebody waits for it anyway, later."""
CONNECT_SECONDS = 30.0


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    pluginmanager.add_hookspecs(hookspecs)
    pluginmanager.register(quick, "plateau-quick")


@pytest.hookimpl(trylast=True)
def pytest_plateau_hypervisor(session: Session) -> Hypervisor:
    """The default: what the profile names."""
    from labs.hypervisors import open_hypervisor

    return open_hypervisor(session.profile)


@pytest.hookimpl(trylast=True)
def pytest_plateau_probe(hypervisor: Hypervisor, bench: Bench) -> Callable[[], Link]:
    """The default: SSH to the machine named `probe`."""
    from graders.probe_client import SshLink
    from labs.ssh import connect

    def open_link() -> Link:
        node = next(one for one in bench.nodes if one.name == "probe")
        deadline = Deadline.after(CONNECT_SECONDS)
        return SshLink(connect(hypervisor, node, SessionFiles(bench.session.folder), deadline), deadline)

    return open_link


def pytest_sessionstart(session: pytest.Session) -> None:
    """Find out what is to be graded; nothing is touched yet."""
    config = session.config
    if config.getoption("numprocesses", None) or hasattr(config, "workerinput"):
        pytest.exit("grading is not spread with -n: use --candidate, one pytest a candidate", USAGE)
    hook = config.hook
    end_politely()
    try:
        chosen = choose_session(config.getoption("session"), lambda one: hook.pytest_plateau_hypervisor(session=one))
        if config.getoption("replay"):
            chosen = as_graded(chosen, config.getoption("replay"))
        candidates = chosen.select(config.getoption("candidate"))
        checks = choose_checks(config.getoption("check"), chosen.lab)
        reboot_nodes = choose_reboot_nodes(config.getoption("reboot_node"), chosen.lab)
    except PlateauError as problem:
        pytest.exit(str(problem), USAGE)
    run_dir = config.getoption("run_dir") or default_run_dir(chosen)
    config.stash[RUN] = GradingRun(
        chosen,
        candidates,
        SessionFiles(chosen.folder),
        RecordsFile(Path(run_dir).resolve()),
        lambda one: hook.pytest_plateau_hypervisor(session=one),
        lambda hypervisor, bench: hook.pytest_plateau_probe(hypervisor=hypervisor, bench=bench),
        not config.getoption("no_reboot"),
        checks,
        reboot_nodes,
        config.getoption("replay"),
        config.getoption("record_plan"),
        config.getoption("restarted"),
        config.getoption("frozen"),
        not config.getoption("no_signs"),
    )


@pytest.fixture
def candidate(request: pytest.FixtureRequest) -> Candidate:
    """The person whose bench is graded."""
    found: Candidate = request.param
    return found


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One item a check and candidate."""
    if spec_of(metafunc.function) is None:
        pytest.fail(f"{metafunc.function.__name__}: a check needs @check(id)", pytrace=False)
    metafunc.fixturenames.append("candidate")
    candidates = metafunc.config.stash[RUN].candidates
    metafunc.parametrize("candidate", candidates, indirect=True, ids=[one.id for one in candidates])


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> Generator[None, None, None]:
    """Validate every check, leave out those that are not in the lab's sheet, put the rest in order."""
    run = config.stash[RUN]
    specs = {spec.id: spec for spec in map(item_spec, items)}
    functions = {(item_spec(item).id, item.function) for item in items if isinstance(item, pytest.Function)}
    try:
        plan.validate([spec_of(function) or _lost(name) for name, function in functions], run.session.lab,
                      complete=_is_complete(config))  # fmt: skip
        ranks = {name: rank for rank, name in enumerate(plan.order(specs.values()))}
    except PlateauError as problem:
        pytest.exit(str(problem), USAGE)
    checks = run.checks
    if config.getoption("with_needs"):
        checks = frozenset(plan.with_needs(checks, specs, plan.sheet(run.session.lab)))
    # Without the reboot its checks are left out like those of `-k`: not measured, so that marks are not final.
    wanted = {one.id for one in specs.values() if one.id in checks and (run.with_reboot or one.phase != "reboot")}
    left_out = [item for item in items if item_spec(item).id not in wanted]
    items[:] = [item for item in items if item_spec(item).id in wanted]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
    yield
    people = {one.id: rank for rank, one in enumerate(run.candidates)}
    items.sort(key=lambda item: (people[item_candidate(item).id], ranks[item_spec(item).id]))
    chosen = {item_spec(item).id for item in items}
    run.specs = [specs[name] for name in ranks if name in chosen]


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Block what cannot be assessed, reboot when its turn has come."""
    run, spec = item.config.stash[RUN], item_spec(item)
    item.stash[BEGAN] = time.monotonic()
    bench_run = run.bench_run(item_candidate(item))
    item.stash[BENCH_RUN] = bench_run
    item.stash[MEASUREMENT] = bench_run.notebook.begin(spec.seconds, spec.id)
    known = run.begin(bench_run, spec)
    if known:
        item.stash[KNOWN] = known
        pytest.skip(f"{known.verdict}: {known.message}")
    item.stash[MEASUREMENT].deadline = Deadline.after(spec.seconds)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """Run the check within its time, then weigh its expectations.

    Probes and errands run side by side and the machines may be slow. What failed while they disturbed each other, or
    while the host kept a machine waiting, is measured once more, alone: a mark must not depend on the health of the
    centre's machines. What was seen and must not be there (Expect.unseen) is not looked for again: slowness hides.
    """
    measured, spec, run = item.stash[MEASUREMENT], item_spec(item), item.stash[BENCH_RUN]
    began = run.host.look()
    try:
        with put_back(measured), time_limit(spec.seconds):
            yield
        measured.expect.conclude()
    except (Unmet, ProbeError) as first:
        reason = "d'autres la gênaient" if measured.disturbed or busy(run.login, spec.nodes) else ""
        reason = reason or run.host.slowed(began, run.notebook)
        _fail_if_certain(measured)
        if not reason:
            raise
        run.notebook.add("grader", "mesure refaite, seule", f"La première a échoué, mais {reason} : {first}", 0.0)
        try:
            _measure_alone(item, measured)
        except (PlateauError, TimeLimitError) as second:
            _keep_certain(measured, second)
            raise
    except (PlateauError, TimeLimitError) as problem:
        _keep_certain(measured, problem)
        raise


def _measure_alone(item: pytest.Item, measured: Measurement) -> None:
    """Once more, when everything else that was being measured has ended.

    Raises ProbeError when it does not end: what is measured beside it tells no more than the first time.
    """
    spec, run = item_spec(item), item.stash[BENCH_RUN]
    measured.again(ALONE_SECONDS)
    alone = settle(run.login, ALONE_SECONDS) and run.probe.at_rest(ALONE_SECONDS)
    if not alone:
        run.notebook.keep("grader", CROWDED, True)
    if not alone or run.notebook.recall_own("grader", CROWDED):
        raise ProbeError(f"other programs or probes were still at work after {ALONE_SECONDS:g} s")
    run.login.ask_again()
    with run.probe.alone():
        measured.again(spec.seconds)
        renew(item)
        with put_back(measured), time_limit(spec.seconds):
            item.runtest()
        measured.expect.conclude()


def _fail_if_certain(measured: Measurement) -> None:
    """Raise Unmet for what was seen and must not be there."""
    if measured.expect.certain:
        measured.expect.conclude()


def _keep_certain(measured: Measurement, problem: BaseException) -> None:
    """The same instead of what could not be measured beside it; but what was left on a machine must be told."""
    if not isinstance(problem, TraceError):
        _fail_if_certain(measured)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn pytest's report into a record, and the record into what pytest shows."""
    report = yield
    problem = call.excinfo.value if call.excinfo else None
    if call.when == "teardown" or (call.when == "setup" and problem is None):
        return report
    run, spec = item.config.stash[RUN], item_spec(item)
    bench_run = item.stash.get(BENCH_RUN, None)
    if bench_run is None:  # the hypervisor itself does not answer: nobody's bench was seen
        report.longrepr = f"{spec.id}: {classify(problem).message}"
        return report
    measured = item.stash.get(MEASUREMENT, None) or Measurement(0)
    outcome = item.stash.get(KNOWN, None) or classify(problem)
    if outcome.verdict is Verdict.ERROR and problem is not None:
        note_exception(measured, problem)
        with contextlib.suppress(PlateauError):
            run.look_again(bench_run)
        # A machine that the check itself restarted or switched off may be down by it, not by its candidate; and without
        # a probe nothing is seen of any machine.
        if not (bench_run.broken or measured.acted or isinstance(problem, TraceError)):
            outcome = run.node_down(bench_run, spec) or outcome
    outcome = run.explained(bench_run, spec, outcome)
    record = run.record(bench_run, spec, outcome, measured, item.stash[BEGAN])
    report.user_properties += [("check", spec.id), ("verdict", str(record.verdict))]
    show(report, item, record.verdict, outcome)
    if record.verdict in {Verdict.FAILED, Verdict.ERROR}:
        lines = [f"{spec.id} {spec.title} [{record.candidate}]", outcome.message]
        lines += [f"  - {c.label} : attendu {c.expected}, observé {c.observed}" for c in record.comparisons if not c.ok]
        report.longrepr = "\n".join(lines)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> Generator[None, None, None]:
    """Hang up, write the report, and say with the exit status whether marks are final."""
    yield
    run = session.config.stash.get(RUN, None)
    if run is None:
        return
    wrote = run.records.opened
    run.close()
    if exitstatus not in {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED}:
        session.exitstatus = UNMEASURED if exitstatus == pytest.ExitCode.INTERNAL_ERROR else exitstatus
    else:
        session.exitstatus = _exit_status(run, session)
    if wrote:
        try:
            paths = importlib.import_module("graders.report").write_all(run.records.folder)
            session.config.stash[REPORT] = f"report: {paths['report.html']}"
        except (OSError, ValueError, PlateauError) as problem:
            session.config.stash[REPORT] = f"report not written: {problem}"
    end_file = session.config.getoption("end_file")
    if end_file and wrote:
        end_file.write_text(f"{int(session.exitstatus)}\n", encoding="ascii")


def item_spec(item: pytest.Item) -> CheckSpec:
    """The spec of an item of this folder."""
    return spec_of(getattr(item, "function", None)) or _lost(item.nodeid)


def item_candidate(item: pytest.Item) -> Candidate:
    """Whose bench an item grades."""
    assert isinstance(item, pytest.Function)
    return cast("Candidate", item.callspec.params["candidate"])


def _lost(name: str) -> CheckSpec:
    raise PlateauError(f"{name}: not a check")


def _is_complete(config: pytest.Config) -> bool:
    """Whether the whole folder was asked for, so that a missing check is a mistake and not a choice."""
    return any(Path(str(one).partition("::")[0]).resolve() in {GRADERS, *GRADERS.parents} for one in config.args)


def _exit_status(run: GradingRun, session: pytest.Session) -> int:
    verdicts = [outcome.verdict for bench_run in run.benches.values() for outcome in bench_run.outcomes.values()]
    if Verdict.ERROR in verdicts or (session.testsfailed and Verdict.FAILED not in verdicts):
        return UNMEASURED
    good = {Verdict.PASSED, Verdict.NOT_APPLICABLE, Verdict.MANUAL}
    return 0 if all(verdict in good for verdict in verdicts) else 1
