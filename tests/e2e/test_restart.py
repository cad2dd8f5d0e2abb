"""A restart as systemd does it: the sockets stay open with the manager, and nobody is refused (decision 0040)."""
import os
import signal
import smtplib
import socket
import threading

import pytest

import manager
import support
from support import wait_for


@pytest.fixture
def managed(submission, folder):
    made = []

    def make(*args, **kw):
        sandbox, relay = submission(*args, start=False, **kw)
        made.append(manager.Manager(folder, relay))
        return sandbox, relay, made[-1]
    yield make
    for one in made:
        one.end()


def send(port, subject, sender="erp@contoso.com"):
    with smtplib.SMTP("127.0.0.1", port, timeout=support.PATIENCE) as s:
        s.sendmail(sender, ["anna@example.org"], f"From: {sender}\r\nSubject: {subject}\r\n\r\nx\r\n")


def stored(relay, *more):
    return sorted([f"listen@127.0.0.1%3a{relay.port}", f"listen@unix%3a{relay.submit}", *more])


def test_a_client_that_comes_between_two_processes_waits(managed):
    sandbox, relay, systemd = managed()
    systemd.start()
    wait_for(lambda: systemd.names() == stored(relay))
    assert systemd.child.stop() == 0
    # Nobody serves, and still nobody is refused.
    early = socket.create_connection(("127.0.0.1", relay.port), timeout=support.PATIENCE)
    local = socket.socket(socket.AF_UNIX)
    local.settimeout(support.PATIENCE)
    local.connect(str(relay.submit))
    systemd.start()
    assert early.recv(100).startswith(b"220 ")
    assert local.recv(100).startswith(b"220 ")
    early.close()
    local.close()
    assert systemd.names() == stored(relay)
    send(relay.port, "after the restart")
    wait_for(lambda: sandbox.messages())


def test_after_a_crash_too(managed):
    sandbox, relay, systemd = managed()
    systemd.start()
    wait_for(lambda: systemd.names() == stored(relay))
    systemd.child.kill()
    early = socket.create_connection(("127.0.0.1", relay.port), timeout=support.PATIENCE)
    systemd.start()
    assert early.recv(100).startswith(b"220 ")
    early.close()


def test_under_load_nothing_is_refused_or_lost(managed):
    sandbox, relay, systemd = managed()
    systemd.start()
    wait_for(lambda: systemd.names() == stored(relay))
    taken, refused, stop = [], [], threading.Event()

    def client(number):
        count = 0
        while not stop.is_set():
            subject = f"load-{number}-{count}"
            count += 1
            try:
                send(relay.port, subject)
                taken.append(subject)
            except ConnectionRefusedError as error:
                refused.append(error)
            except (smtplib.SMTPException, OSError):
                pass  # a 421 in the middle: a client tries again

    clients = [threading.Thread(target=client, args=(n,)) for n in range(4)]
    for c in clients:
        c.start()
    for _ in range(3):
        before = len(taken)
        wait_for(lambda: len(taken) > before + 20)
        assert systemd.child.stop() == 0
        systemd.start()
    stop.set()
    for c in clients:
        c.join()
    assert not refused
    known = {row["subject"] for row in relay.rows("trace")} | {row["subject"] for row in relay.waiting()}
    assert not set(taken) - known


def test_the_drain_ends_in_seconds_and_says_what_is_uncertain(managed):
    sandbox, relay, systemd = managed()
    sandbox.fault(at="dot", do="slow", delay_ms=600000, times=1)
    systemd.start()
    send(relay.port, "no answer")
    wait_for(lambda: [r for r in relay.waiting() if r["state"] == "open"])
    client = socket.create_connection(("127.0.0.1", relay.port), timeout=support.PATIENCE)
    client.recv(100)
    client.sendall(b"EHLO me\r\nMAIL FROM:<erp@contoso.com>\r\nRCPT TO:<anna@example.org>\r\nDATA\r\n")
    wait_for(lambda: b"354 " in client.recv(4096))
    client.sendall(b"Subject: half\r\n\r\nhalf of it")
    # Far from the ten minutes that the server takes, and from the half hour that the client may.
    assert systemd.child.stop(seconds=support.PATIENCE) == 0
    client.close()
    text = systemd.child.text()
    assert "uncertain" in text
    rows = relay.rows("queue", "list")
    assert [r["reason"] for r in rows] == ["uncertain"], rows
    assert len(rows) == 1


def test_a_socket_that_is_not_configured_any_more_is_given_up(managed):
    """An address that becomes a wider one: the stored socket must not be in its way."""
    other = support.free_port()
    sandbox, relay, systemd = managed(listeners=f"  - {{ address: '127.0.0.1:{other}', no_password_from: [127.0.0.0/8] }}\n")
    systemd.start()
    wait_for(lambda: systemd.names() == stored(relay, f"listen@127.0.0.1%3a{other}"))
    assert systemd.child.stop() == 0
    text = relay.config.read_text()
    relay.config.write_text(text.replace(f"'127.0.0.1:{other}'", f"'0.0.0.0:{other}'"))
    systemd.start()
    wait_for(lambda: systemd.names() == stored(relay, f"listen@0.0.0.0%3a{other}"))
    assert support.listens(other)
    # A reload gives up at once what is gone.
    relay.config.write_text("\n".join(line for line in text.splitlines() if str(other) not in line))
    systemd.child.process.send_signal(signal.SIGHUP)
    wait_for(lambda: systemd.names() == stored(relay))
    wait_for(lambda: not support.listens(other))


def test_a_unix_socket_that_was_removed_is_made_anew(managed):
    sandbox, relay, systemd = managed()
    systemd.start()
    wait_for(lambda: systemd.names() == stored(relay))
    assert systemd.child.stop() == 0
    assert relay.submit.exists()
    os.unlink(relay.submit)
    systemd.start()
    wait_for(lambda: systemd.names() == stored(relay))
    local = socket.socket(socket.AF_UNIX)
    local.settimeout(support.PATIENCE)
    local.connect(str(relay.submit))
    assert local.recv(100).startswith(b"220 ")
    local.close()
    assert relay.submit.stat().st_mode & 0o777 == 0o666


def test_without_a_manager_nothing_stays(submission):
    sandbox, relay = submission()
    assert relay.stop() == 0
    assert not relay.submit.exists() and not support.listens(relay.port)
