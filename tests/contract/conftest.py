"""One world a driver, with machines that several tests share."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
from drivers import DRIVERS, MAIN, Machines, World


@pytest.fixture(scope="module", params=sorted(DRIVERS))
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
    for key in (keys.a, keys.b, keys.c):
        world.text(key, f"ip link set eth1 up; ip address replace {MAIN[key.node]}/24 dev eth1")
    return keys
