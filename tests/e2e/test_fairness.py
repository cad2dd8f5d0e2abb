"""One bad client of each kind, and a good one beside it, in lockstep: after each thing that the bad one does, the good
one must get a whole message through. No client, uid or listener can take what the others need."""
import base64
import contextlib
import select
import socket
import ssl
import subprocess
import threading

import pytest

import support
from support import wait_for
from wire import Wire

MESSAGE = b"From: erp@contoso.com\r\nSubject: good\r\n\r\nx\r\n"
BAD, GOOD = "127.0.0.9", "127.0.0.3"


class Good:
    """Sends one message a step, and counts."""

    def __init__(self, relay):
        self.relay, self.sent = relay, 0

    def step(self):
        with Wire(self.relay.port, source=GOOD) as c:
            assert c.greeting.startswith("220"), c.greeting
            c.hello()
            c.envelope()
            answer = c.data(MESSAGE)
            assert answer.startswith("250"), answer
        self.sent += 1


@pytest.fixture
def stack():
    with contextlib.ExitStack() as s:
        yield s


@pytest.fixture
def served(submission, folder):
    """A relay with a TLS listener on the network and users, beside its own on loopback."""
    ca, certificate, key = support.make_certificate(folder / "tls")
    key.chmod(0o640)
    (folder / "pass").write_text("right")
    verifier = folder / "erp.scram"
    support.run([support.POSTERN, "user", "add", "erp", "--password-file", str(folder / "pass"), "--output", str(verifier)])
    port, auth, start = support.free_port(), support.free_port(), support.free_port()

    def make(general=""):
        sandbox, relay = submission(
            general=general + f'\nusers:\n  - {{ name: erp, password: "file:{verifier}", senders: ["*"] }}\n',
            listeners=f'  - address: "*:{port}"\n    tls: implicit\n    certificate: {certificate}\n    key: file:{key}\n'
                      f"    auth: required\n"
                      f"  - address: 127.0.0.1:{auth}\n    auth: required\n    plaintext_auth: true\n"
                      f"  - {{ address: 127.0.0.1:{start}, tls: starttls, certificate: {certificate}, key: file:{key} }}\n")
        relay.tls_port, relay.auth_port, relay.start_port = port, auth, start
        return sandbox, relay

    return make


def unix(stack, path):
    s = stack.enter_context(socket.socket(socket.AF_UNIX))
    s.settimeout(support.PATIENCE)
    s.connect(str(path))
    return s, stack.enter_context(s.makefile("rb"))


def reply(file):
    while True:
        line = file.readline()
        if not line or line[3:4] != b"-":
            return line.decode("latin-1")


def test_half_handshakes_stop_nobody(served, stack):
    """Refused at accept(), before TLS: at most `connections_per_peer` (100) of them are kept at all."""
    sandbox, relay = served()
    good = Good(relay)
    held = []
    for n in range(300):
        s = stack.enter_context(socket.socket())
        s.bind((BAD, 0))
        s.settimeout(support.PATIENCE)
        s.connect(("127.0.0.1", relay.tls_port))
        with contextlib.suppress(OSError):
            s.send(b"\x16\x03\x01\x40\x00\x01")
        held.append(s)
        if n % 30 == 29:
            good.step()
    assert good.sent == 10

    def sessions():
        return [x["sessions"] for x in relay.rows("status") if x["type"] == "listener" and x["name"].startswith("*")]

    wait_for(lambda: sessions() == [100])
    wait_for(lambda: "Too many connections from your address" in relay.log())


def test_a_uid_cannot_take_all_sessions_nor_all_memory(served, stack):
    sandbox, relay = served(general="limits: { inbound_connections: 60, inbound_memory: 4MB }")
    good = Good(relay)
    refused = 0
    for n in range(80):
        s, file = unix(stack, relay.submit)
        answer = reply(file)
        if answer.startswith("220"):
            s.sendall(b"EHLO x\r\n")
            reply(file)
            s.sendall(b"MAIL FROM:<erp@contoso.com>\r\n" + b"".join(
                b"RCPT TO:<%s%03d@example.org> ORCPT=rfc822;%s\r\n" % (b"l" * 60, k, b"o" * 400) for k in range(100)))
            answers = [reply(file) for _ in range(101)]
            refused += any(a.startswith("452 4.3.1") for a in answers)
        else:
            assert answer.startswith("421 4.7.0 Too many connections from your user id"), answer
            refused += 1
        if n % 8 == 7:
            good.step()
    assert refused > 0
    assert good.sent == 10


