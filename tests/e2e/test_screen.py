"""The border of every terminal: what strangers write is shown and steers nothing, whatever command prints it, as text, report or JSON."""
import json
import re
import socketserver
import threading

import pytest

import support
from support import POSTERN, run
from wire import Wire

# A title, a cleared screen, a colour in C1 (UTF-8 and raw), backspaces, DEL, an override of the direction of writing, isolates, separators.
ATTACK = ("\x1b]0;pwned\x07\x1b[2J\u009b31m\x7f\x08\x08\u202e\u2066\u200f\u2028").encode() + b"\x0e"
RAW = ATTACK + b"\x9b1m\xff"  # no UTF-8


def steers(output: bytes):
    """What a terminal would obey, with where it stands."""
    text = output.decode("utf-8", "surrogateescape")
    found = [(i, hex(ord(c))) for i, c in enumerate(text)
             if (ord(c) < 0x20 and c not in "\n") or 0x7f <= ord(c) < 0xa0 or 0x202a <= ord(c) <= 0x202e or 0x2066 <= ord(c) <= 0x2069
             or ord(c) in (0x61c, 0x200e, 0x200f, 0x2028, 0x2029) or 0xdc80 <= ord(c) <= 0xdcff]
    return [(where, what, text[max(0, where - 60):where + 20]) for where, what in found]


class Hostile(socketserver.ThreadingTCPServer):
    """An SMTP server that says ATTACK at one step."""
    daemon_threads = allow_reuse_address = True

    def __init__(self, step, code):
        self.step, self.code, self.attack = step, code, RAW if code % 2 else ATTACK
        super().__init__(("127.0.0.1", 0), None)
        self.port = self.server_address[1]
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def finish_request(self, request, client_address):
        try:
            self.talk(request)
        except OSError:
            pass

    def talk(self, k):
        def say(step, normal):
            k.sendall(b"%d 5.7.1 %s end\r\n" % (self.code, self.attack) if step == self.step else normal)

        say("greeting", b"220 x ESMTP\r\n")
        lines, body = k.makefile("rb"), False
        while line := lines.readline():
            verb = line[:4].upper().strip().decode("latin-1")
            if body:
                body = line != b".\r\n"
                if not body:
                    say("end", b"250 ok\r\n")
            elif verb == "EHLO":
                say("EHLO", b"250-x\r\n250-AUTH PLAIN\r\n250 SMTPUTF8\r\n")
            elif verb == "DATA":
                body = self.step != "DATA"
                say("DATA", b"354 go\r\n")
            elif verb == "AUTH":
                say("AUTH", b"235 ok\r\n")
            else:
                say(verb, b"221 x\r\n" if verb == "QUIT" else b"250 ok\r\n")


def connector(name, server, login=""):
    return f"  - {{ name: {name}, provider: smtp, host: 127.0.0.1, port: {server.port}, tls: none{login} }}\n"


@pytest.fixture
def servers():
    made = []

    def make(step, code):
        made.append(Hostile(step, code))
        return made[-1]

    yield make
    for s in made:
        s.shutdown()
        s.server_close()


COMMANDS = [["status"], ["queue", "list"], ["queue", "summary"], ["queue", "show", "ID"], ["mailboxes"], ["trace", "--since", "1d"],
            ["trace", "--to", "*@example.org"], ["report", "--since", "1d"], ["report"], ["explain", "--unknown"], ["queue", "hold", "ID"],
            ["queue", "release", "ID"], ["user", "list"], ["check"], ["health"]]


def test_no_field_of_a_message_or_a_reply_steers_a_terminal(relay, servers):
    """Addresses, subjects, names, Message-IDs, EHLO; replies to every step; every command, as text, JSON and in the log."""
    steps = [("greeting", 554), ("EHLO", 553), ("MAIL", 550), ("RCPT", 550), ("RCPT", 450), ("DATA", 554), ("end", 451), ("end", 554), ("end", 250)]
    r = relay("connectors:\n" + "".join(connector(f"c{i}", servers(*s)) for i, s in enumerate(steps)) +
              "routes:\n" + "".join(f'  - {{ recipient: "*@{i}.example.org", through: c{i} }}\n' for i in range(len(steps))),
              general="retry: { first: 1h, ceiling: 1h, expire: 5d }\n")
    ids = []
    for i in range(len(steps)):
        with Wire(r.port) as c:
            c.send(b"EHLO a" + ATTACK + b"\r\n")
            c.reply()
            c.must("EHLO a.example", "250")
            c.send(b"MAIL FROM:<\xe2\x80\xaeevil@contoso.com> SMTPUTF8\r\n")
            assert c.reply().startswith("250")
            c.send(b"RCPT TO:<\xe2\x80\xaegro.\xe2\x81\xa6x@%d.example.org>\r\n" % i)
            assert c.reply().startswith("250")
            answer = c.data(b"From: \"" + ATTACK + b"\" <a@b>\r\nTo: x\r\nSubject: " + (RAW if i % 2 else ATTACK) + b" \r\n\tfolded\r\nMessage-ID: <\x1b[31mx@y>\r\n\r\nx\r\n")
            assert answer.startswith("250"), answer
            ids.append(answer.split()[-1])
    support.wait_for(lambda: {row["id"] for row in r.rows("trace", "--since", "1d") if row.get("reply")} >= set(ids))
    saw = b""
    for command in COMMANDS:
        for message in (ids if "ID" in command else ids[:1]):
            words = [message if w == "ID" else w for w in command]
            for extra in ([], ["--json"]):
                done = run([POSTERN, *words, *extra, "--config", str(r.config)], code=None)
                out = done.stdout + done.stderr
                assert not steers(out), (words, extra, steers(out)[:3])
                if extra and done.returncode == 0:
                    [json.loads(line) for line in done.stdout.decode("utf-8").splitlines()]
                saw += out
    # It was there, and it is shown.
    for part in (rb"\x1b]0;pwned\x07", rb"\xe2\x80\xae", rb"\x7f", rb"\x09folded"):
        assert part in saw, part
    for part in (b"\\u001b", b"\\u202e"):
        assert part in saw.lower(), part
    log = b"".join(p.read_bytes() for p in r.folder.glob("serve-*.log"))
    assert not steers(log), steers(log)[:3]


