"""Programs of their own, which pytest must not import in its search for doctests."""

collect_ignore = [
    "labs/images/closure.py",  # runs in a guest's tree, with that tree's python3-apt
    "tests/e2e/child.py",
    "tests/pve_proxy/cluster.py",  # reads its orders on standard input
    "tests/unit/probes_dns_server.py",
    "tests/windows_playbooks.py",  # of an environment of its own (nox -s windows)
]
