"""Shell completion offers what the program takes: the words come from its own tables."""
import pathlib
import re
import shutil
import subprocess

import pytest

import support

ROOT = pathlib.Path(__file__).parents[2]


def output(*args):
    return support.run([support.POSTERN, *args]).stdout.decode()


def commands():
    return [line.split("\t")[0] for line in output("--list-words").splitlines()]


def test_every_option_that_is_listed_is_taken_and_explained():
    man = (ROOT / "docs/man/postern.8").read_text() + (ROOT / "docs/man/postern-sandbox.1").read_text()
    for command in commands():
        listed = output(command, "--list-options").split()
        assert "--help" in listed
        for option in listed:
            assert f"Fl -{option.strip('=')[2:]}" in man, f"postern {command} {option} is not in the manual"


def test_every_action_of_the_manual_is_offered():
    man = (ROOT / "docs/man/postern.8").read_text()
    for command in ("user", "vault", "setup"):
        known = set(re.findall(rf"^\.It Cm {command} ([a-z-]+)", man, re.M))
        assert known == set(output("--list-words", command).split())
    section = man[man.index(".Ss Actions of queue"):man.index(".Ss Filters of queue")]
    known = {word.strip() for line in re.findall(r"^\.It Cm ([a-z ,]+)", section, re.M) for word in line.split(",")}
    assert known == set(output("--list-words", "queue").split())


def test_actions_that_are_offered_exist():
    for command, wrong in (("queue", b"usage:"), ("user", b"usage:"), ("vault", b"usage:")):
        for action in output("--list-words", command).split():
            done = subprocess.run([support.POSTERN, command, action, "--config", "/nonexistent"], capture_output=True,
                                  stdin=subprocess.DEVNULL, timeout=support.PATIENCE)
            assert b"no action" not in done.stderr and b"unknown" not in done.stderr, (command, action, done.stderr)


def complete_bash(line):
    script = f"""
set -f
complete() {{ :; }}
source {ROOT}/packaging/completion/postern.bash
words=({line})
[[ "{line}" == *" " ]] && words+=("")
words[0]={support.POSTERN}
COMP_WORDS=("${{words[@]}}")
COMP_CWORD=$((${{#words[@]}} - 1))
_postern
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    return subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True, cwd="/").stdout.split()


def test_bash():
    assert set(commands()) <= set(complete_bash("postern "))
    assert complete_bash("postern mailb") == ["mailboxes"]
    assert "release" in complete_bash("postern queue ") and "--help" not in complete_bash("postern queue ")
    assert complete_bash("postern queue list --mail") == ["--mailbox"]
    assert "etc" in complete_bash("postern check --config ") or "/etc" in complete_bash("postern check --config /e")


@pytest.mark.parametrize("shell, file", [("zsh", "_postern"), ("fish", "postern.fish")])
def test_others_parse(shell, file):
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed")
    support.run([shell, "-n", str(ROOT / "packaging/completion" / file)])
