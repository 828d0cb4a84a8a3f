"""Grading: checks, the plugin that runs them, the probes they measure with, and the reports of what they saw."""
