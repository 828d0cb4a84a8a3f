"""The address filters of the labs' templates, for playbooks: same names, same results."""

from __future__ import annotations

from typing import Any

NAMES = ("host", "netmask", "prefixlen", "network_address", "broadcast", "reverse_pointer", "reverse_zone")


class FilterModule:
    """Found by Ansible through ansible.cfg."""

    def filters(self) -> dict[str, Any]:
        from labs.variants import template_environment

        known = template_environment().filters
        return {name: known[name] for name in NAMES if name in known}
