"""Somebody else fills the disk of the queue: new mail waits at its clients, delivery goes on, and nobody has to help."""
import contextlib
import subprocess

import pytest

from support import wait_for
from wire import Wire

MIB = 1 << 20


@pytest.fixture
def small_disk(folder):
    """Makes the first relay's data_dir a disk of 160 MB: the ballast of 32 MB is made where twice that is free."""
    path = folder / "relay0" / "data"
    path.mkdir(parents=True)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=160m,mode=0700", "postern-test", str(path)],
                             capture_output=True)
    if mounted.returncode != 0:
        pytest.skip(f"mounting a small disk is not allowed here: {mounted.stderr.decode().strip()}")
    yield Disk(path)
    subprocess.run(["umount", str(path)], check=True)


class Disk:
    def __init__(self, path):
        self.path, self.filler = path, path / "filler"

    def free(self):
        import os
        at = os.statvfs(self.path)
        return at.f_bavail * at.f_frsize

    def fill(self, leave=0):
        """Takes what is free, but for `leave` bytes."""
        with open(self.filler, "ab", buffering=0) as f:
            try:
                while self.free() > leave:
                    f.write(bytes(min(MIB, self.free() - leave)))
            except OSError:
                assert leave == 0

    def empty(self):
        self.filler.unlink()


