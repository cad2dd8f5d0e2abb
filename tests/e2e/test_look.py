"""What an operator sees of 2,000 mailboxes: one screen, grouped by cause; lists with filters, order, pages and sums."""
import concurrent.futures
import fcntl
import json
import os
import pty
import re
import smtplib
import struct
import subprocess
import termios

import pytest

import support
from support import PATIENCE, POSTERN, run, wait_for

TENANTS, EACH = 8, 250
APP = "11111111-1111-1111-1111-111111111111"
WRONG = "22222222-2222-2222-2222-222222222222"
RESTRICTED = "550 5.1.8 Access denied, bad outbound sender. AS(42004)"
NO_SEND_AS = ("550 5.7.60 SMTP; Client does not have permissions to send as this sender "
              "[AM0PR01CA0101.eurprd01.prod.exchangelabs.com]")
FULL = "554 5.2.2 mailbox full; STOREDRV.Submission.Exception:QuotaExceededException.MapiExceptionShutoffQuotaExceeded; Failed to process message"


def address(tenant, n):
    return f"m{tenant * EACH + n:04d}@go{tenant}.example"


class Estate:
    """8 tenants with 250 mailboxes each; the app of t3 has a wrong secret."""

    def __init__(self, folder, sandbox, relay):
        good, bad = folder / "good.secret", folder / "bad.secret"
        good.write_text("sandbox")
        bad.write_text("wrong")
        for path in (good, bad):
            path.chmod(0o600)
        self.s = sandbox()
        self.s.settings(accepted_domains=[f"go{t}.example" for t in range(TENANTS)],
                        apps=[{"client_id": WRONG, "secret": "another"}])
        tenants = "".join(f"""
  - name: t{t}
    id: {t:08d}-0000-0000-0000-000000000000
    domains: [go{t}.example]
    app: {{ client_id: {WRONG if t == 3 else APP}, secret: "file:{bad if t == 3 else good}" }}
    endpoints: {{ login: "https://localhost:{self.s.https}", graph: "https://localhost:{self.s.https}", ca_file: {self.s.ca} }}"""
                          for t in range(TENANTS))
        boxes = "".join(f"""
  - {{ address: {address(t, n)}, tenant: t{t}, auth: app, limits: {{ messages_per_minute: 30 }}, endpoint: {{ host: localhost, port: {self.s.smtp}, ca_file: "{self.s.ca}" }} }}"""
                        for t in range(TENANTS) for n in range(EACH))
        self.r = relay(f"tenants:{tenants}\nmailboxes:{boxes}\nroutes:\n  - {{ sender: '*@shared.example', through: {address(5, 1)} }}\n"
                       "  - { through: sender }\n",
                       general="retry: { first: 600s, ceiling: 3600s }", start=False)
        self.r.start()

    def send(self, sender, count=1, to="anna@example.org", size=1):
        with smtplib.SMTP("127.0.0.1", self.r.port, timeout=PATIENCE) as c:
            for n in range(count):
                c.sendmail(sender, [to], f"From: {sender}\r\nSubject: invoice {n}\r\n\r\n{'x' * size}\r\n".encode())

    def status(self):
        return self.r.rows("status")

    def groups(self):
        return {(g["scope"], g["reason"]): g for g in self.status() if g["type"] == "group"}


