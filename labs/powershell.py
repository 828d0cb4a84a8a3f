"""How a program is given to a PowerShell: base64 on standard input, since a command line of Windows is too short."""

from __future__ import annotations

import base64

POWERSHELL = "powershell.exe"
STARTER = (
    "$code = [Text.Encoding]::UTF8.GetString([Convert]::FromBase64String(($input | Out-String).Trim()));"
    " & ([ScriptBlock]::Create($code))"
)
ARGUMENTS = ("-NoProfile", "-NonInteractive", "-ExecutionPolicy", "Bypass", "-EncodedCommand",
             base64.b64encode(STARTER.encode("utf-16-le")).decode())  # fmt: skip
"""Of a PowerShell that runs what `packed` gives on its standard input."""


def packed(program: str) -> bytes:
    """A program as ASCII, for the standard input."""
    return base64.b64encode(program.encode())


def quoted(data: str) -> str:
    """Text as an expression of PowerShell: nothing of it is read as code.

    >>> quoted("l'été")
    "([Text.Encoding]::UTF8.GetString([Convert]::FromBase64String('bCfDqXTDqQ==')))"
    """
    encoded = base64.b64encode(data.encode()).decode()
    return f"([Text.Encoding]::UTF8.GetString([Convert]::FromBase64String('{encoded}')))"
