"""`senders:` means what readers see, too: From, Sender, Resent-From. Checked by default, for whoever has a name."""
import os
import subprocess

import pytest

import peers
import support
from test_reload import add_user
from wire import Wire

LAB = "connectors:\n  - {{ name: lab, provider: smtp, host: 127.0.0.1, port: {port}, tls: none }}\n"

FORGERIES = {
    "another From": b"From: ceo@contoso.com\r\n",
    "From and Sender": b"From: ceo@contoso.com\r\nSender: ceo@contoso.com\r\n",
    "Sender alone": b"From: erp@contoso.com\r\nSender: CEO <ceo@contoso.com>\r\n",
    "a list": b"From: erp@contoso.com, ceo@contoso.com\r\n",
    "folded": b"From:\r\n ceo@contoso.com\r\n (erp@contoso.com)\r\n",
    "a group": b"From: staff:ceo@contoso.com;\r\n",
    "a group among others": b"From: erp@contoso.com, staff: erp@contoso.com, ceo@contoso.com;\r\n",
    "a blank before the colon": b"From : ceo@contoso.com\r\n",
    "case and tab": b"fRoM\t: ceo@contoso.com\r\n",
    "after a line of blanks": b"Subject: a\r\n \r\nFrom: ceo@contoso.com\r\n",
    "two that differ": b"From: erp@contoso.com\r\nFrom: ceo@contoso.com\r\n",
    "two that differ, the other way": b"From: ceo@contoso.com\r\nFrom: erp@contoso.com\r\n",
    "Resent-From": b"From: erp@contoso.com\r\nResent-From: ceo@contoso.com\r\n",
    "Resent-Sender": b"From: erp@contoso.com\r\nResent-From: erp@contoso.com\r\nResent-Sender: ceo@contoso.com\r\n",
    "a route in the address": b"From: <@relay.example:ceo@contoso.com>\r\n",
    "a quoted local part": b'From: "ceo"@contoso.com\r\n',
    "a comment that says otherwise": b"From: (erp@contoso.com) ceo@contoso.com (erp@contoso.com)\r\n",
}
# Nobody can tell what a reader makes of it, so it says the sender.
UNREADABLE = {
    "two brackets": b"From: <<ceo@contoso.com>>\r\n",
    "no comma": b"From: erp@contoso.com ceo@contoso.com\r\n",
    "a broken Sender": b"From: erp@contoso.com\r\nSender: <<ceo@contoso.com>>\r\n",
    "a broken Resent-From": b"From: erp@contoso.com\r\nResent-From: <<ceo@contoso.com>>\r\n",
    "two, one broken": b"From: <<ceo@contoso.com>>\r\nFrom: erp@contoso.com\r\n",
}
HONEST = {
    "the sender": b"From: erp@contoso.com\r\n",
    "another case": b"From: ERP <Erp@Contoso.COM>\r\n",
    "another sender of the user": b"From: shop@contoso.com\r\nSender: erp@contoso.com\r\n",
    "none": b"",
    "an empty one": b"From: \r\n",
    "a bare name": b"From: erp\r\n",
    "two, each allowed": b"From: erp@contoso.com\r\nFrom: shop@contoso.com\r\n",
    "twice the same": b"From: erp@contoso.com\r\nFrom: ERP <erp@contoso.com>\r\n",
    "a name with a comment": b"From: erp (Cron Daemon)\r\n",
    "8-bit name": b"From: M\xfcller <erp@contoso.com>\r\n",
    "Reply-To of a customer": b"From: erp@contoso.com\r\nReply-To: customer@example.org\r\n",
}


class From:
    def __init__(self, relay, sink, folder, user="", more="", routes="  - { through: lab }\n"):
        self.port, self.sink = support.free_port(), sink
        scram = add_user(folder, "app", "pw")
        self.relay = relay(
            f'users:\n  - {{ name: app, password: "file:{scram}", senders: [erp@contoso.com, shop@contoso.com]{user} }}\n'
            f"{more}" + LAB.format(port=sink.port) + "routes:\n" + routes,
            general="qualify: contoso.com\n",
            listeners=f"  - address: 127.0.0.1:{self.port}\n    auth: required\n    plaintext_auth: true\n")

    def send(self, header, sender="erp@contoso.com", port=None, source=None):
        with Wire(port or self.port, source=source) as c:
            c.hello()
            if not port:
                c.must("AUTH PLAIN " + peers.plain("app", "pw"), "235")
            c.envelope(sender=sender)
            return c.data(header + b"To: anna@example.org\r\n\r\nhello\r\n")

    def arrived(self):
        support.wait_for(lambda: self.sink.got)
        return self.sink.take()[0][-1]


