"""The page docs/validity/<lab>.md, written from a proof's JSON and from nothing else. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any


def page(data: Mapping[str, Any], machine: Mapping[str, str]) -> str:
    """The page of one proof; `machine` says where, when and with what it ran."""
    return "\n".join(_lines(data, machine)) + "\n"


def page_name(data: Mapping[str, Any]) -> str:
    """Of the page and of the JSON beside it, without their suffix."""
    return "-".join(filter(None, (data["lab"], data.get("training"))))


def _lines(data: Mapping[str, Any], machine: Mapping[str, str]) -> Iterator[str]:
    training = data.get("training")
    option, version = (f" --training {training}", f", training version `{training}`") if training else ("", "")
    yield f"# Validity of the lab `{data['lab']}`{version}"
    yield ""
    name = page_name(data)
    yield f"Written by `plateau prove {data['lab']}{option} --write` from `{name}.json`; not edited by hand."
    yield ""
    yield from _table(("What", "Value"), machine.items())
    yield ""
    yield "## Figures"
    yield ""
    mutants, faults, alternatives = data["mutants"], data["faults"], data["alternatives"]
    yield from _table(
        ("Figure", "Found", "Wanted"),
        (
            ("Seeds", data["seeds"], ""),
            ("Checks", data["checks"], ""),
            ("Points of the untouched bench", _shown(data["pristine_points"]), "0"),
            ("Points of the solution, lowest", _shown(data["solution_percent"], " %"), "100 %"),
            ("Alternatives that get every point", _of(alternatives["passed"], alternatives["failed"]), "all"),
            ("Mutants killed", _of(mutants["killed"], sum(mutants.values()) - mutants["killed"]
                                   - mutants["equivalent"]), "all"),
            ("Mutants that nobody could tell (argued below)", mutants["equivalent"], ""),
            ("Mutants that reddened only their own checks", _shown(data["specificity_percent"], " %"), "≥ 95 %"),
            ("Faults that turn their checks red", _of(faults["killed"], sum(faults.values()) - faults["killed"]),
             "all"),
            ("Checks that changed their mind", data["flakes"], "0"),
            ("Time", f"{data['seconds'] / 60:.1f} min", ""),
            ("Taken up after an interruption", f"{data['resumed']}×", ""),
        ),
    )  # fmt: skip
    yield ""
    yield "## What is not as it should be"
    yield ""
    yield from [f"- {line}" for line in data["wrong"]] or ["Nothing."]
    yield ""
    yield "## Mutants"
    yield ""
    yield from _table(("Mutant", "Machine", "The mistake", "Must turn red", "Fate"), _tried(data, "mutant"))
    yield ""
    if at_once := [name for name, mutant in data["mutant_list"].items() if not mutant["restart"]]:
        yield (
            "Their checks are made after a restart, and these mutants need none of their own to be seen: they were "
            f"made on a solved bench that had been restarted. {', '.join(at_once)}."
        )
        yield ""
    if data["fault_list"]:
        yield "## Faults"
        yield ""
        yield "Breakdowns for break/fix work: while one is there, none of its checks passes."
        yield ""
        yield from _table(("Fault", "Machine", "What is broken", "Must turn red", "Fate"), _tried(data, "fault"))
        yield ""
    yield "## Gradings"
    yield ""
    rows = ((one["seed"], one["state"], f"{one['points']:g} / {one['max_points']:g}", f"{one['seconds']:.0f} s")
            for one in data["gradings"])  # fmt: skip
    yield from _table(("Seed", "State", "Points", "Time"), rows)


def _tried(data: Mapping[str, Any], kind: str) -> Iterator[tuple[str, ...]]:
    for name, mutant in data[f"{kind}_list"].items():
        trials = [trial for trial in data["trials"] if trial["mutant"] == name]
        fates = [trial["fate"].replace("_", " ") + " at the second trial" * bool(trial["first"]) for trial in trials]
        told = mutant["equivalent"] or ", ".join(f"{fate} {fates.count(fate)}×" for fate in dict.fromkeys(fates))
        yield name, mutant["node"], mutant["mistake"], ", ".join(mutant["kills"]), told or "not tried"


def _table(head: Sequence[str], rows: Any) -> Iterator[str]:
    yield "| " + " | ".join(head) + " |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield "| " + " | ".join(str(cell).replace("|", "\\|").replace("\n", " ") for cell in row) + " |"


def _shown(value: float | None, unit: str = "") -> str:
    return "not measured" if value is None else f"{value:g}{unit}"


def _of(good: int, bad: int) -> str:
    return f"{good} of {good + bad}"
