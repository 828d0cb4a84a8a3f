"""What a machine needs right after its RAM was restored: own randomness, the right time, its own addresses.

Two clones of one RAM state return the same /dev/urandom bytes until the generator is reseeded by ioctl; writing to
/dev/urandom does not do it (random(4), RNDADDENTROPY and RNDRESEEDCRNG).
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

RNDADDENTROPY = 0x40085203
RNDRESEEDCRNG = 0x5207


# A busy guest comes to this seconds after it was written: its hardware clock, which the hypervisor keeps, tells the
# time of that moment. One that lags, or is far ahead, is not believed.
CLOCK = """
now={now} rtc=$(cat /sys/class/rtc/rtc0/since_epoch 2>/dev/null || echo 0)
[ $((rtc - now)) -ge -1 ] && [ $((rtc - now)) -le 90 ] && now=$rtc.5
date -u -s @$now >/dev/null || exit 72
"""


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
