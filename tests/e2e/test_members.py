"""A mailbox with two doors, and mail of three classes."""
import smtplib

import pytest

import support
import entra
from support import wait_for

QUICK = "retry: { first: 1s, ceiling: 2s, expire: 5d }"
ERP = "erp@contoso.com"


@pytest.fixture
def two_doors(sandbox, relay, folder):
    def make(limits="{ messages_per_minute: 1000, share: 100% }"):
        s = sandbox()
        return s, relay(entra.contoso(folder, s) + f"""mailboxes:
  - {{ address: {ERP}, tenant: contoso, doors: [submission, graph], auth: app, limits: {limits},
      endpoint: {{ host: localhost, port: {s.smtp}, ca_file: "{s.ca}" }} }}
routes: [ {{ through: sender }} ]
""", general=QUICK)

    return make


def send(relay, subject, sender=ERP, to="b@example.org"):
    with smtplib.SMTP("127.0.0.1", relay.port) as c:
        c.sendmail(sender, [to], f"From: {sender}\r\nTo: {to}\r\nSubject: {subject}\r\n\r\nx\r\n".encode())


def doors(sandbox, count):
    wait_for(lambda: len(sandbox.messages()) >= count)
    return {m["subject"]: m["door"] for m in sandbox.messages()}


def test_graph_carries_on_while_smtp_auth_is_off(two_doors):
    s, r = two_doors()
    s.settings(mailboxes=[{"address": ERP, "smtp_auth": "off"}])
    send(r, "without")
    send(r, "still")
    assert doors(s, 2) == {"without": "graph", "still": "graph"}
    wait_for(lambda: not r.waiting())
    held, free = sorted((x for x in r.rows("mailboxes") if x.get("lane", "").endswith(ERP)), key=lambda x: x["lane"], reverse=True)
    assert (held["lane"], held["reason"]) == (f"submission/{ERP}", "smtp-auth-off")
    assert free["state"] == "ready"
    # What one door sent counts for the other.
    assert held["day_used"] == free["day_used"] == 2
    assert s.verdict()["duplicates"] == 0


def test_doors_share_the_day(two_doors):
    s, r = two_doors("{ recipients_per_day: 2, share: 100% }")
    send(r, "one")
    assert doors(s, 1) == {"one": "submission"}
    wait_for(lambda: not r.waiting())
    # The connection is signed in already: a start makes a new one.
    s.settings(mailboxes=[{"address": ERP, "smtp_auth": "off"}])
    r.stop()
    r.start()
    send(r, "two")
    assert doors(s, 2) == {"one": "submission", "two": "graph"}
    send(r, "three")
    row = wait_for(lambda: [x for x in r.rows("mailboxes") if x.get("lane") == f"graph/{ERP}" and x["state"] == "waiting"])[0]
    assert (row["day_used"], row["day_capacity"]) == (2, 2)
    assert len(s.messages()) == 2


def test_a_class_ends_its_mail_while_it_is_held(relay):
    r = relay(f"""
classes: {{ transactional: {{ expire: 2s }} }}
connectors:
  - {{ name: dead, provider: smtp, host: 127.0.0.1, port: {support.free_port()}, tls: none }}
routes:
  - {{ sender: code@contoso.com, through: dead, class: transactional }}
  - {{ through: dead }}
""", general=QUICK)
    send(r, "letter")
    send(r, "code", "code@contoso.com")
    # The notice to its sender waits for the same connector.
    wait_for(lambda: any(x["sender"] == "code@contoso.com" and x["state"] == "expired" for x in r.rows("trace")))
    assert [x["class"] for x in r.waiting() if x["sender"] == ERP] == ["normal"]
