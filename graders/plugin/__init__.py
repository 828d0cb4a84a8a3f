"""The pytest plugin that grades a session; loaded by graders/conftest.py and nowhere else."""
