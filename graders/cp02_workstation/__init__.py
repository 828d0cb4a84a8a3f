"""CP02: configure and update a workstation."""
