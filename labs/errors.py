"""Errors that reach the user as one line, each with the exit code the CLI returns for it."""

from __future__ import annotations


class PlateauError(Exception):
    """Something a user can act on: one line that says what, where, and the way out."""

    exit_code = 1


class InputError(PlateauError):
    """The user's input is wrong: a file, an option, a name (exit code 2)."""

    exit_code = 2


class EnvironmentLackError(PlateauError):
    """The machine or the hypervisor lacks something; `plateau doctor` tells what (exit code 3)."""

    exit_code = 3


class DeadlineError(PlateauError):
    """A wait ended before what it waited for (exit code 1)."""


class InterruptedRunError(PlateauError):
    """Ctrl-C or SIGTERM: the rest was left; the command can be run again (exit code 130)."""

    exit_code = 130


class HypervisorError(PlateauError):
    """The hypervisor refused or failed an operation (exit code 1)."""


class NotRenewedError(HypervisorError):
    """A machine is back at a snapshot with the clock and the randomness of then: nobody in it answers (exit code 1)."""


class NotMeasuredError(PlateauError):
    """A grading ended without measuring somebody (exit code 4)."""

    exit_code = 4
