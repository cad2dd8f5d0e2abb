"""SMTP smuggling (end-of-data variants), header injection and other hostile input, over real sockets.

The shapes are those of the SMTP-Smuggling-Tools scanner, written anew.
"""
import socket

import pytest

import support
from support import wait_for

ENDINGS = {
    "LF.LF": b"\n.\n", "LF.CRLF": b"\n.\r\n", "CRLF.LF": b"\r\n.\n", "CR.CR": b"\r.\r", "CR.CRLF": b"\r.\r\n",
    "CRLF.CR": b"\r\n.\r", "LF.CR": b"\n.\r", "CR.LF": b"\r.\n", "CRLF NUL.CRLF": b"\r\n\x00.\r\n",
    "CRLF. NUL CRLF": b"\r\n.\x00\r\n", "CRCRLF.CRLF": b"\r\r\n.\r\n", "CRLF.CRCRLF": b"\r\n.\r\r\n",
    "LFCRLF.LFCRLF": b"\n\r\n.\n\r\n",
}
SECOND = b"MAIL FROM:<erp@contoso.com>\r\nRCPT TO:<smuggled@example.org>\r\nDATA\r\nSubject: smuggled\r\n\r\nboo\r\n.\r\n"


class Raw:
    def __init__(self, port):
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=support.PATIENCE)
        self.file = self.sock.makefile("rb")
        self.reply()

    def reply(self):
        lines = []
        while True:
            line = self.file.readline()
            if not line:
                return lines or None
            lines.append(line)
            if line[3:4] != b"-":
                return lines

    def say(self, data):
        self.sock.sendall(data)
        return self.reply()

    def start(self):
        assert self.say(b"EHLO client.example\r\n")[0].startswith(b"250")
        assert self.say(b"MAIL FROM:<erp@contoso.com>\r\n")[0].startswith(b"250")
        assert self.say(b"RCPT TO:<anna@example.org>\r\n")[0].startswith(b"250")

    def close(self):
        self.file.close()
        self.sock.close()


@pytest.mark.parametrize("name", ENDINGS)
def test_end_of_data_variant_never_makes_a_second_message(submission, name):
    sandbox, relay = submission()
    c = Raw(relay.port)
    c.start()
    assert c.say(b"DATA\r\n")[0].startswith(b"354")
    c.sock.sendall(b"Subject: first\r\n\r\nbody" + ENDINGS[name] + SECOND)
    first = c.reply()
    c.sock.sendall(b"QUIT\r\n")
    c.close()
    # Either the whole is one message, or it is refused whole; never two.
    if first and first[0].startswith(b"250"):
        wait_for(lambda: sandbox.messages())
    assert not [m for m in sandbox.messages() if m["subject"] == "smuggled"]
    assert not [r for r in relay.rows("trace") if r["recipient"] == "smuggled@example.org"]
    for m in sandbox.messages():
        raw = sandbox.raw(m["number"]).replace(b"\r\n", b"")
        assert b"\n" not in raw and b"\r" not in raw


@pytest.mark.parametrize("odd, becomes", [(b"a\nb\r\n", b"a\r\nb\r\n"), (b"a\rb\r\n", b"a\r\nb\r\n"), (b"a\x00b\r\n", b"a?b\r\n"),
                                          (b"x\r\n.\r", b"x\r\n.\r\n")], ids=["bare-LF", "bare-CR", "NUL", "CR-last"])
def test_odd_line_ends_of_bdat_get_one_form(submission, odd, becomes):
    sandbox, relay = submission()
    c = Raw(relay.port)
    c.start()
    body = b"Subject: bdat\r\n\r\n" + odd
    assert c.say(b"BDAT %d LAST\r\n" % len(body) + body)[0].startswith(b"250")
    assert c.say(b"NOOP\r\n")[0].startswith(b"250")
    c.close()
    found = wait_for(lambda: sandbox.messages())[0]
    assert sandbox.raw(found["number"]).endswith(b"\r\n\r\n" + becomes)


def test_bdat_in_chunks_arrives(submission):
    sandbox, relay = submission()
    c = Raw(relay.port)
    c.start()
    assert c.say(b"BDAT 10\r\nSubject: c")[0].startswith(b"250")
    assert c.say(b"BDAT 8\r\nhunks\r\n\r")[0].startswith(b"250")
    assert c.say(b"BDAT 12 LAST\r\n\n.\r\nno end\r\n")[0].startswith(b"250")
    c.close()
    found = wait_for(lambda: sandbox.messages())[0]
    assert found["subject"] == "chunks"
    assert sandbox.raw(found["number"]).endswith(b"\r\n\r\n.\r\nno end\r\n")


