"""Who may stop what: one message, whatever is said to it, stops no other; a fault that is real stops in time."""
import json
import smtplib
import socketserver

import pytest
import graph_server
import peers
import support
from support import wait_for

QUICK = "retry: { first: 1s, ceiling: 5s, expire: 5d }"
SLOW = "retry: { first: 1h, ceiling: 1h, expire: 5d }"


class Session(socketserver.StreamRequestHandler):
    def say(self, text):
        self.wfile.write(text.encode() + b"\r\n")

    def answer(self, stage, usual):
        """False: the connection is cut."""
        said = self.server.rule(stage, self.to)
        if said is None:
            self.say(usual)
        elif said:
            self.say(said)
        return said != ""

    def handle(self):
        self.to = []
        self.say("220 picky ESMTP")
        for line in self.rfile:
            command = line.decode(errors="replace").strip()
            word = command.upper()[:4]
            if word == "EHLO":
                self.say("250-picky\r\n250-8BITMIME\r\n250 ENHANCEDSTATUSCODES")
            elif word == "MAIL":
                self.to = []
                self.say("250 2.1.0 ok")
            elif word == "RCPT":
                self.to.append(command.split("<")[1].split(">")[0])
                self.server.asked.append(self.to[-1])
                if not self.answer("rcpt", "250 2.1.5 ok"):
                    return
            elif word == "DATA":
                self.say("354 go")
                for text in self.rfile:
                    if text == b".\r\n":
                        break
                said = self.server.rule("dot", self.to)
                if said is None:
                    self.server.taken += self.to
                if not self.answer("dot", "250 2.0.0 taken"):
                    return
            elif word == "RSET":
                self.say("250 2.0.0 ok")
            elif word == "QUIT":
                self.say("221 2.0.0 bye")
                return
            else:
                self.say("500 5.5.1 what")


class Server(peers.Server):
    """A smarthost. `rule(stage, to)`: a reply instead of the usual one, "" to cut the line, None."""

    def __init__(self):
        super().__init__(Session)
        self.rule = lambda stage, to: None
        self.asked, self.taken = [], []


@pytest.fixture
def server():
    with peers.served(Server()) as made:
        yield made


def door(server) -> str:
    return f"""
connectors:
  - {{ name: host, provider: smtp, host: 127.0.0.1, port: {server.port}, tls: none, connections: 1 }}
routes: [{{ through: host }}]
"""


def send(relay, to, sender="erp@contoso.com", author=None, subject="hello", body="x"):
    text = f"From: {author or sender}\r\nTo: {to}\r\nSubject: {subject}\r\n\r\n{body}\r\n"
    with smtplib.SMTP("127.0.0.1", relay.port, timeout=support.PATIENCE) as s:
        s.sendmail(sender, [to], text.encode())


def cause_of(relay, to):
    return next((row.get("reason") for row in relay.waiting() if row["recipient"] == to), None)


def lane(relay, name="smtp/host"):
    return next(row for row in relay.rows("status") if row.get("type") == "lane" and row["lane"] == name)


# ---- one message stops no other ----

POISON = {
    "421 at the dot": ("dot", "421 4.3.2 Service not available"),
    "cut at the dot": ("dot", ""),
    "451 network": ("dot", "451 4.3.2 System not accepting network messages"),
    "451 busy": ("dot", "451 4.7.500 Server busy. Please try again later from [192.0.2.1]."),
    "452": ("dot", "452 4.3.1 Insufficient system resources"),
    "421 at RCPT": ("rcpt", "421 4.7.0 try again"),
    "cut at RCPT": ("rcpt", ""),
    "503 at RCPT": ("rcpt", "503 5.5.1 Bad sequence of commands"),
    "530 at RCPT": ("rcpt", "530 5.7.0 Authentication required"),
    "unable to relay": ("rcpt", "550 5.7.1 Unable to relay"),
    "relay access denied": ("rcpt", "554 5.7.1 <poison@example.org>: Relay access denied"),
    "banned": ("dot", "550 5.7.501 Service unavailable. Spam abuse detected from IP range"),
    "block list": ("rcpt", "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using list.example"),
    "tenant": ("dot", "550 5.7.705 Access denied, tenant has exceeded threshold"),
    "not the sender": ("dot", "550 5.7.60 SMTP; Client does not have permissions to send as this sender"),
    "a limit, as anybody may say": ("rcpt", "550 5.1.90 You've reached your daily limit for message recipients"),
}


@pytest.mark.parametrize("stage, reply", POISON.values(), ids=POISON)
def test_one_poisoned_message_stops_no_other(server, relay, stage, reply):
    server.rule = lambda at, to: reply if at == stage and "poison@example.org" in to else None
    r = relay(door(server), QUICK)
    send(r, "poison@example.org")
    wait_for(lambda: "poison@example.org" in server.asked)
    # Again and again, and by hand: it is refused more than once before the others come.
    for n in range(3):
        r.cli("mailboxes", "--retry", "host", code=None)
        send(r, f"good{n}@example.org", subject=f"good {n}", body=f"{n}")
        wait_for(lambda n=n: f"good{n}@example.org" in server.taken)
    assert lane(r)["state"] == "ready"
    assert "poison@example.org" not in server.taken


