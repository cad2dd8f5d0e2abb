"""Printers and scanners that can do little: known by their address, with their own sender, recipients and quota, and
with TLS as old as they are. Addresses of 127.0.0.0/8 play the devices."""
import email
import email.policy
import pathlib
import re
import socket
import subprocess
import threading

import pytest

import support
import wire
from support import wait_for

SCANNER, FAX, STRANGER = "127.0.0.2", "127.0.0.3", "127.0.0.4"
DEVICES = """devices:
  - { name: scanner-3, from: 127.0.0.2/32, sender: scanner@contoso.com%s }
"""
# A listener without passwords and without open networks: only devices come in.
CLOSED = "  - address: 127.0.0.1:%d\n    no_password_from: [\"192.0.2.0/24\"]\n"


class Device(wire.Wire):
    """Connects from an address of its own."""

    def __init__(self, port, source=SCANNER):
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=support.PATIENCE, source_address=(source, 0))
        self.file = self.sock.makefile("rb")
        self.greeting = self.reply()


@pytest.fixture
def office(submission, sandbox, password):
    """A sandbox with the mailbox scanner@contoso.com, and a relay with one device."""

    def make(more="", listeners=None, routes="  - { through: sender }", general=""):
        port = support.free_port()
        s = sandbox()
        _, relay = submission(
            routes=routes, general=general, listeners=CLOSED % port if listeners is None else listeners,
            more_mailboxes=support.mailbox("scanner@contoso.com", s, password), extra=DEVICES % more)
        return s, relay, port

    return make


def delivered(sandbox, count=1):
    return wait_for(lambda: (m := sandbox.messages()) and len(m) >= count and m)


def status(relay, type_, name):
    return next(r for r in relay.rows("status") if r["type"] == type_ and r["name"] == name)


def test_printer_dialogue_without_a_password(office):
    sandbox, relay, port = office(", per_day: 300")
    # What an old scanner says: no EHLO, a space behind the colon, a sender without a domain, no Date, no Message-ID.
    with Device(port) as d:
        d.must("HELO Scanner 3rd floor", "250")
        d.must("mail from: scanner", "250")
        d.must("rcpt to: anna@contoso.com", "250")
        answer = d.data(b"From: Scanner <scanner>\r\nReply-To: nobody@printer.invalid\r\nSubject: Scan 0001\r\n\r\nscan\r\n")
        d.must("quit", "221")
    assert answer.startswith("250 2.0.0")
    message = delivered(sandbox)[0]
    parsed = email.message_from_bytes(sandbox.raw(message["number"]), policy=email.policy.default)
    assert parsed["From"] == "Scanner <scanner@contoso.com>"
    assert parsed["Date"] and parsed["Message-ID"]
    row = wait_for(lambda: [r for r in relay.rows("trace") if r["state"] == "delivered"])[0]
    assert row["device"] == "scanner-3" and row["sender"] == "scanner@contoso.com"
    assert "device      scanner-3" in relay.cli("queue", "show", row["id"])
    wait_for(lambda: re.search(rf"{row['id']}: client=unknown\[127\.0\.0\.\d\]:\d+, device=scanner-3\n", relay.log()))
    wait_for(lambda: re.search(rf"{row['id']}: from=<scanner@contoso\.com>, size=\d+, nrcpt=1, message-id=<", relay.log()))
    device = status(relay, "device", "scanner-3")
    assert (device["accepted"], device["day_used"], device["day_capacity"]) == (1, 1, 300)
    assert "1 of 300 recipients in 24 h" in relay.cli("status")


def test_recipients_are_internal_and_others_are_no_device(office):
    sandbox, relay, port = office()
    with Device(port) as d:
        d.must("HELO x", "250")
        d.must("MAIL FROM:<anybody@anywhere.example>", "250")
        refusal = d.must("RCPT TO:<anna@example.org>", "550 5.7.1")
        assert "scanner-3" in refusal and "recipients" in refusal
        d.must("RCPT TO:<anna@contoso.com>", "250")
    stranger = Device(port, STRANGER)
    assert stranger.greeting.startswith("554 5.7.1")
    assert stranger.reply() == ""
    stranger.close()
    assert re.search(r"NOQUEUE: reject: RCPT from unknown\[127\.0\.0\.\d\]:\d+: 550 5\.7\.1 <anna@example\.org>: .*; "
                     r"from=<scanner@contoso\.com> to=<anna@example\.org> proto=SMTP helo=<x>", relay.log())
    assert status(relay, "device", "scanner-3")["refused"] == 1


