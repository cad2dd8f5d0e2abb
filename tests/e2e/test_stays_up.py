"""Nothing around the relay stops it: its log's reader, its folders, its disk, its clock, its start."""
import fcntl
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