@pytest.mark.parametrize("victim", ["john", "SC-001", "DY-001", '"unable to relay"', "dmarc"])
def test_the_words_of_an_address_stop_nothing(server, relay, victim):
    address = f"{victim}@example.org"

    def rule(at, to):
        if at == "rcpt" and to[-1] == address:
            return f"550 5.1.1 <{to.pop()}>: Recipient address rejected: User unknown in virtual mailbox table"
        return None

    server.rule = rule
    r = relay(door(server), QUICK)
    send(r, address)
    for n in range(3):
        send(r, f"good{n}@example.org")
    # The notice of an ordinary bounce is among what it took, and nothing waits.
    wait_for(lambda: len(server.taken) == 4 and not r.waiting())
    assert lane(r)["state"] == "ready"
    assert [row["state"] for row in r.rows("trace", "--recipient", address)] == ["bounced"]


def test_a_forged_author_stops_nobody_else(submission):
    sandbox, r = submission(general=QUICK)

    def delivered():
        return [m["recipients"][0] for m in sandbox.messages()]

    # Two different ones, even: neither says anything about mail that is not forged.
    for n in range(2):
        send(r, f"forged{n}@example.org", author=f"ceo{n}@contoso.com", body=f"{n}")
        wait_for(lambda n=n: cause_of(r, f"forged{n}@example.org") == "send-as-denied")
    for n in range(5):
        send(r, f"good{n}@example.org", body=f"{n}")
        wait_for(lambda n=n: f"good{n}@example.org" in delivered())
    for n in range(5, 8):
        r.cli("mailboxes", "--retry", "erp@contoso.com", code=None)
        send(r, f"good{n}@example.org", body=f"{n}")
        wait_for(lambda n=n: f"good{n}@example.org" in delivered())
    assert not [to for to in delivered() if "forged" in to]
    assert lane(r, "submission/erp@contoso.com")["state"] == "ready"


@pytest.mark.parametrize("status, code", [
    (500, "InternalServerError"), (503, "ServiceUnavailable"), (403, "ErrorAccessDenied"),
    (403, "ErrorSendAsDenied"), (400, "BadRequest"), (404, "ErrorInvalidUser")])
def test_one_message_that_graph_refuses_stops_no_other(folder, relay, status, code):
    ca, certificate, key = support.make_certificate(folder / "graph-tls")
    server = graph_server.GraphServer(certificate, key, ["erp@contoso.com"])
    secret = folder / "app.secret"
    secret.write_text(server.secret + "\n")
    secret.chmod(0o600)
    try:
        r = relay(f"""
tenants:
  - name: contoso
    id: 00000000-0000-0000-0000-000000000000
    domains: [contoso.com]
    app: {{ client_id: "{server.client_id}", secret: "file:{secret}" }}
    endpoints: {{ login: "{server.url}", graph: "{server.url}", ca_file: "{ca}" }}
mailboxes:
  - {{ address: erp@contoso.com, tenant: contoso, provider: graph, auth: app }}
routes: [{{ through: sender }}]
""", SLOW)
        refused = server.fault("sendMail", "status", status=status, code=code)
        send(r, "poison@example.org")
        wait_for(lambda: refused.times == 0)
        for n in range(3):
            send(r, f"good{n}@example.org", body=f"{n}")
        wait_for(lambda: len(server.sent) == 3)
        assert lane(r, "graph/erp@contoso.com")["state"] == "ready"
    finally:
        server.close()


# ---- a fault that is real stops in time, and others find out when it is over ----

def test_two_different_messages_prove_it_and_a_third_one_probes(server, relay):
    server.rule = lambda at, to: f"554 5.7.1 <{to[-1]}>: Relay access denied" if at == "rcpt" else None
    r = relay(door(server), SLOW)
    send(r, "a@one.example")
    wait_for(lambda: cause_of(r, "a@one.example") == "relay-denied")
    assert lane(r)["state"] == "ready"
    send(r, "b@two.example")
    wait_for(lambda: lane(r)["state"] == "parked")
    # These two wait behind it, and are not tried.
    send(r, "c@three.example")
    send(r, "d@four.example")
    assert server.asked == ["a@one.example", "b@two.example"]
    # All four wait for it, the two that no row says it of as well: what the list shows is what is changed.
    def changed(verb, *select):
        return json.loads(r.cli("queue", verb, *select, "--json").splitlines()[0])["changed"]
    assert changed("hold", "--reason", "relay-denied") == 4
    r.stop()
    assert changed("release", "--state", "held") == 4
    assert changed("retry", "--reason", "relay-denied") == 4
    # What caused it is known in the next life, too; and everything is due now.
    server.asked.clear()
    server.rule = lambda at, to: None
    r.start()
    r.cli("queue", "retry", "--mailbox", "host")
    wait_for(lambda: len(server.taken) == 4)
    assert server.asked[0] == "c@three.example"
    wait_for(lambda: lane(r)["state"] == "ready")


def test_a_limit_that_microsoft_tells_stops_at_once(submission):
    sandbox, r = submission(general=SLOW)
    sandbox.fault(at="dot", do="reply", times=1,
                  reply="554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException")
    send(r, "a@example.org")
    wait_for(lambda: cause_of(r, "a@example.org") == "daily-limit")
    assert lane(r, "submission/erp@contoso.com")["state"] != "ready"
    send(r, "b@example.org")
    assert not sandbox.messages()
    # By hand: the other one goes first.
    r.cli("mailboxes", "--retry", "erp@contoso.com")
    wait_for(lambda: len(sandbox.messages()) == 2)
    assert sandbox.messages()[0]["recipients"] == ["b@example.org"]
