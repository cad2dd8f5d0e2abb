"""Nothing around the relay stops it: its log's reader, its folders, its disk, its clock, its start."""
import errno
import fcntl
import json
import os
import resource
import shutil
import smtplib
import subprocess
import threading

import pytest

import support
from faulty import PASSING, faulty  # noqa: F401 (a fixture)
from support import POSTERN, wait_for


def send(relay, *recipients, sender="erp@contoso.com", subject="t"):
    with smtplib.SMTP("127.0.0.1", relay.port, timeout=60) as s:
        return s.sendmail(sender, recipients or ["anna@example.org"],
                          f"From: {sender}\r\nSubject: {subject}\r\n\r\nx\r\n")


# ---- the log ----

def test_a_log_reader_that_stalls_does_not_stop_the_mail(submission):
    sandbox, relay = submission(start=False)
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    process = subprocess.Popen([POSTERN, "serve", "--config", str(relay.config)], stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL, stderr=writing)
    os.close(writing)
    try:
        wait_for(lambda: support.listens(relay.port) and relay.control.exists())
        # Some hundred bytes of log for each recipient: the pipe is full after twenty.
        for n in range(0, 60, 6):
            send(relay, *(f"u{i}@example.org" for i in range(n, n + 6)))
        wait_for(lambda: len([r for r in relay.rows("trace") if r["state"] == "delivered"]) == 60)
        process.terminate()
        with os.fdopen(reading, "rb") as log:
            text = log.read().decode()
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
    # The reader came back in time: it misses nothing.
    assert "lost" not in text
    assert all(f"to=<u{n}@example.org>" in text for n in range(60))
    assert text.rstrip().endswith("ended")


# ---- the maildrop ----

def test_a_recipient_refused_in_the_maildrop_bounces_to_its_sender(submission, folder):
    sandbox, relay = submission(start=False)
    env = {**os.environ, "POSTERN_SUBMIT_SOCKET": str(relay.submit), "POSTERN_MAILDROP": str(relay.maildrop)}
    done = support.run([support.DROP, "-f", "erp@contoso.com", "anna@example.org", "bob"], input=b"Subject: local\n\nx\n", env=env)
    assert done.returncode == 0
    relay.start()
    wait_for(lambda: not relay.waiting())
    rows = {r["recipient"]: r for r in relay.rows("trace")}
    assert rows["anna@example.org"]["state"] == "delivered"
    assert rows["bob"]["state"] == "bounced" and "no domain" in rows["bob"]["reply"]
    # The notice went to the sender, and the maildrop is empty.
    notice = [m for m in sandbox.messages() if "erp@contoso.com" in json.dumps(m.get("recipients", m))]
    assert len(notice) == 1
    text = sandbox.raw(notice[0]["number"]).decode()
    assert "Final-Recipient: rfc822; bob" in text and "553 5.1.3" in text
    assert not list(relay.maildrop.iterdir())


def drop(relay, *args, **kw):
    """sendmail while the daemon is down."""
    env = {**os.environ, "POSTERN_SUBMIT_SOCKET": str(relay.submit), "POSTERN_MAILDROP": str(relay.maildrop)}
    return support.run([support.DROP, "-f", "erp@contoso.com", *args], env=env, **kw)


@pytest.mark.parametrize("calls,error", [("o", errno.EMFILE), ("o", errno.ENOMEM), ("o", errno.EIO), ("r", errno.EIO),
                                         ("r", errno.ENOMEM), ("s", errno.EIO)],
                         ids=lambda v: v if isinstance(v, str) else errno.errorcode[v])
def test_a_passing_trouble_sets_no_mail_of_the_maildrop_aside(submission, faulty, calls, error):
    sandbox, relay = submission(start=False)
    for n in range(3):
        drop(relay, f"u{n}@example.org", input=b"Subject: local\n\nx\n")
    before = sorted(f.name for f in relay.maildrop.iterdir())
    assert len(before) == 3
    relay.env = faulty.env
    faulty.fail(calls, error, path="/maildrop")
    relay.start()
    wait_for(lambda: "tries again" in relay.log() or calls == "s" and faulty.hits())
    assert not [f for f in relay.maildrop.iterdir() if f.name.startswith("bad.")]
    assert not relay.rows("trace") or calls == "s"
    faulty.heal()
    wait_for(lambda: not list(relay.maildrop.iterdir()), seconds=support.PATIENCE * 2)
    wait_for(lambda: len(sandbox.messages()) == 3)
    assert sandbox.verdict()["duplicates"] == 0


