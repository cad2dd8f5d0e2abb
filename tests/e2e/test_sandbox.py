"""The sandbox by itself, as a developer uses it: swaks, curl and its API, in Exchange Online's words."""
import base64
import json
import re
import subprocess
import time

import pytest

import support
from support import POSTERN, run, wait_for
from wire import Wire

DISABLED = ("535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant. "
            "Visit https://aka.ms/smtp_auth_disabled for more information.")
REFUSED = 26  # swaks: the message was refused at its end
SIGN_IN = 28
NO_DOORS = ["--https", "", "--hve", "", "--connector", ""]


def swaks(sandbox, *args, code=0, sender="a@contoso.com", to="b@example.org", mechanism="LOGIN", password="sandbox"):
    return run(["swaks", "--server", f"127.0.0.1:{sandbox.smtp}", "-tls", "-a", mechanism, "-au", sender, "-ap", password,
                "-f", sender, "-t", to, "-h", "client.example", *args], code=code).stdout.decode()


class Session(Wire):
    """One session that has signed in."""

    def __init__(self, sandbox, user="a@contoso.com", sign_in=True):
        super().__init__(sandbox.smtp)
        self.user = user
        self.hello()
        self.starttls(sandbox.ca)
        if sign_in:
            self.must("AUTH LOGIN " + base64.b64encode(user.encode()).decode(), "334")
            self.must(base64.b64encode(b"sandbox").decode(), "235 2.7.0")

    def message(self, subject="s", to=("b@example.org",), sender=None, header=""):
        self.envelope(*to, sender=sender or self.user)
        return self.data(f"From: {sender or self.user}\r\nSubject: {subject}\r\n{header}\r\nx\r\n".encode())


def events(sandbox):
    return [json.loads(line) for line in (sandbox.folder / "events.jsonl").read_text().splitlines()]


def test_first_message_by_swaks_and_curl(sandbox):
    s = sandbox()
    said = swaks(s, "--header", "Subject: hello")
    assert re.search(r"<~  250 2\.0\.0 OK <\S+> \[Hostname=\S+\.prod\.outlook\.com\]", said), said
    assert "220 AM0PR01CA" in said and "Microsoft ESMTP MAIL Service ready at" in said
    for line in ("SIZE 157286400", "STARTTLS", "AUTH LOGIN XOAUTH2", "8BITMIME", "CHUNKING", "SMTPUTF8"):
        assert line in said, line
    found = run(["curl", "-sS", f"http://127.0.0.1:{s.http}/messages/wait?to=b@example.org&timeout=10"]).stdout
    assert json.loads(found)["subject"] == "hello"
    raw = run(["curl", "-sS", f"http://127.0.0.1:{s.http}/messages/1/raw"]).stdout
    assert b"\r\nSubject: hello\r\n" in raw


def test_curl_sends(sandbox, folder):
    s = sandbox()
    mail = folder / "mail.eml"
    mail.write_bytes(b"From: a@contoso.com\r\nSubject: by curl\r\nMessage-ID: <curl@contoso.com>\r\n\r\nx\r\n")
    run(["curl", "-sS", "--ssl-reqd", "--cacert", str(s.ca), "--url", f"smtp://localhost:{s.smtp}", "--user", "a@contoso.com:sandbox",
         "--mail-from", "a@contoso.com", "--mail-rcpt", "b@example.org", "--upload-file", str(mail)])
    assert s.messages()[0]["message_id"] == "<curl@contoso.com>"


def test_no_sign_in_without_tls_or_password(sandbox):
    s = sandbox()
    with Wire(s.smtp) as c:
        assert "AUTH" not in c.hello()
        assert c.say("AUTH LOGIN YQ==")[:3] in ("530", "538", "503", "504")
        assert c.say("MAIL FROM:<a@contoso.com>").startswith("530 5.7.57 Client not authenticated to send mail.")
    assert "535 5.7.139 Authentication unsuccessful, the user credentials were incorrect." in swaks(s, password="wrong", code=SIGN_IN)


