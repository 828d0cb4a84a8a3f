"""A proof on real machines: a mistake is seen made, caught, and the machines are gone at the end."""

from __future__ import annotations

from place import Place, document, plateau


def test_mutants(place: Place) -> None:
    """One that its check catches; and one that only a reboot could show, which is not taken for caught without it."""
    answer = plateau(
        *("prove", "reseau", "--mutant", "CP03-S2.m3", "--mutant", "CP03-S2.m2", "--no-reboot", "--repeat", "0"),
        *("--whole-suite-every", "0", "--json"),
        seconds=900,
    )
    found = document(answer, 1)
    fates = {trial["mutant"]: trial["fate"] for trial in found["trials"]}
    assert fates == {"CP03-S2.m3": "killed", "CP03-S2.m2": "unmeasured"}, found["trials"]
    assert found["solution_percent"] is not None
    assert any("persistence" in line for line in found["wrong"])
    assert place.left() == []
