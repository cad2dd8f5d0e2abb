"""What was said in an attempt that failed: shown on request, without secrets and bodies."""
import base64
import json
import smtplib
import socket
import threading

import pytest
import support
from aiosmtpd.controller import Controller
from support import wait_for
from test_hold import Server, door

SLOW = "retry: { first: 1h, ceiling: 1h, expire: 5d }"
PASSWORD = "correct-horse-battery"
BODY = "nobody else may read this"


class Refuses:
    async def handle_DATA(self, server, session, envelope):
        return "554-5.7.1 we do not want\r\n554 5.7.1 \x1b[31mthis one"


@pytest.fixture
def upstream():
    made = Controller(Refuses(), hostname="127.0.0.1", port=support.free_port())
    made.start()
    yield made
    made.stop()


def send(relay, to="anna@example.org"):
    with smtplib.SMTP("127.0.0.1", relay.port, timeout=support.PATIENCE) as s:
        s.sendmail("erp@contoso.com", [to], f"From: erp@contoso.com\r\nSubject: hello\r\n\r\n{BODY}\r\n".encode())


def shown(relay, queue_id):
    """The transcripts of `queue show`, as text and as JSON."""
    rows = [r for r in relay.rows("queue", "show", queue_id) if r["type"] == "transcript"]
    return relay.cli("queue", "show", "--transcript", queue_id), rows


def said(row, side):
    return [line["text"] for line in row["lines"] if line["from"] == side]


def test_a_message_that_was_refused(relay, upstream):
    r = relay(f"""
connectors:
  - {{ name: host, provider: smtp, host: 127.0.0.1, port: {upstream.port}, tls: none }}
routes: [{{ through: host }}]
""", SLOW)
    send(r)
    row = wait_for(lambda: [x for x in r.rows("trace") if x.get("state") == "bounced" and x["sender"]])[0]
    for _ in range(2):
        text, rows = shown(r, row["id"])
        assert [x["attempt"] for x in rows] == [1]
        ours, theirs = said(rows[0], "us"), said(rows[0], "server")
        assert "MAIL FROM:<erp@contoso.com>" in " ".join(ours) and "RCPT TO:<anna@example.org>" in ours
        assert ours[-1] == "." and ours[-2].startswith("DATA: ") and ours[-2].endswith(" bytes")
        assert theirs[-2] == "554-5.7.1 we do not want" and theirs[-1].startswith("554 5.7.1 ")
        assert len(rows[0]["lines"]) <= 20
        times = [line["ms"] for line in rows[0]["lines"]]
        assert times == sorted(times)
        assert "what was said in attempt 1" in text and "> RCPT TO:<anna@example.org>" in text
        assert BODY not in text + json.dumps(rows) and "\x1b" not in text
        # Who did not ask is told that it is there.
        assert f"queue show --transcript {row['id']}" in r.cli("queue", "show", row["id"])
        # It survives a restart.
        r.stop()
        r.start()


def test_a_message_that_went_has_none(relay):
    server = Server()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    r = relay(door(server), SLOW)
    send(r)
    row = wait_for(lambda: [x for x in r.rows("trace") if x.get("state") == "delivered"])[0]
    text, rows = shown(r, row["id"])
    assert rows == [] and "no transcript" in text
    server.shutdown()
    server.server_close()


BROKEN = {
    "no SMTP": (b"HTTP/1.1 400 Bad Request\r\n\r\n", "HTTP/1.1 400 Bad Request", "not SMTP"),
    "hangs up": (b"", None, "the connection is gone"),
    "refuses": (b"554 5.3.2 not today\r\n", "554 5.3.2 not today", None),
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_server_that_is_broken(relay, how):
    speaks, line, note = BROKEN[how]
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        while True:
            try:
                c, _ = listener.accept()
            except OSError:
                return
            c.sendall(speaks)
            c.close()

    threading.Thread(target=serve, daemon=True).start()
    r = relay(f"""
connectors:
  - {{ name: host, provider: smtp, host: 127.0.0.1, port: {listener.getsockname()[1]}, tls: none }}
routes: [{{ through: host }}]
""", SLOW)
    send(r)
    row = wait_for(lambda: [x for x in r.waiting() if x.get("hold")])[0]
    text, rows = shown(r, row["id"])
    # No attempt was made: it is the mailbox that could not be used.
    assert [x.get("lane") for x in rows] == ["smtp/host"]
    if line:
        assert said(rows[0], "server")[0] == line and f"< {line}" in text
    if note:
        assert note in " ".join(said(rows[0], "note"))
    listener.close()


def forms(secret):
    coded = base64.b64encode(f"\0erp@contoso.com\0{secret}".encode()).decode()
    return [secret, base64.b64encode(secret.encode()).decode().rstrip("="), coded.rstrip("="), coded[-16:].rstrip("=")]


@pytest.mark.parametrize("reply", [
    f"535 5.7.8 bad password '{PASSWORD}'",
    f"535 5.7.8 you said {base64.b64encode(PASSWORD.encode()).decode()}",
    "535 5.7.8 you said " + forms(PASSWORD)[2],
])
def test_no_secret_is_shown(relay, sandbox, folder, password, reply):
    box = sandbox()
    box.fault(at="auth", do="reply", reply=reply)
    password.write_text(PASSWORD)
    r = relay(support.TENANT + "mailboxes:" + support.mailbox("erp@contoso.com", box, password) +
              "routes: [{ through: erp@contoso.com }]\n", SLOW)
    send(r)
    row = wait_for(lambda: [x for x in r.waiting() if x.get("hold", {}).get("scope") == "mailbox"])[0]
    for _ in range(2):
        text, rows = shown(r, row["id"])
        assert "[secret]" in text and "535 5.7.8" in text
        assert any(x.startswith("AUTH ") for x in said(rows[0], "us"))
        r.stop()
        r.start()
        wait_for(lambda: [x for x in r.waiting() if x.get("hold", {}).get("scope") == "mailbox"])
    everything = text + json.dumps(rows) + r.cli("queue", "show", row["id"]) + r.log()
    report = folder / "report.txt"
    for more in ([], ["--json"]):
        done = support.run([support.POSTERN, "check", "erp@contoso.com", "--verbose", "--report", str(report), *more,
                            "--config", str(r.config)], code=77)
        everything += done.stdout.decode() + done.stderr.decode() + report.read_text()
    steps = [json.loads(x) for x in done.stdout.decode().splitlines()]
    assert any("AUTH " in line["text"] for s in steps for line in s.get("transcript", []))
    assert "> EHLO " in report.read_text()
    for form in forms(PASSWORD):
        assert form not in everything