def test_smtp_auth_off(sandbox):
    s = sandbox("--scenario", "smtp-auth-off")
    assert DISABLED + " [" in swaks(s, code=SIGN_IN)
    # The mailbox's own switch is stronger than the tenant's, as at Microsoft.
    s.settings(mailboxes=[{"address": "a@contoso.com", "smtp_auth": "on"}])
    swaks(s)
    s.settings(tenant_auth=True, mailboxes=[{"address": "a@contoso.com", "smtp_auth": "off"}])
    assert DISABLED.replace("Tenant", "Mailbox") in swaks(s, code=SIGN_IN)
    swaks(s, sender="c@contoso.com")


def test_scenarios_are_listed_and_all_start(sandbox):
    names = [line.split()[0] for line in run([POSTERN, "sandbox", "--scenarios"]).stdout.decode().splitlines()]
    assert {"smtp-auth-off", "mailbox-full", "tiny-limits", "slow"} <= set(names)
    s = sandbox()
    for name in names:
        s.api("POST", f"/scenario/{name}")
    with pytest.raises(AssertionError, match="404"):
        s.api("POST", "/scenario/none")
    bad = run([POSTERN, "sandbox", "--scenario", "none", "--smtp", "127.0.0.1:0", "--http", "", *NO_DOORS, "--folder", str(s.folder)], code=78)
    assert b"--scenarios" in bad.stderr
    assert run([POSTERN, "sandbox", "--smtp", "0.0.0.0:0", "--folder", str(s.folder)], code=78).stderr


def test_send_as(sandbox):
    s = sandbox()
    s.settings(mailboxes=[{"address": "a@contoso.com", "send_as": ["team@contoso.com", "*@sales.contoso.com"]}])
    with Session(s) as c:
        for sender in ("team@contoso.com", "x@sales.contoso.com", "A@Contoso.com"):
            assert c.message(sender=sender).startswith("250"), sender
        for i in range(10):
            answer = c.message(sender="boss@contoso.com")
            assert answer.startswith("554 5.2.252 SendAsDenied; a@contoso.com not allowed to send as boss@contoso.com; STOREDRV"), answer
        # Ten in a row, and the whole mailbox is throttled.
        assert c.message().startswith("550 5.2.252 Sender throttled due to continuous send as denied errors")
    assert [v["limit"] for v in s.verdict()["limits_broken"]] == ["send-as-refusals"]
    assert s.stop() == 1


def test_five_hundred_recipients(sandbox):
    s = sandbox()
    with Session(s) as c:
        assert c.message("fits", to=[f"r{i}@example.org" for i in range(500)]).startswith("250 2.0.0")
        assert c.message("too many", to=[f"r{i}@example.org" for i in range(501)]).startswith("550 5.5.3 Too many recipients")
    assert [(m["subject"], len(m["recipients"])) for m in s.messages()] == [("fits", 500)]
    broken = s.verdict()["limits_broken"]
    assert [(v["limit"], v["used"], v["allowed"]) for v in broken] == [("recipients-per-message", 501, 500)]


def test_thirty_a_minute_and_the_verdict(sandbox):
    s = sandbox()
    with Session(s) as c:
        # Nothing counts before the end of DATA.
        for _ in range(40):
            c.envelope(sender=c.user)
            c.must("RSET", "250")
        for i in range(30):
            assert c.message(f"m{i}").startswith("250"), i
        assert c.message("m30").startswith(
            "451 4.4.2 Message submission rate for this client has exceeded the configured limit")
    with Session(s, user="c@contoso.com") as other:
        assert other.message("another mailbox").startswith("250")
    # A minute on its clock, and it takes mail again.
    s.api("PUT", "/clock", {"advance_seconds": 60})
    with Session(s) as c:
        assert c.message("next minute").startswith("250")
    broken = s.verdict()["limits_broken"]
    assert [(v["limit"], v["mailbox"], v["used"], v["allowed"]) for v in broken] == [("messages-per-minute", "a@contoso.com", 31, 30)]
    assert s.stop() == 1
    assert re.search(r"messages-per-minute.*a@contoso\.com|a@contoso\.com.*messages-per-minute", s.process.text()), s.process.text()


