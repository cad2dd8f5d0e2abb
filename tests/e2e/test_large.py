"""Large messages and many connections: memory stays small, and nobody starves."""
import hashlib
import smtplib
import socket
import threading

import support
from support import wait_for
from wire import Wire

MB = 1 << 20
FREE = "{ messages_per_minute: 100000, share: 100% }"
PIECE = b"".join(b"%07d " % i + b"0123456789abcdef" * 4 + b"\r\n" for i in range(1000))


def stays_below(process, megabytes):
    """The most memory that the process ever had, of /proc. A sanitizer keeps what was freed: it says nothing there."""
    with open(f"/proc/{process.pid}/maps") as f:
        if "libasan" in f.read():
            return
    with open(f"/proc/{process.pid}/status") as f:
        peak_kb = next(int(line.split()[1]) for line in f if line.startswith("VmHWM:"))
    assert peak_kb < megabytes * 1024, f"{peak_kb} kB"


def body_of(sandbox, found):
    return sandbox.raw(found["number"]).split(b"\r\n\r\n", 1)[1]


def stream(port, subject, size, bdat=False):
    """Sends a message of that size without holding it; returns the body's hash."""
    digest = hashlib.sha256()
    with Wire(port, timeout=300) as c:
        c.hello()
        c.envelope()
        header = f"From: erp@contoso.com\r\nSubject: {subject}\r\n\r\n".encode()
        if bdat:
            c.send(b"BDAT %d\r\n" % len(header) + header)
            assert c.reply().startswith("250")
        else:
            c.must("DATA", "354")
            c.send(header)
        for at in range(0, size, len(PIECE)):
            digest.update(PIECE)
            last = at + len(PIECE) >= size
            if bdat:
                c.send(b"BDAT %d%s\r\n" % (len(PIECE), b" LAST" if last else b""))
            c.send(PIECE)
            if bdat:
                answer = c.reply()
                assert answer.startswith("250"), answer
        if not bdat:
            c.send(b".\r\n")
            answer = c.reply()
            assert answer.startswith("250"), answer
        c.must("QUIT", "221")
    return digest.hexdigest()


def roomy(submission, **more):
    sandbox, relay = submission("--keep", "600MB", limits=FREE, **more)
    sandbox.settings(limits={"messages_per_minute": 100000, "message_bytes": 150 * MB})
    return sandbox, relay


def test_hundred_megabytes_stream(submission):
    sandbox, relay = roomy(submission)
    sent = stream(relay.port, "large", 100 * MB)
    found = wait_for(lambda: sandbox.messages(), seconds=300, every=0.5)[0]
    assert found["size"] > 100 * MB
    assert hashlib.sha256(body_of(sandbox, found)).hexdigest() == sent
    wait_for(lambda: not relay.waiting())
    stays_below(relay.process, 64)


def test_hundred_megabytes_in_chunks_beside_small_mail(submission):
    sandbox, relay = roomy(submission)
    sent = []
    large = threading.Thread(target=lambda: sent.append(stream(relay.port, "large", 100 * MB, bdat=True)))
    large.start()
    with smtplib.SMTP("127.0.0.1", relay.port) as s:
        for i in range(20):
            s.sendmail("crm@contoso.com", ["bea@example.org"], f"Subject: small{i}\r\n\r\nx\r\n")
    wait_for(lambda: len([m for m in sandbox.messages() if m["subject"].startswith("small")]) == 20)
    large.join()
    found = wait_for(lambda: [m for m in sandbox.messages() if m["subject"] == "large"], seconds=300, every=0.5)[0]
    assert hashlib.sha256(body_of(sandbox, found)).hexdigest() == sent[0]
    stays_below(relay.process, 64)


def test_several_large_ones_at_once(submission):
    sandbox, relay = roomy(submission)
    sent = {}
    threads = [threading.Thread(target=lambda n=n: sent.update({n: stream(relay.port, n, 30 * MB)}))
               for n in (f"large{i}" for i in range(6))]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(sent) == 6
    found = wait_for(lambda: (m := sandbox.messages()) and len(m) == 6 and m, seconds=300, every=0.5)
    assert {m["subject"]: hashlib.sha256(body_of(sandbox, m)).hexdigest() for m in found} == sent
    stays_below(relay.process, 96)


def test_session_goes_on_behind_each_large_message(submission):
    """Whatever is still on its way to the disk when a message ends."""
    sandbox, relay = roomy(submission)
    with Wire(relay.port) as c:
        c.hello()
        for i in range(60):
            c.envelope()
            assert c.data(b"Subject: m%d\r\n\r\n" % i + PIECE * (1 + i % 9)).startswith("250")
            c.must("NOOP", "250")
    wait_for(lambda: len(sandbox.messages()) == 60)


