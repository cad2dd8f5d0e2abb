"""Packets that are lost without a word: mail finds another connection, another address, and leaves when they come through again."""
import smtplib

import pytest

import entra
import support
from gateway import FAR, FAR6, gateway  # noqa: F401 (a fixture)
from hostile import Hostile, cut
from peers import Sink
from support import wait_for

QUICK = "retry: { first: 1s, ceiling: 2s, expire: 5d }"
# Thrice as long as it takes here, and less than half of what it took when nobody watched a connection.
LONG = 2 * support.PATIENCE


def one_way(host, port, connections=1):
    return f"""
connectors:
  - {{ name: out, provider: smtp, host: "{host}", port: {port}, tls: none, connections: {connections} }}
routes:
  - {{ through: out }}
"""


def send(relay, *subjects):
    with smtplib.SMTP("127.0.0.1", relay.port, timeout=support.PATIENCE) as s:
        for subject in subjects:
            s.sendmail("a@contoso.com", ["b@example.org"], f"From: a@contoso.com\r\nSubject: {subject}\r\n\r\nx\r\n")


def subjects(sink):
    with sink.lock:
        return sorted(line[9:].decode() for *_, message in sink.got for line in message.split(b"\r\n") if line.startswith(b"Subject: "))


def open_connections(place):
    """Local ports of the relay's connections to the server."""
    text = place.do(lambda: "".join(open(f"/proc/thread-self/net/{name}").read() for name in ("tcp", "tcp6")))
    rows = [line.split() for line in text.splitlines() if " local_address " not in line]
    # Established, or closed by the server alone; those of clients come from loopback.
    return sorted(int(r[1].split(":")[1], 16) for r in rows if r[3] in ("01", "08") and not r[2].startswith("0100007F:"))


@pytest.fixture
def sink(gateway):
    made = gateway.far.do(Sink, host=FAR)
    yield made
    made.close()


@pytest.fixture
def behind(gateway, relay):
    """A relay on the near side."""

    def make(sections, **kw):
        made = relay(sections, general=QUICK, start=False)
        gateway.near.do(made.start, **kw)
        return made

    return make


def with_connections(gateway, relay, sink, count):
    """After some mail `count` connections are open and idle; returns the subjects of what was sent."""
    sent = []
    while len(gateway.ports()) < count:
        more = [f"first{n}" for n in range(len(sent), len(sent) + 10)]
        gateway.near.do(send, relay, *more)
        sent += more
    wait_for(lambda: subjects(sink) == sorted(sent) and not relay.waiting())
    assert open_connections(gateway.near)
    return sent


def test_mail_does_not_wait_on_connections_that_a_gateway_forgot(gateway, sink, behind):
    relay = behind(one_way(FAR, sink.port, connections=3))
    sent = with_connections(gateway, relay, sink, 3)
    forgotten = gateway.ports()
    gateway.forget(forgotten)
    later = [f"later{n}" for n in range(12)]
    gateway.near.do(send, relay, *later)
    wait_for(lambda: subjects(sink) == sorted(sent + later), LONG)
    wait_for(lambda: not relay.waiting())
    # By connections that are new; of what was lost before its end nothing is uncertain, so nothing went twice.
    wait_for(lambda: len(gateway.ports()) > len(forgotten))
    assert not [r for r in relay.rows("trace") if r.get("uncertain")]


def test_what_a_gateway_forgets_before_the_answer_is_uncertain_and_goes_once_more(gateway, behind):
    """The message is there, its answer never is."""
    server = gateway.far.do(Hostile, lambda step, number: [lambda _: gateway.forget(wait_for(gateway.ports)), b"250 2.0.0 taken\r\n"]
                            if step == "dot" and number == 1 else None, host=FAR)
    try:
        relay = behind(one_way(FAR, server.port))

        def mail():
            with smtplib.SMTP("127.0.0.1", relay.port, timeout=support.PATIENCE) as s:
                for n in range(3):
                    s.sendmail("a@contoso.com", [f"u{n:016x}.1@example.org"], "Subject: t\r\n\r\nx\r\n")

        gateway.near.do(mail)
        wait_for(lambda: len(server.taken) == 3 and not relay.waiting(), LONG)
        uncertain = [r for r in relay.rows("trace") if r.get("uncertain")]
        assert len(uncertain) == 1 and server.messages == 3 + 1
        assert {r["state"] for r in relay.rows("trace")} == {"delivered"}
        assert not server.failures
    finally:
        server.close()


