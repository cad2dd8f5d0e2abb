"""The blocks of README's sections, as a reader would type them."""
import pathlib
import re

README = pathlib.Path(__file__).parents[2] / "README.md"


def section(title):
    text = README.read_text()
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", text, re.M | re.S)
    assert found, f"README has no section '{title}'"
    return found[1]


def blocks(title):
    """(language, text) of each block."""
    return re.findall(r"^```(\w*)\n(.*?)^```$", section(title), re.M | re.S)


def lines(block):
    """Whole command lines: continued ones and here-documents stay together."""
    out, rest = [], block.splitlines()
    while rest:
        line = rest.pop(0)
        while line.endswith("\\") and rest:
            line += "\n" + rest.pop(0)
        here = re.search(r"<<'?(\w+)'?", line)
        while here and rest:
            line += "\n" + rest[0]
            if rest.pop(0) == here[1]:
                break
        if line.strip() and not line.strip().startswith("#"):
            out.append(line)
    return out


def unit_for_monitoring():
    """What docs/monitoring.md adds to the unit."""
    text = (README.parent / "docs/monitoring.md").read_text()
    return re.search(r"^```\n(\[Service\]\n.*?)^```$", text, re.M | re.S)[1]
