"""What a machine needs right after its RAM was restored: own randomness, the right time, its own addresses.

Two clones of one RAM state return the same /dev/urandom bytes until the generator is reseeded by ioctl; writing to
/dev/urandom does not do it (random(4), RNDADDENTROPY and RNDRESEEDCRNG).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence

from labs.deadline import Deadline
from labs.errors import DeadlineError, HypervisorError, NotRenewedError
from labs.hypervisors.base import ExecResult, NodeKey

RNDADDENTROPY = 0x40085203
RNDRESEEDCRNG = 0x5207


# A busy guest comes to this seconds after it was written: its hardware clock, which the hypervisor keeps, tells the
# time of that moment. One that lags, or is far ahead, is not believed.
CLOCK = """
now={now} rtc=$(cat /sys/class/rtc/rtc0/since_epoch 2>/dev/null || echo 0)
[ $((rtc - now)) -ge -1 ] && [ $((rtc - now)) -le 90 ] && now=$rtc.5
date -u -s @$now >/dev/null || exit 72
"""


RENEW_SECONDS = 240.0
"""How long a machine that is back at a snapshot is asked: its candidate may have stopped the guest agent before."""


def renew(key: NodeKey, macs: Sequence[str], ask: Callable[[bytes, Deadline], ExecResult], deadline: Deadline) -> None:
    """Have `ask` run the script in the guest. Raises NotRenewedError when nobody there does it."""
    try:
        result = ask(script(macs).encode(), deadline)
    except (HypervisorError, DeadlineError) as problem:
        raise NotRenewedError(f"{key}: randomness and clock could not be renewed: {problem}") from None
    if result.exit_status:
        reason = result.stderr.decode("utf-8", "replace").strip()
        raise NotRenewedError(f"{key}: randomness and clock could not be renewed: {reason}")


def script(macs: Sequence[str]) -> str:
    """A shell script for the guest: reseed, set the clock, give eth1.. these MAC addresses (none: leave them)."""
    entropy = os.urandom(64).hex()
    lines = [
        "perl -e '"
        f'my $e = pack("H*", "{entropy}"); open(my $f, "+<", "/dev/urandom") or die; '
        f'ioctl($f, {RNDADDENTROPY}, pack("ii", 8 * length $e, length $e) . $e) or die; '
        f"ioctl($f, {RNDRESEEDCRNG}, 0) or die' || exit 71",
        CLOCK.format(now=int(time.time())),
    ]
    if macs:
        cards = "\\n".join(f"link set eth{index} address {mac}" for index, mac in enumerate(macs, 1))
        lines.append(f"printf '{cards}\\n' | ip -batch - || exit 73")
    return "\n".join(lines) + "\n"
