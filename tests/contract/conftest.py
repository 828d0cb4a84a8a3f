"""One world a driver, with machines that several tests share."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
from drivers import DRIVERS, MAIN, WITH_GUESTS, Machines, World


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "guests: looks into a guest's system, so it runs where there is one")
    config.addinivalue_line("markers", "only(driver): about something that only this driver has")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every test on every driver, but for what a driver cannot have."""
    if "world" not in metafunc.fixturenames:
        return
    only = metafunc.definition.get_closest_marker("only")
    names = sorted(WITH_GUESTS if metafunc.definition.get_closest_marker("guests") else DRIVERS)
    metafunc.parametrize("world", list(only.args) if only else names, indirect=True, scope="module")


@pytest.fixture(scope="module")
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A driver; whatever the tests leave behind is deleted, and then must be gone."""
    with DRIVERS[request.param](tmp_path_factory.mktemp(request.param)) as made:
        specs = [made.spec(made.key("a"))]
        if made.hypervisor.missing(specs):
            made.hypervisor.prepare(specs, lambda what, step: print(f"{what}: {step}", file=sys.stderr))
        try:
            yield made
        finally:
            sessions = {status.key.session for status in made.hypervisor.list_nodes()} | {made.session}
            for session in sessions:
                made.destroy(session)
        assert [made.hypervisor.leftovers(session) for session in sessions] == [[] for _ in sessions]


@pytest.fixture(scope="module")
def machines(world: World) -> Machines:
    keys = Machines(*(world.key(name) for name in MAIN))
    world.bring_up(
        world.spec(keys.a),
        world.spec(keys.b),
        world.spec(keys.c, segment="wan"),
        world.spec(keys.t, trunk=((10, "lan"), (20, "wan"))),
    )
    for key in (keys.a, keys.b, keys.c) if world.guests else ():
        world.text(key, f"ip link set eth1 up; ip address replace {MAIN[key.node]}/24 dev eth1")
    return keys
