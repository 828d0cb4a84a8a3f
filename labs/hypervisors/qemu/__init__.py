"""The QEMU driver: benches on this machine, without root and without a daemon."""