def test_too_large_is_refused_for_good(submission):
    sandbox, relay = roomy(submission)
    with Wire(relay.port) as c:
        assert "SIZE 157286400" in c.hello()
        assert c.say("MAIL FROM:<erp@contoso.com> SIZE=157286401").startswith("552 5.3.4")
    with Wire(relay.port, timeout=300) as c:
        c.hello()
        c.envelope()
        c.must("DATA", "354")
        c.send(b"Subject: too large\r\n\r\n")
        for _ in range(151 * MB // len(PIECE)):
            c.send(PIECE)
        c.send(b".\r\n")
        assert c.reply().startswith("552 5.3.4")
        # The session goes on.
        c.envelope()
        assert c.data(b"Subject: small\r\n\r\nx\r\n").startswith("250")
    wait_for(lambda: [m["subject"] for m in sandbox.messages()] == ["small"])
    stays_below(relay.process, 64)


def test_thousand_idle_connections(submission):
    sandbox, relay = roomy(submission, general="limits: { inbound_connections: 1400 }")
    idle = []
    try:
        for i in range(1000):
            s = socket.create_connection(("127.0.0.1", relay.port), timeout=support.PATIENCE)
            idle.append(s)
            assert s.recv(200).startswith(b"220 ")
            if i % 2:
                s.sendall(b"EHLO idle.example\r\n")
                assert s.recv(1000).startswith(b"250")
        with smtplib.SMTP("127.0.0.1", relay.port, timeout=support.PATIENCE) as s:
            for i in range(50):
                s.sendmail("erp@contoso.com", ["anna@example.org"], f"Subject: m{i}\r\n\r\nx\r\n")
        wait_for(lambda: len(sandbox.messages()) == 50)
        stays_below(relay.process, 64)
        # Those that idled can still be of use.
        for s in idle[::100]:
            s.sendall(b"EHLO late.example\r\nMAIL FROM:<erp@contoso.com>\r\nRCPT TO:<bea@example.org>\r\nDATA\r\n")
            text = b""
            while b"354 " not in text:
                text += s.recv(4000)
            s.sendall(b"Subject: late\r\n\r\nx\r\n.\r\n")
            assert s.recv(200).startswith(b"250 ")
        wait_for(lambda: len(sandbox.messages()) == 60)
        assert sandbox.verdict()["limits_broken"] == []
    finally:
        for s in idle:
            s.close()
    wait_for(lambda: [x for x in relay.rows("status") if x["type"] == "listener" and x["sessions"] == 0])


def test_past_the_limit_a_connection_is_told_so(submission):
    """One address gets what is its part; another finds the rest, up to the last."""
    sandbox, relay = roomy(submission, general="limits: { inbound_connections: 20 }")
    held = []

    def fill(source, most):
        for _ in range(most):
            c = Wire(relay.port, source=source)
            if not c.greeting.startswith("220"):
                c.close()
                return c.greeting
            held.append(c)
        return "none was refused"

    answer = fill("127.0.0.2", 20)
    assert answer.startswith("421 4.7.0 Too many connections from your address"), answer
    assert len(held) == 15
    for n in range(3, 23):
        answer = fill(f"127.0.0.{n}", 1)
        if answer.startswith("421"):
            break
    assert len(held) > 15
    assert answer.startswith("421 4."), answer
    first = held.pop(0)
    first.close()

    def room():
        with Wire(relay.port, source="127.0.0.99") as c:
            return c.greeting.startswith("220")

    wait_for(room)
    for c in held:
        c.close()

def test_slow_clients_do_not_hold_up_others(submission):
    """A hundred clients that stop within DATA."""
    sandbox, relay = roomy(submission)
    slow = [Wire(relay.port) for _ in range(100)]
    for c in slow:
        c.hello()
        c.envelope()
        c.must("DATA", "354")
        c.send(b"Subject: slow\r\n\r\n" + PIECE)
    with smtplib.SMTP("127.0.0.1", relay.port, timeout=support.PATIENCE) as s:
        for i in range(20):
            s.sendmail("crm@contoso.com", ["anna@example.org"], f"Subject: m{i}\r\n\r\nx\r\n")
    wait_for(lambda: len(sandbox.messages()) == 20)
    stays_below(relay.process, 96)
    for c in slow:
        c.send(b".\r\n")
    for c in slow:
        assert c.reply().startswith("250")
        c.close()
    wait_for(lambda: len(sandbox.messages()) == 120)
