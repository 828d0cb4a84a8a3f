"""Probes: one protocol a file, run on the probe machine with nothing but Python and dnspython; shipped as one zip."""
