"""Serve fakepve with a least-privileged token, nodes, storages and templates; what it is to have comes on stdin.

A program: `python cluster.py FOLDER`, JSON on its standard input. It prints the port once it listens, and ends when
its standard input does.
"""

from __future__ import annotations

import asyncio
import json
import sys

from fakepve import FakePve
from fakepve.certs import make_cert


async def serve(folder: str, wanted: dict) -> None:
    pve = FakePve(host="127.0.0.1", port=0)
    pve.max_requests = 10
    pve.nodes = {name: {"online": True} for name in wanted["nodes"]}
    pve.storages = {
        name: {
            "type": "nfs" if shared else "dir",
            "active": 1,
            "content": "images,import,iso,vztmpl,backup",
            "files": set(),
            "path": f"/mnt/pve/{name}",
            "avail": 500 << 40,
            "shared": shared,
        }
        for name, shared in wanted["storages"].items()
    }
    pve.pools = {name: set() for name in wanted["pools"]}
    pve.apitokens = dict(wanted["tokens"])
    for user, path, privileges in wanted["grants"]:
        pve.grant(user, path, *privileges)
    for one in wanted["guests"]:
        vm = pve.add_vm(
            one["vmid"],
            one["name"],
            node=one["node"],
            status=one.get("status", "stopped"),
            config=one["config"],
            template=one.get("template", False),
            pool=one.get("pool"),
        )
        vm.config.setdefault("name", vm.name)
    certificate, key, _ = make_cert(folder)
    await pve.start(certificate, key)
    print(pve.port, flush=True)
    # Our parent closes its end of the pipe when it goes, however it does.
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


asyncio.run(serve(sys.argv[1], json.loads(sys.stdin.readline())))
