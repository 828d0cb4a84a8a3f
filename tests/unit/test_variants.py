"""Values of a candidate: stable for ever, in range, independent of what else a lab draws."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import bench_of, session_of

from labs.bench import compute_bench, compute_benches
from labs.errors import InputError
from labs.models.lab import Integer, Lab, load_lab
from labs.variants import TOKEN_ALPHABET, draw_values, mac_address, token

VECTORS = json.loads((Path(__file__).parent / "vectors.json").read_text(encoding="utf-8"))
SEEDS = st.text(min_size=8, max_size=20)
IDS = st.from_regex(r"[a-z0-9][a-z0-9-]{0,12}", fullmatch=True)
DRAWS = {
    "nombre": {"draw": "integer", "min": 3, "max": 17},
    "mot": {"draw": "choice", "among": ["un", "deux", "trois"]},
    "jeton": {"draw": "token", "length": 40},
}


RESEAU = load_lab("reseau").model_dump()


def lab_with(values: dict[str, object]) -> Lab:
    return Lab.model_validate({**RESEAU, "values": values, "subject_values": {}})


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: f"{vector['seed']}-{vector['candidate']}")
def test_vectors(vector: dict[str, object]) -> None:
    """A change here gives other values to the candidates of sessions that exist: never edit the vectors."""
    bench = bench_of(str(vector["candidate"]), seed=str(vector["seed"]))
    assert {name: bench.values[name] for name in vector["values"]} == vector["values"]
    assert bench.password == vector["password"]


@given(SEEDS, IDS)
def test_values_are_in_range(seed: str, candidate: str) -> None:
    values = draw_values(lab_with(DRAWS), seed, candidate)
    assert 3 <= int(values["nombre"]) <= 17
    assert values["mot"] in {"un", "deux", "trois"}
    assert len(str(values["jeton"])) == 40
    assert set(str(values["jeton"])) <= set(TOKEN_ALPHABET)


@given(SEEDS, IDS, st.permutations(list(DRAWS)), st.sets(st.sampled_from(["a", "b", "c"])))
def test_order_and_added_values_change_nothing(seed: str, candidate: str, order: list[str], added: set[str]) -> None:
    plain = draw_values(lab_with(DRAWS), seed, candidate)
    other = {**{name: {"draw": "token", "length": 8} for name in added}, **{name: DRAWS[name] for name in order}}
    again = draw_values(lab_with(other), seed, candidate)
    assert {name: again[name] for name in plain} == plain


@given(SEEDS, st.integers(min_value=4, max_value=64))
def test_tokens_differ_by_label(seed: str, length: int) -> None:
    one, two = token(seed, "a", 16), token(seed, "b", 16)
    assert one != two
    assert token(seed, "a", length)[:16] == one[:length]


def test_every_number_of_a_range_is_drawn() -> None:
    lab = lab_with({"n": Integer(draw="integer", min=1, max=6).model_dump()})
    assert {draw_values(lab, "graine-des-essais", f"c{number}")["n"] for number in range(200)} == {1, 2, 3, 4, 5, 6}


def test_value_that_cannot_be_computed_is_named() -> None:
    with pytest.raises(InputError, match=r"values\.b: cannot be computed: 'nul' is undefined"):
        draw_values(lab_with({"a": "x", "b": "{{ nul }}"}), "graine-des-essais", "alex")


def test_macs_are_ours_and_differ() -> None:
    macs = {mac_address("session", "alex", "rtr", str(card)) for card in range(50)}
    assert len(macs) == 50
    assert all(mac.startswith("52:54:00:") and len(mac) == 17 for mac in macs)


def test_a_bench_is_computed_the_same_twice() -> None:
    assert bench_of("alex") == bench_of("alex")


def test_benches_differ_between_candidates_and_sessions() -> None:
    session = session_of("alex", "sam")
    alex, sam = compute_benches(session)
    assert alex.values != sam.values
    assert alex.password != sam.password
    elsewhere = compute_bench(session_of("alex", path=Path("/elsewhere/session.yaml")), session.candidates[0])
    assert elsewhere.values == alex.values
    macs = [nic.mac for bench in (alex, sam, elsewhere) for node in bench.nodes for nic in node.spec.nics]
    assert len(set(macs)) == len(macs)
