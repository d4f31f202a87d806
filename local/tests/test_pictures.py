"""The pictures show what the templates deploy."""

import re
import xml.etree.ElementTree as ET

import pytest

from gatehouse_local import ROOT, pictures
from gatehouse_local.functions import capabilities, functions
from template_checks import dashboards

DRAWN = pictures.pictures() | dashboards.drawn()
TEXT = "{http://www.w3.org/2000/svg}text"


def texts(svg: str) -> list[str]:
    """What can be read in a picture."""
    return [element.text for element in ET.fromstring(svg).iter(TEXT)]


@pytest.mark.parametrize("path", DRAWN, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_picture_is_what_its_script_draws_and_a_readme_shows_it(path):
    assert path.read_text() == DRAWN[path], "run make pictures"
    folder = ROOT if path.parent.name == "docs" else path.parent
    assert f"]({path.relative_to(folder).as_posix()})" in (folder / "README.md").read_text()


def test_the_suite_has_each_capability_and_each_function():
    shown = texts(DRAWN[ROOT / "docs/suite.svg"])
    folders = sorted(path.name for path in (ROOT / "functions").iterdir() if (path / "template.yaml").exists())
    assert [said for said in shown if said in folders] == folders == capabilities()
    assert {function.binary for function in functions()} == {
        said for said in shown if re.fullmatch(r"[a-z]+(-[a-z]+)+", said)
    } - set(folders)


def test_nothing_is_drawn_outside():
    for path, svg in DRAWN.items():
        root = ET.fromstring(svg)
        width, height = int(root.get("width")), int(root.get("height"))
        for element in root.iter(TEXT):
            # A letter is at most 0.62 of its height wide here.
            end = float(element.get("x")) + (0 if element.get("text-anchor") else 0.56) * int(
                element.get("font-size")
            ) * len(element.text)
            assert end <= width and float(element.get("y")) <= height, (path, element.text)