def file_size(size):
    """As `ulimit -f` leaves it to a program: SIGXFSZ ends whoever writes more."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def test_a_limit_on_the_size_of_files_does_not_kill_sendmail(submission):
    _, relay = submission(start=False)
    done = drop(relay, "anna@example.org", input=b"Subject: large\n\n" + b"x" * 70000 + b"\n", code=None,
                preexec_fn=file_size(16384))
    # EX_TEMPFAIL, EX_IOERR or EX_CANTCREAT: in words, and nothing half is left.
    assert done.returncode in (73, 74, 75) and done.stderr
    assert not list(relay.maildrop.iterdir())
    assert drop(relay, "anna@example.org", input=b"Subject: small\n\nx\n", preexec_fn=file_size(16384)).returncode == 0
    assert len(list(relay.maildrop.iterdir())) == 1


def test_a_limit_on_the_size_of_files_does_not_kill_the_relay(submission):
    sandbox, relay = submission()
    assert refusal(relay) is None
    wait_for(lambda: len(sandbox.messages()) == 1)
    # The log of the queue must not grow any more.
    resource.prlimit(relay.process.pid, resource.RLIMIT_FSIZE, (8192, resource.RLIM_INFINITY))
    assert refusal(relay) in (451, 452)
    wait_for(lambda: relay_row(relay).get("disk_trouble") or relay_row(relay)["disk_full"])
    assert relay.process.alive()
    resource.prlimit(relay.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    wait_for(lambda: refusal(relay) is None)
    assert relay.stop() == 0


# ---- the start ----

def serve_code(relay, env=None):
    """The code of a start that fails."""
    done = subprocess.run([POSTERN, "serve", "--config", str(relay.config)], stdin=subprocess.DEVNULL,
                          capture_output=True, timeout=120, env={**os.environ, **(env or {})})
    return done.returncode, (done.stdout + done.stderr).decode()


@pytest.mark.parametrize("error", PASSING, ids=lambda e: errno.errorcode[e])
@pytest.mark.parametrize("calls", ["o", "r", "w", "s"], ids=["open", "read", "write", "sync"])
def test_a_passing_trouble_at_start_is_tried_again(submission, faulty, calls, error):
    """78 and 64 are what the unit never restarts after: for the configuration and the command line alone."""
    _, relay = submission(start=False)
    failed = 0
    for where in (relay.folder, "postern.yaml", "/data", "queue.db", "/lock", "mailbox.secret", "boot_id", "/dev/null"):
        for after in (0, 1, 3):
            faulty.fail(calls, error, path=where, after=after, count=1)
            process = support.Process([POSTERN, "serve", "--config", str(relay.config)],
                                      relay.folder / "start.log", faulty.env)
            wait_for(lambda: relay.control.exists() and support.listens(relay.port) or not process.alive())
            if process.alive():
                process.kill()
                continue
            failed += 1
            assert process.process.returncode not in (0, 64, 78), (where, after, process.text())
            process.kill()
    faulty.heal()
    relay.start()
    send(relay)
    assert failed or calls in "ws"


def test_a_start_waits_for_a_command_that_looks(submission):
    """A monitor asks while the daemon is down: it takes the queue for a moment."""
    _, relay = submission()
    relay.stop()
    stop = threading.Event()
    codes = []

    def ask():
        while not stop.is_set():
            codes.append(subprocess.run([POSTERN, "status", "--config", str(relay.config)],
                                        capture_output=True, timeout=120).returncode)

    monitors = [threading.Thread(target=ask) for _ in range(3)]
    for m in monitors:
        m.start()
    try:
        for _ in range(8):
            relay.start()
            relay.stop()
        relay.start()
        wait_for(lambda: 0 in codes)
        relay.stop()
    finally:
        stop.set()
        for m in monitors:
            m.join()
    # It answers, with what it finds: 75 is for a daemon that went away in the middle of an answer.
    assert set(codes) <= {0, 1, 2, 69, 75}, set(codes)


# ---- the disk ----

def refusal(relay):
    """What a client hears; None when the message was accepted."""
    try:
        send(relay)
    except smtplib.SMTPResponseException as error:
        return error.smtp_code
    except smtplib.SMTPRecipientsRefused as error:
        return list(error.recipients.values())[0][0]
    return None


def comes_back(relay, faulty):
    faulty.heal()
    wait_for(lambda: refusal(relay) is None)
    wait_for(lambda: "disk_trouble" not in relay_row(relay))


def relay_row(relay):
    return next(r for r in relay.rows("status") if r["type"] == "relay")


def delivered(relay):
    return len([r for r in relay.rows("trace") if r["state"] == "delivered"])


@pytest.mark.parametrize("calls, error, name", [
    ("w", errno.EIO, "disk-fails"), ("s", errno.EIO, "disk-fails"), ("ws", errno.EIO, "disk-fails"),
    ("ws", errno.EROFS, "disk-read-only"), ("wso", errno.EROFS, "disk-read-only"), ("wr", errno.EIO, "disk-fails")],
    ids=["write", "sync", "write-and-sync", "read-only", "read-only-open", "write-and-read"])
def test_a_disk_that_fails_is_loud_and_comes_back(submission, faulty, calls, error, name):
    sandbox, relay = submission(start=False)
    relay.env = faulty.env
    relay.start()
    send(relay)
    # One under way when the disk fails is deferred for a minute and more: it would be waited for.
    wait_for(lambda: delivered(relay) == 1)
    faulty.fail(calls, error, path="/data/queue.db")
    assert refusal(relay) in (451, 452)
    wait_for(lambda: relay_row(relay).get("disk_trouble") in (name, "disk-fails"))
    assert refusal(relay) == 451
    wait_for(lambda: "disk-trouble" in relay.log())
    assert "451" in relay.cli("status")
    # An end in the middle of it is no kill.
    comes_back(relay, faulty)
    wait_for(lambda: "disk-well" in relay.log())
    wait_for(lambda: delivered(relay) >= 2)
    assert relay.stop() == 0


def test_a_relay_whose_disk_fails_ends_when_it_is_told_to(submission, faulty):
    _, relay = submission(start=False)
    relay.env = faulty.env
    relay.start()
    faulty.fail("ws", errno.EIO, path="/data/queue.db")
    assert refusal(relay) in (451, 452)
    assert relay.stop() == 0


def test_a_disk_that_hangs_is_said_and_nobody_waits_for_it(submission, faulty):
    sandbox, relay = submission(start=False)
    relay.env = faulty.env
    relay.start()
    faulty.hang("s", path="/data/queue.db")
    # A client whose message is in the commit hears no 250, and the next is refused before its message.
    assert refusal(relay) == 451
    wait_for(lambda: relay_row(relay).get("disk_trouble") == "disk-hangs")
    with smtplib.SMTP("127.0.0.1", relay.port, timeout=60) as s:
        s.ehlo()
        assert s.mail("erp@contoso.com")[0] == 451
    # What waits behind the commit is answered: the commands go on.
    asked = support.run([POSTERN, "queue", "list", "--config", str(relay.config)], code=None)
    assert asked.returncode != 0 and b"disk" in asked.stderr
    comes_back(relay, faulty)
    wait_for(lambda: len(sandbox.messages()) >= 1)
    assert relay.stop() == 0


def test_a_checkpoint_that_hangs_is_a_disk_that_hangs(submission, faulty):
    """The store's own work between the commits."""
    _, relay = submission(start=False)
    relay.env = faulty.env
    relay.start()
    faulty.hang("s", path="/data/queue.db$")
    with smtplib.SMTP("127.0.0.1", relay.port, timeout=60) as s:
        s.ehlo()
        s.mail("erp@contoso.com")
        s.rcpt("anna@example.org")
        # Stored, or refused: the checkpoint begins behind its last piece or before.
        assert s.data("Subject: t\r\n\r\n" + ("x" * 70 + "\r\n") * 170000)[0] in (250, 451)
    wait_for(lambda: relay_row(relay).get("disk_trouble") == "disk-hangs")
    assert refusal(relay) == 451
    faulty.heal()
    wait_for(lambda: refusal(relay) is None)
    assert relay.stop() == 0


