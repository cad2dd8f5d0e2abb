"""What goes wrong between the relay and the next server: it waits with a reason that one can see, and loses nothing."""
import glob
import os
import signal
import smtplib
import sqlite3
import time

import pytest

import support
from faulty import faulty  # noqa: F401 (a fixture)
from support import run, wait_for

QUICK = "retry: { first: 1s, ceiling: 2s, expire: 5d }"
FREE = "{ messages_per_minute: 100000, share: 100% }"


def send(relay, *subjects, sender="erp@contoso.com"):
    with smtplib.SMTP("127.0.0.1", relay.port) as s:
        for subject in subjects:
            s.sendmail(sender, ["anna@example.org"], f"From: {sender}\r\nSubject: {subject}\r\n\r\nx\r\n")


def subjects(sandbox):
    return sorted(m["subject"] for m in sandbox.messages())


def lane(relay, *states):
    return wait_for(lambda: [x for x in relay.rows("status")
                             if x["type"] == "lane" and x["state"] in states and x.get("reason")])[0]


def nothing_is_lost(relay, count):
    rows = relay.rows("trace")
    assert len(rows) == count and {r["state"] for r in rows} <= {"queued", "open"}, rows
    assert "status=bounced" not in relay.log()


def test_server_down_for_a_while(submission):
    sandbox, relay = submission(limits=FREE, general=QUICK)
    sandbox.settings(limits={"messages_per_minute": 100000})
    send(relay, "before")
    wait_for(lambda: subjects(sandbox) == ["before"])
    sandbox.process.stop()
    names = [f"m{i:02}" for i in range(20)]
    send(relay, *names)
    why = lane(relay, "waiting")
    assert why["reason"] in ("connection-refused", "connection-lost") and why["next_at"] and why["summary"]
    # It stays down over several tries.
    wait_for(lambda: lane(relay, "waiting")["next_at"] > why["next_at"])
    assert lane(relay, "waiting")["reason"] == "connection-refused" and "connection-refused" in relay.cli("status")
    assert len(relay.waiting()) == 20
    assert "status=bounced" not in relay.log()
    sandbox.start()
    # Nobody does anything: the mail leaves, each message once.
    wait_for(lambda: subjects(sandbox) == names, seconds=180)
    wait_for(lambda: not relay.waiting())
    assert sandbox.verdict()["duplicates"] == 0


def test_server_that_comes_and_goes(submission, folder):
    sandbox, relay = submission(limits=FREE, general=QUICK)
    sandbox.settings(limits={"messages_per_minute": 100000})
    sandbox.fault(at="connect", do="cut", probability=0.5)
    sandbox.fault(at="mail", do="cut", probability=0.2)
    sandbox.fault(at="data", do="cut", probability=0.2)
    names = [f"m{i:02}" for i in range(12)]
    send(relay, *names)

    def all_there():
        relay.cli("queue", "retry", "--older", "0s")
        return subjects(sandbox) == names and not relay.waiting()

    wait_for(all_there, seconds=180, every=0.5)
    # All cuts were before the last byte: there was never a doubt, so there is no copy.
    assert sandbox.verdict()["duplicates"] == 0 and sandbox.verdict()["limits_broken"] == []


def test_name_that_does_not_resolve(relay):
    r = relay("connectors:\n  - { name: lab, provider: smtp, host: does-not-exist.invalid, port: 2525, tls: none }\n"
              "routes:\n  - { through: lab }\n", general=QUICK)
    send(r, "one", "two")
    # "No such name" where there is a resolver, "cannot look it up" where there is none.
    why = lane(r, "parked", "waiting")
    assert why["reason"] in ("no-such-host", "dns-failure"), why
    assert "does-not-exist.invalid" in why["reply"] and "name" in why["summary"]
    assert why["reason"] in r.cli("status") and "does-not-exist.invalid" in r.cli("status")
    nothing_is_lost(r, 2)