def test_verdict_of_an_honest_client_is_0(sandbox):
    s = sandbox()
    swaks(s)
    assert s.stop() == 0
    assert "1 " in s.process.text()


def test_more_than_three_connections(sandbox):
    s = sandbox()
    sessions = [Session(s) for _ in range(4)]
    for c in sessions[:3]:
        c.envelope(sender=c.user)
    # Three may send at once, and idle ones do not count.
    assert sessions[0].data(b"Subject: 1\r\n\r\nx\r\n").startswith("250")
    sessions[0].envelope(sender="a@contoso.com")
    sessions[3].envelope(sender="a@contoso.com")
    assert sessions[3].data(b"Subject: 4\r\n\r\nx\r\n").startswith(
        "432 4.3.2 Concurrent connections limit exceeded. Visit https://aka.ms/concurrent_sending for more information.")
    for c in sessions[:3]:
        assert c.data(b"Subject: y\r\n\r\nx\r\n").startswith("250")
    for c in sessions:
        c.close()
    assert [(v["limit"], v["used"]) for v in s.verdict()["limits_broken"]] == [("connections", 4)]
    assert s.stop() == 1


def test_recipients_of_a_day_and_a_fast_clock(sandbox):
    s = sandbox("--speed", "1000000")
    assert s.get("/clock")["speed"] == 1000000
    s.api("PUT", "/clock", {"speed": 1})
    s.settings(limits={"recipients_per_day": 5})
    with Session(s) as c:
        assert c.message(to=[f"r{i}@example.org" for i in range(5)]).startswith("250")
        answer = c.message("sixth")
        assert answer.startswith("554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException"), answer
        before = s.get("/clock")["now"]
        s.api("PUT", "/clock", {"advance_seconds": 86400})
        assert s.get("/clock")["now"] >= before + 86400 * 1000000
        assert c.message("next day").startswith("250")
    s.api("PUT", "/clock", {"speed": 1000})
    first = s.get("/clock")["now"]
    wait_for(lambda: s.get("/clock")["now"] > first + 1000000)


def test_mailbox_full_blocked_and_size(sandbox):
    s = sandbox("--scenario", "mailbox-full")
    with Session(s) as c:
        assert c.message().startswith("554 5.2.2 mailbox full; STOREDRV.Submission.Exception:QuotaExceededException")
        s.settings(all_full=False, mailboxes=[{"address": "a@contoso.com", "blocked": True}])
        assert c.message().startswith("550 5.1.8 Access denied, bad outbound sender AS(42004)")
        s.settings(mailboxes=[{"address": "a@contoso.com", "blocked": False}], limits={"message_bytes": 1000})
        assert c.message(header="X-Long: " + "y" * 1900 + "\r\n").startswith("552 5.3.4")
        assert c.message().startswith("250")


