"""What users and accounts of this machine may send in a day, over a kill, a restart and a reload; printers have theirs in
test_devices.py."""
import os
import re
import subprocess


import peers
import support
from support import wait_for
from test_reload import add_user
from wire import Wire

LAB = "connectors:\n  - {{ name: lab, provider: smtp, host: 127.0.0.1, port: {port}, tls: none }}\nroutes:\n  - {{ through: lab }}\n"


def sendmail(relay, subject):
    done = subprocess.run([support.DROP, "-f", "erp@contoso.com", "anna@example.org"], input=f"Subject: {subject}\n\nx\n".encode(),
                          capture_output=True, timeout=support.PATIENCE,
                          env={**os.environ, "POSTERN_SUBMIT_SOCKET": str(relay.submit), "POSTERN_MAILDROP": str(relay.maildrop)})
    assert done.returncode == 0, done


def row(relay, type_):
    return next(r for r in relay.rows("status") if r["type"] == type_)


def test_mail_of_an_account_waits_for_its_quota_and_is_not_lost(relay, sink):
    def sections(n):
        return f'users:\n  - {{ name: "local:*", messages_per_day: {n} }}\n' + LAB.format(port=sink.port)

    def arrived():
        return {m for *_, message in sink.got for m in re.findall(rb"Subject: (\S+)", message)}

    r = relay(sections(2))
    sendmail(r, "one")
    wait_for(lambda: arrived() and not r.waiting())
    # The rest is left for the daemon, which is killed meanwhile and finds one place only.
    r.kill()
    for subject in ("two", "three", "four"):
        sendmail(r, subject)
    r.start()
    wait_for(lambda: len(arrived()) == 2)
    wait_for(lambda: "mail in the maildrop must wait: Quota of user local:" in r.log())
    me = subprocess.run(["id", "-un"], capture_output=True, text=True).stdout.strip()
    found = row(r, "user")
    assert (found["name"], found["day_messages_used"], found["day_messages_capacity"]) == (f"local:{me}", 2, 2)
    assert "2 of 2 messages in 24 h" in r.cli("status")
    # With the daemon there, sendmail asks it first, and then leaves it there all the same.
    sendmail(r, "five")
    assert len(list(r.maildrop.glob("*.msg"))) == 3
    assert row(r, "user")["quota_refused"] == 1
    r.write(sections(4))
    r.cli("reload")
    wait_for(lambda: len(arrived()) == 4)
    assert len(list(r.maildrop.glob("*.msg"))) == 1
    r.write(sections(0))
    r.cli("reload")
    wait_for(lambda: arrived() == {b"one", b"two", b"three", b"four", b"five"})
    wait_for(lambda: not list(r.maildrop.iterdir()))
    assert len(sink.got) == 5


def test_a_user_has_recipients_and_bytes_a_day(relay, sink, folder):
    scram, port = add_user(folder, "app", "pw"), support.free_port()

    def sections(quota):
        return (f'users:\n  - {{ name: app, password: "file:{scram}", senders: ["*@contoso.com"]{quota} }}\n'
                + LAB.format(port=sink.port))

    listeners = f"  - address: 127.0.0.1:{port}\n    auth: required\n    plaintext_auth: true\n"

    def session():
        c = Wire(port)
        c.hello()
        c.must("AUTH PLAIN " + peers.plain("app", "pw"), "235")
        c.must("MAIL FROM:<erp@contoso.com>", "250")
        return c

    r = relay(sections(", per_day: 2, bytes_per_day: 100KB"), listeners=listeners)
    with session() as c:
        c.must("RCPT TO:<anna@example.org>", "250")
        assert c.data(b"Subject: one\r\n\r\nx\r\n").startswith("250")
    r.stop()
    r.start()
    with session() as c:
        c.must("RCPT TO:<anna@example.org>", "250")
        refusal = c.must("RCPT TO:<bea@example.org>", "452")
        assert refusal.startswith("452 4.7.1 Quota of user app is used up: 2 recipients a day; see its `per_day:`"), refusal
        # Others of the machine are not stopped by it.
        with Wire(r.port) as other:
            other.hello()
            other.envelope()
            assert other.data(b"Subject: other\r\n\r\nx\r\n").startswith("250")
        # A reload is for sessions that are open, too.
        r.write(sections(", per_day: 3, bytes_per_day: 100KB"), listeners=listeners)
        r.cli("reload")
        c.must("RCPT TO:<bea@example.org>", "250")
        answer = c.data(b"Subject: two\r\n\r\n" + b"0123456789abcd\r\n" * 8000)
        assert answer.startswith("552 5.3.4 The message exceeds what user app may send at all: 100 KB a day"), answer
        c.must("MAIL FROM:<erp@contoso.com>", "250")
        c.must("RCPT TO:<anna@example.org>", "250")
        c.must("RCPT TO:<bea@example.org>", "250")
        assert c.data(b"Subject: two\r\n\r\n" + b"0123456789abcd\r\n" * 6000).startswith("250")
    found = row(r, "user")
    assert (found["day_used"], found["day_capacity"]) == (3, 3)
    assert (found["day_bytes_used"], found["day_bytes_capacity"]) == (95 * 1024, 100 * 1024)
    # One recipient and one message too many, since the restart.
    assert (found["accepted"], found["quota_refused"]) == (1, 2)
    # It is no lane, whatever the ledger holds.
    assert not [x for x in r.rows("status") if x["type"] == "lane" and "user" in x["lane"]]
