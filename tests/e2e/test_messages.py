"""Messages of the public corpora (messages.py) through every door: by SMTP and by sendmail to a server that keeps what it gets, byte for
byte; by Graph as the raw MIME of a request, byte for byte but for the lists of recipients (mail/envelope_header.h)."""
import os
import re
import subprocess

import graph_server
import peers
import pytest
import support
from messages import MESSAGES
from support import DROP, wait_for
from test_mime import compare, expected, name_of, take_apart
from wire import Wire

BOX = "erp@graph.example"
LISTS = {b"to", b"cc", b"bcc"}


@pytest.fixture(scope="module")
def doors(module_folder):
    folder = module_folder
    ca, certificate, key = support.make_certificate(folder / "tls")
    sink, graph = peers.Sink(), graph_server.GraphServer(certificate, key, [BOX])
    (folder / "app.secret").write_text(graph.secret + "\n")
    (folder / "app.secret").chmod(0o600)
    relay = support.Relay(folder / "relay", f"""
tenants:
  - name: g
    id: 00000000-0000-0000-0000-000000000000
    domains: [graph.example]
    app: {{ client_id: "{graph.client_id}", secret: "file:{folder}/app.secret" }}
    endpoints: {{ login: "{graph.url}", graph: "{graph.url}", ca_file: "{ca}" }}
mailboxes:
  - {{ address: {BOX}, tenant: g, provider: graph, auth: app, limits: {{ messages_per_minute: 100000, recipients_per_day: 1000000, share: 100% }} }}
connectors:
  - {{ name: lab, provider: smtp, host: localhost, port: {sink.port}, tls: none }}
routes:
  - {{ sender: {BOX}, through: sender }}
  - {{ through: lab }}
""", general="retry: { first: 1s, ceiling: 2s, expire: 5d }").start()
    yield relay, sink, graph
    relay.end()
    sink.close()
    graph.close()


def test_there_are_at_least_a_hundred():
    assert len(MESSAGES) >= 100


@pytest.mark.parametrize("name", MESSAGES)
def test_smtp(doors, name):
    relay, sink, _ = doors
    with Wire(relay.port) as c:
        c.hello()
        c.envelope()
        assert c.data(MESSAGES[name]).startswith("250")
    wait_for(lambda: sink.got)
    compare(MESSAGES[name], sink.take()[0][3], True)


@pytest.mark.parametrize("name", MESSAGES)
def test_sendmail(doors, name):
    relay, sink, _ = doors
    env = {**os.environ, "POSTERN_SUBMIT_SOCKET": str(relay.submit), "POSTERN_MAILDROP": str(relay.maildrop)}
    message = MESSAGES[name] if MESSAGES[name].endswith(b"\r\n") else MESSAGES[name] + b"\r\n"
    done = subprocess.run([DROP, "-i", "-f", "erp@contoso.com", "anna@example.org"], input=message.replace(b"\r\n", b"\n"), env=env,
                          capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    wait_for(lambda: sink.got)
    got = sink.take()[0][3]
    kept, _, body = expected(message)
    # What both doors add comes behind, in an order of its own.
    fields, arrived = take_apart(got)
    assert arrived == body
    assert fields[1:len(kept) + 1] == kept
    assert {name_of(f) for f in fields} >= {b"from", b"date", b"message-id", b"received"}


@pytest.mark.parametrize("name", MESSAGES)
def test_graph(doors, name):
    relay, _, graph = doors
    before = len(graph.sent)
    with Wire(relay.port) as c:
        c.hello()
        c.envelope(sender=BOX)
        assert c.data(MESSAGES[name]).startswith("250")
    wait_for(lambda: len(graph.sent) > before)
    m = graph.sent[-1]
    assert graph.complaints == [] and m["recipients"] == ["anna@example.org"]
    kept, _, body = expected(MESSAGES[name])
    fields, arrived = take_apart(m["raw"])
    assert arrived.rstrip(b"\r\n") == body.rstrip(b"\r\n")
    others, wanted = ([f for f in some if name_of(f) not in LISTS] for some in (fields, kept))
    assert name_of(others[0]) == b"received" and others[1:len(wanted) + 1] == wanted
    assert re.search(rb"(?m)^(Bcc|To): ", m["raw"])