def test_graph_does_not_wait_on_connections_that_a_gateway_forgot(gateway, folder, behind):
    # Microsoft's names and port: they are free in a namespace.
    sandbox = gateway.far.do(support.Sandbox, folder / "sandbox", "--beyond-loopback", "--https", f"{FAR}:443")
    hosts = folder / "hosts"
    hosts.write_text(f"127.0.0.1 localhost\n{FAR} graph.microsoft.com login.microsoftonline.com\n")
    secret = folder / "app.secret"
    secret.write_text("sandbox\n")
    secret.chmod(0o600)
    try:
        relay = behind(f"""
tenants:
  - name: contoso
    id: 00000000-0000-0000-0000-000000000000
    domains: [contoso.com]
    app: {{ client_id: {entra.APP}, secret: "file:{secret}" }}
    endpoints: {{ ca_file: "{sandbox.ca}" }}
mailboxes:
  - {{ address: a@contoso.com, tenant: contoso, provider: graph, auth: app }}
routes:
  - {{ through: sender }}
""", hosts=hosts)
        gateway.near.do(send, relay, "first")
        wait_for(lambda: not relay.waiting())
        gateway.forget(gateway.ports())
        gateway.near.do(send, relay, *[f"later{n}" for n in range(4)])
        wait_for(lambda: not relay.waiting(), LONG)
        got = [m["subject"] for m in gateway.far.do(sandbox.messages)]
        assert sorted(got) == ["first", *[f"later{n}" for n in range(4)]]
        # What went into the hole may have arrived for all that the relay knows.
        assert {r["state"] for r in relay.rows("trace")} == {"delivered"}
    finally:
        sandbox.process.kill()


def hung_up(step, number):
    """A connection for each message."""
    return [b"250 2.0.0 taken\r\n", cut] if step == "dot" else None


@pytest.fixture
def two_addresses(gateway, folder):
    """(a server that listens on IPv4 and IPv6, /etc/hosts by which one name leads to both)"""
    made = gateway.far.do(Hostile, hung_up, host="::")
    hosts = folder / "hosts"
    hosts.write_text(f"127.0.0.1 localhost\n{FAR6} both.example\n{FAR} both.example\n")
    yield made, hosts
    made.close()


def deliver(gateway, relay, server, number):
    """Returns the families of the addresses that were tried for it, in order."""

    def mail():
        with smtplib.SMTP("127.0.0.1", relay.port, timeout=support.PATIENCE) as s:
            s.sendmail("a@contoso.com", [f"u{number:016x}.1@example.org"], "Subject: t\r\n\r\nx\r\n")

    gateway.near.do(mail)
    wait_for(lambda: f"{number:016x}" in server.taken)
    wait_for(lambda: not relay.waiting() and not open_connections(gateway.near))
    return gateway.families()


def test_an_address_that_leads_nowhere_is_not_tried_first_again(gateway, two_addresses, behind):
    server, hosts = two_addresses
    gateway.lose(family=6)
    relay = behind(one_way("both.example", server.port), hosts=hosts)
    # As the resolver has them.
    tried = deliver(gateway, relay, server, 0)
    assert tried[0] == 6 and 4 in tried
    for number in range(1, 8):
        tried = deliver(gateway, relay, server, number)
        # On a machine that is busy for a quarter of a second the other may follow.
        assert tried[0] == 4, tried
    assert "status=deferred" not in relay.log()


def test_an_address_that_begins_to_lead_nowhere_is_tried_first_once_more(gateway, two_addresses, behind):
    server, hosts = two_addresses
    relay = behind(one_way("both.example", server.port), hosts=hosts)
    gateway.lose(family=4)
    for number in range(3):
        assert deliver(gateway, relay, server, number)[0] == 6
    gateway.lose_nothing()
    gateway.lose(family=6)
    tried = deliver(gateway, relay, server, 3)
    assert tried[0] == 6 and 4 in tried
    for number in range(4, 8):
        assert deliver(gateway, relay, server, number)[0] == 4


def test_everything_leaves_after_a_silent_outage(gateway, sink, behind):
    relay = behind(one_way(FAR, sink.port, connections=4))
    sent = with_connections(gateway, relay, sink, 2)
    before = len(gateway.ports())
    gateway.lose()
    outage = [f"outage{n}" for n in range(20)]
    gateway.near.do(send, relay, *outage)
    assert len(relay.waiting()) == 20
    # It lasts until the relay has given up its connections and tries others.
    wait_for(lambda: len(gateway.ports()) > before, LONG)
    assert len(relay.waiting()) == 20 and "status=bounced" not in relay.log()
    gateway.lose_nothing()
    gateway.near.do(send, relay, "after")
    wait_for(lambda: subjects(sink) == sorted([*sent, *outage, "after"]))
    wait_for(lambda: not relay.waiting())
    assert not [r for r in relay.rows("trace") if r.get("uncertain")]