def test_fault_replies_at_every_stage(sandbox):
    s = sandbox()
    temporary = "451 4.7.0 Temporary server error. Please try again later. PRX2"
    for at in ("mail", "rcpt", "data", "dot"):
        s.fault(at=at, do="reply", reply=temporary, times=1)
    with Session(s) as c:
        assert c.say("MAIL FROM:<a@contoso.com>").startswith(temporary)
        c.must("MAIL FROM:<a@contoso.com>", "250")
        assert c.say("RCPT TO:<b@example.org>").startswith(temporary)
        c.must("RCPT TO:<b@example.org>", "250")
        assert c.say("DATA").startswith(temporary)
        assert c.data(b"Subject: x\r\n\r\nx\r\n").startswith(temporary)
        assert c.message().startswith("250")
    s.fault(at="connect", do="reply", reply="421 4.3.2 Service not active", times=1)
    with Wire(s.smtp) as c:
        assert c.greeting.startswith("421 4.3.2 Service not active")
    s.fault(at="auth", do="reply", reply="454 4.7.0 Temporary authentication failure", times=1)
    assert "454 4.7.0 Temporary authentication failure" in swaks(s, code=SIGN_IN)
    s.fault(at="ehlo", do="reply", reply="421 4.3.2 Not now", times=1)
    with Wire(s.smtp) as c:
        assert c.say("EHLO client.example").startswith("421 4.3.2 Not now")
    assert [f["done"] for f in s.get("/faults")] == [1] * 7
    s.api("DELETE", "/faults")
    assert s.get("/faults") == []
    assert s.stop() == 0


def test_fault_match_and_nonsense(sandbox):
    s = sandbox()
    s.fault(at="rcpt", do="reply", reply="550 5.1.10 RESOLVER.ADR.RecipientNotFound", match="*@gone.example")
    with Session(s) as c:
        c.must("MAIL FROM:<a@contoso.com>", "250")
        assert c.say("RCPT TO:<x@gone.example>").startswith("550 5.1.10")
        c.must("RCPT TO:<b@example.org>", "250")
    for bad in ({"at": "nowhere", "do": "cut"}, {"at": "dot", "do": "explode"}, {"at": "dot", "do": "reply"},
                {"at": "dot", "do": "reply", "reply": "99 x"}, {"at": "dot", "do": "reply", "reply": "451 a\r\n250 b"}):
        with pytest.raises(AssertionError, match="400"):
            s.fault(**bad)
    assert len(s.get("/faults")) == 1


@pytest.mark.parametrize("deed, kept", [("cut", 0), ("cut-after", 1)])
def test_cut_at_the_end_of_a_message(sandbox, deed, kept):
    s = sandbox()
    s.fault(at="dot", do=deed, times=1)
    c = Session(s)
    c.envelope("b@example.org", sender=c.user)
    try:
        assert c.data(b"Subject: cut\r\nMessage-ID: <cut@contoso.com>\r\n\r\nx\r\n") == ""
    except OSError:
        pass  # abrupt
    c.close()
    assert len(s.messages()) == kept
    with Session(s) as c:
        assert c.message("cut", header="Message-ID: <cut@contoso.com>\r\n").startswith("250")
    assert s.verdict()["duplicates"] == kept
    assert [e["event"] for e in events(s) if e["event"] in ("accepted", "duplicate")] == ["accepted", "duplicate"][:kept + 1]


@pytest.mark.parametrize("at", ["connect", "ehlo", "auth", "mail", "rcpt", "data"])
def test_cut_before_the_end(sandbox, at):
    s = sandbox()
    s.fault(at=at, do="cut", times=1)
    done = subprocess.run(["swaks", "--server", f"127.0.0.1:{s.smtp}", "-tls", "-a", "LOGIN", "-au", "a@contoso.com", "-ap", "sandbox",
                           "-f", "a@contoso.com", "-t", "b@example.org", "--timeout", "10"], capture_output=True, timeout=120)
    assert done.returncode != 0 and s.messages() == []
    swaks(s)


@pytest.mark.parametrize("at", ["connect", "ehlo", "auth", "mail", "rcpt", "data", "dot"])
def test_slow_answers_come_all_the_same(sandbox, at):
    s = sandbox()
    s.fault(at=at, do="slow", delay_ms=300)
    swaks(s)
    assert len(s.messages()) == 1