def own_certificate(folder, names, days, sign=True):
    """What a sandbox finds in its folder it uses: ca.pem, server.pem and server.key."""
    folder.mkdir(parents=True)
    paths = {n: str(folder / n) for n in ("ca.pem", "ca.key", "server.pem", "server.key", "server.csr", "ext.cnf")}
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    run(["openssl", "req", "-x509", *key, "-days", "2", "-subj", "/CN=test CA", "-keyout", paths["ca.key"], "-out", paths["ca.pem"]])
    run(["openssl", "req", *key, "-subj", f"/CN={names[0]}", "-keyout", paths["server.key"], "-out", paths["server.csr"]])
    (folder / "ext.cnf").write_text("subjectAltName=" + ",".join(f"DNS:{n}" for n in names) + "\n")
    signer = ["-CA", paths["ca.pem"], "-CAkey", paths["ca.key"], "-CAcreateserial"] if sign else ["-signkey", paths["server.key"]]
    run(["openssl", "x509", "-req", "-in", paths["server.csr"], *signer, "-days", str(days), "-extfile", paths["ext.cnf"],
         "-out", paths["server.pem"]])


@pytest.mark.parametrize("case, names, days, sign, words", [
    ("right", ["localhost"], 2, True, None),
    ("other-name", ["mail.example.net"], 2, True, "localhost"),
    ("wildcard-too-wide", ["*", "*.localhost"], 2, True, "localhost"),
    ("expired", ["localhost"], -1, True, "expired"),
    ("self-signed", ["localhost"], 2, False, "self"),
])
def test_certificate(sandbox, relay, password, folder, case, names, days, sign, words):
    own_certificate(folder / "sandbox0", names, days, sign)
    s = sandbox()
    r = relay(support.TENANT + "mailboxes:" + support.mailbox("erp@contoso.com", s, password) + "\nroutes:\n  - { through: sender }\n")
    send(r, "secret")
    if words is None:
        wait_for(lambda: subjects(s) == ["secret"])
        return
    why = lane(r, "parked", "waiting")
    assert why["reason"] == "tls-failure" and "certificate" in why["summary"]
    assert "certificate" in why["reply"] and words in why["reply"], why["reply"]
    assert "tls-failure" in r.cli("status")
    nothing_is_lost(r, 1)
    # Neither the message nor the password went out.
    assert s.verdict()["accepted"] == 0
    assert "signed-in" not in (s.folder / "events.jsonl").read_text()


def test_unknown_authority(submission, sandbox, relay, password, folder):
    s = sandbox()
    s.ca, _, _ = support.make_certificate(folder / "other")
    r = relay(support.TENANT + "mailboxes:" + support.mailbox("erp@contoso.com", s, password) + "\nroutes:\n  - { through: sender }\n")
    send(r, "secret")
    why = lane(r, "parked", "waiting")
    assert why["reason"] == "tls-failure" and "certificate" in why["reply"], why
    nothing_is_lost(r, 1)
    assert s.verdict()["accepted"] == 0
    # The right authority, then a reload: it leaves.
    r.config.write_text(r.config.read_text().replace(str(s.ca), str(s.folder / "ca.pem")))
    r.cli("reload")
    r.cli("queue", "retry", "--older", "0s")
    wait_for(lambda: subjects(s) == ["secret"])


def test_no_starttls_no_delivery(submission):
    sandbox, relay = submission("--no-starttls")
    send(relay, "secret")
    why = lane(relay, "parked", "waiting")
    assert "STARTTLS" in why["reply"] and "tls" in why["reason"], why
    nothing_is_lost(relay, 1)
    assert sandbox.verdict()["accepted"] == 0
    assert "signed-in" not in (sandbox.folder / "events.jsonl").read_text()


def test_server_that_stands_still(submission):
    """Neither alive nor dead for some seconds, as a suspended machine is: it is waited for."""
    sandbox, relay = submission(limits=FREE, general=QUICK)
    sandbox.settings(limits={"messages_per_minute": 100000})
    send(relay, "before")
    wait_for(lambda: subjects(sandbox) == ["before"])
    os.kill(sandbox.process.pid, signal.SIGSTOP)
    try:
        # Accepting does not wait for it, for other mailboxes neither.
        send(relay, "one", "two", "three")
        send(relay, "four", sender="crm@contoso.com")
        assert len(relay.waiting()) == 4
        time.sleep(4)
        assert len(relay.waiting()) == 4
        assert relay.rows("status")
    finally:
        os.kill(sandbox.process.pid, signal.SIGCONT)
    wait_for(lambda: subjects(sandbox) == ["before", "four", "one", "three", "two"])
    wait_for(lambda: not relay.waiting())
    assert sandbox.verdict()["duplicates"] == 0
    assert not [r for r in relay.rows("trace") if r.get("uncertain")]


