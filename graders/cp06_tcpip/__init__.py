"""CP06: TCP/IP network infrastructure (addressing, routing, DHCP, DNS)."""
