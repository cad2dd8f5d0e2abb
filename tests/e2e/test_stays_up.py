"""Nothing around the relay stops it: its log's reader, its folders, its disk, its clock, its start."""
import fcntl
import json
import os
import smtplib
import subprocess

import support
from support import POSTERN, wait_for


def send(relay, *recipients, sender="erp@contoso.com", subject="t"):
    with smtplib.SMTP("127.0.0.1", relay.port, timeout=60) as s:
        return s.sendmail(sender, recipients or ["anna@example.org"],
                          f"From: {sender}\r\nSubject: {subject}\r\n\r\nx\r\n")


# ---- the log ----

def test_a_log_reader_that_stalls_does_not_stop_the_mail(submission):
    sandbox, relay = submission(start=False)
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    process = subprocess.Popen([POSTERN, "serve", "--config", str(relay.config)], stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL, stderr=writing)
    os.close(writing)
    try:
        wait_for(lambda: support.listens(relay.port) and relay.control.exists())
        # Some hundred bytes of log for each recipient: the pipe is full after twenty.
        for n in range(0, 60, 6):
            send(relay, *(f"u{i}@example.org" for i in range(n, n + 6)))
        wait_for(lambda: len([r for r in relay.rows("trace") if r["state"] == "delivered"]) == 60)
        process.terminate()
        with os.fdopen(reading, "rb") as log:
            text = log.read().decode()
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
    # The reader came back in time: it misses nothing.
    assert "lost" not in text
    assert all(f"to=<u{n}@example.org>" in text for n in range(60))
    assert text.rstrip().endswith("ended")


# ---- the maildrop ----

def test_a_recipient_refused_in_the_maildrop_bounces_to_its_sender(submission, folder):
    sandbox, relay = submission(start=False)
    env = {**os.environ, "POSTERN_SUBMIT_SOCKET": str(relay.submit), "POSTERN_MAILDROP": str(relay.maildrop)}
    done = support.run([support.DROP, "-f", "erp@contoso.com", "anna@example.org", "bob"], input=b"Subject: local\n\nx\n", env=env)
    assert done.returncode == 0
    relay.start()
    wait_for(lambda: not relay.waiting())
    rows = {r["recipient"]: r for r in relay.rows("trace")}
    assert rows["anna@example.org"]["state"] == "delivered"
    assert rows["bob"]["state"] == "bounced" and "no domain" in rows["bob"]["reply"]
    # The notice went to the sender, and the maildrop is empty.
    notice = [m for m in sandbox.messages() if "erp@contoso.com" in json.dumps(m.get("recipients", m))]
    assert len(notice) == 1
    text = sandbox.raw(notice[0]["number"]).decode()
    assert "Final-Recipient: rfc822; bob" in text and "553 5.1.3" in text
    assert not list(relay.maildrop.iterdir())