@pytest.mark.parametrize("step", ["greeting", "EHLO", "AUTH", "MAIL", "RCPT"])
def test_check_and_its_report(relay, servers, folder, step):
    secret = folder / "pw"
    secret.write_text("sesame\n")
    secret.chmod(0o600)
    r = relay("connectors:\n" + connector("up", servers(step, 554), f', login: relay, password: "file:{secret}"') +
              "routes:\n  - { through: up }\n", start=False)
    report = folder / "report.txt"
    for extra in ([], ["--json"], ["--report", str(report)]):
        done = run([POSTERN, "check", "up", *extra, "--config", str(r.config)], code=None)
        out = done.stdout + done.stderr + (report.read_bytes() if report.exists() else b"")
        assert not steers(out), (extra, steers(out)[:3])
        if step == "greeting":
            assert b"pwned" in out, out


def test_what_is_given_to_explain(folder):
    reply = b"550 5.1.1 " + ATTACK + b" no such user"
    mail = folder / "bounce.eml"
    mail.write_bytes(b"From: a\r\nSubject: " + ATTACK + b"\r\nContent-Type: multipart/report; boundary=b\r\n\r\n--b\r\n"
                     b"Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns;x\r\n\r\nFinal-Recipient: rfc822;a" + ATTACK +
                     b"@b\r\nAction: failed\r\nStatus: 5.1.1\r\nDiagnostic-Code: smtp; " + reply + b"\r\n\r\n--b--\r\n")
    for words, given in ((["explain"], reply), (["explain", reply.replace(b"\0", b"")], b""), (["explain", str(mail)], b"")):
        for extra in ([], ["--json"]):
            done = run([POSTERN, *words, *extra], code=None, input=given)
            assert not steers(done.stdout + done.stderr), (words, extra, steers(done.stdout + done.stderr)[:3])
            if extra:
                [json.loads(line) for line in done.stdout.decode("utf-8").splitlines()]
            assert b"user" in done.stdout


def test_names_in_files_and_arguments(folder):
    bad = folder / "x.yaml"
    bad.write_bytes(b'"\\e[31mkey": 1\nhostname: "a\\e[2Jb"\nlisteners: [ { address: "\xe2\x80\xae1" } ]\n')
    for words in (["check"], ["queue", "show", "\x1b[31m"], ["queue", "list", "--state", "\x1b[2J"], ["\x1b[2J"], ["queue", "\u202e"],
                  ["status", "--\x1b[2J"], ["mailboxes", "\x1b[2J"], ["check", "\x1b[2J"]):
        for extra in ([], ["--json"]):
            done = run([POSTERN, *words, *extra, "--config", str(bad)], code=None)
            assert not steers(done.stdout + done.stderr), (words, extra, steers(done.stdout + done.stderr)[:3])


def test_a_terminal_has_colours_and_nothing_of_strangers(relay, servers):
    r = relay("connectors:\n" + connector("c", servers("RCPT", 554)) + "routes:\n  - { through: c }\n")
    with Wire(r.port) as c:
        c.hello()
        c.envelope()
        assert c.data(b"From: erp@contoso.com\r\nSubject: \x1b[31mred\x1b[0m \x1b[5mblink\r\n\r\nx\r\n").startswith("250")
    support.wait_for(lambda: [row for row in r.rows("trace", "--since", "1d") if row.get("reply")])
    out = b""
    for words in (["status"], ["trace", "--since", "1d"], ["mailboxes"], ["explain", "550 5.1.1 \x1b[31mno"]):
        out += support.at_a_terminal([POSTERN, *words, "--config", str(r.config)], {"TERM": "xterm", "PAGER": "cat"})
    # Lines end in CR LF there.
    left = re.sub(rb"\x1b\[(?:0|1|2|31|32|33)m|\r\x1b\[K|\r(?=\n)", b"", out)
    assert left != out.replace(b"\r\n", b"\n"), "there are colours"
    assert not steers(left), steers(left)[:3]
    assert rb"\x1b[31mred\x1b[0m \x1b[5mblink" in left