@pytest.mark.parametrize("command", [
    b"MAIL FROM:<erp@contoso.com\nRCPT TO:<x@y.example>\r\n",
    b"MAIL FROM:<erp@contoso.com> X=1\x00\r\n",
    b"MAIL FROM:<erp@contoso.com\r>\r\n",
    b'MAIL FROM:<"a\\\rb"@contoso.com>\r\n',
])
def test_injection_through_addresses_is_refused(submission, command):
    sandbox, relay = submission()
    c = Raw(relay.port)
    c.say(b"EHLO client.example\r\n")
    c.sock.sendall(command + b"NOOP\r\n")
    assert c.reply()[0][:1] == b"5"
    c.close()


def test_long_lines_are_refused_and_bounded(submission):
    sandbox, relay = submission()
    c = Raw(relay.port)
    c.say(b"EHLO client.example\r\n")
    c.sock.sendall(b"NOOP " + b"x" * 500000 + b"\r\n")
    assert c.reply()[0].startswith(b"500 5.5")
    assert c.say(b"NOOP\r\n")[0].startswith(b"250")
    c.close()


def test_endless_header_is_refused(submission):
    sandbox, relay = submission()
    c = Raw(relay.port)
    c.start()
    c.say(b"DATA\r\n")
    for _ in range(40):
        c.sock.sendall(b"".join(b"X-Filler-%d: %s\r\n" % (i, b"y" * 900) for i in range(20)))
    answer = c.say(b"\r\nbody\r\n.\r\n")
    assert answer[0].startswith(b"55"), answer
    c.close()
    assert relay.rows("trace") == []


def test_mail_loop_is_caught(submission):
    sandbox, relay = submission()
    c = Raw(relay.port)
    c.start()
    c.say(b"DATA\r\n")
    answer = c.say(b"Received: from a by b; Mon, 1 Jan 2024 00:00:00 +0000\r\n" * 120 + b"Subject: loop\r\n\r\nx\r\n.\r\n")
    assert answer[0].startswith(b"554 5.4.6"), answer
    c.close()


def test_http_on_the_smtp_port_is_cut(submission):
    sandbox, relay = submission()
    c = Raw(relay.port)
    c.sock.sendall(b"POST / HTTP/1.1\r\nHost: x\r\n\r\nMAIL FROM:<erp@contoso.com>\r\n")
    answers = []
    while True:
        r = c.reply()
        if not r:
            break
        answers += r
    assert not [a for a in answers if a.startswith(b"250")], answers
    c.close()


def test_commands_behind_starttls_are_thrown_away(submission, folder):
    import ssl
    ca, cert, key = support.make_certificate(folder / "tls")
    port = support.free_port()
    sandbox, relay = submission(listeners=f"""
  - address: 127.0.0.1:{port}
    tls: starttls
    certificate: {cert}
    key: file:{key}
    no_password_from: [127.0.0.0/8]
""")
    c = Raw(port)
    c.say(b"EHLO client.example\r\n")
    answer = c.say(b"STARTTLS\r\nMAIL FROM:<erp@contoso.com>\r\nRCPT TO:<injected@example.org>\r\n")
    assert answer[0].startswith(b"220")
    tls = ssl.create_default_context(cafile=str(ca)).wrap_socket(c.sock, server_hostname="localhost")
    tls.sendall(b"RCPT TO:<anna@example.org>\r\n")
    reply = tls.recv(1000)
    # The session begins anew: neither EHLO nor MAIL of the clear part count.
    assert reply.startswith(b"503"), reply
    tls.close()


def test_client_cut_at_any_byte_leaves_nothing(submission):
    sandbox, relay = submission()
    script = b"EHLO c\r\nMAIL FROM:<erp@contoso.com>\r\nRCPT TO:<anna@example.org>\r\nDATA\r\nSubject: cut\r\n\r\nx\r\n.\r"
    for end in range(0, len(script), 3):
        c = socket.create_connection(("127.0.0.1", relay.port))
        c.sendall(script[:end])
        c.close()
    c = Raw(relay.port)
    assert c.say(b"NOOP\r\n")[0].startswith(b"250")
    c.close()
    assert relay.rows("trace") == []
