"""The diagram names every machine, card and known address, in both forms, and is well-formed XML."""

from __future__ import annotations

from xml.etree import ElementTree

from labs.diagram import svg, text
from labs.models.lab import Lab, load_lab

ADDRESSES = {("rtr", "lan"): "10.1.2.1", ("srv", "serveurs"): "10.1.3.10"}


def test_svg_is_accessible_and_complete() -> None:
    lab = load_lab("reseau")
    root = ElementTree.fromstring(svg(lab, "fr", ADDRESSES))
    space = "{http://www.w3.org/2000/svg}"
    identifiers = {element.get("id") for element in root}
    assert set((root.get("aria-labelledby") or "").split()) <= identifiers
    words = " ".join(element.text or "" for element in root.iter(f"{space}text"))
    for expected in ("rtr", "probe (centre)", "eth3", "eth1 10.1.2.1", "eth1 10.1.3.10"):
        assert expected in words
    width, height = map(float, (root.get("viewBox") or "").split()[2:])
    for line in root.iter(f"{space}line"):
        assert 0 <= float(line.get("x1", "-1")) <= width
        assert 0 <= float(line.get("y2", "-1")) <= height


def test_text_lists_each_segment() -> None:
    lines = text(load_lab("reseau"), "en", ADDRESSES).splitlines()
    assert lines[0] == "lan  Workstations"
    assert lines[1].split() == ["├─", "rtr", "eth1", "10.1.2.1"]
    assert next(line for line in lines if "srv" in line).split() == ["├─", "srv", "eth1", "10.1.3.10"]
    assert lines[-1].split() == ["└─", "probe", "eth3", "(centre)"]


def test_markup_in_titles_is_shown_not_run_and_trunks_are_drawn() -> None:
    data = load_lab("reseau").model_dump()
    data["nodes"][0]["title"] = {"fr": "<script>", "en": "x"}
    data["nodes"][0]["nics"] = [{"trunk": {"10": "lan", "20": "wan"}}]
    lab = Lab.model_validate(data)
    drawing = svg(lab)
    assert "<script>" not in drawing
    assert "rtr    eth1" in text(lab).split("wan")[1]
