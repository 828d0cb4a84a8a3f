"""What `plateau lab check` looks at: everything in a lab's files that a bench would stumble over later."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from jinja2 import TemplateError

from labs import diagram, subject
from labs.bench import Bench, compute_bench
from labs.checksource import graded_after_reboot, graded_ids, graded_needs
from labs.errors import InputError
from labs.models.faults import load_faults
from labs.models.lab import Lab, Node, Segment, Task, Training, load_lab_file
from labs.models.loader import line_of, read_yaml
from labs.models.mutants import load_mutants, mutant_files
from labs.models.profile import Profile
from labs.models.session import Candidate, Session, SessionFile
from labs.models.training import cut_down
from labs.paths import GRADERS, PLAYBOOKS
from labs.variants import ValueComputationError, render

SEEDS = 20
"""How many candidates the values are computed for."""
LANGUAGES: tuple[subject.Language, ...] = ("fr", "en")


def check_lab(file: Path) -> Lab:
    """Examine a lab.yaml and what it names.

    Raises InputError with every problem found, one line each: `file:line: field: what is wrong`.
    """
    lab = load_lab_file(file.absolute())
    problems = _Problems(file, read_yaml(file))
    worded = _check_words(lab, problems)
    _check_names(lab, problems)
    benches = _benches(lab, file, problems)
    if benches:
        _check_networks(benches, problems)
        _check_files(benches, problems)
        _check_addresses(benches, problems)
        if worded:
            _check_subjects(benches, problems)
        if not problems.lines:  # they speak of the sheet and of the values: what is wrong there comes first
            _check_sabotage(benches, problems)
    if problems.lines:
        raise InputError("\n".join(problems.lines))
    return lab


class _Problems:
    """Lines to report, each once."""

    def __init__(self, file: Path, data: Any) -> None:
        self.file = file
        self._data = data
        self.lines: list[str] = []

    def add(self, field: str, message: str, *, at: list[Any] | None = None) -> None:
        """A problem of `field` of lab.yaml; `at` leads to it when the dotted name does not."""
        loc = at if at is not None else field.split(".")
        self._append(f"{self.file}:{line_of(self._data, loc)}: {field}: {message}")

    def add_in(self, path: Path, message: str, line: int | None = None) -> None:
        """A problem of another file."""
        self._append(f"{path}{f':{line}' if line else ''}: {message}")

    def take(self, problem: InputError) -> None:
        """Problems that a loader has told already, each with its place."""
        for line in str(problem).splitlines():
            self._append(line)

    def _append(self, line: str) -> None:
        if line not in self.lines:
            self.lines.append(line)


def _check_words(lab: Lab, problems: _Problems) -> bool:
    """Every text in every language that the documents are written in; whether none is missing."""
    before = len(problems.lines)
    texts: list[tuple[list[Any], Any]] = [(["title"], lab.title), (["summary"], lab.summary)]
    texts += [(["subject_values", name], text) for name, text in lab.subject_values.items()]
    titled: dict[str, Sequence[Segment | Node | Task | Training]] = {
        "segments": lab.segments,
        "nodes": lab.nodes,
        "tasks": lab.tasks,
        "trainings": lab.trainings,
    }
    for kind, items in titled.items():
        texts += [([kind, index, "title"], item.title) for index, item in enumerate(items)]
    for loc, text in texts:
        for language in LANGUAGES:
            if not text.get(language, "").strip():
                problems.add(".".join(str(part) for part in loc), f"{language}: missing; add this text", at=loc)
    return len(problems.lines) == before


def _check_names(lab: Lab, problems: _Problems) -> None:
    """Roles, referential, checks and playbook are known elsewhere in the project."""
    from labs.images import role_names

    roles = role_names()
    for index, node in enumerate(lab.nodes):
        if node.role not in roles and node.windows is None:
            loc = ["nodes", index, "role"]
            problems.add(f"nodes.{index}.role", f"no role {node.role!r}; known: {', '.join(roles)}", at=loc)
    if not (PLAYBOOKS / lab.solution).is_file():
        problems.add("solution", f"no such playbook under playbooks/ (found {lab.solution!r})")
    for playbook in lab.alternatives:
        if not (PLAYBOOKS / playbook).is_file():
            problems.add("alternatives", f"no such playbook under playbooks/ (found {playbook!r})")
    if lab.preparation and not (PLAYBOOKS / lab.preparation).is_file():
        problems.add("preparation", f"no such playbook under playbooks/ (found {lab.preparation!r})")
    _check_trainings(lab, problems)
    rows = _referential_rows(lab, problems)
    known, rebooted = graded_ids(), graded_after_reboot()
    steady = {node.name for node in lab.graded_nodes if not (node.unix or node.windows)}
    for index, task in enumerate(lab.tasks):
        for check in task.checks:
            field, loc = f"tasks.{index}.checks.{check}", ["tasks", index, "checks", check]
            if check not in known:
                problems.add(field, "no function in graders/ has @check of this id", at=loc)
            elif rows and check.partition(".")[0] not in rows:
                problems.add(field, f"referential {lab.referential} has no such row", at=loc)
            elif stays := steady & rebooted.get(check, set()):
                message = f"is made after a reboot, and the grader does not reboot {', '.join(sorted(stays))}"
                problems.add(field, message, at=loc)


def _check_trainings(lab: Lab, problems: _Problems) -> None:
    """Their playbooks exist, and each keeps what its checks need: that need would otherwise never be looked at."""
    needs = graded_needs()
    for index, training in enumerate(lab.trainings):
        if training.preparation and not (PLAYBOOKS / training.preparation).is_file():
            message = f"no such playbook under playbooks/ (found {training.preparation!r})"
            problems.add(f"trainings.{index}.preparation", message, at=["trainings", index, "preparation"])
        kept = {check for task in training.keep(lab.tasks) for check in task.checks}
        graded = {check for task in lab.tasks for check in task.checks}
        for check in sorted(kept):
            for need in sorted(graded.intersection(needs.get(check, ())) - kept):
                message = f"{check} needs {need}, which the version leaves out; keep both, or give {check} as done too"
                problems.add(f"trainings.{index}.tasks", message, at=["trainings", index, "tasks"])


def _referential_rows(lab: Lab, problems: _Problems) -> set[str]:
    folder = GRADERS / "referentials"
    path = folder / f"{lab.referential}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(one.stem for one in folder.glob("*.yaml")))
        problems.add("referential", f"no referential {lab.referential!r}; known: {known}")
        return set()
    return _pack_rows(folder, lab.referential)


def _pack_rows(folder: Path, name: str) -> set[str]:
    """Rows of a pack and of the pack that it borrows from."""
    pack = read_yaml(folder / f"{name}.yaml")
    competences = [one for activity in pack["activities"] for one in activity["competences"]]
    mine = {str(row["id"]) for competence in competences for row in competence.get("rows", ())}
    mine |= {str(row["id"]) for row in pack.get("transversal", ())}
    return mine | _pack_rows(folder, str(pack["base"])) if "base" in pack else mine


def _benches(lab: Lab, file: Path, problems: _Problems) -> list[Bench]:
    """The benches of as many candidates as there are seeds; empty when their values cannot be computed."""
    benches = []
    for number in range(SEEDS):
        person = Candidate(id=f"c{number}", name=f"Candidate {number}")
        data = SessionFile(name="check", title="Check", lab=lab.name, seed=f"lab-check-{number}", candidates=[person])
        session = Session(file.absolute(), data, lab, Profile(), (person,))
        try:
            benches.append(compute_bench(session, person))
        except ValueComputationError as problem:
            problems.add(f"values.{problem.value}", f"cannot be computed: {problem.reason}")
            return []
        except (TemplateError, ValueError, TypeError) as problem:
            _blame_trunks(lab, problems, problem)
            return []
    _check_tags(benches, problems)
    return benches


def _trunks(lab: Lab) -> Iterator[tuple[str, list[Any]]]:
    for index, node in enumerate(lab.nodes):
        for card, nic in enumerate(node.nics):
            if nic.trunk is not None:
                yield f"nodes.{index}.nics.{card}.trunk", ["nodes", index, "nics", card, "trunk"]


def _blame_trunks(lab: Lab, problems: _Problems, problem: Exception) -> None:
    for field, loc in _trunks(lab):
        problems.add(field, f"a tag cannot be computed: {problem}", at=loc)


def _check_tags(benches: list[Bench], problems: _Problems) -> None:
    for bench in benches:
        for index, node in enumerate(bench.nodes):
            for card, nic in enumerate(node.spec.nics):
                tags = [tag for tag, _ in nic.trunk]
                for tag in tags:
                    if not 1 <= tag <= 4094 or tags.count(tag) > 1:
                        loc = ["nodes", index, "nics", card, "trunk"]
                        message = f"tag {tag} is not unique between 1 and 4094"
                        problems.add(f"nodes.{index}.nics.{card}.trunk", message, at=loc)


def _check_networks(benches: list[Bench], problems: _Problems) -> None:
    """A value named like a segment is that segment's network: those of one bench never overlap."""
    names = [segment.name for segment in benches[0].session.lab.segments if segment.name in benches[0].values]
    for bench in benches:
        networks: dict[str, ipaddress.IPv4Network | ipaddress.IPv6Network] = {}
        for name in names:
            try:
                network = ipaddress.ip_network(str(bench.values[name]))
            except ValueError as problem:
                problems.add(f"values.{name}", f"named like a segment, so it must be its network: {problem}")
                return
            for other, known in networks.items():
                if network.version == known.version and network.overlaps(known):
                    problems.add(f"values.{name}", f"{network} overlaps {other} ({known}) for some candidates")
                    return
            networks[name] = network


