"""alerts: one for an event, to a webhook that is signed, to a command, and by another mailbox."""
import datetime
import hashlib
import hmac
import http.server
import json
import smtplib
import ssl
import threading

import pytest
import support
from support import wait_for

KEY = "a-shared-secret"


@pytest.fixture
def receiver(folder):
    """An https server that keeps what it is sent; `answers` are given first, then 204."""
    ca, cert, key = support.make_certificate(folder / "receiver")

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            server.got.append((self.headers, body))
            self.send_response(server.answers.pop(0) if server.answers else 204)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.got, server.answers, server.ca = [], [], ca
    server.url = f"https://localhost:{server.server_address[1]}/hook?code=abc"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def no_date(rows):
    """Without what the calendar brings: passwords end some day."""
    return [x for x in rows if x["scope"] != "basic-authentication:submission"]


def events(receiver):
    return no_date([json.loads(body) for _, body in receiver.got])


def webhook(folder, receiver):
    secret = folder / "webhook.secret"
    secret.write_text(KEY + "\n")
    secret.chmod(0o600)
    return f'webhook: {{ url: "{receiver.url}", secret: "file:{secret}", ca_file: "{receiver.ca}" }}'


def send(relay, count=1, sender="erp@contoso.com"):
    with smtplib.SMTP("127.0.0.1", relay.port) as s:
        for i in range(count):
            s.sendmail(sender, ["anna@example.org"], f"Subject: {i}\r\n\r\nx\r\n".encode())


def state(relay, name="erp@contoso.com"):
    return [x for x in relay.rows("mailboxes") if x["name"] == name][0]["state"]


def switch(sandbox, to, *more):
    sandbox.settings(mailboxes=[{"address": a, "smtp_auth": to} for a in ("erp@contoso.com", *more)])


def test_one_for_fifty_messages_and_none_after_a_restart(submission, receiver, folder):
    s, r = submission(general=f"alerts: {{ {webhook(folder, receiver)} }}")
    switch(s, "off")
    send(r, 50)
    wait_for(lambda: state(r) == "parked" and events(receiver))
    (parked,) = events(receiver)
    assert parked["event"] == "parked" and parked["reason"] == "smtp-auth-off" and parked["freed_by"] == "probe"
    assert parked["scope"] == "mailbox:submission/erp@contoso.com" and parked["next_at"] and parked["since"]
    # What was sent is signed: over the time and the very bytes.
    headers, body = receiver.got[-1]
    fields = dict(part.split("=") for part in headers["Postern-Signature"].split(","))
    expected = hmac.new(KEY.encode(), fields["t"].encode() + b"." + body, hashlib.sha256).hexdigest()
    assert hmac.compare_digest(expected, fields["v1"])
    assert KEY not in r.log() and "code=abc" not in r.log()
    # Probes that fail again, a restart and its probe are the same event.
    r.cli("mailboxes", "--retry", "erp@contoso.com")
    r.stop()
    r.start()
    wait_for(lambda: len(s.get("/verdict")) and state(r) == "parked")
    send(r)
    r.cli("mailboxes", "--retry", "erp@contoso.com")
    switch(s, "on")
    wait_for(lambda: r.cli("mailboxes", "--retry", "erp@contoso.com") and s.messages(), every=0.5)
    wait_for(lambda: len(s.messages()) > 10 and len(events(receiver)) > 1)
    assert [e["event"] for e in events(receiver)] == ["parked", "released"]


def test_a_receiver_that_fails_is_asked_again(submission, receiver, folder):
    receiver.answers += [503]
    s, r = submission(general=f"alerts: {{ {webhook(folder, receiver)} }}")
    switch(s, "off")
    send(r)
    wait_for(lambda: len(receiver.got) >= 2)
    assert receiver.got[0][1] == receiver.got[1][1]
    wait_for(lambda: "trying again" in r.log())


