"""The dossier: everything about one candidate in one sealed file, from which the marks can be made again offline."""

from __future__ import annotations

SUFFIX = ".dossier.zip"
RECORDS = "records.jsonl"
RESULTS = "results.json"
MANIFEST = "manifest.json"
SUMS = "MANIFEST.sha256"
SIGNATURE = "MANIFEST.sha256.minisig"
STATEMENT = "statement.dsse.json"
PUBLIC_KEY = "centre.pub"
SEAL = (SUMS, SIGNATURE, STATEMENT, PUBLIC_KEY)
"""Files that seal the others, and so are not listed in the manifest."""
FORMAT = 1


class DossierError(ValueError):
    """A dossier that cannot be made or read; the message names the file and what is wrong."""