def _check_files(benches: list[Bench], problems: _Problems) -> None:
    """Templates of files that are put on the machines, or run there."""
    for index, node in enumerate(benches[0].nodes):
        for number, file in enumerate(node.model.files):
            path = file.source(problems.file.parent)
            if not path.is_file():
                loc = ["nodes", index, "files", number, "template"]
                problems.add(f"nodes.{index}.files.{number}.template", f"no such file: {path}", at=loc)
                continue
            text = path.read_text(encoding="utf-8")
            for bench in benches:
                _rendered(problems, path, text, bench.variables)
        windows = node.model.windows
        if windows is None or windows.setup is None:
            continue
        path = problems.file.parent / "files" / windows.setup
        if not path.is_file():
            problems.add(
                f"nodes.{index}.windows.setup", f"no such file: {path}", at=["nodes", index, "windows", "setup"]
            )
            continue
        text = path.read_text(encoding="utf-8")
        for bench in benches:
            _rendered(problems, path, text, bench.variables)


def _check_addresses(benches: list[Bench], problems: _Problems) -> None:
    """addresses.yaml: known machines on known segments, each address inside its segment's network."""
    path = problems.file.parent / "addresses.yaml"
    if not path.is_file():
        return
    data = subject.read_addresses(path)
    lab = benches[0].session.lab
    plugged = {node.name: {name for nic in node.nics for name in _segments(nic)} for node in lab.nodes}
    for node, segments in data.items():
        for segment, template in segments.items():
            line = line_of(data, [node, segment])
            if segment not in plugged.get(node, set()):
                problems.add_in(path, f"{node}.{segment}: the lab has no such machine on such a segment", line)
                continue
            for bench in benches:
                address = _rendered(problems, path, str(template), bench.values, line)
                network = bench.values.get(segment)
                if address and network and not _inside(address, str(network)):
                    problems.add_in(path, f"{node}.{segment}: {address} is not an address of {segment}", line)
                    break


