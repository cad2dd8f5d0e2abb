"""Replies as people paste them (tests/replies/*.tsv): meaning, class, scope and owner, as an argument, in a log and in a bounce.

With POSTERN_CORPUS, or a folder shared/corpus beside the project, the replies that others collected are judged, too.
"""
import concurrent.futures
import json
import os
import pathlib
import re
import subprocess

import pytest

import support

ROOT = pathlib.Path(__file__).resolve().parents[2]


def explain(text):
    done = subprocess.run([support.POSTERN, "explain", "--json", "-"], input=text, text=True, capture_output=True, check=False,
                          timeout=60)
    return [json.loads(line) for line in done.stdout.splitlines()]


def read(path):
    for line in path.read_text().splitlines():
        if line and not line.startswith("#"):
            row = line.split("\t")
            assert len(row) == 7, (path, line)
            yield row


def fault(row, x):
    """Why the meaning is not right; None when it is."""
    _, want, classes, scopes, owners, never, _ = row
    said = "\n".join([x["title"], x["summary"], *x["steps"], *x["powershell"]])
    if x["class"] not in classes.split("|"):
        return f"class {x['class']}"
    if not x["known"]:
        return "not known"
    if never and re.search(never, said, re.I):
        return f"says {never}"
    if not re.search(want, said, re.I):
        return "does not say what is wrong"
    if (scopes != "*" and x["scope"] not in scopes.split("|")) or (owners != "*" and x["owner"] not in owners.split("|")):
        return f"{x['scope']}, {x['owner']}"
    return None


def judge(rows, dress=lambda text: text):
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda row: explain(dress(row[0].replace("\\n", "\n"))), rows))
    faults = [(row[6], fault(row, xs[0]) if xs else "nothing") for row, xs in zip(rows, found)]
    return [(name, why) for name, why in faults if why]


@pytest.mark.parametrize("path", sorted((ROOT / "tests" / "replies").glob("*.tsv")), ids=lambda p: p.name)
def test_every_reply_has_its_meaning(path):
    rows = list(read(path))
    assert rows and judge(rows) == []


def collected():
    named = os.environ.get("POSTERN_CORPUS")
    for folder in [named] if named else [ROOT.parent / "shared/corpus", ROOT.parent.parent / "shared/corpus"]:
        if folder and (pathlib.Path(folder) / "replies/open.tsv").is_file():
            return pathlib.Path(folder) / "replies/open.tsv"
    return None


def test_replies_that_others_collected():
    path = collected()
    if not path:
        pytest.skip("no corpus/replies beside the project (POSTERN_CORPUS names its folder)")
    rows = list(read(path))
    assert judge(rows) == [] and len(rows) >= 97


# Replies of servers only: what they say stands in a log or a report just so.
def replies_of_servers(path):
    return [r for r in read(path) if re.match(r"[45]\d\d[ -]", r[0]) and "\\n" not in r[0] and " -> " not in r[0]]


def test_the_same_in_a_log():
    rows = replies_of_servers(ROOT / "tests/replies/field.tsv")

    def dress(text):
        return ("Nov 30 03:00:01 mail postfix/smtp[12]: 4XyZ: to=<anna@example.org>, relay=smtp.example.org[192.0.2.1]:587, delay=1, "
                f"dsn=5.0.0, status=bounced (host smtp.example.org[192.0.2.1] said: {text})\n")

    wrong = [(name, why) for name, why in judge(rows, dress) if why.startswith("class") or why == "nothing"]
    assert len(rows) > 15 and wrong == []