@pytest.mark.parametrize("known", [True, False], ids=["known", "at-the-end"])
def test_a_relay_whose_disk_hangs_ends_when_it_is_told_to(submission, faulty, known):
    _, relay = submission(start=False)
    relay.env = faulty.env
    relay.start()
    faulty.hang("s", path="/data/queue.db")
    assert refusal(relay) == 451
    if known:
        wait_for(lambda: relay_row(relay).get("disk_trouble") == "disk-hangs")
    assert relay.stop() == 0
    faulty.heal()
    relay.start()
    wait_for(lambda: refusal(relay) is None)


@pytest.mark.parametrize("how", ["deleted", "moved", "replaced"])
def test_a_data_dir_that_is_gone_is_noticed_at_the_next_commit(submission, how):
    sandbox, relay = submission()
    data = relay.folder / "data"
    send(relay)
    if how == "deleted":
        shutil.rmtree(data)
    else:
        data.rename(relay.folder / "elsewhere")
    if how == "replaced":
        data.mkdir(mode=0o700)
    assert refusal(relay) == 451
    wait_for(lambda: relay_row(relay).get("disk_trouble") == "data-dir-gone")
    wait_for(lambda: "data-dir-gone" in relay.log())
    # What was accepted before leaves all the same.
    wait_for(lambda: len(sandbox.messages()) == 1)
    if how == "deleted":
        return
    if how == "replaced":
        shutil.rmtree(data)
    (relay.folder / "elsewhere").rename(data)
    wait_for(lambda: refusal(relay) is None)
    relay.stop()
    relay.start()
    wait_for(lambda: len([r for r in relay.rows("trace") if r["state"] == "delivered"]) == 2)