@pytest.fixture(scope="module")
def estate(module_folder):
    folder = module_folder
    made = []

    def sandbox():
        made.append(support.Sandbox(folder / "sandbox"))
        return made[-1]

    def relay(*args, **kw):
        kw.pop("start")
        made.append(support.Relay(folder / "relay", *args, **kw))
        return made[-1]

    e = Estate(folder, sandbox, relay)
    e.s.fault(at="dot", do="reply", reply=RESTRICTED, match=address(1, 162))
    e.s.fault(at="mail", do="reply", reply=NO_SEND_AS, match="*@shared.example")
    e.s.fault(at="dot", do="reply", reply=FULL, match=address(2, 233))
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: e.send(address(3, n), 2), range(EACH)))
        list(pool.map(lambda n: e.send(address(n % TENANTS, n // TENANTS + 10)), [n for n in range(400) if n % TENANTS != 3]))
    e.send(address(1, 162), 2)
    e.send(address(2, 233), 2)
    e.send("invoices@shared.example", 3)
    wait_for(lambda: all(k in e.groups() for k in (("mailbox", "app-secret-wrong"), ("mailbox", "mailbox-restricted"),
                                                   ("mailbox", "mailbox-full"), ("sender", "send-as-denied")))
             and e.groups()["mailbox", "app-secret-wrong"]["waiting"] == 500, PATIENCE)
    yield e
    e.r.end()
    e.s.process.kill()


def on_a_terminal(e, *args, pager="", rows=40, columns=80):
    """What a person sees on a terminal of this size."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    child = subprocess.Popen([POSTERN, *args, "--config", str(e.r.config)], stdin=slave, stdout=slave, stderr=slave,
                             env={**os.environ, "TERM": "dumb", "PAGER": pager, "TZ": "Europe/Berlin"})
    os.close(slave)
    seen = b""
    while True:
        try:
            piece = os.read(master, 65536)
        except OSError:
            break
        if not piece:
            break
        seen += piece
    os.close(master)
    assert child.wait(PATIENCE) == 0, seen
    return seen.decode().replace("\r", "")


def test_the_screen_is_one_screen(estate):
    for text in (estate.r.cli("status"), on_a_terminal(estate, "status")):
        assert len(text.splitlines()) < 40, text
        assert text.index("needs you") < text.index("by itself") < text.index("healthy"), text
    # One word that is longer than the screen, as Exchange writes them, is not broken.
    assert max(len(line) for line in text.splitlines() if len(line.split()) > 1) <= 80
    flat = " ".join(text.split())
    assert "250 mailboxes of tenant t3: The app's secret is wrong (app-secret-wrong)" in flat
    assert re.search(r"parked since (\d{4}-\d\d-\d\d )?\d\d:\d\d \+0[12]:00 \(\d+ (s|min) ago\), 500 waiting", flat), flat
    assert WRONG in flat  # the app whose secret it is
    assert f"mailbox {address(1, 162)}: Microsoft has stopped this mailbox" in flat and "until a person releases it" in flat
    assert "mailboxes in 7 tenants" in flat and "recipients in 24 h" in flat
    assert not re.search(r"\b(APP|TENANT|SACDWV)\b", flat), flat


def test_groups_count_what_they_hold(estate):
    groups = estate.groups()
    secret = groups["mailbox", "app-secret-wrong"]
    assert (secret["count"], secret["waiting"], secret["tenant"], secret["needs"]) == (250, 500, "t3", "person")
    full = groups["mailbox", "mailbox-full"]
    assert (full["count"], full["waiting"], full["needs"], full["state"]) == (1, 2, "time", "parked")
    # Postern's own remedy first, then Exchange's.
    sender = groups["sender", "send-as-denied"]
    assert sender["waiting"] == 3 and sender["owner"] == "you" and "sender: rewrite" in sender["step"]
    assert "Send as" in sender["or"] and "invoices@shared.example" in sender["command"]
    well = [x for x in estate.status() if x["type"] == "healthy"]
    assert sum(x["mailboxes"] for x in well) == TENANTS * EACH - 252


def test_mailboxes_are_filtered_sorted_and_summed(estate):
    rows = estate.r.rows("mailboxes", "--state", "parked", "--sort", "name")
    assert len(rows) == 252 and [r["name"] for r in rows] == sorted(r["name"] for r in rows)
    assert all(r["who"] and r["step"] for r in rows)
    assert len(estate.r.rows("mailboxes", "--tenant", "t3", "--limit", "7")) == 7
    assert {r["tenant"] for r in estate.r.rows("mailboxes", "--cause", "app-secret-wrong")} == {"t3"}
    assert estate.r.rows("mailboxes")[0]["name"] == address(1, 162)  # what a person must do comes first
    text = estate.r.cli("mailboxes", "--limit", "3")
    assert "2,000 mailboxes and connectors:" in text and "252 parked" in text and "(3 shown)" in text
    six = estate.r.cli("mailboxes", address(3, 1))
    assert re.search(r"credentials +no .*secret", six) and "App registrations" in six
    assert f"domain authenticated      not looked at: postern domain check {address(3, 1).split('@')[1]}" in six


def test_mail_is_found_by_what_parks_it(estate):
    rows = estate.r.rows("queue", "list", "--state", "parked")
    assert len(rows) == 507 and all(r["parked"] and r["hold"]["who"] and r["hold"]["step"] for r in rows)
    assert {r["sender"] for r in estate.r.rows("queue", "list", "--tenant", "t5", "--state", "parked")} == {"invoices@shared.example"}
    newest = estate.r.rows("trace", "--sort", "newest", "--limit", "5")
    assert len(newest) == 5 and [r["accepted_at"] for r in newest] == sorted((r["accepted_at"] for r in newest), reverse=True)
    text = estate.r.cli("queue", "list", "--state", "parked", "--sort", "size", "--limit", "2")
    assert "507 recipients of 507 messages" in text and "507 parked; 2 shown" in text and text.count("  parked  ") == 2
    row = next(r for r in rows if r["sender"] == "invoices@shared.example")
    shown = estate.r.cli("queue", "show", row["id"])
    assert "parked" in shown and "its sender at this mailbox" in shown and "(in 14 days)" in shown and "sender: rewrite" in shown


def test_a_message_without_an_attempt_says_what_it_waits_for(estate):
    sender = address(6, 200)
    estate.send(sender, 80)
    last = wait_for(lambda: [r for r in estate.r.rows("queue", "list", "--sender", sender) if r["attempts"] == 0])[-1]
    shown = estate.r.cli("queue", "show", last["id"])
    assert re.search(rf"waits for the minute of {sender}: \d+ messages before it; leaves about .*\(in \d+ (s|min)\); the binding limit is 24\s+messages a minute \(80 % of 30\)", shown), shown
    row = [x for x in estate.r.rows("mailboxes", sender)][0]
    assert row["done_at"] > row["oldest_at"]


def test_what_is_not_known_is_an_error(estate):
    for args, near in ((("queue", "list", "--reason", "app-secret-wrnog"), "app-secret-wrong"),
                       (("trace", "--tenant", "tt3"), "t3"), (("mailboxes", "--cause", "mailbox-ful"), "mailbox-full")):
        done = run([POSTERN, *args, "--json", "--config", str(estate.r.config)], code=64)
        (line,) = done.stderr.splitlines()
        assert json.loads(line)["code"] == 64 and near in json.loads(line)["error"] and done.stdout == b""
    estate.r.cli("mailboxes", "nobody@go1.example", code=67)
    estate.r.cli("queue", "drop", "--yes", "--tenant", "t3", code=64)


def test_a_pager_on_a_terminal_and_never_in_a_pipe(estate, monkeypatch):
    paged = on_a_terminal(estate, "mailboxes", "--limit", "2", pager="sed -u 's/^/page: /'")
    assert paged.startswith("page: MAILBOX") and "page: 2,000 mailboxes" in paged
    assert on_a_terminal(estate, "mailboxes", "--limit", "2").startswith("MAILBOX")
    monkeypatch.setenv("PAGER", "sed 's/^/page: /'")
    assert estate.r.cli("mailboxes", "--limit", "2").startswith("MAILBOX")


def test_without_a_daemon_the_holds_are_known_and_the_status_says_69(estate):
    """The last one: it stops the relay."""
    estate.r.stop()
    text = estate.r.cli("status", code=69)
    assert "the daemon does not run" in text and "app-secret-wrong" in text and "mailbox-restricted" in text
    assert len(text.splitlines()) < 40
    lines = estate.r.cli("status", "--json", code=69).splitlines()
    assert any(json.loads(x).get("reason") == "send-as-denied" for x in lines)
    rows = estate.r.rows("queue", "list", "--state", "parked", "--tenant", "t3")
    assert len(rows) == 500