def test_guessers_stop_no_sign_in(served):
    """Forty connections guess from four addresses; each right password of another address is taken."""
    sandbox, relay = served()
    over = threading.Event()

    def guess(source):
        while not over.is_set():
            with contextlib.suppress(OSError, AssertionError), Wire(relay.auth_port, source=source) as c:
                c.say("EHLO bad.example")
                for _ in range(3):
                    c.say("AUTH PLAIN " + base64.b64encode(b"\0nobody%d\0wrong" % id(c)).decode())

    threads = [threading.Thread(target=guess, args=(f"127.0.0.{20 + n % 4}",), daemon=True) for n in range(40)]
    for t in threads:
        t.start()
    try:
        wait_for(lambda: relay.log().count("authentication failed") > 20)
        for _ in range(20):
            with Wire(relay.auth_port, source=GOOD) as c:
                c.say("EHLO good.example")
                c.must("AUTH PLAIN " + base64.b64encode(b"\0erp\0right").decode(), "235")
    finally:
        over.set()
        for t in threads:
            t.join()


def test_failures_are_remembered_over_connections(served):
    sandbox, relay = served()

    def sign_in(source, password):
        with Wire(relay.auth_port, source=source) as c:
            c.say("EHLO x.example")
            return c.say("AUTH PLAIN " + base64.b64encode(b"\0erp\0" + password).decode())

    answers = []
    threads = [threading.Thread(target=lambda: answers.append(sign_in(BAD, b"wrong"))) for _ in range(10)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert [a[:3] for a in answers] == ["535"] * 10
    # Not even the right one is checked from there now; elsewhere it is.
    assert sign_in(BAD, b"right").startswith("454 4.7.0 Too many failed sign-ins from your address")
    assert sign_in(GOOD, b"right").startswith("235")


def test_what_never_ends_ends(served):
    """DATA behind the limit and a BDAT of 2^63-1: the session ends, and others have their messages meanwhile."""
    sandbox, relay = served()
    good = Good(relay)
    with Wire(relay.port, source=BAD) as c:
        c.hello()
        c.envelope()
        assert c.say("BDAT 9223372036854775807 LAST").startswith("552 5.3.4")
        assert c.reply() == ""
    good.step()
    piece = (b"x" * 998 + b"\r\n") * 1024
    with Wire(relay.port, source=BAD) as c:
        c.hello()
        c.envelope()
        c.must("DATA", "354")
        sent = 0
        while sent < 300 << 20 and not select.select([c.sock], [], [], 0)[0]:
            c.send(piece)
            sent += len(piece)
            if sent % (20 * len(piece)) == 0:
                good.step()
        assert sent < 250 << 20, "nobody ended it"
        assert c.reply().startswith("552 5.3.4")
        assert c.reply() == ""
    assert good.sent > 5


def test_a_name_that_is_not_found_stops_only_its_user(submission, folder, stack):
    """A name service that hangs (as LDAP can): its user waits, mail over TCP goes on."""
    source, library = folder / "hang.c", folder / "hang.so"
    source.write_text("""
#include <pwd.h>
#include <stdlib.h>
#include <unistd.h>
int getpwuid_r(uid_t uid, struct passwd *pwd, char *buf, size_t len, struct passwd **result)
{
\twhile (access(getenv("HANG"), F_OK) == 0)
\t\tusleep(1000);
\t*result = NULL;
\treturn 0;
}
""")
    if subprocess.run(["cc", "-shared", "-fPIC", "-o", str(library), str(source)], capture_output=True).returncode != 0:
        pytest.skip("no C compiler here")
    flag = folder / "hang"
    flag.touch()
    sandbox, relay = submission(start=False)
    relay.env = {"LD_PRELOAD": str(library), "HANG": str(flag)}
    relay.start()
    good = Good(relay)
    s, file = unix(stack, relay.submit)
    for _ in range(10):
        good.step()
    assert reply(file).startswith("421 4.3.0 Your user name cannot be looked up"), "patience is over, and the client told"
    good.step()
    flag.unlink()

    def greeted():
        s, file = unix(stack, relay.submit)
        return reply(file).startswith("220")

    wait_for(greeted)


class Flood:
    """Sends one command over and over on many connections of one address, reads the answers, and counts their lines."""

    def __init__(self, port, command, connections=20):
        self.port, self.command, self.lines, self.over = port, command, 0, False
        self.threads = [threading.Thread(target=self.run, daemon=True) for _ in range(connections)]
        for t in self.threads:
            t.start()

    def run(self):
        while not self.over:
            with contextlib.suppress(OSError), socket.socket() as s:
                s.bind((BAD, 0))
                s.connect(("127.0.0.1", self.port))
                s.sendall(b"EHLO bad.example\r\n")
                s.setblocking(False)
                self.talk(s)

    def talk(self, s):
        left = b""
        while not self.over:
            readable, writable, _ = select.select([s], [s], [], 1)
            if readable:
                got = s.recv(65536)
                if not got:
                    return
                self.lines += got.count(b"\n")
            if writable:
                left = left or self.command * 5000
                left = left[s.send(left):]

    def end(self):
        self.over = True
        for t in self.threads:
            t.join()


# Ends of the session are part of it: after 20 unknown ones comes 421, and the client is back at once.
@pytest.mark.parametrize("command", [b"NOOP\r\n", b"RSET\r\n", b"MAIL FROM:<a@b.example>\r\nRSET\r\n", b"FOO\r\n"])
def test_floods_of_commands_take_turns(served, command):
    """Counted in what the flood is given for each message of the good one: without turns it was a million commands and
    more, and the good one had a message in a second or two."""
    sandbox, relay = served()
    good, flood = Good(relay), Flood(relay.port, command)
    try:
        wait_for(lambda: flood.lines > 500)
        before = flood.lines
        for _ in range(20):
            good.step()
        assert (flood.lines - before) / good.sent < 250_000
    finally:
        flood.end()


def any_certificate():
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def hello_of_tls(context):
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(there, back).do_handshake()
    return back.read()


def begun_and_dropped(relay, context, s):
    s.connect(("127.0.0.1", relay.tls_port))
    s.sendall(hello_of_tls(context))
    return bool(s.recv(1))


def whole(relay, context, s):
    s.connect(("127.0.0.1", relay.tls_port))
    with context.wrap_socket(s) as t:
        return t.recv(3) == b"220"


def asked_for(relay, s):
    s.connect(("127.0.0.1", relay.start_port))
    file = s.makefile("rb")
    if not reply(file).startswith("220"):
        return False
    s.sendall(b"EHLO bad.example\r\nSTARTTLS\r\n")
    return [reply(file)[:3] for _ in range(2)] == ["250", "220"]


def asked_for_and_dropped(relay, context, s):
    return asked_for(relay, s)


def asked_for_and_begun(relay, context, s):
    if not asked_for(relay, s):
        return False
    s.sendall(hello_of_tls(context))
    return bool(s.recv(1))


def asked_for_and_whole(relay, context, s):
    if not asked_for(relay, s):
        return False
    with context.wrap_socket(s) as t:
        t.sendall(b"NOOP\r\n")
        return t.recv(3) == b"250"


class Handshakes:
    """Twenty clients of one address do `way` over and over; `done` counts what the relay gave them."""

    def __init__(self, relay, way):
        self.relay, self.way, self.done, self.over = relay, way, [], threading.Event()
        self.threads = [threading.Thread(target=self.run, daemon=True) for _ in range(20)]
        for t in self.threads:
            t.start()

    def run(self):
        context = any_certificate()
        while not self.over.is_set():
            with contextlib.suppress(OSError), socket.socket() as s:
                s.bind((BAD, 0))
                s.settimeout(support.PATIENCE)
                if self.way(self.relay, context, s):
                    self.done.append(1)

    def end(self):
        self.over.set()
        for t in self.threads:
            t.join()


@pytest.mark.parametrize("way", [begun_and_dropped, whole, asked_for_and_dropped, asked_for_and_begun, asked_for_and_whole])
def test_handshakes_over_and_over_stop_no_mail(served, way):
    """Each costs a signature; whoever speaks already goes on between two of them, and a good handshake comes through, both within a
    client's patience. Shares are counted where both always wait for one (src/io/steps_test.c): a client of Python is slower than its turns."""
    sandbox, relay = served()
    good, flood, context = Good(relay), Handshakes(relay, way), any_certificate()
    try:
        wait_for(lambda: len(flood.done) > 40)
        for _ in range(8):
            good.step()
            with context.wrap_socket(socket.create_connection(("127.0.0.1", relay.tls_port), support.PATIENCE, (GOOD, 0))) as s:
                assert s.recv(3) == b"220"
    finally:
        flood.end()


def fill(s, piece, step):
    """Sends without reading until nothing goes any more, even after somebody else was served; how many bytes went."""
    sent = blocked = 0
    while blocked < 3 and sent < 200 << 20:
        try:
            sent += s.send(piece)
            blocked = 0
        except BlockingIOError:
            blocked += 1
            step()
        except OSError:
            break
    return sent


@pytest.mark.parametrize("command", [b"NOOP\r\n", b"EHLO bad.example\r\n", b"HELP\r\n", b"MAIL FROM:<a@b.example>\r\nRSET\r\n"])
def test_who_reads_no_answers_is_not_read(served, stack, command):
    """What it asked is not answered for ever into memory: it is left to wait, and others are served."""
    sandbox, relay = served()
    good, sent = Good(relay), []
    for _ in range(4):
        s = stack.enter_context(socket.socket())
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        s.bind((BAD, 0))
        s.settimeout(support.PATIENCE)
        s.connect(("127.0.0.1", relay.port))
        s.sendall(b"EHLO bad.example\r\n")
        s.setblocking(False)
        sent.append(fill(s, command * 3000, good.step))
    good.step()
    assert max(sent) < 64 << 20, "the buffers of the kernel, not of the relay"
