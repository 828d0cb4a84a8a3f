"""CP07: secured network infrastructure (filtering, address translation, firewall)."""