def test_stall(sandbox):
    s = sandbox()
    s.fault(at="dot", do="stall", times=1)
    stalled = Session(s)
    stalled.envelope(sender=stalled.user)
    stalled.send(b"DATA\r\n")
    assert stalled.reply().startswith("354")
    stalled.send(b"Subject: never\r\n\r\nx\r\n.\r\n")
    # Others are served meanwhile.
    with Session(s) as c:
        assert c.message("others").startswith("250")
    stalled.sock.settimeout(1)
    with pytest.raises(TimeoutError):
        stalled.file.readline()
    stalled.close()
    assert [m["subject"] for m in s.messages()] == ["others"]
    wait_for(lambda: all(b["sending"] == 0 for b in s.get("/settings")["mailboxes"]))
    assert s.stop() == 0


def test_wait_api(sandbox):
    s = sandbox()
    with pytest.raises(AssertionError, match="408"):
        s.get("/messages/wait?to=b@example.org&timeout=0")
    waiter = subprocess.Popen(["curl", "-sS", f"http://127.0.0.1:{s.http}/messages/wait?subject=second&to=b@example.org&timeout=60"],
                              stdout=subprocess.PIPE)
    with Session(s) as c:
        c.message("the first")
        time.sleep(0.3)
        assert waiter.poll() is None
        c.message("the Second")
    assert json.loads(waiter.communicate(timeout=60)[0])["number"] == 2
    assert s.get("/messages/wait?from=a@contoso.com&after=1")["number"] == 2
    assert [m["number"] for m in s.get("/messages?subject=first")] == [1]
    for path, code in (("/messages/99", 404), ("/messages/x", 404), ("/nothing", 404), ("/messages/wait?timeout=100000&to=z@z", 400)):
        with pytest.raises(AssertionError, match=str(code)):
            s.get(path)
    with pytest.raises(AssertionError, match="400"):
        s.api("PUT", "/settings", "text")
    s.api("DELETE", "/messages")
    assert s.messages() == [] and s.verdict()["accepted"] == 0


def test_events_tell_the_story(sandbox):
    s = sandbox()
    swaks(s, "--header", "Subject: told")
    s.fault(at="dot", do="reply", reply="451 4.7.0 PRX2", times=1)
    swaks(s, code=REFUSED)
    seen = events(s)
    assert [e["event"] for e in seen if e["event"] != "session-ended"] == \
        ["connected", "signed-in", "accepted", "connected", "signed-in", "fault", "refused"]
    accepted = seen[2]
    assert accepted["subject"] == "told" and accepted["mailbox"] == "a@contoso.com" and accepted["recipients"] == ["b@example.org"]
    assert [e["at"] for e in seen] == sorted(e["at"] for e in seen)
    out = s.folder / "events.out"
    port = support.free_port()
    with open(out, "wb") as f:
        p = subprocess.Popen([POSTERN, "sandbox", "--smtp", f"127.0.0.1:{port}", "--http", "", *NO_DOORS, "--folder", str(s.folder), "--events", "-"],
                             stdout=f, stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: support.listens(port))
        wait_for(lambda: '"connected"' in out.read_text())
    finally:
        p.terminate()
        assert p.wait(30) == 0


def test_rewrite_ids(sandbox):
    s = sandbox("--rewrite-ids")
    with Session(s) as c:
        answer = c.message(header="Message-ID: <mine@contoso.com>\r\n")
    found = s.messages()[0]
    assert found["message_id"] == "<mine@contoso.com>"
    assert re.fullmatch(r"<[0-9A-Z]+@\S+\.PROD\.OUTLOOK\.COM>", found["new_id"])
    assert answer.startswith(f"250 2.0.0 OK {found['new_id']} [Hostname=")


def test_keeps_the_newest(sandbox):
    s = sandbox("--keep", "64KB")
    with Session(s) as c:
        for i in range(5):
            assert c.message(f"m{i}", header="X-Fill: " + "y" * 900 + "\r\n" + ("X-Fill: " + "z" * 900 + "\r\n") * 20).startswith("250")
    kept = [m["subject"] for m in s.messages()]
    assert kept == ["m2", "m3", "m4"] and s.verdict()["accepted"] == 5