def authors(message):
    """The lines of the fields that name an author, unfolded."""
    header = message.split(b"\r\n\r\n")[0].replace(b"\r\n ", b" ").replace(b"\r\n\t", b" ")
    return [line for line in header.split(b"\r\n")
            if line.split(b":")[0].strip().lower() in (b"from", b"sender", b"resent-from", b"resent-sender")]


def test_a_user_forges_no_author(relay, sink, folder):
    f = From(relay, sink, folder)
    for name, header in FORGERIES.items():
        answer = f.send(header)
        assert answer.startswith("550 5."), (name, answer)
        field = next(n for n in ("Resent-Sender", "Resent-From", "Sender", "From")
                     if n in answer.split("<")[0])
        assert field.encode().lower() in header.lower(), (name, answer)
        for part in ("ceo", "@contoso.com>", "user app", "erp@contoso.com, shop@contoso.com", "senders:", "from: force"):
            assert part in answer, (name, part, answer)
        assert len(answer) < 500
    for name, header in UNREADABLE.items():
        answer = f.send(header)
        assert answer.startswith("250"), (name, answer)
        message = f.arrived()
        assert b"ceo@" not in message, (name, message)
        assert b"From: erp@contoso.com" in authors(message), (name, message)
    for name, header in HONEST.items():
        answer = f.send(header)
        assert answer.startswith("250"), (name, answer)
        lines = [a.lower() for a in authors(f.arrived())]
        assert sum(a.startswith(b"from") for a in lines) == 1, (name, lines)
    log = f.relay.log()
    assert "NOQUEUE: reject: END-OF-MESSAGE" in log and "is not allowed for user app" in log


def test_a_user_is_forced_and_nothing_is_left(relay, sink, folder):
    f = From(relay, sink, folder, user=", from: force")
    for name, header in (FORGERIES | UNREADABLE | HONEST).items():
        answer = f.send(header)
        assert answer.startswith("250"), (name, answer)
        lines = authors(f.arrived())
        assert all(b"erp@contoso.com" in a for a in lines) and not any(b"ceo" in a.split(b"(")[0] for a in lines), (name, lines)
        assert sum(a.lower().startswith(b"from") for a in lines) == 1, (name, lines)


def test_a_user_may_be_left_alone(relay, sink, folder):
    f = From(relay, sink, folder, user=", from: any")
    assert f.send(b"From: ceo@contoso.com\r\nSender: boss@contoso.com\r\n").startswith("250")
    assert authors(f.arrived()) == [b"From: ceo@contoso.com", b"Sender: boss@contoso.com"]


def test_a_notice_without_a_sender_names_an_allowed_author(relay, sink, folder):
    f = From(relay, sink, folder)
    assert f.send(b"From: ceo@contoso.com\r\n", sender="").startswith("550 5.7.1")
    assert f.send(b"From: <<ceo@contoso.com>>\r\n", sender="").startswith("550 5.7.1")
    assert f.send(b"From: shop@contoso.com\r\n", sender="").startswith("250")


def test_hundreds_of_authors_are_refused(relay, sink, folder):
    f = From(relay, sink, folder)
    header = b"From: " + b",\r\n ".join([b"erp@contoso.com"] * 3000) + b"\r\n"
    assert f.send(header).startswith("550 5.7.1")


def test_printers_and_machines_of_the_network_go_on(relay, sink, folder):
    f = From(relay, sink, folder, more="devices:\n  - { name: printer, from: 127.0.0.9, sender: scan@contoso.com, recipients: any }\n")
    assert f.send(b"From: Scanner <whatever@printer.local>\r\nResent-From: ceo@contoso.com\r\nSender: ceo@contoso.com\r\n",
                  port=f.relay.port, source="127.0.0.9").startswith("250")
    assert authors(f.arrived()) == [b"From: Scanner <scan@contoso.com>", b"Resent-From: scan@contoso.com"]
    # A network without passwords is trusted with its senders.
    assert f.send(b"From: ceo@contoso.com\r\n", port=f.relay.port).startswith("250")
    assert authors(f.arrived()) == [b"From: ceo@contoso.com"]


