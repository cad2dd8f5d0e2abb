"""`postern health`: one line and an exit code, for a user without any rights."""
import errno
import os
import re
import smtplib
import subprocess
import threading

import support
from faulty import faulty  # noqa: F401 (a fixture)
from peers import plain
from support import wait_for
from test_reload import add_user
from wire import Wire

PERFDATA = re.compile(r"[a-z_]+=\d+(s|us|B)?;\d*;\d*;0")


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


def test_who_is_turned_away_is_counted(relay, folder):
    """The same figures in `status`, its JSON and the health file, from which Prometheus and Zabbix take them."""
    scram, port = add_user(folder, "erp", "right"), support.free_port()
    r = relay(f'users:\n  - {{ name: erp, password: "file:{scram}", senders: ["*"], messages_per_day: 1 }}\n'
              "connectors:\n  - { name: lab, provider: smtp, host: 127.0.0.1, port: 9, tls: none }\nroutes:\n  - { through: lab }\n",
              general="limits: { inbound_connections: 60, inbound_memory: 8MB }",
              listeners=f"  - address: 127.0.0.1:{port}\n    auth: required\n    plaintext_auth: true\n")

    def figures():
        return dict(line.split() for line in (r.control.parent / "health").read_text().splitlines())

    def sign_in(c, password):
        c.hello()
        return c.say("AUTH PLAIN " + plain("erp", password))

    def guess(n):
        with Wire(port) as c:
            answer = sign_in(c, f"wrong{n}")
            assert answer[:3] in ("535", "454"), answer

    # Ten of them are checked, the others are not any more; at once, since each waits for its answer.
    guessers = [threading.Thread(target=guess, args=(n,)) for n in range(20)]
    for g in guessers:
        g.start()
    for g in guessers:
        g.join()
    with Wire(port, source="127.0.0.3") as c:
        assert sign_in(c, "right").startswith("235")
        c.envelope()
        assert c.data(b"Subject: one\r\n\r\nx\r\n").startswith("250")
        c.must("MAIL FROM:<erp@contoso.com>", "452")
        found = next(x for x in r.rows("status") if x["type"] == "clients")
        assert found["sign_ins_failed"] >= 10 and found["sign_ins_failed"] + found["sign_ins_blocked"] == 20, found
        assert (found["quota_refused"], found["sessions"], found["sessions_max"]) == (1, 1, 60), found
        assert 0 < found["memory_bytes"] < found["memory_max_bytes"] == 8 << 20, found
        assert found["refused"] == 1, found
        text = r.cli("status")
        assert f"{found['sign_ins_failed']} sign-ins failed since the start" in text and "1 of 60 sessions" in text, text
        wait_for(lambda: figures().get("quota_refused_total") == "1")
        known = figures()
        assert known["sign_ins_failed_total"] == str(found["sign_ins_failed"]) and known["inbound_sessions"] == "1", known
        assert known["sign_ins_blocked_total"] == str(found["sign_ins_blocked"]) and known["inbound_refused_total"] == "1", known
        assert known["inbound_sessions_max"] == "60" and known["inbound_memory_max_bytes"] == str(8 << 20), known
