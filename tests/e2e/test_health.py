"""`postern health`: one line and an exit code, for a user without any rights."""
import errno
import os
import re
import smtplib
import subprocess

import support
from faulty import faulty  # noqa: F401 (a fixture)
from support import wait_for

PERFDATA = re.compile(r"[a-z_]+=\d+(s|B)?;\d*;\d*;0")


def health(relay, *args, **kw):
    done = subprocess.run([support.POSTERN, "health", "--file", str(relay.control.parent / "health"), *args],
                          capture_output=True, text=True, timeout=support.PATIENCE, **kw)
    return done.returncode, done.stdout, done.stderr


def test_a_healthy_relay_is_ok(submission):
    sandbox, relay = submission()
    wait_for(lambda: (relay.control.parent / "health").exists())
    code, out, _ = health(relay)
    assert code == 0 and out.startswith("POSTERN OK - 0 waiting") and out.count("\n") == 1
    words, figures = out.strip().split(" | ")
    assert all(PERFDATA.fullmatch(f) for f in figures.split()), figures
    assert (relay.control.parent / "health").stat().st_mode & 0o777 == 0o644


def test_what_waits_for_a_person_is_a_warning_and_names_nobody(submission):
    sandbox, relay = submission("--scenario", "smtp-auth-off")
    with smtplib.SMTP("127.0.0.1", relay.port) as s:
        s.sendmail("erp@contoso.com", ["anna@example.org"], "Subject: waits\r\n\r\nx\r\n")
    wait_for(lambda: [r for r in relay.waiting() if r.get("reason")])
    code, out, _ = wait_for(lambda: (h := health(relay))[0] and h)
    assert code == 1 and "1 recipient, 1 mailbox " in out, out
    text = (relay.control.parent / "health").read_text()
    assert "contoso" not in text and "anna" not in text
    assert health(relay, "--waiting", "0,0", "--oldest", "0,0")[0] == 1


def test_a_disk_that_fails_is_critical(submission, faulty):
    _, relay = submission(start=False)
    relay.env = faulty.env
    relay.start()
    wait_for(lambda: health(relay)[0] == 0)
    faulty.fail("ws", errno.EIO, path="/data/queue.db")
    with smtplib.SMTP("127.0.0.1", relay.port, timeout=60) as s:
        assert s.mail("erp@contoso.com")[0] == 250
        assert s.rcpt("anna@example.org")[0] == 250
        assert s.data("Subject: x\r\n\r\nx\r\n")[0] in (451, 452)
    code, out, _ = wait_for(lambda: (h := health(relay))[0] and h)
    assert code == 2 and "the disk fails: new mail is refused" in out, out
    faulty.heal()
    wait_for(lambda: health(relay)[0] == 0)


def test_no_daemon_is_critical(submission, folder):
    sandbox, relay = submission()
    wait_for(lambda: (relay.control.parent / "health").exists())
    relay.stop()
    os.unlink(relay.control.parent / "health")
    code, out, _ = health(relay)
    assert code == 2 and "does not run" in out
    (relay.control.parent / "health").write_text("nonsense\n")
    assert health(relay)[0] == 2


def test_wrong_use_is_none_of_the_three(submission):
    sandbox, relay = submission(start=False)
    for args in (["--oldest", "1h"], ["--oldest", "x,y"], ["--waiting", "1,"], ["--nonsense"], ["now"]):
        code, out, err = health(relay, *args)
        assert code == 3 and not out and err, args
