"""Upstream servers that break the protocol, never end, or attack whoever reads their words. One daemon has all of them at once; it
lives, stays small, says of each what became of the mail, and a good server beside them gets its own."""
import contextlib
import time

import pytest

from hostile import Hostile, cut, memory_peak
from support import wait_for
from wire import Wire

ESC = "\x1b]0;pwned\x07\x1b[2J\x9b31m\u202eX\x7f\x08\"\\'<b>&`$(id)\u2028".encode()
ENDLESS_MAX = 64 << 20
MEMORY_MAX = 100  # MB


def forever(piece):
    """Until the relay hangs up. What it never ends to read would be read for minutes."""
    def run(file):
        for _ in range(ENDLESS_MAX // len(piece)):
            file.write(piece)
        raise AssertionError("nobody hung up")
    return run


def slowly(words):
    def run(file):
        for n in range(len(words)):
            file.write(words[n:n + 1])
            time.sleep(0.02)
    return run


# step, pieces, and what becomes of the mail: "delivered", "waits" or "bounced"
CASES = {
    "a greeting without an end": ("greet", [forever(b"220-" + b"x" * 400 + b"\r\n")], "waits"),
    "a greeting that is one line": ("greet", [b"220 ", forever(b"A" * 4000)], "waits"),
    "a greeting that attacks": ("greet", [b"554 5.7.1 " + ESC + b"\r\n"], "waits"),
    "a binary greeting": ("greet", [bytes(range(256)) * 4 + b"\r\n"], "waits"),
    "all answers before the questions": ("greet", [b"220 x\r\n250 e\r\n250 m\r\n250 r\r\n354 d\r\n250 2.0.0 delivered\r\n"], "waits"),
    "EHLO without an end": ("ehlo", [forever(b"250-AUTH LOGIN\r\n" * 30)], "waits"),
    "EHLO of 60 KB": ("ehlo", [b"".join(b"250-X%05d\r\n" % n for n in range(5000)) + b"250 OK\r\n"], "delivered"),
    "a SIZE beyond numbers": ("ehlo", [b"250-s\r\n250-SIZE 99999999999999999999999\r\n250 PIPELINING\r\n"], "delivered"),
    "a negative SIZE": ("ehlo", [b"250-s\r\n250-SIZE -1\r\n250 PIPELINING\r\n"], "delivered"),
    "a SIZE of 1": ("ehlo", [b"250-s\r\n250-SIZE 1\r\n250 PIPELINING\r\n"], "bounced"),
    "MAIL 354": ("mail", [b"354 go\r\n"], "waits"),
    "MAIL 000": ("mail", [b"000 x\r\n"], "waits"),
    "MAIL with NUL": ("mail", [b"200 \0\0\0\r\n"], "waits"),
    "MAIL 5xx that attacks": ("mail", [b"550 5.1.0 " + ESC + b"\r\n"], "waits"),
    "MAIL very slowly": ("mail", [slowly(b"250 2.1.0 " + b"x" * 40 + b"\r\n")], "delivered"),
    "RCPT 5xx that attacks": ("rcpt", [b"550 5.1.1 " + ESC + b"\r\n"], "bounced"),
    "RCPT that attacks line by line": ("rcpt", [b"550-5.1.1 a\x1b[2J\r\n550-5.1.1 b\x07\r\n550 5.1.1 c\0d\r\n"], "waits"),
    "RCPT that writes a log line": ("rcpt", [b"550 5.1.1 x\nfake: postern/inbound[1]: accepted\r\n"], "bounced"),
    "RCPT with a bare CR": ("rcpt", [b"550 5.1.1 x\rFAKE\r\n"], "waits"),
    "RCPT with two codes": ("rcpt", [b"250-a\r\n550 b\r\n"], "waits"),
    "RCPT 999": ("rcpt", [b"999 x\r\n"], "waits"),
    "DATA 250": ("data", [b"250 ok\r\n"], "waits"),
    "DATA 421": ("data", [b"421 4.3.2 bye\r\n", cut], "waits"),
    "DATA with the final answer": ("data", [b"354 go\r\n250 2.0.0 delivered\r\n"], "waits"),
    "the end with 60 KB": ("dot", [b"250 2.0.0 " + b"A" * 60000 + b"\r\n"], "either"),
    "the end 4xx that attacks": ("dot", [b"451 4.7.0 " + ESC + b"\r\n"], "waits"),
    "the end 2xx that attacks": ("dot", [b"250 2.0.0 " + ESC + b"\r\n"], "delivered"),
    "the end with nothing": ("dot", [cut], "waits"),
    "the end with half an answer": ("dot", [b"250 2.0", cut], "waits"),
    "the end with three answers": ("dot", [b"250 2.0.0 ok\r\n250 2.0.0 ok\r\n550 5.0.0 no\r\n"], "delivered"),
    "QUIT without an end": ("quit", [forever(b"221 x\r\n" * 50)], "delivered"),
    "the good one": ("none", [], "delivered"),
}


@pytest.fixture
def servers():
    made = {}
    for name, (step, pieces, _) in CASES.items():
        made[name] = Hostile(lambda at, _, step=step, pieces=pieces: pieces if at == step else None)
    yield made
    for s in made.values():
        s.close()


def test_what_hostile_servers_do_to_mail(relay, servers):
    lines, routes = [], []
    for n, (name, s) in enumerate(servers.items()):
        lines.append(f"  - {{ name: c{n}, provider: smtp, host: 127.0.0.1, port: {s.port}, tls: none }}\n")
        routes.append(f'  - {{ recipient: "*@c{n}.example", through: c{n} }}\n')
    good = len(CASES) - 1
    r = relay("connectors:\n" + "".join(lines) + "routes:\n" + "".join(routes) + f"  - {{ through: c{good} }}\n",
              general="retry: { first: 1h, ceiling: 1h, expire: 5d }")
    with Wire(r.port) as c:
        c.hello()
        for n in range(len(CASES)):
            c.envelope(f"anna@c{n}.example")
            assert c.data(b"From: erp@contoso.com\r\nSubject: t\r\n\r\nx\r\n").startswith("250")

    def settled():
        known = {row["recipient"]: row for row in r.rows("trace", "--since", "1d")}
        known.update({row["recipient"]: row for row in r.waiting()})
        wrong = {}
        for n, (name, (_, _, expected)) in enumerate(CASES.items()):
            row = known.get(f"anna@c{n}.example", {"state": "nowhere"})
            waits = row["state"] == "queued" and (row.get("reply") or row.get("reason"))
            fits = {"waits": waits, "either": waits or row["state"] == "delivered"}.get(expected, row["state"] == expected)
            if not fits:
                wrong[name] = {k: row.get(k) for k in ("state", "reason", "reply")}
        return wrong

    with contextlib.suppress(AssertionError):
        wait_for(lambda: not settled(), every=0.3)
    assert settled() == {}
    assert r.process.alive() and memory_peak(r.process.pid) < MEMORY_MAX, memory_peak(r.process.pid)
    log = b"".join(p.read_bytes() for p in r.folder.glob("serve-*.log"))
    assert not any(line.startswith(b"fake") for line in log.split(b"\n"))
    assert not any(b < 32 for line in log.split(b"\n") for b in line)
    # Who goes on for ever was hung up on.
    wait_for(lambda: not any(s.busy for s in servers.values()))
    assert not any(s.failures for s in servers.values())
    # The good one is as good as before.
    with Wire(r.port) as c:
        c.hello()
        c.envelope("bea@good.example")
        assert c.data(b"From: erp@contoso.com\r\nSubject: good\r\n\r\nx\r\n").startswith("250")
    wait_for(lambda: [x for x in r.rows("trace", "--to", "bea@good.example") if x["state"] == "delivered"])
