"""What the code prints is what the documents list: figures, alerts, reasons, fields of --json, events and parts of the log."""
import pathlib
import re

ROOT = pathlib.Path(__file__).parents[2]
OBSERVE = [f for f in sorted((ROOT / "src/observe").glob("*.c")) if not f.name.endswith("_test.c")]


def doc(name):
    """Without its blocks of shell and output."""
    return re.sub(r"^```.*?^```$", "", (ROOT / "docs" / name).read_text(), flags=re.M | re.S)


def source(name):
    return (ROOT / "src" / name).read_text()


def table(text, *heading):
    """The rows below a table's heading, each a list of cells."""
    rows = re.search("^" + re.escape("| " + " | ".join(heading) + " |") + r"\n\|[-|]+\|\n((?:\|.*\n)+)", text, re.M)
    assert rows, heading
    return [[cell.strip() for cell in line.strip()[1:-1].split("|")] for line in rows[1].splitlines()]


def words(*cells):
    """What stands in `...`."""
    return {word for cell in cells for word in re.findall(r"`([^`]+)`", cell)}


def rows_of(text):
    """Of all its tables."""
    return [line.strip()[1:-1].split("|") for line in text.splitlines() if line.startswith("|") and "---" not in line]


def same(code, documents):
    assert code, "nothing was found in the code: the pattern is out of date"
    assert code - documents == set(), "not in the documents"
    assert documents - code == set(), "not in the code"


def test_figures_of_the_health_file():
    rows = table(doc("monitoring.md"), "name", "what")
    same(set(re.findall(r"^\tFIGURE\((\w+)\)", source("observe/health_text.c"), re.M)), words(*(row[0] for row in rows)))


def test_events_of_alerts():
    rows = table(doc("monitoring.md"), "event", "what happened")
    said = re.findall(r"\.event = (.*?),\n", source("observe/alerts.c"), re.S) + re.findall(r"events\[\] = \{(.*?)\}", source("observe/alerts.c"), re.S)
    same({word for text in said for word in re.findall(r'"([a-z-]+)"', text)}, words(*(row[0] for row in rows)))


def test_reasons_of_a_disk_in_trouble():
    rows = table(doc("monitoring.md"), "reason", "what")
    names = re.search(r"store_trouble_name\(.*?\n}", source("store/store_health.c"), re.S)[0]
    same(set(re.findall(r'"([a-z-]+)"', names)) - {"none"}, words(*(row[0] for row in rows)))


def keys_of(text):
    found = re.findall(r'observe_json_(?!get)\w+\((?!\s*q->totals)\s*[\w>.-]+,\s*"(\w+)"', text)
    return set(found + re.findall(r'json_object_set(?:_new)?\((?!\s*q->totals)\s*[\w>.-]+,\s*"(\w+)"', text))


def relays_json():
    """Without the commands that make their objects themselves."""
    return re.sub(r"^## postern (plan|simulate|domain \w+)\n.*?(?=^## )", "", doc("json.md"), flags=re.S | re.M)


def test_fields_of_json():
    code = set().union(*(keys_of(f.read_text()) for f in OBSERVE))
    code |= set(re.findall(r'"(\w+)"', re.search(r"names\[QUOTA_COUNT\].*?};", source("observe/query_status.c"), re.S)[0]))
    # Of the control socket's own protocol: they are not printed.
    code -= {"type", "end", "rows", "totals", "error", "code", "finding"}
    text = relays_json()
    listed = words(*(row[-2] for row in rows_of(text)))
    checks = re.search(r'names\[\] = \{(.*?)\}', source("observe/row_json.c"), re.S)[1]
    states = {"time", "probe", "person", "--retry", "list", "summary", "ready", "waiting", "parked", "probing", "unused", "gone", "stopped"}
    missing = code - words(text)
    assert not missing, f"not in docs/json.md: {sorted(missing)}"
    unknown = listed - code - states - {"queue summary", "mailboxes"}
    assert not unknown, f"in docs/json.md, but nothing prints it: {sorted(unknown)}"
    assert set(re.findall(r'"(\w+)"', checks)) <= words(text)


def test_types_of_json():
    lines = [line for f in OBSERVE for line in re.findall(r'"type", (?!sv_from)[^;]*;', f.read_text())]
    code = {word for line in lines for word in re.findall(r'SV\("(\w+)"\)', line)}
    code |= set(re.findall(r'"(\w+)"', re.search(r"kind_names\[\] = \{(.*?)\}", source("observe/query_report.c"))[1]))
    same(code, words(*(row[0] for row in rows_of(relays_json()) if len(row) == 3)) - {"type"})


def arguments(text, at):
    """Of the call whose parenthesis is at `at`."""
    depth, out, quoted = 0, [""], False
    for i in range(at, len(text)):
        c = text[i]
        if c == '"' and text[i - 1] != "\\":
            quoted = not quoted
        depth += 0 if quoted else (c in "([{") - (c in ")]}")
        if depth == 0:
            return [part.strip(" \t\n(") for part in out]
        if c == "," and depth == 1 and not quoted:
            out.append("")
        else:
            out[-1] += c
    raise AssertionError("no end")


def test_events_and_parts_of_the_log():
    events, parts = set(), set()
    for f in sorted((ROOT / "src").glob("*/*.c")):
        if f.name.endswith("_test.c") or f.parent.name in ("simio", "io", "sandbox"):
            continue
        text = f.read_text()
        for m in re.finditer(r"\blog_(?:event|record)\(", text):
            given = arguments(text, m.end() - 1)
            parts |= set(re.findall(r'"(\w+)"', re.sub(r"SV\(.*?\)", "", given[1])))
            events |= set(re.findall(r'"((?:[^"\\]|\\.)+)"', given[3]))
        parts |= set(re.findall(r'\blog_line\(\s*LOG_\w+,\s*"(\w+)"', text))
    rows = table(doc("logs.md"), "part", "event", "when")
    same(events, words(*(row[1] for row in rows)))
    same(parts, words(*(row[0] for row in table(doc("logs.md"), "part", "line"))))


def test_each_promise_of_security_has_its_test():
    """SECURITY.md names tests, files of tests, fuzz targets and commands: each is there."""
    files = [f for folder in ("src", "tests") for f in (ROOT / folder).rglob("*") if f.suffix in (".c", ".h", ".py")]
    code = "".join(f.read_text() for f in files if "test" in f.name or f.parent.name in ("e2e", "system"))
    tests = set(re.findall(r"^(?:static void|\s*def) (\w+)\(", code, re.M))
    targets = set(re.findall(r"^([a-z][\w-]*):", (ROOT / "Makefile").read_text(), re.M))
    rows = [row for row in rows_of(doc("../SECURITY.md")) if len(row) == 3][1:]
    assert len(rows) > 30 and len(tests) > 500, "the pattern is out of date"
    for promise, _, shown in rows:
        assert shown.strip(), f"nothing shows: {promise}"
        for word in words(shown):
            there = (word in tests or word in {f.name for f in files} or word.removeprefix("make ") in targets
                     or (ROOT / "src" / f"{word}_fuzz.c").exists() or "/" in word and (ROOT / word).exists())
            assert there, f"{word}, which is said to show: {promise}"
