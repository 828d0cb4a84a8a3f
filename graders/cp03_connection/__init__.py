"""CP03: physical and logical connection of the workstation."""
