"""report.html passes axe-core, the accessibility linter, in a real browser: wide, narrow, in both languages."""

from __future__ import annotations

import html
import importlib.resources
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from test_report_samples import hostile, session

from graders.records import Run
from graders.report import aggregate
from graders.report.html import render

SERIOUS = {"serious", "critical"}
QUIET = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
)
RUN = """
document.querySelectorAll("details").forEach(one => { one.open = true });
axe.run(document).then(found => {
  const said = document.createElement("pre");
  said.id = "axe";
  said.textContent = JSON.stringify(found);
  document.body.append(said);
});
"""


def lint(page: str, folder: Path, width: int) -> dict[str, Any]:
    """axe-core's findings on a page, every detail of it unfolded, in a window of that many CSS pixels."""
    axe = (importlib.resources.files("axe_core_python") / "axe.min.js").read_text(encoding="utf-8")
    page = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page)  # it would forbid the linter too
    path = folder / "page.html"
    path.write_text(page.replace("</body>", f"<script>{axe}</script><script>{RUN}</script></body>"), encoding="utf-8")
    command = ["chromium", *QUIET, f"--user-data-dir={folder / 'profile'}", f"--window-size={width},900"]
    command += ["--virtual-time-budget=60000", "--dump-dom", path.as_uri()]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    said = re.search(r'<pre id="axe">(.*?)</pre>', shown, re.DOTALL)
    assert said, "the linter did not end"
    found: dict[str, Any] = json.loads(html.unescape(said.group(1)))
    return found


def serious(found: dict[str, Any]) -> list[str]:
    return [
        f"{rule['id']}: {node['html'][:200]} {node['failureSummary']}"
        for rule in found["violations"]
        if rule["impact"] in SERIOUS
        for node in rule["nodes"]
    ]


@pytest.mark.parametrize(
    ("run", "lang", "width"),
    [(session(), "fr", 1280), (session(), "en", 500), (hostile(), "fr", 500)],
    ids=["wide", "narrow", "hostile"],
)
def test_no_serious_rule_is_broken(run: Run, lang: str, width: int, tmp_path: Path) -> None:
    found = lint(render(aggregate.build(run), lang), tmp_path, width)
    assert serious(found) == []
    assert {"color-contrast", "html-has-lang", "list"} <= {rule["id"] for rule in found["passes"]}


def test_the_linter_sees_a_page_that_is_not_accessible(tmp_path: Path) -> None:
    page = render(aggregate.build(Run(session().header, session().benches[:1], [])))
    page = page.replace('<html lang="fr">', "<html>").replace("--soft: #545c66", "--soft: #c4c8cc")
    told = " ".join(serious(lint(page, tmp_path, 1280)))
    assert "html-has-lang" in told
    assert "color-contrast" in told
