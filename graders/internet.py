"""The centre's own Internet, on the probe: when it is down, nobody can be judged by it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graders.probe_client import ProbeError
from graders.vantage import text

if TYPE_CHECKING:
    from graders.probe_client import ProbeClient
    from labs.bench import Bench


def require(bench: Bench, probe: ProbeClient) -> None:
    """Ask the resolver and the web site from beside them. Raises ProbeError when one does not answer."""
    resolver, web = text(bench, "internet_dns"), text(bench, "internet_web")
    question = [f"www.{text(bench, 'internet_zone')}", "A"]
    answer = probe.call("dns.query", "wan", server=resolver, questions=[question], recursion=True, reuse=True)[0]
    if not answer["answered"]:
        raise ProbeError(f"the probe's own resolver {resolver} does not answer: restart plateau-internet on the probe")
    page = probe.call("http.get", "wan", url=f"http://{web}/", reuse=True)
    if page["status"] is None:
        raise ProbeError(f"the probe's own web site {web} does not answer: restart plateau-internet on the probe")
