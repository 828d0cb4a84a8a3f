"""A Proxmox VE cluster for tests: fakepve in a process of its own, behind a proxy that adds what it does not model.

fakepve is AGPL-3.0: only `cluster.py` here imports it, and runs as a program.
"""