def test_quota_is_kept_over_a_restart_and_a_kill(office):
    # What the kill left in the air is tried again soon.
    sandbox, relay, port = office(", per_day: 3", general="retry: { first: 1s, ceiling: 2s, expire: 5d }")

    def scan(*to):
        with Device(port) as d:
            d.must("HELO x", "250")
            d.must("MAIL FROM:<>", "250")
            answers = [d.say(f"RCPT TO:<{a}@contoso.com>") for a in to]
            if not any(a.startswith("250") for a in answers):
                return answers, d.say("DATA")
            return answers, d.data(b"Subject: scan\r\n\r\nx\r\n")

    assert scan("anna")[1].startswith("250")
    relay.stop()
    relay.start()
    assert scan("anna")[1].startswith("250")
    relay.kill()
    relay.start()
    answers, end = scan("anna", "bea")
    assert answers[0].startswith("250") and end.startswith("250"), "the last of three"
    assert answers[1].startswith("452 4.7.1 Quota of device scanner-3 is used up: 3 recipients a day"), answers
    answers, end = scan("cleo")
    assert answers[0].startswith("452 4.7.1") and end.startswith("554"), "no recipients, no mail"
    device = status(relay, "device", "scanner-3")
    assert (device["day_used"], device["day_capacity"], device["quota_refused"]) == (3, 3, 2)
    assert "3 of 3 recipients in 24 h" in relay.cli("status") and "2 over the quota" in relay.cli("status")
    wait_for(lambda: len([r for r in relay.rows("trace") if r["state"] == "delivered"]) == 3)
    # It is no lane, whatever the ledger holds.
    assert not [r for r in relay.rows("status") if r["type"] == "lane" and "device" in r["lane"]]


@pytest.mark.parametrize("more, general, to", [
    (", errors_to: it@contoso.com", "bounces: { to: all@contoso.com }", "it@contoso.com"),
    ("", "bounces: { to: all@contoso.com }", "all@contoso.com"),
])
def test_bounces_of_a_device_go_to_a_person(office, more, general, to):
    sandbox, relay, port = office(more, general=general)
    sandbox.fault(at="rcpt", do="reply", match="gone@contoso.com",
                  reply="550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup")
    with Device(port) as d:
        d.must("HELO x", "250")
        d.must("MAIL FROM:<>", "250")
        d.must("RCPT TO:<gone@contoso.com>", "250")
        assert d.data(b"Subject: scan\r\n\r\nx\r\n").startswith("250")
    bounce = delivered(sandbox)[0]
    assert bounce["recipients"] == [to]
    assert b"gone@contoso.com" in sandbox.raw(bounce["number"])


# ---- TLS 1.0 ----

@pytest.fixture
def rsa(folder):
    """Old devices know RSA only."""
    cert, key = folder / "rsa.pem", folder / "rsa.key"
    support.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                 "-keyout", str(key), "-out", str(cert)])
    return cert, key


class OldClient:
    """`openssl s_client` as it was twenty years ago: TLS 1.0, from an address of its own."""

    def __init__(self, folder, port, source=SCANNER, options=("-tls1", "-cipher", "ALL:@SECLEVEL=0"), starttls=True):
        conf = folder / "old.cnf"
        conf.write_text("openssl_conf = d\n[d]\nssl_conf = s\n[s]\nsystem_default = c\n[c]\nMinProtocol = None\n"
                        "CipherString = ALL:@SECLEVEL=0\n")
        self.process = subprocess.Popen(
            ["openssl", "s_client", "-quiet", "-connect", f"127.0.0.1:{port}", "-bind", f"{source}:0",
             *(("-starttls", "smtp") if starttls else ()), *options],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={"OPENSSL_CONF": str(conf), "PATH": "/usr/bin:/bin"})
        self.guard = threading.Timer(support.PATIENCE, self.process.kill)
        self.guard.start()

    def say(self, line: bytes) -> str:
        self.process.stdin.write(line + b"\r\n")
        self.process.stdin.flush()
        while True:
            got = self.process.stdout.readline().decode("latin-1")
            if not got or got[3:4] == " ":
                return got.rstrip()

    def end(self):
        self.process.stdin.close()
        self.process.stdout.read()
        error = self.process.stderr.read().decode("latin-1")
        self.process.stdout.close()
        self.process.stderr.close()
        self.process.wait()
        self.guard.cancel()
        return error


