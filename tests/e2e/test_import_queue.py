"""`postern import postfix-queue`: mail that waits in a real Postfix's queue, with its envelope, each once, whatever happens."""
import os
import pathlib
import shutil
import signal
import subprocess
import time

import pytest

import support
from support import run, wait_for

pytestmark = pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("postfix"),
                                reason="SKIPPED LOUDLY: needs root and Postfix")

MASTER = """pickup    unix  n  -  n  60  1  pickup
cleanup   unix  n  -  n  -   0  cleanup
qmgr      unix  n  -  n  300 1  qmgr
rewrite   unix  -  -  n  -   -  trivial-rewrite
bounce    unix  -  -  n  -   0  bounce
defer     unix  -  -  n  -   0  bounce
trace     unix  -  -  n  -   0  bounce
flush     unix  n  -  n  1000? 0 flush
smtp      unix  -  -  n  -   -  smtp
error     unix  -  -  n  -   -  error
retry     unix  -  -  n  -   -  error
showq     unix  n  -  n  -   -  showq
postlog   unix-dgram n - n - 1  postlogd
"""


class Postfix:
    def __init__(self, folder: pathlib.Path):
        # Postfix's user must get in.
        self.home = pathlib.Path(f"/tmp/postern-pf-{os.getpid()}-{time.monotonic_ns()}")
        self.queue, self.conf = self.home / "q", self.home / "cf"
        for path in (self.queue, self.conf, self.home / "data"):
            path.mkdir(parents=True)
        self.home.chmod(0o755)
        shutil.chown(self.home / "data", "postfix")
        self.log = f"/var/log/{self.home.name}.log"
        (self.conf / "main.cf").write_text(
            f"compatibility_level=3.6\nqueue_directory={self.queue}\ndata_directory={self.home}/data\nmail_owner=postfix\nsetgid_group=postdrop\n"
            f"myhostname=relay.contoso.com\nmyorigin=contoso.com\nmydestination=\ninet_interfaces=127.0.0.1\nmaillog_file={self.log}\n"
            "relayhost=[127.0.0.1]:1\ndefer_transports=smtp\n")
        (self.conf / "master.cf").write_text(MASTER)
        run(["postfix", "-c", str(self.conf), "start"])

    def send(self, sender, *to, args=(), text="Subject: waits\n\nbody\n"):
        run(["/usr/sbin/sendmail", "-i", "-C", str(self.conf), "-f", sender, *args, *to], input=text.encode())

    def waiting(self):
        return [p for q in ("deferred", "hold") for p in (self.queue / q).rglob("*") if p.is_file()]

    def stop(self):
        pid = (self.queue / "pid" / "master.pid").read_text().strip()
        run(["postfix", "-c", str(self.conf), "stop"], code=None)
        # It gives up waiting after some seconds, and a busy machine takes longer.
        wait_for(lambda: not pathlib.Path(f"/proc/{pid}").exists())

    def end(self):
        self.stop()
        shutil.rmtree(self.home, ignore_errors=True)
        pathlib.Path(self.log).unlink(missing_ok=True)


@pytest.fixture
def postfix(folder):
    p = Postfix(folder)
    yield p
    p.end()


def hand_over(relay, postfix, code=0, **kw):
    done = run([support.POSTERN, "import", "postfix-queue", str(postfix.queue), "--config", str(relay.config)], code=code, **kw)
    return (done.stdout + done.stderr).decode()


def test_waiting_mail_arrives_once_with_its_envelope(submission, postfix):
    s, relay = submission()
    postfix.send("erp@contoso.com", "anna@example.org", "Bob <bob@example.org>", args=("-V", "abc", "-R", "hdrs"),
                 text="From: erp@contoso.com\nSubject: waits\n\nfirst\n.\n..dots\nlast without an end")
    postfix.send("crm@contoso.com", "carla@example.org")
    wait_for(lambda: len(postfix.waiting()) == 2)
    # While Postfix runs it would send the same mail: nothing is touched.
    assert "systemctl disable --now postfix" in hand_over(relay, postfix, code=69)
    assert len(postfix.waiting()) == 2
    postfix.stop()
    shown = hand_over(relay, postfix)
    assert "2 messages for 3 recipients handed to postern" in shown and not postfix.waiting()
    wait_for(lambda: len(s.messages()) == 2)
    first = next(m for m in s.messages() if m["sender"] == "erp@contoso.com")
    assert sorted(first["recipients"]) == ["anna@example.org", "bob@example.org"]
    raw = s.raw(first["number"])
    assert raw.split(b"\r\n\r\n", 1)[1] == b"first\r\n.\r\n..dots\r\nlast without an end\r\n"
    # When it came is in Postfix's own Received.
    assert b"by relay.contoso.com (Postfix, from userid 0)" in raw
    assert "0 messages for 0 recipients" in hand_over(relay, postfix)
    assert len(list((postfix.queue / "postern-imported").glob("*.*"))) == 2
    assert len(s.messages()) == 2


def test_daemon_that_is_started_later(submission, postfix):
    s, relay = submission(start=False)
    postfix.send("erp@contoso.com", "anna@example.org")
    wait_for(lambda: len(postfix.waiting()) == 1)
    postfix.stop()
    hand_over(relay, postfix)
    relay.start()
    wait_for(lambda: len(s.messages()) == 1)


def test_killed_in_the_middle(submission, postfix):
    """SIGKILL at many moments: in the end each message has arrived, and none of them twice."""
    s, relay = submission(general="history: { keep: off }", limits="{ messages_per_minute: 0 }")
    count = 30
    for n in range(count):
        postfix.send("erp@contoso.com", f"anna{n}@example.org")
    wait_for(lambda: len(postfix.waiting()) == count)
    postfix.stop()
    kills, pause = 0, 0.01
    while True:
        p = subprocess.Popen([support.POSTERN, "import", "postfix-queue", str(postfix.queue), "--config", str(relay.config)],
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            if p.wait(pause) == 0:
                break
        except subprocess.TimeoutExpired:
            p.send_signal(signal.SIGKILL)
            p.wait()
            kills += 1
            # Longer and longer: on a busy machine it must get somewhere between two of them.
            pause = pause * 1.3 % (0.7 + kills / 50) + 0.01
    assert kills > 0
    wait_for(lambda: len(s.messages()) >= count)
    wait_for(lambda: not relay.waiting())
    assert sorted(m["recipients"][0] for m in s.messages()) == sorted(f"anna{n}@example.org" for n in range(count))
    assert not list(relay.maildrop.iterdir())