def test_a_command_gets_it(submission, folder):
    program, out = folder / "alert.sh", folder / "alerts.jsonl"
    program.write_text(f'#!/bin/sh\n[ "$1" = --loud ] && cat >>{out} && echo >>{out}\n')
    program.chmod(0o755)
    s, r = submission(general=f'alerts: {{ command: "{program} --loud" }}')
    s.fault(at="dot", do="reply", reply="550 5.1.8 Access denied, bad outbound sender. AS(42004)")
    send(r, 3)
    (one,) = wait_for(lambda: out.exists() and no_date([json.loads(x) for x in out.read_text().splitlines() if x]))
    assert one["event"] == "reputation-hold" and one["freed_by"] == "person" and "next_at" not in one


def test_mail_goes_by_another_mailbox_and_never_by_the_parked_one(submission):
    s, r = submission(general="alerts: { mail: { to: it@example.net, through: [erp@contoso.com, crm@contoso.com] } }", start=False)
    switch(s, "off")
    r.start()
    send(r, 10)
    (alert,) = wait_for(lambda: [m for m in s.messages() if "smtp-auth-off" in m["subject"]])
    before = len(s.messages())
    assert alert["mailbox"] == "crm@contoso.com"
    raw = s.raw(alert["number"]).decode()
    assert "To: <it@example.net>" in raw and "Auto-Submitted: auto-generated" in raw and "smtp-auth-off" in raw
    # When the other is parked, too, nothing is left: no alert about the alert, and no bounce.
    s.fault(at="dot", do="reply", reply="550 5.1.8 Access denied, bad outbound sender. AS(42004)")
    send(r, 2, "crm@contoso.com")  # two that differ: one alone holds nothing
    wait_for(lambda: "is free: trying again" in r.log())
    assert state(r, "crm@contoso.com") == "parked" and len(s.messages()) == before


def test_what_is_wrong_with_the_section_is_said(submission, folder):
    s, r = submission(start=False)
    good = r.config.read_text()
    for section, words in (
            ("alerts: { webhook: { url: http://x.example } }", "secret"),
            ("alerts: { webhook: { url: http://x.example, secret: env:X } }", "must begin with https://"),
            ("alerts: { command: alert.sh }", "from the root"),
            ("alerts: { mail: { to: it@example.net, through: [crm@contoso.com, nobody@contoso.com] } }", "nobody@contoso.com"),
            ("alerts: { mail: { to: it@example.net } }", "through"),
            ("alerts: loud", "must be a map")):
        r.config.write_text(section + "\n" + good)
        done = support.run([support.POSTERN, "check", "--config", str(r.config)], code=78)
        assert words in (done.stdout + done.stderr).decode(), section


def test_what_ends_is_said_once(relay, receiver, folder):
    secret, soon = folder / "app.secret", datetime.date.today() + datetime.timedelta(days=20)
    secret.write_text("x\n")
    secret.chmod(0o600)
    sections = f"""
tenants:
  - name: contoso
    id: 00000000-0000-0000-0000-000000000000
    domains: [contoso.com]
    app: {{ client_id: 8c3f7a52-0d1e-4b6a-9f00-5d2f6c1b7e44, secret: "file:{secret}", secret_expires: {soon} }}
mailboxes:
  - {{ address: erp@contoso.com, tenant: contoso, auth: app }}
routes:
  - {{ through: erp@contoso.com }}
"""
    r = relay(sections, general=f"alerts: {{ {webhook(folder, receiver)} }}")
    wait_for(lambda: receiver.got)
    (one,) = events(receiver)
    assert one["event"] == "expiry" and one["scope"] == "client-secret:contoso" and one["ends_at"].startswith(str(soon))
    assert f"it ends on {soon}, in 1" in "".join(x.get("text", "") for x in r.rows("status") if x["type"] == "notice")
    assert f"client-secret of contoso: it ends on {soon}" in r.cli("check")
    r.cli("reload")
    r.stop()
    r.start()
    wait_for(lambda: [x for x in r.rows("status") if "client-secret" in x.get("text", "")])
    assert len(receiver.got) == 1
