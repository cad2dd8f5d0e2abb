"""`tools/pictures`: runs in a terminal of 80 columns read well there, with and without colour, and for a screen reader."""
import os
import pathlib
import re
import subprocess
import xml.etree.ElementTree

import pytest

import support
from support import PATIENCE

ROOT = pathlib.Path(__file__).resolve().parents[2]
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def pictures(module_folder):
    build = pathlib.Path(support.POSTERN).parents[2]
    done = subprocess.run([ROOT / "tools" / "pictures", build, module_folder], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=8 * PATIENCE,
                          check=False)
    assert done.returncode == 0, done.stdout.decode()
    return module_folder


def test_no_colour_and_no_long_line(pictures):
    """The tool itself fails when the terminal must break a line, or when the words differ without colour."""
    for path in pictures.glob("*.txt"):
        text = path.read_text()
        assert "\x1b" not in text and max(map(len, text.split("\n"))) <= 80


def test_an_svg_is_text(pictures):
    for path in pictures.glob("*.svg"):
        root = xml.etree.ElementTree.parse(path).getroot()
        assert root.find(SVG + "title").text and root.find(SVG + "desc").text
        words = " ".join(span.text for span in root.iter(SVG + "tspan")).split()
        assert "".join(words) == "".join(path.with_suffix(".txt").read_text().split())


def test_the_page_shows_each(pictures):
    page = (ROOT / "docs" / "diagnosis.md").read_text()
    made = {p.name for p in pictures.iterdir()}
    assert made == set(re.findall(r"pictures/([\w.-]+)\)", page)) == set(os.listdir(ROOT / "docs" / "pictures"))