def _check_sabotage(benches: list[Bench], problems: _Problems) -> None:
    """Mutants and faults: well formed, about machines and checks of the lab, rendering for every candidate."""
    lab, faults_file = benches[0].session.lab, problems.file.parent / "faults.yaml"
    try:
        load_mutants(lab)  # all files at once: an id may be used twice
        texts = [(path, one.id, [one.run or "", one.applied or ""])
                 for path in mutant_files() for one in load_mutants(lab, [path])]  # fmt: skip
        texts += [(faults_file, one.id, [one.run, one.applied, *one.call.values()])
                  for one in load_faults(lab, faults_file)]  # fmt: skip
    except InputError as problem:
        problems.take(problem)
        return
    for path, name, templates in texts:
        lines = path.read_text(encoding="utf-8").splitlines()
        line = next((number for number, text in enumerate(lines, 1) if name in text), 1)
        for template in templates:
            for bench in benches:
                _rendered(problems, path, template, bench.variables, line)


def _segments(nic: Any) -> set[str]:
    return {nic.segment} if nic.segment else set((nic.trunk or {}).values())


def _inside(address: str, network: str) -> bool:
    try:
        return ipaddress.ip_address(address) in ipaddress.ip_network(network)
    except ValueError:
        return False


def _check_subjects(benches: list[Bench], problems: _Problems) -> None:
    """The subject in French (which every lab has) and in the other languages it has."""
    lab = benches[0].session.lab
    for language in LANGUAGES:
        path = problems.file.parent / f"subject.{language}.md.j2"
        if not path.is_file():
            if language == "fr":
                problems.add_in(path, "no such file; every lab has a subject in French")
            continue
        text = path.read_text(encoding="utf-8")
        for bench in [*benches, *_versions(benches[0])]:
            values = subject.context(bench, language, diagram.text(lab, language))
            _rendered(problems, path, text, values)


def _versions(bench: Bench) -> Iterator[Bench]:
    """The same bench in each training version."""
    session = bench.session
    for training in session.lab.trainings:
        file = session.file.model_copy(update={"training": training.id})
        yield replace(bench, session=replace(session, file=file, lab=cut_down(session.lab, training)))


def _rendered(
    problems: _Problems, path: Path, template: str, values: Mapping[str, Any], line: int | None = None
) -> str | None:
    """The rendered template, or None when it cannot be rendered, which is then a problem of `path`."""
    try:
        return render(template, values)
    except Exception as problem:  # noqa: BLE001 - a template runs arbitrary expressions: any error is its author's
        found = line or getattr(problem, "lineno", None) or _template_line(problem)
        problems.add_in(path, f"cannot be rendered: {problem}", found)
        return None


def _template_line(problem: BaseException) -> int | None:
    """The line of the template in which it failed: Jinja puts it into the traceback."""
    line = None
    trace = problem.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == "<template>":
            line = trace.tb_lineno
        trace = trace.tb_next
    return line
