"""Every command's --help ends with examples, and what they say works when typed."""
import os
import re
import shlex
import subprocess

import pytest

import support
from support import POSTERN, run

COMMANDS = [line.split("\t")[0] for line in run([POSTERN, "--list-words"]).stdout.decode().splitlines()]
# Run until they are stopped, ask a person, or look at the network and the machine: their words are checked, and they have tests of their own.
NOT_RUN = {"domain", "init", "import", "serve", "sandbox", "demo", "login", "setup"}
MAILBOXES = """mailboxes:
  - { address: erp@contoso.com, provider: smtp, endpoint: { host: 127.0.0.1, port: 1, tls: none }, auth: password, password: "env:PW" }
  - { address: crm@contoso.com, provider: smtp, endpoint: { host: 127.0.0.1, port: 1, tls: none }, auth: password, password: "env:PW" }
routes: [{ through: sender }]
vault: { key: file:vault.key }
"""


def examples(command):
    text = run([POSTERN, command, "--help"]).stdout.decode()
    found = re.search(r"^examples?:\n((?:  .*\n)+)", text, re.M)
    assert found, f"postern {command} --help has no example"
    # Two blanks begin a remark.
    return [re.sub(r"(?<=\S)  +.*", "", line.strip()) for line in found[1].splitlines()]


def calls(line):
    """The words of each `postern` in a line of shell."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    lexer.commenters = ""
    call = []
    for word in [*lexer, ";"]:
        if not re.fullmatch(r"[|&;<>]+", word):
            call.append(word)
            continue
        # "watch -n 2 postern status"
        if call[:1] == ["watch"]:
            call = call[3:]
        if call[:1] == ["postern"]:
            yield call[1:]
        call = []


@pytest.mark.parametrize("command", COMMANDS)
def test_examples_have_words_and_options_that_exist(command):
    options = run([POSTERN, command, "--list-options"]).stdout.decode().split()
    seen = 0
    for line in examples(command):
        for words in calls(line):
            seen += 1
            assert words[0] in COMMANDS, line
            for word in words[1:]:
                if words[0] == command and word.startswith("--"):
                    assert word in options or word + "=" in options, (line, word, options)
    assert seen, f"postern {command} --help has no example with postern"


def test_examples_work_when_typed(relay, folder):
    r = relay(MAILBOXES, env={"PW": "secret"}, start=False)
    key = r.folder / "vault.key"
    key.write_bytes(run([POSTERN, "vault", "key"]).stdout)
    key.chmod(0o600)
    r.config.write_text(r.config.read_text().replace("file:vault.key", f"file:{key}"))
    r.start()
    (r.folder / "connector.key").write_text("key")
    (r.folder / "bounce.eml").write_text("Subject: Undeliverable\n\n550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found\n")
    # Not 0: what they speak of is not there, or waits for a server that is not.
    may = {"queue show": {66}, "trace --id": {66}, "check erp@contoso.com": {69, 75, 78}, "check all": {69, 75, 78},
           "doctor --repair": {75}, "health": {0, 1, 2}, "health --oldest": {0, 1, 2}, "explain": {0, 1, 65}, "plan": {0, 69},
           # The mailboxes of this relay are at a server of the test.
           "simulate --from-config": {78}}
    for command in sorted(set(COMMANDS) - NOT_RUN):
        for line in examples(command):
            for words in calls(line):
                words = [word.replace("./postern.yaml", str(r.config)) for word in words]
                if "--config" not in words and words[:2] != ["vault", "key"] and words[0] != "explain":
                    words += ["--config", str(r.config)]
                if words[:2] == ["user", "add"] and "--output" not in words:
                    words += ["--output", str(r.folder / "erp.scram")]
                done = subprocess.run([POSTERN, *words], cwd=r.folder, input=b"secret\n", stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                      timeout=support.PATIENCE, env={**os.environ, "PW": "secret"})
                allowed = {0} | may.get(" ".join(words[:2]), set()) | may.get(words[0], set())
                assert done.returncode in allowed, (line, done.returncode, done.stdout.decode())
                assert b"usage:" not in done.stdout, (line, done.stdout.decode())
