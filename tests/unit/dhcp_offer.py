"""Starts dnsmasq with a folder of configurations in this network namespace, and prints what it offers on one card.

Arguments: the folder, the name of the card, its address with the length of its prefix.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time

from graders.probes import dhcp


def main(folder: str, name: str, address: str) -> None:
    lines = f"link add sonde type veth peer name {name}\nlink set {name} up\nlink set sonde up\n"
    lines += f"address add {address} dev {name}\n"
    subprocess.run(["ip", "-batch", "-"], input=lines, text=True, check=True)
    command = ["dnsmasq", "-d", "-C", "/dev/null", f"--conf-dir={folder},*.conf", "--pid-file=", "--no-ping",
               f"--dhcp-leasefile={folder}/leases"]  # fmt: skip
    server = subprocess.Popen(command, stdout=sys.stderr)
    try:
        end = time.monotonic() + 10
        while not subprocess.run(["ss", "-Hlun", "sport = :67"], capture_output=True, check=True).stdout:
            assert time.monotonic() < end
            time.sleep(0.05)
        dhcp.card = lambda: "sonde"
        print(json.dumps(dhcp.discover(count=1, linger=0.2)))
    finally:
        server.kill()
        server.wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