class Clock:
    """A wall clock that jumps, for one process; the clock that only runs on is left alone."""

    def __init__(self, folder):
        found = glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")
        if not found:
            pytest.skip("libfaketime is not installed (Debian: faketime)")
        self.file = folder / "clock"
        self.jump("+0")
        self.env = {"LD_PRELOAD": found[0], "FAKETIME_TIMESTAMP_FILE": str(self.file), "FAKETIME_NO_CACHE": "1",
                    "FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1"}

    def jump(self, offset):
        new = self.file.with_suffix(".new")
        new.write_text(offset + "\n")
        new.rename(self.file)


def accepted_day(row):
    return row["accepted_at"][:10]


def test_wall_clock_jumps_never_free_a_slot(submission, folder):
    clock = Clock(folder)
    sandbox, relay = submission(limits="{ messages_per_minute: 5, share: 100% }", start=False)
    sandbox.settings(limits={"messages_per_minute": 5})
    relay.env = clock.env
    relay.start()
    today = time.strftime("%Y-%m-%d", time.gmtime())
    send(relay, *[f"m{i}" for i in range(4)])
    wait_for(lambda: len(sandbox.messages()) == 4)
    clock.jump("+1d")
    send(relay, "m4", "m5", "m6")
    wait_for(lambda: len(sandbox.messages()) == 5)
    assert lane(relay, "waiting")["minute_used"] == 5
    # The relay does live in the wrong day.
    assert max(accepted_day(r) for r in relay.waiting()) > today
    clock.jump("-1d")
    send(relay, "m7")
    assert min(accepted_day(r) for r in relay.waiting()) < today
    assert lane(relay, "waiting")["minute_used"] == 5
    # A restart, as well, with the clock far off.
    relay.stop()
    clock.jump("+2d")
    relay.start()
    send(relay, "m8")
    # Two days late by that clock, and no sender is told of a delay: they are tried first.
    wait_for(lambda: len(sandbox.messages()) == 9, seconds=150, every=1)
    assert sorted(subjects(sandbox)) == [f"m{i}" for i in range(9)]
    assert sandbox.verdict()["limits_broken"] == [] and sandbox.verdict()["duplicates"] == 0


@pytest.fixture
def doubted(folder, faulty):  # noqa: F811
    """A clock that jumps, on a machine whose clock no time server has set."""
    clock = Clock(folder)
    clock.env["LD_PRELOAD"] += " " + faulty.env["LD_PRELOAD"]
    return clock


LATER = "451 4.7.0 Temporary server error. Please try again later. PRX2"


def test_a_clock_that_is_six_days_ahead_at_the_start_bounces_nothing(submission, doubted):
    sandbox, relay = submission(limits=FREE, general=QUICK, start=False)
    sandbox.settings(limits={"messages_per_minute": 100000})
    relay.env = doubted.env
    relay.start()
    sandbox.fault(at="dot", do="reply", reply=LATER, times=1000000)
    send(relay, "a", "b", "c")
    wait_for(lambda: len([r for r in relay.waiting() if "PRX2" in r.get("reply", "")]) == 3)
    relay.stop()
    doubted.jump("+6d")
    relay.start()
    # Each has failed by that clock, past its time, more than once.
    wait_for(lambda: relay.log().count("status=deferred") >= 15)
    assert len(relay.waiting()) == 3
    assert "status=expired" not in relay.log() and "status=bounced" not in relay.log()
    assert "notification" not in relay.log()
    sandbox.api("DELETE", "/faults")
    wait_for(lambda: subjects(sandbox) == ["a", "b", "c"])


def days_are_full(relay):
    return [r["day_used"] for r in relay.rows("status") if r["type"] == "lane"] == [10, 10]


