"""Who may send what through the relay: never an open relay, senders by user, guesses slowed down."""
import base64
import smtplib
import socket
import time

import pytest

import support
from support import wait_for
from test_smuggling import Raw


def test_without_password_only_from_loopback_networks(relay, folder):
    """A listener that says nothing takes mail without a password from loopback only."""
    r = relay("connectors:\n  - { name: lab, provider: smtp, host: 127.0.0.1, port: 1, tls: none }\n"
              "routes:\n  - { through: lab }\n",
              listeners="  - address: 127.0.0.1:%d\n    no_password_from: [\"192.0.2.0/24\"]\n" % (port := support.free_port()))
    with socket.create_connection(("127.0.0.1", port), timeout=30) as c:
        assert c.recv(1000).startswith(b"554 5.7.1"), "refused at the greeting"
        assert c.recv(1000) == b""


def test_sender_without_a_route_is_refused_at_once(submission):
    sandbox, relay = submission()
    c = Raw(relay.port)
    c.say(b"EHLO client.example\r\n")
    answer = c.say(b"MAIL FROM:<stranger@elsewhere.example>\r\n")
    if answer[0].startswith(b"250"):
        answer = c.say(b"RCPT TO:<anna@example.org>\r\n")
    assert answer[0].startswith(b"550 5.7.1"), answer
    c.close()


def secured(relay, sandbox, password, folder, senders="[erp@contoso.com]"):
    s = sandbox()
    scram = folder / "erp.scram"
    (folder / "erp.pass").write_text("correct horse")
    support.run([support.POSTERN, "user", "add", "erp", "--password-file", str(folder / "erp.pass"), "--output", str(scram)])
    port = support.free_port()
    r = relay(support.TENANT + "mailboxes:" + support.mailbox("erp@contoso.com", s, password) +
              support.mailbox("crm@contoso.com", s, password) +
              f'\nusers:\n  - {{ name: erp, password: "file:{scram}", senders: {senders} }}\nroutes:\n  - {{ through: sender }}\n',
              listeners=f"  - address: 127.0.0.1:{port}\n    auth: required\n    plaintext_auth: true\n")
    return s, r, port


def login(c, user, password):
    token = base64.b64encode(b"\0" + user + b"\0" + password)
    return c.say(b"AUTH PLAIN " + token + b"\r\n")


def test_auth_required_even_on_loopback(relay, sandbox, password, folder):
    s, r, port = secured(relay, sandbox, password, folder)
    c = Raw(port)
    c.say(b"EHLO client.example\r\n")
    assert c.say(b"MAIL FROM:<erp@contoso.com>\r\n")[0].startswith(b"530 5.7.0")
    c.close()


def test_user_may_use_only_his_senders(relay, sandbox, password, folder):
    s, r, port = secured(relay, sandbox, password, folder)
    c = Raw(port)
    c.say(b"EHLO client.example\r\n")
    assert login(c, b"erp", b"correct horse")[0].startswith(b"235 2.7.0")
    answer = c.say(b"MAIL FROM:<crm@contoso.com>\r\n")
    assert answer[0].startswith(b"553 5.7.1") or answer[0].startswith(b"550 5.7.1"), answer
    assert c.say(b"MAIL FROM:<erp@contoso.com>\r\n")[0].startswith(b"250")
    c.close()


def test_guessing_ends_in_421_and_known_and_unknown_users_look_alike(relay, sandbox, password, folder):
    s, r, port = secured(relay, sandbox, password, folder)
    seen = {}
    for user in (b"erp", b"nobody"):
        c = Raw(port)
        c.say(b"EHLO client.example\r\n")
        replies = []
        while True:
            answer = login(c, user, b"wrong")
            if not answer:
                break
            replies.append(answer[0])
            if answer[0].startswith(b"421"):
                break
        seen[user] = [a[:9] for a in replies]
        assert any(a.startswith(b"421") for a in replies) or len(replies) <= 5, replies
        c.close()
    assert seen[b"erp"] == seen[b"nobody"]
    wait_for(lambda: r.log().count("authentication failed: ") >= 4)


def test_thousand_idle_connections_leave_room_for_work(submission):
    sandbox, relay = submission(general="limits: { inbound_connections: 3000 }",
                                listeners="")
    idle = []
    try:
        for _ in range(1000):
            s = socket.create_connection(("127.0.0.1", relay.port))
            idle.append(s)
        with smtplib.SMTP("127.0.0.1", relay.port, timeout=support.PATIENCE) as s:
            s.sendmail("erp@contoso.com", ["anna@example.org"], "Subject: room\r\n\r\nx\r\n")
        wait_for(lambda: sandbox.messages())
        with open(f"/proc/{relay.process.pid}/status") as f:
            rss_kb = next(int(line.split()[1]) for line in f if line.startswith("VmRSS"))
        assert rss_kb < 64 * 1024, rss_kb
    finally:
        for s in idle:
            s.close()


def test_slow_client_does_not_stop_others(submission):
    sandbox, relay = submission()
    slow = Raw(relay.port)
    slow.start()
    slow.say(b"DATA\r\n")
    slow.sock.sendall(b"S")
    with smtplib.SMTP("127.0.0.1", relay.port) as s:
        s.sendmail("erp@contoso.com", ["anna@example.org"], "Subject: quick\r\n\r\nx\r\n")
    wait_for(lambda: sandbox.messages())
    slow.close()


def test_a_pooled_session_lives_on_after_mistyped_addresses(submission):
    """A mailer keeps one connection for thousands of messages: errors in a row count, not those of the session's life."""
    sandbox, relay = submission()
    c = Raw(relay.port)
    c.say(b"EHLO mailer\r\n")
    for n in range(40):
        assert c.say(b"MAIL FROM:<erp@contoso.com>\r\n")[0].startswith(b"250")
        assert c.say(b"RCPT TO:<mistyped@@example.org>\r\n")[0].startswith(b"55")
        assert c.say(b"VRFY anna\r\n")[0].startswith(b"252")
        assert c.say(b"RCPT TO:<anna@example.org>\r\n")[0].startswith(b"250")
        assert c.say(b"DATA\r\n")[0].startswith(b"354")
        assert c.say(b"Subject: %d\r\n\r\nx\r\n.\r\n" % n)[0].startswith(b"250 2.0.0"), n
    replies = [c.say(b"RCPT TO:<mistyped@@example.org>\r\n")[0][:3] for _ in range(21)]
    assert replies[-1] == b"421" and b"421" not in replies[:-1], replies
    c.close()
