"""tools/catalogue: what it refuses, with file and line, and that nothing is written then."""
import pathlib
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
TOOL = ROOT / "tools" / "catalogue"
CAUSE = """cause no-such-moon
\tverdict bounce recipient other
\towner recipient
\ttitle There is no such moon
\tfirst Ask the recipient for the current one.
"""
REPLIES = "source moon 2026-11-30 https://moon.example/\n"
ROW = 'any message 550 5.1.1 "no such moon" -> no-such-moon @moon\n'


def make(tmp_path, causes=CAUSE, replies=REPLIES + ROW):
    (tmp_path / "causes.txt").write_text(causes)
    (tmp_path / "replies.txt").write_text(replies)
    return subprocess.run([TOOL, tmp_path / "causes.txt", tmp_path / "replies.txt", "--header", tmp_path / "h", "--tables",
                           tmp_path / "c"], capture_output=True, text=True, check=False, timeout=60)


def test_a_catalogue_is_made(tmp_path):
    done = make(tmp_path)
    assert done.returncode == 0 and done.stderr == "", done
    assert "\tCAUSE_NO_SUCH_MOON,\n" in (tmp_path / "h").read_text()
    assert '"no such moon"' in (tmp_path / "c").read_text()


@pytest.mark.parametrize("causes, line, says", [
    (CAUSE.replace("\towner recipient\n", ""), 1, 'cause no-such-moon has no "owner"'),
    (CAUSE.replace("\tfirst Ask the recipient for the current one.\n", ""), 1, 'has no "first"'),
    (CAUSE.replace("\tverdict bounce recipient other\n", ""), 1, 'has no "verdict"'),
    (CAUSE.replace("bounce", "bounc"), 2, 'did you mean "bounce"?'),
    (CAUSE.replace("owner recipient", "owner nobody"), 3, "is no owner"),
    (CAUSE.replace("such moon\n\tfirst", "such moon.\n\tfirst"), 4, "no full stop"),
    (CAUSE.replace("the recipient for", "{recipiant} for"), 5, 'did you mean "recipient"?'),
    (CAUSE + CAUSE, 6, "is there already (line 1)"),
    (CAUSE + "\tfor gmial\n", 6, 'did you mean "gmail"?'),
    (CAUSE + "\tfisrt Do it.\n", 6, 'did you mean "first"?'),
])
def test_a_fault_of_a_cause(tmp_path, causes, line, says):
    done = make(tmp_path, causes)
    assert done.returncode == 1
    assert re.search(rf"causes\.txt:{line}: ", done.stderr) and says in done.stderr, done.stderr
    assert not (tmp_path / "h").exists() and not (tmp_path / "c").exists()


@pytest.mark.parametrize("row, says", [
    (ROW.replace("no-such-moon", "no-such-mon"), 'did you mean "no-such-moon"?'),
    (ROW.replace("@moon", "@mon"), 'did you mean "moon"?'),
    (ROW.replace("message", "messages"), 'did you mean "message"?'),
    (ROW.replace("550", "250"), "is no code"),
    (ROW.replace("5.1.1", "5.1"), "is no enhanced code"),
    (ROW.replace('"no such moon"', "moon"), "words stand in quotes"),
    (ROW.replace("@moon", "@moon knd=park"), "expected kind="),
    (ROW.replace("@moon", "@moon retry=5x"), "is no time"),
    ('any message * * * -> no-such-moon @moon\n', "nothing is left to match"),
    ("any message 550\n", "expected: doors steps"),
])
def test_a_fault_of_a_reply(tmp_path, row, says):
    done = make(tmp_path, replies=REPLIES + row)
    assert done.returncode == 1
    assert "replies.txt:2: " in done.stderr and says in done.stderr, done.stderr


def test_the_same_pattern_twice(tmp_path):
    done = make(tmp_path, replies=REPLIES + ROW + ROW)
    assert done.returncode == 1 and "replies.txt:3: the same pattern as in line 2" in done.stderr


def test_pages_that_are_stale_are_named():
    done = subprocess.run([TOOL, ROOT / "src/provider/causes.txt", ROOT / "src/provider/replies.txt", "--check", ROOT / "docs/errors"],
                          capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
