"""How many connections a server lets us have: they are halved when it says that there are too many, and rise again with successes."""
import smtplib
import socketserver
import threading

import peers
import pytest
from support import PATIENCE, wait_for

SLOW = "retry: { first: 1h, ceiling: 1h, expire: 5d }"
AT_ONCE = "421 4.3.2 The maximum number of concurrent connections has exceeded a limit, closing transmission channel"
SENDING = "432 4.3.2 Concurrent connections limit exceeded. Visit https://aka.ms/concurrent_sending for more information."


class Session(socketserver.StreamRequestHandler):
    def say(self, text):
        self.wfile.write(text.encode() + b"\r\n")

    def handle(self):
        s = self.server
        with s.lock:
            s.open += 1
        try:
            self.talk(s)
        finally:
            with s.lock:
                s.open -= 1

    def talk(self, s):
        if s.at == "greeting" and s.open > s.allowed:
            s.refused += 1
            self.say(AT_ONCE)
            return
        self.say("220 narrow ESMTP")
        to = None
        for line in self.rfile:
            word = line[:4].upper()
            if word == b"EHLO":
                self.say("250-narrow\r\n250-8BITMIME\r\n250 ENHANCEDSTATUSCODES")
            elif word == b"MAIL" and s.at == "mail" and s.open > s.allowed:
                s.refused += 1
                self.say(SENDING)
            elif word == b"DATA":
                self.say("354 go")
                while (text := self.rfile.readline()) not in (b".\r\n", b""):
                    pass
                s.gate.wait(PATIENCE)
                s.taken.append(to)
                self.say("250 2.0.0 taken")
            elif word == b"QUIT":
                self.say("221 2.0.0 bye")
                return
            else:
                if word == b"RCPT":
                    to = line.decode().split("<")[1].split(">")[0]
                self.say("250 2.0.0 ok")


class Server(peers.Server):
    """A smarthost with `allowed` sessions at once; what it takes it answers when the gate is open."""

    def __init__(self):
        super().__init__(Session)
        self.lock, self.gate = threading.Lock(), threading.Event()
        self.open = self.refused = 0
        self.allowed, self.at = 3, "greeting"
        self.taken = []


@pytest.fixture
def server():
    with peers.served(Server()) as made:
        yield made
        made.gate.set()


def door(server, connections=8):
    return f"""
connectors:
  - {{ name: host, provider: smtp, host: 127.0.0.1, port: {server.port}, tls: none, connections: {connections} }}
routes: [{{ through: host }}]
"""


def send(relay, names):
    with smtplib.SMTP("127.0.0.1", relay.port, timeout=PATIENCE) as s:
        for name in names:
            s.sendmail("erp@contoso.com", [name], f"From: erp@contoso.com\r\nTo: {name}\r\nSubject: x\r\n\r\nx\r\n".encode())


def row(relay):
    return next(r for r in relay.rows("mailboxes") if r["name"] == "host")


def some(count, first=0):
    return [f"r{i}@example.org" for i in range(first, first + count)]


@pytest.mark.parametrize("at", ["greeting", "mail"])
def test_a_server_that_refuses_the_fourth_has_fewer_and_all_mail(server, relay, at):
    server.at = at
    r = relay(door(server), "retry: { first: 1s, ceiling: 2s, expire: 5d }")
    send(r, some(40))
    wait_for(lambda: server.refused)
    # Some were refused: the others go on, and nothing is held.
    lowered = wait_for(lambda: row(r)["connections_max"] < 8 and row(r))
    assert lowered["connections_limit"] == 8 and 1 <= lowered["connections_max"] <= 4
    assert lowered["state"] == "ready" and "reason" not in lowered, lowered
    server.gate.set()
    wait_for(lambda: len(server.taken) >= 40)
    wait_for(lambda: not r.waiting())
    assert sorted(server.taken) == sorted(some(40))
    assert "has too many connections" in r.log()
    r.stop()


def test_successes_bring_them_back(server, relay):
    server.allowed = 1
    r = relay(door(server, connections=3), SLOW)
    send(r, some(100))
    wait_for(lambda: row(r)["connections_max"] == 1)
    server.allowed = 3
    server.gate.set()
    wait_for(lambda: row(r)["connections_max"] == 3)
    wait_for(lambda: not r.waiting())
    assert sorted(server.taken) == sorted(some(100))
    r.stop()


def test_the_only_connection_is_not_one_too_many_of_ours(server, relay):
    server.allowed = 0
    server.gate.set()
    r = relay(door(server), SLOW)
    send(r, some(2))
    held = wait_for(lambda: row(r)["state"] != "ready" and row(r))
    assert held["reason"] == "too-many-connections" and held["connections_max"] <= 1, held
    # Others have gone.
    server.allowed = 8
    r.cli("mailboxes", "--retry", "host")
    wait_for(lambda: len(server.taken) == 2)
    r.stop()