@pytest.mark.parametrize("how", ["reboot", "restart", "kill"])
def test_a_clock_that_is_25_hours_ahead_at_the_start_forgets_no_day(submission, doubted, how):
    """Ten recipients a day: a wrong clock gives no second day, to its mailbox as it is used nor to one that was full."""
    sandbox, relay = submission(limits="{ recipients_per_day: 10, share: 100% }", start=False)
    sandbox.settings(limits={"recipients_per_day": 10})
    relay.env = doubted.env
    relay.start()
    send(relay, *[f"full{i}" for i in range(12)])
    send(relay, *[f"half{i}" for i in range(5)], sender="crm@contoso.com")
    wait_for(lambda: len(sandbox.messages()) == 15)
    wait_for(lambda: len(relay.waiting()) == 2)
    if how == "kill":
        relay.kill()
    else:
        relay.stop()
    doubted.jump("+25h")
    if how == "reboot":
        with sqlite3.connect(relay.folder / "data" / "queue.db") as queue:
            assert queue.execute("UPDATE state SET boot_id = 'before'").rowcount == 1
        queue.close()
    relay.start()
    send(relay, "full12")
    send(relay, *[f"half{i}" for i in range(5, 11)], sender="crm@contoso.com")
    # The five that the second may still send leave, and nothing besides.
    wait_for(lambda: days_are_full(relay) and len(relay.waiting()) == 4)
    assert sorted(r["subject"] for r in relay.waiting()) == ["full10", "full11", "full12", "half10"]
    assert len(sandbox.messages()) == 20 and "status=bounced" not in relay.log() and "status=expired" not in relay.log()
    # Set right again.
    relay.stop()
    doubted.jump("+0")
    relay.start()
    send(relay, "full13")
    wait_for(lambda: days_are_full(relay) and len(relay.waiting()) == 5)
    assert len(sandbox.messages()) == 20
    assert sandbox.verdict()["limits_broken"] == [] and sandbox.verdict()["duplicates"] == 0


@pytest.mark.parametrize("retry", [False, True], ids=["by-itself", "retry"])
def test_mail_that_was_planned_by_a_clock_ten_years_ahead_leaves(submission, doubted, retry):
    sandbox, relay = submission(limits=FREE, general="retry: { first: 30s, ceiling: 1m }", start=False)
    sandbox.settings(limits={"messages_per_minute": 100000})
    relay.env = doubted.env
    doubted.jump("+3650d")
    relay.start()
    sandbox.fault(at="dot", do="reply", reply=LATER, times=1)
    send(relay, "waits")
    row, = wait_for(lambda: [r for r in relay.waiting() if "PRX2" in r.get("reply", "")])
    relay.stop()
    doubted.jump("+0")
    relay.start()
    if retry:
        # It may have left by itself already.
        relay.cli("queue", "retry", "--older", "0s", code=None)
        relay.cli("queue", "retry", row["id"], code=None)
    wait_for(lambda: subjects(sandbox) == ["waits"])
    wait_for(lambda: not relay.waiting())
    assert "status=bounced" not in relay.log()


def test_mail_leaves_though_the_wall_clock_goes_back(submission, folder):
    clock = Clock(folder)
    sandbox, relay = submission(limits="{ messages_per_minute: 100000, share: 100%, connections: 1 }", general=QUICK, start=False)
    sandbox.settings(limits={"messages_per_minute": 100000})
    relay.env = clock.env
    relay.start()
    sandbox.fault(at="dot", do="reply", reply="451 4.7.0 Temporary server error. Please try again later. PRX2", times=2)
    send(relay, "waits")
    wait_for(lambda: [r for r in relay.waiting() if "PRX2" in r.get("reply", "")])
    # The next try was planned by the old clock: it comes all the same, and does not wait for ten days. By the connection
    # that is open: for another one, the certificate would begin in ten days.
    clock.jump("-10d")
    send(relay, "new")
    wait_for(lambda: subjects(sandbox) == ["new", "waits"])
    wait_for(lambda: not relay.waiting())
    assert "status=bounced" not in relay.log()