def legacy_listeners(legacy, modern, rsa, tls="starttls"):
    files = f"    tls: {tls}\n    certificate: {rsa[0]}\n    key: file:{rsa[1]}\n"
    return (f"  - address: 127.0.0.1:{legacy}\n    legacy_tls: true\n{files}"
            f"  - address: 127.0.0.1:{modern}\n    no_password_from: [\"192.0.2.0/24\"]\n{files}")


@pytest.mark.parametrize("options, starttls", [
    (("-tls1", "-cipher", "ALL:@SECLEVEL=0"), True),
    (("-tls1", "-cipher", "AES128-SHA:@SECLEVEL=0"), True),  # RSA key exchange
    (("-tls1_1", "-cipher", "ALL:@SECLEVEL=0"), False),
])
def test_a_real_tls_1_0_client(office, folder, rsa, options, starttls):
    legacy, modern = support.free_port(), support.free_port()
    sandbox, relay, _ = office(", tls: legacy", legacy_listeners(legacy, modern, rsa, "starttls" if starttls else "implicit"))
    c = OldClient(folder, legacy, options=options, starttls=starttls)
    # With STARTTLS s_client has taken the greeting; its own last EHLO line may come first.
    assert c.say(b"HELO scanner")[:3] in ("220", "250")
    answers = [c.say(line) for line in (b"NOOP", b"MAIL FROM:<scanner>", b"RCPT TO:<anna@contoso.com>", b"DATA")]
    while not answers[-1].startswith("354"):
        answers.append(c.process.stdout.readline().decode("latin-1"))
        assert answers[-1], answers
    assert c.say(b"Subject: old\r\n\r\nscan\r\n.").startswith("250 2.0.0"), answers
    c.say(b"QUIT")
    c.end()
    raw = sandbox.raw(delivered(sandbox)[0]["number"])
    assert re.search(rb"\(TLSv1(\.1)? ", raw), raw[:400]
    listener = status(relay, "listener", f"127.0.0.1:{legacy}")
    assert (listener["legacy_tls"], listener["legacy_sessions"], listener["legacy_messages"]) == (True, 1, 1)
    assert status(relay, "device", "scanner-3")["legacy_sessions"] == 1
    text = relay.cli("status")
    assert f"127.0.0.1:{legacy} speaks TLS 1.0 and 1.1, too: 1 sessions and 1 messages used them" in text
    wait_for(lambda: re.search(rf"legacy TLS.*device=scanner-3.*listener=127\.0\.0\.1:{legacy}.*tls=.?TLSv1", relay.log()))


def test_old_tls_is_spoken_nowhere_else(office, folder, rsa):
    legacy, modern = support.free_port(), support.free_port()
    sandbox, relay, _ = office(
        ", tls: legacy }\n  - { name: fax, from: 127.0.0.3, sender: crm@contoso.com", legacy_listeners(legacy, modern, rsa))
    # The same client is refused on the modern listener ...
    c = OldClient(folder, modern)
    error = c.end()
    assert "alert protocol version" in error or "unsupported protocol" in error, error
    # ... where a client of today gets TLS 1.2 or later, as it does from the legacy one.
    for port in (modern, legacy):
        c = OldClient(folder, port, options=())
        c.say(b"QUIT")
        c.end()
    assert "legacy_tls" not in status(relay, "listener", f"127.0.0.1:{modern}")
    assert status(relay, "listener", f"127.0.0.1:{legacy}")["legacy_sessions"] == 0
    # Other devices, and other machines, do not speak to the legacy listener at all.
    for source in (FAX, STRANGER):
        d = Device(legacy, source)
        assert d.greeting.startswith("554 5.7.1")
        d.close()


# ---- choosing a door ----