def sendmail(f, message, *args):
    return subprocess.run([support.DROP, *args], input=message, capture_output=True, timeout=60,
                          env={**os.environ, "POSTERN_SUBMIT_SOCKET": str(f.relay.submit), "POSTERN_MAILDROP": str(f.relay.maildrop)})


CRON = b"From: root (Cron Daemon)\nTo: root\nSubject: Cron <root@relay> backup\n\ndone\n"
BY_SENDER = "  - { sender: erp@contoso.com, through: lab }\n  - { sender: root@contoso.com, through: lab }\n"


def test_local_users_write_what_they_could_send_as(relay, sink, folder):
    f = From(relay, sink, folder, routes=BY_SENDER)
    # As cron does it, and as PHP does it with -f and without.
    assert sendmail(f, CRON, "-FCronDaemon", "-i", "-odi", "-oem", "-oi", "-t", "-f", "root").returncode == 0
    assert b"root@contoso.com" in authors(f.arrived())[0]
    for args in (["-t", "-i"], ["-t", "-i", "-f", "erp@contoso.com"]):
        done = sendmail(f, b"From: ERP <erp@contoso.com>\nTo: anna@example.org\n\nx\n", *args)
        assert done.returncode == 0, done
        assert authors(f.arrived()) == [b"From: ERP <erp@contoso.com>"]
    done = sendmail(f, b"From: ceo@contoso.com\nTo: anna@example.org\n\nx\n", "-t", "-f", "erp@contoso.com")
    assert done.returncode != 0 and b"From: <ceo@contoso.com> is not allowed for local:" in done.stderr, done
    assert b"from: any" in done.stderr


@pytest.mark.parametrize("mode, code", [("check", 1), ("force", 0), ("any", 0)])
def test_local_users_have_rules_of_their_own(relay, sink, folder, mode, code):
    f = From(relay, sink, folder, more=f'  - {{ name: "local:*", from: {mode} }}\n', routes=BY_SENDER)
    done = sendmail(f, b"From: ceo@contoso.com\nTo: anna@example.org\n\nx\n", "-t", "-f", "erp@contoso.com")
    assert bool(done.returncode) == bool(code), done
    if mode != "check":
        assert authors(f.arrived()) == [b"From: ceo@contoso.com" if mode == "any" else b"From: erp@contoso.com"]


def test_a_local_user_has_senders_as_others_have(relay, sink, folder):
    me = subprocess.run(["id", "-un"], capture_output=True, text=True).stdout.strip()
    f = From(relay, sink, folder, more=f'  - {{ name: "local:{me}", senders: [shop@contoso.com] }}\n')
    assert sendmail(f, b"From: shop@contoso.com\nTo: a@example.org\n\nx\n", "-t", "-f", "shop@contoso.com").returncode == 0
    done = sendmail(f, b"To: a@example.org\n\nx\n", "-t", "-f", "erp@contoso.com")
    assert done.returncode != 0 and b"senders:" in done.stderr, done
    done = sendmail(f, b"From: erp@contoso.com\nTo: a@example.org\n\nx\n", "-t", "-f", "shop@contoso.com")
    assert done.returncode != 0 and b"only shop@contoso.com" in done.stderr, done


def test_local_mail_is_not_asked_where_a_route_takes_anybody(relay, sink, folder):
    f = From(relay, sink, folder)
    assert sendmail(f, b"From: John <a@b.example\nTo: a@example.org\n\nx\n", "-t", "-f", "erp@contoso.com").returncode == 0
    assert authors(f.arrived()) == [b"From: John <a@b.example"]


def test_the_maildrop_asks_the_same(relay, sink, folder):
    f = From(relay, sink, folder, routes=BY_SENDER)
    f.relay.stop()
    for sender in ("ceo", "erp"):
        assert sendmail(f, f"From: {sender}@contoso.com\nTo: anna@example.org\n\nx\n".encode(), "-t", "-f", "erp@contoso.com").returncode == 0
    f.relay.start()
    assert authors(f.arrived()) == [b"From: erp@contoso.com"]
    support.wait_for(lambda: "is not allowed for local:" in f.relay.log())
