"""The manners of the command line: errors, guesses, --json, and examples that work."""
import json
import pathlib
import re
import shlex

import pytest

import support
from support import POSTERN, run

MAN = pathlib.Path(__file__).parents[2] / "docs" / "man"
COMMANDS = re.findall(r"^  ([a-z]+) +\S", run([POSTERN, "--help"]).stdout.decode().split("\nexamples:")[0], re.M)
ASKS = {"status", "mailboxes", "queue", "trace", "report"}  # what the daemon answers: run as they are


def help_of(command):
    return run([POSTERN, command, "--help"]).stdout.decode()


def examples():
    for command in COMMANDS:
        text = help_of(command)
        part = text.split("example", 1)[1] if "\nexample" in text else ""
        yield from ((command, line.strip()) for line in part.splitlines() if "postern " in line)
    for page in sorted(MAN.glob("*.[158]")):
        text = page.read_text()
        for block in re.findall(r"^\.Bd -literal.*?\n(.*?)^\.Ed", text, re.M | re.S):
            yield from ((page.name, line.strip().replace("\\-", "-")) for line in block.splitlines() if line.startswith("postern "))


def words_of(line):
    """The arguments of the first `postern` in a line of shell, without comments and what comes after a pipe."""
    part = []
    for word in [*shlex.split(line.replace(";", " ; "), comments=True), ";"]:
        if word not in ("|", ">", "<", "&&", ";"):
            part.append(word)
            continue
        # `systemctl stop postern` only names it.
        if "postern" in part[:-1]:
            return part[part.index("postern") + 1:]
        part = []
    return []


def causes():
    rows = [json.loads(x) for x in run([POSTERN, "explain", "--catalogue", "--json"]).stdout.decode().splitlines()]
    return {r["cause"] for r in rows}


def test_every_example_names_what_exists(submission):
    sandbox, relay = submission()
    known, faults, tried = causes(), [], 0
    for where, line in examples():
        # Columns of help: the words after two spaces say what the line does.
        words = words_of(re.split(r"(?<=\S) {3,}", line)[0])
        if not words or words[0].startswith("--"):
            continue
        command = words[0]
        if command not in COMMANDS:
            faults.append(f"{where}: {line}: no such command")
            continue
        text = help_of(command) + help_of("check")
        for word in words[1:]:
            if word.startswith("--") and word.split("=")[0] not in text:
                faults.append(f"{where}: {line}: {word} is not in the help")
        if "--reason" in words and words[words.index("--reason") + 1] not in known:
            faults.append(f"{where}: {line}: no such cause")
        if command in ASKS:
            tried += 1
            done = run([POSTERN, *words, "--config", str(relay.config)], code=None)
            # 66: there is no message of this id here. An id that could not be one is a usage error.
            if done.returncode not in (0, 66, 68, 69):
                faults.append(f"{where}: {line}: {done.returncode} {done.stderr.decode()}")
    for where in ("queue", "trace"):
        named = re.findall(r"--reason CAUSE .*?: ([a-z, -]+)", help_of(where))
        faults += [f"{where}: {c}: no such cause" for c in ", ".join(named).split(", ") if c.strip() and c not in known]
    assert not faults, "\n".join(faults)
    assert tried >= 10


@pytest.mark.parametrize("words, guess", [
    (["stauts"], "did you mean `postern status`?"),
    (["mailboxs"], "did you mean `postern mailboxes`?"),
    (["queue", "list", "--sendr", "x"], "did you mean --sender?"),
    (["queue", "list", "--sendr=x"], "did you mean --sender?"),
    (["trace", "--untill", "1d"], "did you mean --until?"),
    (["queue", "lsit"], "did you mean list? Actions: "),
])
def test_misspelt_words_are_guessed(words, guess):
    done = run([POSTERN, *words], code=64)
    assert guess in done.stderr.decode() and done.stdout == b""


def test_what_is_far_from_all_is_not_guessed():
    text = run([POSTERN, "xyzzy"], code=64).stderr.decode()
    assert "did you mean" not in text and "postern --help" in text


@pytest.mark.parametrize("command", COMMANDS)
def test_json_errors_are_objects_or_json_is_refused(command, folder):
    # What Nagios asks has its own codes: 3 is "unknown".
    done = run([POSTERN, command, "--json", "--nonsense", "--config", str(folder / "missing.yaml")],
               code=3 if command == "health" else 64)
    rows = [json.loads(line) for line in done.stderr.decode().splitlines()]
    assert [r["code"] for r in rows] == [64] and "--" in rows[0]["error"], rows
    assert done.stdout == b""


def test_json_errors_of_the_daemon_and_of_the_file(submission, folder):
    sandbox, relay = submission()
    done = run([POSTERN, "queue", "show", "00000000000", "--json", "--config", str(relay.config)], code=66)
    assert json.loads(done.stderr) == {"error": "there is no message with this id", "code": 66}
    bad = folder / "bad.yaml"
    bad.write_text("nonsense: true\n")
    done = run([POSTERN, "status", "--json", "--config", str(bad)], code=78)
    rows = [json.loads(line) for line in done.stderr.decode().splitlines()]
    assert any("nonsense" in r.get("finding", "") for r in rows) and rows[-1]["code"] == 78


def test_a_refused_reload_fails_and_is_logged(submission):
    sandbox, relay = submission()
    good = relay.config.read_text()
    # The daemon alone can see that this one is taken.
    with __import__("socket").socket() as taken:
        port = support.free_port()
        taken.bind(("127.0.0.1", port))
        taken.listen()
        relay.config.write_text(good.replace("listeners:\n", f"listeners:\n  - address: 127.0.0.1:{port}\n", 1))
        done = run([POSTERN, "reload", "--config", str(relay.config)], code=78)
    assert str(port).encode() in done.stderr
    support.wait_for(lambda: re.search(rf"postern/serve\[\d+\]: error: .*{port}", relay.log()))
    support.wait_for(lambda: "the old one stays in force" in relay.log())


def test_a_daemon_that_runs_answers_whatever_the_file_says(submission):
    """Somebody edits the file, badly: status still tells what goes on, and a refused reload is in the log."""
    sandbox, relay = submission()
    good = relay.config.read_text()
    relay.config.write_text(good + "\nnonsense: true\n")
    done = run([POSTERN, "status", "--config", str(relay.config)])
    assert b"relay.example.com" in done.stdout and b"nonsense" in done.stderr
    done = run([POSTERN, "reload", "--config", str(relay.config)], code=78)
    assert done.stderr.count(b"unknown key 'nonsense'") == 1
    support.wait_for(lambda: re.search(r"postern/serve\[\d+\]: error: .*nonsense", relay.log()))
    relay.config.write_text(good)
    run([POSTERN, "reload", "--config", str(relay.config)])
    support.wait_for(lambda: "configuration reloaded" in relay.log())
    relay.config.write_text(good + "\nnonsense: true\n")
    relay.stop()
    done = run([POSTERN, "status", "--config", str(relay.config)], code=78)
    assert b"nonsense" in done.stderr and done.stdout == b""


def test_a_failed_start_is_in_the_log_with_its_level(folder):
    bad = folder / "bad.yaml"
    bad.write_text("nonsense: true\n")
    with open(folder / "log", "wb") as log:
        support.subprocess.run([POSTERN, "serve", "--config", str(bad)], stderr=log, timeout=60)
    lines = (folder / "log").read_text().splitlines()
    assert lines and all(re.match(r"\d{4}-\d\d-\d\dT[\d:.]+[+-]\d\d:\d\d \S+ postern/serve\[\d+\]: (error|warning): ", x) for x in lines), lines