def test_routes_by_size_and_header(submission):
    sandbox, relay = submission(routes="""
  - { size: { over: 100KB }, through: crm@contoso.com, rewrite_from: crm@contoso.com }
  - { header: "X-Class: bulk*", through: crm@contoso.com, rewrite_from: crm@contoso.com }
  - { recipient: "*@contoso.com", through: sender }
""")

    def send(to, header="", size=10):
        with wire.Wire(relay.port) as c:
            c.hello()
            c.envelope(to)
            return c.data(f"From: erp@contoso.com\r\n{header}\r\n".encode() + b"a line of text\r\n" * (size // 16 + 1))

    assert send("small@contoso.com").startswith("250")
    assert send("large@contoso.com", size=200_000).startswith("250")
    assert send("large@example.org", size=200_000).startswith("250")
    assert send("bulk@example.org", "x-class: Bulk mail\r\n").startswith("250")
    refusal = send("small@example.org")
    assert refusal.startswith("550 5.7.1") and "small@example.org" in refusal
    rows = wait_for(lambda: (r := [x for x in relay.rows("trace") if x["state"] == "delivered"]) and len(r) == 4 and r)
    assert {r["recipient"]: r["lane"] for r in rows} == {
        "small@contoso.com": "submission/erp@contoso.com", "large@contoso.com": "submission/crm@contoso.com",
        "large@example.org": "submission/crm@contoso.com", "bulk@example.org": "submission/crm@contoso.com"}
    assert len(sandbox.messages()) == 4, "who was refused was not half sent"
    assert relay.waiting() == []


def test_three_doors_one_message(submission, sandbox, password):
    second = sandbox()
    first, relay = submission(
        more_mailboxes=support.mailbox("third@contoso.com", second, password),
        routes="""
  - { recipient: "*@a.example", through: crm@contoso.com, rewrite_from: crm@contoso.com }
  - { recipient: "*@b.example", through: third@contoso.com, rewrite_from: third@contoso.com }
  - { through: sender }
""")
    to = [f"{n}@{d}.example" for d in "abc" for n in ("one", "two")]
    with wire.Wire(relay.port) as c:
        c.hello()
        c.envelope(*to)
        queue_id = re.search(r"queued as (\S+)", c.data(b"From: ERP <erp@contoso.com>\r\nSubject: three\r\n\r\nx\r\n")).group(1)
    rows = wait_for(lambda: (r := [x for x in relay.rows("trace") if x["state"] == "delivered"]) and len(r) == 6 and r)
    assert {r["id"] for r in rows} == {queue_id}
    assert sorted(r["recipient"] for r in rows) == sorted(to)
    assert {r["recipient"].split("@")[1]: r["lane"] for r in rows} == {
        "a.example": "submission/crm@contoso.com", "b.example": "submission/third@contoso.com",
        "c.example": "submission/erp@contoso.com"}
    # One timeline: three attempts, and each recipient in exactly one of them.
    story = relay.rows("queue", "show", queue_id)
    attempts = [x for x in story if x["type"] == "attempt"]
    assert {a["attempt"] for a in attempts} == {1, 2, 3}
    assert sorted(a["recipient"] for a in attempts) == sorted(to)
    assert len([x for x in story if x["type"] == "message"]) == 1
    # And on the other side: each recipient once, under the name of its door, the same message for all.
    got = {}
    for box in (first, second):
        for m in box.messages():
            parsed = email.message_from_bytes(box.raw(m["number"]), policy=email.policy.default)
            got.setdefault(parsed["Message-ID"], []).extend((r, parsed["From"]) for r in m["recipients"])
    assert len(got) == 1
    names = {"a": "crm", "b": "third", "c": "erp"}
    assert sorted(*got.values()) == sorted((t, f"ERP <{names[t.split('@')[1][0]]}@contoso.com>") for t in to)


# ---- the guide ----

@pytest.mark.parametrize("page, expected", [("devices.md", ["old-scanner"]), ("recipes.md", [])])
def test_the_yaml_of_the_guides_is_good(folder, page, expected):
    """What a reader copies passes `check`, once its files are there."""
    text = (pathlib.Path(__file__).parents[2] / "docs" / page).read_text()
    blocks = re.findall(r"^```yaml\n(.*?)^```", text, re.M | re.S)
    assert blocks
    _, cert, key = support.make_certificate(folder / "tls")
    secret, verifier = folder / "contoso.secret", folder / "grafana.scram"
    secret.write_text("not so secret\n")
    secret.chmod(0o600)
    support.run([support.POSTERN, "user", "add", "grafana", "--output", str(verifier)], input=b"a password\n")
    for n, block in enumerate(blocks):
        for name, path in (("relay.pem", cert), ("relay.key", key), ("contoso.secret", secret), ("grafana.scram", verifier)):
            block = block.replace(f"/etc/postern/{name}", str(path))
        # `check` looks whether the daemon could start here: this machine has neither that address nor the folder.
        block = re.sub(r"(10\.0\.5\.1|127\.0\.0\.1):\d+", lambda _: f"127.0.0.1:{support.free_port()}", block)
        block = re.sub(r"^data_dir:.*\n", "", block, flags=re.M)
        block = f"data_dir: {folder}/data\n" + block
        config = folder / f"guide-{n}.yaml"
        config.write_text(block)
        said = support.run([support.POSTERN, "check", "--config", str(config)]).stdout.decode().splitlines()
        # The certificate of the test ends soon, and old TLS is warned of.
        warnings = [line for line in said if "warning: " in line and "warning: certificate" not in line]
        assert len(warnings) == len(expected) and all(e in w for e, w in zip(expected, warnings)), said


WAYS = {  # from the same sources as dialogues.py: what a device may say that others may not
    "LF everywhere": ["EHLO fax\n", "MAIL FROM:<fax@contoso.com>\n", "RCPT TO:<anna@contoso.com>\n", "DATA\n", "Subject: way\n\npage 1\n.\n"],
    "CR CR LF everywhere": ["EHLO fax\r\r\n", "MAIL FROM:<x>\r\r\n", "RCPT TO:<anna@contoso.com>\r\r\n", "DATA\r\r\n",
                            "Subject: way\r\r\n\r\r\npage 1\r\r\n.\r\r\n"],
    "CR everywhere": ["EHLO fax\r", "MAIL FROM:<x>\r", "RCPT TO:<anna@contoso.com>\r", "DATA\r", "Subject: way\r\rpage 1\r.\r"],
    "no colon": ["HELO\r\n", "MAIL FROM <x>\r\n", "RCPT TO <anna@contoso.com>\r\n", "DATA\r\n", "Subject: way\r\n\r\npage 1\r\n.\r\n"],
    "a name": ["EHLO a b\r\n", "MAIL FROM:Scan <x>\r\n", "RCPT TO:Anna <anna@contoso.com>\r\n", "DATA\r\n", "Subject: way\r\n\r\npage 1\r\n.\r\n"],
    "blanks and NUL": ["NOOP\r\n", "MAIL FROM :x\r\n", "RCPT  TO : anna@contoso.com \r\n", "DATA \r\n", "Subject: way\r\n\r\npage\0 1\r\n.\r\n"],
}


@pytest.mark.parametrize("way", WAYS)
def test_devices_write_lines_and_paths_in_their_own_way(office, way):
    sandbox, _, port = office()
    with Device(port) as d:
        for line in WAYS[way]:
            d.send(line.encode())
            assert d.reply()[:1] in ("2", "3"), line
    found = delivered(sandbox)
    assert [m["subject"] for m in found] == ["way"] and found[0]["recipients"] == ["anna@contoso.com"]
    assert re.search(rb"\r\n\r\npage\?? 1\r\n$", sandbox.raw(found[0]["number"]))


@pytest.mark.parametrize("path", ["Anna b@example.org", "Anna", "<anna@contoso.com>,<bea@contoso.com>", "Anna, Bea <anna@contoso.com>",
                                  "anna@contoso.com bea@contoso.com", "anna@contoso.com <bea@contoso.com>"])
def test_a_device_reaches_nobody_it_did_not_name(office, path):
    sandbox, _, port = office(general="qualify: contoso.com")
    with Device(port) as d:
        d.must("EHLO copier", "250")
        d.must("MAIL FROM:<scan@contoso.com>", "250")
        answer = d.say(f"RCPT TO:{path}")
        assert answer.startswith("5") or path == "Anna", answer