def message(subject, size=200):
    return f"From: erp@contoso.com\r\nSubject: {subject}\r\nMessage-ID: <{subject}@test>\r\n\r\n".encode() + \
        b"0123456789abcdef" * 4 * (size // 64) + b"\r\n"


def offer(relay, subject="new", options="", size=200):
    """The reply to MAIL, or the one at the end of the message."""
    with Wire(relay.port) as c:
        c.hello()
        answer = c.say(f"MAIL FROM:<erp@contoso.com>{options}")
        if answer.startswith("250"):
            c.must("RCPT TO:<anna@example.org>", "250")
            answer = c.data(message(subject, size))
        return answer


def accepted(relay, subject):
    """Offers the message until it is taken, as a client does that hears 452."""
    def once():
        answer = offer(relay, subject)
        assert answer[:3] in ("250", "452"), answer
        return answer.startswith("250")

    wait_for(once, every=0.2)


def refused(relay):
    """Asks, without sending anything, until the relay has seen that there is no room."""
    def once():
        with Wire(relay.port) as c:
            c.hello()
            return c.say("MAIL FROM:<erp@contoso.com>").startswith("452 4.3.1")

    wait_for(once)


FREE = "{ messages_per_minute: 100000, share: 100% }"


def test_full_disk_defers_new_mail_and_delivers_the_old(small_disk, submission):
    sandbox, relay = submission("--scenario", "smtp-auth-off", limits=FREE, general="min_free: 4MB")
    sandbox.settings(limits={"messages_per_minute": 100000})
    pid = relay.process.pid
    subjects = [f"before{i}" for i in range(30)]
    for subject in subjects:
        assert offer(relay, subject, size=20000).startswith("250")
    wait_for(lambda: [x for x in relay.rows("status") if x["type"] == "lane" and x["state"] == "parked"])
    small_disk.fill()
    refused(relay)
    assert len(relay.waiting()) == 30
    # The door opens: what waits leaves, on a disk that has no room at all.
    sandbox.settings(tenant_auth=True)
    relay.cli("queue", "retry", "--older", "0s")
    wait_for(lambda: {m["subject"] for m in sandbox.messages()} == set(subjects))
    wait_for(lambda: not relay.waiting())
    small_disk.fill()
    refused(relay)
    # The room comes back: so does the relay, by itself.
    small_disk.empty()
    accepted(relay, "after")
    wait_for(lambda: "after" in {m["subject"] for m in sandbox.messages()})
    verdict = sandbox.verdict()
    assert verdict["accepted"] == 31 and verdict["duplicates"] == 0 and verdict["limits_broken"] == []
    assert relay.process.pid == pid and relay.process.alive()
    status = next(x for x in relay.rows("status") if x["type"] == "relay")
    assert status["messages_waiting"] == 0


def test_full_disk_shows_in_status_and_goes_away(small_disk, submission):
    sandbox, relay = submission(general="min_free: 1MB")
    small_disk.fill()
    refused(relay)
    full = wait_for(lambda: [x for x in relay.rows("status") if x["type"] == "relay" and x["disk_free_bytes"] < MIB])
    assert full[0]["running"] is True
    small_disk.empty()
    accepted(relay, "room")
    wait_for(lambda: [x for x in relay.rows("status") if x["type"] == "relay" and not x["disk_full"]])
    wait_for(lambda: [m["subject"] for m in sandbox.messages()] == ["room"])


def test_min_free_is_kept_for_others(small_disk, submission):
    sandbox, relay = submission(general="min_free: 12MB")
    assert offer(relay, "plenty").startswith("250")
    small_disk.fill(leave=11 * MIB)
    refused(relay)
    small_disk.empty()
    small_disk.fill(leave=20 * MIB)
    # Room for a small message above what is to stay free, and none for the one that is announced.
    accepted(relay, "small")
    assert offer(relay, "large", options=f" SIZE={15 * MIB}").startswith("452 4.3.1")
    assert offer(relay, "small again", options=" SIZE=500").startswith("250")
    wait_for(lambda: [m["subject"] for m in sandbox.messages()] == ["plenty", "small", "small again"])


def test_what_sessions_announce_takes_nothing_from_others(small_disk, submission):
    """SIZE= is asked whether it would fit; only bytes that came take room."""
    sandbox, relay = submission(general="min_free: 4MB")
    small_disk.fill(leave=20 * MIB)
    # The relay measures once in a while, not at each message.
    wait_for(lambda: [x for x in relay.rows("status") if x["type"] == "relay" and x["disk_free_bytes"] <= 20 * MIB])
    wait_for(lambda: offer(relay, "first").startswith("250"))
    with contextlib.ExitStack() as stack:
        for _ in range(10):
            holder = stack.enter_context(Wire(relay.port))
            holder.hello()
            holder.must(f"MAIL FROM:<erp@contoso.com> SIZE={10 * MIB}", "250")
        assert offer(relay, "second", options=f" SIZE={10 * MIB}", size=500).startswith("250")
        assert offer(relay, "too large", options=f" SIZE={16 * MIB}").startswith("452 4.3.1")
    wait_for(lambda: [m["subject"] for m in sandbox.messages()] == ["first", "second"])


def test_unfinished_messages_of_one_leave_room_for_others(small_disk, submission):
    """Bodies that never end: who sends them gets a part of the disk, and the next client its message."""
    sandbox, relay = submission(general="min_free: 20MB")
    small_disk.fill(leave=70 * MIB)
    wait_for(lambda: [x for x in relay.rows("status") if x["type"] == "relay" and x["disk_free_bytes"] <= 70 * MIB])
    piece = b"0123456789abcdef" * 4 + b"\r\n"
    with contextlib.ExitStack() as stack:
        bad = [stack.enter_context(Wire(relay.port, source="127.0.0.9")) for _ in range(4)]
        for c in bad:
            c.hello()
            c.envelope()
            c.must("DATA", "354")
            c.send(piece * (16 * MIB // len(piece)))
        assert offer(relay, "good", size=MIB).startswith("250")
        bad[-1].send(b".\r\n")
        assert bad[-1].reply().startswith("452 4.3.1")
    wait_for(lambda: [m["subject"] for m in sandbox.messages()] == ["good"])


def test_disk_fills_while_a_message_comes_in(small_disk, submission):
    sandbox, relay = submission(general="min_free: 1MB")
    sandbox.settings(limits={"message_bytes": 100 * MIB})
    with Wire(relay.port) as c:
        c.hello()
        c.envelope()
        c.must("DATA", "354")
        c.send(message("half", size=2 * MIB))
        small_disk.fill()
        piece = b"0123456789abcdef" * 4 + b"\r\n"
        c.send(piece * (50 * MIB // len(piece)))
        c.send(b".\r\n")
        answer = c.reply()
        assert answer.startswith("452 4.3.1"), answer
        # Never 5xx for our own trouble, and the session goes on.
        c.must("NOOP", "250")
    assert relay.waiting() == []
    small_disk.empty()
    accepted(relay, "whole")
    wait_for(lambda: [m["subject"] for m in sandbox.messages()] == ["whole"])
    # Nothing of the half message keeps its room: there is space for a message of half the disk.
    wait_for(lambda: offer(relay, "again", options=f" SIZE={20 * MIB}", size=20 * MIB).startswith("250"), every=1)
    wait_for(lambda: [m["subject"] for m in sandbox.messages()] == ["whole", "again"])


def test_restart_on_a_full_disk(small_disk, submission):
    sandbox, relay = submission("--scenario", "smtp-auth-off", general="min_free: 1MB")
    assert offer(relay, "kept").startswith("250")
    wait_for(lambda: [x for x in relay.rows("status") if x["type"] == "lane" and x["state"] == "parked"])
    small_disk.fill()
    relay.kill()
    relay.start()
    assert [r["subject"] for r in relay.waiting()] == ["kept"]
    refused(relay)
    sandbox.settings(tenant_auth=True)
    relay.cli("queue", "retry", "--older", "0s")
    wait_for(lambda: [m["subject"] for m in sandbox.messages()] == ["kept"])
    small_disk.empty()
    accepted(relay, "new")
    # The ballast is there for the next time.
    wait_for((small_disk.path / "ballast").exists)
