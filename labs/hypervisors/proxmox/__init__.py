"""Proxmox VE: the production hypervisor, through its API (proxmoxer) and with a token of least privilege."""
