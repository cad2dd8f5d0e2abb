"""The control sockets under requests that nobody would send: mutated, cut, pipelined, half read, while mail flows. POSTERN_SEED=N
repeats a run, POSTERN_SECONDS=N makes one longer, of a seed that nobody has seen; a failure names it."""
import json
import os
import random
import socket
import time

import pytest

import support
from wire import Wire

LAB = "connectors:\n  - { name: lab, provider: smtp, host: 127.0.0.1, port: 1, tls: none }\nroutes:\n  - { through: lab }\n"
VERBS = ["status", "mailboxes", "probe", "list", "show", "edit", "summary", "report", "reload", "login", "x", ""]
KEYS = ["do", "id", "sender", "recipient", "mailbox", "state", "reason", "older", "newer", "since", "until", "limit", "kind", "to", "lane",
        "history", "cursor", "after", "all", "summary", "sort", "tenant"]


class Requests:
    """Requests of one seed. Those that take mail away are left out: at the end all of it must be there."""

    def __init__(self, seed, ids):
        self.dice, self.ids = random.Random(seed), ids

    def value(self):
        d = self.dice
        return d.choice([d.choice(self.ids), "*", "a@b", "erp@contoso.com", "lab", "smtp/lab", "queued", "delivered", "parked", "held", "bounced",
                         "retry", "hold", "release", "1d", "-1s", "99999999999999d", "0", "", " ", "%s%n%d", "\0", "é", "\x1b[2J",
                         "A" * d.choice((10, 400, 5000, 60000)), d.randint(-2**63, 2**63 - 1), -1, 0, 1, 1e308, 1.5, True, None, [], {},
                         [[]] * 50, {"a": {"b": [1]}}, "[10.0.0.1]", "sender:smtp/lab:erp@contoso.com"])

    def one(self):
        d, kind = self.dice, self.dice.random()
        if kind < 0.75:
            request = {"do": d.choice(VERBS)}
            for _ in range(d.randint(0, 6)):
                request[d.choice(KEYS)] = self.value()
            if request.get("do") == "edit" and request.get("kind") not in ("retry", "hold", "release"):
                request["kind"] = "hold"
            return json.dumps(request, ensure_ascii=d.random() < 0.5).encode("utf-8", "surrogatepass")
        if kind < 0.8:
            return b"[" * d.choice((10, 3000, 60000))
        if kind < 0.85:
            return b'{"a":' * d.choice((10, 2000, 10000))
        if kind < 0.9:
            return bytes(d.randrange(256) for _ in range(d.randint(0, 300))).replace(b"\n", b"")
        request = bytearray(json.dumps({"do": d.choice([v for v in VERBS if v != "edit"]), "id": d.choice(self.ids)}).encode())
        for _ in range(d.randint(1, 5)):
            request[d.randrange(len(request))] = d.randrange(256)
        return bytes(request).replace(b"\n", b" ")


def talk(path, requests, dice):
    """Sends them in one go; returns the answers that were read, each ended."""
    answers = []
    with socket.socket(socket.AF_UNIX) as k:
        k.settimeout(support.PATIENCE)
        k.connect(str(path))
        try:
            k.sendall(b"".join(r + b"\n" for r in requests))
            mode = dice.random()
            if mode < 0.15:
                return answers
            if mode < 0.25:
                k.shutdown(socket.SHUT_WR)
            rest = b""
            while len(answers) < len(requests):
                piece = k.recv(dice.choice((10, 1000, 65536)))
                if not piece:
                    break
                *lines, rest = (rest + piece).split(b"\n")
                for line in lines:
                    answer = json.loads(line.decode("utf-8"))
                    if "end" in answer or "error" in answer:
                        answers.append(answer)
                if mode > 0.95 and rest:
                    break
        except OSError:
            pass
    return answers


def give(relay, n):
    with Wire(relay.port) as c:
        c.hello()
        c.envelope(f"x{n}@example.org")
        return c.data(b'From: a@b\r\nSubject: \x1b[31m\xff"\\u0000 s\r\n\r\nx\r\n').split()[-1]


@pytest.mark.parametrize("which", ["control.sock", "monitor.sock"])
def test_requests_that_nobody_would_send(relay, which):
    seed = int(os.environ.get("POSTERN_SEED") or (random.randrange(1 << 32) if "POSTERN_SECONDS" in os.environ else 1))
    print("POSTERN_SEED =", seed)
    r = relay(LAB, general="retry: { first: 1h, ceiling: 1h, expire: 5d }\n")
    ids = [give(r, n) for n in range(20)]
    dice, requests = random.Random(seed + 1), Requests(seed, ids)
    states = {row["id"]: row["state"] for row in r.waiting()}
    rounds, codes = int(os.environ.get("POSTERN_ROUNDS") or 400), {}
    end = time.monotonic() + float(os.environ.get("POSTERN_SECONDS") or 0)
    while rounds > 0 or time.monotonic() < end:
        rounds -= 1
        for answer in talk(r.folder / which, [requests.one() for _ in range(dice.randint(1, 8))], dice):
            code = answer.get("code", "end")
            codes[code] = codes.get(code, 0) + 1
        assert r.process.alive(), (seed, r.log()[-2000:])
        if rounds % 50 == 0:
            ids.append(give(r, len(ids)))
    # It still answers, nothing was lost, and it saw both kinds of answers.
    rows = {row["id"]: row["state"] for row in r.waiting()}
    assert set(rows) == set(ids), seed
    assert codes.get("end") and len(codes) > 2, (seed, codes)
    if which == "monitor.sock":
        assert codes.get(os.EX_NOPERM) and "configuration reloaded" not in r.log(), (seed, codes)
        assert not [i for i, state in states.items() if rows[i] == "held"], seed
    assert "runtime error" not in r.log() and "AddressSanitizer" not in r.log(), seed
